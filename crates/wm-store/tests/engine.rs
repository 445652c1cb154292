//! The contract of engines, held by each that comes with the crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;
use tempfile::TempDir;
use wm_store::engine::{Batch, Engine, EngineOptions, Memory, Redb, Sled, contract::Harness};

mod memory {
    wm_store::engine_contract!(super::InMemory::default());
}

mod sled {
    wm_store::engine_contract!(super::SledInDirectory::default());
}

mod redb {
    wm_store::engine_contract!(super::RedbInDirectory::default());
}

/// Nothing of it is opened twice: the one engine there is lives on.
#[derive(Default)]
struct InMemory(Arc<Memory>);

impl Harness for InMemory {
    fn open(&self) -> Arc<dyn Engine> {
        self.0.clone()
    }
}

struct SledInDirectory(TempDir);

impl Default for SledInDirectory {
    fn default() -> Self {
        Self(TempDir::new().unwrap())
    }
}

impl Harness for SledInDirectory {
    fn open(&self) -> Arc<dyn Engine> {
        Arc::new(Sled::open(self.0.path(), EngineOptions::default()).unwrap())
    }
}

struct RedbInDirectory(TempDir);

impl Default for RedbInDirectory {
    fn default() -> Self {
        Self(TempDir::new().unwrap())
    }
}

impl Harness for RedbInDirectory {
    fn open(&self) -> Arc<dyn Engine> {
        Arc::new(Redb::open(self.0.path(), EngineOptions::default()).unwrap())
    }
}

#[test]
fn redb_takes_little_more_than_its_entries_once_it_is_packed() {
    let directory = TempDir::new().unwrap();
    let engine = Redb::open(directory.path(), EngineOptions::default()).unwrap();
    let mut octets = 0;
    for commit in 0..200_u64 {
        let mut batch = Batch::new();
        for list in 0..50_u64 {
            let key = [list.to_be_bytes(), commit.to_be_bytes()].concat();
            let value = vec![commit as u8; 40 + (commit + list) as usize % 300];
            octets += (key.len() + value.len()) as u64;
            batch.put(key, value);
        }
        engine.commit(batch).unwrap();
    }
    let before = engine.disk_size().unwrap();
    engine.pack().unwrap();
    let after = engine.disk_size().unwrap();
    assert!(
        after * 100 < octets * 115 && before * 100 > octets * 140,
        "{octets} octets took {before}, then {after}"
    );
}

/// A store that was closed and opened again at random places says what a map says.
mod history {
    use super::*;
    use bytes::Bytes;
    use proptest::{collection::vec, prelude::*};
    use std::collections::BTreeMap;
    use wm_store::engine::{Direction, EngineError, KeyRange, Snapshot};

    #[derive(Debug, Clone)]
    enum Step {
        Commit(Vec<Change>),
        Reopen,
        /// Keeps a snapshot of this state to the end, or to the next time the store is opened.
        Keep,
        Pack,
        Scan(Bytes, Option<Bytes>, Direction),
    }

    #[derive(Debug, Clone)]
    enum Change {
        Put(Bytes, usize),
        Delete(Bytes),
        Require(Bytes, bool),
    }

    fn key() -> impl Strategy<Value = Bytes> {
        vec(
            prop_oneof![Just(0u8), Just(1), Just(b'a'), Just(254), Just(255)],
            0..4,
        )
        .prop_map(Bytes::from)
    }

    fn change() -> impl Strategy<Value = Change> {
        let length = prop_oneof![4 => 0..40usize, 1 => 2040..2056usize, 1 => 0..20_000usize];
        prop_oneof![
            6 => (key(), length).prop_map(|(key, length)| Change::Put(key, length)),
            3 => key().prop_map(Change::Delete),
            1 => (key(), prop::bool::weighted(0.9)).prop_map(|(key, holds)| Change::Require(key, holds)),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Backward)];
        prop_oneof![
            8 => vec(change(), 0..20).prop_map(Step::Commit),
            1 => Just(Step::Reopen),
            2 => Just(Step::Keep),
            1 => Just(Step::Pack),
            3 => (key(), prop::option::of(key()), direction)
                .prop_map(|(start, end, direction)| Step::Scan(start, end, direction)),
        ]
    }

    type Map = BTreeMap<Bytes, Bytes>;

    fn replay(harness: &impl Harness, steps: Vec<Step>) -> Result<(), TestCaseError> {
        let mut engine = harness.open();
        let mut model = Map::new();
        let mut kept: Vec<(Box<dyn Snapshot>, Map)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Commit(changes) => {
                    let (batch, outcome) = apply(&model, changes, number as u8);
                    match (engine.commit(batch), outcome) {
                        (Ok(()), Some(next)) => model = next,
                        (Err(EngineError::Conflict { .. }), None) => {}
                        (result, outcome) => prop_assert!(false, "{result:?}, {outcome:?}"),
                    }
                }
                Step::Reopen => {
                    same(&kept)?;
                    kept.clear();
                    drop(engine);
                    engine = harness.open();
                }
                Step::Pack => engine.pack().unwrap(),
                Step::Keep => kept.push((engine.snapshot().unwrap(), model.clone())),
                Step::Scan(start, end, direction) => {
                    let range = KeyRange { start, end };
                    let mut expected: Vec<_> = model
                        .clone()
                        .into_iter()
                        .filter(|(key, _)| range.contains(key))
                        .collect();
                    if direction == Direction::Backward {
                        expected.reverse();
                    }
                    let found: Result<Vec<_>, _> =
                        engine.snapshot().unwrap().scan(range, direction).collect();
                    prop_assert_eq!(found.unwrap(), expected);
                }
            }
        }
        kept.push((engine.snapshot().unwrap(), model));
        same(&kept)
    }

    fn apply(model: &Map, changes: Vec<Change>, fill: u8) -> (Batch, Option<Map>) {
        let mut batch = Batch::new();
        let mut next = Some(model.clone());
        for change in &changes {
            let Change::Require(key, holds) = change else {
                continue;
            };
            match (model.get(key), holds) {
                (Some(value), true) => batch.require(key.clone(), value.clone()),
                (Some(_), false) => batch.require_absent(key.clone()),
                (None, true) => batch.require_absent(key.clone()),
                (None, false) => batch.require(key.clone(), "something"),
            };
            next = next.filter(|_| *holds);
        }
        for change in changes {
            match change {
                Change::Put(key, length) => {
                    let value = Bytes::from(vec![fill; length]);
                    batch.put(key.clone(), value.clone());
                    next.as_mut().map(|next| next.insert(key, value));
                }
                Change::Delete(key) => {
                    batch.delete(key.clone());
                    next.as_mut().map(|next| next.remove(&key));
                }
                Change::Require(..) => {}
            }
        }
        (batch, next)
    }

    fn same(kept: &[(Box<dyn Snapshot>, Map)]) -> Result<(), TestCaseError> {
        for (snapshot, model) in kept {
            let found: Result<Map, _> =
                snapshot.scan(KeyRange::all(), Direction::Forward).collect();
            prop_assert_eq!(&found.unwrap(), model);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn of_the_memory_engine(steps in vec(step(), 1..60)) {
            replay(&InMemory::default(), steps)?;
        }

        #[test]
        fn of_sled(steps in vec(step(), 1..60)) {
            replay(&SledInDirectory::default(), steps)?;
        }

        #[test]
        fn of_redb(steps in vec(step(), 1..60)) {
            replay(&RedbInDirectory::default(), steps)?;
        }
    }
}
