//! What the checks share.

use crate::contract::fixture::{INBOX, item, mailbox, operation_at, write_body};
use crate::model::{Flags, Folder, FolderClass, FolderRole, Item};
use crate::traits::{
    Applied, Expect, FolderUpdate, ItemList, ItemUpdate, ListBy, MailboxStore, NewFolder,
    Operation, Outcome, StoreError,
};
use crate::{FolderId, ItemId, MailboxRef, ModSeq, Timestamp, Uid};
use futures::TryStreamExt;

pub(super) const T0: i64 = 1_800_000_000;

/// Where an item was put.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) item: ItemId,
    pub(super) folder: FolderId,
    pub(super) uid: Uid,
}

pub(super) async fn new_mailbox(store: &dyn MailboxStore, n: u8) -> MailboxRef {
    let mailbox = mailbox(n);
    store
        .create(mailbox, Timestamp::from_seconds(T0))
        .await
        .unwrap();
    mailbox
}

pub(super) async fn deliver(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
    body: &[u8],
    at: i64,
) -> Placed {
    let body = write_body(store.body_writer(mailbox.organization).await.unwrap(), body).await;
    let add = Operation::AddItem(item(body, Timestamp::from_seconds(at), INBOX));
    place_of(store.apply(mailbox, operation_at(at, vec![add])).await)
}

pub(super) async fn delete(store: &dyn MailboxStore, mailbox: MailboxRef, item: ItemId) {
    let delete = Operation::DeleteItem {
        item,
        expect: Expect::default(),
    };
    store
        .apply(mailbox, operation_at(T0, vec![delete]))
        .await
        .unwrap();
}

pub(super) async fn make_folder(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
    parent: Option<FolderId>,
    name: &str,
) -> Result<FolderId, StoreError> {
    let new = NewFolder {
        parent,
        name: name.into(),
        class: FolderClass::Mail,
    };
    let applied = store
        .apply(
            mailbox,
            operation_at(T0, vec![Operation::CreateFolder(new)]),
        )
        .await?;
    match applied.outcomes[..] {
        [Outcome::Folder(folder)] => Ok(folder),
        ref other => panic!("{other:?}"),
    }
}

pub(super) async fn update_folder(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
    folder: FolderId,
    update: FolderUpdate,
) -> Result<Applied, StoreError> {
    store
        .apply(
            mailbox,
            operation_at(T0, vec![Operation::UpdateFolder { folder, update }]),
        )
        .await
}

pub(super) async fn role(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
    role: FolderRole,
) -> Folder {
    let folders = store.folders(mailbox).await.unwrap();
    folders.into_iter().find(|f| f.role == Some(role)).unwrap()
}

pub(super) async fn inbox(store: &dyn MailboxStore, mailbox: MailboxRef) -> Folder {
    role(store, mailbox, FolderRole::Inbox).await
}

/// Everything that a refused change must leave as it was.
pub(super) async fn snapshot(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
) -> (ModSeq, Vec<Folder>, Vec<Item>) {
    let folders = store.folders(mailbox).await.unwrap();
    let by = ListBy::Uid {
        from: Uid::new(1).unwrap(),
        to: None,
    };
    let mut items = Vec::new();
    for folder in &folders {
        items.extend(list_all(store, mailbox, folder.id, &by, false, 50).await);
    }
    (
        store.mailbox(mailbox).await.unwrap().highest_modseq,
        folders,
        items,
    )
}

pub(super) async fn list_all(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
    folder: FolderId,
    by: &ListBy,
    descending: bool,
    limit: usize,
) -> Vec<Item> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let list = ItemList {
            folder,
            by: by.clone(),
            descending,
            after,
            limit,
        };
        let page = store.items(mailbox, list).await.unwrap();
        assert!(page.entries.len() <= limit);
        items.extend(page.entries);
        after = page.next;
        if after.is_none() {
            return items;
        }
    }
}

pub(super) async fn read(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
    item: ItemId,
    range: std::ops::Range<u64>,
) -> Vec<u8> {
    let pieces: Vec<_> = store
        .read(mailbox, item, range)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    pieces.concat()
}

pub(super) fn flags(set: Flags) -> ItemUpdate {
    ItemUpdate {
        set,
        ..ItemUpdate::default()
    }
}

pub(super) fn update(item: ItemId, update: ItemUpdate) -> Operation {
    Operation::UpdateItem {
        item,
        expect: Expect::default(),
        update,
    }
}

pub(super) fn set_flags(item: ItemId, set: Flags) -> Operation {
    update(item, flags(set))
}

/// Where the last operation put its item.
pub(super) fn place_of(applied: Result<Applied, StoreError>) -> Placed {
    match applied.unwrap().outcomes.last().unwrap() {
        Outcome::Item {
            item, folder, uid, ..
        } => Placed {
            item: *item,
            folder: *folder,
            uid: *uid,
        },
        other => panic!("{other:?}"),
    }
}
