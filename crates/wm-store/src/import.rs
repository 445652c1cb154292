//! Putting mail that was exported back into a store.
//!
//! [`Store::import`] reads one mailbox of an [export](crate::export) to Maildirs. Folders, flags, dates,
//! keywords, categories, properties and what is shared between recipients come back; UIDs and numbers of
//! changes are given anew, so clients synchronise afresh.

use crate::{
    Store,
    export::{
        Line,
        files::{About, FolderEntry},
    },
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Component, Path, PathBuf},
};
use wm_core::{
    FolderId, MailboxRef, Timestamp,
    model::{Folder, Item, Origin, Protocol},
    traits::{
        BodyWriter, Changeset, FolderUpdate, ItemContent, ItemList, ListBy, MailboxStore, Mode,
        NewFolder, NewItem, Operation, Outcome, StoreError,
    },
};

/// Items put in by one commit, at most.
const BATCH: usize = 100;
/// Octets of bodies after which a commit is made, about.
const BATCH_OCTETS: u64 = 8 << 20;
/// Octets read at a time.
const PIECE: usize = 64 << 10;
/// Items listed at a time.
const PAGE: usize = 1000;

/// What an import came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Items put in.
    pub items: u64,
    /// Octets of their contents.
    pub octets: u64,
    /// Items that were there already, from an earlier import.
    pub present: u64,
    /// Items that were left out.
    pub failed: Vec<ImportFailure>,
}

/// An item that could not be put in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportFailure {
    /// The file of its content, as `items.jsonl` names it.
    pub file: PathBuf,
    /// Why not, in words.
    pub why: String,
}

/// Why an import ended. What was put in stays; the import can be begun again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file of the export cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the export is not what an export writes.
    #[error("{} is not as an export writes it", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The export has mbox files, which do not keep messages octet by octet.
    #[error("{} was exported as mbox; only exports to Maildirs can be put back", .0.display())]
    Mbox(PathBuf),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Puts the exported mailbox in the directory `from` into the mailbox `into`, which is made if it is
    /// not there; `at` is the time of the changes. `progress` is told how many items are done, of how
    /// many. Files are read by the thread that polls: do not call it where that may not wait.
    ///
    /// An item is taken to be there already when its folder has one of the same size, time received,
    /// Message-ID and subject, for which no other of the export stands: an import that was interrupted, or
    /// is repeated, puts nothing in twice.
    ///
    /// # Errors
    /// [`ImportError`]. Items that cannot be put in alone (their file is missing or of another size, the
    /// mailbox is full) are in the report instead.
    pub async fn import(
        &self,
        from: impl AsRef<Path>,
        into: MailboxRef,
        at: Timestamp,
        progress: impl Fn(u64, u64) + Send + Sync,
    ) -> Result<ImportReport, ImportError> {
        let from = from.as_ref();
        let about: About = read_json(&from.join("mailbox.json"))?;
        MailboxStore::create(self, into, at).await?;
        let mut import = Import {
            store: self,
            from,
            into,
            at,
            folders: HashMap::new(),
            present: None,
            batch: Batch::default(),
            report: ImportReport::default(),
        };
        import.make_folders(&about.folders).await?;

        let path = from.join("items.jsonl");
        let lines = BufReader::new(File::open(&path).map_err(|source| io_error(&path, source))?);
        let all = about.folders.iter().map(FolderEntry::total).sum();
        for (done, line) in (1..).zip(lines.lines()) {
            let line = line.map_err(|source| io_error(&path, source))?;
            let line = serde_json::from_str(&line).map_err(|source| ImportError::Format {
                path: path.clone(),
                source,
            })?;
            import.take(line).await?;
            progress(u64::min(done, all), all);
        }
        import.commit().await?;
        progress(all, all);
        Ok(import.report)
    }
}

struct Import<'a> {
    store: &'a Store,
    from: &'a Path,
    into: MailboxRef,
    at: Timestamp,
    /// The folders of the export, by what they are here.
    folders: HashMap<FolderId, FolderId>,
    /// What the folder that is being filled had before.
    present: Option<(FolderId, HashMap<Likeness, u64>)>,
    batch: Batch,
    report: ImportReport,
}

