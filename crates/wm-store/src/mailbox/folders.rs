use super::{
    editor::Editor,
    keys::Purge,
    records::{FolderCounts, FolderRecord},
};
use wm_core::{
    FolderId,
    model::{EventKind, FolderClass, FolderRole},
    traits::{FolderUpdate, NewFolder, Outcome, StoreError},
};

/// Stands for the top where a folder is asked for.
const TOP: FolderId = FolderId(0);

impl Editor<'_, '_> {
    pub(super) fn create_folder(&mut self, new: NewFolder) -> Result<Outcome, StoreError> {
        if let Some(parent) = new.parent {
            self.view().folder_record(parent)?;
        }
        self.check_name(&new.name, new.parent.unwrap_or(TOP))?;
        self.check_free(new.parent, &new.name, None)?;
        let limit = self.limits.folders_per_mailbox;
        if self.record.folders as usize >= limit {
            return Err(StoreError::TooMany {
                what: "folders in a mailbox",
                limit,
            });
        }
        self.make_folder(new.parent, new.name, new.class, None)
            .map(Outcome::Folder)
    }

    pub(super) fn update_folder(
        &mut self,
        folder: FolderId,
        update: FolderUpdate,
    ) -> Result<Outcome, StoreError> {
        let old = self.view().folder_record(folder)?;
        let mut new = old.clone();
        if let Some(parent) = update.parent {
            new.parent = parent;
        }
        if let Some(name) = update.name {
            new.name = name;
        }
        if let Some(subscribed) = update.subscribed {
            new.subscribed = subscribed;
        }
        if let Some(permissions) = update.permissions {
            new.permissions = permissions;
        }
        for (name, value) in update.properties {
            match value {
                Some(value) => new.properties.insert(name, value),
                None => new.properties.remove(&name),
            };
        }
        if new == old {
            return Ok(Outcome::Folder(folder));
        }

        if new.name != old.name {
            self.check_name(&new.name, folder)?;
        }
        if new.parent != old.parent {
            if old.role.is_some() {
                let reason = "a well-known folder stays where it is";
                return Err(StoreError::InvalidFolder { folder, reason });
            }
            self.check_outside(folder, new.parent)?;
        }
        let moved = new.parent != old.parent;
        if moved || new.name != old.name {
            self.check_free(new.parent, &new.name, Some(folder))?;
            self.transaction
                .delete(self.paths.name(self.keys, old.parent, &old.name, folder));
            self.note(self.paths.name(self.keys, new.parent, &new.name, folder));
        }
        new.modseq = self.commit();
        self.count(folder, |_| ())?;
        self.put_folder(folder, &new)?;
        if moved {
            self.change(EventKind::FolderMoved {
                folder,
                from: old.parent,
                to: new.parent,
            });
        }
        if !moved
            || new
                != (FolderRecord {
                    parent: new.parent,
                    modseq: new.modseq,
                    ..old
                })
        {
            self.change(EventKind::FolderChanged { folder });
        }
        Ok(Outcome::Folder(folder))
    }

    pub(super) fn delete_folder(&mut self, folder: FolderId) -> Result<Outcome, StoreError> {
        if self.view().folder_record(folder)?.role.is_some() {
            let reason = "a well-known folder cannot be deleted";
            return Err(StoreError::InvalidFolder { folder, reason });
        }
        let mut all = vec![folder];
        let mut next = 0;
        while let Some(&folder) = all.get(next) {
            all.extend(self.view().children(folder)?);
            next += 1;
        }
        for folder in all.into_iter().rev() {
            self.drop_folder(folder)?;
        }
        Ok(Outcome::Folder(folder))
    }

    /// Takes a folder away; its items go in steps afterwards.
    pub(super) fn drop_folder(&mut self, folder: FolderId) -> Result<(), StoreError> {
        let FolderRecord { parent, name, .. } = self.view().folder_record(folder)?;
        self.record.size -= self.counts(folder)?.size;
        self.record.folders -= 1;
        self.forget_counts(folder);
        self.transaction.delete(self.paths.folder(folder));
        self.transaction.delete(self.paths.counts(folder));
        self.transaction
            .delete(self.paths.name(self.keys, parent, &name, folder));
        self.note(self.paths.folder_tombstone(self.commit(), folder));
        self.note(
            Purge {
                mailbox: self.mailbox,
                folder: Some(folder),
            }
            .key(),
        );
        self.change(EventKind::FolderDeleted { folder, parent });
        Ok(())
    }

    pub(super) fn make_folder(
        &mut self,
        parent: Option<FolderId>,
        name: String,
        class: FolderClass,
        role: Option<FolderRole>,
    ) -> Result<FolderId, StoreError> {
        let folder = FolderId(self.record.next_folder.into());
        self.record.next_folder += 1;
        self.record.folders += 1;
        self.note(self.paths.name(self.keys, parent, &name, folder));
        let record = FolderRecord {
            parent,
            name,
            role,
            class,
            modseq: self.commit(),
            subscribed: true,
            permissions: Vec::new(),
            properties: [].into(),
            created: self.at,
        };
        self.put_folder(folder, &record)?;
        let counts = FolderCounts {
            uid_validity: self.next_uid_validity(),
            uid_next: 1,
            total: 0,
            unread: 0,
            size: 0,
            highest_modseq: self.commit(),
        };
        self.set_counts(folder, counts);
        self.change(EventKind::FolderCreated { folder, parent });
        Ok(folder)
    }

    fn check_name(&self, name: &str, folder: FolderId) -> Result<(), StoreError> {
        let invalid = |reason| Err(StoreError::InvalidFolder { folder, reason });
        if name.trim().is_empty() {
            return invalid("a folder needs a name");
        }
        if name.chars().any(char::is_control) {
            return invalid("a folder's name has no control characters");
        }
        if name.chars().count() > self.limits.folder_name_length {
            return invalid("a folder's name is shorter");
        }
        Ok(())
    }

    /// Refuses a name that a sibling has.
    fn check_free(
        &self,
        parent: Option<FolderId>,
        name: &str,
        itself: Option<FolderId>,
    ) -> Result<(), StoreError> {
        match self.view().folder_named(parent, name)? {
            Some(other) if Some(other) != itself => Err(StoreError::FolderExists {
                name: name.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses to move a folder into itself or below.
    fn check_outside(
        &self,
        folder: FolderId,
        mut parent: Option<FolderId>,
    ) -> Result<(), StoreError> {
        while let Some(above) = parent {
            if above == folder {
                let reason = "a folder cannot be moved into itself";
                return Err(StoreError::InvalidFolder { folder, reason });
            }
            parent = self.view().folder_record(above)?.parent;
        }
        Ok(())
    }
}
