use super::{
    Batch, Direction, Engine, EngineError, EngineOptions, KeyRange, Snapshot, SyncPolicy,
    directory::Directory,
    guard::guarded,
    versioned::{Page, Table, Versioned, Writes},
};
use bytes::{Buf, BufMut, Bytes};
use sled::{Db, IVec};
use std::{
    error::Error,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

/// An embedded engine in one directory, over the [sled](https://docs.rs/sled) log-structured tree.
///
/// sled alone is neither durable nor does it have snapshots, so:
/// - a commit is one sled batch, then sled's own flush (which on Linux is `sync_file_range` and
///   does not survive power loss), then one `fdatasync` of its log;
/// - readers see a commit after that sync only;
/// - values over two kilobytes are cut into parts, because sled moves larger nodes to files of
///   their own that it never syncs;
/// - sled takes damage in the part of its log written since the last start for a write that power
///   loss tore, and drops whatever follows; so the number of the last durable commit is noted
///   beside the log, and a log that ends before it is [`EngineError::Corrupt`];
/// - a panic in sled becomes [`EngineError::Corrupt`], too.
pub struct Sled {
    store: Versioned<Tree>,
}

impl Sled {
    /// Opens the engine in `path`, creating it where there is none.
    ///
    /// # Errors
    /// [`EngineError::InUse`], [`EngineError::OtherEngine`], [`EngineError::NewerFormat`],
    /// [`EngineError::Corrupt`], [`EngineError::Io`].
    pub fn open(path: impl AsRef<Path>, options: EngineOptions) -> Result<Self, EngineError> {
        let directory = Directory::open(path.as_ref(), NAME)?;
        Ok(Self {
            store: Versioned::new(Tree::open(directory, options)?),
        })
    }
}

impl fmt::Debug for Sled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sled")
            .field("directory", &self.store.table().directory)
            .finish()
    }
}

impl Engine for Sled {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        Ok(self.store.snapshot())
    }

    fn commit(&self, batch: Batch) -> Result<(), EngineError> {
        self.store.commit(batch)
    }

    fn name(&self) -> &'static str {
        NAME
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        self.store.table().directory.size()
    }
}

const NAME: &str = "sled";

/// Longest value in sled's own terms.
const MAX_RECORD: usize = 2048;

/// sled's tree, with three kinds of keys:
///
/// | key | value |
/// |---|---|
/// | `k` key | `0` value |
/// | `k` key | `1` id (8 bytes), length (4 bytes) of a value in parts |
/// | `p` id (8 bytes) number (4 bytes) | a part |
/// | `i` | the id of the next value in parts (8 bytes) |
/// | `n` | the number of the last commit (8 bytes) |
struct Tree {
    /// `None` while it is dropped.
    db: Option<Db>,
    /// sled's log, to sync it.
    log: File,
    sync: SyncPolicy,
    last_commit: AtomicU64,
    /// Where `last_commit` is noted once it is durable: never synced, so a lower bound, and exact
    /// after everything but power loss.
    noted_commit: File,
    directory: Directory,
}

impl Tree {
    fn open(directory: Directory, options: EngineOptions) -> Result<Self, EngineError> {
        remove_unfinished_snapshots(&directory)?;
        let config = sled::Config::new()
            .path(directory.path())
            .cache_capacity(options.cache)
            .flush_every_ms(None);
        let db = guarded(NAME, || {
            open_when_unlocked(&config).map_err(|error| from_sled(&directory, error))
        })?;
        let tree = Self {
            db: Some(db),
            log: open_file(&directory, "db")?,
            sync: options.sync,
            last_commit: AtomicU64::default(),
            noted_commit: open_file(&directory, "COMMIT")?,
            directory,
        };
        tree.check_last_commit()?;
        if options.sync == SyncPolicy::Durable {
            // What recovery wrote has to be as durable as what it read.
            tree.directory.sync()?;
        }
        tree.directory.finish(NAME)?;
        Ok(tree)
    }

