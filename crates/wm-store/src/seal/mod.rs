//! Encryption at rest (KEY-1).
//!
//! Every organization has its own secrets, a [`KeySet`]: on disk in a file of its own, wrapped by a
//! [`KeyService`](wm_core::traits::KeyService); in the clear in memory only. To shred an
//! organization is to destroy that file.
//!
//! | what | how |
//! |---|---|
//! | algorithm | XChaCha20-Poly1305, 256-bit keys, 192-bit nonces, 128-bit tags |
//! | data keys | numbered [`KeyGeneration`]s; the newest seals, all of them open |
//! | engine values | one message each, random nonce, the engine key as associated data |
//! | bodies | chunks of [`CHUNK`] bytes, each sealed by itself |
//! | body names | HMAC-SHA-256 of the content under a key that survives rotation |
//!
//! # Why no nonce repeats
//!
//! A data key is never used itself: one subkey for values and one for body chunks are derived from
//! it with HMAC-SHA-256, so the two kinds of nonces never meet under one key.
//!
//! *Values* take 192 random bits each. After 2⁴⁸ values under one key the chance that two nonces
//! ever met is 2⁻⁹⁷.
//!
//! *Chunks* use the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, 2015): the nonce is
//! the body's stream id (128 random bits, drawn anew for each attempt to write a body), the
//! chunk's index and the final flag. Within one stream no two chunks share index and flag; two
//! streams share an id with a chance of 2⁻³³ after 2⁴⁸ bodies. A stream is written once: moving it
//! to another segment copies the sealed bytes, and re-encryption under a new generation is under
//! another key. Dropping, repeating, swapping or cutting off chunks fails the tag, and so does a
//! body offered under another name, size or organization, because those are associated data.

mod chunk;
mod keyring;
mod keys;
mod local;
mod name;
mod value;

pub use chunk::{CHUNK, TAG};
pub(crate) use chunk::{ChunkPlace, FinalFacts, StreamId};
pub(crate) use keyring::Keyring;
pub use keyring::KeyringError;
pub use keys::{KeyGeneration, KeySet};
pub use local::LocalKeys;
pub(crate) use name::{BodyHasher, Namer};
pub(crate) use value::OVERHEAD;

use wm_core::OrganizationId;

/// Why something could not be sealed or opened. No variant carries content or a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The operating system gave no random bytes, and says why.
    #[error("no random bytes: {0}")]
    Random(String),
    /// The bytes are not what was sealed in this place: damaged, moved here, or sealed with
    /// another key of the same number.
    #[error("sealed data is damaged or out of place")]
    NotAuthentic,
    /// Too short or not of a known shape.
    #[error("sealed data is malformed")]
    Malformed,
    /// Written by a newer version.
    #[error("sealed data has format {found}, this version reads up to {supported}")]
    NewerFormat {
        /// The format found.
        found: u8,
        /// The newest format this version opens.
        supported: u8,
    },
    /// The key set has no such data key.
    #[error("organization {organization} has no data key {generation}")]
    NoSuchKey {
        /// Whose data it is.
        organization: OrganizationId,
        /// The data key asked for.
        generation: KeyGeneration,
    },
}

/// Bytes of the operating system's random source.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| SealError::Random(error.to_string()))?;
    Ok(bytes)
}
