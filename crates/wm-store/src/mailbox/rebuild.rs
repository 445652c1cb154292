//! The indexes of mailboxes, made anew from their records.

use super::{
    keys::{MailboxKeys, Purge, Tail},
    records::{FolderCounts, FolderRecord, ItemRecord, MailboxRecord, positions},
};
use crate::{
    engine::{Direction, KeyRange, Snapshot},
    fault::Fault,
    keyspace::Space,
    record::Record,
    seal::KeySet,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use wm_core::{
    BodyId, FolderId, ItemId, Limits, MailboxRef, ModSeq, Timestamp, UidValidity,
    model::{FolderClass, FolderRole},
};

/// Numbers passed over where it is not known which were given out: none may be given twice.
const MARGIN: u32 = 1 << 20;

/// Takes what is written.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Vec<u8>, Bytes) -> Result<(), Fault>;

/// What was made of the mailboxes of an organization.
#[derive(Default)]
pub(crate) struct Rebuilt {
    pub(crate) items: u64,
    /// How many items refer to each body.
    pub(crate) references: HashMap<BodyId, u64>,
    /// What could not be read: whose, which item, and why.
    pub(crate) damaged: Vec<(MailboxRef, Option<ItemId>, String)>,
    /// Mailboxes and folders whose own record was lost, and which were made anew for their items.
    pub(crate) made: Vec<(MailboxRef, Option<FolderId>)>,
}

/// Writes the indexes of all mailboxes of the owner of `keys`, of which `now` has the records.
/// `exact`: `now` has the latest record of everything.
pub(crate) fn rebuild(
    now: &dyn Snapshot,
    keys: &KeySet,
    limits: &Limits,
    exact: bool,
    sink: Sink<'_>,
) -> Result<Rebuilt, Fault> {
    let mut rebuilt = Rebuilt::default();
    let mut rest = KeyRange::prefix(Space::Mailboxes.prefix(keys.organization()));
    while let Some(entry) = now.scan(rest.clone(), Direction::Forward).next() {
        let (key, _) = entry?;
        let Some((mailbox, _)) = MailboxKeys::parse(&key) else {
            rest = rest.after(&key);
            continue;
        };
        let paths = MailboxKeys::new(mailbox);
        Rebuilder {
            now,
            keys,
            limits,
            exact,
            mailbox,
            paths,
            rebuilt: &mut rebuilt,
            sink: &mut *sink,
        }
        .run()?;
        rest = rest.after(&paths.last());
    }
    Ok(rebuilt)
}

struct Rebuilder<'a> {
    now: &'a dyn Snapshot,
    keys: &'a KeySet,
    limits: &'a Limits,
    exact: bool,
    mailbox: MailboxRef,
    paths: MailboxKeys,
    rebuilt: &'a mut Rebuilt,
    sink: Sink<'a>,
}

/// What the items of a folder come to.
#[derive(Default, Clone, Copy)]
struct Sum {
    total: u64,
    unread: u64,
    size: u64,
    last_uid: u32,
}