    fn check_last_commit(&self) -> Result<(), EngineError> {
        let found = self.number(LAST_COMMIT)?;
        self.last_commit.store(found, Ordering::Relaxed);
        let mut note = [0; 16];
        match (&self.noted_commit).read_exact(&mut note) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(source) => return Err(self.directory.io("read a file of", source)),
        }
        let (noted, check) = (
            u128::from_be_bytes(note) as u64,
            (u128::from_be_bytes(note) >> 64) as u64,
        );
        if check == !noted && found < noted {
            return Err(EngineError::corrupt(format!(
                "sled's log ends at commit {found}, but commit {noted} was durable"
            )));
        }
        Ok(())
    }

    fn note_last_commit(&self, number: u64) -> io::Result<()> {
        let note = u128::from(!number) << 64 | u128::from(number);
        let mut file = &self.noted_commit;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&note.to_be_bytes())
    }

    fn with<V>(&self, work: impl FnOnce(&Db) -> sled::Result<V>) -> Result<V, EngineError> {
        let Some(db) = &self.db else {
            return Err(EngineError::corrupt("sled is closed"));
        };
        guarded(NAME, || {
            work(db).map_err(|error| from_sled(&self.directory, error))
        })
    }

    fn record(&self, key: &[u8]) -> Result<Option<Record>, EngineError> {
        self.with(|db| db.get(value_key(key)))?
            .map(|raw| Record::parse(&raw))
            .transpose()
    }

    fn value(&self, record: Record) -> Result<Bytes, EngineError> {
        let Parts { id, len } = match record {
            Record::Whole(value) => return Ok(value),
            Record::InParts(parts) => parts,
        };
        let mut value = Vec::new();
        for number in 0..Parts::count(len) {
            let part = self.with(|db| db.get(part_key(id, number)))?;
            value.extend_from_slice(&part.ok_or_else(|| damaged("a part of a value is missing"))?);
        }
        if value.len() != len as usize {
            return Err(damaged("the parts of a value have another length"));
        }
        Ok(value.into())
    }

    fn batch(&self, number: u64, writes: Writes) -> Result<sled::Batch, EngineError> {
        let mut batch = sled::Batch::default();
        batch.insert(&[LAST_COMMIT], &number.to_be_bytes());
        let mut unused_id = None;
        for (key, value) in writes {
            if let Some(Record::InParts(Parts { id, len })) = self.record(&key)? {
                (0..Parts::count(len)).for_each(|number| batch.remove(part_key(id, number)));
            }
            let key = value_key(&key);
            match value {
                None => batch.remove(key),
                Some(value) if value.len() < MAX_RECORD => {
                    batch.insert(key, [&[WHOLE], &value[..]].concat());
                }
                Some(value) => {
                    let id = unused_id.map_or_else(|| self.number(UNUSED_ID), Ok)?;
                    unused_id = Some(id + 1);
                    for (number, part) in (0..).zip(value.chunks(MAX_RECORD)) {
                        batch.insert(part_key(id, number), part);
                    }
                    batch.insert(
                        key,
                        Parts {
                            id,
                            len: value.len() as u32,
                        }
                        .encode(),
                    );
                }
            }
        }
        if let Some(id) = unused_id {
            batch.insert(&[UNUSED_ID], &id.to_be_bytes());
        }
        Ok(batch)
    }

    fn number(&self, kind: u8) -> Result<u64, EngineError> {
        match self.with(|db| db.get([kind]))? {
            None => Ok(0),
            Some(raw) => (&raw[..]).try_get_u64().map_err(|_| damaged("a counter")),
        }
    }
}

