use super::{
    editor::Editor,
    records::{ItemRecord, LAST_UID, positions},
};
use wm_core::{
    FolderId, ItemId, Uid,
    model::{ChangeMask, EventKind, Flags, Stamps, Tombstone},
    traits::{Expect, FolderTarget, ItemUpdate, NewItem, Outcome, StoreError},
};

/// Octets an item's prefix may have.
const MAX_PREFIX: usize = 64 << 10;
/// Octets an item's record may have beside them.
const MAX_RECORD: usize = 1 << 20;

impl Editor<'_, '_> {
    pub(super) fn add_item(&mut self, new: NewItem) -> Result<Outcome, StoreError> {
        let folder = self.target(new.folder)?;
        let item = ItemId(self.record.next_item);
        let record = ItemRecord {
            folder,
            uid: self.next_uid(folder)?,
            class: new.class,
            received: new.received,
            created: self.at,
            modified: self.at,
            flags: new.flags,
            keywords: new.keywords,
            categories: new.categories,
            conversation: new.conversation,
            creator: new.creator,
            summary: new.content.summary,
            properties: new.properties,
            stamps: Stamps::new(self.commit()),
            prefix: new.content.prefix,
            body: new.content.body,
        };
        self.check(&record, 0)?;
        self.bodies
            .refer(self.transaction, self.keys, &record.body)?;
        self.change(match new.delivered {
            true => EventKind::Delivered { item, folder },
            false => EventKind::Created { item, folder },
        });
        self.store_new(item, record)
    }

    pub(super) fn update_item(
        &mut self,
        item: ItemId,
        expect: &Expect,
        update: ItemUpdate,
    ) -> Result<Outcome, StoreError> {
        let old = self.expected(item, expect)?;
        let mut new = old.clone();
        let mut what = ChangeMask::NONE;

        new.flags = (old.flags | update.set) & !update.clear;
        let differs = |of: Flags| old.flags & of != new.flags & of;
        if differs(Flags::READ) {
            what = what | ChangeMask::READ;
        }
        if differs(!Flags::READ) {
            what = what | ChangeMask::FLAGS;
        }
        let keywords = update.keywords.apply_to(&mut new.keywords);
        let categories = update.categories.apply_to(&mut new.categories);
        if keywords || categories {
            what = what | ChangeMask::LABELS;
        }
        for (name, value) in update.properties {
            match value {
                Some(value) => new.properties.insert(name, value),
                None => new.properties.remove(&name),
            };
        }
        if new.properties != old.properties {
            what = what | ChangeMask::PROPERTIES;
        }
        if let Some(class) = update.class {
            new.class = class;
        }
        if let Some(content) = update.content {
            new.summary = content.summary;
            new.prefix = content.prefix;
            new.body = content.body;
        }
        let content =
            (&new.prefix, new.body, &new.summary) != (&old.prefix, old.body, &old.summary);
        if content || new.class != old.class {
            what = what | ChangeMask::CONTENT;
        }
        if what.is_empty() {
            return self.outcome(item, &old);
        }

        self.check(&new, old.size())?;
        if new.body != old.body {
            self.bodies.refer(self.transaction, self.keys, &new.body)?;
            self.bodies
                .release(self.transaction, self.keys, old.body.id)?;
        }
        new.modified = self.at;
        new.stamps.touch(what, self.commit());
        self.record.size = self.record.size - old.size() + new.size();
        self.count(old.folder, |counts| {
            counts.unread = counts.unread - old.unread() + new.unread();
            counts.size = counts.size - old.size() + new.size();
        })?;
        let (before, after) = (positions(&old.stamps), positions(&new.stamps));
        for &at in before.difference(&after) {
            self.transaction
                .delete(self.paths.changed(old.folder, at, item));
        }
        for &at in after.difference(&before) {
            self.note(self.paths.changed(new.folder, at, item));
        }
        self.put_item(item, &new)?;
        self.change(EventKind::Changed {
            item,
            folder: new.folder,
            what,
        });
        self.outcome(item, &new)
    }

    pub(super) fn move_item(
        &mut self,
        item: ItemId,
        expect: &Expect,
        to: FolderTarget,
    ) -> Result<Outcome, StoreError> {
        let to = self.target(to)?;
        let old = self.expected(item, expect)?;
        if old.folder == to {
            return self.outcome(item, &old);
        }
        let mut new = ItemRecord {
            folder: to,
            uid: self.next_uid(to)?,
            ..old.clone()
        };
        new.modified = self.at;
        new.stamps.touch(ChangeMask::FOLDER, self.commit());
        self.take_out(item, &old, Some(to))?;
        self.put_in(item, &new)?;
        self.change(EventKind::Moved {
            item,
            from: old.folder,
            to,
        });
        self.outcome(item, &new)
    }

    pub(super) fn copy_item(
        &mut self,
        item: ItemId,
        expect: &Expect,
        to: FolderTarget,
    ) -> Result<Outcome, StoreError> {
        let folder = self.target(to)?;
        let original = self.expected(item, expect)?;
        let copy = ItemId(self.record.next_item);
        let event = EventKind::Copied {
            item: copy,
            folder,
            of: item,
            from: original.folder,
        };
        let record = ItemRecord {
            folder,
            uid: self.next_uid(folder)?,
            created: self.at,
            modified: self.at,
            stamps: Stamps::new(self.commit()),
            ..original
        };
        self.check(&record, 0)?;
        self.bodies
            .refer(self.transaction, self.keys, &record.body)?;
        self.change(event);
        self.store_new(copy, record)
    }