/// Items on their way in, with their files.
#[derive(Default)]
struct Batch {
    items: Vec<NewItem>,
    files: Vec<PathBuf>,
    octets: u64,
}

/// By what an item is known again.
#[derive(PartialEq, Eq, Hash)]
struct Likeness {
    received: Timestamp,
    size: u64,
    message_id: Option<String>,
    subject: String,
}

impl Likeness {
    fn of(item: &Item) -> Self {
        Self {
            received: item.received,
            size: item.size,
            message_id: item.summary.message_id.clone(),
            subject: item.summary.subject.clone(),
        }
    }
}

impl Import<'_> {
    async fn make_folders(&mut self, entries: &[FolderEntry]) -> Result<(), ImportError> {
        let mut there = self.store.folders(self.into).await?;
        for entry in entries {
            let parent = match entry.parent {
                Some(parent) => self.folders.get(&parent).copied(),
                None => None,
            };
            let is_it = |folder: &&Folder| match entry.role {
                Some(role) => folder.role == Some(role),
                None => {
                    folder.parent == parent
                        && folder.role.is_none()
                        && folder.name.to_lowercase() == entry.name.to_lowercase()
                }
            };
            let id = match there.iter().find(is_it) {
                Some(folder) => folder.id,
                None => {
                    let new = NewFolder {
                        parent,
                        name: entry.name.clone(),
                        class: entry.class.clone(),
                    };
                    let id = self.change_folder(Operation::CreateFolder(new)).await?;
                    there.push(self.store.folder(self.into, id).await?);
                    id
                }
            };
            let update = Operation::UpdateFolder {
                folder: id,
                update: FolderUpdate {
                    subscribed: Some(entry.subscribed),
                    permissions: Some(entry.permissions.clone()),
                    ..FolderUpdate::default()
                },
            };
            self.change_folder(update).await?;
            self.folders.insert(entry.id, id);
        }
        Ok(())
    }

    async fn change_folder(&self, operation: Operation) -> Result<FolderId, StoreError> {
        let applied = self
            .store
            .apply(self.into, self.changes(vec![operation]))
            .await?;
        match applied.outcomes.into_iter().next() {
            Some(Outcome::Folder(folder)) => Ok(folder),
            Some(Outcome::Refused(error)) => Err(error),
            _ => Err(StoreError::Unavailable {
                reason: "a change to a folder came to something else".into(),
                transient: false,
                source: None,
            }),
        }
    }

    /// Puts one item in, with a later commit.
    async fn take(&mut self, line: Line) -> Result<(), ImportError> {
        let Line {
            place,
            prefix,
            item,
            properties,
        } = line;
        if place.offset.is_some() {
            return Err(ImportError::Mbox(self.from.to_owned()));
        }
        let Some(&folder) = self.folders.get(&item.folder) else {
            self.fail(place.file, "its folder is not in mailbox.json");
            return Ok(());
        };
        if self.is_present(folder, &item).await? {
            self.report.present += 1;
            return Ok(());
        }
        let content = match self.read(&place.file, prefix, &item).await? {
            Ok(content) => content,
            Err(why) => {
                self.fail(place.file, why);
                return Ok(());
            }
        };
        self.batch.octets += item.size;
        self.batch.files.push(place.file);
        self.batch.items.push(NewItem {
            folder: folder.into(),
            delivered: false,
            class: item.class,
            content,
            received: item.received,
            flags: item.flags,
            keywords: item.keywords,
            categories: item.categories,
            conversation: item.conversation,
            creator: item.creator,
            properties: properties.into_iter().collect(),
        });
        if self.batch.items.len() >= BATCH || self.batch.octets >= BATCH_OCTETS {
            self.commit().await?;
        }
        Ok(())
    }

    /// Whether the folder had the item already; each it had stands for one of the export.
    async fn is_present(&mut self, folder: FolderId, item: &Item) -> Result<bool, ImportError> {
        if self.present.as_ref().is_none_or(|(of, _)| *of != folder) {
            // What was put in before counts, should a folder's items come in several parts.
            self.commit().await?;
            self.present = Some((folder, self.likenesses(folder).await?));
        }
        let left = self
            .present
            .as_mut()
            .and_then(|(_, present)| present.get_mut(&Likeness::of(item)));
        Ok(match left {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        })
    }

    async fn likenesses(&self, folder: FolderId) -> Result<HashMap<Likeness, u64>, StoreError> {
        let mut found = HashMap::new();
        let mut list = ItemList {
            folder,
            by: ListBy::Uid {
                from: wm_core::Uid(std::num::NonZeroU32::MIN),
                to: None,
            },
            descending: false,
            after: None,
            limit: PAGE,
        };
        loop {
            let page = self.store.items(self.into, list.clone()).await?;
            for item in &page.entries {
                *found.entry(Likeness::of(item)).or_default() += 1;
            }
            match page.next {
                Some(next) => list.after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Reads an item's content into the store; the inner error is about this item alone.
    async fn read(
        &self,
        file: &Path,
        prefix: u64,
        item: &Item,
    ) -> Result<Result<ItemContent, String>, ImportError> {
        // What a file of the export says never leads out of the export.
        if !file
            .components()
            .all(|it| matches!(it, Component::Normal(_)))
        {
            return Ok(Err("its file lies outside the export".into()));
        }
        let mut input = match File::open(self.from.join(file)) {
            Ok(input) => input,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut own = Vec::new();
        if let Err(error) = (&mut input).take(prefix).read_to_end(&mut own) {
            return Ok(Err(error.to_string()));
        }
        let mut size = own.len() as u64;
        let mut writer: Box<dyn BodyWriter> =
            MailboxStore::body_writer(self.store, self.into.organization).await?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = match input.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => return Ok(Err(error.to_string())),
            };
            size += read as u64;
            let octets = Bytes::copy_from_slice(piece.get(..read).unwrap_or_default());
            writer.write(octets).await?;
        }
        if size != item.size {
            let why = format!("it has {size} octets instead of {}", item.size);
            return Ok(Err(why));
        }
        Ok(Ok(ItemContent {
            prefix: own,
            body: writer.finish().await?,
            summary: item.summary.clone(),
        }))
    }

    /// Commits what is on its way.
    async fn commit(&mut self) -> Result<(), StoreError> {
        let Batch { items, files, .. } = std::mem::take(&mut self.batch);
        if items.is_empty() {
            return Ok(());
        }
        let sizes: Vec<_> = items
            .iter()
            .map(|item| item.content.prefix.len() as u64 + item.content.body.size)
            .collect();
        let operations = items.into_iter().map(Operation::AddItem).collect();
        let applied = self
            .store
            .apply(self.into, self.changes(operations))
            .await?;
        for ((file, size), outcome) in files.into_iter().zip(sizes).zip(applied.outcomes) {
            match outcome {
                Outcome::Refused(error) => self.fail(file, error.to_string()),
                _ => {
                    self.report.items += 1;
                    self.report.octets += size;
                }
            }
        }
        Ok(())
    }

    fn changes(&self, operations: Vec<Operation>) -> Changeset {
        Changeset {
            origin: Origin::new(Protocol::System, "import"),
            at: self.at,
            mode: Mode::EachOnItsOwn,
            operations,
        }
    }

    fn fail(&mut self, file: PathBuf, why: impl Into<String>) {
        let why = why.into();
        self.report.failed.push(ImportFailure { file, why });
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ImportError> {
    let text = fs::read(path).map_err(|source| io_error(path, source))?;
    serde_json::from_slice(&text).map_err(|source| ImportError::Format {
        path: path.to_owned(),
        source,
    })
}

fn io_error(path: &Path, source: io::Error) -> ImportError {
    ImportError::Io {
        path: path.to_owned(),
        source,
    }
}
