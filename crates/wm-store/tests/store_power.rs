//! What a whole store has after the power went: every message, flag, user and protocol record that
//! was acknowledged, once, unaltered, under the number it was given; nothing in part; and no number
//! is given out again. The cuts come while writers work, and while the store is compacted,
//! cleaned up and packed.
//!
//! On the fault layer, where engine, segments, journal and keys are in memory, and on files with each
//! engine. `WM_POWER_CUTS` and `WM_POWER_SEED` choose how many cuts are made and which.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs
)]

mod common;
#[path = "power/model.rs"]
mod model;
mod power;
#[path = "power/work.rs"]
mod work;

use futures::executor::block_on;
use model::Notes;
use std::{
    io::Write,
    panic::catch_unwind,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};
use wm_core::traits::KeyService;
use wm_store::{
    Store, StoreParts,
    engine::{
        Batch, Direction, Engine, EngineError, EngineOptions, KeyRange, Memory, Redb, Sled,
        Snapshot, SyncPolicy,
    },
    segment::{Directory, Fault, FaultyFiles, MIN_SEGMENT_SIZE},
};

#[test]
fn a_store_on_redb_keeps_what_it_acknowledged() {
    keeps_what_it_acknowledged("redb");
}

#[test]
fn a_store_on_sled_keeps_what_it_acknowledged() {
    keeps_what_it_acknowledged("sled");
}

fn keeps_what_it_acknowledged(engine: &str) {
    let meanwhile = Meanwhile::default();
    let begin = |seed| begin(engine, "durable", seed, &meanwhile);
    let outcome = power::campaign(engine, power::cuts(25), begin);
    println!("{engine}: {meanwhile}");
    assert_eq!(outcome.failures, Vec::<String>::new());
}

/// The campaign is worth something only if it notices when a sync is taken out.
#[test]
fn a_store_without_one_of_its_syncs_is_caught() {
    for engine in ["redb", "sled"] {
        for missing in ["engine", "bodies", "keys"] {
            let meanwhile = Meanwhile::default();
            let noticed = power::is_noticed(60, |seed| begin(engine, missing, seed, &meanwhile));
            assert!(noticed, "{engine}: syncs of {missing}");
        }
    }
}

/// What was going on when the power went.
#[derive(Debug, Default)]
struct Meanwhile {
    compaction: AtomicU64,
    clean_up: AtomicU64,
    packing: AtomicU64,
    acknowledged: AtomicU64,
}

impl Meanwhile {
    fn note(&self, notes: &Notes) {
        let count = |counter: &AtomicU64, number| counter.fetch_add(number, Ordering::Relaxed);
        count(&self.compaction, notes.is_under_way("compaction").into());
        count(&self.clean_up, notes.is_under_way("clean-up").into());
        count(&self.packing, notes.is_under_way("packing").into());
        count(&self.acknowledged, notes.acknowledged() as u64);
    }
}

impl std::fmt::Display for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} cuts came during a compaction, {} during a clean-up, {} while it was packed; {} \
             acknowledged changes were looked for",
            number(&self.compaction),
            number(&self.clean_up),
            number(&self.packing),
            number(&self.acknowledged)
        )
    }
}

/// What the workload is told, and what is checked after a cut.
fn begin<'a>(
    engine: &'a str,
    missing: &str,
    seed: u64,
    meanwhile: &'a Meanwhile,
) -> (
    String,
    impl FnMut(&Path, &[u8]) -> Result<(), String> + use<'a>,
) {
    let check = move |left: &Path, notes: &[u8]| {
        let notes = Notes::parse(notes);
        meanwhile.note(&notes);
        let opened = catch_unwind(|| open(left, engine, ""));
        let store = opened.map_err(|_| "the store does not open")?;
        block_on(model::check(&store, &notes))
    };
    (format!("{engine} {missing} {seed}"), check)
}

#[test]
#[ignore = "the process that the power is cut for"]
fn workload() {
    let (run, root) = power::run();
    let [engine, missing, seed] = run.split(' ').collect::<Vec<_>>().try_into().unwrap();
    if missing == "nothing" {
        return deliveries(&root, engine);
    }
    let before = power::noted(&root);
    let notes = Mutex::new(power::notes(&root));
    let note = |text: String| notes.lock().unwrap().write_all(text.as_bytes()).unwrap();
    let store = open(&root, engine, missing);
    let run = Notes::parse(&before).next_run();
    work::work(&store, run, seed.parse().unwrap(), &note, &|| false);
}

