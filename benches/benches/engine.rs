//! Durable commits per second of each engine, beside what the disk can sync.
//!
//! A *delivery* is what one message in one mailbox costs the engine: five small records. A group is
//! that many deliveries in one commit. `cargo bench -p wm-benches --bench engine [DIRECTORY]`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use wm_store::engine::{
    Batch, Direction, Engine, EngineError, EngineOptions, KeyRange, Redb, Sled, SyncPolicy,
};

const TIME: Duration = Duration::from_secs(4);
const GROUPS: [u64; 3] = [1, 8, 64];
const ITEMS: u64 = 1_000_000;

type Open = fn(&Path, EngineOptions) -> Result<Arc<dyn Engine>, EngineError>;

const ENGINES: [(&str, Open); 2] = [
    ("sled", |path, options| {
        Ok(Arc::new(Sled::open(path, options)?))
    }),
    ("redb", |path, options| {
        Ok(Arc::new(Redb::open(path, options)?))
    }),
];

fn main() {
    let argument = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let place = argument.map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::TempDir::new_in(place).unwrap();

    println!(
        "fdatasync after 4 KiB appended: {:.0}/s",
        raw_sync_rate(directory.path())
    );
    for (name, open) in ENGINES {
        for sync in [SyncPolicy::Durable, SyncPolicy::Off] {
            for group in GROUPS {
                let path = directory.path().join(name);
                let engine = open(&path, EngineOptions::default().with_sync(sync)).unwrap();
                let commits = commit_rate(&*engine, group);
                println!(
                    "{name} {sync:?}, {group} per commit: {commits:.0} commits/s, {:.0} deliveries/s",
                    commits * group as f64
                );
                drop(engine);
                fs::remove_dir_all(path).unwrap();
            }
        }
        fill(&directory.path().join(name), name, open);
    }
}

fn raw_sync_rate(directory: &Path) -> f64 {
    let mut file = File::create(directory.join("raw")).unwrap();
    rate(|_| {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
    })
}

fn commit_rate(engine: &dyn Engine, group: u64) -> f64 {
    rate(|turn| {
        engine
            .commit(deliveries(turn * group..(turn + 1) * group))
            .unwrap()
    })
}

fn rate(mut work: impl FnMut(u64)) -> f64 {
    let start = Instant::now();
    let mut turns = 0;
    while start.elapsed() < TIME {
        work(turns);
        turns += 1;
    }
    turns as f64 / start.elapsed().as_secs_f64()
}

/// What a million items take, and how long a store of that size takes to open.
fn fill(path: &Path, name: &str, open: Open) {
    let before = resident();
    let options = EngineOptions::default();
    let engine = open(path, options).unwrap();
    let start = Instant::now();
    for from in (0..ITEMS).step_by(1000) {
        engine.commit(deliveries(from..from + 1000)).unwrap();
    }
    let filled = start.elapsed();
    let grown = resident().saturating_sub(before);
    let size = engine.disk_size().unwrap();
    drop(engine);

    let start = Instant::now();
    let engine = open(path, options).unwrap();
    let checked = start.elapsed();
    drop(engine);
    let start = Instant::now();
    let engine = open(path, options.with_check(false)).unwrap();
    let opened = start.elapsed();

    let start = Instant::now();
    let mailbox = [&[b'i'][..], &7u64.to_be_bytes()].concat();
    let snapshot = engine.snapshot().unwrap();
    let newest = snapshot
        .scan(KeyRange::prefix(mailbox), Direction::Backward)
        .take(50)
        .count();
    println!(
        "{name}, {ITEMS} items in 100 mailboxes: filled in {filled:.1?}, {} bytes on disk per item, \
         {} MB resident more, opened in {opened:.1?} ({checked:.1?} with check), newest {newest} in {:.1?}",
        size / ITEMS,
        grown >> 20,
        start.elapsed()
    );
}

/// Item, its place by UID and by modification sequence, a feed entry, the mailbox's counters.
fn deliveries(numbers: std::ops::Range<u64>) -> Batch {
    let mut batch = Batch::new();
    for number in numbers {
        let key = |kind: u8| {
            [
                &[kind][..],
                &(number % 100).to_be_bytes(),
                &number.to_be_bytes(),
            ]
            .concat()
        };
        batch.put(key(b'i'), vec![number as u8; 300]);
        batch.put(key(b'u'), vec![number as u8; 12]);
        batch.put(key(b'm'), vec![number as u8; 12]);
        batch.put(key(b'e'), vec![number as u8; 60]);
        batch.put(
            [&[b'c'][..], &(number % 100).to_be_bytes()].concat(),
            vec![number as u8; 80],
        );
    }
    batch
}

/// Bytes of memory this process has.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4096
}
