//! What every [`Engine`] has to do, as tests to run on an implementation; their names say what.
//!
//! ```ignore
//! use wm_store::engine_contract;
//!
//! engine_contract!(MyHarness::new());
//! ```

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use super::{Batch, Direction, Engine, EngineError, KeyRange, MAX_KEY, Snapshot};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Opens the engine under test.
pub trait Harness {
    /// The engine, empty the first time. Called again after everything that came of the call before
    /// has been dropped: what was committed is then still there.
    fn open(&self) -> Arc<dyn Engine>;
}

/// Makes one `#[test]` of each function in [`contract`](crate::engine::contract), each with a
/// harness of its own from the given expression.
#[macro_export]
macro_rules! engine_contract {
    ($harness:expr) => {
        $crate::engine_contract! { $harness =>
            an_empty_engine_has_no_entries,
            entries_come_in_byte_order_both_ways,
            a_range_has_its_start_and_not_its_end,
            the_later_write_of_a_batch_stands,
            a_batch_whose_precondition_fails_changes_nothing,
            an_empty_value_is_not_absence,
            a_batch_without_writes_only_checks,
            one_of_many_contenders_wins_each_time,
            a_commit_is_seen_when_it_returns,
            a_snapshot_does_not_change,
            a_scan_goes_on_while_its_keys_are_replaced,
            a_reader_sees_batches_whole,
            values_of_every_length_come_back,
            an_oversized_key_is_refused_and_nothing_with_it_is_written,
            everything_is_there_after_opening_again,
            many_entries_are_all_found,
        }
    };
    ($harness:expr => $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::engine::contract::$name(&$harness);
            }
        )*
    };
}

pub fn an_empty_engine_has_no_entries(harness: &impl Harness) {
    let engine = harness.open();
    assert_eq!(engine.snapshot().unwrap().get(b"").unwrap(), None);
    assert_eq!(entries(&*engine), []);
    engine.verify().unwrap();
}

pub fn entries_come_in_byte_order_both_ways(harness: &impl Harness) {
    let engine = harness.open();
    let keys = awkward_keys();
    let mut batch = Batch::new();
    for (number, key) in keys.iter().enumerate().rev() {
        batch.put(key.clone(), number.to_string());
    }
    engine.commit(batch).unwrap();

    let snapshot = engine.snapshot().unwrap();
    let found = scan(&*snapshot, KeyRange::all(), Direction::Forward);
    assert_eq!(
        found.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(),
        keys
    );
    assert!(
        found
            .iter()
            .enumerate()
            .all(|(number, (_, value))| *value == number.to_string())
    );
    let back = scan(&*snapshot, KeyRange::all(), Direction::Backward);
    assert_eq!(back, found.into_iter().rev().collect::<Vec<_>>());
}

pub fn a_range_has_its_start_and_not_its_end(harness: &impl Harness) {
    let engine = harness.open();
    let keys = awkward_keys();
    let mut batch = Batch::new();
    keys.iter().for_each(|key| {
        batch.put(key.clone(), "");
    });
    engine.commit(batch).unwrap();

    let snapshot = engine.snapshot().unwrap();
    let bounds = keys
        .iter()
        .cloned()
        .chain([Bytes::from_static(b"a\0\x01"), Bytes::from_static(b"zz")]);
    let ranges = bounds.clone().flat_map(|start| {
        let ends = bounds.clone().map(Some).chain([None]);
        let to_ends = ends.map({
            let start = start.clone();
            move |end| KeyRange {
                start: start.clone(),
                end,
            }
        });
        to_ends.chain([KeyRange::prefix(start)])
    });
    for range in ranges {
        let expected: Vec<_> = keys
            .iter()
            .filter(|key| range.contains(key))
            .cloned()
            .collect();
        let found = scan(&*snapshot, range.clone(), Direction::Forward);
        assert_eq!(
            found.into_iter().map(|(key, _)| key).collect::<Vec<_>>(),
            expected,
            "{range:?}"
        );
        let mut back = scan(&*snapshot, range.clone(), Direction::Backward);
        back.reverse();
        assert_eq!(
            back.into_iter().map(|(key, _)| key).collect::<Vec<_>>(),
            expected,
            "{range:?}"
        );
    }
}

pub fn the_later_write_of_a_batch_stands(harness: &impl Harness) {
    let engine = harness.open();
    let mut batch = Batch::new();
    batch.put("put", "1").put("put", "2");
    batch.put("deleted", "1").delete("deleted");
    batch.delete("revived").put("revived", "1");
    batch.delete("never there");
    engine.commit(batch).unwrap();
    assert_eq!(entries(&*engine), [pair("put", "2"), pair("revived", "1")]);
}

