//! Making a store whole again whose engine is damaged.
//!
//! [`in_directory`] builds a new engine beside the damaged one and puts it in its place once it is
//! complete. What the engine held comes from the journal, and where that is behind, from what the
//! damaged engine still gives out; where bodies are comes from the segments; indexes are made anew.
//! Bodies, keys and journal are only read. The damaged engine is kept, under the name
//! `engine.damaged-<n>`: nothing is lost by a repair, nor by one that is interrupted, which is begun
//! again.
//!
//! Clients synchronise afresh afterwards. No UID and no number of a change is given twice: where it
//! is not known which was the last, many are passed over.

use crate::{
    CheckReport, OpenError, Store, StoreParts,
    check::owners,
    engine::{Batch, Direction, Engine, EngineError, KeyRange, Snapshot, Write},
    fault::Fault,
    journal::{self, Replay},
    keyspace::{INSTALLATION, Space},
    mailbox,
    seal::{KeySet, OVERHEAD},
    segment::{self, StoredBody},
    spool,
    store::{VERSION, version_of},
};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use wm_core::{BodyId, FolderId, MailboxRef, OrganizationId, traits::StoreError};

/// What a repair came to.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RepairReport {
    /// Items that are there again.
    pub items: u64,
    /// Whether the new engine has the latest state of everything. If not, the journal was behind or
    /// damaged: what was changed last may be as it was before, what was deleted last may be back.
    pub exact: bool,
    /// Entries taken from the damaged engine.
    pub salvaged: u64,
    /// Mailboxes and folders whose own record was lost: they have their items, but no longer their
    /// name, permissions and quota.
    pub remade: Vec<(MailboxRef, Option<FolderId>)>,
    /// Where the damaged engine is now; `None` if there was none.
    pub kept: Option<PathBuf>,
    /// What is still damaged.
    pub check: CheckReport,
}

/// Why a store cannot be repaired. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The engine for the repaired store.
    #[error("cannot build the new engine")]
    Engine(#[from] EngineError),
    /// The rest of the store.
    #[error("cannot open the rest of the store")]
    Open(#[from] OpenError),
    /// Keys, segments or the journal cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system refused a file operation.
    #[error("cannot put the new engine in place")]
    Io(#[from] io::Error),
}

/// How far a repair is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Reading the journal, or what is left of the damaged engine.
    Records,
    /// Finding bodies in the segments.
    Bodies,
    /// Making indexes.
    Indexes,
    /// Reading everything once.
    Check,
}

/// Repairs the store in the directory at `path`, as [`StoreParts::in_directory`] has it, which no
/// server may have open. `open` opens an engine, or makes one. `progress` is told how much of a step
/// is done, of how much.
///
/// # Errors
/// [`RepairError`]; the store is as it was then.
pub async fn in_directory(
    path: impl AsRef<Path>,
    open: impl Fn(PathBuf) -> Result<Arc<dyn Engine>, EngineError>,
    progress: impl Fn(Step, u64, u64) + Send + Sync + 'static,
) -> Result<RepairReport, RepairError> {
    let places = Places::new(path.as_ref());
    let progress: Progress = Arc::new(progress);
    // One that was complete when it was interrupted needs only be put in its place.
    let mut report = RepairReport::default();
    if !places.complete.exists() {
        remove(&places.unfinished)?;
        // Held while it is read, so that no server opens it; one that cannot be opened is no help.
        let damaged = match places.engine.exists() {
            true => match open(places.engine.clone()) {
                Ok(engine) => Some(engine),
                Err(error @ (EngineError::InUse { .. } | EngineError::NewerFormat { .. })) => {
                    return Err(error.into());
                }
                Err(_) => None,
            },
            false => None,
        };
        refuse_newer(damaged.as_deref(), &places.journal)?;
        let engine = open(places.unfinished.clone())?;
        report = rebuild(&places, damaged, engine, &progress).await?;
        fs::rename(&places.unfinished, &places.complete)?;
        sync_directory(&places.root)?;
    }
    if places.engine.exists() {
        let kept = places.free();
        fs::rename(&places.engine, &kept)?;
        report.kept = Some(kept);
    }
    fs::rename(&places.complete, &places.engine)?;
    sync_directory(&places.root)?;

    let parts = StoreParts::in_directory(path, open(places.engine.clone())?)?;
    let store = Store::open(parts)?;
    store.checkpoint().await?;
    let tell = move |done, all| progress(Step::Check, done, all);
    report.check = store.check(tell).await?;
    report.items = report.check.items;
    Ok(report)
}

type Progress = Arc<dyn Fn(Step, u64, u64) + Send + Sync>;

/// What lies where.
struct Places {
    root: PathBuf,
    engine: PathBuf,
    unfinished: PathBuf,
    complete: PathBuf,
    journal: PathBuf,
}

impl Places {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            engine: root.join("engine"),
            unfinished: root.join("engine.unfinished"),
            complete: root.join("engine.repaired"),
            journal: root.join("journal"),
        }
    }

    /// A name for the damaged engine that nothing has.
    fn free(&self) -> PathBuf {
        let names = (1_u64..).map(|n| self.root.join(format!("engine.damaged-{n}")));
        names
            .into_iter()
            .find(|name| !name.exists())
            .unwrap_or_else(|| self.root.join("engine.damaged"))
    }
}

