//! What compaction does to the segments: finds out what of them is needed, writes that anew at the
//! end of the log, and removes them.

use super::{
    Bodies, Location, ReadFault, SegmentError, StoredBody,
    record::{CHUNK_RECORD, Record, last_index, last_record},
};
use crate::seal::{CHUNK, ChunkPlace, FinalFacts};
use std::collections::{HashMap, HashSet};
use wm_core::OrganizationId;

/// A body and the places of its chunks, the last one aside.
pub(crate) struct Extent {
    pub(crate) body: StoredBody,
    pub(crate) chunks: Vec<Location>,
}

impl Extent {
    /// Whether any of it is in one of these segments.
    pub(crate) fn touches(&self, segments: &HashSet<u32>) -> bool {
        self.places().any(|place| segments.contains(&place.segment))
    }

    /// The segments it is in.
    pub(crate) fn places(&self) -> impl Iterator<Item = Location> + '_ {
        self.chunks.iter().copied().chain([self.body.last])
    }

    /// Adds what it takes to the octets needed of each segment.
    pub(crate) fn count(&self, needed: &mut HashMap<u32, u64>) {
        for chunk in &self.chunks {
            *needed.entry(chunk.segment).or_default() += CHUNK_RECORD as u64;
        }
        let last = last_record(self.body.size).unwrap_or(0);
        *needed.entry(self.body.last.segment).or_default() += last as u64;
    }
}

impl Bodies {
    /// The segments that nothing is appended to any more, with their sizes. Blocks.
    pub(crate) fn full_segments(&self) -> Result<Vec<(u32, u64)>, SegmentError> {
        self.log.full_segments()
    }

    /// Where a body is. Blocks, on the disk if the body has more than one chunk.
    pub(crate) fn extent(
        &self,
        organization: OrganizationId,
        body: StoredBody,
    ) -> Result<Extent, ReadFault> {
        let chunks = match body.size <= CHUNK as u64 {
            true => Vec::new(),
            false => self.last_record(organization, body)?.1.chunks,
        };
        Ok(Extent { body, chunks })
    }

    /// Condemns those of `segments` that can be: nothing that is being written or waits for its first
    /// reference is in them, and none of what they hold can be referred to anew. To be called in a
    /// request to the committer, so that every reference comes either before it or too late.
    pub(crate) fn condemn(&self, segments: &[u32]) -> HashSet<u32> {
        let condemned: HashSet<u32> = segments
            .iter()
            .copied()
            .filter(|segment| self.log.is_at_rest(*segment))
            .collect();
        self.finished.forget(&condemned);
        condemned
    }

    /// The organizations that have something in a segment. Blocks.
    pub(crate) fn owners(&self, segment: u32) -> Result<HashSet<OrganizationId>, SegmentError> {
        let mut owners = HashSet::new();
        for found in self.log.scan(segment)? {
            if let Ok((_, record)) = found? {
                owners.insert(record.organization);
            }
        }
        Ok(owners)
    }

    /// Writes what a body has in `segments` once more, at the end of the log, and its last record,
    /// which says where the others are. Blocks.
    pub(crate) fn rewrite(
        &self,
        organization: OrganizationId,
        body: StoredBody,
        segments: &HashSet<u32>,
    ) -> Result<Result<StoredBody, ReadFault>, SegmentError> {
        let (mut bytes, record) = match self.last_record(organization, body) {
            Ok(last) => last,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut chunks = record.chunks;
        for (index, chunk) in (0..).zip(&mut chunks) {
            if segments.contains(&chunk.segment) {
                let place = ChunkPlace {
                    stream: body.stream,
                    index,
                    last: None,
                };
                match self.whole_record(organization, *chunk, CHUNK_RECORD, &place) {
                    Ok((bytes, _)) => *chunk = self.log.append(&bytes)?,
                    Err(fault) => return Ok(Err(fault)),
                }
            }
        }
        Record::set_chunks(&mut bytes, &chunks);
        let last = self.log.append(&bytes)?;
        Ok(Ok(StoredBody { last, ..body }))
    }

    /// From here on, who has learnt of a body's old place is led to the new one.
    pub(crate) fn forward(&self, moved: impl IntoIterator<Item = (Location, Location)>) {
        self.log.forward(moved);
    }

    /// Forgets where bodies were before.
    pub(crate) fn forget_moves(&self) {
        self.log.forget_moves();
    }

    /// Removes segments that nothing refers to. Who is reading from one reads on. Blocks.
    pub(crate) fn remove(&self, segments: &[u32]) -> Result<(), SegmentError> {
        self.log.remove(segments)
    }

    fn last_record(
        &self,
        organization: OrganizationId,
        body: StoredBody,
    ) -> Result<(Vec<u8>, Record), ReadFault> {
        let (index, length) = last_index(body.size)
            .zip(last_record(body.size))
            .ok_or(ReadFault::Damaged)?;
        let place = ChunkPlace {
            stream: body.stream,
            index,
            last: Some(FinalFacts {
                body: body.id,
                size: body.size,
            }),
        };
        self.whole_record(organization, body.last, length, &place)
    }

    fn whole_record(
        &self,
        organization: OrganizationId,
        location: Location,
        length: usize,
        place: &ChunkPlace,
    ) -> Result<(Vec<u8>, Record), ReadFault> {
        let mut bytes = vec![0; length];
        self.log.read(location, &mut bytes)?;
        let record = Record::parse(&bytes)
            .filter(|record| record.organization == organization && record.place == *place)
            .ok_or(ReadFault::Damaged)?;
        Ok((bytes, record))
    }
}
