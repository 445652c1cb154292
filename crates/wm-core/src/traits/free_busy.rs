use std::error::Error;

use async_trait::async_trait;

use crate::model::Principal;
use crate::{EmailAddress, Timestamp};

/// Busy times of a calendar, here or on another server (EWS-3, XCH-2).
#[async_trait]
pub trait FreeBusy: Send + Sync {
    /// The busy times of `of` between `from` and `until`, as far as `requester` may see them.
    async fn busy(
        &self,
        requester: &Principal,
        of: &EmailAddress,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<BusyTime>, FreeBusyError>;
}

/// A stretch of time that is not free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusyTime {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end, excluded.
    pub until: Timestamp,
    /// In what way.
    pub kind: BusyKind,
    /// Subject and place, where the requester may see them.
    pub details: Option<(String, String)>,
}

/// In what way time is not free (EWS `LegacyFreeBusyStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BusyKind {
    /// Perhaps busy.
    Tentative,
    /// Busy.
    Busy,
    /// Out of office.
    OutOfOffice,
    /// Working somewhere else.
    WorkingElsewhere,
}

/// Why busy times are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FreeBusyError {
    /// No such calendar.
    #[error("there is no mailbox {0}")]
    NoSuchMailbox(EmailAddress),
    /// The requester may not see it.
    #[error("permission denied")]
    Denied,
    /// The other server's address, user name or certificate does not work.
    #[error("availability settings do not work: {0}")]
    Misconfigured(String),
    /// It cannot be reached at present.
    #[error("the calendar is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}
