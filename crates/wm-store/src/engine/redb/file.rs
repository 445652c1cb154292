use crate::engine::SyncPolicy;
use ::redb::{BackendError, StorageBackend, backends::FileBackend};
use std::{
    io,
    ops::Bound,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// redb's file, which is made longer ahead of need so that growing costs no sync of its own.
///
/// redb doubles its file when it is full, and syncs the new length before it uses it: a header that
/// counts pages which the file has not would never open again. Here the file on disk is already longer
/// than redb knows, and that length became durable with the sync of an earlier commit, so there is
/// nothing left to sync when redb asks for it. What is ahead has no blocks on disk. When the process
/// dies redb finds the longer file, takes what is ahead for free pages, and gives them back.
#[derive(Debug)]
pub(super) struct File {
    file: FileBackend,
    sync: SyncPolicy,
    lengths: Mutex<Lengths>,
    /// redb made the file longer, within what is durable, and wrote nothing since.
    grown: AtomicBool,
}

/// Lengths in octets.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    /// What redb set.
    used: u64,
    /// What the file has; not less than `used`.
    actual: u64,
    /// What the file has at least when power has gone.
    durable: u64,
}

/// The length a file gets that is used up to here. redb doubles up to a region, 4 GiB, and then grows
/// by at most two of them; all is in its pages of 4 KiB, so that every such length is one it can use.
fn ahead(used: u64) -> u64 {
    const LEAST: u64 = 1 << 20;
    const MOST: u64 = 8 << 30;
    used + used.min(MOST) + LEAST
}

impl File {
    pub(super) fn new(file: FileBackend, sync: SyncPolicy) -> Result<Self, io::Error> {
        let used = file.len()?;
        Ok(Self {
            file,
            sync,
            lengths: Mutex::new(Lengths {
                used,
                actual: used,
                durable: 0,
            }),
            grown: AtomicBool::new(false),
        })
    }

    fn lengths(&self) -> MutexGuard<'_, Lengths> {
        self.lengths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for File {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.lengths().used)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.grown.store(false, Ordering::Release);
        self.file.write(offset, data)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut lengths = self.lengths();
        if len < lengths.used || len > lengths.actual {
            self.file.set_len(len)?;
            lengths.actual = len;
            lengths.durable = lengths.durable.min(len);
        }
        let grown = len > lengths.used && len <= lengths.durable;
        lengths.used = len;
        self.grown.store(grown, Ordering::Release);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        if self.sync == SyncPolicy::Off || self.grown.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let mut lengths = self.lengths();
        let ahead = ahead(lengths.used);
        // Where the file cannot be that long redb syncs when it grows, or is told of the error then.
        if ahead > lengths.actual && self.file.set_len(ahead).is_ok() {
            lengths.actual = ahead;
        }
        self.file.sync_data()?;
        lengths.durable = lengths.actual;
        Ok(())
    }

    fn close(&self) -> Result<(), io::Error> {
        let lengths = *self.lengths();
        if lengths.actual > lengths.used {
            self.file.set_len(lengths.used)?;
        }
        self.file.close()
    }

    // The locks are those of the file: they keep out whoever opens it without this engine.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineOptions, Redb};

    #[test]
    fn a_length_is_durable_before_it_is_asked_for_and_cut_off_when_it_was_not() {
        let file = tempfile::tempfile().unwrap();
        let actual = || file.metadata().unwrap().len();
        let ours = FileBackend::new(file.try_clone().unwrap()).unwrap();
        let ours = File::new(ours, SyncPolicy::Durable).unwrap();
        let page = [1; 4096];
        ours.set_len(1 << 20).unwrap();
        ours.write(0, &page).unwrap();
        ours.sync_data().unwrap();
        assert!(actual() > 2 << 20);

        ours.set_len(2 << 20).unwrap();
        assert!(
            ours.grown.load(Ordering::Acquire),
            "there is nothing to sync"
        );
        ours.write(1 << 20, &page).unwrap();
        assert!(!ours.grown.load(Ordering::Acquire), "now there is");

        ours.set_len(1 << 30).unwrap();
        assert!(
            !ours.grown.load(Ordering::Acquire),
            "more than was made durable"
        );
        ours.close().unwrap();
        assert_eq!((ours.len().unwrap(), actual()), (1 << 30, 1 << 30));
    }

    #[test]
    fn who_opens_the_file_without_the_engine_is_kept_out() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Redb::open(directory.path(), EngineOptions::default()).unwrap();
        let file = directory.path().join("redb");
        let refused = ::redb::Database::open(&file).map(drop).unwrap_err();
        assert!(
            matches!(refused, ::redb::DatabaseError::DatabaseAlreadyOpen),
            "{refused:?}"
        );
        drop(engine);
        ::redb::Database::open(&file).unwrap();
    }
}
