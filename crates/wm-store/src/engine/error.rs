use bytes::Bytes;
use std::{error::Error, io, path::PathBuf, sync::Arc};

/// Why an engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A precondition did not hold; nothing was written. Reading again and deciding anew can help,
    /// repeating the same batch cannot.
    #[error("the value under key {} is not the expected one", key.escape_ascii())]
    Conflict {
        /// The key of the precondition.
        key: Bytes,
    },

    /// A key or value is longer than [`MAX_KEY`](super::MAX_KEY) or
    /// [`MAX_VALUE`](super::MAX_VALUE); nothing was written.
    #[error("a key of {key} bytes with a value of {value} bytes is too long")]
    TooLong {
        /// Length of the key in bytes.
        key: usize,
        /// Length of the value in bytes.
        value: usize,
    },

    /// Another process, or another engine of this one, has the directory open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },

    /// The directory was written by a newer version; nothing in it was changed.
    #[error("{} has format {found}, this version reads up to {supported}", path.display())]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format this version knows.
        supported: u32,
    },

    /// The directory is that of an engine of another kind; nothing in it was changed.
    #[error("{} holds a store of the engine {found}", path.display())]
    OtherEngine {
        /// The directory.
        path: PathBuf,
        /// The engine's name.
        found: String,
    },

    /// What is on disk cannot be right.
    #[error("damaged engine data: {what}")]
    Corrupt {
        /// What was found.
        what: String,
        /// The error of the library beneath, where there is one.
        source: Option<Box<dyn Error + Send + Sync>>,
    },

    /// A commit could not be brought to disk, now or earlier: what that commit wrote may or may not
    /// be there after a restart, and no commit succeeds before one. Reads go on, with what was
    /// durable before.
    #[error(
        "a commit could not be made durable; nothing is committed until the engine is opened again"
    )]
    SyncFailed {
        /// The first failure.
        source: Arc<dyn Error + Send + Sync>,
    },

    /// The operating system refused a file operation outside a commit.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried: `open`, `lock`, `read`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl EngineError {
    /// Whether the same call can succeed later with nobody mending anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::InUse { .. } => true,
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::Interrupted
                    | io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::OutOfMemory
                    | io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }

    /// Damage, in words and with nothing beneath.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt {
            what: what.into(),
            source: None,
        }
    }
}
