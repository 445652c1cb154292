//! An ActiveSync client and the server's side of its sync key: one-step replay, a filter by age, and
//! no echo of what the client did itself.

use crate::history::{History, days_ago, update};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};
use wm_core::{
    FolderId, ItemId, ModSeq, Timestamp,
    model::{ChangeMask, Flags},
    traits::{ItemList, ItemUpdate, ListBy, MailboxStore, StoreError},
};

/// What becomes of the server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Arrives,
    /// The client asks again under its old key.
    IsLost,
}

pub struct Client {
    folder: FolderId,
    /// What the client shows: flags by server id.
    shown: BTreeMap<ItemId, Flags>,
    key: u32,
    server: Server,
    /// The filter the client asks for from now on.
    filter: Timestamp,
    /// What it flagged since its last sync.
    flagged: BTreeSet<ItemId>,
    /// How many changes by others there were when it last synced.
    seen: usize,
}

/// What the server keeps for the collection: the present state and the one before.
struct Server {
    key: u32,
    present: State,
    previous: State,
}

#[derive(Clone)]
struct State {
    upto: ModSeq,
    filter: Timestamp,
    /// What the client changed itself, and with which commit.
    own: Vec<(ItemId, ModSeq)>,
}

/// What a sync answers.
#[derive(Default)]
struct Answer {
    added: BTreeMap<ItemId, Flags>,
    changed: BTreeMap<ItemId, Flags>,
    deleted: BTreeSet<ItemId>,
}

impl Client {
    pub fn new(folder: FolderId) -> Self {
        let state = State {
            upto: ModSeq(0),
            filter: days_ago(1000),
            own: Vec::new(),
        };
        Self {
            folder,
            shown: BTreeMap::new(),
            key: 0,
            server: Server {
                key: 0,
                previous: state.clone(),
                present: state,
            },
            filter: days_ago(1000),
            flagged: BTreeSet::new(),
            seen: 0,
        }
    }

    /// Asks for items of the last `days` days only, with the next sync.
    pub fn filter(&mut self, days: u64) {
        self.filter = days_ago(days);
    }

    /// The client sets or clears the read flag of something it shows.
    pub async fn flag(&mut self, history: &mut History, nth: usize) {
        let ids: Vec<_> = self.shown.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let item = ids[nth % ids.len()];
        if history.store.item(history.mailbox, item).await.is_err() {
            return;
        }
        let before = self.shown[&item];
        let (set, clear) = match before.contains(Flags::READ) {
            true => (Flags::NONE, Flags::READ),
            false => (Flags::READ, Flags::NONE),
        };
        let changes = ItemUpdate {
            set,
            clear,
            ..ItemUpdate::default()
        };
        let applied = history.apply(vec![update(item, changes)]).await;
        // The client's change comes with its key, and is known to both states from then on.
        if applied.committed {
            for state in [&mut self.server.present, &mut self.server.previous] {
                state.own.push((item, applied.modseq));
            }
        }
        self.flagged.insert(item);
        history.changed.push((item, Some(self.folder)));
        self.shown.insert(item, (before | set) & !clear);
    }

    pub async fn sync(&mut self, history: &History, reply: Reply) {
        let answer = match self
            .server
            .answer(history, self.folder, self.key, self.filter)
            .await
        {
            Ok(answer) => answer,
            Err(StoreError::StateTooOld { .. }) => return self.start_afresh(history).await,
            Err(error) => panic!("{error}"),
        };
        if reply == Reply::IsLost {
            return;
        }
        let by_others = |item| {
            let mut changes = history.changed[self.seen..].iter();
            changes.any(|&(changed, by)| changed == item && by != Some(self.folder))
        };
        for item in mem::take(&mut self.flagged) {
            assert!(
                by_others(item) || !answer.changed.contains_key(&item),
                "an echo"
            );
        }
        self.seen = history.changed.len();
        self.key = self.server.key;
        for id in answer.deleted {
            self.shown.remove(&id);
        }
        for (id, flags) in answer.added {
            self.shown.insert(id, flags);
        }
        for (id, flags) in answer.changed {
            assert!(
                self.shown.insert(id, flags).is_some(),
                "a Change of an unknown item"
            );
        }
    }

    pub async fn check(&self, history: &History) {
        let listed = history.listed(self.folder).await;
        let within = listed
            .into_iter()
            .filter(|item| item.received >= self.filter);
        let within: BTreeMap<_, _> = within.map(|item| (item.id, item.flags)).collect();
        assert_eq!(self.shown, within);
    }

    /// Status 3: the client begins again with key 0.
    async fn start_afresh(&mut self, history: &History) {
        let upto = history
            .store
            .mailbox(history.mailbox)
            .await
            .unwrap()
            .highest_modseq;
        let listed = history.listed(self.folder).await;
        let within = listed
            .into_iter()
            .filter(|item| item.received >= self.filter);
        self.shown = within.map(|item| (item.id, item.flags)).collect();
        let state = State {
            upto,
            filter: self.filter,
            own: Vec::new(),
        };
        self.server.previous = state.clone();
        self.server.present = state;
        self.flagged.clear();
        self.seen = history.changed.len();
    }
}

impl Server {
    /// The state a client with this key is at: the present one, or the one before when the answer was
    /// lost.
    fn state(&self, key: u32) -> &State {
        match key == self.key {
            true => &self.present,
            false => &self.previous,
        }
    }

    async fn answer(
        &mut self,
        history: &History,
        folder: FolderId,
        key: u32,
        filter: Timestamp,
    ) -> Result<Answer, StoreError> {
        let from = self.state(key).clone();
        let mut answer = Answer::default();
        let mut upto = from.upto;
        loop {
            let changes = history
                .store
                .changes(history.mailbox, folder, upto, 4)
                .await?;
            answer
                .deleted
                .extend(changes.gone.iter().map(|tombstone| tombstone.item));
            for item in changes.items {
                if item.received < filter {
                    continue;
                }
                let own = from.own.iter().filter(|(id, _)| *id == item.id);
                let own = own.fold(ChangeMask::NONE, |own, (_, commit)| {
                    own | item.stamps.at(*commit)
                });
                let entered = item.stamps.entered > from.upto || item.received < from.filter;
                if entered {
                    answer.added.insert(item.id, item.flags);
                } else if !item.stamps.since(from.upto).without(own).is_empty() {
                    answer.changed.insert(item.id, item.flags);
                }
            }
            upto = changes.upto;
            if !changes.more {
                break;
            }
        }
        // What a moved filter lets in, or out.
        let (old, new) = (from.filter, filter);
        for item in received(history, folder, old.min(new), old.max(new)).await? {
            match new < old {
                true => drop(answer.added.insert(item.0, item.1)),
                false => drop(answer.deleted.insert(item.0)),
            }
        }
        self.key = key + 1;
        self.previous = from;
        self.present = State {
            upto,
            filter,
            own: Vec::new(),
        };
        Ok(answer)
    }
}

async fn received(
    history: &History,
    folder: FolderId,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<(ItemId, Flags)>, StoreError> {
    let by = ListBy::Received {
        from: Some(from),
        until: Some(until),
    };
    let list = ItemList {
        folder,
        by,
        descending: false,
        after: None,
        limit: 10_000,
    };
    let page = history.store.items(history.mailbox, list).await?;
    Ok(page
        .entries
        .into_iter()
        .map(|item| (item.id, item.flags))
        .collect())
}
