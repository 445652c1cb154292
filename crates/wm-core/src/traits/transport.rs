use std::error::Error;

use async_trait::async_trait;

use super::{BodyStream, ReversePath};
use crate::{DomainName, EmailAddress};

/// Hands messages to other servers.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Hands over one message; answers an outcome per recipient, in order.
    ///
    /// # Errors
    /// When the next hop was not reached or gave no answer: the same for every recipient.
    async fn send(
        &self,
        next_hop: &NextHop,
        reverse_path: &ReversePath,
        recipients: &[EmailAddress],
        size: u64,
        message: BodyStream,
    ) -> Result<Vec<RecipientOutcome>, TransportError>;
}

/// Where a message goes next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// The mail exchangers of a domain (RFC 5321 §5.1).
    Domain(DomainName),
    /// A gateway of the organization, by name (GWY-1).
    Gateway(String),
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientOutcome {
    /// The next hop has taken responsibility; its reply.
    Delivered(String),
    /// It may work later (4yz); its reply.
    Deferred(String),
    /// It never will (5yz); its reply.
    Failed(String),
}

/// A hand-over that did not come about.
#[derive(Debug, thiserror::Error)]
#[error("{next_hop}: {reason}")]
pub struct TransportError {
    /// The server or gateway.
    pub next_hop: String,
    /// What happened.
    pub reason: String,
    /// Whether a later attempt may succeed.
    pub transient: bool,
    /// The underlying error.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}
