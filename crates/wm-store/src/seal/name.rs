use super::{KeySet, keys::hmac};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use wm_core::{BodyId, Secret};

/// Names things by their content: HMAC-SHA-256 under a key of the organization that survives
/// rotation, one for each purpose.
///
/// Equal content of one organization gets equal names for good; who does not hold the key can
/// neither confirm that something he knows is stored nor find two contents with one name.
pub(crate) struct Namer(Hmac<Sha256>);

impl Namer {
    pub(crate) fn new(keys: &KeySet, purpose: &'static str) -> Self {
        let mut subkey = hmac(&keys.names);
        subkey.update(purpose.as_bytes());
        Self(hmac(&Secret::new(subkey.finalize().into_bytes().into())))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The name of what was seen so far.
    pub(crate) fn name(&self) -> [u8; 32] {
        self.0.clone().finalize().into_bytes().into()
    }
}

/// Names a body while it streams by.
pub(crate) struct BodyHasher(Namer);

impl BodyHasher {
    pub(crate) fn new(keys: &KeySet) -> Self {
        Self(Namer::new(keys, "wm body"))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The name of what was seen so far.
    pub(crate) fn name(&self) -> BodyId {
        BodyId(self.0.name())
    }
}
