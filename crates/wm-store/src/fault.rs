use crate::{
    commit::CommitError,
    engine::EngineError,
    seal::{KeyringError, SealError},
    segment::SegmentError,
};
use std::{error::Error, io, sync::Arc};
use wm_core::traits::{DirectoryError, SpoolError, StateError, StoreError};

/// What can go wrong beneath any trait of the store; each trait's error takes it up in its own
/// terms.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Engine(Arc<EngineError>),
    #[error(transparent)]
    Commit(CommitError),
    #[error(transparent)]
    Segment(SegmentError),
    #[error(transparent)]
    Keys(Arc<KeyringError>),
    /// A sealed value under this engine key does not open or is no record.
    #[error("the {what} record under key {} is damaged", key.escape_ascii())]
    Record {
        what: &'static str,
        key: Vec<u8>,
        source: Option<SealError>,
    },
    /// The second copy of what is in the engine.
    #[error("the journal cannot be read or written")]
    Journal(#[source] Arc<io::Error>),
    #[error("the store is closed")]
    Closed,
}

impl Fault {
    /// Whether what is on disk is not what was written.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Engine(error) => matches!(**error, EngineError::Corrupt { .. }),
            Self::Segment(error) => error.is_damage(),
            Self::Keys(error) => {
                matches!(**error, KeyringError::Damaged(_) | KeyringError::Missing(_))
            }
            Self::Record { .. } => true,
            Self::Commit(_) | Self::Journal(_) | Self::Closed => false,
        }
    }

    /// Whether the same call can succeed later with nobody mending anything.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_transient(),
            Self::Commit(error) => matches!(error, CommitError::Refused(e) if e.is_transient()),
            Self::Segment(error) => error.is_transient(),
            Self::Keys(error) => {
                matches!(&**error, KeyringError::Service { source, .. } if source.is_transient())
            }
            Self::Journal(error) => error.kind() == io::ErrorKind::StorageFull,
            Self::Record { .. } | Self::Closed => false,
        }
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        Self::Engine(Arc::new(error))
    }
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}

impl From<SegmentError> for Fault {
    fn from(error: SegmentError) -> Self {
        Self::Segment(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Journal(Arc::new(error))
    }
}

impl From<KeyringError> for Fault {
    fn from(error: KeyringError) -> Self {
        Self::Keys(Arc::new(error))
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        if let Fault::Segment(SegmentError::TooLarge { limit }) = fault {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            return Self::TooMany {
                what: "octets in a body",
                limit,
            };
        }
        let (what, transient) = (fault.to_string(), fault.is_transient());
        let damage = fault.is_damage();
        let source: Option<Box<dyn Error + Send + Sync>> = Some(Box::new(fault));
        match damage {
            true => Self::Damaged { what, source },
            false => Self::Unavailable {
                reason: what,
                transient,
                source,
            },
        }
    }
}

impl From<Fault> for SpoolError {
    fn from(fault: Fault) -> Self {
        Self::Store(fault.into())
    }
}

impl From<Fault> for DirectoryError {
    fn from(fault: Fault) -> Self {
        match fault.is_damage() {
            true => Self::Damaged(fault.to_string()),
            false => Self::Unavailable {
                reason: fault.to_string(),
                source: Some(Box::new(fault)),
            },
        }
    }
}

impl From<Fault> for StateError {
    fn from(fault: Fault) -> Self {
        match fault.is_damage() {
            true => Self::Damaged(fault.to_string()),
            false => Self::Unavailable {
                reason: fault.to_string(),
                transient: fault.is_transient(),
                source: Some(Box::new(fault)),
            },
        }
    }
}

/// Lets `?` take the errors beneath into a trait's error that takes up a [`Fault`].
macro_rules! from_beneath {
    ($($error:ty),*) => {$(
        impl From<EngineError> for $error {
            fn from(error: EngineError) -> Self {
                Fault::from(error).into()
            }
        }

        impl From<CommitError> for $error {
            fn from(error: CommitError) -> Self {
                Fault::from(error).into()
            }
        }

        impl From<SegmentError> for $error {
            fn from(error: SegmentError) -> Self {
                Fault::from(error).into()
            }
        }
    )*};
}

from_beneath!(StoreError, SpoolError, DirectoryError, StateError);
