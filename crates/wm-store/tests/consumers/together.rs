//! Two writers and three readers of one mailbox, all at the same time.
//!
//! The writers make, change, move, copy and delete items and folders, each knowing what it has seen
//! itself. The readers keep up by the event log, by modification sequence, and by listing everything;
//! whatever they saw on the way, they end with what the server has. What one writer labelled is
//! labelled so in the end, whatever the other did to the same item.

use crate::common::{self, NOW, message};
use futures::executor::block_on;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use wm_core::{
    FolderId, ItemId, MailboxId, MailboxRef, ModSeq, Uid,
    contract::operation_at,
    model::{EventId, EventKind, Flags, FolderClass, FolderRole, Item, Keyword},
    traits::{
        Body, Expect, ItemList, ItemUpdate, LabelChange, ListBy, MailboxStore, NewFolder,
        Operation, Outcome, StoreError,
    },
};
use wm_store::Store;

/// The items of every folder that there is.
pub type Contents = BTreeMap<FolderId, BTreeMap<ItemId, Item>>;

/// Plays a history; panics if somebody does not end with what the server has.
pub fn play(store: &Store, body: Body, seed: u64) {
    let mailbox = MailboxRef {
        mailbox: MailboxId::from_u128(u128::from(seed) + 1),
        organization: common::ACME,
    };
    block_on(store.create(mailbox, NOW)).unwrap();
    let (writing, written) = (AtomicUsize::new(2), AtomicUsize::new(0));
    let steps = 10 + Random(seed).below(30);
    let (labels, states) = thread::scope(|scope| {
        let writers = [0, 1].map(|number| {
            let (writing, written) = (&writing, &written);
            scope.spawn(move || {
                let _done = Done(writing);
                let mut writer = Writer::new(store, mailbox, body, seed, number);
                for _ in 0..steps {
                    block_on(writer.step());
                    written.fetch_add(1, Ordering::SeqCst);
                }
                writer.labels
            })
        });
        let readers: [Box<dyn Reader + Send>; 3] = [
            Box::new(ByFeed::default()),
            Box::new(ByNumber::default()),
            Box::new(ByListing::default()),
        ];
        let readers = readers.map(|mut reader| {
            let (writing, written) = (&writing, &written);
            scope.spawn(move || {
                loop {
                    let last = writing.load(Ordering::SeqCst) == 0;
                    let seen = written.load(Ordering::SeqCst);
                    reader.sync(store, mailbox);
                    if last {
                        return reader.state();
                    }
                    // Each writer's step, or its end, is a reason to look again.
                    while written.load(Ordering::SeqCst) == seen
                        && writing.load(Ordering::SeqCst) > 0
                    {
                        thread::yield_now();
                    }
                }
            })
        });
        (
            writers.map(|writer| writer.join().unwrap()),
            readers.map(|reader| reader.join().unwrap()),
        )
    });

    let truth = block_on(listed(store, mailbox)).unwrap();
    for (state, by) in states.iter().zip(["feed", "number", "listing"]) {
        for (folder, items) in &truth {
            let known = state.get(folder);
            assert_eq!(
                known,
                Some(items),
                "by {by}, folder {folder}, history {seed}"
            );
        }
        assert!(state.keys().eq(truth.keys()), "by {by}, history {seed}");
    }
    let items = truth.values().flatten().map(|(_, item)| item);
    for item in items {
        for (number, labels) in labels.iter().enumerate() {
            let mark = format!("$w{number}");
            let of_writer = |keyword: &&Keyword| keyword.as_str().starts_with(&mark);
            let has: BTreeSet<_> = item.keywords.iter().filter(of_writer).cloned().collect();
            if let Some(set) = labels.get(&item.id) {
                assert_eq!(has, *set, "labels of {}, history {seed}", item.id);
            }
        }
    }
    block_on(MailboxStore::remove(store, mailbox)).unwrap();
}

/// Tells the readers that a writer has ended, however it did.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Writer<'a> {
    store: &'a Store,
    mailbox: MailboxRef,
    body: Body,
    random: Random,
    number: u64,
    /// The labels this writer has given to items, and nobody else gives.
    labels: BTreeMap<ItemId, BTreeSet<Keyword>>,
}

