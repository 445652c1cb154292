use super::{KeyGeneration, KeySet, SealError, random};
use chacha20poly1305::{AeadInOut, XNonce};
use serde::{Deserialize, Serialize};
use std::fmt;
use wm_core::BodyId;

/// Plaintext bytes in every chunk of a body but the last, which has fewer or as many.
pub const CHUNK: usize = 64 << 10;

/// Bytes that sealing adds to a chunk.
pub const TAG: usize = 16;

/// One attempt to write a body; the random part of its chunks' nonces.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct StreamId(pub(crate) [u8; 16]);

impl StreamId {
    pub(crate) fn generate() -> Result<Self, SealError> {
        random().map(Self)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({:032x})", u128::from_be_bytes(self.0))
    }
}

/// Where a chunk belongs. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub(crate) stream: StreamId,
    pub(crate) index: u32,
    /// Set for the last chunk of its body, and no other.
    pub(crate) last: Option<FinalFacts>,
}

/// What is known of a body when its last chunk is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FinalFacts {
    pub(crate) body: BodyId,
    /// Plaintext bytes of the whole body.
    pub(crate) size: u64,
}

impl KeySet {
    /// Seals the plaintext in `buffer[start..]` in place, and appends the tag.
    pub(crate) fn seal_chunk(
        &self,
        place: &ChunkPlace,
        buffer: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), SealError> {
        let chunk = buffer.get_mut(start..).ok_or(SealError::Malformed)?;
        let tag = self
            .newest()
            .chunks
            .encrypt_inout_detached(&place.nonce(), &self.chunk_context(place), chunk.into())
            .map_err(|_| SealError::Malformed)?;
        buffer.extend_from_slice(&tag);
        Ok(())
    }

    /// The plaintext of a sealed chunk.
    pub(crate) fn open_chunk(
        &self,
        generation: KeyGeneration,
        place: &ChunkPlace,
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let key = self.data_key(generation)?;
        let (body, tag) = sealed
            .split_last_chunk::<TAG>()
            .ok_or(SealError::Malformed)?;
        let mut chunk = body.to_vec();
        key.chunks
            .decrypt_inout_detached(
                &place.nonce(),
                &self.chunk_context(place),
                chunk.as_mut_slice().into(),
                &(*tag).into(),
            )
            .map_err(|_| SealError::NotAuthentic)?;
        Ok(chunk)
    }

    fn chunk_context(&self, place: &ChunkPlace) -> Vec<u8> {
        let mut context = Vec::with_capacity(16 + 32 + 8);
        context.extend_from_slice(&self.organization().as_u128().to_be_bytes());
        if let Some(FinalFacts { body, size }) = &place.last {
            context.extend_from_slice(&body.0);
            context.extend_from_slice(&size.to_be_bytes());
        }
        context
    }
}

impl ChunkPlace {
    fn nonce(&self) -> XNonce {
        let mut nonce = [0; 24];
        let (stream, rest) = nonce.split_at_mut(16);
        stream.copy_from_slice(&self.stream.0);
        let (index, last) = rest.split_at_mut(4);
        index.copy_from_slice(&self.index.to_be_bytes());
        last.fill(u8::from(self.last.is_some()));
        nonce.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wm_core::OrganizationId;

    fn keys() -> KeySet {
        KeySet::generate(OrganizationId::from_u128(1)).unwrap()
    }

    fn seal(keys: &KeySet, place: &ChunkPlace) -> Vec<u8> {
        let mut buffer = b"headersome plaintext".to_vec();
        keys.seal_chunk(place, &mut buffer, 6).unwrap();
        buffer.split_off(6)
    }

    #[test]
    fn a_chunk_opens_in_its_own_place_only() {
        let keys = keys();
        let facts = FinalFacts {
            body: BodyId([7; 32]),
            size: 14,
        };
        let place = ChunkPlace {
            stream: StreamId([1; 16]),
            index: 3,
            last: Some(facts),
        };
        let sealed = seal(&keys, &place);
        let open = |place: ChunkPlace| keys.open_chunk(KeyGeneration(1), &place, &sealed);

        assert_eq!(open(place).unwrap(), b"some plaintext");
        for elsewhere in [
            ChunkPlace {
                stream: StreamId([2; 16]),
                ..place
            },
            ChunkPlace { index: 4, ..place },
            ChunkPlace {
                last: None,
                ..place
            },
            ChunkPlace {
                last: Some(FinalFacts {
                    body: BodyId([8; 32]),
                    ..facts
                }),
                ..place
            },
            ChunkPlace {
                last: Some(FinalFacts { size: 15, ..facts }),
                ..place
            },
        ] {
            assert_eq!(
                open(elsewhere),
                Err(SealError::NotAuthentic),
                "{elsewhere:?}"
            );
        }
    }

    #[test]
    fn equal_chunks_of_two_streams_do_not_look_equal() {
        let keys = keys();
        let chunk = |index| {
            seal(
                &keys,
                &ChunkPlace {
                    stream: StreamId::generate().unwrap(),
                    index,
                    last: None,
                },
            )
        };
        assert_ne!(chunk(0), chunk(0));
    }

    #[test]
    fn a_chunk_of_a_key_that_is_gone_names_the_key() {
        let keys = keys();
        let place = ChunkPlace {
            stream: StreamId([1; 16]),
            index: 0,
            last: None,
        };
        let error = keys
            .open_chunk(KeyGeneration(9), &place, &seal(&keys, &place))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "organization m-00000000000000000000000000000001 has no data key 9"
        );
    }
}
