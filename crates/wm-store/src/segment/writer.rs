use super::{
    Bodies, Location, MAX_BODY, SegmentError, StoredBody,
    log::{Log, Pin},
    record::Record,
};
use crate::seal::{BodyHasher, CHUNK, ChunkPlace, FinalFacts, KeySet, StreamId};
use futures::channel::oneshot;
use std::{fmt, mem, sync::Arc};

/// Takes a body in as it arrives. Hashing, sealing and writing are done by the store's threads, one
/// chunk at a time: a writer holds at most two chunks, and [`write`](Self::write) waits when the
/// disk is slower than the peer.
///
/// Dropped, it leaves nothing that anything refers to.
pub(crate) struct BodyWriter {
    bodies: Bodies,
    limit: u64,
    size: u64,
    buffer: Vec<u8>,
    progress: InFlight,
    /// Whether all that was given so far has been taken: false during a call, and for good after
    /// one that failed or was abandoned.
    whole: bool,
}

/// What the chunks so far come to, or the answer of the thread that adds one.
enum InFlight {
    Here(Box<Progress>),
    There(oneshot::Receiver<Result<Box<Progress>, SegmentError>>),
    Gone,
}

struct Progress {
    log: Arc<Log>,
    keys: Arc<KeySet>,
    hasher: BodyHasher,
    stream: StreamId,
    written: Vec<Location>,
    /// Keeps compaction from what is written.
    pin: Option<Pin>,
}

impl Bodies {
    /// A writer for one body of at most `limit` bytes (and [`MAX_BODY`]).
    pub(crate) fn writer(&self, keys: Arc<KeySet>, limit: u64) -> Result<BodyWriter, SegmentError> {
        let progress = Progress {
            log: self.log.clone(),
            hasher: BodyHasher::new(&keys),
            keys,
            stream: StreamId::generate()?,
            written: Vec::new(),
            pin: None,
        };
        Ok(BodyWriter {
            bodies: self.clone(),
            limit: limit.min(MAX_BODY),
            size: 0,
            buffer: Vec::new(),
            progress: InFlight::Here(Box::new(progress)),
            whole: true,
        })
    }
}

impl BodyWriter {
    /// Adds bytes. After a call that failed or was abandoned half-way the writer stores nothing.
    ///
    /// # Errors
    /// [`SegmentError::TooLarge`], or why a chunk could not be written.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), SegmentError> {
        if !mem::take(&mut self.whole) {
            return Err(SegmentError::GivenUp);
        }
        self.size = self.size.saturating_add(bytes.len() as u64);
        if self.size > self.limit {
            return Err(SegmentError::TooLarge { limit: self.limit });
        }
        while !bytes.is_empty() {
            // A full buffer waits for one more byte: the last chunk is sealed differently.
            if self.buffer.len() == CHUNK {
                self.flush().await?;
            }
            let (fits, rest) = bytes.split_at(bytes.len().min(CHUNK - self.buffer.len()));
            self.buffer.extend_from_slice(fits);
            bytes = rest;
        }
        self.whole = true;
        Ok(())
    }

    /// Writes the rest. The body can be read at once; it is durable after [`Bodies::sync`].
    ///
    /// # Errors
    /// Why a chunk could not be written.
    pub(crate) async fn finish(mut self) -> Result<StoredBody, SegmentError> {
        if !self.whole {
            return Err(SegmentError::GivenUp);
        }
        let progress = self.progress().await?;
        let (chunk, size, finished) = (self.buffer, self.size, self.bodies.finished.clone());
        let finish = move || {
            let organization = progress.keys.organization();
            let (body, pin) = progress.finish(&chunk, size)?;
            finished.add(organization, body, pin);
            Ok(body)
        };
        let answer = self.bodies.writers.run(finish);
        answer.await.unwrap_or(Err(SegmentError::Closed))
    }

    async fn flush(&mut self) -> Result<(), SegmentError> {
        let progress = self.progress().await?;
        let chunk = mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.progress = InFlight::There(self.bodies.writers.run(move || progress.add(&chunk)));
        Ok(())
    }

    async fn progress(&mut self) -> Result<Box<Progress>, SegmentError> {
        match mem::replace(&mut self.progress, InFlight::Gone) {
            InFlight::Here(progress) => Ok(progress),
            InFlight::There(answer) => answer.await.unwrap_or(Err(SegmentError::Closed)),
            InFlight::Gone => Err(SegmentError::GivenUp),
        }
    }
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Progress {
    fn add(mut self: Box<Self>, chunk: &[u8]) -> Result<Box<Self>, SegmentError> {
        self.hasher.update(chunk);
        let location = self.append(chunk, None)?;
        self.written.push(location);
        Ok(self)
    }

    fn finish(mut self, chunk: &[u8], size: u64) -> Result<(StoredBody, Pin), SegmentError> {
        self.hasher.update(chunk);
        let id = self.hasher.name();
        let last = self.append(chunk, Some(FinalFacts { body: id, size }))?;
        let body = StoredBody {
            id,
            size,
            stream: self.stream,
            last,
        };
        let pin = self.pin.take().unwrap_or_else(|| self.log.pin());
        Ok((body, pin))
    }

    fn append(&mut self, chunk: &[u8], last: Option<FinalFacts>) -> Result<Location, SegmentError> {
        let index = u32::try_from(self.written.len()).unwrap_or(u32::MAX);
        let place = ChunkPlace {
            stream: self.stream,
            index,
            last,
        };
        let chunks = if last.is_some() {
            self.written.as_slice()
        } else {
            &[]
        };
        self.pin.get_or_insert_with(|| self.log.pin());
        self.log
            .append(&Record::encode(&self.keys, &place, chunks, chunk)?)
    }
}
