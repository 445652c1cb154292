use std::error::Error;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::Protocol;
use crate::{MailboxRef, Timestamp};

/// Small durable records that protocols keep per mailbox and client: ActiveSync sync keys and device
/// states, EWS subscriptions. Compare-and-swap, so that two connections of one client cannot undo
/// each other's step; expiry, so that what no client asks for any more goes away.
#[async_trait]
pub trait ProtocolState: Send + Sync {
    /// The record, unless there is none or it expired at `now` or before.
    async fn load(&self, key: &StateKey, now: Timestamp)
    -> Result<Option<StateRecord>, StateError>;

    /// Replaces the record whose version is `expected` (`None`: makes it where there is none) and
    /// answers the new version once that is durable. Versions of one key never repeat.
    ///
    /// # Errors
    /// [`StateError::Conflict`] when the present version is another; [`StateError::TooLarge`].
    async fn store(
        &self,
        key: &StateKey,
        expected: Option<StateVersion>,
        value: Bytes,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<StateVersion, StateError>;

    /// Removes the record, whatever its version; there may be none.
    async fn remove(&self, key: &StateKey) -> Result<(), StateError>;

    /// The keys of a mailbox's live records for a protocol, in order.
    async fn keys(
        &self,
        mailbox: MailboxRef,
        protocol: Protocol,
        now: Timestamp,
    ) -> Result<Vec<StateKey>, StateError>;

    /// Drops at most `limit` expired records; answers how many.
    async fn expire(&self, now: Timestamp, limit: usize) -> Result<usize, StateError>;
}

/// Octets of one record, at most.
pub const STATE_RECORD_SIZE: usize = 1 << 20;

/// The name of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateKey {
    /// The mailbox it belongs to.
    pub mailbox: MailboxRef,
    /// The protocol.
    pub protocol: Protocol,
    /// The client: an ActiveSync device id, an EWS subscription id.
    pub client: String,
    /// The record among the client's: `folders`, `sync/42`.
    pub name: String,
}

/// A record as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRecord {
    /// Changes with every store.
    pub version: StateVersion,
    /// What the protocol keeps.
    pub value: Bytes,
    /// When it goes away; [`Timestamp::MAX`] for never.
    pub expires: Timestamp,
}

/// The version of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateVersion(pub u64);

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Somebody else was first.
    #[error("the record has changed: it is at version {present:?}")]
    Conflict {
        /// The present version; `None` when there is no record.
        present: Option<StateVersion>,
    },
    /// More than [`STATE_RECORD_SIZE`].
    #[error("a record of {size} octets is too large")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// The record does not verify.
    #[error("damaged record: {0}")]
    Damaged(String),
    /// The store cannot work at present.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// Whether the same call may succeed later.
        transient: bool,
        /// The underlying error.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl StateError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable {
                transient: true,
                ..
            }
        )
    }
}
