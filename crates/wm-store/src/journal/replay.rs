//! Reading journals back.

use super::{END, HEAD, MAGIC, REMOVED, WRITES, name, numbers};
use crate::{
    engine::Write,
    fault::Fault,
    segment::{Files, SegmentFile},
};
use bytes::Bytes;
use std::{io, sync::Arc};

/// Bytes read at a time.
const WINDOW: usize = 1 << 20;
/// Longest record: a group's few MiB, with room.
const MAX_RECORD: usize = 64 << 20;

/// What a replay came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Replay {
    /// The last group found.
    pub(crate) group: Option<u64>,
    /// Whether every group up to that one was there.
    pub(crate) whole: bool,
    /// Octets that are no record.
    pub(crate) torn: u64,
}

/// The newest format version of the journal in `files`, if no file of it is of one that is known here.
/// Files that power left without a beginning say nothing.
pub(crate) fn newer_version(files: &dyn Files) -> io::Result<Option<u32>> {
    let [magic @ .., known] = MAGIC;
    let mut newest = None;
    for (number, kind) in numbers(files)? {
        let head = Records::open(files, &name(number, kind))?.bytes(0, MAGIC.len())?;
        match head.strip_prefix(&magic) {
            Some(&[version]) if version > known => newest = newest.max(Some(version)),
            Some(&[_]) => return Ok(None),
            _ => {}
        }
    }
    Ok(newest.map(u32::from))
}

/// What there is, as far as opening needs it.
pub(super) struct Last {
    pub(super) next_file: u32,
    /// The last group, if the newest file has all up to it.
    pub(super) group: Option<u64>,
    pub(super) checkpoint: u64,
    pub(super) journals: u64,
}

/// Gives every write of the journal in `files` to `take`, oldest first. Octets that are no record
/// are passed over. Blocks.
pub(crate) fn replay(
    files: &dyn Files,
    progress: &dyn Fn(u64, u64),
    take: &mut dyn FnMut(Vec<Write>) -> Result<(), Fault>,
) -> Result<Replay, Fault> {
    let all = numbers(files)?;
    let mut begin = None;
    for &(number, kind) in all.iter().rev().filter(|(_, kind)| *kind == "wmc") {
        if let Some(group) = checkpoint_end(files, &name(number, kind))? {
            begin = Some((number, group));
            break;
        }
    }
    let in_effect = |(number, kind): &&(u32, &str)| match begin {
        Some((checkpoint, _)) => *number == checkpoint || *number > checkpoint && *kind == "wmj",
        None => *kind == "wmj",
    };
    let mut replayed = Replay {
        group: begin.map(|(_, group)| group),
        whole: true,
        torn: 0,
    };
    let in_effect: Vec<_> = all.iter().filter(in_effect).collect();
    let mut sizes = 0;
    for (number, kind) in &in_effect {
        sizes += files.open(&name(*number, kind), false)?.size()?;
    }
    let mut done = 0;
    for &&(number, kind) in &in_effect {
        let mut records = Records::open(files, &name(number, kind))?;
        while let Some((record, group, writes)) = records.next()? {
            if kind == "wmj" && record == WRITES {
                // The first journal behind a checkpoint may begin with groups that are in it.
                let next = replayed.group.map_or(1, |last| last + 1);
                replayed.whole &= group <= next;
                replayed.group = replayed.group.max(Some(group));
            }
            take(writes)?;
            progress(done + records.at, sizes);
        }
        done += records.size;
        replayed.torn += records.torn;
        replayed.whole &= records.torn == 0;
    }
    Ok(replayed)
}

