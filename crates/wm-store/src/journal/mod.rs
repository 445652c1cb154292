//! The journal: a second copy, outside the engine, of everything in it that cannot be derived. When
//! the engine's own pages are damaged, an engine is rebuilt from it and from the segments
//! ([`repair`](crate::repair)).
//!
//! Each group of commits is appended after the engine has made it durable, without a sync of its
//! own: a commit still costs two syncs. What a power cut takes off the end is noticed when the store
//! is opened, because the engine's number of groups is then ahead of the journal's, and a new
//! checkpoint is written by [`Store::clean_up`](crate::Store::clean_up). A journal that cannot be written keeps nobody
//! from being answered; it is behind from then on, and a checkpoint mends that too.
//!
//! # Format, version 1
//!
//! Files `<number, 8 hexadecimal digits>.wmj` (groups as they came) and `.wmc` (a checkpoint: all
//! there was when it was begun, which counts only with the record that ends it). What is in effect is
//! the newest whole checkpoint and the journals of higher numbers. Numbers are little-endian.
//!
//! | bytes | record |
//! |---|---|
//! | 4 | `wmj` and the format version, 1 |
//! | 4 | CRC-32 of all that follows |
//! | 4 | length of the record, from its first byte |
//! | 1 | kind: 1 writes, 2 the end of a checkpoint |
//! | 8 | number of the group; in a checkpoint, of the last group in it |
//! | rest | for each write: length of the key (4), of the value (4; all ones: removed), both |
//!
//! Keys and values are those of the engine: keys hold numbers and keyed hashes, values are sealed.

mod replay;

pub(crate) use replay::{Replay, newer_version, replay};

use crate::{
    Store,
    engine::{Batch, Direction, EngineError, KeyRange, Snapshot, Write},
    fault::Fault,
    keyspace::{INSTALLATION, Space},
    mailbox,
    segment::{Files, SegmentFile},
};
use bytes::Bytes;
use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use wm_core::traits::StoreError;

/// First bytes of every record; the last is the format version.
const MAGIC: [u8; 4] = *b"wmj\x01";
const WRITES: u8 = 1;
const END: u8 = 2;
/// Bytes before the writes.
const HEAD: usize = 21;
/// Stands for the length of a value where a key is removed.
const REMOVED: u32 = u32::MAX;
/// Bytes after which a journal file is followed by another.
const FILE_SIZE: u64 = 16 << 20;
/// Bytes of one record of a checkpoint, about.
const CHECKPOINT_RECORD: usize = 1 << 20;
/// Bytes of journals at least, before a checkpoint is worth its while.
const MIN_JOURNALS: u64 = 64 << 20;

/// The journal of a store that is open.
pub(crate) struct Journal {
    files: Arc<dyn Files>,
    state: Mutex<State>,
}

struct State {
    file: Option<(Arc<dyn SegmentFile>, u64)>,
    /// The number of the next file.
    next_file: u32,
    /// The number of the last group that the engine has.
    group: u64,
    /// Whether a group is missing since the last checkpoint: nothing more is appended then.
    behind: bool,
    /// Bytes of the last checkpoint, and of journals since.
    checkpoint: u64,
    journals: u64,
}

impl Journal {
    /// The journal in `files`, of an engine that shows `now`.
    pub(crate) fn open(files: Arc<dyn Files>, now: &dyn Snapshot) -> Result<Self, EngineError> {
        let numbered = engine_group(now)?;
        let group = numbered.unwrap_or(0);
        // An engine with something in it that was never numbered is older than its journal.
        let mut kept = now.scan(KeyRange::all(), Direction::Forward);
        let older =
            numbered.is_none() && kept.any(|entry| entry.is_ok_and(|(key, _)| is_kept(&key)));
        let found = replay::last(&*files);
        // A journal that cannot be read is one that is behind.
        let (next_file, last, checkpoint, journals) = match found {
            Ok(found) => (
                found.next_file,
                found.group,
                found.checkpoint,
                found.journals,
            ),
            Err(_) => (next_file(&*files), None, 0, 0),
        };
        Ok(Self {
            files,
            state: Mutex::new(State {
                file: None,
                next_file,
                group,
                behind: older || last.unwrap_or(0) != group,
                checkpoint,
                journals,
            }),
        })
    }

