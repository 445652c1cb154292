//! Formats of other versions: what an older one wrote is read, what a newer one wrote is refused and left
//! as it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use bytes::Bytes;
use common::{ENGINES, NOW, mailbox};
use futures::executor::block_on;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use wm_core::traits::MailboxStore;
use wm_store::{
    OpenError, Store, StoreParts,
    engine::{Batch, Direction, Engine, EngineOptions, KeyRange, Redb, Sled},
    repair::{self, RepairError},
};

#[test]
fn a_store_of_a_newer_version_is_refused_and_nothing_is_changed() {
    for (name, open) in ["sled", "redb"].into_iter().zip(ENGINES) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        {
            let store = common::open(path, open);
            block_on(store.create(mailbox(1), NOW)).unwrap();
            block_on(common::deliver(&store, 1, mailbox(1), b"kept")).unwrap();
        }
        set_version(&*open(path.join("engine")), 2);
        // Engines write to their own files whenever they are opened; what they hold is what counts.
        let everything = || {
            let mut files = contents(path);
            files.retain(|file, _| !file.starts_with(path.join("engine")));
            (files, entries(&*open(path.join("engine"))))
        };
        let before = everything();
        assert!(before.0.len() >= 4 && before.1.len() > 20, "{name}");

        let opened = || {
            let parts = StoreParts::in_directory(path, open(path.join("engine"))).unwrap();
            Store::open(parts).map(drop)
        };
        let refused = opened().unwrap_err();
        assert!(
            matches!(
                refused,
                OpenError::NewerVersion {
                    found: 2,
                    supported: 1
                }
            ),
            "{refused:?}"
        );
        assert_eq!(
            refused.to_string(),
            "the store has version 2, this program reads up to 1"
        );
        assert!(everything() == before, "{name}");

        let repaired = block_on(repair::in_directory(
            path,
            |path| try_open(name, path),
            |_, _, _| (),
        ));
        let refused = repaired.unwrap_err();
        assert!(
            matches!(
                refused,
                RepairError::Open(OpenError::NewerVersion { found: 2, .. })
            ),
            "{refused:?}"
        );
        assert!(everything() == before, "{name}");

        // The version was all that stood in the way.
        set_version(&*open(path.join("engine")), 1);
        opened().unwrap();
    }
}

/// With an engine that cannot be read the journal is all that tells of which version the store is.
#[test]
fn a_newer_journal_is_not_taken_for_a_damaged_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    {
        let store = common::open(path, |at| try_open("redb", at).unwrap());
        block_on(store.create(mailbox(1), NOW)).unwrap();
        block_on(common::deliver(&store, 1, mailbox(1), b"kept")).unwrap();
    }
    fs::write(path.join("engine/redb"), [0; 8192]).unwrap();
    let set_journal_version = |version| {
        for (file, mut bytes) in contents(&path.join("journal")) {
            assert_eq!(bytes[..3], *b"wmj");
            bytes[3] = version;
            fs::write(file, bytes).unwrap();
        }
    };
    let repair = || {
        let open = |path| try_open("redb", path);
        block_on(repair::in_directory(path, open, |_, _, _| ()))
    };
    set_journal_version(2);
    // As power leaves a file that was just made.
    let torn = path.join("journal/00ffffff.wmj");
    fs::write(&torn, b"").unwrap();
    let before = contents(path);
    let refused = repair().unwrap_err();
    assert!(
        matches!(
            refused,
            RepairError::Open(OpenError::NewerVersion { found: 2, .. })
        ),
        "{refused:?}"
    );
    assert!(contents(path) == before);

    fs::remove_file(torn).unwrap();
    set_journal_version(1);
    assert_eq!(repair().unwrap().items, 1);
}

fn try_open(name: &str, path: PathBuf) -> Result<Arc<dyn Engine>, wm_store::engine::EngineError> {
    let options = EngineOptions::default();
    Ok(match name {
        "sled" => Arc::new(Sled::open(path, options)?),
        _ => Arc::new(Redb::open(path, options)?),
    })
}

/// Everything in an engine.
fn entries(engine: &dyn Engine) -> Vec<(Bytes, Bytes)> {
    let snapshot = engine.snapshot().unwrap();
    let entries = snapshot.scan(KeyRange::all(), Direction::Forward);
    entries.map(Result::unwrap).collect()
}

fn set_version(engine: &dyn Engine, version: u32) {
    let mut batch = Batch::new();
    let key = [&[0; 16][..], b"v"].concat();
    batch.put(key, version.to_be_bytes().to_vec());
    engine.commit(batch).unwrap();
}

/// Every file below a directory.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => drop(found.insert(path.clone(), fs::read(path).unwrap())),
        }
    }
    found
}
