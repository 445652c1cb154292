//! Nothing of one mailbox or organization is found in another.

use crate::contract::fixture::{INBOX, item, operation_at, organization, write_body};
use crate::model::{EventId, Flags};
use crate::traits::{ItemList, ListBy, MailboxStore, Operation, StoreError};
use crate::{MailboxRef, ModSeq, Timestamp};

use super::support::{T0, deliver, inbox, new_mailbox, set_flags};

pub async fn mailboxes_share_nothing(store: &dyn MailboxStore) {
    let (one, two) = (new_mailbox(store, 1).await, new_mailbox(store, 2).await);
    let placed = deliver(store, one, b"private", T0).await;
    assert!(matches!(
        store.item(two, placed.item).await,
        Err(StoreError::NoSuchItem(_))
    ));
    assert!(matches!(
        store.read(two, placed.item, 0..9).await,
        Err(StoreError::NoSuchItem(_))
    ));
    let refused = store
        .apply(
            two,
            operation_at(T0, vec![set_flags(placed.item, Flags::READ)]),
        )
        .await;
    assert!(matches!(refused, Err(StoreError::NoSuchItem(_))));
    assert_eq!(inbox(store, two).await.total, 0);
}

pub async fn organizations_share_nothing(store: &dyn MailboxStore) {
    let ours = new_mailbox(store, 1).await;
    let placed = deliver(store, ours, b"private", T0).await;
    let folder = inbox(store, ours).await.id;
    let theirs = MailboxRef {
        organization: organization(2),
        ..ours
    };

    let list = ItemList {
        folder,
        by: ListBy::Received {
            from: None,
            until: None,
        },
        descending: false,
        after: None,
        limit: 9,
    };
    let not_found = [
        store.mailbox(theirs).await.err(),
        store.folders(theirs).await.err(),
        store.folder(theirs, folder).await.err(),
        store.item(theirs, placed.item).await.err(),
        store.items(theirs, list).await.err(),
        store.uids(theirs, folder).await.err(),
        store.changes(theirs, folder, ModSeq(0), 9).await.err(),
        store.folder_changes(theirs, ModSeq(0)).await.err(),
        store.events(theirs, EventId::default(), 9).await.err(),
        store.truncate(theirs, ModSeq(0)).await.err(),
        store.read(theirs, placed.item, 0..9).await.err(),
        store.set_quota(theirs, 1).await.err(),
    ];
    for (n, error) in not_found.into_iter().enumerate() {
        assert!(
            matches!(error, Some(StoreError::NoSuchMailbox(m)) if m == theirs),
            "call {n}: {error:?}"
        );
    }
    // A body of the first organization cannot be referred to from the second.
    let body = write_body(
        store.body_writer(ours.organization).await.unwrap(),
        b"private",
    )
    .await;
    let add = Operation::AddItem(item(body, Timestamp::from_seconds(T0), INBOX));
    let refused = store.apply(theirs, operation_at(T0, vec![add])).await;
    assert!(matches!(refused, Err(StoreError::NoSuchBody(_))));
}
