use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{AuditEvent, DirectoryError};
use crate::OrganizationId;

/// The settings of an organization, as documents: flow rules, gateways, journaling, policies. Their
/// content is the business of the crate that owns the subject; the store keeps them whole, with
/// versions, each change together with its audit event.
#[async_trait]
pub trait ConfigStore: Send + Sync {
    /// A document.
    async fn load(
        &self,
        organization: OrganizationId,
        key: &ConfigKey,
    ) -> Result<Option<ConfigDocument>, DirectoryError>;

    /// The names of the documents of a kind, in order.
    async fn names(
        &self,
        organization: OrganizationId,
        kind: ConfigKind,
    ) -> Result<Vec<String>, DirectoryError>;

    /// Replaces the document whose version is `expected` (`None`: makes it where there is none), or
    /// removes it where `value` is `None`. Answers the new version.
    ///
    /// # Errors
    /// [`DirectoryError::WrongState`] when the present version is another.
    async fn store(
        &self,
        organization: OrganizationId,
        key: &ConfigKey,
        expected: Option<u64>,
        value: Option<Vec<u8>>,
        audit: AuditEvent,
    ) -> Result<u64, DirectoryError>;
}

/// The name of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConfigKey {
    /// What it is about.
    pub kind: ConfigKind,
    /// Its name among those of the kind; empty where there is one only.
    pub name: String,
}

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ConfigKind {
    /// Email flow rules, both directions.
    FlowRules,
    /// An SMTP gateway (GWY-1).
    Gateway,
    /// Journaling (JRN-1).
    Journaling,
    /// The mobile device policy (EAS-2).
    DevicePolicy,
    /// Anything else, by name.
    Setting,
}

/// A document as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigDocument {
    /// Changes with every store; never repeats for one key.
    pub version: u64,
    /// The content.
    pub value: Vec<u8>,
}
