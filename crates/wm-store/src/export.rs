//! Taking mail out of a store, into files that other programs read.
//!
//! | in the directory | what |
//! |---|---|
//! | `<organization>/directory.json` | users, groups, resources and domains, without passwords |
//! | `<organization>/<mailbox>/` | one mailbox: a Maildir with its folders (Maildir++), or an mbox for each folder |
//! | `<organization>/<mailbox>/mailbox.json` | its folders, and where each is |
//! | `<organization>/<mailbox>/items.jsonl` | a line for each item: all that is known of it, and its file or its place in the mbox |
//! | `damaged.json` | what could not be read, and whose it is |
//!
//! What is damaged is left out and listed; it never ends an export.

pub(crate) mod files;

use crate::{
    Finding, Store,
    check::owners,
    directory::{DirectoryOptions, StoredDirectory},
    engine::{Direction, KeyRange, Snapshot},
    fault::Fault,
    keyspace::{INSTALLATION, Space},
    mailbox,
};
use files::{MailboxFiles, file_name};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};
use wm_core::{
    ItemId, MailboxId, MailboxRef, OrganizationId, Uid,
    model::{Folder, Item, PropertyName, PropertyValue},
    traits::{Directory, MailboxStore, StoreError},
};

/// How messages are put into files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A file for each message, folders as Maildir++ has them.
    Maildir,
    /// A file for each folder, lines that begin with `From ` quoted as mboxrd has it.
    Mbox,
}

/// What is exported, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportOptions {
    /// How messages are put into files.
    pub format: ExportFormat,
    /// Whose mail.
    pub selection: Selection,
}

/// Whose mail is exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection {
    /// Everybody's.
    #[default]
    All,
    /// One organization's.
    Organization(OrganizationId),
    /// That of these mailboxes.
    Mailboxes(BTreeSet<MailboxRef>),
}

impl ExportOptions {
    /// The same, of a selection.
    #[must_use]
    pub fn of(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }
}

impl From<ExportFormat> for ExportOptions {
    /// Of everybody's mail.
    fn from(format: ExportFormat) -> Self {
        Self {
            format,
            selection: Selection::All,
        }
    }
}

impl Selection {
    fn has(&self, mailbox: MailboxRef) -> bool {
        match self {
            Self::All => true,
            Self::Organization(id) => *id == mailbox.organization,
            Self::Mailboxes(mailboxes) => mailboxes.contains(&mailbox),
        }
    }

    fn has_some_of(&self, organization: OrganizationId) -> bool {
        match self {
            Self::All => true,
            Self::Organization(id) => *id == organization,
            Self::Mailboxes(mailboxes) => mailboxes
                .iter()
                .any(|mailbox| mailbox.organization == organization),
        }
    }
}

/// What an export came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Mailboxes written.
    pub mailboxes: u64,
    /// Items written.
    pub items: u64,
    /// Octets of their contents.
    pub octets: u64,
    /// What could not be read and was left out.
    pub damaged: Vec<Finding>,
}

/// Why an export ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The directory to export to has something in it.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store cannot be read any further, for another reason than damage.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes everything that can be read, of what `options` (or an [`ExportFormat`] alone) name, to
    /// the directory at `into`, which is made or empty. `progress` is told how many items are done, of how many. Files are written by the thread that
    /// polls: do not call it where that may not wait.
    ///
    /// # Errors
    /// [`ExportError`]; what was written stays.
    pub async fn export(
        &self,
        into: impl AsRef<Path>,
        options: impl Into<ExportOptions>,
        progress: impl Fn(u64, u64) + Send + Sync,
    ) -> Result<ExportReport, ExportError> {
        let into = into.as_ref();
        let ExportOptions { format, selection } = options.into();
        make_empty(into)?;
        let mut export = Export {
            store: self,
            into,
            format,
            selection,
            progress: &progress,
            report: ExportReport::default(),
            done: 0,
            all: 0,
        };
        export.run().await?;
        let damaged: Vec<_> = export.report.damaged.iter().map(Damaged::of).collect();
        write_json(&into.join("damaged.json"), &damaged)?;
        Ok(export.report)
    }

    /// The mailboxes of an organization that hold something.
    pub(crate) async fn mailboxes(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<MailboxId>, StoreError> {
        let find = move |now: &dyn Snapshot| {
            let mut found = Vec::new();
            let mut rest = KeyRange::prefix(Space::Mailboxes.prefix(organization));
            while let Some(entry) = now.scan(rest.clone(), Direction::Forward).next() {
                let (key, _) = entry?;
                match mailbox::of_key(&key) {
                    Some((mailbox, last)) => {
                        found.push(mailbox.mailbox);
                        rest = rest.after(&last);
                    }
                    None => rest = rest.after(&key),
                }
            }
            Ok::<_, Fault>(found)
        };
        Ok(self.core.read(find).await?)
    }
}

