//! Mailboxes and their folders.

use crate::contract::fixture::{mailbox, operation_at};
use crate::model::{Flags, Folder, FolderRole};
use crate::traits::{Expect, FolderUpdate, MailboxStore, Operation, StoreError};
use crate::{FolderId, Timestamp};

use super::support::{
    T0, delete, deliver, inbox, make_folder, new_mailbox, read, role, set_flags, snapshot,
    update_folder,
};

pub async fn a_new_mailbox_has_its_well_known_folders(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let folders = store.folders(mailbox).await.unwrap();
    assert_eq!(folders.len(), FolderRole::ALL.len());
    for role in FolderRole::ALL {
        let folder = folders.iter().find(|f| f.role == Some(role)).unwrap();
        assert_eq!(folder.name, role.default_name());
        assert_eq!(folder.class, role.class());
        assert_eq!(
            (folder.parent, folder.total, folder.unread, folder.size),
            (None, 0, 0, 0)
        );
        assert_eq!(store.folder(mailbox, folder.id).await.unwrap(), *folder);
    }
}

pub async fn creating_a_mailbox_again_changes_nothing(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let before = store.mailbox(mailbox).await.unwrap();
    store
        .create(mailbox, Timestamp::from_seconds(T0 + 9))
        .await
        .unwrap();
    assert_eq!(store.mailbox(mailbox).await.unwrap(), before);
    assert!(store.item(mailbox, placed.item).await.is_ok());
}

pub async fn reading_a_mailbox_that_is_not_there_finds_nothing(store: &dyn MailboxStore) {
    new_mailbox(store, 1).await;
    let absent = mailbox(2);
    let error = store.mailbox(absent).await.unwrap_err();
    assert!(
        matches!(error, StoreError::NoSuchMailbox(m) if m == absent),
        "{error}"
    );
    assert!(matches!(
        store.folders(absent).await,
        Err(StoreError::NoSuchMailbox(_))
    ));
}

pub async fn folders_count_what_is_in_them(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let mut items = Vec::new();
    for n in 0..3 {
        items.push(deliver(store, mailbox, b"0123456789", T0 + n).await.item);
    }
    let each = store.item(mailbox, items[0]).await.unwrap().size;
    let counts = |folder: Folder| (folder.total, folder.unread, folder.size);
    assert_eq!(counts(inbox(store, mailbox).await), (3, 3, 3 * each));
    store
        .apply(
            mailbox,
            operation_at(T0, vec![set_flags(items[0], Flags::READ)]),
        )
        .await
        .unwrap();
    assert_eq!(counts(inbox(store, mailbox).await), (3, 2, 3 * each));
    let archive = role(store, mailbox, FolderRole::Archive).await.id;
    let mv = Operation::MoveItem {
        item: items[0],
        expect: Expect::default(),
        to: archive.into(),
    };
    store
        .apply(mailbox, operation_at(T0, vec![mv]))
        .await
        .unwrap();
    assert_eq!(counts(inbox(store, mailbox).await), (2, 2, 2 * each));
    assert_eq!(
        counts(role(store, mailbox, FolderRole::Archive).await),
        (1, 0, each)
    );
    delete(store, mailbox, items[1]).await;
    assert_eq!(counts(inbox(store, mailbox).await), (1, 1, each));
    assert_eq!(store.mailbox(mailbox).await.unwrap().size, 2 * each);
}

pub async fn folders_are_made_renamed_moved_and_deleted(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let start = store.mailbox(mailbox).await.unwrap().highest_modseq;
    let top = make_folder(store, mailbox, None, "Projects").await.unwrap();
    let below = make_folder(store, mailbox, Some(top), "2026")
        .await
        .unwrap();
    let rename = FolderUpdate {
        name: Some("Work".into()),
        ..FolderUpdate::default()
    };
    update_folder(store, mailbox, top, rename).await.unwrap();
    let to_top = FolderUpdate {
        parent: Some(None),
        ..FolderUpdate::default()
    };
    update_folder(store, mailbox, below, to_top).await.unwrap();

    let changes = store.folder_changes(mailbox, start).await.unwrap();
    let seen: Vec<_> = changes
        .folders
        .iter()
        .map(|f| (f.id, f.parent, f.name.as_str()))
        .collect();
    assert!(
        seen.contains(&(top, None, "Work"))
            && seen.contains(&(below, None, "2026"))
            && seen.len() == 2
    );
    assert_eq!(
        changes.upto,
        store.mailbox(mailbox).await.unwrap().highest_modseq
    );

    store
        .apply(
            mailbox,
            operation_at(T0, vec![Operation::DeleteFolder { folder: below }]),
        )
        .await
        .unwrap();
    let gone = store.folder_changes(mailbox, changes.upto).await.unwrap();
    assert_eq!((gone.folders.len(), gone.gone), (0, vec![below]));
    assert!(matches!(
        store.folder(mailbox, below).await,
        Err(StoreError::NoSuchFolder(_))
    ));

    let again = make_folder(store, mailbox, None, "2026").await.unwrap();
    assert_ne!(again, below);
    let validity =
        |folders: &[Folder], id| folders.iter().find(|f| f.id == id).unwrap().uid_validity;
    let folders = store.folders(mailbox).await.unwrap();
    assert!(
        validity(&folders, again) > validity(&changes.folders, below),
        "a new incarnation"
    );
}