impl<'a> Writer<'a> {
    fn new(store: &'a Store, mailbox: MailboxRef, body: Body, seed: u64, number: u64) -> Self {
        Self {
            store,
            mailbox,
            body,
            random: Random(seed.wrapping_mul(31).wrapping_add(number)),
            number,
            labels: BTreeMap::new(),
        }
    }

    async fn step(&mut self) {
        let folders = self.store.folders(self.mailbox).await.unwrap();
        let usable: Vec<_> = folders
            .iter()
            .filter(|folder| {
                folder.role.is_none()
                    || [Some(FolderRole::Inbox), Some(FolderRole::Archive)].contains(&folder.role)
            })
            .collect();
        let folder = usable[self.random.below(usable.len())];
        let items: Vec<_> = page(self.store, self.mailbox, folder.id, None, 50)
            .await
            .map(|(items, _)| items)
            .unwrap_or_default();
        let some = (!items.is_empty()).then(|| items[self.random.below(items.len())].clone());
        let choice = self.random.below(20);
        let operation = match (choice, some) {
            (0..6, _) | (6..17, None) => {
                let mut new = message(self.body, "history");
                new.folder = folder.id.into();
                Operation::AddItem(new)
            }
            (6..9, Some(item)) => self.label(item),
            (9, Some(item)) => return self.read(item).await,
            (10..12, Some(item)) => Operation::UpdateItem {
                item: item.id,
                expect: Expect::default(),
                update: ItemUpdate {
                    set: Flags::FLAGGED,
                    ..ItemUpdate::default()
                },
            },
            (12..14, Some(item)) => {
                let to = usable[self.random.below(usable.len())].id;
                Operation::MoveItem {
                    item: item.id,
                    expect: Expect::default(),
                    to: to.into(),
                }
            }
            (14, Some(item)) => {
                let to = usable[self.random.below(usable.len())].id;
                Operation::CopyItem {
                    item: item.id,
                    expect: Expect::default(),
                    to: to.into(),
                }
            }
            (15..17, Some(item)) => Operation::DeleteItem {
                item: item.id,
                expect: Expect::default(),
            },
            (17, _) => Operation::CreateFolder(NewFolder {
                parent: None,
                name: format!("folder {}", self.random.below(4)),
                class: FolderClass::Mail,
            }),
            (18, _) if folder.role.is_none() => Operation::DeleteFolder { folder: folder.id },
            _ => {
                let now = self.store.mailbox(self.mailbox).await.unwrap();
                let ago = self.random.below(12) as u64;
                let horizon = ModSeq(now.highest_modseq.0.saturating_sub(ago));
                return self.store.truncate(self.mailbox, horizon).await.unwrap();
            }
        };
        let labelled = match &operation {
            Operation::UpdateItem { item, update, .. } => match &update.keywords {
                LabelChange::Edit { add, remove } => Some((*item, add.clone(), remove.clone())),
                LabelChange::Replace(_) => None,
            },
            _ => None,
        };
        let applied = self
            .store
            .apply(self.mailbox, operation_at(0, vec![operation]))
            .await;
        match applied {
            Ok(_) => {
                if let Some((item, add, remove)) = labelled
                    && (!add.is_empty() || !remove.is_empty())
                {
                    let labels = self.labels.entry(item).or_default();
                    labels.retain(|label| !remove.contains(label));
                    labels.extend(add);
                }
            }
            // The other writer was first.
            Err(
                StoreError::NoSuchItem(_)
                | StoreError::NoSuchFolder(_)
                | StoreError::FolderExists { .. },
            ) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn label(&mut self, item: Item) -> Operation {
        let label = format!("$w{}-{}", self.number, self.random.below(3));
        let label: BTreeSet<Keyword> = [label.parse().unwrap()].into();
        // A copy comes with labels; from then on they are this writer's to account for.
        self.labels.entry(item.id).or_insert_with(|| {
            let mark = format!("$w{}", self.number);
            let own = |keyword: &&Keyword| keyword.as_str().starts_with(&mark);
            item.keywords.iter().filter(own).cloned().collect()
        });
        let (add, remove) = match self.random.below(3) {
            0 => (BTreeSet::new(), label),
            _ => (label, BTreeSet::new()),
        };
        Operation::UpdateItem {
            item: item.id,
            expect: Expect::default(),
            update: ItemUpdate {
                keywords: LabelChange::Edit { add, remove },
                ..ItemUpdate::default()
            },
        }
    }

    /// Turns the read flag around of an item that has not changed: of two who try, one is told.
    async fn read(&mut self, item: Item) {
        let (set, clear) = match item.flags.contains(Flags::READ) {
            true => (Flags::NONE, Flags::READ),
            false => (Flags::READ, Flags::NONE),
        };
        let operation = Operation::UpdateItem {
            item: item.id,
            expect: Expect {
                unchanged_since: Some(item.modseq()),
                ..Expect::default()
            },
            update: ItemUpdate {
                set,
                clear,
                ..ItemUpdate::default()
            },
        };
        let applied = self
            .store
            .apply(self.mailbox, operation_at(0, vec![operation]))
            .await;
        match applied {
            Ok(applied) => {
                assert!(
                    applied.committed,
                    "it was as expected, so it was turned around"
                );
                let [Outcome::Item { modseq, .. }] = applied.outcomes[..] else {
                    panic!("{applied:?}")
                };
                assert_eq!(modseq, applied.modseq);
            }
            Err(StoreError::Changed { now, .. }) => assert!(now > item.modseq()),
            Err(StoreError::NoSuchItem(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

trait Reader {
    fn sync(&mut self, store: &Store, mailbox: MailboxRef);

    fn state(&self) -> Contents;
}

/// Follows the event log, and fetches what it names.
#[derive(Default)]
struct ByFeed {
    after: Option<EventId>,
    contents: Contents,
}

impl Reader for ByFeed {
    fn sync(&mut self, store: &Store, mailbox: MailboxRef) {
        block_on(async {
            let Some(mut after) = self.after else {
                return self.start_afresh(store, mailbox).await;
            };
            loop {
                let events = match store.events(mailbox, after, 5).await {
                    Err(StoreError::StateTooOld { .. }) => {
                        return self.start_afresh(store, mailbox).await;
                    }
                    events => events.unwrap(),
                };
                let Some(last) = events.last() else { return };
                assert!(events[0].id > after && events.is_sorted_by_key(|event| event.id));
                after = last.id;
                self.after = Some(after);
                for event in &events {
                    self.take(store, mailbox, &event.kind).await;
                }
            }
        });
    }

    fn state(&self) -> Contents {
        self.contents.clone()
    }
}

impl ByFeed {
    async fn take(&mut self, store: &Store, mailbox: MailboxRef, event: &EventKind) {
        match *event {
            EventKind::FolderCreated { folder, .. } => {
                self.contents.entry(folder).or_default();
            }
            EventKind::FolderDeleted { folder, .. } => {
                self.contents.remove(&folder);
            }
            EventKind::Delivered { item, .. }
            | EventKind::Created { item, .. }
            | EventKind::Changed { item, .. }
            | EventKind::Moved { item, .. }
            | EventKind::Copied { item, .. }
            | EventKind::Deleted { item, .. } => {
                for items in self.contents.values_mut() {
                    items.remove(&item);
                }
                match store.item(mailbox, item).await {
                    Ok(found) => {
                        self.contents
                            .entry(found.folder)
                            .or_default()
                            .insert(item, found);
                    }
                    Err(StoreError::NoSuchItem(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            _ => {}
        }
    }

    async fn start_afresh(&mut self, store: &Store, mailbox: MailboxRef) {
        loop {
            let modseq = store.mailbox(mailbox).await.unwrap().highest_modseq;
            // Everything up to and with this commit is in what is listed next.
            self.after = Some(EventId {
                modseq,
                index: u32::MAX,
            });
            if let Some(contents) = listed(store, mailbox).await {
                self.contents = contents;
                return;
            }
        }
    }
}

/// Asks what has changed after the number it has.
#[derive(Default)]
struct ByNumber {
    hierarchy: ModSeq,
    folders: BTreeMap<FolderId, (ModSeq, BTreeMap<ItemId, Item>)>,
}

impl Reader for ByNumber {
    fn sync(&mut self, store: &Store, mailbox: MailboxRef) {
        block_on(async {
            let changes = match store.folder_changes(mailbox, self.hierarchy).await {
                Err(StoreError::StateTooOld { .. }) => {
                    self.hierarchy = ModSeq(0);
                    store.folder_changes(mailbox, ModSeq(0)).await
                }
                changes => changes,
            };
            let changes = changes.unwrap();
            if self.hierarchy == ModSeq(0) {
                // To one who starts afresh nothing is gone: what is not listed is not there.
                let listed = |id| changes.folders.iter().any(|folder| folder.id == id);
                self.folders.retain(|id, _| listed(*id));
            }
            for gone in changes.gone {
                self.folders.remove(&gone);
            }
            for folder in changes.folders {
                self.folders.entry(folder.id).or_default();
            }
            self.hierarchy = changes.upto;
            for (folder, (since, items)) in &mut self.folders {
                sync_folder(store, mailbox, *folder, since, items).await;
            }
        });
    }

    fn state(&self) -> Contents {
        let folders = self.folders.iter();
        folders
            .map(|(folder, (_, items))| (*folder, items.clone()))
            .collect()
    }
}

async fn sync_folder(
    store: &Store,
    mailbox: MailboxRef,
    folder: FolderId,
    since: &mut ModSeq,
    items: &mut BTreeMap<ItemId, Item>,
) {
    loop {
        let changes = match store.changes(mailbox, folder, *since, 4).await {
            Err(StoreError::StateTooOld { .. }) => {
                // As the contract says: the number first, then what is listed, then the changes.
                let upto = store.mailbox(mailbox).await.unwrap().highest_modseq;
                let Some(all) = folder_listed(store, mailbox, folder).await else {
                    return;
                };
                (*since, *items) = (upto, all);
                continue;
            }
            // Deleted meanwhile; the hierarchy tells it next time.
            Err(StoreError::NoSuchFolder(_)) => return,
            changes => changes.unwrap(),
        };
        for tombstone in changes.gone {
            assert!(tombstone.modseq > *since);
            items.remove(&tombstone.item);
        }
        for item in changes.items {
            assert!(
                item.stamps.entered > *since || items.contains_key(&item.id),
                "a change of an item that was never announced"
            );
            items.insert(item.id, item);
        }
        *since = changes.upto;
        if !changes.more {
            return;
        }
    }
}

/// Lists everything, every time.
#[derive(Default)]
struct ByListing(Contents);

impl Reader for ByListing {
    fn sync(&mut self, store: &Store, mailbox: MailboxRef) {
        if let Some(contents) = block_on(listed(store, mailbox)) {
            self.0 = contents;
        }
    }

    fn state(&self) -> Contents {
        self.0.clone()
    }
}

/// Everything there is; `None` when a folder was deleted meanwhile.
async fn listed(store: &Store, mailbox: MailboxRef) -> Option<Contents> {
    let mut contents = Contents::new();
    for folder in store.folders(mailbox).await.unwrap() {
        contents.insert(folder.id, folder_listed(store, mailbox, folder.id).await?);
    }
    Some(contents)
}

async fn folder_listed(
    store: &Store,
    mailbox: MailboxRef,
    folder: FolderId,
) -> Option<BTreeMap<ItemId, Item>> {
    let (mut items, mut after, mut last) = (BTreeMap::new(), None, None);
    loop {
        let (entries, next) = page(store, mailbox, folder, after, 3).await?;
        for item in entries {
            assert!(last < Some(item.uid), "UIDs rise over pages");
            last = Some(item.uid);
            items.insert(item.id, item);
        }
        match next {
            Some(_) => after = next,
            None => return Some(items),
        }
    }
}

async fn page(
    store: &Store,
    mailbox: MailboxRef,
    folder: FolderId,
    after: Option<wm_core::traits::Cursor>,
    limit: usize,
) -> Option<(Vec<Item>, Option<wm_core::traits::Cursor>)> {
    let list = ItemList {
        folder,
        by: ListBy::Uid {
            from: Uid::new(1).unwrap(),
            to: None,
        },
        descending: false,
        after,
        limit,
    };
    match store.items(mailbox, list).await {
        Ok(page) => Some((page.entries, page.next)),
        Err(StoreError::NoSuchFolder(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// SplitMix64: what it chooses follows from the seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}