impl Table for Tree {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.record(key)?
            .map(|record| self.value(record))
            .transpose()
    }

    fn page(
        &self,
        range: &KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, EngineError> {
        let start = value_key(&range.start);
        let end = range
            .end
            .as_ref()
            .map_or_else(|| vec![VALUE + 1], |end| value_key(end));
        let entries: Vec<(IVec, IVec)> = self.with(|db| {
            let entries = db.range(start..end);
            match direction {
                Direction::Forward => entries.take(limit).collect(),
                Direction::Backward => entries.rev().take(limit).collect(),
            }
        })?;
        let entries = entries.into_iter().map(|(key, raw)| {
            let key = Bytes::copy_from_slice(key.get(1..).unwrap_or_default());
            (
                key,
                Record::parse(&raw).and_then(|record| self.value(record)),
            )
        });
        Ok(entries.collect())
    }

    fn apply(&self, writes: Writes) -> Result<(), Box<dyn Error + Send + Sync>> {
        let number = self.last_commit.load(Ordering::Relaxed) + 1;
        let batch = self.batch(number, writes)?;
        self.with(|db| db.apply_batch(batch))?;
        if self.sync == SyncPolicy::Durable {
            self.with(|db| db.flush())?;
            self.log.sync_data()?;
            self.note_last_commit(number)?;
        }
        self.last_commit.store(number, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let db = self.db.take();
        // sled flushes once more and panics where that fails; what was acknowledged is durable.
        let _ = guarded(NAME, || {
            drop(db);
            Ok(())
        });
    }
}

/// What is under a value's key.
enum Record {
    Whole(Bytes),
    InParts(Parts),
}

struct Parts {
    id: u64,
    len: u32,
}

impl Record {
    fn parse(raw: &[u8]) -> Result<Self, EngineError> {
        match raw.split_first() {
            Some((&WHOLE, value)) => Ok(Self::Whole(Bytes::copy_from_slice(value))),
            Some((&IN_PARTS, mut raw)) if raw.len() == 12 => Ok(Self::InParts(Parts {
                id: raw.get_u64(),
                len: raw.get_u32(),
            })),
            _ => Err(damaged("a record of an unknown kind")),
        }
    }
}

impl Parts {
    fn encode(&self) -> Vec<u8> {
        let mut raw = vec![IN_PARTS];
        raw.put_u64(self.id);
        raw.put_u32(self.len);
        raw
    }

    fn count(len: u32) -> u32 {
        len.div_ceil(MAX_RECORD as u32)
    }
}

const VALUE: u8 = b'k';
const PART: u8 = b'p';
const UNUSED_ID: u8 = b'i';
const LAST_COMMIT: u8 = b'n';

const WHOLE: u8 = 0;
const IN_PARTS: u8 = 1;

fn value_key(key: &[u8]) -> Vec<u8> {
    [&[VALUE], key].concat()
}

fn part_key(id: u64, number: u32) -> Vec<u8> {
    let mut key = vec![PART];
    key.put_u64(id);
    key.put_u32(number);
    key
}

/// sled's own lock may be held for a moment by the threads of a sled that has just been dropped in
/// this process; nobody else can have it, since the directory's lock is ours.
fn open_when_unlocked(config: &sled::Config) -> sled::Result<Db> {
    const PATIENCE: u32 = 1000;
    for _ in 0..PATIENCE {
        match config.open() {
            Err(sled::Error::Io(error))
                if error.to_string().starts_with("could not acquire lock") =>
            {
                thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
    config.open()
}

/// A crash while sled writes a snapshot of its page table leaves a file that sled then takes for
/// the newest snapshot, and finds damaged. The snapshot before it is still whole.
fn remove_unfinished_snapshots(directory: &Directory) -> Result<(), EngineError> {
    let clean = || {
        for entry in fs::read_dir(directory.path())? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "generating")
            {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    };
    clean().map_err(|source| directory.io("clean", source))
}

fn open_file(directory: &Directory, name: &str) -> Result<File, EngineError> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false);
    file.open(directory.file(name))
        .map_err(|source| directory.io("open a file of", source))
}

fn from_sled(directory: &Directory, error: sled::Error) -> EngineError {
    match error {
        sled::Error::Io(source) => directory.io("read or write", source),
        error => EngineError::Corrupt {
            what: "sled cannot go on".into(),
            source: Some(Box::new(error)),
        },
    }
}

fn damaged(what: &str) -> EngineError {
    EngineError::corrupt(format!("{what}, in sled"))
}