impl Rebuilder<'_> {
    fn run(mut self) -> Result<(), Fault> {
        let record = self.open::<MailboxRecord>(&self.paths.mailbox())?;
        let mut folders = self.folders()?;
        let leaving = self.leaving()?;
        let mut sums: BTreeMap<FolderId, Sum> = BTreeMap::new();
        let (mut last_item, mut last_modseq) = (0, ModSeq(0));
        for entry in self.now.scan(self.paths.items(), Direction::Forward) {
            let (key, sealed) = entry?;
            let Some(item) = Tail(&key).item() else {
                continue;
            };
            last_item = last_item.max(item.0);
            let record: ItemRecord = match self.keys.open_record(&key, &sealed) {
                Ok(record) => record,
                Err(fault) => {
                    self.find(Some(item), &fault);
                    continue;
                }
            };
            last_modseq = last_modseq.max(record.modseq());
            *self.rebuilt.references.entry(record.body.id).or_default() += 1;
            self.list(item, &record)?;
            if leaving.contains(&record.folder) && !folders.contains_key(&record.folder) {
                continue;
            }
            self.rebuilt.items += 1;
            let sum = sums.entry(record.folder).or_default();
            sum.total += 1;
            sum.unread += record.unread();
            sum.size += record.size();
            sum.last_uid = sum.last_uid.max(record.uid.as_u32());
        }

        let removed = record.as_ref().is_some_and(|record| record.removed);
        if removed && sums.is_empty() {
            return Ok(());
        }
        let mut mailbox = record.unwrap_or_else(|| {
            self.rebuilt.made.push((self.mailbox, None));
            self.unknown_mailbox()
        });
        let missing = sums.keys().filter(|folder| !folders.contains_key(folder));
        for folder in missing.copied().collect::<Vec<_>>() {
            self.rebuilt.made.push((self.mailbox, Some(folder)));
            folders.insert(folder, unknown_folder(&mailbox, folder));
        }
        let margin = if self.exact { 0 } else { MARGIN };
        let last_folder = folders.keys().last().map_or(0, |folder| folder.0);
        mailbox.removed = false;
        mailbox.next_item = mailbox.next_item.max(last_item + 1) + u64::from(margin);
        mailbox.next_folder = mailbox.next_folder.max(
            u32::try_from(last_folder)
                .unwrap_or(u32::MAX)
                .saturating_add(1),
        );
        // Clients begin again: what was gone before is no longer known.
        let commit = mailbox.highest_modseq.max(last_modseq).0 + 1 + u64::from(margin);
        mailbox.highest_modseq = ModSeq(commit);
        mailbox.horizon = mailbox.highest_modseq;
        mailbox.folders = u32::try_from(folders.len()).unwrap_or(u32::MAX);
        mailbox.size = sums.values().map(|sum| sum.size).sum();
        self.write_folders(folders, &sums, &mut mailbox, margin)?;
        self.put(self.paths.mailbox(), &mailbox)
    }

    fn write_folders(
        &mut self,
        folders: BTreeMap<FolderId, FolderRecord>,
        sums: &BTreeMap<FolderId, Sum>,
        mailbox: &mut MailboxRecord,
        margin: u32,
    ) -> Result<(), Fault> {
        let present: BTreeSet<_> = folders.keys().copied().collect();
        for (folder, mut record) in folders {
            let lost = |parent: &FolderId| !present.contains(parent);
            if record.parent.as_ref().is_some_and(lost) {
                record.parent = None;
            }
            let known = self.open::<FolderCounts>(&self.paths.counts(folder))?;
            let sum = sums.get(&folder).copied().unwrap_or_default();
            let uid_validity = match known {
                Some(known) => known.uid_validity,
                None => {
                    mailbox.uid_validity = mailbox.uid_validity.saturating_add(1);
                    let next = UidValidity::new(mailbox.uid_validity);
                    next.unwrap_or(UidValidity(std::num::NonZeroU32::MIN))
                }
            };
            let uid_next = known.map_or(1, |known| known.uid_next);
            let counts = FolderCounts {
                uid_validity,
                uid_next: uid_next
                    .max(sum.last_uid.saturating_add(1))
                    .saturating_add(margin),
                total: sum.total,
                unread: sum.unread,
                size: sum.size,
                highest_modseq: mailbox.highest_modseq,
            };
            self.put(self.paths.counts(folder), &counts)?;
            self.put(self.paths.folder(folder), &record)?;
            let name = self
                .paths
                .name(self.keys, record.parent, &record.name, folder);
            (self.sink)(name, Bytes::new())?;
        }
        Ok(())
    }

    /// The index entries of an item.
    fn list(&mut self, item: ItemId, record: &ItemRecord) -> Result<(), Fault> {
        let (paths, folder) = (self.paths, record.folder);
        (self.sink)(paths.uid(folder, record.uid, item), Bytes::new())?;
        (self.sink)(paths.received(folder, record.received, item), Bytes::new())?;
        for at in positions(&record.stamps) {
            (self.sink)(paths.changed(folder, at, item), Bytes::new())?;
        }
        Ok(())
    }

    fn folders(&mut self) -> Result<BTreeMap<FolderId, FolderRecord>, Fault> {
        let mut folders = BTreeMap::new();
        for entry in self.now.scan(self.paths.folders(), Direction::Forward) {
            let (key, sealed) = entry?;
            let Some(folder) = Tail(&key).folder().flatten() else {
                continue;
            };
            match self.keys.open_record(&key, &sealed) {
                Ok(record) => drop(folders.insert(folder, record)),
                Err(fault) => self.find(None, &fault),
            }
        }
        Ok(folders)
    }

    /// The folders that are being deleted in steps.
    fn leaving(&self) -> Result<BTreeSet<FolderId>, Fault> {
        let entries = self.now.scan(Purge::of(self.mailbox), Direction::Forward);
        let folders = entries.map(|entry| Ok(Purge::parse(&entry?.0).and_then(|it| it.folder)));
        Ok(folders
            .collect::<Result<Vec<_>, Fault>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    fn unknown_mailbox(&self) -> MailboxRecord {
        MailboxRecord {
            quota: self.limits.mailbox_size,
            removed: false,
            ..MailboxRecord::unused(Timestamp::default())
        }
    }

    fn open<R: Record>(&mut self, key: &[u8]) -> Result<Option<R>, Fault> {
        match self.keys.read_record(self.now, key) {
            Err(fault @ Fault::Record { .. }) => {
                self.find(None, &fault);
                Ok(None)
            }
            found => found,
        }
    }

    fn put<R: Record>(&mut self, key: Vec<u8>, record: &R) -> Result<(), Fault> {
        let sealed = self.keys.seal_record(&key, record)?;
        (self.sink)(key, sealed.into())
    }

    fn find(&mut self, item: Option<ItemId>, fault: &Fault) {
        let damage = (self.mailbox, item, fault.to_string());
        self.rebuilt.damaged.push(damage);
    }
}

/// A folder of which nothing is known but that there are items in it.
fn unknown_folder(mailbox: &MailboxRecord, folder: FolderId) -> FolderRecord {
    let role = FolderRole::ALL
        .into_iter()
        .find(|role| mailbox.folder_with(*role) == folder);
    FolderRecord {
        parent: None,
        name: role.map_or_else(
            || format!("Recovered {folder}"),
            |role| role.default_name().to_owned(),
        ),
        class: role.map_or(FolderClass::Mail, FolderRole::class),
        role,
        modseq: mailbox.highest_modseq,
        subscribed: true,
        permissions: Vec::new(),
        properties: [].into(),
        created: Timestamp::default(),
    }
}
