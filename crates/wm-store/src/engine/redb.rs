mod file;

use super::{
    Batch, Direction, Engine, EngineError, EngineOptions, Entries, KeyRange, Snapshot, SyncPolicy,
    Write, directory::Directory, guard::guarded,
};
use ::redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, StorageError, TableDefinition,
    backends::FileBackend,
};
use bytes::Bytes;
use file::File;
use std::{
    error::Error,
    fmt,
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    iter,
    ops::Bound,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// An embedded engine in one directory, over the [redb](https://docs.rs/redb) copy-on-write
/// B-tree.
///
/// Snapshots are redb's own. A commit is one `fdatasync`: redb's commits in one phase, where a
/// crash in the middle is recognised by checksums. (Its two-phase commit costs a second sync and
/// defends against somebody who both chooses what is written and controls the crash; the store's
/// values are sealed, so nobody chooses them.) A panic in redb becomes [`EngineError::Corrupt`].
///
/// redb verifies its checksums when it opens a store, and only then: see [`EngineOptions::check`].
pub struct Redb {
    store: Arc<Store>,
    /// Why there will be no more commits.
    failed: Mutex<Option<Arc<dyn Error + Send + Sync>>>,
}

impl Redb {
    /// Opens the engine in `path`, creating it where there is none.
    ///
    /// # Errors
    /// [`EngineError::InUse`], [`EngineError::OtherEngine`], [`EngineError::NewerFormat`],
    /// [`EngineError::Corrupt`], [`EngineError::Io`].
    pub fn open(path: impl AsRef<Path>, options: EngineOptions) -> Result<Self, EngineError> {
        let directory = Directory::open(path.as_ref(), NAME)?;
        Ok(Self {
            store: Arc::new(Store::open(directory, options)?),
            failed: Mutex::default(),
        })
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb")
            .field("directory", &self.store.directory)
            .finish()
    }
}

impl Engine for Redb {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        Ok(Box::new(self.store.view()?))
    }

    fn commit(&self, batch: Batch) -> Result<(), EngineError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = &*failed {
            return Err(EngineError::SyncFailed {
                source: source.clone(),
            });
        }
        let view = self.store.view()?;
        batch.check(|key| view.get(key))?;
        if batch.writes.is_empty() {
            return Ok(());
        }
        self.store.write(&batch.writes).map_err(|error| {
            let source: Arc<dyn Error + Send + Sync> = Arc::new(error);
            *failed = Some(source.clone());
            EngineError::SyncFailed { source }
        })
    }

    fn name(&self) -> &'static str {
        NAME
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        self.store.directory.size()
    }

    fn pack(&self) -> Result<(), EngineError> {
        // Commits wait.
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = &*failed {
            return Err(EngineError::SyncFailed {
                source: source.clone(),
            });
        }
        let packed = self.store.packed()?;
        self.store.replace(packed).map_err(|error| {
            // Which of the two files there will be after power loss is not known.
            let source: Arc<dyn Error + Send + Sync> = Arc::new(error);
            *failed = Some(source.clone());
            EngineError::SyncFailed { source }
        })
    }
}

const NAME: &str = "redb";
const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("wm");

/// The file.
const FILE: &str = "redb";
/// A file that is to take its place, while it is written.
const PACKED: &str = "redb.packed";

struct Store {
    database: RwLock<Arc<Open>>,
    directory: Directory,
    options: EngineOptions,
}

impl Store {
    fn open(directory: Directory, options: EngineOptions) -> Result<Self, EngineError> {
        remove(&directory.file(PACKED)).map_err(|source| directory.io("clean", source))?;
        let database = guarded(NAME, || {
            create(&directory.file(FILE), options).map_err(|error| from_redb(&directory, error))
        })?;
        let store = Self {
            database: RwLock::new(Arc::new(Open(Some(database)))),
            directory,
            options,
        };
        if options.sync == SyncPolicy::Durable {
            store.directory.sync()?;
        }
        store.directory.finish(NAME)?;
        Ok(store)
    }