    /// Numbers a group that is about to be committed; answers what is to be noted once it is.
    pub(crate) fn number(&self, batch: &mut Batch) -> Noted {
        let group = self.lock().group + 1;
        let writes = batch.writes.iter().filter(|write| is_kept(&write.key));
        let record = record(WRITES, group, writes);
        batch.put(group_key(), group.to_be_bytes().to_vec());
        Noted { group, record }
    }

    /// Appends a group that the engine has committed.
    pub(crate) fn note(&self, noted: Noted) {
        let mut state = self.lock();
        state.group = noted.group;
        if !state.behind && self.append(&mut state, &noted.record).is_err() {
            state.behind = true;
        }
    }

    /// Whether the engine has a group that the journal has not.
    pub(crate) fn is_behind(&self) -> bool {
        self.lock().behind
    }

    /// Whether it is time for a checkpoint.
    pub(crate) fn is_due(&self) -> bool {
        let state = self.lock();
        state.behind || state.journals > MIN_JOURNALS.max(2 * state.checkpoint)
    }

    /// Begins a checkpoint: what is committed from here on goes to a journal behind it. The state to
    /// write is one that is taken after this call.
    pub(crate) fn begin_checkpoint(&self) -> u32 {
        let mut state = self.lock();
        let number = state.next_file;
        state.next_file = number.saturating_add(1);
        state.file = None;
        state.behind = false;
        state.journals = 0;
        number
    }

    /// Writes checkpoint `number` of the state `now`, and removes what it replaces. Blocks. Begun
    /// again it starts afresh; until it is whole, nothing is taken away.
    pub(crate) fn checkpoint(&self, number: u32, now: &dyn Snapshot) -> Result<(), Fault> {
        match self.write_checkpoint(number, now) {
            Ok(size) => {
                self.lock().checkpoint = size;
                Ok(())
            }
            Err(error) => {
                self.lock().behind = true;
                Err(error)
            }
        }
    }

    fn write_checkpoint(&self, number: u32, now: &dyn Snapshot) -> Result<u64, Fault> {
        let group = engine_group(now)?.unwrap_or(0);
        let file = self.files.create(&name(number, "wmc"))?;
        let mut end = 0;
        let mut write = |record: &[u8]| {
            file.write_at(record, end)?;
            end += record.len() as u64;
            Ok::<_, Fault>(())
        };
        let (mut writes, mut bytes) = (Vec::new(), 0);
        for entry in now.scan(KeyRange::all(), Direction::Forward) {
            let (key, value) = entry?;
            if !is_kept(&key) {
                continue;
            }
            bytes += key.len() + value.len();
            writes.push(Write {
                key,
                value: Some(value),
            });
            if bytes >= CHECKPOINT_RECORD {
                write(&record(WRITES, group, writes.iter()))?;
                (writes, bytes) = (Vec::new(), 0);
            }
        }
        write(&record(WRITES, group, writes.iter()))?;
        write(&record(END, group, [].iter()))?;
        file.sync()?;
        self.files.sync()?;
        for (old, kind) in numbers(&*self.files)? {
            if old < number {
                self.files.remove(&name(old, kind))?;
            }
        }
        Ok(end)
    }