pub fn a_batch_whose_precondition_fails_changes_nothing(harness: &impl Harness) {
    let engine = harness.open();
    let mut batch = Batch::new();
    batch.put("a", "1").put("b", "2");
    engine.commit(batch).unwrap();

    let failing: [fn(&mut Batch) -> &mut Batch; 4] = [
        |batch| batch.require_absent("b"),
        |batch| batch.require("b", "3"),
        |batch| batch.require("b", "2\0"),
        |batch| batch.require("absent", "2"),
    ];
    for fail in failing {
        let mut batch = Batch::new();
        batch.require("a", "1");
        fail(&mut batch).put("a", "new").delete("b").put("c", "new");
        let failed = batch.preconditions[1].key.clone();
        match engine.commit(batch) {
            Err(EngineError::Conflict { key }) => assert_eq!(key, failed),
            other => panic!("{other:?} instead of a conflict"),
        }
        assert_eq!(entries(&*engine), [pair("a", "1"), pair("b", "2")]);
    }

    let mut batch = Batch::new();
    batch
        .require("a", "1")
        .require("b", "2")
        .require_absent("c")
        .put("a", "new")
        .delete("b");
    engine.commit(batch).unwrap();
    assert_eq!(entries(&*engine), [pair("a", "new")]);
}

pub fn an_empty_value_is_not_absence(harness: &impl Harness) {
    let engine = harness.open();
    let mut batch = Batch::new();
    batch.require_absent("a").put("a", "");
    engine.commit(batch.clone()).unwrap();
    assert!(matches!(
        engine.commit(batch),
        Err(EngineError::Conflict { .. })
    ));
    assert_eq!(
        engine.snapshot().unwrap().get(b"a").unwrap(),
        Some(Bytes::new())
    );

    let mut batch = Batch::new();
    batch.require("a", "").delete("a");
    engine.commit(batch.clone()).unwrap();
    assert!(matches!(
        engine.commit(batch),
        Err(EngineError::Conflict { .. })
    ));
}

pub fn a_batch_without_writes_only_checks(harness: &impl Harness) {
    let engine = harness.open();
    engine.commit(Batch::new()).unwrap();
    let mut batch = Batch::new();
    batch.require_absent("a");
    engine.commit(batch).unwrap();
    let mut batch = Batch::new();
    batch.require("a", "1");
    assert!(matches!(
        engine.commit(batch),
        Err(EngineError::Conflict { .. })
    ));
}

