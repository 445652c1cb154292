use super::{
    keys::{MailboxKeys, Purge},
    records::{CommitRecord, FolderCounts, FolderRecord, ItemRecord, MailboxRecord},
    service,
    view::View,
};
use crate::{commit::Transaction, record::Record, seal::KeySet, segment::Bodies};
use std::{collections::BTreeMap, mem};
use wm_core::{
    FolderId, ItemId, Limits, MailboxRef, ModSeq, Timestamp, UidValidity,
    model::{EventKind, FolderRole, Origin},
    traits::{Applied, Changeset, FolderTarget, Mode, NewItem, Operation, Outcome, StoreError},
};

/// Changes a mailbox within a transaction. All that one editor changes takes one modification
/// sequence number.
///
/// An operation reads and checks everything before it changes anything, so that one that is refused
/// leaves nothing. Only a fault beneath can end one half-way, and that ends the whole request.
pub(crate) struct Editor<'t, 's> {
    pub(super) transaction: &'t mut Transaction<'s>,
    pub(super) bodies: &'t Bodies,
    pub(super) keys: &'t KeySet,
    pub(super) limits: &'t Limits,
    pub(super) mailbox: MailboxRef,
    pub(super) paths: MailboxKeys,
    pub(super) record: MailboxRecord,
    /// The counts of folders that were looked at; written at the end.
    counts: BTreeMap<FolderId, FolderCounts>,
    pub(super) at: Timestamp,
    events: Vec<EventKind>,
    changed: bool,
}

/// What an editor works with.
#[derive(Clone, Copy)]
pub(crate) struct Means<'t> {
    pub(crate) bodies: &'t Bodies,
    pub(crate) keys: &'t KeySet,
    pub(crate) limits: &'t Limits,
}

impl<'t, 's> Editor<'t, 's> {
    /// Opens a mailbox, materialising it if it is not there.
    pub(crate) fn open(
        transaction: &'t mut Transaction<'s>,
        means: Means<'t>,
        mailbox: MailboxRef,
        at: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut editor = Self::open_any(transaction, means, mailbox, at)?;
        if editor.record.removed {
            editor.materialise()?;
        }
        Ok(editor)
    }

    /// Opens a mailbox that is there.
    pub(crate) fn open_existing(
        transaction: &'t mut Transaction<'s>,
        means: Means<'t>,
        mailbox: MailboxRef,
        at: Timestamp,
    ) -> Result<Self, StoreError> {
        let editor = Self::open_any(transaction, means, mailbox, at)?;
        match editor.record.removed {
            true => Err(StoreError::NoSuchMailbox(mailbox)),
            false => Ok(editor),
        }
    }

    /// Opens a mailbox whether it is there or not.
    pub(super) fn open_any(
        transaction: &'t mut Transaction<'s>,
        means: Means<'t>,
        mailbox: MailboxRef,
        at: Timestamp,
    ) -> Result<Self, StoreError> {
        let Means {
            bodies,
            keys,
            limits,
        } = means;
        let record = View::new(transaction, keys, mailbox).record()?;
        Ok(Self {
            record: record.unwrap_or_else(|| MailboxRecord::unused(at)),
            paths: MailboxKeys::new(mailbox),
            counts: BTreeMap::new(),
            events: Vec::new(),
            changed: false,
            transaction,
            bodies,
            keys,
            limits,
            mailbox,
            at,
        })
    }

    /// Applies a changeset, and ends.
    pub(crate) fn apply(mut self, changes: Changeset) -> Result<Applied, StoreError> {
        let limit = self.limits.operations_per_changeset;
        if changes.operations.len() > limit {
            return Err(StoreError::TooMany {
                what: "operations in a changeset",
                limit,
            });
        }
        let mut outcomes = Vec::with_capacity(changes.operations.len());
        for operation in changes.operations {
            outcomes.push(match self.operate(operation) {
                Err(error) if changes.mode == Mode::EachOnItsOwn && is_refusal(&error) => {
                    Outcome::Refused(error)
                }
                result => result?,
            });
        }
        let committed = self.changed;
        let modseq = self.finish(&changes.origin)?;
        Ok(Applied {
            modseq,
            committed,
            outcomes,
        })
    }

    /// Puts one item into the mailbox, and ends.
    pub(crate) fn deliver(mut self, item: NewItem, origin: &Origin) -> Result<Outcome, StoreError> {
        let outcome = self.add_item(item)?;
        self.finish(origin)?;
        Ok(outcome)
    }

    /// Writes what belongs to the mailbox as a whole, and answers its last commit.
    pub(crate) fn finish(mut self, origin: &Origin) -> Result<ModSeq, StoreError> {
        if !self.changed {
            return Ok(self.record.highest_modseq);
        }
        let commit = self.commit();
        for (folder, counts) in mem::take(&mut self.counts) {
            self.put(self.paths.counts(folder), &counts)?;
        }
        let events = mem::take(&mut self.events);
        if !events.is_empty() {
            let record = CommitRecord {
                at: self.at,
                origin: origin.clone(),
                events,
            };
            self.put(self.paths.events(commit), &record)?;
        }
        self.record.highest_modseq = commit;
        self.put_record()?;
        self.transaction.wake(self.mailbox, commit);
        Ok(commit)
    }

    /// Takes the mailbox away; its items go in steps afterwards.
    pub(super) fn remove(mut self) -> Result<(), StoreError> {
        for folder in self.view().folder_ids()? {
            self.drop_folder(folder)?;
        }
        self.record.removed = true;
        self.forget_upto(self.commit());
        self.finish(&service()).map(drop)
    }

    /// Sets how many octets the mailbox may hold.
    pub(super) fn set_quota(mut self, octets: u64) -> Result<(), StoreError> {
        self.record.quota = octets;
        self.put_record()
    }

