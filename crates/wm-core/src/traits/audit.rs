use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::DirectoryError;
use crate::{AccountId, OrganizationId, Timestamp};

/// What a management call did, as the CloudTrail record has it (AUD-1). Given to every change, so
/// that the change and the record of it are one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// A fresh id (`eventID`).
    pub id: u128,
    /// When (`eventTime`).
    pub at: Timestamp,
    /// Who (`userIdentity`): an access key id, a user, or `system`.
    pub identity: String,
    /// The call (`eventName`), such as `CreateUser`.
    pub name: String,
    /// The account the call was made in (`recipientAccountId`).
    pub account: AccountId,
    /// The organization it concerns, if any.
    pub organization: Option<OrganizationId>,
    /// Where it came from (`sourceIPAddress`).
    pub source_address: String,
    /// The caller's `userAgent`.
    pub user_agent: String,
    /// The call's `requestID`.
    pub request_id: String,
    /// `requestParameters` as JSON, secrets left out.
    pub parameters: String,
    /// What came of it.
    pub outcome: AuditOutcome,
}

/// What came of a management call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditOutcome {
    /// It succeeded; `responseElements` as JSON, or empty.
    Done(String),
    /// It was refused.
    Refused {
        /// `errorCode`
        code: String,
        /// `errorMessage`
        message: String,
    },
}

/// The audit log.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Adds an event that no change belongs to: a refused call, a read.
    async fn record(&self, event: AuditEvent) -> Result<(), AuditError>;

    /// Looks events up (AUD-2), newest first.
    async fn events(&self, query: AuditQuery) -> Result<Vec<AuditEvent>, AuditError>;
}

/// Which events to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    /// The account; nobody sees another's.
    pub account: AccountId,
    /// Only those of this organization.
    pub organization: Option<OrganizationId>,
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Events at most.
    pub limit: usize,
}

/// Why the log could not be read or written.
pub type AuditError = DirectoryError;
