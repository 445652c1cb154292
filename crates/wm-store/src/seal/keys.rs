use super::{Namer, SealError, random};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use wm_core::{OrganizationId, Secret};
use zeroize::Zeroizing;

/// The number of a data key within its organization, rising with each rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyGeneration(pub u32);

impl fmt::Display for KeyGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The secrets of one organization.
pub struct KeySet {
    organization: OrganizationId,
    /// Names things. Never rotated: under another key nothing would be found again.
    pub(super) names: Secret<[u8; 32]>,
    /// Rising generations; never empty.
    older: Vec<DataKey>,
    newest: DataKey,
}

/// What one generation seals with.
pub(super) struct DataKey {
    pub(super) generation: KeyGeneration,
    secret: Secret<[u8; 32]>,
    pub(super) values: XChaCha20Poly1305,
    pub(super) chunks: XChaCha20Poly1305,
}

impl KeySet {
    /// New secrets for an organization, with data key 1.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn generate(organization: OrganizationId) -> Result<Self, SealError> {
        Ok(Self {
            organization,
            names: Secret::new(random()?),
            older: Vec::new(),
            newest: DataKey::new(KeyGeneration(1), Secret::new(random()?)),
        })
    }

    /// The same secrets with one more data key, which seals from now on. What older keys sealed
    /// stays readable.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn rotate(mut self) -> Result<Self, SealError> {
        let next = KeyGeneration(self.newest.generation.0.saturating_add(1));
        let newest = DataKey::new(next, Secret::new(random()?));
        self.older.push(std::mem::replace(&mut self.newest, newest));
        Ok(self)
    }

    /// Whose secrets these are.
    #[must_use]
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// The data key that seals.
    #[must_use]
    pub fn generation(&self) -> KeyGeneration {
        self.newest.generation
    }

    /// Tells this set from any other, and nothing else about it.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Namer::new(self, "wm key set").name()
    }

    pub(super) fn newest(&self) -> &DataKey {
        &self.newest
    }

    pub(super) fn data_key(&self, generation: KeyGeneration) -> Result<&DataKey, SealError> {
        std::iter::once(&self.newest)
            .chain(&self.older)
            .find(|key| key.generation == generation)
            .ok_or(SealError::NoSuchKey {
                organization: self.organization,
                generation,
            })
    }

    /// The set as bytes, to be wrapped.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Large enough from the start: growing would leave a copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(32 + 36 * (self.older.len() + 1)));
        bytes.extend_from_slice(self.names.expose());
        for key in self.older.iter().chain([&self.newest]) {
            bytes.extend_from_slice(&key.generation.0.to_le_bytes());
            bytes.extend_from_slice(key.secret.expose());
        }
        bytes
    }

    /// The set that [`to_bytes`](Self::to_bytes) wrote.
    pub(super) fn from_bytes(organization: OrganizationId, bytes: &[u8]) -> Option<Self> {
        let (names, mut rest) = bytes.split_first_chunk()?;
        let mut older = Vec::new();
        while let Some((generation, after)) = rest.split_first_chunk() {
            let (secret, after) = after.split_first_chunk()?;
            let generation = KeyGeneration(u32::from_le_bytes(*generation));
            older.push(DataKey::new(generation, Secret::new(*secret)));
            rest = after;
        }
        let newest = older.pop().filter(|_| rest.is_empty())?;
        Some(Self {
            organization,
            names: Secret::new(*names),
            older,
            newest,
        })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("organization", &self.organization)
            .field("generation", &self.newest.generation)
            .finish_non_exhaustive()
    }
}

impl DataKey {
    fn new(generation: KeyGeneration, secret: Secret<[u8; 32]>) -> Self {
        let values = subkey(&secret, b"wm engine values");
        let chunks = subkey(&secret, b"wm body chunks");
        Self {
            generation,
            secret,
            values,
            chunks,
        }
    }
}

fn subkey(secret: &Secret<[u8; 32]>, purpose: &[u8]) -> XChaCha20Poly1305 {
    let mut mac = hmac(secret);
    mac.update(purpose);
    let key = Secret::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
    XChaCha20Poly1305::new(key.expose().into())
}

/// HMAC-SHA-256. A key shorter than the hash's block is padded with zeros (RFC 2104 §2).
pub(super) fn hmac(key: &Secret<[u8; 32]>) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    let (head, _) = block.split_at_mut(32);
    head.copy_from_slice(key.expose());
    KeyInit::new((&*block).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        // Test case 2 has the key "Jefe"; zeros at its end do not change the result.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mut mac = hmac(&Secret::new(key));
        mac.update(b"what do ya want for nothing?");
        assert_eq!(
            mac.finalize().into_bytes()[..8],
            [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]
        );
    }
}
