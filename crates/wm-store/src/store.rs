use crate::{
    commit::{CommitError, Committer, Transaction, Watchers},
    engine::{Batch, Engine, EngineError, Memory, Snapshot},
    fault::Fault,
    journal::Journal,
    keyspace::{INSTALLATION, Space},
    mailbox::Means,
    seal::{KeySet, Keyring, KeyringError, LocalKeys, SealError, random},
    segment::{self, Bodies, Files, MemoryFiles, SegmentError},
    workers::Workers,
};
use std::{fmt, io, path::Path, sync::Arc, thread};
use wm_core::{
    Limits, OrganizationId, Secret,
    traits::{KeyService, StoreError},
};

/// Version of everything the store keeps in its engine, and in the journal, which is a copy of it. A raise comes
/// with an upgrade path that ends with a checkpoint, so that no file of the journal is of an older version.
pub(crate) const VERSION: u32 = 1;

/// The mailboxes and the spool of an installation, on one engine and one directory of segments.
///
/// It implements [`MailboxStore`](wm_core::traits::MailboxStore),
/// [`Spool`](wm_core::traits::Spool) and [`ProtocolState`](wm_core::traits::ProtocolState);
/// [`StoredDirectory`](crate::directory::StoredDirectory) opens the directory in it. Clones are the same store; it closes when the last is dropped,
/// after what was asked for is done.
#[derive(Clone)]
pub struct Store {
    pub(crate) core: Arc<Core>,
}

/// What a store is put together from.
pub struct StoreParts {
    /// Where everything small is kept.
    pub engine: Arc<dyn Engine>,
    /// Where bodies are kept.
    pub bodies: Arc<dyn Files>,
    /// Where a second copy of what is in the engine is kept, to rebuild one from; `None` for none.
    pub journal: Option<Arc<dyn Files>>,
    /// Where the organizations' wrapped keys are kept.
    pub keys: Arc<dyn Files>,
    /// What wraps them.
    pub key_service: Arc<dyn KeyService>,
    /// The limits it works under.
    pub limits: Limits,
    /// Bytes after which a segment takes no more bodies; see [`segment::SEGMENT_SIZE`].
    pub segment_size: u32,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The segments.
    #[error(transparent)]
    Segments(#[from] SegmentError),
    /// No randomness.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The store was written by a newer version; nothing in it was changed.
    #[error("the store has version {found}, this program reads up to {supported}")]
    NewerVersion {
        /// The version found.
        found: u32,
        /// The newest version this program knows.
        supported: u32,
    },
    /// The operating system refused a directory, a key file or a thread.
    #[error("cannot open the store")]
    Io(#[from] io::Error),
}

impl StoreParts {
    /// The parts of a store in the directory at `path`, beside `engine`, which the caller has opened
    /// in `path/engine`: bodies in `path/bodies`, the journal in `path/journal`, keys in `path/keys`,
    /// wrapped by the master key in `path/master.key`. What is not there is made.
    ///
    /// # Errors
    /// What the file system says, and what [`LocalKeys::open`] does.
    pub fn in_directory(path: impl AsRef<Path>, engine: Arc<dyn Engine>) -> io::Result<Self> {
        let path = path.as_ref();
        Ok(Self {
            engine,
            bodies: Arc::new(segment::Directory::open(path.join("bodies"))?),
            journal: Some(Arc::new(segment::Directory::open(path.join("journal"))?)),
            keys: Arc::new(segment::Directory::open(path.join("keys"))?),
            key_service: Arc::new(LocalKeys::open(path.join("master.key"))?),
            limits: Limits::default(),
            segment_size: segment::SEGMENT_SIZE,
        })
    }

    /// The parts of a store that lives as long as its value.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn in_memory() -> Result<Self, SealError> {
        Ok(Self {
            engine: Arc::new(Memory::new()),
            bodies: Arc::new(MemoryFiles::new()),
            journal: None,
            keys: Arc::new(MemoryFiles::new()),
            key_service: Arc::new(LocalKeys::new("memory", &Secret::new(random()?))),
            limits: Limits::default(),
            segment_size: segment::SEGMENT_SIZE,
        })
    }
}

impl Store {
    /// Opens a store, or makes one where the parts are empty.
    ///
    /// # Errors
    /// [`OpenError::NewerVersion`], or what is wrong with a part.
    pub fn open(parts: StoreParts) -> Result<Self, OpenError> {
        check_version(&*parts.engine)?;
        let bodies = Bodies::open(parts.bodies, parts.segment_size)?;
        let watchers = Watchers::default();
        let journal = match parts.journal {
            Some(files) => Some(Arc::new(Journal::open(files, &*parts.engine.snapshot()?)?)),
            None => None,
        };
        let threads = thread::available_parallelism()
            .map_or(2, usize::from)
            .clamp(2, 8);
        let readers = Arc::new(Workers::start("wm-reader", threads)?);
        Ok(Self {
            core: Arc::new(Core {
                committer: Committer::start(
                    parts.engine.clone(),
                    bodies.clone(),
                    watchers.clone(),
                    journal.clone(),
                )?,
                journal,
                keyring: Keyring::new(parts.keys, parts.key_service, readers.clone()),
                first_use: futures::lock::Mutex::new(()),
                checkpoint: futures::lock::Mutex::new(()),
                engine: parts.engine,
                limits: Arc::new(parts.limits),
                bodies,
                readers,
                watchers,
            }),
        })
    }

