//! Snapshot reads over a table that itself knows only its newest state.
//!
//! Before a commit touches the table, what its keys hold until then goes into a history in memory,
//! so a reader that meets a newer state in the table finds its own there. An old value leaves the
//! history once no snapshot is older than the commit that replaced it; nothing of it is ever on
//! disk, so nothing has to be cleaned up after a crash.

use super::{Batch, Direction, EngineError, Entries, KeyRange, Snapshot, Write};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    error::Error,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    vec,
};

/// An ordered map with one writer and many readers.
pub(super) trait Table: Send + Sync + 'static {
    /// The newest value, durable or not. May fail while a commit replaces that very value.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// The first `limit` entries of the range in the given direction, under the terms of `get`.
    fn page(
        &self,
        range: &KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, EngineError>;

    /// Applies the writes atomically and returns when they are durable. Never called twice at the
    /// same time, nor again after a failure.
    fn apply(&self, writes: Writes) -> Result<(), Box<dyn Error + Send + Sync>>;
}

pub(super) type Page = Vec<(Bytes, Result<Bytes, EngineError>)>;

/// What a commit leaves under each key it writes.
pub(super) type Writes = BTreeMap<Bytes, Option<Bytes>>;

pub(super) struct Versioned<T> {
    table: Arc<T>,
    history: Arc<RwLock<History>>,
    /// Held by the one commit in progress; the reason why there will be no more.
    commit: Mutex<Option<Arc<dyn Error + Send + Sync>>>,
}

impl<T: Table> Versioned<T> {
    pub(super) fn new(table: T) -> Self {
        Self {
            table: Arc::new(table),
            history: Arc::default(),
            commit: Mutex::default(),
        }
    }

    #[cfg(feature = "sled")]
    pub(super) fn table(&self) -> &T {
        &self.table
    }

    pub(super) fn snapshot(&self) -> Box<dyn Snapshot> {
        let at = write(&self.history).pin();
        Box::new(Pinned {
            table: self.table.clone(),
            history: self.history.clone(),
            at,
        })
    }

    pub(super) fn commit(&self, batch: Batch) -> Result<(), EngineError> {
        let mut failed = lock(&self.commit);
        if let Some(source) = &*failed {
            return Err(EngineError::SyncFailed {
                source: source.clone(),
            });
        }
        batch.check(|key| self.table.get(key))?;
        if batch.writes.is_empty() {
            return Ok(());
        }
        let writes = Writes::from_iter(
            batch
                .writes
                .into_iter()
                .map(|Write { key, value }| (key, value)),
        );
        let replaced = writes
            .keys()
            .map(|key| Ok((key.clone(), self.table.get(key)?)))
            .collect::<Result<Vec<_>, EngineError>>()?;
        write(&self.history).record(replaced);
        if let Err(error) = self.table.apply(writes) {
            let source: Arc<dyn Error + Send + Sync> = error.into();
            *failed = Some(source.clone());
            return Err(EngineError::SyncFailed { source });
        }
        write(&self.history).publish();
        Ok(())
    }
}

/// What keys held before commits that somebody cannot see yet.
#[derive(Default)]
struct History {
    /// The newest commit that is durable.
    published: u64,
    /// How many snapshots show each commit.
    pins: BTreeMap<u64, usize>,
    /// By key: the commits that replaced its value, in order, and the value each replaced.
    replaced: BTreeMap<Bytes, VecDeque<(u64, Option<Bytes>)>>,
    /// The same by commit, to find what can go.
    by_commit: VecDeque<(u64, Bytes)>,
}

impl History {
    fn pin(&mut self) -> u64 {
        *self.pins.entry(self.published).or_default() += 1;
        self.published
    }

