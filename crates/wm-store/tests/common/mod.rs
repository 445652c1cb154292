//! Stores for the tests, over each engine.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::sync::Arc;
use tempfile::TempDir;
use wm_store::{
    Store, StoreParts,
    engine::{Engine, EngineOptions, Redb, Sled},
    segment::MIN_SEGMENT_SIZE,
};

/// A store in a directory that goes with it.
pub struct OnDisk {
    pub store: Store,
    pub directory: TempDir,
}

pub fn memory() -> Store {
    Store::open(StoreParts::in_memory().unwrap()).unwrap()
}

pub fn sled() -> OnDisk {
    on_disk(|path| Arc::new(Sled::open(path, EngineOptions::default()).unwrap()))
}

pub fn redb() -> OnDisk {
    on_disk(|path| Arc::new(Redb::open(path, EngineOptions::default()).unwrap()))
}

fn on_disk(engine: impl FnOnce(std::path::PathBuf) -> Arc<dyn Engine>) -> OnDisk {
    let directory = tempfile::tempdir().unwrap();
    let engine = engine(directory.path().join("engine"));
    let parts = StoreParts::in_directory(directory.path(), engine).unwrap();
    let store = Store::open(StoreParts {
        segment_size: MIN_SEGMENT_SIZE,
        ..parts
    })
    .unwrap();
    OnDisk { store, directory }
}

impl std::ops::Deref for OnDisk {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}
