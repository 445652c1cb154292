use super::Location;
use crate::seal::{CHUNK, ChunkPlace, FinalFacts, KeyGeneration, KeySet, SealError, StreamId, TAG};
use wm_core::{BodyId, OrganizationId};

/// Bytes before the sealed part of a record that is not its body's last.
pub(super) const HEAD: usize = 56;
/// Bytes before the chunk list of a body's last record.
pub(super) const LAST_HEAD: usize = HEAD + 40;
/// Bytes of one entry of the chunk list.
const ENTRY: usize = 8;
/// Most chunks of one body: 1 GiB.
pub(super) const MAX_CHUNKS: u32 = 1 << 14;
/// Length of the longest record.
pub(super) const MAX_RECORD: usize = LAST_HEAD + MAX_CHUNKS as usize * ENTRY + CHUNK + TAG;

/// First bytes of every record; the last is the format version.
pub(super) const MAGIC: [u8; 4] = *b"wmr\x01";

const ALGORITHM: u8 = 1;
const KIND_CHUNK: u8 = 1;
const KIND_LAST: u8 = 2;

/// One record of a segment, checksum verified, content still sealed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) organization: OrganizationId,
    pub(crate) generation: KeyGeneration,
    pub(crate) place: ChunkPlace,
    /// In a body's last record: where its other chunks are, in order.
    pub(crate) chunks: Vec<Location>,
    sealed: Vec<u8>,
}

impl Record {
    /// Seals `chunk` and frames it.
    pub(super) fn encode(
        keys: &KeySet,
        place: &ChunkPlace,
        chunks: &[Location],
        chunk: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let head = if place.last.is_some() {
            LAST_HEAD
        } else {
            HEAD
        };
        let length = head + chunks.len() * ENTRY + chunk.len() + TAG;
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        let kind = if place.last.is_some() {
            KIND_LAST
        } else {
            KIND_CHUNK
        };
        out.extend_from_slice(&[kind, ALGORITHM, 0, 0]);
        out.extend_from_slice(&keys.generation().0.to_le_bytes());
        out.extend_from_slice(&place.index.to_le_bytes());
        out.extend_from_slice(&keys.organization().as_u128().to_be_bytes());
        out.extend_from_slice(&place.stream.0);
        if let Some(FinalFacts { body, size }) = &place.last {
            out.extend_from_slice(&body.0);
            out.extend_from_slice(&size.to_le_bytes());
        }
        for location in chunks {
            out.extend_from_slice(&location.segment.to_le_bytes());
            out.extend_from_slice(&location.offset.to_le_bytes());
        }
        let start = out.len();
        out.extend_from_slice(chunk);
        keys.seal_chunk(place, &mut out, start)?;

        let sum = checksum(&out);
        if let Some(slot) = out.get_mut(4..8) {
            slot.copy_from_slice(&sum.to_le_bytes());
        }
        Ok(out)
    }

    /// Changes where the last record of a body, undamaged and of as many others, says that those
    /// are.
    pub(super) fn set_chunks(bytes: &mut [u8], chunks: &[Location]) {
        let list = bytes.get_mut(LAST_HEAD..).unwrap_or_default();
        for (entry, location) in list.chunks_exact_mut(ENTRY).zip(chunks) {
            let (segment, offset) = entry.split_at_mut(ENTRY / 2);
            segment.copy_from_slice(&location.segment.to_le_bytes());
            offset.copy_from_slice(&location.offset.to_le_bytes());
        }
        let sum = checksum(bytes);
        if let Some(slot) = bytes.get_mut(4..8) {
            slot.copy_from_slice(&sum.to_le_bytes());
        }
    }

    /// The record whose bytes these are, to the last one; `None` when they are not a whole and
    /// undamaged record.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if declared_length(bytes)? != bytes.len() {
            return None;
        }
        let mut cursor = Cursor(bytes.get(4..)?);
        if cursor.u32()? != checksum(bytes) {
            return None;
        }
        cursor.u32()?;
        let [kind, algorithm, _, _] = cursor.take()?;
        if algorithm != ALGORITHM {
            return None;
        }
        let generation = KeyGeneration(cursor.u32()?);
        let index = cursor.u32()?;
        let organization = OrganizationId::from_u128(u128::from_be_bytes(cursor.take()?));
        let stream = StreamId(cursor.take()?);
        let mut chunks = Vec::new();
        let last = match kind {
            KIND_CHUNK => None,
            KIND_LAST if index < MAX_CHUNKS => {
                let body = BodyId(cursor.take()?);
                let size = u64::from_le_bytes(cursor.take()?);
                for _ in 0..index {
                    chunks.push(Location {
                        segment: cursor.u32()?,
                        offset: cursor.u32()?,
                    });
                }
                Some(FinalFacts { body, size })
            }
            _ => return None,
        };
        let place = ChunkPlace {
            stream,
            index,
            last,
        };
        let sealed = cursor.0.to_vec();
        Some(Self {
            organization,
            generation,
            place,
            chunks,
            sealed,
        })
    }

    /// The plaintext.
    pub(super) fn open(&self, keys: &KeySet) -> Result<Vec<u8>, SealError> {
        keys.open_chunk(self.generation, &self.place, &self.sealed)
    }
}

/// The length a record's first bytes declare, if they can be those of a record.
pub(super) fn declared_length(bytes: &[u8]) -> Option<usize> {
    let mut cursor = Cursor(bytes.strip_prefix(&MAGIC)?);
    cursor.u32()?;
    let length = usize::try_from(cursor.u32()?).ok()?;
    (HEAD + TAG..=MAX_RECORD)
        .contains(&length)
        .then_some(length)
}

/// Length of the record of a chunk that is not its body's last.
pub(super) const CHUNK_RECORD: usize = HEAD + CHUNK + TAG;

/// Length of the last record of a body of `size` bytes.
pub(super) fn last_record(size: u64) -> Option<usize> {
    let index = last_index(size)?;
    let before = u64::from(index) * CHUNK as u64;
    let rest = usize::try_from(size - before).ok()?;
    Some(LAST_HEAD + index as usize * ENTRY + rest + TAG)
}

/// Index of the last chunk of a body of `size` bytes; `None` beyond [`MAX_CHUNKS`].
pub(super) fn last_index(size: u64) -> Option<u32> {
    let index = u32::try_from(size.saturating_sub(1) / CHUNK as u64).ok()?;
    (index < MAX_CHUNKS).then_some(index)
}

/// CRC-32 of everything behind the checksum itself.
fn checksum(record: &[u8]) -> u32 {
    crc32fast::hash(record.get(8..).unwrap_or_default())
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
}