    fn append(&self, state: &mut State, record: &[u8]) -> io::Result<()> {
        if let Some((file, end)) = &state.file
            && *end >= FILE_SIZE
        {
            file.sync()?;
            state.file = None;
        }
        let (file, end) = match &mut state.file {
            Some(open) => open,
            vacant => {
                let number = state.next_file;
                state.next_file = number.saturating_add(1);
                vacant.insert((self.files.create(&name(number, "wmj"))?, 0))
            }
        };
        file.write_at(record, *end)?;
        *end += record.len() as u64;
        state.journals += record.len() as u64;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Spares the next opening a checkpoint; if it fails, that is noticed then.
        if let Some((file, _)) = &self.lock().file {
            let _ = file.sync();
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

/// A group's record, to be appended when the engine has the group.
pub(crate) struct Noted {
    group: u64,
    record: Vec<u8>,
}

/// The number of the last group that the engine has, if it ever numbered one.
pub(crate) fn engine_group(now: &dyn Snapshot) -> Result<Option<u64>, EngineError> {
    let value = now.get(&group_key())?;
    let number = value.map(|value| value.as_ref().try_into().map(u64::from_be_bytes));
    number
        .transpose()
        .map_err(|_| EngineError::corrupt("the number of the last group is no number"))
}

/// Whether an entry of the engine is journaled: all but what can be derived (index entries, where
/// bodies are) and what is only a convenience (the event log, tombstones).
pub(crate) fn is_kept(key: &[u8]) -> bool {
    let Some(&space) = key.get(16) else {
        return false;
    };
    let derived = [Space::Bodies, Space::Journal, Space::Version];
    if derived.iter().any(|derived| *derived as u8 == space) {
        return false;
    }
    space != Space::Mailboxes as u8 || mailbox::is_primary(key)
}

fn group_key() -> Vec<u8> {
    Space::Journal.prefix(INSTALLATION)
}

fn record<'a>(kind: u8, group: u64, writes: impl Iterator<Item = &'a Write>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 10);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 8]);
    out.push(kind);
    out.extend_from_slice(&group.to_le_bytes());
    for Write { key, value } in writes {
        let length = |bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(REMOVED);
        out.extend_from_slice(&length(key).to_le_bytes());
        out.extend_from_slice(&value.as_ref().map_or(REMOVED, length).to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    if let Some(slot) = out.get_mut(8..12) {
        slot.copy_from_slice(&length.to_le_bytes());
    }
    let sum = out.get(8..).map_or(0, crc32fast::hash);
    if let Some(slot) = out.get_mut(4..8) {
        slot.copy_from_slice(&sum.to_le_bytes());
    }
    out
}

fn name(number: u32, kind: &str) -> String {
    format!("{number:08x}.{kind}")
}

/// The files there are, by number.
fn numbers(files: &dyn Files) -> io::Result<Vec<(u32, &'static str)>> {
    let mut numbers = Vec::new();
    for name in files.names()? {
        for kind in ["wmj", "wmc"] {
            let digits = name.strip_suffix(kind).and_then(|it| it.strip_suffix('.'));
            let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            numbers.extend(number.map(|number| (number, kind)));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn next_file(files: &dyn Files) -> u32 {
    let last = numbers(files)
        .ok()
        .and_then(|numbers| numbers.last().copied());
    last.map_or(1, |(number, _)| number.saturating_add(1))
}

impl Store {
    /// Writes a checkpoint of the journal if one is due: the journal is behind the engine, or more
    /// than twice the last checkpoint. Answers whether it was. [`clean_up`](Store::clean_up) does this, too.
    ///
    /// # Errors
    /// What the engine or the file system says; the journal is as it was, or behind.
    pub async fn checkpoint(&self) -> Result<bool, StoreError> {
        let Some(journal) = self.core.journal.clone().filter(|it| it.is_due()) else {
            return Ok(false);
        };
        self.write_checkpoint(journal).await?;
        Ok(true)
    }

    /// Brings what the store takes on disk down to what it has to: writes the engine anew
    /// ([`Engine::pack`](crate::engine::Engine::pack)), and a checkpoint of the journal whether one is
    /// due or not. Changes wait meanwhile. To be done after an import; garbage among bodies is
    /// [`compact`](Store::compact)'s.
    ///
    /// # Errors
    /// What the engine or the file system says.
    pub async fn pack(&self) -> Result<(), StoreError> {
        if let Some(journal) = self.core.journal.clone() {
            self.write_checkpoint(journal).await?;
        }
        let engine = self.core.engine.clone();
        let pack = move |_: &dyn Snapshot| engine.pack().map_err(Fault::from);
        Ok(self.core.read(pack).await?)
    }

    async fn write_checkpoint(&self, journal: Arc<Journal>) -> Result<(), StoreError> {
        let _alone = self.core.checkpoint.lock().await;
        let number = journal.begin_checkpoint();
        let write = move |now: &dyn Snapshot| journal.checkpoint(number, now);
        Ok(self.core.read(write).await?)
    }

    /// Whether an engine could not be rebuilt exactly as it is now; a checkpoint mends it.
    #[must_use]
    pub fn journal_is_behind(&self) -> bool {
        let journal = self.core.journal.as_ref();
        journal.is_some_and(|journal| journal.is_behind())
    }
}