struct Export<'a> {
    store: &'a Store,
    into: &'a Path,
    format: ExportFormat,
    selection: Selection,
    progress: &'a (dyn Fn(u64, u64) + Send + Sync),
    report: ExportReport,
    done: u64,
    all: u64,
}

impl Export<'_> {
    async fn run(&mut self) -> Result<(), ExportError> {
        let people = StoredDirectory::open(self.store, DirectoryOptions::default()).await;
        let people = match people {
            Ok(people) => Some(people),
            Err(error) => {
                self.find(None, None, error.to_string());
                None
            }
        };
        let owners = self
            .store
            .core
            .read(owners)
            .await
            .map_err(StoreError::from)?;
        let mut mailboxes = Vec::new();
        let wanted =
            |owner: &OrganizationId| *owner != INSTALLATION && self.selection.has_some_of(*owner);
        for owner in owners.into_iter().filter(wanted).collect::<Vec<_>>() {
            if let Err(fault) = self.store.core.known_keys(owner).await {
                self.report.damaged.push(Finding {
                    organization: Some(owner),
                    mailbox: None,
                    item: None,
                    what: fault.to_string(),
                });
                continue;
            }
            let root = self.into.join(owner.to_string());
            fs::create_dir_all(&root).map_err(|source| io_error(&root, source))?;
            let names = self.write_directory(owner, people.as_ref(), &root).await?;
            for mailbox in self.store.mailboxes(owner).await? {
                let name = names.get(&mailbox).cloned();
                let name = name.unwrap_or_else(|| mailbox.to_string());
                let of = MailboxRef {
                    organization: owner,
                    mailbox,
                };
                if self.selection.has(of) {
                    mailboxes.push((of, root.join(name)));
                }
            }
        }
        let mut found = Vec::new();
        for (mailbox, path) in mailboxes {
            match self.store.folders(mailbox).await {
                Ok(folders) if folders.is_empty() => {}
                Ok(folders) => found.push((mailbox, path, folders)),
                Err(StoreError::NoSuchMailbox(_)) => {}
                Err(error) => self.damaged(mailbox, None, error)?,
            }
        }
        let folders = found.iter().flat_map(|(_, _, folders)| folders);
        self.all = folders.map(|folder| folder.total).sum();
        for (mailbox, path, folders) in found {
            self.write_mailbox(mailbox, &path, folders).await?;
            self.report.mailboxes += 1;
        }
        (self.progress)(self.all, self.all);
        Ok(())
    }

    /// Writes who there is; answers directory names for their mailboxes.
    async fn write_directory(
        &mut self,
        owner: OrganizationId,
        people: Option<&StoredDirectory>,
        root: &Path,
    ) -> Result<BTreeMap<MailboxId, String>, ExportError> {
        let Some(people) = people else {
            return Ok(BTreeMap::new());
        };
        let read = async {
            Ok::<_, wm_core::traits::DirectoryError>((
                people.organization(owner).await?,
                people.domains(owner).await?,
                people.users(owner).await?,
                people.groups(owner).await?,
                people.resources(owner).await?,
            ))
        };
        let (organization, domains, users, groups, resources) = match read.await {
            Ok(read) => read,
            Err(wm_core::traits::DirectoryError::NoSuchOrganization(_)) => {
                return Ok(BTreeMap::new());
            }
            Err(error) => {
                self.report.damaged.push(Finding {
                    organization: Some(owner),
                    mailbox: None,
                    item: None,
                    what: error.to_string(),
                });
                return Ok(BTreeMap::new());
            }
        };
        let users_names = users
            .iter()
            .map(|user| (MailboxId::from(user.id), &user.name));
        let resources_names = resources
            .iter()
            .map(|it| (MailboxId::from(it.id), &it.name));
        let mut taken = BTreeSet::new();
        let names = users_names
            .chain(resources_names)
            .map(|(mailbox, name)| {
                let name = file_name(name);
                match taken.insert(name.to_lowercase()) {
                    true => (mailbox, name),
                    false => (mailbox, mailbox.to_string()),
                }
            })
            .collect();
        let all = serde_json::json!({
            "organization": organization,
            "domains": domains,
            "users": users,
            "groups": groups,
            "resources": resources,
        });
        write_json(&root.join("directory.json"), &all)?;
        Ok(names)
    }

    async fn write_mailbox(
        &mut self,
        mailbox: MailboxRef,
        path: &Path,
        folders: Vec<Folder>,
    ) -> Result<(), ExportError> {
        let mut files = MailboxFiles::create(path, self.format, &folders)?;
        for folder in &folders {
            let uids = match self.store.uids(mailbox, folder.id).await {
                Ok((_, uids)) => uids,
                // Without its counts a folder still lists its items.
                Err(StoreError::Damaged { .. }) => {
                    self.find(
                        Some(mailbox),
                        None,
                        format!("the counts of folder {} are damaged", folder.id),
                    );
                    self.store.uids_without_counts(mailbox, folder.id).await?
                }
                Err(error) => return Err(error.into()),
            };
            files.begin(folder)?;
            for (uid, item) in uids {
                self.write_item(mailbox, folder, uid, item, &mut files)
                    .await?;
                self.done += 1;
                (self.progress)(self.done.min(self.all), self.all);
            }
        }
        files.finish(&folders, mailbox)
    }

    async fn write_item(
        &mut self,
        mailbox: MailboxRef,
        folder: &Folder,
        uid: Uid,
        id: ItemId,
        files: &mut MailboxFiles,
    ) -> Result<(), ExportError> {
        let (item, prefix) = match self.store.item_with_prefix(mailbox, id).await {
            Ok(found) if found.0.folder == folder.id && found.0.uid == uid => found,
            // It has moved on since the folder was listed.
            Ok(_) | Err(StoreError::NoSuchItem(_)) => return Ok(()),
            Err(error) => return self.damaged(mailbox, Some(id), error),
        };
        let mut content = match MailboxStore::read(self.store, mailbox, id, 0..u64::MAX).await {
            Ok(content) => content,
            Err(error) => return self.damaged(mailbox, Some(id), error),
        };
        let mut writing = files.item(&item)?;
        loop {
            match content.try_next().await {
                Ok(Some(piece)) => writing.write(&piece)?,
                Ok(None) => break,
                Err(error) => {
                    writing.give_up()?;
                    return self.damaged(mailbox, Some(id), error);
                }
            }
        }
        let place = writing.finish()?;
        self.report.items += 1;
        self.report.octets += item.size;
        files.list(&Line::of(item, prefix, place))
    }

    /// Lists what is damaged; any other error ends the export.
    fn damaged(
        &mut self,
        mailbox: MailboxRef,
        item: Option<ItemId>,
        error: StoreError,
    ) -> Result<(), ExportError> {
        let StoreError::Damaged { .. } = error else {
            return Err(error.into());
        };
        self.find(Some(mailbox), item, error.to_string());
        Ok(())
    }

    fn find(&mut self, mailbox: Option<MailboxRef>, item: Option<ItemId>, what: String) {
        self.report.damaged.push(Finding {
            organization: mailbox.map(|mailbox| mailbox.organization),
            mailbox,
            item,
            what,
        });
    }
}

