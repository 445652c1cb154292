use super::{
    Bodies, Location, ReadFault, SegmentError, SegmentFile, StoredBody,
    log::{Log, read_fault},
    record::{CHUNK_RECORD, Record, last_index, last_record},
};
use crate::seal::{CHUNK, ChunkPlace, FinalFacts, KeySet};
use bytes::Bytes;
use futures::{
    TryFutureExt,
    channel::oneshot,
    stream::{self, BoxStream, StreamExt},
};
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// Chunks that are being read at a time for one consumer.
const READ_AHEAD: usize = 2;

impl Bodies {
    /// The bytes of `range` (cut to the body's size) in order, each chunk verified before its first
    /// byte is given out.
    pub(crate) fn read(
        &self,
        keys: Arc<KeySet>,
        body: StoredBody,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, SegmentError>> {
        let range = range.start..range.end.min(body.size);
        if range.is_empty() {
            return stream::empty().boxed();
        }
        let (log, readers) = (self.log.clone(), self.readers.clone());
        if body.size <= CHUNK as u64 {
            let part = move || OpenBody::new(log, keys, body)?.part(0, &range);
            return stream::once(answer(readers.run(part))).boxed();
        }
        let open = readers.run(move || OpenBody::new(log, keys, body).map(Arc::new));
        let parts = move |body: Arc<OpenBody>| {
            stream::iter(indexes(&range))
                .map(move |index| {
                    let (body, range) = (body.clone(), range.clone());
                    answer(readers.run(move || body.part(index, &range)))
                })
                .buffered(READ_AHEAD)
        };
        answer(open).map_ok(parts).try_flatten_stream().boxed()
    }
}

impl Bodies {
    /// Reads a whole body to see whether it can be. Blocks.
    pub(crate) fn verify(&self, keys: &Arc<KeySet>, body: StoredBody) -> Result<(), SegmentError> {
        let body = OpenBody::new(self.log.clone(), keys.clone(), body)?;
        (0..=body.last_index).try_for_each(|index| body.chunk(index).map(drop))
    }
}

/// A body whose last record, which lists the other chunks, has been read. It can be read to its end
/// though compaction moves it meanwhile: it keeps its segments open.
struct OpenBody {
    segments: BTreeMap<u32, Arc<dyn SegmentFile>>,
    keys: Arc<KeySet>,
    body: StoredBody,
    last: Record,
    last_index: u32,
}

impl OpenBody {
    fn new(log: Arc<Log>, keys: Arc<KeySet>, mut body: StoredBody) -> Result<Self, SegmentError> {
        loop {
            let opened = Self::at(&log, keys.clone(), body);
            // Who has learnt where a body is may come when it has been moved.
            match log.moved_to(body.last) {
                Some(last) if opened.is_err() => body.last = last,
                _ => return opened,
            }
        }
    }

    fn at(log: &Log, keys: Arc<KeySet>, body: StoredBody) -> Result<Self, SegmentError> {
        let unreadable = |fault| body.unreadable(&keys, 0, body.last, fault);
        let (last_index, length) = last_index(body.size)
            .zip(last_record(body.size))
            .ok_or_else(|| unreadable(ReadFault::Damaged))?;
        let place = ChunkPlace {
            stream: body.stream,
            index: last_index,
            last: Some(FinalFacts {
                body: body.id,
                size: body.size,
            }),
        };
        let mut segments = BTreeMap::new();
        let last = open(log, &mut segments, body.last.segment)
            .and_then(|file| record(&*file, &keys, body.last, length, &place))
            .map_err(|fault| body.unreadable(&keys, last_index, body.last, fault))?;
        for (index, chunk) in (0..).zip(&last.chunks) {
            // One that is lost costs its own chunks, and nothing when others are asked for.
            if let Err(fault) = open(log, &mut segments, chunk.segment)
                && log.moved_to(body.last).is_some()
            {
                return Err(body.unreadable(&keys, index, *chunk, fault));
            }
        }
        Ok(Self {
            segments,
            keys,
            body,
            last,
            last_index,
        })
    }

    /// The bytes of `range` that are in one chunk.
    fn part(&self, index: u32, range: &Range<u64>) -> Result<Bytes, SegmentError> {
        let chunk = Bytes::from(self.chunk(index)?);
        let begin = u64::from(index) * CHUNK as u64;
        let within = |at: u64| {
            usize::try_from(at.saturating_sub(begin)).map_or(chunk.len(), |at| at.min(chunk.len()))
        };
        Ok(chunk.slice(within(range.start)..within(range.end)))
    }

    fn chunk(&self, index: u32) -> Result<Vec<u8>, SegmentError> {
        let (location, result) = if index == self.last_index {
            (
                self.body.last,
                self.last.open(&self.keys).map_err(ReadFault::Sealed),
            )
        } else {
            let place = ChunkPlace {
                stream: self.body.stream,
                index,
                last: None,
            };
            let location = self.last.chunks.get(index as usize).copied();
            let location = location.unwrap_or(Location::START);
            let file = self.segments.get(&location.segment);
            let record = file
                .ok_or(ReadFault::Damaged)
                .and_then(|file| record(&**file, &self.keys, location, CHUNK_RECORD, &place));
            let open = |record: Record| record.open(&self.keys).map_err(ReadFault::Sealed);
            (location, record.and_then(open))
        };
        result.map_err(|fault| self.body.unreadable(&self.keys, index, location, fault))
    }
}

impl StoredBody {
    fn unreadable(
        &self,
        keys: &KeySet,
        chunk: u32,
        location: Location,
        fault: ReadFault,
    ) -> SegmentError {
        SegmentError::Unreadable {
            organization: keys.organization(),
            body: self.id,
            chunk,
            segment: location.segment,
            fault,
        }
    }
}

/// The file of a segment, which `opened` has from then on.
fn open(
    log: &Log,
    opened: &mut BTreeMap<u32, Arc<dyn SegmentFile>>,
    segment: u32,
) -> Result<Arc<dyn SegmentFile>, ReadFault> {
    if let Some(file) = opened.get(&segment) {
        return Ok(file.clone());
    }
    let file = log.file(segment).map_err(read_fault)?;
    opened.insert(segment, file.clone());
    Ok(file)
}

/// The record at `location`, if it is the one of `place`.
fn record(
    file: &dyn SegmentFile,
    keys: &KeySet,
    location: Location,
    length: usize,
    place: &ChunkPlace,
) -> Result<Record, ReadFault> {
    let mut bytes = vec![0; length];
    file.read_at(&mut bytes, location.offset.into())
        .map_err(read_fault)?;
    Record::parse(&bytes)
        .filter(|record| record.organization == keys.organization() && record.place == *place)
        .ok_or(ReadFault::Damaged)
}

fn indexes(range: &Range<u64>) -> Range<u32> {
    let index = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
    index(range.start / CHUNK as u64)..index(range.end.div_ceil(CHUNK as u64))
}

async fn answer<T>(job: oneshot::Receiver<Result<T, SegmentError>>) -> Result<T, SegmentError> {
    job.await.unwrap_or(Err(SegmentError::Closed))
}
