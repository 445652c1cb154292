//! Commits: numbers, preconditions, several operations and writers at once, quotas.

use crate::contract::fixture::{INBOX, item, operation_at, write_body};
use crate::model::{Flags, FolderRole};
use crate::traits::{Changeset, Expect, MailboxStore, Mode, Operation, Outcome, StoreError};
use crate::{ItemId, ModSeq, Timestamp};
use futures::future;

use super::support::{
    T0, delete, deliver, flags, inbox, new_mailbox, place_of, role, set_flags, snapshot,
};

pub async fn every_commit_takes_the_next_number(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let start = store.mailbox(mailbox).await.unwrap().highest_modseq;
    for n in 1..=3 {
        deliver(store, mailbox, b"body", T0).await;
        let now = store.mailbox(mailbox).await.unwrap().highest_modseq;
        assert_eq!(now, ModSeq(start.0 + n));
        assert_eq!(inbox(store, mailbox).await.highest_modseq, now);
    }
}

pub async fn uids_rise_and_are_never_given_twice(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let mut last = None;
    for _ in 0..4 {
        let placed = deliver(store, mailbox, b"body", T0).await;
        assert!(Some(placed.uid) > last);
        assert!(inbox(store, mailbox).await.uid_next > placed.uid);
        last = Some(placed.uid);
        delete(store, mailbox, placed.item).await;
    }
    assert_eq!(inbox(store, mailbox).await.total, 0);
}

pub async fn one_refused_operation_refuses_all(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let before = snapshot(store, mailbox).await;
    let refused = store
        .apply(
            mailbox,
            operation_at(
                T0,
                vec![
                    set_flags(placed.item, Flags::READ),
                    set_flags(ItemId(999), Flags::READ),
                ],
            ),
        )
        .await;
    assert!(matches!(refused, Err(StoreError::NoSuchItem(ItemId(999)))));
    assert_eq!(snapshot(store, mailbox).await, before);
}

pub async fn operations_on_their_own_are_refused_alone(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let operations = vec![
        set_flags(ItemId(999), Flags::READ),
        set_flags(placed.item, Flags::READ),
    ];
    let changes = Changeset {
        mode: Mode::EachOnItsOwn,
        ..operation_at(T0, operations)
    };
    let applied = store.apply(mailbox, changes).await.unwrap();
    assert!(matches!(
        applied.outcomes[0],
        Outcome::Refused(StoreError::NoSuchItem(_))
    ));
    assert!(matches!(applied.outcomes[1], Outcome::Item { item, .. } if item == placed.item));
    assert_eq!(
        store.item(mailbox, placed.item).await.unwrap().flags,
        Flags::READ
    );
}

pub async fn later_operations_see_earlier_ones(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let archive = role(store, mailbox, FolderRole::Archive).await;
    let in_archive = Expect {
        folder: Some(archive.id),
        ..Expect::default()
    };
    let operations = vec![
        Operation::MoveItem {
            item: placed.item,
            expect: Expect::default(),
            to: archive.id.into(),
        },
        Operation::UpdateItem {
            item: placed.item,
            expect: in_archive,
            update: flags(Flags::READ),
        },
    ];
    store
        .apply(mailbox, operation_at(T0, operations))
        .await
        .unwrap();
    let item = store.item(mailbox, placed.item).await.unwrap();
    assert_eq!((item.folder, item.flags), (archive.id, Flags::READ));
}

pub async fn a_change_of_nothing_is_no_commit(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    store
        .apply(
            mailbox,
            operation_at(T0, vec![set_flags(placed.item, Flags::READ)]),
        )
        .await
        .unwrap();
    let before = snapshot(store, mailbox).await;
    let applied = store
        .apply(
            mailbox,
            operation_at(T0 + 1, vec![set_flags(placed.item, Flags::READ)]),
        )
        .await
        .unwrap();
    assert_eq!((applied.modseq, applied.committed), (before.0, false));
    assert_eq!(snapshot(store, mailbox).await, before);
}

pub async fn flags_set_by_two_clients_are_both_kept(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let one = store.apply(
        mailbox,
        operation_at(T0, vec![set_flags(placed.item, Flags::READ)]),
    );
    let other = store.apply(
        mailbox,
        operation_at(T0, vec![set_flags(placed.item, Flags::FLAGGED)]),
    );
    let (one, other) = future::join(one, other).await;
    assert_ne!(one.unwrap().modseq, other.unwrap().modseq);
    let item = store.item(mailbox, placed.item).await.unwrap();
    assert_eq!(item.flags, Flags::READ | Flags::FLAGGED);
}

pub async fn an_expectation_that_fails_changes_nothing(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let seen = store.item(mailbox, placed.item).await.unwrap().modseq();
    store
        .apply(
            mailbox,
            operation_at(T0, vec![set_flags(placed.item, Flags::READ)]),
        )
        .await
        .unwrap();
    let before = snapshot(store, mailbox).await;

    let stale = Expect {
        unchanged_since: Some(seen),
        ..Expect::default()
    };
    let elsewhere = role(store, mailbox, FolderRole::Junk).await.id;
    let moved = Expect {
        folder: Some(elsewhere),
        ..Expect::default()
    };
    let unmarked = Expect {
        flags: Flags::DELETED,
        ..Expect::default()
    };
    for (expect, changed) in [(stale, true), (moved, false), (unmarked, true)] {
        let operations = vec![Operation::DeleteItem {
            item: placed.item,
            expect,
        }];
        let error = store
            .apply(mailbox, operation_at(T0, operations))
            .await
            .unwrap_err();
        match error {
            StoreError::Changed { item, now } => {
                assert!(changed && item == placed.item && now > seen, "{expect:?}");
            }
            StoreError::NoSuchItem(item) => assert!(!changed && item == placed.item, "{expect:?}"),
            other => panic!("{expect:?}: {other}"),
        }
    }
    assert_eq!(snapshot(store, mailbox).await, before);
}

pub async fn concurrent_writers_lose_nothing(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let writers = (0..16).map(|n| async move {
        let mut placed = Vec::new();
        for m in 0..8 {
            placed.push(deliver(store, mailbox, format!("{n}/{m}").as_bytes(), T0 + m).await);
        }
        placed
    });
    let placed: Vec<_> = future::join_all(writers)
        .await
        .into_iter()
        .flatten()
        .collect();
    let mut uids: Vec<_> = placed.iter().map(|p| (p.uid, p.item)).collect();
    uids.sort();
    let folder = inbox(store, mailbox).await;
    assert_eq!(folder.total, 128);
    let (state, listed) = store.uids(mailbox, folder.id).await.unwrap();
    assert_eq!((state, listed), (folder.highest_modseq, uids));
}

pub async fn a_full_mailbox_refuses(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    store.set_quota(mailbox, 200).await.unwrap();
    assert_eq!(store.mailbox(mailbox).await.unwrap().quota, 200);
    let body = write_body(
        store.body_writer(mailbox.organization).await.unwrap(),
        &[b'x'; 100],
    )
    .await;
    let add = || Operation::AddItem(item(body, Timestamp::from_seconds(T0), INBOX));
    let first = place_of(store.apply(mailbox, operation_at(T0, vec![add()])).await);
    let before = snapshot(store, mailbox).await;
    let refused = store.apply(mailbox, operation_at(T0, vec![add()])).await;
    assert!(matches!(
        refused,
        Err(StoreError::OverQuota { quota: 200, .. })
    ));
    assert_eq!(snapshot(store, mailbox).await, before);
    delete(store, mailbox, first.item).await;
    store
        .apply(mailbox, operation_at(T0, vec![add()]))
        .await
        .unwrap();
}