/// Refuses a store of a newer version. Where the engine does not say of which it is, the journal does.
fn refuse_newer(engine: Option<&dyn Engine>, journal: &Path) -> Result<(), RepairError> {
    match engine.map(version_of) {
        Some(Err(error @ OpenError::NewerVersion { .. })) => return Err(error.into()),
        Some(Ok(Some(_))) => return Ok(()),
        _ => {}
    }
    match journal::newer_version(&segment::Directory::open(journal)?)? {
        Some(found) => Err(OpenError::NewerVersion {
            found,
            supported: VERSION,
        }
        .into()),
        None => Ok(()),
    }
}

/// Fills `engine`, which is empty.
async fn rebuild(
    places: &Places,
    damaged: Option<Arc<dyn Engine>>,
    engine: Arc<dyn Engine>,
    progress: &Progress,
) -> Result<RepairReport, RepairError> {
    let mut parts = StoreParts::in_directory(&places.root, engine.clone())?;
    let journal = parts.journal.take();
    let store = Store::open(parts)?;
    let mut report = RepairReport::default();

    let (tell, into, old) = (progress.clone(), engine.clone(), damaged.clone());
    let replay = move |_: &dyn Snapshot| {
        let latest = old.and_then(|old| journal::engine_group(&*old.snapshot().ok()?).ok());
        let latest = latest.map(Option::unwrap_or_default);
        let Some(journal) = journal else {
            return Ok::<_, StoreError>((false, false));
        };
        let mut writer = Writer::new(&*into);
        let tell = |done, all| tell(Step::Records, done, all);
        let mut take = |writes: Vec<Write>| writes.into_iter().try_for_each(|it| writer.write(it));
        let Replay { group, whole, .. } = journal::replay(&*journal, &tell, &mut take)?;
        writer.flush()?;
        let usable = whole && group.is_some() && latest.is_none_or(|it| Some(it) == group);
        Ok((usable, usable && latest.is_some()))
    };
    let (usable, exact) = store.core.read(replay).await?;
    report.exact = exact;
    if let Some(damaged) = damaged.filter(|_| !usable) {
        report.salvaged = salvage(&store, damaged, engine.clone()).await?;
    }

    let (bodies, tell) = (store.core.bodies.clone(), progress.clone());
    let find = move |_: &dyn Snapshot| {
        Ok::<_, StoreError>(bodies.find_all(&|done, all| tell(Step::Bodies, done, all))?)
    };
    let bodies = Arc::new(store.core.read(find).await?);

    let owners = store.core.read(owners).await?;
    let all = owners.len() as u64;
    for (done, owner) in (0..).zip(owners) {
        progress(Step::Indexes, done, all);
        let Some(keys) = keys_of(&store, owner).await? else {
            continue;
        };
        let (into, bodies, limits) = (engine.clone(), bodies.clone(), store.core.limits.clone());
        let index = move |now: &dyn Snapshot| {
            let mut writer = Writer::new(&*into);
            let mut sink = |key: Vec<u8>, value| {
                writer.write(Write {
                    key: key.into(),
                    value: Some(value),
                })
            };
            let rebuilt = mailbox::rebuild(now, &keys, &limits, exact, &mut sink)?;
            let mut references = rebuilt.references;
            let tasks = KeyRange::prefix(Space::Spool.prefix(owner));
            for entry in now.scan(tasks, Direction::Forward) {
                let (key, value) = entry?;
                if let Ok(Some(body)) = spool::inspect(&keys, &key, &value) {
                    *references.entry(body).or_default() += 1;
                }
            }
            index_bodies(&keys, &bodies, references, &mut sink)?;
            let fingerprint = Space::Keys.prefix(owner);
            sink(fingerprint, Bytes::copy_from_slice(&keys.fingerprint()))?;
            writer.flush()?;
            Ok::<_, StoreError>(rebuilt.made)
        };
        report.remade.extend(store.core.read(index).await?);
    }
    progress(Step::Indexes, all, all);
    Ok(report)
}