    fn unpin(&mut self, at: u64) {
        if let Some(count) = self.pins.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                self.pins.remove(&at);
            }
        }
        self.prune();
    }

    /// Takes in what the next commit is about to replace.
    fn record(&mut self, replaced: Vec<(Bytes, Option<Bytes>)>) {
        let next = self.published + 1;
        for (key, value) in replaced {
            self.replaced
                .entry(key.clone())
                .or_default()
                .push_back((next, value));
            self.by_commit.push_back((next, key));
        }
    }

    fn publish(&mut self) {
        self.published += 1;
        self.prune();
    }

    fn prune(&mut self) {
        let oldest = self.pins.keys().next().copied().unwrap_or(self.published);
        while let Some((_, key)) = self.by_commit.pop_front_if(|(commit, _)| *commit <= oldest) {
            let Some(versions) = self.replaced.get_mut(&key) else {
                continue;
            };
            versions.pop_front();
            if versions.is_empty() {
                self.replaced.remove(&key);
            }
        }
    }

    /// What the key held at commit `at`, if a later one replaced it.
    fn at(&self, at: u64, key: &[u8]) -> Option<Option<Bytes>> {
        value_at(at, self.replaced.get(key)?)
    }

    /// Turns a page of the newest state, which covers the whole of `range`, into one of commit `at`.
    fn page_at(&self, at: u64, range: &KeyRange, direction: Direction, page: Page) -> Page {
        let mut changed = self
            .replaced
            .range(range.start.clone()..)
            .take_while(|(key, _)| range.contains(key))
            .filter_map(|(key, versions)| Some((key, value_at(at, versions)?)))
            .peekable();
        if changed.peek().is_none() {
            return page;
        }
        let mut entries = BTreeMap::from_iter(page);
        for (key, value) in changed {
            match value {
                Some(value) => entries.insert(key.clone(), Ok(value)),
                None => entries.remove(key),
            };
        }
        match direction {
            Direction::Forward => entries.into_iter().collect(),
            Direction::Backward => entries.into_iter().rev().collect(),
        }
    }
}

fn value_at(at: u64, versions: &VecDeque<(u64, Option<Bytes>)>) -> Option<Option<Bytes>> {
    let first = versions.partition_point(|(commit, _)| *commit <= at);
    versions.get(first).map(|(_, value)| value.clone())
}

struct Pinned<T> {
    table: Arc<T>,
    history: Arc<RwLock<History>>,
    at: u64,
}

impl<T: Table> Snapshot for Pinned<T> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        // The table first: a commit that changes it afterwards is in the history by then.
        let newest = self.table.get(key);
        match read(&self.history).at(self.at, key) {
            Some(value) => Ok(value),
            None => newest,
        }
    }

    fn scan<'a>(&'a self, range: KeyRange, direction: Direction) -> Entries<'a> {
        Box::new(Scan {
            snapshot: self,
            rest: Some(range),
            direction,
            limit: 16,
            page: Vec::new().into_iter(),
        })
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        write(&self.history).unpin(self.at);
    }
}

struct Scan<'a, T> {
    snapshot: &'a Pinned<T>,
    rest: Option<KeyRange>,
    direction: Direction,
    limit: usize,
    page: vec::IntoIter<(Bytes, Result<Bytes, EngineError>)>,
}

impl<T: Table> Iterator for Scan<'_, T> {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.page.next() {
                return Some(match value {
                    Ok(value) => Ok((key, value)),
                    Err(error) => {
                        self.stop();
                        Err(error)
                    }
                });
            }
            let range = self.rest.take().filter(|range| !range.is_empty())?;
            if let Err(error) = self.turn(range) {
                self.stop();
                return Some(Err(error));
            }
        }
    }
}

impl<T: Table> Scan<'_, T> {
    fn turn(&mut self, range: KeyRange) -> Result<(), EngineError> {
        let page = self
            .snapshot
            .table
            .page(&range, self.direction, self.limit)?;
        let covered = match page.last() {
            Some((last, _)) if page.len() >= self.limit => {
                let (covered, rest) = match self.direction {
                    Direction::Forward => (range.clone().through(last), range.after(last)),
                    Direction::Backward => (
                        range.clone().starting_at(last.clone()),
                        range.before(last.clone()),
                    ),
                };
                self.rest = Some(rest);
                covered
            }
            _ => range,
        };
        let page =
            read(&self.snapshot.history).page_at(self.snapshot.at, &covered, self.direction, page);
        self.page = page.into_iter();
        self.limit = (self.limit * 2).min(512);
        Ok(())
    }

    fn stop(&mut self) {
        self.rest = None;
        mem::take(&mut self.page);
    }
}

// A thread that panicked has left each of these whole: no update of them can panic half-way.

fn read(history: &RwLock<History>) -> RwLockReadGuard<'_, History> {
    history.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(history: &RwLock<History>) -> RwLockWriteGuard<'_, History> {
    history.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
