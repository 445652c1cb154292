use async_trait::async_trait;

use crate::{EmailAddress, OrganizationId};

/// Judges whether a message is spam (SMT-3). Asked only where the flow rules leave it open.
#[async_trait]
pub trait SpamFilter: Send + Sync {
    /// Judges a message by its first octets (as many as the mail flow keeps in memory) and the
    /// results of sender authentication, as an Authentication-Results value (RFC 8601).
    async fn judge(
        &self,
        organization: OrganizationId,
        recipient: &EmailAddress,
        beginning: &[u8],
        authentication: &str,
    ) -> SpamVerdict;
}

/// What a filter thinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpamVerdict {
    /// Into the inbox.
    Ham,
    /// Into the junk folder.
    Spam {
        /// Why, for the trace header.
        reason: String,
    },
}