/// A group of commits is one sync of the segments and one of the engine, also where the engine's file
/// grows in between.
#[test]
fn a_group_of_commits_costs_two_syncs() {
    for engine in ["redb", "sled"] {
        let Some(counted) = power::syncs(&format!("{engine} nothing 0")) else {
            continue;
        };
        let (_, groups) = counted.notes.trim_end().rsplit_once(' ').unwrap();
        let groups: usize = groups.parse().unwrap();
        println!("{engine}: {} syncs for {groups} groups", counted.ended);
        assert!(groups >= MESSAGES);
        assert!(counted.ended <= 2 * groups);
    }
}

const MESSAGES: usize = 400;

/// Delivers one message after the other.
fn deliveries(root: &Path, engine: &str) {
    let mut notes = power::notes(root);
    let store = open(root, engine, "");
    let deliver = |n: u128| {
        let content = n.to_string().repeat(100).into_bytes();
        block_on(common::deliver(&store, n, common::mailbox(1), &content)).unwrap();
    };
    deliver(1);
    let (before, _) = store.commits();
    notes.write_all(b"from here\n").unwrap();
    (2..2 + MESSAGES as u128).for_each(deliver);
    let (after, _) = store.commits();
    let groups = format!("to here {}\n", after - before);
    notes.write_all(groups.as_bytes()).unwrap();
}

/// Opens the store in a directory, of which one part is not synced.
fn open(directory: &Path, engine: &str, unsynced: &str) -> Store {
    let sync = match unsynced {
        "engine" => SyncPolicy::Off,
        _ => SyncPolicy::Durable,
    };
    // Small, so that engines write before they have to.
    let options = EngineOptions::default().with_sync(sync).with_cache(1 << 20);
    let path = directory.join("engine");
    let engine: Arc<dyn Engine> = match engine {
        "sled" => Arc::new(Sled::open(path, options).unwrap()),
        _ => Arc::new(Redb::open(path, options).unwrap()),
    };
    let mut parts = StoreParts::in_directory(directory, engine).unwrap();
    parts.segment_size = MIN_SEGMENT_SIZE;
    let files = |name: &str| {
        let files = Directory::open(directory.join(name)).unwrap();
        Arc::new(files.without_sync())
    };
    match unsynced {
        "bodies" => parts.bodies = files("bodies"),
        "keys" => parts.keys = files("keys"),
        _ => {}
    }
    Store::open(parts).unwrap()
}

/// All of a store's parts, in memory.
#[derive(Clone)]
struct Disk {
    engine: Arc<Memory>,
    bodies: FaultyFiles,
    journal: FaultyFiles,
    keys: FaultyFiles,
    key_service: Arc<dyn KeyService>,
}

impl Disk {
    fn new() -> Self {
        Self {
            engine: Arc::default(),
            bodies: FaultyFiles::new(),
            journal: FaultyFiles::new(),
            keys: FaultyFiles::new(),
            key_service: StoreParts::in_memory().unwrap().key_service,
        }
    }

    /// What it holds when the power goes. An engine in memory has of its commits all or nothing.
    fn cut(&self, seed: u64) -> Self {
        let mut batch = Batch::new();
        let snapshot = self.engine.snapshot().unwrap();
        for entry in snapshot.scan(KeyRange::all(), Direction::Forward) {
            let (key, value) = entry.unwrap();
            batch.put(key, value);
        }
        let engine = Arc::new(Memory::new());
        engine.commit(batch).unwrap();
        Self {
            engine,
            bodies: self.bodies.power_cut(seed),
            journal: self.journal.power_cut(seed),
            keys: self.keys.power_cut(seed),
            key_service: self.key_service.clone(),
        }
    }

