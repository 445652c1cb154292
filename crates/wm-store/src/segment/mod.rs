//! Bodies: what is too large for the engine, sealed in append-only segment files.
//!
//! # Format, version 1
//!
//! A segment is a file `<number, 8 hexadecimal digits>.wms`: a head of 16 bytes (`wm segment`, 0, 1,
//! the number as `u32`) and records one behind the other. Numbers are little-endian unless said
//! otherwise.
//!
//! | bytes | record |
//! |---|---|
//! | 4 | `wmr` and the format version, 1 |
//! | 4 | CRC-32 of all that follows |
//! | 4 | length of the record, from its first byte |
//! | 1 | kind: 1 a chunk, 2 the last chunk of a body |
//! | 1 | algorithm: 1 XChaCha20-Poly1305 |
//! | 2 | zero |
//! | 4 | generation of the data key |
//! | 4 | index of the chunk in its body |
//! | 16 | organization (big-endian) |
//! | 16 | stream: which attempt to write a body this chunk belongs to |
//! | 32 + 8 | kind 2 only: name and size of the body |
//! | 8 × index | kind 2 only: segment (4) and offset (4) of every other chunk of the body |
//! | rest | the sealed chunk: at most 64 KiB and the tag |
//!
//! The checksum finds damage without a key. The chunk list is in the clear and no associated data:
//! compaction rewrites it, and a wrong entry leads to a chunk that does not open. All chunks but the
//! last are full, so a body of up to 64 KiB is one record. The chunks of many bodies that are
//! written at the same time stand interleaved; those of a body that was never finished are garbage
//! for compaction. A segment's whole records can be read without any index, which is how one is
//! rebuilt.

mod compact;
mod error;
#[cfg(any(test, feature = "contract-tests"))]
mod faults;
mod files;
mod log;
mod memory;
mod reader;
mod record;
mod references;
mod salvage;
mod scan;
mod writer;

pub use error::{ReadFault, SegmentError};
#[cfg(any(test, feature = "contract-tests"))]
pub use faults::{Fault, FaultyFiles};
pub use files::{Directory, Files, SegmentFile};
pub use memory::MemoryFiles;

pub(crate) use compact::Extent;
pub(crate) use references::{find_body, index_entry};
pub(crate) use writer::BodyWriter;

use crate::{
    seal::{CHUNK, StreamId},
    workers::Workers,
};
use log::Log;
use references::Finished;
use scan::{Damage, Scan};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc, thread};
use wm_core::BodyId;

/// Smallest size at which a segment may be called full, in bytes.
pub const MIN_SEGMENT_SIZE: u32 = 1 << 20;

/// Size above which no record is added to a segment, in bytes: large enough that a terabyte is
/// some thousand files, small enough that compaction rewrites one in seconds.
pub const SEGMENT_SIZE: u32 = 256 << 20;

/// Most bytes a body may have: 1 GiB.
pub const MAX_BODY: u64 = record::MAX_CHUNKS as u64 * CHUNK as u64;

/// Where a record begins. Ordered as records are appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Location {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl Location {
    /// Before every record.
    const START: Self = Self {
        segment: 0,
        offset: 0,
    };
}

/// A body that is in the segments: all that is needed to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredBody {
    pub(crate) id: BodyId,
    /// Plaintext bytes.
    pub(crate) size: u64,
    pub(crate) stream: StreamId,
    /// Its last record.
    pub(crate) last: Location,
}

/// The bodies of a store, and the threads that read and write them.
#[derive(Clone)]
pub(crate) struct Bodies {
    log: Arc<Log>,
    finished: Arc<Finished>,
    writers: Arc<Workers>,
    readers: Arc<Workers>,
    /// Held for the length of a compaction.
    pub(crate) compaction: Arc<futures::lock::Mutex<()>>,
}

impl Bodies {
    /// The bodies in `files`. A segment takes records until it has `segment_size` bytes (at least
    /// [`MIN_SEGMENT_SIZE`]).
    pub(crate) fn open(files: Arc<dyn Files>, segment_size: u32) -> Result<Self, SegmentError> {
        let threads = thread::available_parallelism()
            .map_or(2, usize::from)
            .clamp(2, 8);
        let start = |name| {
            Workers::start(name, threads)
                .map(Arc::new)
                .map_err(|source| SegmentError::io("start a thread for", 0, source))
        };
        Ok(Self {
            log: Arc::new(Log::open(files, segment_size.max(MIN_SEGMENT_SIZE))?),
            finished: Arc::default(),
            writers: start("wm-body-writer")?,
            readers: start("wm-body-reader")?,
            compaction: Arc::default(),
        })
    }

    /// Makes these bodies durable, unless they are. Blocks.
    pub(crate) fn sync(&self, bodies: &[StoredBody]) -> Result<(), SegmentError> {
        match bodies.iter().map(|body| body.last).max() {
            Some(last) => self.log.sync(last),
            None => Ok(()),
        }
    }

    /// Goes through all segments: the octets that are no whole record, and all octets. Blocks.
    pub(crate) fn scan_all(&self, progress: &dyn Fn(u64, u64)) -> Result<(u64, u64), SegmentError> {
        let segments = self.log.segments()?;
        let scans: Vec<Scan> = segments
            .into_iter()
            .map(|segment| self.log.scan(segment))
            .collect::<Result<_, _>>()?;
        let all = scans.iter().map(Scan::size).sum();
        let (mut torn, mut before) = (0, 0);
        for mut scan in scans {
            while let Some(found) = scan.next() {
                if let Err(Damage { bytes, .. }) = found? {
                    torn += bytes.end - bytes.start;
                }
                progress(before + scan.position(), all * 2);
            }
            before += scan.size();
        }
        Ok((torn, all))
    }
}

impl fmt::Debug for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bodies").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
