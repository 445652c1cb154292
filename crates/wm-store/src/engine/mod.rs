//! Where everything small is kept: an ordered key-value store with atomic durable batches and
//! snapshot reads.
//!
//! Mailboxes, queue, directory, configuration and audit are written once over [`Engine`]; the
//! bodies of messages are not in it (they are in segments). Three engines come with the crate:
//!
//! | engine | feature | for |
//! |---|---|---|
//! | [`Memory`] | always there | tests, throw-away servers |
//! | `Sled` | `sled` | an embedded store in one directory |
//! | `Redb` | `redb` | an embedded store in one directory |
//!
//! Who brings another one implements two small traits and runs the suite of the feature
//! `contract-tests` on it.
//!
//! ```
//! use wm_store::engine::{Batch, Direction, Engine, EngineError, KeyRange, Memory, Snapshot};
//!
//! let engine = Memory::new();
//! let mut batch = Batch::new();
//! batch.require_absent("user/alice").put("user/alice", "1").put("user/bob", "2");
//! engine.commit(batch)?;
//!
//! let before = engine.snapshot()?;
//! let mut batch = Batch::new();
//! batch.require("user/bob", "2").delete("user/bob");
//! engine.commit(batch)?;
//!
//! assert_eq!(before.get(b"user/bob")?.as_deref(), Some(&b"2"[..]));
//! let now = engine.snapshot()?;
//! let users = now.scan(KeyRange::prefix("user/"), Direction::Forward).collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(users, [("user/alice".into(), "1".into())]);
//! # Ok::<(), EngineError>(())
//! ```

mod batch;
#[cfg(feature = "contract-tests")]
pub mod contract;
#[cfg(any(feature = "sled", feature = "redb"))]
mod directory;
mod error;
#[cfg(any(feature = "sled", feature = "redb"))]
mod guard;
mod memory;
#[cfg(any(feature = "sled", feature = "redb"))]
mod options;
mod range;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "sled")]
mod sled;
mod versioned;

pub use batch::{Batch, Precondition, Write};
pub use error::EngineError;
pub use memory::Memory;
#[cfg(any(feature = "sled", feature = "redb"))]
pub use options::{EngineOptions, SyncPolicy};
pub use range::{Direction, KeyRange};
#[cfg(feature = "redb")]
pub use redb::Redb;
#[cfg(feature = "sled")]
pub use sled::Sled;

use bytes::Bytes;

/// Longest key an engine has to take, in bytes.
pub const MAX_KEY: usize = 1024;

/// Longest value an engine has to take, in bytes. Far above what the store writes; what is larger
/// than some kilobytes belongs in a body segment.
pub const MAX_VALUE: usize = 16 << 20;

/// An ordered key-value store with atomic, durable batches and snapshot reads.
///
/// Keys are byte strings in lexicographic order, the empty one included. Every method blocks: the
/// store calls them from its own committer and reader threads, never from a poll.
pub trait Engine: Send + Sync + 'static {
    /// A consistent view of everything committed so far. What a commit that has not returned yet
    /// writes is not in it.
    ///
    /// A snapshot may hold memory or disk space that later commits would free: keep it for a
    /// request, not for a day.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError>;

    /// Applies the batch entirely, or not at all and says why.
    ///
    /// Preconditions are judged against what is committed at that moment; no other commit comes
    /// between their check and the writes. When this returns `Ok` the batch survives power loss,
    /// and only then do new snapshots show it.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] for the first precondition that does not hold and
    /// [`EngineError::TooLong`]: nothing has changed and the engine goes on.
    /// [`EngineError::SyncFailed`] when the batch may or may not survive; no later commit succeeds
    /// until the engine has been opened again.
    fn commit(&self, batch: Batch) -> Result<(), EngineError>;

    /// Short name for logs and reports: `memory`, `sled`.
    fn name(&self) -> &'static str;

    /// Bytes taken on disk; 0 for an engine in memory.
    fn disk_size(&self) -> Result<u64, EngineError>;

    /// Writes everything anew as tightly as it can, where an engine knows how: one that grew by small
    /// commits takes up to three times what it has to. Commits wait for as long as that takes, some
    /// seconds for each 100 MB, and it needs that much space once more.
    ///
    /// # Errors
    /// What the file system says; everything is as it was. [`EngineError::SyncFailed`] as of a commit.
    fn pack(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Reads every record once.
    ///
    /// # Errors
    /// The first damage found.
    fn verify(&self) -> Result<(), EngineError> {
        self.snapshot()?
            .scan(KeyRange::all(), Direction::Forward)
            .try_for_each(|entry| entry.map(drop))
    }
}

/// A consistent, unchanging view of an [`Engine`].
pub trait Snapshot: Send + Sync {
    /// The value under `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// The entries of `range` in the order asked for. Ends after the first error.
    fn scan<'a>(&'a self, range: KeyRange, direction: Direction) -> Entries<'a>;
}

/// Key and value of one entry after the other.
pub type Entries<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), EngineError>> + 'a>;