    fn open(&self, engine: Arc<dyn Engine>) -> Store {
        let parts = StoreParts::in_memory().unwrap();
        let parts = StoreParts {
            engine,
            bodies: Arc::new(self.bodies.clone()),
            journal: Some(Arc::new(self.journal.clone())),
            keys: Arc::new(self.keys.clone()),
            key_service: self.key_service.clone(),
            segment_size: MIN_SEGMENT_SIZE,
            ..parts
        };
        Store::open(parts).unwrap()
    }
}

/// An engine that takes a picture of everything during one of its commits, before or after the
/// commit is applied: a commit in flight may survive a power cut, or not.
struct Camera {
    disk: Disk,
    notes: Arc<Mutex<Vec<u8>>>,
    commits_left: AtomicUsize,
    seed: u64,
    picture: Mutex<Option<(Disk, Vec<u8>)>>,
}

impl Camera {
    fn take(&self) {
        // What is acknowledged while the picture is taken waits for this commit.
        let notes = self.notes.lock().unwrap().clone();
        *self.picture.lock().unwrap() = Some((self.disk.cut(self.seed), notes));
    }
}

impl Engine for Camera {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        self.disk.engine.snapshot()
    }

    fn commit(&self, batch: Batch) -> Result<(), EngineError> {
        let last = self.commits_left.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && self.seed.is_multiple_of(2) {
            self.take();
        }
        self.disk.engine.commit(batch)?;
        if last && !self.seed.is_multiple_of(2) {
            self.take();
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        "camera"
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

/// Has writers work on what is on `disk` until the power is cut during a commit that `seed` chooses;
/// answers what is left then, and what was noted.
fn cut_during_a_workload(disk: &Disk, notes: Vec<u8>, seed: u64) -> (Disk, Vec<u8>) {
    let run = Notes::parse(&notes).next_run();
    let notes = Arc::new(Mutex::new(notes));
    let camera = Arc::new(Camera {
        disk: disk.clone(),
        notes: notes.clone(),
        commits_left: AtomicUsize::new(3 + power::Random::new(seed).below(60)),
        seed,
        picture: Mutex::default(),
    });
    let note = |text: String| notes.lock().unwrap().extend_from_slice(text.as_bytes());
    let ended = || camera.picture.lock().unwrap().is_some();
    let store = disk.open(camera.clone());
    work::work(&store, run, seed, &note, &ended);
    drop(store);
    if camera.picture.lock().unwrap().is_none() {
        // All was done before it came to that.
        camera.take();
    }
    camera.picture.lock().unwrap().take().unwrap()
}

fn check(left: &Disk, notes: &Notes) -> Result<(), String> {
    let left = left.cut(0);
    block_on(model::check(&left.open(left.engine.clone()), notes))
}

#[test]
fn what_was_acknowledged_survives_every_power_cut() {
    let (cuts, seed, begun) = (power::cuts(25), power::seed(), Instant::now());
    let meanwhile = Meanwhile::default();
    let (mut disk, mut notes) = (Disk::new(), Vec::new());
    for cut in 0..cuts {
        if cut % 6 == 0 {
            (disk, notes) = (Disk::new(), Vec::new());
        }
        (disk, notes) = cut_during_a_workload(&disk, notes, seed << 32 | cut);
        let parsed = Notes::parse(&notes);
        meanwhile.note(&parsed);
        assert_eq!(check(&disk, &parsed), Ok(()), "cut {cut} with seed {seed}");
    }
    println!(
        "fault layer: {cuts} cuts with seed {seed}, 0 of them bad, in {} s",
        begun.elapsed().as_secs()
    );
    println!("fault layer: {meanwhile}");
}

#[test]
fn without_a_sync_the_loss_is_noticed() {
    for part in ["bodies", "keys"] {
        let noticed = (0..30).any(|seed| {
            let disk = Disk::new();
            let files = match part {
                "bodies" => &disk.bodies,
                _ => &disk.keys,
            };
            files.set_fault(Some(Fault::SyncIgnored));
            let (left, notes) = cut_during_a_workload(&disk, Vec::new(), seed);
            let check = || check(&left, &Notes::parse(&notes));
            !matches!(
                catch_unwind(std::panic::AssertUnwindSafe(check)),
                Ok(Ok(()))
            )
        });
        assert!(noticed, "{part}");
    }
}
