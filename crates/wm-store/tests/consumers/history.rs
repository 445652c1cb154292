//! What happens to the mailbox.

use crate::{
    common::{self, NOW, mailbox, memory, message},
    eas::Reply,
};
use proptest::prelude::*;
use std::time::Duration;
use wm_core::{
    FolderId, ItemId, MailboxRef, ModSeq, Timestamp, Uid,
    model::{Flags, FolderRole, Item, Origin, Protocol},
    traits::{
        Applied, Changeset, Expect, ItemContent, ItemList, ItemUpdate, LabelChange, ListBy,
        MailboxStore, Mode, Operation,
    },
};
use wm_store::Store;

/// A step of a history. Folders and items are chosen by number, items of all that there are.
#[derive(Debug, Clone)]
pub enum Step {
    Deliver {
        folder: usize,
        days_old: u64,
    },
    Flag {
        nth: usize,
        flags: Flags,
        on: bool,
    },
    Label {
        nth: usize,
    },
    Rewrite {
        nth: usize,
    },
    Move {
        nth: usize,
        folder: usize,
    },
    Copy {
        nth: usize,
        folder: usize,
    },
    Delete {
        nth: usize,
    },
    /// Two things at once, in one commit.
    MoveThereAndBack {
        nth: usize,
        by: usize,
    },
    /// Forget deletions up to some commits ago.
    Truncate {
        ago: u64,
    },
    ImapSyncs(usize),
    EwsSyncs(usize, usize),
    EasSyncs(usize, Reply),
    EasFilters(usize, u64),
    EasFlags(usize, usize),
}

pub fn step() -> impl Strategy<Value = Step> {
    let (folder, nth) = (|| 0..2_usize, || 0..1000_usize);
    let flags = prop_oneof![
        Just(Flags::READ),
        Just(Flags::FLAGGED),
        Just(Flags::READ | Flags::ANSWERED)
    ];
    prop_oneof![
        6 => (folder(), 0..60_u64).prop_map(|(folder, days_old)| Step::Deliver { folder, days_old }),
        4 => (nth(), flags, any::<bool>()).prop_map(|(nth, flags, on)| Step::Flag { nth, flags, on }),
        1 => nth().prop_map(|nth| Step::Label { nth }),
        1 => nth().prop_map(|nth| Step::Rewrite { nth }),
        3 => (nth(), folder()).prop_map(|(nth, folder)| Step::Move { nth, folder }),
        1 => (nth(), folder()).prop_map(|(nth, folder)| Step::Copy { nth, folder }),
        2 => nth().prop_map(|nth| Step::Delete { nth }),
        1 => (nth(), folder()).prop_map(|(nth, by)| Step::MoveThereAndBack { nth, by }),
        1 => (0..8_u64).prop_map(|ago| Step::Truncate { ago }),
        2 => folder().prop_map(Step::ImapSyncs),
        2 => (folder(), 1..5_usize).prop_map(|(folder, page)| Step::EwsSyncs(folder, page)),
        2 => (folder(), prop_oneof![3 => Just(Reply::Arrives), 1 => Just(Reply::IsLost)])
            .prop_map(|(folder, reply)| Step::EasSyncs(folder, reply)),
        1 => (folder(), 1..60_u64).prop_map(|(folder, days)| Step::EasFilters(folder, days)),
        2 => (folder(), nth()).prop_map(|(folder, nth)| Step::EasFlags(folder, nth)),
    ]
}

pub struct History {
    pub store: Store,
    pub mailbox: MailboxRef,
    /// The inbox and the archive.
    pub folders: [FolderId; 2],
    /// Items as they were changed, one by one, and the ActiveSync client that did it, by its folder.
    pub changed: Vec<(ItemId, Option<FolderId>)>,
    written: u64,
}

impl History {
    pub async fn begin() -> Self {
        let (store, mailbox) = (memory(), mailbox(1));
        store.create(mailbox, NOW).await.unwrap();
        let folders = store.folders(mailbox).await.unwrap();
        let with = |role| {
            folders
                .iter()
                .find(|folder| folder.role == Some(role))
                .unwrap()
                .id
        };
        let folders = [with(FolderRole::Inbox), with(FolderRole::Archive)];
        Self {
            store,
            mailbox,
            folders,
            changed: Vec::new(),
            written: 0,
        }
    }

