//! An EWS client: `SyncFolderItems`, page by page, with Create, Update, ReadFlagChange and Delete.

use crate::history::History;
use std::collections::BTreeMap;
use wm_core::{
    FolderId, ItemId, ModSeq,
    model::{ChangeMask, Flags, Item},
    traits::{MailboxStore, StoreError},
};

pub struct Client {
    folder: FolderId,
    sync_state: ModSeq,
    items: BTreeMap<ItemId, Item>,
}

impl Client {
    pub fn new(folder: FolderId) -> Self {
        Self {
            folder,
            sync_state: ModSeq(0),
            items: BTreeMap::new(),
        }
    }

    pub async fn sync(&mut self, history: &History, page: usize) {
        loop {
            let since = self.sync_state;
            let changes = history
                .store
                .changes(history.mailbox, self.folder, since, page)
                .await;
            let changes = match changes {
                // ErrorInvalidSyncStateData
                Err(StoreError::StateTooOld { .. }) => return self.start_afresh(history).await,
                changes => changes.unwrap(),
            };
            for tombstone in changes.gone {
                self.items.remove(&tombstone.item);
            }
            for item in changes.items {
                self.take(item, since);
            }
            self.sync_state = changes.upto;
            if !changes.more {
                return;
            }
        }
    }

    pub async fn check(&self, history: &History) {
        let listed = history.listed(self.folder).await;
        let listed: BTreeMap<_, _> = listed.into_iter().map(|item| (item.id, item)).collect();
        assert_eq!(self.items, listed);
    }

    fn take(&mut self, item: Item, since: ModSeq) {
        let changed = item.stamps.since(since);
        if item.stamps.entered > since {
            // Create
        } else if changed == ChangeMask::READ {
            // ReadFlagChange: nothing else may differ from what the client has.
            let mut known = self.items[&item.id].clone();
            known.flags = known.flags & !Flags::READ | item.flags & Flags::READ;
            known.stamps.read = item.stamps.read;
            known.modified = item.modified;
            assert_eq!(known, item);
        } else {
            assert!(
                self.items.contains_key(&item.id),
                "an Update of an unknown item"
            );
        }
        self.items.insert(item.id, item);
    }

    async fn start_afresh(&mut self, history: &History) {
        self.sync_state = history
            .store
            .mailbox(history.mailbox)
            .await
            .unwrap()
            .highest_modseq;
        let listed = history.listed(self.folder).await;
        self.items = listed.into_iter().map(|item| (item.id, item)).collect();
    }
}