    /// Why nothing is committed any more, if a sync has failed. The store has to be opened again.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.core
            .committer
            .failure()
            .map(|failure| failure.to_string())
    }

    /// How many groups were committed since the store was opened, and how many requests were in
    /// them.
    #[must_use]
    pub fn commits(&self) -> (u64, u64) {
        self.core.committer.counts()
    }

    /// Gives an organization a new data key; what older keys sealed stays readable (KEY-1).
    ///
    /// # Errors
    /// Why the keys cannot be had or kept.
    pub async fn rotate_keys(&self, organization: OrganizationId) -> Result<(), StoreError> {
        self.core.keys(organization).await?;
        let _alone = self.core.first_use.lock().await;
        let keys = self.core.keyring.unwrapped(organization);
        let keys = keys
            .ok_or(KeyringError::Missing(organization))
            .map_err(Fault::from)?;
        Ok(self.core.keyring.rotate(&keys).await.map_err(Fault::from)?)
    }

    /// Destroys the keys of an organization: nothing of it can be read any more, whatever is left
    /// on disk (ORG-5).
    ///
    /// # Errors
    /// What the file system says.
    pub async fn shred(&self, organization: OrganizationId) -> Result<(), StoreError> {
        Ok(self
            .core
            .keyring
            .shred(organization)
            .await
            .map_err(Fault::from)?)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("engine", &self.core.engine.name())
            .field("committer", &self.core.committer)
            .finish_non_exhaustive()
    }
}

/// What a request takes along to the committer.
pub(crate) struct Toolbox {
    bodies: Bodies,
    limits: Arc<Limits>,
}

impl Toolbox {
    pub(crate) fn means<'a>(&'a self, keys: &'a KeySet) -> Means<'a> {
        Means {
            bodies: &self.bodies,
            keys,
            limits: &self.limits,
        }
    }
}

/// What the implementations of all traits stand on.
pub(crate) struct Core {
    // Dropped first: it finishes what was asked for, and needs the rest for that.
    committer: Committer,
    keyring: Keyring,
    /// Held while an organization's keys are looked for, made or changed.
    first_use: futures::lock::Mutex<()>,
    pub(crate) journal: Option<Arc<Journal>>,
    /// Held while a checkpoint of the journal is written.
    pub(crate) checkpoint: futures::lock::Mutex<()>,
    pub(crate) engine: Arc<dyn Engine>,
    readers: Arc<Workers>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) bodies: Bodies,
    pub(crate) watchers: Watchers,
}

impl Core {
    /// Evaluates a request in the committer and waits until it is durable and visible; see
    /// [`Committer::commit`].
    pub(crate) async fn commit<T, E, R>(&self, request: R) -> Result<T, E>
    where
        R: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<CommitError> + Send + 'static,
    {
        self.committer.commit(request).await
    }

    pub(crate) fn toolbox(&self) -> Toolbox {
        Toolbox {
            bodies: self.bodies.clone(),
            limits: self.limits.clone(),
        }
    }

