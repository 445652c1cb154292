use crate::seal::SealError;
use std::{io, sync::Arc};
use wm_core::{BodyId, OrganizationId};

/// What is wrong with a stored chunk.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadFault {
    /// What stands in its place is not the record that was written there.
    #[error("the record is damaged")]
    Damaged,
    /// The record is what was written and does not open.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// The operating system cannot read it.
    #[error(transparent)]
    Io(Arc<io::Error>),
}

/// Why a body could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// A body, or the part of it that was asked for, cannot be had. Other bodies are not concerned.
    #[error(
        "chunk {chunk} of body {body} of {organization}, in segment {segment}, cannot be read: {fault}"
    )]
    Unreadable {
        /// Whose body.
        organization: OrganizationId,
        /// Which body.
        body: BodyId,
        /// Which of its chunks, from 0.
        chunk: u32,
        /// The segment the chunk is in.
        segment: u32,
        /// What is wrong.
        fault: ReadFault,
    },

    /// More bytes than a body may have.
    #[error("a body may not be longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },

    /// An earlier write of the same body failed; nothing is stored of it.
    #[error("the body was given up after a failed write")]
    GivenUp,

    /// Keys are missing, or there is no randomness.
    #[error(transparent)]
    Seal(#[from] SealError),

    /// The operating system refused a file operation.
    #[error("cannot {operation} segment {segment}")]
    Io {
        /// What was tried: `create`, `open`, `read`, `write`.
        operation: &'static str,
        /// Which segment; 0 for the directory.
        segment: u32,
        /// Why not.
        source: Arc<io::Error>,
    },

    /// A segment could not be brought to disk, now or earlier. Nothing is acknowledged until the
    /// store has been opened again.
    #[error(
        "a segment could not be made durable; nothing is stored until the store is opened again"
    )]
    SyncFailed {
        /// The first failure.
        source: Arc<io::Error>,
    },

    /// The store is being closed.
    #[error("the store is closed")]
    Closed,
}

impl SegmentError {
    /// Whether the same call can succeed later with nobody mending anything but space.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::Interrupted
                    | io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::OutOfMemory
            ),
            _ => false,
        }
    }

    /// Whether bytes on disk are not what was written.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        let Self::Unreadable { fault, .. } = self else {
            return false;
        };
        matches!(
            fault,
            ReadFault::Damaged | ReadFault::Sealed(SealError::NotAuthentic)
        )
    }

    pub(super) fn io(operation: &'static str, segment: u32, source: io::Error) -> Self {
        Self::Io {
            operation,
            segment,
            source: Arc::new(source),
        }
    }
}