/// Where the bodies are that something refers to. Those that are in no segment a check reports.
fn index_bodies(
    keys: &KeySet,
    bodies: &HashMap<(OrganizationId, BodyId), StoredBody>,
    references: HashMap<BodyId, u64>,
    sink: mailbox::Sink<'_>,
) -> Result<(), Fault> {
    for (body, references) in references {
        if let Some(stored) = bodies.get(&(keys.organization(), body)) {
            let (key, value) = segment::index_entry(keys, *stored, references)?;
            sink(key, value.into())?;
        }
    }
    Ok(())
}

/// The keys of an owner whose fingerprint may be among what was lost.
async fn keys_of(store: &Store, owner: OrganizationId) -> Result<Option<Arc<KeySet>>, StoreError> {
    match store.core.known_keys(owner).await {
        Ok(Some(keys)) => Ok(Some(keys)),
        Ok(None) => Ok(store.core.keys_of_any_fingerprint(owner).await?),
        // What is sealed under keys that are gone stays unreadable; a check says so.
        Err(fault) if fault.is_damage() => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

/// Puts what the damaged engine still gives out over what the journal had. Of a value that does not
/// open, the journal's stays.
async fn salvage(
    store: &Store,
    damaged: Arc<dyn Engine>,
    into: Arc<dyn Engine>,
) -> Result<u64, StoreError> {
    let old = damaged.clone();
    let find = move |_: &dyn Snapshot| {
        let mut owners = std::collections::BTreeSet::from([INSTALLATION]);
        if let Ok(old) = old.snapshot() {
            let mut note = |key: Bytes, _: Bytes| {
                let owner = key.first_chunk().map(|owner| u128::from_be_bytes(*owner));
                owners.extend(owner.map(OrganizationId::from_u128));
                Ok(())
            };
            read_what_can_be(&*old, &mut note)?;
        }
        Ok::<_, StoreError>(owners)
    };
    let mut keys = HashMap::new();
    for owner in store.core.read(find).await? {
        if let Ok(Some(found)) = keys_of(store, owner).await {
            keys.insert(owner, found);
        }
    }
    let overlay = move |_: &dyn Snapshot| {
        let (mut writer, mut taken) = (Writer::new(&*into), 0);
        let Ok(old) = damaged.snapshot() else {
            return Ok(0);
        };
        let mut take = |key: Bytes, value: Bytes| {
            let owner = key.first_chunk().map(|owner| u128::from_be_bytes(*owner));
            let keys = keys.get(&OrganizationId::from_u128(owner.unwrap_or_default()));
            let opens = keys.is_some_and(|keys| keys.open_value(&key, &value).is_ok());
            let in_the_clear = key.get(16) == Some(&(Space::Keys as u8)) || value.len() < OVERHEAD;
            if journal::is_kept(&key) && (opens || in_the_clear) {
                taken += 1;
                writer.write(Write {
                    key,
                    value: Some(value),
                })?;
            }
            Ok(())
        };
        read_what_can_be(&*old, &mut take)?;
        writer.flush()?;
        Ok::<_, StoreError>(taken)
    };
    store.core.read(overlay).await
}

/// Gives out every entry that can be read: around what cannot, it goes on from behind, and from
/// keys in the middle.
fn read_what_can_be(
    engine: &dyn Snapshot,
    take: &mut dyn FnMut(Bytes, Bytes) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut ranges = VecDeque::from([KeyRange::all()]);
    for _ in 0..PROBES {
        let Some(mut range) = ranges.pop_front() else {
            break;
        };
        let mut whole = false;
        for direction in [Direction::Forward, Direction::Backward] {
            if whole || range.is_empty() {
                break;
            }
            let mut last = None;
            whole = true;
            for entry in engine.scan(range.clone(), direction) {
                match entry {
                    Ok((key, value)) => {
                        last = Some(key.clone());
                        take(key, value)?;
                    }
                    Err(_) => {
                        whole = false;
                        break;
                    }
                }
            }
            if let Some(last) = last {
                range = match direction {
                    Direction::Forward => range.after(&last),
                    Direction::Backward => range.before(last),
                };
            }
        }
        if !whole && let Some(middle) = middle(&range) {
            ranges.push_back(range.clone().before(middle.clone()));
            ranges.push_back(KeyRange {
                start: middle,
                end: range.end,
            });
        }
    }
    Ok(())
}

/// A key in the middle of a range, if there is one between its ends.
fn middle(range: &KeyRange) -> Option<Bytes> {
    const LENGTH: usize = 48;
    let digit = |key: &[u8], at: usize| u16::from(key.get(at).copied().unwrap_or(0));
    let mut sum = [0_u16; LENGTH];
    let mut carry = 0;
    for at in (0..LENGTH).rev() {
        let end = match &range.end {
            Some(end) => digit(end, at),
            None => 0xff,
        };
        let total = digit(&range.start, at) + end + carry;
        carry = total >> 8;
        if let Some(slot) = sum.get_mut(at) {
            *slot = total & 0xff;
        }
    }
    let mut half = Vec::with_capacity(LENGTH);
    for digit in sum {
        let value = (carry << 8) | digit;
        half.push(u8::try_from(value / 2).unwrap_or(u8::MAX));
        carry = value % 2;
    }
    let middle = Bytes::from(half);
    (range.contains(&middle) && middle != range.start).then_some(middle)
}

/// How often reading is begun anew around what cannot be read.
const PROBES: usize = 4096;

/// Writes to an engine in batches.
struct Writer<'a> {
    engine: &'a dyn Engine,
    batch: Batch,
    bytes: usize,
}

impl<'a> Writer<'a> {
    fn new(engine: &'a dyn Engine) -> Self {
        Self {
            engine,
            batch: Batch::new(),
            bytes: 0,
        }
    }

    fn write(&mut self, write: Write) -> Result<(), Fault> {
        self.bytes += write.key.len() + write.value.as_ref().map_or(0, Bytes::len);
        self.batch.writes.push(write);
        match self.bytes < BATCH {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.bytes = 0;
        Ok(self.engine.commit(std::mem::take(&mut self.batch))?)
    }
}

/// Bytes written in one batch, about.
const BATCH: usize = 2 << 20;

fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl From<Fault> for RepairError {
    fn from(fault: Fault) -> Self {
        Self::Store(fault.into())
    }
}