    /// Moves the horizon up; what lies before it goes in steps afterwards.
    pub(super) fn truncate(mut self, horizon: ModSeq) -> Result<(), StoreError> {
        self.forget_upto(horizon.min(self.record.highest_modseq));
        self.put_record()
    }

    fn forget_upto(&mut self, horizon: ModSeq) {
        self.record.horizon = self.record.horizon.max(horizon);
        self.note(
            Purge {
                mailbox: self.mailbox,
                folder: None,
            }
            .key(),
        );
    }

    fn put_record(&mut self) -> Result<(), StoreError> {
        let record = self.record.clone();
        self.put(self.paths.mailbox(), &record)
    }

    fn operate(&mut self, operation: Operation) -> Result<Outcome, StoreError> {
        match operation {
            Operation::CreateFolder(new) => self.create_folder(new),
            Operation::UpdateFolder { folder, update } => self.update_folder(folder, update),
            Operation::DeleteFolder { folder } => self.delete_folder(folder),
            Operation::AddItem(new) => self.add_item(new),
            Operation::UpdateItem {
                item,
                expect,
                update,
            } => self.update_item(item, &expect, update),
            Operation::MoveItem { item, expect, to } => self.move_item(item, &expect, to),
            Operation::CopyItem { item, expect, to } => self.copy_item(item, &expect, to),
            Operation::DeleteItem { item, expect } => self.delete_item(item, &expect),
        }
    }

    /// The number that this commit takes if anything changes.
    pub(super) fn commit(&self) -> ModSeq {
        self.record.highest_modseq.next()
    }

    pub(super) fn view(&self) -> View<'_> {
        View::new(self.transaction, self.keys, self.mailbox)
    }

    /// Something in or about a folder changes.
    pub(super) fn change(&mut self, event: EventKind) {
        self.changed = true;
        self.events.push(event);
    }

    pub(super) fn target(&self, target: FolderTarget) -> Result<FolderId, StoreError> {
        let folder = match target {
            FolderTarget::Id(folder) => folder,
            FolderTarget::Role(role) => self.record.folder_with(role),
        };
        match self.view().has_folder(folder)? {
            true => Ok(folder),
            false => Err(StoreError::NoSuchFolder(folder)),
        }
    }

    /// The counts of a folder, to be read.
    pub(super) fn counts(&mut self, folder: FolderId) -> Result<FolderCounts, StoreError> {
        if let Some(counts) = self.counts.get(&folder) {
            return Ok(*counts);
        }
        let counts = self.view().counts(folder)?;
        Ok(*self.counts.entry(folder).or_insert(counts))
    }

    /// Changes the counts of a folder with this commit.
    pub(super) fn count(
        &mut self,
        folder: FolderId,
        change: impl FnOnce(&mut FolderCounts),
    ) -> Result<(), StoreError> {
        let mut counts = self.counts(folder)?;
        counts.highest_modseq = self.commit();
        change(&mut counts);
        self.counts.insert(folder, counts);
        Ok(())
    }

    /// The counts of a folder that is being made.
    pub(super) fn set_counts(&mut self, folder: FolderId, counts: FolderCounts) {
        self.counts.insert(folder, counts);
    }

    /// A folder is no more.
    pub(super) fn forget_counts(&mut self, folder: FolderId) {
        self.counts.remove(&folder);
    }

    pub(super) fn put_item(&mut self, item: ItemId, record: &ItemRecord) -> Result<(), StoreError> {
        self.put(self.paths.item(item), record)
    }

    pub(super) fn put_folder(
        &mut self,
        folder: FolderId,
        record: &FolderRecord,
    ) -> Result<(), StoreError> {
        self.put(self.paths.folder(folder), record)
    }

    pub(super) fn note(&mut self, key: Vec<u8>) {
        self.transaction.put(key, "");
    }

    fn put<R: Record>(&mut self, key: Vec<u8>, record: &R) -> Result<(), StoreError> {
        Ok(self.keys.write_record(self.transaction, key, record)?)
    }

    /// Makes the well-known folders, in a mailbox that never was or that was removed.
    fn materialise(&mut self) -> Result<(), StoreError> {
        self.record = MailboxRecord {
            removed: false,
            size: 0,
            quota: self.limits.mailbox_size,
            created: self.at,
            first_role: self.record.next_folder,
            folders: 0,
            ..self.record.clone()
        };
        for role in FolderRole::ALL {
            let name = role.default_name().to_owned();
            self.make_folder(None, name, role.class(), Some(role))?;
        }
        self.changed = true;
        // They are there from the beginning; nobody is told that they were made.
        self.events.clear();
        Ok(())
    }

    /// The next incarnation's number: above every earlier one, and above those of a store that was
    /// lost.
    pub(super) fn next_uid_validity(&mut self) -> UidValidity {
        let now = u32::try_from(self.at.as_seconds()).unwrap_or(1);
        self.record.uid_validity = now.max(self.record.uid_validity.saturating_add(1)).max(1);
        UidValidity::new(self.record.uid_validity).unwrap_or(UidValidity(std::num::NonZeroU32::MIN))
    }
}

impl MailboxRecord {
    /// That of a mailbox that never was.
    pub(super) fn unused(at: Timestamp) -> Self {
        Self {
            highest_modseq: ModSeq(0),
            horizon: ModSeq(0),
            size: 0,
            quota: 0,
            created: at,
            removed: true,
            next_item: 1,
            next_folder: 1,
            folders: 0,
            first_role: 1,
            uid_validity: 0,
        }
    }
}

/// Whether an error is about the one operation, and not about the store beneath.
fn is_refusal(error: &StoreError) -> bool {
    !matches!(error, StoreError::Unavailable { .. })
}