    fn database(&self) -> Arc<Open> {
        let database = self.database.read();
        database.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with<V>(
        &self,
        work: impl FnOnce(&Database) -> Result<V, ::redb::Error>,
    ) -> Result<V, EngineError> {
        self.with_this(&self.database(), work)
    }

    fn with_this<V>(
        &self,
        database: &Open,
        work: impl FnOnce(&Database) -> Result<V, ::redb::Error>,
    ) -> Result<V, EngineError> {
        let Open(Some(database)) = database else {
            return Err(EngineError::corrupt("redb is closed"));
        };
        guarded(NAME, || {
            work(database).map_err(|error| from_redb(&self.directory, error))
        })
    }

    fn view(self: &Arc<Self>) -> Result<View, EngineError> {
        let database = self.database();
        let table = self.with_this(&database, |it| Ok(it.begin_read()?.open_table(TABLE)?))?;
        Ok(View {
            table,
            _database: database,
            store: self.clone(),
        })
    }

    /// A file with all that is in this one, its pages full; inserting leaves them half full.
    fn packed(&self) -> Result<Database, EngineError> {
        let path = self.directory.file(PACKED);
        remove(&path).map_err(|source| self.directory.io("clean", source))?;
        self.with(|database| {
            let mut packed = create(&path, self.options)?;
            let transaction = packed.begin_write()?;
            let mut table = transaction.open_table(TABLE)?;
            let mut end = table.upper_bound_mut(Bound::<&[u8]>::Unbounded)?;
            for entry in database
                .begin_read()?
                .open_table(TABLE)?
                .range::<&[u8]>(..)?
            {
                let (key, value) = entry?;
                end.insert_before(key.value(), value.value())?;
            }
            end.close()?;
            drop(table);
            transaction.commit()?;
            packed.compact()?;
            Ok(packed)
        })
    }

    /// Puts a database in the place of this one. Who reads from this one reads on.
    fn replace(&self, packed: Database) -> Result<(), EngineError> {
        let directory = &self.directory;
        fs::rename(directory.file(PACKED), directory.file(FILE))
            .map_err(|source| directory.io("rename a file of", source))?;
        if self.options.sync == SyncPolicy::Durable {
            directory.sync()?;
        }
        let database = self.database.write();
        *database.unwrap_or_else(PoisonError::into_inner) = Arc::new(Open(Some(packed)));
        Ok(())
    }

    fn write(&self, writes: &[Write]) -> Result<(), EngineError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let mut table = transaction.open_table(TABLE)?;
            for Write { key, value } in writes {
                match value {
                    Some(value) => table.insert(&key[..], &value[..])?,
                    None => table.remove(&key[..])?,
                };
            }
            drop(table);
            Ok(transaction.commit()?)
        })
    }
}

/// A database that is open; `None` while it is dropped.
struct Open(Option<Database>);

impl Drop for Open {
    fn drop(&mut self) {
        let database = self.0.take();
        let _ = guarded(NAME, || {
            drop(database);
            Ok(())
        });
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A read transaction.
struct View {
    // Dropped before what it reads from.
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    _database: Arc<Open>,
    store: Arc<Store>,
}

impl View {
    fn with<V>(&self, work: impl FnOnce() -> Result<V, StorageError>) -> Result<V, EngineError> {
        guarded(NAME, || {
            work().map_err(|error| from_redb(&self.store.directory, error.into()))
        })
    }
}

impl Snapshot for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.with(|| {
            Ok(self
                .table
                .get(key)?
                .map(|value| Bytes::copy_from_slice(value.value())))
        })
    }

    fn scan<'a>(&'a self, range: KeyRange, direction: Direction) -> Entries<'a> {
        if range.is_empty() {
            return Box::new(iter::empty());
        }
        let end = range
            .end
            .as_ref()
            .map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        let mut entries = match self.with(|| {
            self.table
                .range::<&[u8]>((Bound::Included(&range.start[..]), end))
        }) {
            Ok(entries) => Some(entries),
            Err(error) => return Box::new(iter::once(Err(error))),
        };
        Box::new(iter::from_fn(move || {
            let entry = self.with(|| {
                let next = entries.as_mut().and_then(|entries| match direction {
                    Direction::Forward => entries.next(),
                    Direction::Backward => entries.next_back(),
                });
                let Some(entry) = next else { return Ok(None) };
                let (key, value) = entry?;
                Ok(Some((
                    Bytes::copy_from_slice(key.value()),
                    Bytes::copy_from_slice(value.value()),
                )))
            });
            if entry.is_err() {
                entries = None;
            }
            entry.transpose()
        }))
    }
}

fn create(path: &Path, options: EngineOptions) -> Result<Database, ::redb::Error> {
    let mut builder = Builder::new();
    builder.set_cache_size(usize::try_from(options.cache).unwrap_or(usize::MAX));
    builder.set_check_integrity_on_open(options.check);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let file = File::new(FileBackend::new(file)?, options.sync)?;
    let database = builder.create_with_backend(file)?;
    let transaction = database.begin_write()?;
    transaction.open_table(TABLE)?;
    transaction.commit()?;
    Ok(database)
}

fn from_redb(directory: &Directory, error: ::redb::Error) -> EngineError {
    match error {
        ::redb::Error::Io(source) if source.kind() != ErrorKind::InvalidData => {
            directory.io("read or write", source)
        }
        ::redb::Error::DatabaseAlreadyOpen => EngineError::InUse {
            path: directory.path().into(),
        },
        error => EngineError::Corrupt {
            what: "redb cannot go on".into(),
            source: Some(Box::new(error)),
        },
    }
}
