use std::error::Error;

use async_trait::async_trait;

use super::{Accepted, Body, ReversePath};
use crate::model::{Origin, Principal, Summary};
use crate::{EmailAddress, FolderId};

/// Sends a message on behalf of somebody logged in: what EWS CreateItem, ActiveSync SendMail and a
/// webmail call. Permission to use the sender (PRM-3), limits (LIM-2), flow rules and the copy in
/// Sent are its business; implemented by the mail flow.
#[async_trait]
pub trait Submit: Send + Sync {
    /// Sends. When this answers `Ok`, the message survives power loss.
    async fn submit(&self, submission: Submission) -> Result<Accepted, SubmitError>;
}

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Who sends.
    pub principal: Principal,
    /// Through what.
    pub origin: Origin,
    /// The envelope's sender.
    pub reverse_path: ReversePath,
    /// The envelope's recipients, Bcc included.
    pub recipients: Vec<EmailAddress>,
    /// The message, already written.
    pub body: Body,
    /// Its header, for permission and rules: as much of the beginning as holds it.
    pub header: Vec<u8>,
    /// What lists show of it.
    pub summary: Summary,
    /// Where the sender's copy goes; `None` for no copy.
    pub copy_to: Option<FolderId>,
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The sender may not use this address (PRM-3).
    #[error("{principal} may not send as {address}")]
    NotPermitted {
        /// Who tried.
        principal: EmailAddress,
        /// The address in From or Sender.
        address: EmailAddress,
    },
    /// A recipient that cannot be written to.
    #[error("{recipient}: {reason}")]
    Recipient {
        /// Which.
        recipient: EmailAddress,
        /// Why.
        reason: String,
    },
    /// A limit is reached.
    #[error("{0}")]
    Limit(String),
    /// It could not be done at present.
    #[error("the message could not be sent")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}