/// Threads that count together by compare-and-swap lose no step.
pub fn one_of_many_contenders_wins_each_time(harness: &impl Harness) {
    const THREADS: u64 = 8;
    const STEPS: u64 = 25;
    let engine = harness.open();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..STEPS {
                    while !count(&*engine) {}
                }
            });
        }
    });
    let total = engine.snapshot().unwrap().get(b"count").unwrap();
    assert_eq!(
        total.as_deref(),
        Some((THREADS * STEPS).to_string().as_bytes())
    );

    fn count(engine: &dyn Engine) -> bool {
        let mut batch = Batch::new();
        let next = match engine.snapshot().unwrap().get(b"count").unwrap() {
            None => {
                batch.require_absent("count");
                1
            }
            Some(value) => {
                let count: u64 = str::from_utf8(&value).unwrap().parse().unwrap();
                batch.require("count", value);
                count + 1
            }
        };
        batch.put("count", next.to_string());
        match engine.commit(batch) {
            Ok(()) => true,
            Err(EngineError::Conflict { key }) if key == "count" => false,
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn a_commit_is_seen_when_it_returns(harness: &impl Harness) {
    let engine = harness.open();
    for number in 0..50 {
        let mut batch = Batch::new();
        batch.put("a", number.to_string());
        engine.commit(batch).unwrap();
        assert_eq!(entries(&*engine), [pair("a", &number.to_string())]);
    }
}

/// Snapshots of every state along a history keep showing it.
pub fn a_snapshot_does_not_change(harness: &impl Harness) {
    let engine = harness.open();
    let mut random = Random(1);
    let mut state = BTreeMap::new();
    let mut past = Vec::new();
    for step in 0..120 {
        let mut batch = Batch::new();
        for _ in 0..random.below(12) {
            let key = Bytes::from(format!("key/{}", random.below(60)));
            if random.below(3) == 0 {
                batch.delete(key.clone());
                state.remove(&key);
            } else {
                let length = if random.below(10) == 0 { 5000 } else { 5 };
                let value = Bytes::from(format!("{step:0>length$}"));
                batch.put(key.clone(), value.clone());
                state.insert(key, value);
            }
        }
        engine.commit(batch).unwrap();
        past.push((
            engine.snapshot().unwrap(),
            state.clone().into_iter().collect::<Vec<_>>(),
        ));
        if past.len() > 8 {
            past.swap_remove(random.below(8));
        }
        for (snapshot, entries) in &past {
            let snapshot: &dyn Snapshot = &**snapshot;
            assert_eq!(
                scan(snapshot, KeyRange::all(), Direction::Forward),
                *entries
            );
            let (from, to) = (Bytes::from("key/2"), Bytes::from("key/4"));
            let mut part = scan(
                snapshot,
                KeyRange::new(from.clone(), to.clone()),
                Direction::Backward,
            );
            part.reverse();
            let expected: Vec<_> = entries
                .iter()
                .filter(|(key, _)| from <= *key && *key < to)
                .cloned()
                .collect();
            assert_eq!(part, expected);
            for number in 0..60 {
                let key = format!("key/{number}");
                let expected = entries
                    .iter()
                    .find(|(found, _)| *found == key)
                    .map(|(_, value)| value.clone());
                assert_eq!(snapshot.get(key.as_bytes()).unwrap(), expected);
            }
        }
    }
}

pub fn a_scan_goes_on_while_its_keys_are_replaced(harness: &impl Harness) {
    const KEYS: usize = 1500;
    let key = |number: usize| Bytes::from(format!("{number:05}"));
    let engine = harness.open();
    let mut batch = Batch::new();
    (0..KEYS).for_each(|number| {
        batch.put(key(number * 2), "before");
    });
    engine.commit(batch).unwrap();

    for direction in [Direction::Forward, Direction::Backward] {
        let snapshot = engine.snapshot().unwrap();
        let mut found = Vec::new();
        for (step, entry) in snapshot.scan(KeyRange::all(), direction).enumerate() {
            let (found_key, value) = entry.unwrap();
            assert_eq!(value, "before");
            found.push(found_key);
            if step % 100 == 7 {
                let mut batch = Batch::new();
                for number in (step..KEYS * 2).step_by(50) {
                    batch.delete(key(number)).put(key(number | 1), "between");
                }
                engine.commit(batch).unwrap();
            }
        }
        if direction == Direction::Backward {
            found.reverse();
        }
        assert_eq!(
            found,
            (0..KEYS).map(|number| key(number * 2)).collect::<Vec<_>>()
        );

        let mut batch = Batch::new();
        for number in 0..KEYS * 2 {
            if number % 2 == 0 {
                batch.put(key(number), "before");
            } else {
                batch.delete(key(number));
            }
        }
        engine.commit(batch).unwrap();
    }
}

/// While one thread moves a set of keys from number to number, others never see two numbers.
pub fn a_reader_sees_batches_whole(harness: &impl Harness) {
    let engine = harness.open();
    let keys: Vec<_> = (0..300)
        .map(|number| Bytes::from(format!("{number:03}")))
        .collect();
    let turn = |number: usize| {
        let mut batch = Batch::new();
        let length = if number.is_multiple_of(10) { 3000 } else { 4 };
        for (position, key) in keys.iter().enumerate() {
            // A third of the keys comes and goes.
            if position % 3 == 0 && number % 2 == 1 {
                batch.delete(key.clone());
            } else {
                batch.put(key.clone(), format!("{number:0>length$}"));
            }
        }
        batch
    };
    engine.commit(turn(0)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let snapshot = engine.snapshot().unwrap();
                    let number = parse(&snapshot.get(b"001").unwrap().unwrap());
                    assert!(number >= last, "{number} after {last}");
                    last = number;
                    for direction in [Direction::Forward, Direction::Backward] {
                        let found = scan(&*snapshot, KeyRange::all(), direction);
                        assert!(found.iter().all(|(_, value)| parse(value) == number));
                        assert_eq!(found.len(), if number % 2 == 1 { 200 } else { 300 });
                    }
                    assert_eq!(
                        snapshot.get(b"003").unwrap().is_some(),
                        number.is_multiple_of(2)
                    );
                }
            });
        }
        for number in 1..60 {
            engine.commit(turn(number)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });

    fn parse(value: &[u8]) -> usize {
        str::from_utf8(value).unwrap().parse().unwrap()
    }
}

pub fn values_of_every_length_come_back(harness: &impl Harness) {
    const LENGTHS: [usize; 12] = [
        0, 1, 100, 2046, 2047, 2048, 2049, 4095, 4096, 4097, 100_000, 1_000_003,
    ];
    let value = |length: usize| Bytes::from_iter((0..length).map(|at| (at * 31 + length) as u8));
    let mut engine = harness.open();
    // Each key takes every length in turn, and each step is read back after opening again.
    for step in 0..LENGTHS.len() {
        let length = |key: usize| LENGTHS[(key * 5 + step) % LENGTHS.len()];
        let mut batch = Batch::new();
        for key in 0..LENGTHS.len() {
            batch.put(format!("{key:02}"), value(length(key)));
        }
        engine.commit(batch).unwrap();
        drop(engine);
        engine = harness.open();
        let found = entries(&*engine);
        assert_eq!(found.len(), LENGTHS.len());
        for (key, (_, found)) in found.iter().enumerate() {
            assert!(*found == value(length(key)), "{} bytes", length(key));
        }
    }
}

