use super::{KeyGeneration, KeySet, SealError, TAG, random};
use chacha20poly1305::{AeadInOut, XNonce};

/// Format of a sealed value: `1`, generation (`u32`, little-endian), nonce (24 bytes), ciphertext,
/// tag (16 bytes).
const FORMAT: u8 = 1;
const HEADER: usize = 1 + 4 + 24;
/// Bytes by which sealing makes a value longer.
pub(crate) const OVERHEAD: usize = HEADER + TAG;

impl KeySet {
    /// Seals the value that is to stand under `engine_key`; it opens under no other key.
    /// The result is 45 bytes longer.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal_value(&self, engine_key: &[u8], value: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.newest();
        let nonce: [u8; 24] = random()?;
        let mut sealed = Vec::with_capacity(HEADER + value.len() + TAG);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&key.generation.0.to_le_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);

        let (_, body) = sealed.split_at_mut(HEADER);
        let tag = key
            .values
            .encrypt_inout_detached(&XNonce::from(nonce), engine_key, body.into())
            .map_err(|_| SealError::Malformed)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// The value that was sealed for `engine_key`.
    ///
    /// # Errors
    /// [`SealError::NotAuthentic`], [`SealError::Malformed`], [`SealError::NewerFormat`],
    /// [`SealError::NoSuchKey`].
    pub fn open_value(&self, engine_key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (&format, rest) = sealed.split_first().ok_or(SealError::Malformed)?;
        if format != FORMAT {
            return Err(SealError::NewerFormat {
                found: format,
                supported: FORMAT,
            });
        }
        let (generation, rest) = rest.split_first_chunk().ok_or(SealError::Malformed)?;
        let (nonce, rest) = rest.split_first_chunk::<24>().ok_or(SealError::Malformed)?;
        let (body, tag) = rest.split_last_chunk::<TAG>().ok_or(SealError::Malformed)?;

        let key = self.data_key(KeyGeneration(u32::from_le_bytes(*generation)))?;
        let mut value = body.to_vec();
        key.values
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                engine_key,
                value.as_mut_slice().into(),
                &(*tag).into(),
            )
            .map_err(|_| SealError::NotAuthentic)?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wm_core::OrganizationId;

    fn keys(organization: u128) -> KeySet {
        KeySet::generate(OrganizationId::from_u128(organization)).unwrap()
    }

    #[test]
    fn a_value_opens_under_its_own_engine_key_only() {
        let keys = keys(1);
        let sealed = keys.seal_value(b"item/7", b"Subject: lunch").unwrap();
        assert_eq!(
            keys.open_value(b"item/7", &sealed).unwrap(),
            b"Subject: lunch"
        );
        assert_eq!(
            keys.open_value(b"item/8", &sealed),
            Err(SealError::NotAuthentic)
        );
    }

    #[test]
    fn equal_values_do_not_look_equal() {
        let keys = keys(1);
        let seal = || keys.seal_value(b"k", b"same").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let keys = keys(1);
        let sealed = keys.seal_value(b"k", b"value").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.open_value(b"k", &damaged).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(
                keys.open_value(b"k", &sealed[..length]).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn rotation_seals_anew_and_opens_the_old() {
        let keys = keys(1);
        let old = keys.seal_value(b"k", b"old").unwrap();
        let keys = keys.rotate().unwrap();
        let new = keys.seal_value(b"k", b"new").unwrap();
        assert_eq!(keys.generation(), KeyGeneration(2));
        assert_ne!(old[1..5], new[1..5]);
        assert_eq!(keys.open_value(b"k", &old).unwrap(), b"old");
        assert_eq!(keys.open_value(b"k", &new).unwrap(), b"new");
    }

    #[test]
    fn an_organization_opens_nothing_of_another() {
        let sealed = keys(1).seal_value(b"k", b"value").unwrap();
        assert_eq!(
            keys(2).open_value(b"k", &sealed),
            Err(SealError::NotAuthentic)
        );
    }
}