/// A line of `items.jsonl`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Line {
    #[serde(flatten)]
    pub(crate) place: files::Place,
    /// Octets at the beginning of the content that only this recipient's copy has.
    #[serde(default)]
    pub(crate) prefix: u64,
    pub(crate) item: Item,
    /// JSON has no keys but text, so they are pairs here.
    pub(crate) properties: Vec<(PropertyName, PropertyValue)>,
}

impl Line {
    fn of(mut item: Item, prefix: u64, place: files::Place) -> Self {
        let properties = std::mem::take(&mut item.properties).into_iter().collect();
        Self {
            place,
            prefix,
            item,
            properties,
        }
    }
}

/// An entry of `damaged.json`.
#[derive(Serialize)]
struct Damaged<'a> {
    organization: Option<OrganizationId>,
    mailbox: Option<MailboxId>,
    item: Option<ItemId>,
    what: &'a str,
}

impl<'a> Damaged<'a> {
    fn of(finding: &'a Finding) -> Self {
        Self {
            organization: finding.organization,
            mailbox: finding.mailbox.map(|mailbox| mailbox.mailbox),
            item: finding.item,
            what: &finding.what,
        }
    }
}

fn make_empty(path: &Path) -> Result<(), ExportError> {
    let make = || {
        fs::create_dir_all(path)?;
        Ok(fs::read_dir(path)?.next().is_none())
    };
    match make().map_err(|source| io_error(path, source))? {
        true => Ok(()),
        false => Err(ExportError::NotEmpty(path.to_owned())),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ExportError> {
    let text = serde_json::to_vec_pretty(value).map_err(io::Error::from);
    let written = text.and_then(|text| fs::write(path, text));
    written.map_err(|source| io_error(path, source))
}

fn io_error(path: &Path, source: io::Error) -> ExportError {
    ExportError::Io {
        path: path.to_owned(),
        source,
    }
}
