//! What the engines on disk have after the power went: everything that was acknowledged, at most the
//! one commit that was under way besides, and that one whole.
//!
//! `WM_POWER_CUTS` and `WM_POWER_SEED` choose how many cuts are made for each engine and which.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs
)]

mod power;

use bytes::Bytes;
use power::{Outcome, Random};
use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    error::Error,
    hash::{Hash, Hasher},
    io::Write,
    path::Path,
};
use wm_store::engine::{
    Batch, Direction, Engine, EngineError, EngineOptions, KeyRange, Redb, Sled, SyncPolicy,
};

/// Commits of one run between two cuts that the next run goes on from.
const COMMITS: u64 = 150;

/// sled may reuse a part of its log within one commit, before it is sure that what stood there is
/// durable elsewhere (docs/decisions/0003-engine.md). So a cut in a large commit can damage it; that
/// is rare, and said.
#[test]
fn sled_keeps_what_it_acknowledged_or_says_that_it_is_damaged() {
    let outcome = campaign("sled", SyncPolicy::Durable, power::cuts(25));
    let (damaged, lost): (Vec<_>, Vec<_>) = outcome
        .failures
        .into_iter()
        .partition(|failure| failure.contains(DAMAGED));
    assert_eq!(lost, Vec::<String>::new());
    assert!(
        damaged.len() as u64 <= 1 + outcome.cuts / 200,
        "{damaged:#?}"
    );
}

#[test]
fn redb_keeps_what_it_acknowledged() {
    let outcome = campaign("redb", SyncPolicy::Durable, power::cuts(25));
    assert_eq!(outcome.failures, Vec::<String>::new());
}

/// The rig is worth something only if it notices when a sync is taken out.
#[test]
fn without_its_syncs_an_engine_is_caught() {
    for engine in ["sled", "redb"] {
        let noticed = power::is_noticed(20, |seed| begin(engine, SyncPolicy::Off, seed));
        assert!(noticed, "{engine}");
    }
}

/// What errors of damage begin with.
const DAMAGED: &str = "damaged engine data";

fn campaign(engine: &str, sync: SyncPolicy, cuts: u64) -> Outcome {
    power::campaign(engine, cuts, |seed| begin(engine, sync, seed))
}

/// What the workload is told, and what is checked after a cut.
fn begin(
    engine: &str,
    sync: SyncPolicy,
    seed: u64,
) -> (String, impl FnMut(&Path, &[u8]) -> Result<(), String>) {
    let mut states = States::new(seed);
    let check = move |left: &Path, notes: &[u8]| {
        let acknowledged = notes
            .last_chunk()
            .map_or(0, |last| u64::from_le_bytes(*last));
        check(engine, &left.join("engine"), acknowledged, &mut states)
    };
    (format!("{engine} {sync:?} {seed}"), check)
}

/// Whether what was left is what the last commit acknowledged left, or the one after it.
fn check(engine: &str, path: &Path, acknowledged: u64, states: &mut States) -> Result<(), String> {
    let engine = open(engine, SyncPolicy::Durable, path).map_err(|error| describe(&error))?;
    let found = entries(&*engine).map_err(|error| describe(&error))?;
    let last = last_commit(&found);
    if last < acknowledged || last > acknowledged + 1 {
        return Err(format!(
            "commit {acknowledged} was acknowledged, the last one there is {last}"
        ));
    }
    if digest(&found) != states.after(last) {
        return Err(format!("commit {last} is there in part"));
    }
    Ok(())
}

/// What is run and recorded: commits that follow from the seed, each noted when it is acknowledged.
#[test]
#[ignore = "the process that the power is cut for"]
fn workload() {
    let (run, root) = power::run();
    let [engine, sync, seed] = run.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let sync = match sync {
        "Off" => SyncPolicy::Off,
        _ => SyncPolicy::Durable,
    };
    let path = root.join("engine");
    let mut notes = power::notes(&root);

    let mut store = open(engine, sync, &path).unwrap();
    let last = last_commit(&entries(&*store).unwrap());
    // What opening has shown is as good as acknowledged.
    notes.write_all(&last.to_le_bytes()).unwrap();
    for number in last + 1..=last + COMMITS {
        if number % 60 == 0 {
            drop(store);
            store = open(engine, sync, &path).unwrap();
        }
        store.commit(commit(seed.parse().unwrap(), number)).unwrap();
        notes.write_all(&number.to_le_bytes()).unwrap();
    }
}

/// The commit of this number: mostly small, now and then larger than what an engine writes in one
/// piece.
fn commit(seed: u64, number: u64) -> Batch {
    let mut random = Random::new(seed ^ number << 20);
    let mut batch = Batch::new();
    batch.put(LAST, number.to_le_bytes().to_vec());
    let writes = [1, 5, 5, 20, 60][random.below(5)] * if random.below(20) == 0 { 20 } else { 1 };
    for write in 0..writes {
        let key = format!("key/{:04}", random.below(2000));
        if random.below(4) == 0 {
            batch.delete(key);
        } else {
            let length = match random.below(50) {
                0 => random.below(60_000),
                1 => 2000 + random.below(100),
                _ => random.below(400),
            };
            let text = format!("{number} {write} ");
            batch.put(key, text.bytes().cycle().take(length).collect::<Vec<_>>());
        }
    }
    batch
}

/// Where the number of the last commit is kept.
const LAST: &str = "last";

fn last_commit(entries: &BTreeMap<Bytes, Bytes>) -> u64 {
    let last = entries.get(LAST.as_bytes());
    last.map_or(0, |value| u64::from_le_bytes(value[..].try_into().unwrap()))
}

/// What the store holds after each commit, as a digest.
struct States {
    seed: u64,
    entries: BTreeMap<Bytes, Bytes>,
    digests: Vec<u64>,
}

impl States {
    fn new(seed: u64) -> Self {
        let entries = BTreeMap::new();
        Self {
            seed,
            digests: vec![digest(&entries)],
            entries,
        }
    }

    fn after(&mut self, number: u64) -> u64 {
        while self.digests.len() as u64 <= number {
            for write in commit(self.seed, self.digests.len() as u64).writes {
                match write.value {
                    Some(value) => self.entries.insert(write.key, value),
                    None => self.entries.remove(&write.key),
                };
            }
            self.digests.push(digest(&self.entries));
        }
        self.digests[number as usize]
    }
}

fn digest(entries: &BTreeMap<Bytes, Bytes>) -> u64 {
    let mut hasher = DefaultHasher::new();
    entries.hash(&mut hasher);
    hasher.finish()
}

fn open(engine: &str, sync: SyncPolicy, path: &Path) -> Result<Box<dyn Engine>, EngineError> {
    // Small, so that engines write before they have to.
    let options = EngineOptions::default().with_sync(sync).with_cache(1 << 20);
    match engine {
        "sled" => Ok(Box::new(Sled::open(path, options)?)),
        _ => Ok(Box::new(Redb::open(path, options)?)),
    }
}

fn entries(engine: &dyn Engine) -> Result<BTreeMap<Bytes, Bytes>, EngineError> {
    engine
        .snapshot()?
        .scan(KeyRange::all(), Direction::Forward)
        .collect()
}

fn describe(error: &dyn Error) -> String {
    let source = error
        .source()
        .map(|source| format!(": {}", describe(source)));
    format!("{error}{}", source.unwrap_or_default())
}
