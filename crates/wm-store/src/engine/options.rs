/// How an engine on disk is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Bytes of memory for cached pages; 128 MiB by default.
    pub cache: u64,
    /// Whether a commit waits for the disk.
    pub sync: SyncPolicy,
    /// Whether opening verifies every checksum, where the engine would otherwise do so only after a
    /// crash; on by default. It reads the whole store once. Without it damage done between two runs
    /// can go unnoticed.
    pub check: bool,
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// A commit returns when it survives power loss.
    #[default]
    Durable,
    /// A commit returns at once and **is lost, or damages the store, when power goes**: for
    /// benchmarks that measure what syncing costs, and for nothing else.
    Off,
}

impl EngineOptions {
    /// The same with this many bytes of page cache.
    pub fn with_cache(mut self, bytes: u64) -> Self {
        self.cache = bytes;
        self
    }

    /// The same with this policy.
    pub fn with_sync(mut self, sync: SyncPolicy) -> Self {
        self.sync = sync;
        self
    }

    /// The same with this choice of verifying at opening.
    pub fn with_check(mut self, check: bool) -> Self {
        self.check = check;
        self
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cache: 128 << 20,
            sync: SyncPolicy::Durable,
            check: true,
        }
    }
}
