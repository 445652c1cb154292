use std::error::Error;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{OrganizationId, Secret};

/// Wraps and unwraps the data keys of organizations under master keys (KEY-1): a local file, or a
/// key management service. Losing the master key makes the content unreadable; that is its purpose.
#[async_trait]
pub trait KeyService: Send + Sync {
    /// Wraps a fresh data key under the organization's present master key.
    async fn wrap(
        &self,
        organization: OrganizationId,
        key: &Secret<[u8; 32]>,
    ) -> Result<WrappedKey, KeyError>;

    /// Unwraps a data key.
    async fn unwrap(
        &self,
        organization: OrganizationId,
        key: &WrappedKey,
    ) -> Result<Secret<[u8; 32]>, KeyError>;
}

/// A data key that only its master key opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// The master key's name, shown in errors.
    pub master: String,
    /// The sealed data key, with all that the service needs to open it.
    pub sealed: Vec<u8>,
}

/// Why a key could not be wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The service does not have the master key.
    #[error("the master key {master:?} is missing")]
    Missing {
        /// Its name.
        master: String,
    },
    /// The key does not open with this master key.
    #[error("the master key {master:?} does not open this data key")]
    Wrong {
        /// Its name.
        master: String,
    },
    /// The service cannot be reached at present.
    #[error("the key service is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl KeyError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
