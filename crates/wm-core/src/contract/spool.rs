//! What every [`Spool`] has to do, together with the [`MailboxStore`] it delivers into. Use
//! [`spool_contract!`](crate::spool_contract).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed check is a failed test"
)]
#![allow(missing_docs, reason = "each check's name says what it checks")]

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;

use super::fixture::{INBOX, item, mailbox, organization, write_body};
use crate::model::{FolderRole, Origin, Protocol};
use crate::traits::{
    Acceptance, Body, Counter, CounterScope, Delivery, MailboxStore, NewTask, Outcome, Reschedule,
    ReversePath, Spool, SpoolError, StoreError, TaskKind,
};
use crate::{AcceptId, EmailAddress, MailboxRef, Timestamp, UserId};

/// Makes a test of every check. The expression makes something that dereferences to a
/// [`SpoolUnderTest`](crate::contract::spool::SpoolUnderTest).
#[macro_export]
macro_rules! spool_contract {
    ($make:expr) => {
        $crate::contract_cases!(spool, $make;
            an_accepted_message_is_in_every_mailbox,
            a_refused_delivery_leaves_nothing_anywhere,
            accepting_twice_delivers_once,
            an_acceptance_without_effects_is_refused,
            a_daily_limit_is_counted_and_enforced,
            tasks_are_leased_in_the_order_they_are_due,
            a_leased_task_is_nobody_elses_until_the_lease_lapses,
            a_completed_task_is_gone_and_its_follow_up_there,
            a_rescheduled_task_waits_and_remembers,
            a_task_carries_its_message,
            one_message_to_many_is_accepted_whole,
        );
    };
}

/// A spool, and the mailboxes it delivers into.
#[derive(Clone)]
pub struct SpoolUnderTest {
    /// The spool.
    pub spool: Arc<dyn Spool>,
    /// The mailboxes.
    pub mailboxes: Arc<dyn MailboxStore>,
}

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

pub async fn an_accepted_message_is_in_every_mailbox(test: &SpoolUnderTest) {
    let body = body(test, b"hello").await;
    let deliveries = vec![
        delivery(mailbox(1), "a@demo.example", body),
        delivery(mailbox(2), "b@demo.example", body),
    ];
    let accepted = test
        .spool
        .accept(Acceptance {
            deliveries,
            ..acceptance(1)
        })
        .await
        .unwrap();
    assert_eq!(accepted.deliveries.len(), 2);
    for (n, outcome) in (1..).zip(&accepted.deliveries) {
        let Outcome::Item { item, folder, .. } = outcome else {
            panic!("{outcome:?}")
        };
        let stored = test.mailboxes.item(mailbox(n), *item).await.unwrap();
        assert_eq!(stored.folder, *folder);
        let content: Vec<_> = test
            .mailboxes
            .read(mailbox(n), *item, 0..999)
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert!(content.concat().ends_with(b"\r\nhello"));
    }
}