pub fn an_oversized_key_is_refused_and_nothing_with_it_is_written(harness: &impl Harness) {
    let engine = harness.open();
    let mut batch = Batch::new();
    batch
        .put("a", "1")
        .put(vec![7; MAX_KEY], "fits")
        .put(vec![7; MAX_KEY + 1], "does not");
    match engine.commit(batch) {
        Err(EngineError::TooLong { key, .. }) => assert_eq!(key, MAX_KEY + 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(entries(&*engine), []);
    let mut batch = Batch::new();
    batch.put(vec![7; MAX_KEY], "fits");
    engine.commit(batch).unwrap();
    assert_eq!(
        engine
            .snapshot()
            .unwrap()
            .get(&[7; MAX_KEY])
            .unwrap()
            .as_deref(),
        Some(&b"fits"[..])
    );
}

pub fn everything_is_there_after_opening_again(harness: &impl Harness) {
    let mut expected = BTreeMap::new();
    let mut random = Random(2);
    for _ in 0..5 {
        let engine = harness.open();
        assert_eq!(
            entries(&*engine),
            expected.clone().into_iter().collect::<Vec<_>>()
        );
        engine.verify().unwrap();
        for _ in 0..20 {
            let mut batch = Batch::new();
            for _ in 0..10 {
                let key = Bytes::from(random.below(200).to_string());
                if random.below(4) == 0 {
                    batch.delete(key.clone());
                    expected.remove(&key);
                } else {
                    let value = Bytes::from(vec![b'v'; random.below(9000)]);
                    batch.put(key.clone(), value.clone());
                    expected.insert(key, value);
                }
            }
            engine.commit(batch).unwrap();
        }
    }
}

pub fn many_entries_are_all_found(harness: &impl Harness) {
    const ENTRIES: u32 = 30_000;
    let engine = harness.open();
    for start in (0..ENTRIES).step_by(5000) {
        let mut batch = Batch::new();
        for number in start..start + 5000 {
            // In an order that is not that of the keys.
            let key = number.reverse_bits().to_be_bytes();
            batch.put(Bytes::copy_from_slice(&key), number.to_string());
        }
        engine.commit(batch).unwrap();
    }
    let snapshot = engine.snapshot().unwrap();
    for number in (0..ENTRIES).step_by(97) {
        let value = snapshot.get(&number.reverse_bits().to_be_bytes()).unwrap();
        assert_eq!(value.as_deref(), Some(number.to_string().as_bytes()));
    }
    assert_eq!(
        snapshot.scan(KeyRange::all(), Direction::Forward).count(),
        ENTRIES as usize
    );
    assert_eq!(
        snapshot.scan(KeyRange::all(), Direction::Backward).count(),
        ENTRIES as usize
    );
    let first = snapshot
        .scan(KeyRange::prefix(&b"\x80"[..]), Direction::Backward)
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(first.0[0], 0x80);
}

/// In order, with prefixes of each other and the bytes at both ends of the alphabet.
fn awkward_keys() -> Vec<Bytes> {
    let keys: [&[u8]; 16] = [
        b"",
        b"\0",
        b"\0\0",
        b"\0\xff",
        b"\x01",
        b"a",
        b"a\0",
        b"a\0\0",
        b"a\0b",
        b"ab",
        b"a\xff",
        b"a\xff\xff",
        b"b",
        b"k",
        b"\xff",
        b"\xff\xff",
    ];
    keys.map(Bytes::from_static).into()
}

fn entries(engine: &dyn Engine) -> Vec<(Bytes, Bytes)> {
    scan(
        &*engine.snapshot().unwrap(),
        KeyRange::all(),
        Direction::Forward,
    )
}

fn scan(snapshot: &dyn Snapshot, range: KeyRange, direction: Direction) -> Vec<(Bytes, Bytes)> {
    snapshot
        .scan(range, direction)
        .collect::<Result<_, _>>()
        .unwrap()
}

fn pair(key: &str, value: &str) -> (Bytes, Bytes) {
    (
        Bytes::copy_from_slice(key.as_bytes()),
        Bytes::copy_from_slice(value.as_bytes()),
    )
}

/// A fixed sequence that looks random (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
