//! What is acknowledged is durable, and what cannot be made durable is not acknowledged. Power cuts are
//! in `store_power.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{ACME, NOW, acceptance, deliver, delivery, mailbox, memory, message, write};
use futures::{executor::block_on, future::join_all};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use wm_core::{
    model::Flags,
    traits::{
        Acceptance, Changeset, Expect, ItemUpdate, MailboxStore, Mode, NewTask, Operation,
        ReversePath, Spool, StoreError, TaskKind,
    },
};
use wm_store::{
    Store, StoreParts,
    engine::{Direction, KeyRange},
    segment::{Fault, FaultyFiles},
};

fn changes(operations: Vec<Operation>) -> Changeset {
    let origin = acceptance(0, vec![]).origin;
    Changeset {
        origin,
        at: NOW,
        mode: Mode::AllOrNothing,
        operations,
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_everything_is_readable() {
    let bodies = FaultyFiles::new();
    let parts = StoreParts::in_memory().unwrap();
    let store = Store::open(StoreParts {
        bodies: Arc::new(bodies.clone()),
        ..parts
    })
    .unwrap();
    block_on(async {
        let (item, _) = deliver(&store, 1, mailbox(1), b"before").await.unwrap();
        bodies.set_fault(Some(Fault::Sync));
        assert!(deliver(&store, 2, mailbox(1), b"during").await.is_err());
        bodies.set_fault(None);
        let error = deliver(&store, 3, mailbox(1), b"after").await.unwrap_err();
        assert!(!error.is_transient(), "{error}");
        assert!(store.failure().is_some());
        let flag = ItemUpdate {
            set: Flags::READ,
            ..ItemUpdate::default()
        };
        let flag = Operation::UpdateItem {
            item,
            expect: Expect::default(),
            update: flag,
        };
        assert!(store.apply(mailbox(1), changes(vec![flag])).await.is_err());
        assert!(
            common::read(&store, mailbox(1), item)
                .await
                .unwrap()
                .ends_with(b"before")
        );
        assert_eq!(
            store
                .uids(mailbox(1), store.folders(mailbox(1)).await.unwrap()[0].id)
                .await
                .unwrap()
                .1
                .len(),
            1
        );
    });
}

#[test]
fn a_full_disk_refuses_for_the_time_being() {
    let bodies = FaultyFiles::new();
    let parts = StoreParts::in_memory().unwrap();
    let store = Store::open(StoreParts {
        bodies: Arc::new(bodies.clone()),
        ..parts
    })
    .unwrap();
    block_on(async {
        bodies.set_fault(Some(Fault::Space(10)));
        let error = deliver(&store, 1, mailbox(1), b"content")
            .await
            .unwrap_err();
        assert!(error.is_transient(), "{error}");
        bodies.set_fault(None);
        deliver(&store, 1, mailbox(1), b"content").await.unwrap();
    });
}

#[test]
fn keys_that_a_power_cut_tore_before_their_first_use_are_made_anew() {
    let parts = StoreParts::in_memory().unwrap();
    let torn = parts
        .keys
        .create(&format!("{:032x}-00000001.wmk", ACME.as_u128()))
        .unwrap();
    torn.write_at(b"wmk", 0).unwrap();
    let store = Store::open(parts).unwrap();
    block_on(async {
        let (item, _) = deliver(&store, 1, mailbox(1), b"content").await.unwrap();
        assert!(common::read(&store, mailbox(1), item).await.is_ok());
    });
}

#[test]
fn a_message_to_500_recipients_is_one_body_and_one_commit() {
    let bodies = FaultyFiles::new();
    let parts = StoreParts::in_memory().unwrap();
    let store = Store::open(StoreParts {
        bodies: Arc::new(bodies.clone()),
        ..parts
    })
    .unwrap();
    let content = b"0123456789".repeat(10_000);
    block_on(async {
        let body = write(&store, &content).await.unwrap();
        let deliveries = (0..500)
            .map(|n| delivery(mailbox(n), message(body, "to all")))
            .collect();
        // The first use of an installation makes its keys.
        store.create(mailbox(0), NOW).await.unwrap();
        store.next_due().await.unwrap();
        let (before, syncs) = (store.commits(), bodies.syncs());
        let accepted = store.accept(acceptance(1, deliveries)).await.unwrap();
        assert_eq!(accepted.deliveries.len(), 500);
        // One for the keys of the installation, one for the message.
        assert!(store.commits().0 - before.0 <= 2);
        assert_eq!(
            bodies.syncs() - syncs,
            2,
            "the segment, and its directory once"
        );
        for n in [0, 250, 499] {
            let item = store
                .uids(mailbox(n), inbox(&store, n).await)
                .await
                .unwrap()
                .1[0]
                .1;
            assert!(
                common::read(&store, mailbox(n), item)
                    .await
                    .unwrap()
                    .ends_with(&content)
            );
        }
    });
    let stored: usize = bodies.dump().values().map(Vec::len).sum();
    assert!(stored < content.len() + 1_000, "{stored} bytes");
}

#[test]
fn equal_bodies_are_kept_as_one_until_nothing_refers_to_them() {
    let store = memory();
    block_on(async {
        let (first, _) = deliver(&store, 1, mailbox(1), b"the same").await.unwrap();
        let (second, _) = deliver(&store, 2, mailbox(2), b"the same").await.unwrap();
        assert_eq!(store.check(|_, _| ()).await.unwrap().bodies, 1);
        let delete = |item| {
            changes(vec![Operation::DeleteItem {
                item,
                expect: Expect::default(),
            }])
        };
        store.apply(mailbox(1), delete(first)).await.unwrap();
        assert!(
            common::read(&store, mailbox(2), second)
                .await
                .unwrap()
                .ends_with(b"the same")
        );
        store.apply(mailbox(2), delete(second)).await.unwrap();
        assert_eq!(store.check(|_, _| ()).await.unwrap().bodies, 0);
    });
}

#[test]
fn concurrent_deliveries_share_commits_and_never_numbers() {
    let store = memory();
    let numbers: Vec<_> = block_on(async {
        store.create(mailbox(1), NOW).await.unwrap();
        let store = &store;
        let one = |n: u128| async move {
            deliver(store, n, mailbox(1), &n.to_be_bytes())
                .await
                .unwrap()
        };
        join_all((0..300).map(one)).await
    });
    let uids: BTreeSet<_> = numbers.iter().map(|(_, uid)| *uid).collect();
    let items: BTreeSet<_> = numbers.iter().map(|(item, _)| *item).collect();
    assert_eq!((uids.len(), items.len()), (300, 300));
    let (groups, requests) = store.commits();
    assert!(groups < requests, "{groups} groups of {requests} requests");
}

#[test]
fn an_acceptance_is_remembered_for_a_day_and_forgotten_in_time() {
    let parts = StoreParts::in_memory().unwrap();
    let engine = parts.engine.clone();
    let store = Store::open(parts).unwrap();
    let records = || {
        engine
            .snapshot()
            .unwrap()
            .scan(KeyRange::all(), Direction::Forward)
            .count()
    };
    block_on(async {
        let body = write(&store, b"content").await.unwrap();
        let task = |id, hours: u64| Acceptance {
            at: NOW.plus(Duration::from_secs(hours * 3600)),
            tasks: vec![NewTask {
                organization: ACME,
                kind: TaskKind::Journal,
                reverse_path: ReversePath::NULL,
                recipients: vec![],
                prefix: vec![],
                body,
                detail: String::new(),
                due: NOW,
            }],
            ..acceptance(id, vec![])
        };
        let first = store.accept(task(1, 0)).await.unwrap().tasks;
        assert_eq!(store.accept(task(1, 23)).await.unwrap().tasks, first);
        store.accept(task(2, 72)).await.unwrap();
        let before = records();
        // Each acceptance adds three records: itself, its task and when that is due.
        store.accept(task(3, 72)).await.unwrap();
        assert_eq!(records(), before + 3);
        assert_ne!(
            store.accept(task(1, 72)).await.unwrap().tasks,
            first,
            "it was forgotten"
        );
    });
}

#[test]
fn a_body_nobody_wrote_is_refused_and_may_be_written_again() {
    let store = memory();
    block_on(async {
        let refused = store
            .accept(acceptance(
                1,
                vec![delivery(mailbox(1), message(common::invented(), "x"))],
            ))
            .await;
        let Err(wm_core::traits::SpoolError::Delivery { source, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert!(matches!(source, StoreError::NoSuchBody(_)));
        assert!(store.tasks(ACME, None, 9).await.unwrap().is_empty());
    });
}

async fn inbox(store: &Store, n: u128) -> wm_core::FolderId {
    store.folders(mailbox(n)).await.unwrap()[0].id
}
