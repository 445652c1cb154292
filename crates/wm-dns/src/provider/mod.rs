//! Getting records into a zone (DOM-6): first a [`Plan`], which is to be shown; then its additions, and
//! nothing else. A provider is whatever can read and extend a zone.

mod plan;
#[cfg(feature = "rfc2136")]
pub mod rfc2136;
#[cfg(feature = "route53")]
pub mod route53;

use async_trait::async_trait;
use wm_core::traits::{DnsName, Record};

use crate::records::RequiredRecords;

pub use plan::{Conflict, Plan};

/// A DNS service that lets records be read and added. There is no way to remove one: what
/// is not ours stays, and what is ours is right.
#[async_trait]
pub trait DnsProvider: Send + Sync {
    /// The records that the zone holds at these names, of every type that can be required there, and
    /// the aliases. Names that do not exist hold none.
    ///
    /// # Errors
    /// When they cannot be read completely.
    async fn records(&self, names: &[DnsName]) -> Result<Vec<Record>, ProviderError>;

    /// Adds records, all or none, provided that their names still hold what was `seen` there when
    /// this was decided: neither a record that was added in the meantime is lost, nor is one of ours put
    /// beside it.
    ///
    /// # Errors
    /// [`ProviderError::Changed`] when something else is there by now; others when the service refuses,
    /// or does not say that it has done it. A plan made anew then shows what was added.
    async fn add(&self, records: &[Record], seen: &[Record]) -> Result<(), ProviderError>;
}

/// Why a provider did not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The credentials do not allow it.
    #[error("the DNS service does not accept the credentials: {0}")]
    Denied(String),
    /// The zone does not hold any more what the plan was made from.
    #[error("the zone has been changed in the meantime: {0}")]
    Changed(String),
    /// The service refuses the change, or answers something else than it should.
    #[error("the DNS service refuses: {0}")]
    Refused(String),
    /// The service cannot be reached, or gives no answer.
    #[error("the DNS service cannot be reached: {0}")]
    Unreachable(String),
}

impl Plan {
    /// What has to be done in a provider's zone.
    ///
    /// # Errors
    /// When the zone cannot be read.
    pub async fn with(
        provider: &dyn DnsProvider,
        required: &RequiredRecords,
    ) -> Result<Self, ProviderError> {
        let present = provider.records(&Self::names(required)).await?;
        Ok(Self::new(required, &present))
    }

    /// Does it: adds what is to be added. Asks nothing of the provider when that is nothing.
    ///
    /// # Errors
    /// When the provider does not confirm the additions.
    pub async fn apply(&self, provider: &dyn DnsProvider) -> Result<(), ProviderError> {
        if self.add.is_empty() {
            return Ok(());
        }
        provider.add(&self.add, &self.seen).await
    }
}
