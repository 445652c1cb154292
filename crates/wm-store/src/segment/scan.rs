use super::{
    Location, SegmentError, SegmentFile,
    log::{SEGMENT_HEAD, is_head},
    record::{self, MAX_RECORD, Record},
};
use std::{ops::Range, sync::Arc};

/// Goes through a segment from its beginning: every whole record with its place, and the ranges in
/// between that are none. Holds one record in memory.
pub(super) struct Scan {
    number: u32,
    file: Arc<dyn SegmentFile>,
    size: u64,
    at: u64,
}

/// Bytes of a segment that are no record: damage, or what a power cut left of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) segment: u32,
    pub(super) bytes: Range<u64>,
}

type Found = Result<(Location, Record), Damage>;

impl Scan {
    pub(super) fn new(number: u32, file: Arc<dyn SegmentFile>) -> Result<Self, SegmentError> {
        let size = file
            .size()
            .map_err(|source| SegmentError::io("read", number, source))?;
        Ok(Self {
            number,
            file,
            size,
            at: 0,
        })
    }

    /// Bytes of the segment.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes gone through.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    fn step(&mut self) -> Result<Option<Found>, SegmentError> {
        // A segment is empty when power goes right after it was made.
        if self.at >= self.size {
            return Ok(None);
        }
        if self.at == 0 {
            let head = self.bytes(0, SEGMENT_HEAD as usize)?;
            self.at = head.len() as u64;
            if !is_head(&head, self.number) {
                return self.damage(0).map(Some);
            }
        }
        if self.at >= self.size {
            return Ok(None);
        }
        match self.record(self.at)? {
            Some((length, record)) => {
                let offset = u32::try_from(self.at).unwrap_or(u32::MAX);
                self.at += length as u64;
                Ok(Some(Ok((
                    Location {
                        segment: self.number,
                        offset,
                    },
                    record,
                ))))
            }
            None => self.damage(self.at).map(Some),
        }
    }

    /// The whole record that begins at `at`, if one does.
    fn record(&self, at: u64) -> Result<Option<(usize, Record)>, SegmentError> {
        let head = self.bytes(at, record::HEAD)?;
        let Some(length) = record::declared_length(&head) else {
            return Ok(None);
        };
        let record = Record::parse(&self.bytes(at, length)?);
        Ok(record.map(|record| (length, record)))
    }

    /// Moves to the next record after `from`, or to the end.
    fn damage(&mut self, from: u64) -> Result<Found, SegmentError> {
        let mut at = from;
        loop {
            at = self.next_magic(at + 1)?;
            if at >= self.size || self.record(at)?.is_some() {
                break;
            }
        }
        self.at = at.min(self.size);
        Ok(Err(Damage {
            segment: self.number,
            bytes: from..self.at,
        }))
    }

    fn next_magic(&self, mut at: u64) -> Result<u64, SegmentError> {
        while at < self.size {
            let window = self.bytes(at, MAX_RECORD)?;
            let found = window
                .windows(record::MAGIC.len())
                .position(|w| w == record::MAGIC);
            if let Some(position) = found {
                return Ok(at + position as u64);
            }
            // The magic may straddle two windows.
            at += window.len().saturating_sub(record::MAGIC.len() - 1).max(1) as u64;
        }
        Ok(self.size)
    }

    /// Up to `length` bytes from `at`; fewer where the segment ends.
    fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>, SegmentError> {
        let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; length.min(left)];
        self.file
            .read_at(&mut buffer, at)
            .map_err(|source| SegmentError::io("read", self.number, source))?;
        Ok(buffer)
    }
}

impl Iterator for Scan {
    type Item = Result<Found, SegmentError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
