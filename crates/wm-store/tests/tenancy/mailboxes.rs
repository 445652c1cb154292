//! [`MailboxStore`] and [`MailboxSearch`].

use crate::{
    Walked,
    two::{self, OURS, THEIRS, Two},
};
use futures::{FutureExt, StreamExt};
use wm_core::{
    ModSeq, Uid,
    contract::operation_at,
    model::{EventId, FolderClass, FolderRole},
    traits::{
        Expect, FolderTarget, FolderUpdate, ItemContent, ItemList, ItemUpdate, ListBy,
        MailboxSearch, MailboxStore, NewFolder, Operation, SearchQuery, StoreError, Term,
    },
};

pub async fn walk(two: &Two, walked: &mut Walked) {
    their_mailbox_of_our_id(two, walked).await;
    our_folders_and_items_in_their_mailbox(two, walked).await;
    their_changes_with_our_ids(two, walked).await;
    our_body(two, walked).await;
    search(two, walked).await;
    what_they_make_under_our_id_is_theirs(two, walked).await;
}

/// A mailbox of ours does not exist in their organization.
async fn their_mailbox_of_our_id(two: &Two, walked: &mut Walked) {
    let (store, stolen) = (&two.store, two.stolen());
    let (folder, item) = (two.folder, two.item);
    let not_found = [
        ("mailbox", store.mailbox(stolen).await.err()),
        ("folders", store.folders(stolen).await.err()),
        ("folder", store.folder(stolen, folder).await.err()),
        ("item", store.item(stolen, item).await.err()),
        ("items", store.items(stolen, list(two)).await.err()),
        ("uids", store.uids(stolen, folder).await.err()),
        (
            "changes",
            store.changes(stolen, folder, ModSeq(0), 9).await.err(),
        ),
        (
            "folder_changes",
            store.folder_changes(stolen, ModSeq(0)).await.err(),
        ),
        (
            "events",
            store.events(stolen, EventId::default(), 9).await.err(),
        ),
        ("truncate", store.truncate(stolen, ModSeq(1)).await.err()),
        (
            "read",
            MailboxStore::read(store, stolen, item, 0..9).await.err(),
        ),
        ("set_quota", store.set_quota(stolen, 1).await.err()),
        ("remove", MailboxStore::remove(store, stolen).await.err()),
    ];
    for (method, error) in not_found {
        walked.through(&format!("MailboxStore::{method}"));
        assert!(
            matches!(error, Some(StoreError::NoSuchMailbox(name)) if name == stolen),
            "{method}: {error:?}"
        );
    }
}

/// Their own mailbox has neither our folders nor our items.
async fn our_folders_and_items_in_their_mailbox(two: &Two, walked: &mut Walked) {
    let (store, theirs) = (&two.store, two.theirs);
    let (folder, item) = (two.folder, two.item);
    let no_folder = [
        ("folder", store.folder(theirs, folder).await.err()),
        ("items", store.items(theirs, list(two)).await.err()),
        ("uids", store.uids(theirs, folder).await.err()),
        (
            "changes",
            store.changes(theirs, folder, ModSeq(0), 9).await.err(),
        ),
    ];
    for (method, error) in no_folder {
        assert!(
            matches!(error, Some(StoreError::NoSuchFolder(id)) if id == folder),
            "{method}: {error:?}"
        );
    }
    let no_item = [
        ("item", store.item(theirs, item).await.err()),
        (
            "read",
            MailboxStore::read(store, theirs, item, 0..9).await.err(),
        ),
    ];
    for (method, error) in no_item {
        assert!(
            matches!(error, Some(StoreError::NoSuchItem(id)) if id == item),
            "{method}: {error:?}"
        );
    }
    walked.through("MailboxStore::watch");
    let bystander = two::mailbox(OURS, two::MALLORY);
    let watches = [two.theirs, two.stolen(), bystander];
    let [mut theirs, mut stolen, mut ours] = watches.map(|mailbox| store.watch(mailbox));
    store.create(bystander, two::LATER).await.unwrap();
    assert!(ours.next().now_or_never().is_some(), "our commit wakes us");
    assert!(theirs.next().now_or_never().is_none());
    assert!(stolen.next().now_or_never().is_none());
}

