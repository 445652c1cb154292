//! An IMAP client with CONDSTORE and QRESYNC (RFC 7162): it knows messages by UID only.

use crate::history::History;
use std::collections::{BTreeMap, BTreeSet};
use wm_core::{
    FolderId, ModSeq, Uid,
    model::{Flags, Item, Keyword},
    traits::{MailboxStore, StoreError},
};

pub struct Client {
    folder: FolderId,
    highest_modseq: ModSeq,
    messages: BTreeMap<Uid, (Flags, BTreeSet<Keyword>)>,
}

impl Client {
    pub fn new(folder: FolderId) -> Self {
        Self {
            folder,
            highest_modseq: ModSeq(0),
            messages: BTreeMap::new(),
        }
    }

    /// `SELECT … (QRESYNC (…))`: VANISHED and FETCH since the last time.
    pub async fn sync(&mut self, history: &History) {
        loop {
            let since = self.highest_modseq;
            let changes = history
                .store
                .changes(history.mailbox, self.folder, since, 3)
                .await;
            let changes = match changes {
                Err(StoreError::StateTooOld { .. }) => return self.start_afresh(history).await,
                changes => changes.unwrap(),
            };
            for tombstone in changes.gone {
                self.messages.remove(&tombstone.uid);
            }
            for item in changes.items {
                let entered = item.stamps.entered > since;
                let known = self.messages.contains_key(&item.uid);
                assert!(
                    entered || known,
                    "a FETCH of a message that was never announced"
                );
                self.fetch(item);
            }
            assert!(changes.upto >= since);
            self.highest_modseq = changes.upto;
            if !changes.more {
                return;
            }
        }
    }

    pub async fn check(&self, history: &History) {
        let listed = history.listed(self.folder).await;
        let listed: BTreeMap<_, _> = listed
            .into_iter()
            .map(|item| (item.uid, (item.flags, item.keywords)))
            .collect();
        assert_eq!(self.messages, listed);
        let (highest, uids) = history
            .store
            .uids(history.mailbox, self.folder)
            .await
            .unwrap();
        assert!(highest <= self.highest_modseq);
        assert!(uids.iter().map(|(uid, _)| uid).eq(self.messages.keys()));
    }

    /// What a client does without a state: lists all, as of a state taken before.
    async fn start_afresh(&mut self, history: &History) {
        let mailbox = history.store.mailbox(history.mailbox).await.unwrap();
        self.highest_modseq = mailbox.highest_modseq;
        self.messages.clear();
        for item in history.listed(self.folder).await {
            self.fetch(item);
        }
    }

    fn fetch(&mut self, item: Item) {
        self.messages.insert(item.uid, (item.flags, item.keywords));
    }
}