    pub async fn take(&mut self, step: Step) {
        let expect = Expect::default();
        let operations = match step {
            Step::Deliver { folder, days_old } => {
                let mut item = message(self.body().await, "a subject");
                item.folder = self.folders[folder].into();
                item.received = days_ago(days_old);
                vec![Operation::AddItem(item)]
            }
            Step::Flag { nth, flags, on } => {
                let Some(item) = self.nth(nth).await else {
                    return;
                };
                let (set, clear) = if on {
                    (flags, Flags::NONE)
                } else {
                    (Flags::NONE, flags)
                };
                vec![update(
                    item,
                    ItemUpdate {
                        set,
                        clear,
                        ..ItemUpdate::default()
                    },
                )]
            }
            Step::Label { nth } => {
                let Some(item) = self.nth(nth).await else {
                    return;
                };
                let label = [format!("$Label{nth}").parse().unwrap()].into();
                let keywords = LabelChange::Replace(label);
                vec![update(
                    item,
                    ItemUpdate {
                        keywords,
                        ..ItemUpdate::default()
                    },
                )]
            }
            Step::Rewrite { nth } => {
                let Some(item) = self.nth(nth).await else {
                    return;
                };
                let body = self.body().await;
                let summary = message(body, "another subject").content.summary;
                let content = ItemContent {
                    prefix: vec![],
                    body,
                    summary,
                };
                vec![update(
                    item,
                    ItemUpdate {
                        content: Some(content),
                        ..ItemUpdate::default()
                    },
                )]
            }
            Step::Move { nth, folder } => {
                let Some(item) = self.nth(nth).await else {
                    return;
                };
                vec![Operation::MoveItem {
                    item,
                    expect,
                    to: self.folders[folder].into(),
                }]
            }
            Step::Copy { nth, folder } => {
                let Some(item) = self.nth(nth).await else {
                    return;
                };
                vec![Operation::CopyItem {
                    item,
                    expect,
                    to: self.folders[folder].into(),
                }]
            }
            Step::Delete { nth } => {
                let Some(item) = self.nth(nth).await else {
                    return;
                };
                vec![Operation::DeleteItem { item, expect }]
            }
            Step::MoveThereAndBack { nth, by } => {
                let Some(item) = self.nth(nth).await else {
                    return;
                };
                let to = |folder: usize| Operation::MoveItem {
                    item,
                    expect,
                    to: self.folders[folder].into(),
                };
                vec![to(by), to(1 - by)]
            }
            Step::Truncate { ago } => {
                let now = self
                    .store
                    .mailbox(self.mailbox)
                    .await
                    .unwrap()
                    .highest_modseq;
                let horizon = ModSeq(now.0.saturating_sub(ago));
                return self.store.truncate(self.mailbox, horizon).await.unwrap();
            }
            step => unreachable!("{step:?} is a client's"),
        };
        for operation in &operations {
            match operation {
                Operation::UpdateItem { item, .. }
                | Operation::MoveItem { item, .. }
                | Operation::DeleteItem { item, .. } => self.changed.push((*item, None)),
                _ => {}
            }
        }
        self.apply(operations).await;
    }

    pub async fn apply(&self, operations: Vec<Operation>) -> Applied {
        let origin = Origin::new(Protocol::WebMail, "history");
        let changes = Changeset {
            origin,
            at: NOW,
            mode: Mode::AllOrNothing,
            operations,
        };
        self.store.apply(self.mailbox, changes).await.unwrap()
    }

    /// What is in a folder, by UID.
    pub async fn listed(&self, folder: FolderId) -> Vec<Item> {
        let by = ListBy::Uid {
            from: Uid::new(1).unwrap(),
            to: None,
        };
        let list = ItemList {
            folder,
            by,
            descending: false,
            after: None,
            limit: 10_000,
        };
        self.store.items(self.mailbox, list).await.unwrap().entries
    }

    async fn nth(&self, nth: usize) -> Option<ItemId> {
        let mut items = Vec::new();
        for folder in self.folders {
            items.extend(self.listed(folder).await.into_iter().map(|item| item.id));
        }
        (!items.is_empty()).then(|| items[nth % items.len()])
    }

    async fn body(&mut self) -> wm_core::traits::Body {
        self.written += 1;
        common::write(&self.store, format!("body {}", self.written).as_bytes())
            .await
            .unwrap()
    }
}

pub fn update(item: ItemId, update: ItemUpdate) -> Operation {
    Operation::UpdateItem {
        item,
        expect: Expect::default(),
        update,
    }
}

pub fn days_ago(days: u64) -> Timestamp {
    NOW.minus(Duration::from_secs(days * 24 * 60 * 60))
}
