//! What the engines on disk say of a directory that is not as they need it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use std::{collections::BTreeMap, fs, path::Path};
use tempfile::TempDir;
use wm_store::engine::{
    Batch, Direction, Engine, EngineError, EngineOptions, KeyRange, Redb, Sled,
};

type Open = fn(&Path) -> Result<Box<dyn Engine>, EngineError>;

const ENGINES: [(&str, Open); 2] = [
    ("sled", |path| {
        Ok(Box::new(Sled::open(path, EngineOptions::default())?))
    }),
    ("redb", |path| {
        Ok(Box::new(Redb::open(path, EngineOptions::default())?))
    }),
];

#[test]
fn a_directory_in_use_is_refused_until_it_is_free() {
    for (name, open) in ENGINES {
        let directory = TempDir::new().unwrap();
        let first = open(directory.path()).unwrap();
        match open(directory.path()).map(drop) {
            Err(error @ EngineError::InUse { .. }) => assert!(error.is_transient()),
            other => panic!("{name}: {other:?}"),
        }
        drop(first);
        open(directory.path()).unwrap();
    }
}

#[test]
fn a_snapshot_keeps_the_directory_in_use() {
    for (name, open) in ENGINES {
        let directory = TempDir::new().unwrap();
        let engine = open(directory.path()).unwrap();
        let mut batch = Batch::new();
        batch.put("a", "1");
        engine.commit(batch).unwrap();
        let snapshot = engine.snapshot().unwrap();
        drop(engine);
        assert!(
            matches!(
                open(directory.path()).map(drop),
                Err(EngineError::InUse { .. })
            ),
            "{name}"
        );
        assert_eq!(snapshot.get(b"a").unwrap().unwrap(), "1", "{name}");
        drop(snapshot);
        open(directory.path()).unwrap();
    }
}

/// Power went while the engine made its files: no half of them may be taken for a store.
#[test]
fn an_engine_that_was_never_complete_is_made_again() {
    for (name, open) in ENGINES {
        let directory = TempDir::new().unwrap();
        let at = |file: &str| directory.path().join(file);
        fs::write(at("UNFINISHED"), "").unwrap();
        fs::create_dir(at("blobs")).unwrap();
        for file in ["redb", "db", "conf"] {
            fs::write(at(file), "torn").unwrap();
        }
        let engine = open(directory.path()).unwrap();
        let mut batch = Batch::new();
        batch.put("a", "1");
        engine.commit(batch).unwrap();
        drop(engine);
        assert!(!at("UNFINISHED").exists() && at("FORMAT").exists());

        // What is complete stays, whatever the mark says.
        fs::write(at("UNFINISHED"), "").unwrap();
        let engine = open(directory.path()).unwrap();
        let a = engine.snapshot().unwrap().get(b"a").unwrap();
        assert_eq!(a.unwrap(), "1", "{name}");
    }
}

#[test]
fn another_engine_and_a_newer_format_are_refused_and_nothing_is_changed() {
    for (name, open) in ENGINES {
        let directory = TempDir::new().unwrap();
        drop(open(directory.path()).unwrap());
        for (format, expected) in [
            ("other 1\n", "holds a store of the engine other"),
            (
                &format!("{name} 2\n"),
                "has format 2, this version reads up to 1",
            ),
            ("", "damaged"),
        ] {
            fs::write(directory.path().join("FORMAT"), format).unwrap();
            let before = contents(directory.path());
            let error = open(directory.path()).map(drop).unwrap_err();
            assert!(error.to_string().contains(expected), "{name}: {error}");
            assert_eq!(contents(directory.path()), before, "{name}");
        }
    }
}

#[test]
fn damage_is_a_typed_error_and_never_a_panic_or_a_silent_loss() {
    for (name, open) in ENGINES {
        let directory = TempDir::new().unwrap();
        let engine = open(directory.path()).unwrap();
        for number in 0..200 {
            let mut batch = Batch::new();
            batch.put(format!("{number:03}"), vec![number as u8; 1000]);
            engine.commit(batch).unwrap();
        }
        drop(engine);
        let whole = contents(directory.path());
        let file = if name == "sled" { "db" } else { "redb" };
        let bytes = &whole[Path::new(file)];
        let mut refused = 0;
        for place in (0..bytes.len()).step_by(bytes.len() / 40) {
            restore(directory.path(), &whole);
            let mut bytes = bytes.clone();
            let end = bytes.len().min(place + 64);
            bytes[place..end].iter_mut().for_each(|byte| *byte = !*byte);
            fs::write(directory.path().join(file), bytes).unwrap();
            match open(directory.path()).and_then(|engine| values(&*engine)) {
                Ok(values) => {
                    let right =
                        |(number, value): (usize, &Bytes)| *value == vec![number as u8; 1000];
                    assert_eq!(values.len(), 200, "{name}, damage at {place}");
                    assert!(
                        values.iter().enumerate().all(right),
                        "{name}, damage at {place}"
                    );
                }
                Err(EngineError::Corrupt { .. } | EngineError::Io { .. }) => refused += 1,
                Err(other) => panic!("{name}: {other:?}"),
            }
        }
        assert!(refused > 0, "{name}: no damage was noticed");
    }
}

/// A crash in the middle of sled's own snapshot must not close the store for ever.
#[test]
fn sled_opens_after_an_unfinished_snapshot_of_its_page_table() {
    let directory = TempDir::new().unwrap();
    let engine = Sled::open(directory.path(), EngineOptions::default()).unwrap();
    let mut batch = Batch::new();
    batch.put("a", "1");
    engine.commit(batch).unwrap();
    drop(engine);
    fs::write(
        directory.path().join("snap.00000000000FFFFF.generating"),
        "torn",
    )
    .unwrap();
    let engine = Sled::open(directory.path(), EngineOptions::default()).unwrap();
    assert_eq!(engine.snapshot().unwrap().get(b"a").unwrap().unwrap(), "1");
}

/// sled never syncs the files in `blobs`, so nothing may ever get there.
#[test]
fn sled_keeps_every_value_in_its_log() {
    let directory = TempDir::new().unwrap();
    let engine = Sled::open(directory.path(), EngineOptions::default()).unwrap();
    for round in 0..20u8 {
        let mut batch = Batch::new();
        for number in 0..100u8 {
            let key = [&[number, round % 3][..], &[7; 1000]].concat();
            batch.put(key, vec![round; 1900 + usize::from(number) * 3]);
            batch.put(vec![number], vec![round; 150_000]);
        }
        engine.commit(batch).unwrap();
    }
    let blobs: Vec<_> = fs::read_dir(directory.path().join("blobs"))
        .unwrap()
        .collect();
    assert!(blobs.is_empty(), "{blobs:?}");
    let entries = engine
        .snapshot()
        .unwrap()
        .scan(KeyRange::all(), Direction::Forward)
        .count();
    assert_eq!(entries, 400);
}

fn values(engine: &dyn Engine) -> Result<Vec<Bytes>, EngineError> {
    engine.verify()?;
    let snapshot = engine.snapshot()?;
    snapshot
        .scan(KeyRange::all(), Direction::Forward)
        .map(|entry| Ok(entry?.1))
        .collect()
}

fn contents(path: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let files = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.is_file());
    files
        .map(|file| (file.file_name().unwrap().into(), fs::read(&file).unwrap()))
        .collect()
}

fn restore(path: &Path, contents: &BTreeMap<std::path::PathBuf, Vec<u8>>) {
    for file in fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if file.is_file() {
            fs::remove_file(file).unwrap();
        }
    }
    for (name, bytes) in contents {
        fs::write(path.join(name), bytes).unwrap();
    }
}
