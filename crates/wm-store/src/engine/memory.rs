use super::{
    Batch, Direction, Engine, EngineError, KeyRange, Snapshot,
    versioned::{Page, Table, Versioned, Writes},
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    ops::Bound,
    sync::{PoisonError, RwLock},
};

/// An engine that lives as long as its value: for tests and for servers that may forget.
pub struct Memory(Versioned<Map>);

impl Memory {
    /// An empty engine.
    pub fn new() -> Self {
        Self(Versioned::new(Map::default()))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Engine for Memory {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        Ok(self.0.snapshot())
    }

    fn commit(&self, batch: Batch) -> Result<(), EngineError> {
        self.0.commit(batch)
    }

    fn name(&self) -> &'static str {
        "memory"
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

#[derive(Default)]
struct Map(RwLock<BTreeMap<Bytes, Bytes>>);

impl Table for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned())
    }

    fn page(
        &self,
        range: &KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, EngineError> {
        if range.is_empty() {
            return Ok(Page::new());
        }
        let end = range
            .end
            .as_ref()
            .map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entries = map.range::<[u8], _>((Bound::Included(&range.start[..]), end));
        let owned = |(key, value): (&Bytes, &Bytes)| (key.clone(), Ok(value.clone()));
        Ok(match direction {
            Direction::Forward => entries.map(owned).take(limit).collect(),
            Direction::Backward => entries.rev().map(owned).take(limit).collect(),
        })
    }

    fn apply(&self, writes: Writes) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in writes {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }
}
