use super::{KeySet, keys::hmac};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use wm_core::BodyId;

/// Names a body while it streams by: HMAC-SHA-256 of the content under the organization's name key.
///
/// Equal bodies of an organization get equal names for good; who does not hold the key can neither
/// confirm that a file he has is stored nor find two files with one name.
pub(crate) struct BodyHasher(Hmac<Sha256>);

impl BodyHasher {
    pub(crate) fn new(keys: &KeySet) -> Self {
        Self(hmac(&keys.names))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The name of what was seen so far.
    pub(crate) fn name(&self) -> BodyId {
        BodyId(self.0.clone().finalize().into_bytes().into())
    }
}