    pub(super) fn delete_item(
        &mut self,
        item: ItemId,
        expect: &Expect,
    ) -> Result<Outcome, StoreError> {
        let old = self.expected(item, expect)?;
        self.bodies
            .release(self.transaction, self.keys, old.body.id)?;
        self.take_out(item, &old, None)?;
        self.transaction.delete(self.paths.item(item));
        self.record.size -= old.size();
        self.change(EventKind::Deleted {
            item,
            folder: old.folder,
        });
        Ok(Outcome::Deleted(item))
    }

    /// Removes an item of a folder that is no more; it counts nowhere any longer. Of one that
    /// cannot be read any more, what can be named goes.
    pub(super) fn purge_item(&mut self, item: ItemId) -> Result<(), StoreError> {
        match self.view().item_record(item) {
            Ok(old) => {
                self.bodies
                    .release(self.transaction, self.keys, old.body.id)?;
                self.unlist(item, &old);
            }
            Err(StoreError::NoSuchItem(_) | StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        self.transaction.delete(self.paths.item(item));
        Ok(())
    }

    /// The item to be changed, if it is as expected; everything about it has been read then.
    fn expected(&mut self, item: ItemId, expect: &Expect) -> Result<ItemRecord, StoreError> {
        let record = self.view().item(item)?;
        self.counts(record.folder)?;
        let now = record.modseq();
        if expect.folder.is_some_and(|folder| folder != record.folder) {
            return Err(StoreError::NoSuchItem(item));
        }
        let unchanged = expect.unchanged_since.is_none_or(|since| now <= since);
        match unchanged && record.flags.contains(expect.flags) {
            true => Ok(record),
            false => Err(StoreError::Changed { item, now }),
        }
    }

    /// Refuses an item over a limit. `before`: octets that it takes up already.
    fn check(&self, record: &ItemRecord, before: u64) -> Result<(), StoreError> {
        let labels = self.limits.labels_per_item;
        if record.keywords.len() > labels || record.categories.len() > labels {
            return Err(StoreError::TooMany {
                what: "labels on an item",
                limit: labels,
            });
        }
        if record.prefix.len() > MAX_PREFIX {
            return Err(StoreError::TooMany {
                what: "octets in a prefix",
                limit: MAX_PREFIX,
            });
        }
        let octets = postcard::experimental::serialized_size(record).unwrap_or(usize::MAX);
        if octets > record.prefix.len() + MAX_RECORD {
            let what = "octets of an item's properties";
            return Err(StoreError::TooMany {
                what,
                limit: MAX_RECORD,
            });
        }
        let size = self.record.size - before.min(self.record.size) + record.size();
        if size > self.record.quota && record.size() > before {
            return Err(StoreError::OverQuota {
                mailbox: self.mailbox,
                quota: self.record.quota,
            });
        }
        Ok(())
    }

    fn next_uid(&mut self, folder: FolderId) -> Result<Uid, StoreError> {
        let next = Uid::new(self.counts(folder)?.uid_next).filter(|&uid| uid < LAST_UID);
        let limit = LAST_UID.as_u32() as usize - 1;
        next.ok_or(StoreError::TooMany {
            what: "items ever in a folder",
            limit,
        })
    }

    fn store_new(&mut self, item: ItemId, record: ItemRecord) -> Result<Outcome, StoreError> {
        self.record.next_item += 1;
        self.record.size += record.size();
        self.put_in(item, &record)?;
        self.outcome(item, &record)
    }

    /// Puts an item into its folder.
    fn put_in(&mut self, item: ItemId, record: &ItemRecord) -> Result<(), StoreError> {
        self.count(record.folder, |counts| {
            counts.uid_next = record.uid.as_u32() + 1;
            counts.total += 1;
            counts.unread += record.unread();
            counts.size += record.size();
        })?;
        self.note(self.paths.uid(record.folder, record.uid, item));
        self.note(self.paths.received(record.folder, record.received, item));
        for at in positions(&record.stamps) {
            self.note(self.paths.changed(record.folder, at, item));
        }
        self.put_item(item, record)
    }

    /// Takes an item out of its folder and leaves a tombstone.
    fn take_out(
        &mut self,
        item: ItemId,
        record: &ItemRecord,
        moved_to: Option<FolderId>,
    ) -> Result<(), StoreError> {
        let (folder, uid, modseq) = (record.folder, record.uid, self.commit());
        self.count(folder, |counts| {
            counts.total -= 1;
            counts.unread -= record.unread();
            counts.size -= record.size();
        })?;
        self.unlist(item, record);
        self.note(self.paths.tombstone(&Tombstone {
            folder,
            item,
            uid,
            modseq,
            moved_to,
        }));
        Ok(())
    }

    fn unlist(&mut self, item: ItemId, record: &ItemRecord) {
        self.transaction
            .delete(self.paths.uid(record.folder, record.uid, item));
        self.transaction
            .delete(self.paths.received(record.folder, record.received, item));
        for at in positions(&record.stamps) {
            self.transaction
                .delete(self.paths.changed(record.folder, at, item));
        }
    }

    fn outcome(&mut self, item: ItemId, record: &ItemRecord) -> Result<Outcome, StoreError> {
        Ok(Outcome::Item {
            item,
            folder: record.folder,
            uid: record.uid,
            uid_validity: self.counts(record.folder)?.uid_validity,
            modseq: record.modseq(),
        })
    }
}