    /// Runs a job on a reader thread, with a snapshot of everything durable.
    pub(crate) async fn read<T, E>(
        &self,
        job: impl FnOnce(&dyn Snapshot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        let engine = self.engine.clone();
        let job = move || job(&*engine.snapshot().map_err(Fault::from)?);
        self.readers
            .run(job)
            .await
            .unwrap_or_else(|_| Err(Fault::Closed.into()))
    }

    /// Has the engine read all of its own.
    pub(crate) async fn verify_engine(&self) -> Result<(), Fault> {
        let engine = self.engine.clone();
        let verify = move || engine.verify().map_err(Fault::from);
        self.readers.run(verify).await.unwrap_or(Err(Fault::Closed))
    }

    /// The keys of an organization, made if it has none yet.
    pub(crate) async fn keys(&self, organization: OrganizationId) -> Result<Arc<KeySet>, Fault> {
        if let Some(keys) = self.keyring.unwrapped(organization) {
            return Ok(keys);
        }
        let _alone = self.first_use.lock().await;
        if let Some(keys) = self.find_keys(organization).await? {
            return Ok(keys);
        }
        // A set whose fingerprint was never committed has sealed nothing; power may have gone while
        // it was made.
        let keys = match self.keyring.load(organization, None).await {
            Ok(Some(keys)) => keys,
            Ok(None) | Err(KeyringError::Damaged(_)) => {
                let new = KeySet::generate(organization).map_err(KeyringError::from)?;
                self.keyring.keep(new).await?
            }
            Err(error) => return Err(error.into()),
        };
        let fingerprint = keys.fingerprint().to_vec();
        self.commit(move |transaction| {
            transaction.put(Space::Keys.prefix(organization), fingerprint);
            Ok::<_, Fault>(())
        })
        .await?;
        Ok(keys)
    }

    /// The keys of an organization; `None` when the store has nothing of it.
    pub(crate) async fn known_keys(
        &self,
        organization: OrganizationId,
    ) -> Result<Option<Arc<KeySet>>, Fault> {
        match self.keyring.unwrapped(organization) {
            Some(keys) => Ok(Some(keys)),
            None => self.find_keys(organization).await,
        }
    }

    /// The keys of an organization, whatever the engine says of them: while it is being rebuilt it
    /// may not say anything.
    pub(crate) async fn keys_of_any_fingerprint(
        &self,
        organization: OrganizationId,
    ) -> Result<Option<Arc<KeySet>>, Fault> {
        Ok(self.keyring.load(organization, None).await?)
    }

    async fn find_keys(&self, organization: OrganizationId) -> Result<Option<Arc<KeySet>>, Fault> {
        let key = Space::Keys.prefix(organization);
        let Some(expected) = self.read(move |now| Ok::<_, Fault>(now.get(&key)?)).await? else {
            return Ok(None);
        };
        match self.keyring.load(organization, Some(&expected)).await? {
            Some(keys) => Ok(Some(keys)),
            None => Err(KeyringError::Missing(organization).into()),
        }
    }
}

/// Refuses an engine that a newer version has written to, and notes the version in a new one.
fn check_version(engine: &dyn Engine) -> Result<(), OpenError> {
    if version_of(engine)?.is_none() {
        let key = Space::Version.prefix(INSTALLATION);
        let mut batch = Batch::new();
        batch
            .require_absent(key.clone())
            .put(key, VERSION.to_be_bytes().to_vec());
        engine.commit(batch)?;
    }
    Ok(())
}

/// The version that an engine's content has; none in an engine that is new.
///
/// # Errors
/// [`OpenError::NewerVersion`], or what keeps it from being read.
pub(crate) fn version_of(engine: &dyn Engine) -> Result<Option<u32>, OpenError> {
    let key = Space::Version.prefix(INSTALLATION);
    let Some(found) = engine.snapshot()?.get(&key)? else {
        return Ok(None);
    };
    match found.as_ref().try_into().map(u32::from_be_bytes) {
        Ok(found) if found <= VERSION => Ok(Some(found)),
        Ok(found) => Err(OpenError::NewerVersion {
            found,
            supported: VERSION,
        }),
        Err(_) => Err(EngineError::corrupt("the version of the store is no number").into()),
    }
}