/// Operations on our ids, in their mailbox and in a mailbox of our id, are refused.
async fn their_changes_with_our_ids(two: &Two, walked: &mut Walked) {
    walked.through("MailboxStore::apply");
    let (item, folder, expect) = (two.item, two.folder, Expect::default());
    let new_below = NewFolder {
        parent: Some(folder),
        name: "below".into(),
        class: FolderClass::Mail,
    };
    let content = ItemContent {
        prefix: vec![],
        body: two.body,
        summary: Default::default(),
    };
    let to_inbox = FolderTarget::Role(FolderRole::Inbox);
    let mut into_ours = crate::common::message(two.body, "theirs");
    into_ours.folder = folder.into();
    let operations = [
        Operation::CreateFolder(new_below),
        Operation::UpdateFolder {
            folder,
            update: FolderUpdate {
                name: Some("renamed".into()),
                ..FolderUpdate::default()
            },
        },
        Operation::DeleteFolder { folder },
        Operation::AddItem(into_ours),
        Operation::UpdateItem {
            item,
            expect,
            update: ItemUpdate {
                content: Some(content),
                ..ItemUpdate::default()
            },
        },
        Operation::MoveItem {
            item,
            expect,
            to: to_inbox,
        },
        Operation::CopyItem {
            item,
            expect,
            to: to_inbox,
        },
        Operation::DeleteItem { item, expect },
    ];
    for mailbox in [two.theirs, two.stolen()] {
        for operation in &operations {
            let refused = two
                .store
                .apply(mailbox, changeset(vec![operation.clone()]))
                .await;
            assert!(
                matches!(
                    refused,
                    Err(StoreError::NoSuchFolder(_) | StoreError::NoSuchItem(_))
                ),
                "{operation:?}: {refused:?}"
            );
        }
    }
}

/// A body of ours cannot be referred to, and writing the same content does not say that it is here.
async fn our_body(two: &Two, walked: &mut Walked) {
    walked.through("MailboxStore::body_writer");
    let stolen = crate::common::message(two.body, "theirs");
    let add = changeset(vec![Operation::AddItem(stolen)]);
    let refused = two.store.apply(two.theirs, add).await;
    assert!(
        matches!(refused, Err(StoreError::NoSuchBody(id)) if id == two.body.id),
        "{refused:?}"
    );
    let written = two::body(&two.store, THEIRS, b"Subject: private\r\n\r\nprivate").await;
    assert_ne!(written.id, two.body.id, "names are the organization's own");
}

async fn search(two: &Two, walked: &mut Walked) {
    walked.through("MailboxSearch::search");
    let query = |folders| SearchQuery {
        folders,
        terms: vec![Term::Text("private".into())],
    };
    let found = two.store.search(two.ours, query(vec![]), 9).await.unwrap();
    assert_eq!(found.len(), 1, "there is something to be found");
    let stolen = two.store.search(two.stolen(), query(vec![]), 9).await;
    assert!(
        matches!(stolen, Err(StoreError::NoSuchMailbox(_))),
        "{stolen:?}"
    );
    let theirs = two.store.search(two.theirs, query(vec![]), 9).await;
    assert_eq!(theirs.unwrap(), []);
    let folder = two
        .store
        .search(two.theirs, query(vec![two.folder]), 9)
        .await;
    assert!(
        matches!(folder, Err(StoreError::NoSuchFolder(_))),
        "{folder:?}"
    );
}

/// They may have a mailbox of that id, of their own. Last: from here on there is one.
async fn what_they_make_under_our_id_is_theirs(two: &Two, walked: &mut Walked) {
    walked.through("MailboxStore::create");
    let stolen = two.stolen();
    two.store.create(stolen, two::LATER).await.unwrap();
    assert_eq!(two.store.mailbox(stolen).await.unwrap().size, 0);
    assert_ne!(two.store.mailbox(two.ours).await.unwrap().size, 0);
    let error = two.store.item(stolen, two.item).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchItem(_)), "{error}");
    two.store.remove(stolen).await.unwrap();
}

fn list(two: &Two) -> ItemList {
    ItemList {
        folder: two.folder,
        by: ListBy::Uid {
            from: Uid::new(1).unwrap(),
            to: None,
        },
        descending: false,
        after: None,
        limit: 9,
    }
}

fn changeset(operations: Vec<Operation>) -> wm_core::traits::Changeset {
    operation_at(two::LATER.as_seconds(), operations)
}
