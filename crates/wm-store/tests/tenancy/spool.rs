//! [`Spool`] and [`ProtocolState`].

use crate::{
    Walked,
    two::{self, LATER, OURS, THEIRS, Two, state_key},
};
use bytes::Bytes;
use wm_core::{
    Timestamp,
    traits::{Lease, ProtocolState, Reschedule, Spool, SpoolError, StateError, StoreError},
};

pub async fn walk(two: &Two, walked: &mut Walked) {
    spool(two, walked).await;
    state(two, walked).await;
}

async fn spool(two: &Two, walked: &mut Walked) {
    let store = &two.store;
    for method in ["body_writer", "accept"] {
        walked.through(&format!("Spool::{method}"));
    }
    // A task and a delivery of theirs cannot carry our body.
    let stolen_task = store.accept(two::task(THEIRS, 77, two.body)).await;
    assert!(
        matches!(
            stolen_task,
            Err(SpoolError::Store(StoreError::NoSuchBody(_)))
        ),
        "{stolen_task:?}"
    );
    let item = crate::common::message(two.body, "theirs");
    let delivery = crate::common::delivery(two.theirs, item);
    let stolen_item = store
        .accept(crate::common::acceptance(78, vec![delivery]))
        .await;
    assert!(
        matches!(
            &stolen_item,
            Err(SpoolError::Delivery {
                source: StoreError::NoSuchBody(_),
                ..
            })
        ),
        "{stolen_item:?}"
    );
    let mut writer = Spool::body_writer(store, THEIRS).await.unwrap();
    writer
        .write(Bytes::from_static(b"Subject: private\r\n\r\nprivate"))
        .await
        .unwrap();
    assert_ne!(writer.finish().await.unwrap().id, two.body.id);

    // A lease that pretends that our task is theirs holds nothing.
    let mut stolen = two.lease.clone();
    stolen.task.what.organization = THEIRS;
    let reschedule = Reschedule {
        due: LATER,
        recipients: vec![],
        error: "theirs".into(),
    };
    let lost = [
        (
            "read",
            Spool::read(store, &stolen, 0..9).await.map(drop).err(),
        ),
        ("complete", store.complete(stolen.clone(), None).await.err()),
        (
            "reschedule",
            store.reschedule(stolen.clone(), reschedule).await.err(),
        ),
    ];
    for (method, error) in lost {
        walked.through(&format!("Spool::{method}"));
        assert!(
            matches!(error, Some(SpoolError::LeaseLost(task)) if task == two.task),
            "{method}: {error:?}"
        );
    }

    walked.through("Spool::tasks");
    assert_eq!(store.tasks(THEIRS, None, 9).await.unwrap(), []);
    assert_eq!(store.tasks(THEIRS, Some(two.task), 9).await.unwrap(), []);
    assert_eq!(store.tasks(OURS, None, 9).await.unwrap().len(), 1);

    // Leasing serves the installation: what it hands out names its organization, and ours is ours.
    walked.through("Spool::lease");
    walked.through("Spool::next_due");
    let body = two::body(store, THEIRS, b"theirs").await;
    store.accept(two::task(THEIRS, 79, body)).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(crate::common::NOW));
    let leased = store.lease(crate::common::NOW, LATER, 9).await.unwrap();
    let [Lease { task, .. }] = &leased[..] else {
        panic!("{leased:?}")
    };
    assert_eq!(task.what.organization, THEIRS);
    let [lease] = leased.try_into().unwrap();
    store.complete(lease, None).await.unwrap();
}

async fn state(two: &Two, walked: &mut Walked) {
    let (store, now) = (&two.store, LATER);
    for theirs in [state_key(two.stolen()), state_key(two.theirs)] {
        let loaded = ProtocolState::load(store, &theirs, now).await.unwrap();
        assert_eq!(loaded, None);
        let keys = store.keys(theirs.mailbox, theirs.protocol, now).await;
        assert_eq!(keys.unwrap(), []);
        let replaced = ProtocolState::store(
            store,
            &theirs,
            Some(two.state_version),
            Bytes::from_static(b"theirs"),
            Timestamp::MAX,
            now,
        );
        let replaced = replaced.await.unwrap_err();
        assert!(
            matches!(replaced, StateError::Conflict { present: None }),
            "{replaced}"
        );
        ProtocolState::remove(store, &theirs).await.unwrap();
    }
    assert_eq!(store.expire(now, 99).await.unwrap(), 0);
    let ours = ProtocolState::load(store, &two.state, now).await.unwrap();
    assert_eq!(ours.unwrap().version, two.state_version);
    for method in ["load", "keys", "store", "remove", "expire"] {
        walked.through(&format!("ProtocolState::{method}"));
    }
}