pub async fn folders_refuse_what_makes_no_sense(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let outer = make_folder(store, mailbox, None, "Outer").await.unwrap();
    let inner = make_folder(store, mailbox, Some(outer), "Inner")
        .await
        .unwrap();
    let before = snapshot(store, mailbox).await;

    assert!(matches!(
        make_folder(store, mailbox, None, "oUTER").await,
        Err(StoreError::FolderExists { .. })
    ));
    for name in ["", " ", "a\u{0}b", "line\nbreak", &"x".repeat(5000)] {
        let refused = make_folder(store, mailbox, None, name).await;
        assert!(
            matches!(refused, Err(StoreError::InvalidFolder { .. })),
            "{name:?}"
        );
    }
    let absent = make_folder(store, mailbox, Some(FolderId(999)), "x").await;
    assert!(matches!(
        absent,
        Err(StoreError::NoSuchFolder(FolderId(999)))
    ));
    let into_itself = FolderUpdate {
        parent: Some(Some(inner)),
        ..FolderUpdate::default()
    };
    let refused = update_folder(store, mailbox, outer, into_itself).await;
    assert!(matches!(refused, Err(StoreError::InvalidFolder { .. })));

    let inbox = inbox(store, mailbox).await.id;
    let refused = store
        .apply(
            mailbox,
            operation_at(T0, vec![Operation::DeleteFolder { folder: inbox }]),
        )
        .await;
    assert!(matches!(refused, Err(StoreError::InvalidFolder { .. })));
    let moved = FolderUpdate {
        parent: Some(Some(outer)),
        ..FolderUpdate::default()
    };
    let refused = update_folder(store, mailbox, inbox, moved).await;
    assert!(matches!(refused, Err(StoreError::InvalidFolder { .. })));
    assert_eq!(snapshot(store, mailbox).await, before);
}

pub async fn a_deleted_folder_takes_its_items_along(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let outer = make_folder(store, mailbox, None, "Outer").await.unwrap();
    let inner = make_folder(store, mailbox, Some(outer), "Inner")
        .await
        .unwrap();
    let placed = deliver(store, mailbox, b"body", T0).await;
    let mv = Operation::MoveItem {
        item: placed.item,
        expect: Expect::default(),
        to: inner.into(),
    };
    store
        .apply(mailbox, operation_at(T0, vec![mv]))
        .await
        .unwrap();
    store
        .apply(
            mailbox,
            operation_at(T0, vec![Operation::DeleteFolder { folder: outer }]),
        )
        .await
        .unwrap();
    assert!(matches!(
        store.item(mailbox, placed.item).await,
        Err(StoreError::NoSuchItem(_))
    ));
    assert!(matches!(
        store.folder(mailbox, inner).await,
        Err(StoreError::NoSuchFolder(_))
    ));
    assert_eq!(store.mailbox(mailbox).await.unwrap().size, 0);
}

pub async fn a_removed_mailbox_is_gone(store: &dyn MailboxStore) {
    let (kept, removed) = (new_mailbox(store, 1).await, new_mailbox(store, 2).await);
    let body = deliver(store, kept, b"shared body", T0).await;
    let old = deliver(store, removed, b"shared body", T0).await;
    let old_validity = inbox(store, removed).await.uid_validity;
    store.remove(removed).await.unwrap();
    assert!(matches!(
        store.mailbox(removed).await,
        Err(StoreError::NoSuchMailbox(_))
    ));
    assert!(matches!(
        store.item(removed, old.item).await,
        Err(StoreError::NoSuchMailbox(_))
    ));
    assert!(
        read(store, kept, body.item, 0..99)
            .await
            .ends_with(b"shared body")
    );
    store
        .create(removed, Timestamp::from_seconds(T0 + 1))
        .await
        .unwrap();
    let fresh = inbox(store, removed).await;
    assert_eq!(fresh.total, 0);
    assert!(
        fresh.uid_validity > old_validity,
        "old UIDs mean nothing in a new mailbox"
    );
}
