use std::error::Error;
use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{BodyStream, BodyWriter, NewItem, Outcome, StoreError};
use crate::model::Origin;
use crate::traits::Body;
use crate::{
    AcceptId, AccountId, EmailAddress, MailboxRef, OrganizationId, TaskId, Timestamp, UserId,
};

/// Where responsibility for a message is taken, and the work that follows from it is kept.
///
/// [`accept`](Self::accept) commits everything a message causes at once: the items in local
/// mailboxes, the tasks (relay, report, journal, hook) and the limit counters. The protocol's OK
/// follows it, never precedes it. The rest of the trait is the durable side of the outbound queue:
/// tasks are leased, and completed or put off.
#[async_trait]
pub trait Spool: Send + Sync {
    /// Begins the message's body in this organization's storage.
    async fn body_writer(
        &self,
        organization: OrganizationId,
    ) -> Result<Box<dyn BodyWriter>, SpoolError>;

    /// Commits a message with all its effects, or nothing of it. When this answers `Ok`, it survives
    /// power loss. The same [`AcceptId`] again answers what it answered before and does nothing, for
    /// at least a day.
    async fn accept(&self, acceptance: Acceptance) -> Result<Accepted, SpoolError>;

    /// Leases at most `limit` tasks that are due at `now` and not leased, the longest due first. A
    /// lease that is neither completed nor put off by `until` has lapsed, and the task is due again.
    async fn lease(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Lease>, SpoolError>;

    /// The octets `range` of a leased task's message, its prefix included.
    async fn read(&self, lease: &Lease, range: Range<u64>) -> Result<BodyStream, SpoolError>;

    /// Ends a task; `follow_up` (a report to the sender, say) is committed with it. Completing a task
    /// twice, or under a lapsed lease that somebody else has taken, is [`SpoolError::LeaseLost`] and
    /// does nothing.
    async fn complete(&self, lease: Lease, follow_up: Option<Acceptance>)
    -> Result<(), SpoolError>;

    /// Puts a task off.
    ///
    /// # Errors
    /// [`SpoolError::LeaseLost`] as for [`complete`](Self::complete).
    async fn reschedule(&self, lease: Lease, reschedule: Reschedule) -> Result<(), SpoolError>;

    /// When the next task is due; `None` when there is none.
    async fn next_due(&self) -> Result<Option<Timestamp>, SpoolError>;

    /// The tasks of an organization, for people: at most `limit`, by id, after `after`.
    async fn tasks(
        &self,
        organization: OrganizationId,
        after: Option<TaskId>,
        limit: usize,
    ) -> Result<Vec<Task>, SpoolError>;
}

/// A message, and everything that accepting it causes.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The idempotency key.
    pub id: AcceptId,
    /// When.
    pub at: Timestamp,
    /// Who handed it over.
    pub origin: Origin,
    /// Items for local mailboxes, which may be of several organizations.
    pub deliveries: Vec<Delivery>,
    /// Work to be done later.
    pub tasks: Vec<NewTask>,
    /// Limits it counts against.
    pub counters: Vec<Counter>,
}

/// An item for a local mailbox.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The mailbox. It is materialised if it is not there yet.
    pub mailbox: MailboxRef,
    /// The address it was sent to. A mailbox reached by several addresses of one message gets one
    /// delivery.
    pub recipient: EmailAddress,
    /// The item.
    pub item: NewItem,
}

/// Work that follows from an accepted message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTask {
    /// The organization on whose behalf it is done.
    pub organization: OrganizationId,
    /// What is to be done.
    pub kind: TaskKind,
    /// The envelope's sender.
    pub reverse_path: ReversePath,
    /// The envelope's recipients.
    pub recipients: Vec<EmailAddress>,
    /// Octets in front of the body.
    pub prefix: Vec<u8>,
    /// The message.
    pub body: Body,
    /// What the kind needs beyond this (a gateway's name, a hook's target), written and read by the
    /// mail flow.
    pub detail: String,
    /// When it is due first.
    pub due: Timestamp,
}

/// What a task is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaskKind {
    /// Hand the message to another server (SMT-1, GWY-2).
    Relay,
    /// Tell the sender what became of the message (RFC 3464).
    Report,
    /// Write a journal record (JRN-1).
    Journal,
    /// Call an event hook (LMB-2).
    Hook,
}

/// The envelope's sender (RFC 5321 §4.1.1.2): an address, or none for reports. Written as MAIL and
/// Return-Path have it, in the spelling its sender used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReversePath(pub Option<EmailAddress>);

impl ReversePath {
    /// `<>`: nobody is told when this message fails.
    pub const NULL: Self = Self(None);
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(address) => write!(f, "<{}>", address.original()),
            None => f.write_str("<>"),
        }
    }
}

/// An amount counted against a daily limit (LIM-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// What is counted.
    pub scope: CounterScope,
    /// The day: days since 1970-01-01 UTC.
    pub day: u32,
    /// How much to add.
    pub amount: u64,
    /// The sum that may not be exceeded.
    pub limit: u64,
}

/// What a daily limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CounterScope {
    /// External recipients of an account.
    Account(AccountId),
    /// External recipients of a user.
    User(OrganizationId, UserId),
    /// Recipients of mail sent from an organization's test domain.
    TestDomain(OrganizationId),
}

/// A message that has been taken responsibility for.
#[derive(Debug)]
pub struct Accepted {
    /// What came of each delivery, in order; always [`Outcome::Item`].
    pub deliveries: Vec<Outcome>,
    /// The tasks, in order.
    pub tasks: Vec<TaskId>,
}

/// A task as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What is to be done.
    pub what: NewTask,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is due next.
    pub due: Timestamp,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// What the last attempt ended with; empty before it.
    pub last_error: String,
}

/// A task in somebody's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The task.
    pub task: Task,
    /// Tells this lease from any other of the task.
    pub token: u64,
}

/// How a task goes on after a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reschedule {
    /// When to try again.
    pub due: Timestamp,
    /// The recipients that remain.
    pub recipients: Vec<EmailAddress>,
    /// What the attempt ended with.
    pub error: String,
}

/// Why a message was not accepted, or a task not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// A local mailbox refused. Nothing of the message was committed; leave out this recipient and
    /// accept again under another id.
    #[error("delivery to {recipient} refused")]
    Delivery {
        /// For whom.
        recipient: EmailAddress,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// A daily limit would be exceeded.
    #[error("the daily limit of {} recipients is reached", .0.limit)]
    LimitReached(Counter),
    /// The task is done, or somebody else has it.
    #[error("task {0} is no longer leased by the caller")]
    LeaseLost(TaskId),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The acceptance makes no sense: no delivery and no task, or two deliveries to one mailbox.
    #[error("invalid acceptance: {0}")]
    Invalid(&'static str),
    /// Anything else.
    #[error("the spool is unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// The underlying error.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl SpoolError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) | Self::Delivery { source: error, .. } => error.is_transient(),
            Self::Unavailable { .. } => true,
            _ => false,
        }
    }
}