pub async fn a_refused_delivery_leaves_nothing_anywhere(test: &SpoolUnderTest) {
    test.mailboxes.create(mailbox(2), NOW).await.unwrap();
    test.mailboxes.set_quota(mailbox(2), 1).await.unwrap();
    let body = body(test, b"hello").await;
    let acceptance = Acceptance {
        deliveries: vec![
            delivery(mailbox(1), "a@demo.example", body),
            delivery(mailbox(2), "b@demo.example", body),
        ],
        tasks: vec![task(body, 0)],
        ..acceptance(1)
    };
    let error = test.spool.accept(acceptance).await.unwrap_err();
    let SpoolError::Delivery {
        recipient,
        source: StoreError::OverQuota { .. },
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(recipient, address("b@demo.example"));
    assert_eq!(total(test, mailbox(1)).await, 0);
    assert_eq!(test.spool.next_due().await.unwrap(), None);
}

pub async fn accepting_twice_delivers_once(test: &SpoolUnderTest) {
    let body = body(test, b"hello").await;
    let acceptance = Acceptance {
        deliveries: vec![delivery(mailbox(1), "a@demo.example", body)],
        tasks: vec![task(body, 0)],
        counters: vec![counter(1, 1)],
        ..acceptance(7)
    };
    let first = test.spool.accept(acceptance.clone()).await.unwrap();
    let second = test.spool.accept(acceptance).await.unwrap();
    assert_eq!(first.tasks, second.tasks);
    let items = [&first, &second].map(|accepted| match &accepted.deliveries[..] {
        [Outcome::Item { item, .. }] => *item,
        other => panic!("{other:?}"),
    });
    assert_eq!(items[0], items[1]);
    assert_eq!(total(test, mailbox(1)).await, 1);
    assert_eq!(
        test.spool
            .tasks(organization(1), None, 9)
            .await
            .unwrap()
            .len(),
        1
    );
}

pub async fn an_acceptance_without_effects_is_refused(test: &SpoolUnderTest) {
    assert!(matches!(
        test.spool.accept(acceptance(1)).await,
        Err(SpoolError::Invalid(_))
    ));
    let body = body(test, b"hello").await;
    let deliveries = vec![
        delivery(mailbox(1), "a@demo.example", body),
        delivery(mailbox(1), "b@demo.example", body),
    ];
    let twice = test
        .spool
        .accept(Acceptance {
            deliveries,
            ..acceptance(2)
        })
        .await;
    assert!(matches!(twice, Err(SpoolError::Invalid(_))));
}

pub async fn a_daily_limit_is_counted_and_enforced(test: &SpoolUnderTest) {
    let body = body(test, b"hello").await;
    let send = |id, amount| Acceptance {
        tasks: vec![task(body, 0)],
        counters: vec![counter(amount, 10)],
        ..acceptance(id)
    };
    test.spool.accept(send(1, 6)).await.unwrap();
    let refused = test.spool.accept(send(2, 5)).await;
    assert!(matches!(refused, Err(SpoolError::LimitReached(c)) if c == counter(5, 10)));
    test.spool.accept(send(3, 4)).await.unwrap();
    assert!(test.spool.accept(send(4, 1)).await.is_err());
    let tomorrow = Counter {
        day: counter(1, 10).day + 1,
        ..counter(1, 10)
    };
    test.spool
        .accept(Acceptance {
            counters: vec![tomorrow],
            ..send(5, 1)
        })
        .await
        .unwrap();
    assert_eq!(
        test.spool
            .tasks(organization(1), None, 9)
            .await
            .unwrap()
            .len(),
        3
    );
}

pub async fn tasks_are_leased_in_the_order_they_are_due(test: &SpoolUnderTest) {
    let body = body(test, b"hello").await;
    let tasks = [30, 10, 20, 40].map(|due| task(body, due)).to_vec();
    let ids = test
        .spool
        .accept(Acceptance {
            tasks,
            ..acceptance(1)
        })
        .await
        .unwrap()
        .tasks;
    assert_eq!(test.spool.next_due().await.unwrap(), Some(after(10)));
    assert!(
        test.spool
            .lease(after(9), after(99), 9)
            .await
            .unwrap()
            .is_empty()
    );
    let leased = test.spool.lease(after(30), after(99), 2).await.unwrap();
    assert_eq!(
        leased.iter().map(|l| l.task.id).collect::<Vec<_>>(),
        [ids[1], ids[2]]
    );
    let leased = test.spool.lease(after(30), after(99), 9).await.unwrap();
    assert_eq!(
        leased.iter().map(|l| l.task.id).collect::<Vec<_>>(),
        [ids[0]]
    );
}

pub async fn a_leased_task_is_nobody_elses_until_the_lease_lapses(test: &SpoolUnderTest) {
    let body = body(test, b"hello").await;
    test.spool
        .accept(Acceptance {
            tasks: vec![task(body, 0)],
            ..acceptance(1)
        })
        .await
        .unwrap();
    let first = test.spool.lease(NOW, after(60), 9).await.unwrap().remove(0);
    assert!(
        test.spool
            .lease(after(59), after(99), 9)
            .await
            .unwrap()
            .is_empty()
    );
    let second = test
        .spool
        .lease(after(60), after(120), 9)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(first.task.id, second.task.id);
    assert!(matches!(
        test.spool.complete(first, None).await,
        Err(SpoolError::LeaseLost(_))
    ));
    test.spool.complete(second.clone(), None).await.unwrap();
    assert!(matches!(
        test.spool.complete(second, None).await,
        Err(SpoolError::LeaseLost(_))
    ));
}

pub async fn a_completed_task_is_gone_and_its_follow_up_there(test: &SpoolUnderTest) {
    let body = body(test, b"hello").await;
    test.spool
        .accept(Acceptance {
            tasks: vec![task(body, 0)],
            ..acceptance(1)
        })
        .await
        .unwrap();
    let lease = test.spool.lease(NOW, after(60), 9).await.unwrap().remove(0);
    let report = Acceptance {
        deliveries: vec![delivery(mailbox(1), "a@demo.example", body)],
        ..acceptance(2)
    };
    test.spool
        .complete(lease.clone(), Some(report.clone()))
        .await
        .unwrap();
    assert_eq!(total(test, mailbox(1)).await, 1);
    assert_eq!(test.spool.next_due().await.unwrap(), None);
    assert!(test.spool.complete(lease, Some(report)).await.is_err());
    assert_eq!(total(test, mailbox(1)).await, 1);
}

pub async fn a_rescheduled_task_waits_and_remembers(test: &SpoolUnderTest) {
    let body = body(test, b"hello").await;
    test.spool
        .accept(Acceptance {
            tasks: vec![task(body, 0)],
            ..acceptance(1)
        })
        .await
        .unwrap();
    let lease = test.spool.lease(NOW, after(60), 9).await.unwrap().remove(0);
    assert_eq!(lease.task.attempts, 0);
    let remaining = vec![address("two@example.org")];
    let reschedule = Reschedule {
        due: after(300),
        recipients: remaining.clone(),
        error: "451 later".into(),
    };
    test.spool
        .reschedule(lease.clone(), reschedule.clone())
        .await
        .unwrap();
    assert!(matches!(
        test.spool.reschedule(lease, reschedule).await,
        Err(SpoolError::LeaseLost(_))
    ));
    assert!(
        test.spool
            .lease(after(299), after(999), 9)
            .await
            .unwrap()
            .is_empty()
    );
    let task = test
        .spool
        .lease(after(300), after(999), 9)
        .await
        .unwrap()
        .remove(0)
        .task;
    assert_eq!((task.attempts, task.what.recipients), (1, remaining));
    assert_eq!(
        (task.last_error.as_str(), task.accepted),
        ("451 later", NOW)
    );
}

pub async fn a_task_carries_its_message(test: &SpoolUnderTest) {
    let octets = vec![b'x'; 200_000];
    let body = body(test, &octets).await;
    test.spool
        .accept(Acceptance {
            tasks: vec![task(body, 0)],
            ..acceptance(1)
        })
        .await
        .unwrap();
    let lease = test.spool.lease(NOW, after(60), 9).await.unwrap().remove(0);
    assert_eq!(lease.task.what, task(body, 0));
    let read: Vec<_> = test
        .spool
        .read(&lease, 0..u64::MAX)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(read.concat() == [b"Received: here\r\n".to_vec(), octets].concat());
}

pub async fn one_message_to_many_is_accepted_whole(test: &SpoolUnderTest) {
    let body = body(test, b"hello").await;
    let deliveries = (0..200)
        .map(|n| delivery(mailbox(n), &format!("u{n}@demo.example"), body))
        .collect();
    let accepted = test
        .spool
        .accept(Acceptance {
            deliveries,
            ..acceptance(1)
        })
        .await
        .unwrap();
    assert_eq!(accepted.deliveries.len(), 200);
    for n in [0, 99, 199] {
        assert_eq!(total(test, mailbox(n)).await, 1);
    }
}

fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn address(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

async fn body(test: &SpoolUnderTest, octets: &[u8]) -> Body {
    write_body(
        test.spool.body_writer(organization(1)).await.unwrap(),
        octets,
    )
    .await
}

fn acceptance(id: u128) -> Acceptance {
    Acceptance {
        id: AcceptId::from_u128(id),
        at: NOW,
        origin: Origin::new(Protocol::Smtp, "contract"),
        deliveries: vec![],
        tasks: vec![],
        counters: vec![],
    }
}

fn delivery(mailbox: MailboxRef, recipient: &str, body: Body) -> Delivery {
    Delivery {
        mailbox,
        recipient: address(recipient),
        item: item(body, NOW, INBOX),
    }
}

fn task(body: Body, due: u64) -> NewTask {
    NewTask {
        organization: organization(1),
        kind: TaskKind::Relay,
        reverse_path: ReversePath(Some(address("alice@demo.example"))),
        recipients: vec![address("one@example.org"), address("two@example.org")],
        prefix: b"Received: here\r\n".to_vec(),
        body,
        detail: "gateway".into(),
        due: after(due),
    }
}

fn counter(amount: u64, limit: u64) -> Counter {
    Counter {
        scope: CounterScope::User(organization(1), UserId::from_u128(1)),
        day: 20_833,
        amount,
        limit,
    }
}

async fn total(test: &SpoolUnderTest, mailbox: MailboxRef) -> u64 {
    match test.mailboxes.folders(mailbox).await {
        Ok(folders) => {
            folders
                .iter()
                .find(|f| f.role == Some(FolderRole::Inbox))
                .unwrap()
                .total
        }
        Err(StoreError::NoSuchMailbox(_)) => 0,
        Err(other) => panic!("{other}"),
    }
}