/// What there is to go on from.
pub(super) fn last(files: &dyn Files) -> Result<Last, Fault> {
    let all = numbers(files)?;
    let mut found = Last {
        next_file: all.last().map_or(1, |(number, _)| number.saturating_add(1)),
        group: None,
        checkpoint: 0,
        journals: 0,
    };
    for &(number, kind) in &all {
        let size = files.open(&name(number, kind), false)?.size()?;
        match kind {
            "wmc" => found.checkpoint = size,
            _ => found.journals += size,
        }
    }
    for &(number, kind) in all.iter().rev() {
        if kind == "wmc" {
            found.group = checkpoint_end(files, &name(number, kind))?;
            if found.group.is_some() {
                break;
            }
            continue;
        }
        let mut records = Records::open(files, &name(number, kind))?;
        let mut last = None;
        while let Some((_, group, _)) = records.next()? {
            if last.is_some_and(|last| group != last + 1) {
                return Ok(found);
            }
            last = Some(group);
        }
        if records.torn > 0 {
            return Ok(found);
        }
        if last.is_some() {
            found.group = last;
            break;
        }
    }
    Ok(found)
}

/// The last group in a checkpoint; `None` when it is not whole.
fn checkpoint_end(files: &dyn Files, name: &str) -> Result<Option<u64>, Fault> {
    let file = files.open(name, false)?;
    let size = file.size()?;
    let Some(at) = size.checked_sub(HEAD as u64) else {
        return Ok(None);
    };
    let mut bytes = vec![0; HEAD];
    file.read_at(&mut bytes, at)?;
    Ok(match parse(&bytes) {
        Some((END, group, _)) => Some(group),
        _ => None,
    })
}

/// The records of a file.
struct Records {
    file: Arc<dyn SegmentFile>,
    size: u64,
    at: u64,
    torn: u64,
}

impl Records {
    fn open(files: &dyn Files, name: &str) -> io::Result<Self> {
        let file = files.open(name, false)?;
        Ok(Self {
            size: file.size()?,
            file,
            at: 0,
            torn: 0,
        })
    }

    fn next(&mut self) -> io::Result<Option<(u8, u64, Vec<Write>)>> {
        while self.at < self.size {
            let head = self.bytes(self.at, HEAD)?;
            if let Some(length) = declared_length(&head) {
                let bytes = self.bytes(self.at, length)?;
                if let Some(record) = parse(&bytes) {
                    self.at += length as u64;
                    return Ok(Some(record));
                }
            }
            let next = self.next_magic(self.at + 1)?;
            self.torn += next - self.at;
            self.at = next;
        }
        Ok(None)
    }

    fn next_magic(&self, mut at: u64) -> io::Result<u64> {
        while at < self.size {
            let window = self.bytes(at, WINDOW)?;
            let found = window.windows(MAGIC.len()).position(|w| w == MAGIC);
            if let Some(position) = found {
                return Ok(at + position as u64);
            }
            // The magic may straddle two windows.
            at += window.len().saturating_sub(MAGIC.len() - 1).max(1) as u64;
        }
        Ok(self.size)
    }

    fn bytes(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; length.min(left)];
        self.file.read_at(&mut buffer, at)?;
        Ok(buffer)
    }
}

fn declared_length(head: &[u8]) -> Option<usize> {
    let rest = head.strip_prefix(&MAGIC)?;
    let length = u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    (HEAD..=MAX_RECORD).contains(&length).then_some(length)
}

/// The record whose bytes these are, if they are a whole one.
fn parse(bytes: &[u8]) -> Option<(u8, u64, Vec<Write>)> {
    if declared_length(bytes)? != bytes.len() {
        return None;
    }
    let sum = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    if sum != crc32fast::hash(bytes.get(8..)?) {
        return None;
    }
    let kind = *bytes.get(12)?;
    let group = u64::from_le_bytes(bytes.get(13..HEAD)?.try_into().ok()?);
    let mut rest = Bytes::copy_from_slice(bytes.get(HEAD..)?);
    let mut writes = Vec::new();
    while !rest.is_empty() {
        let key_length = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?);
        let value_length = u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?);
        let take = |from: usize, length: u32| {
            let end = from.checked_add(usize::try_from(length).ok()?)?;
            (end <= rest.len()).then(|| (rest.slice(from..end), end))
        };
        let (key, end) = take(8, key_length)?;
        let (value, end) = match value_length {
            REMOVED => (None, end),
            length => take(end, length).map(|(value, end)| (Some(value), end))?,
        };
        writes.push(Write { key, value });
        rest = rest.slice(end..);
    }
    Some((kind, group, writes))
}
