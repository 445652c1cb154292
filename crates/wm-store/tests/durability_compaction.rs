//! Compaction: what is not needed goes, what is needed stays, whatever happens meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs
)]

mod common;

use bytes::Bytes;
use common::{
    ACME, ENGINES, NOW, OpenEngine, acceptance, deliver, delivery, mailbox, message, on_disk, open,
};
use futures::{StreamExt, executor::block_on};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use wm_core::{
    ItemId, OrganizationId,
    traits::{
        Body, Changeset, Expect, MailboxStore, Mode, Operation, Spool, SpoolError, StoreError,
    },
};
use wm_store::{
    Store, StoreParts,
    engine::{Engine, Memory},
    segment::{Fault, FaultyFiles, MIN_SEGMENT_SIZE},
};

/// Of one chunk and of several, and no two alike.
fn content(n: u128) -> Vec<u8> {
    let size = [900, 30_000, 70_000, 150_000][n as usize % 4];
    let text = format!("{n}, ");
    text.bytes().cycle().take(size).collect()
}

async fn delete(store: &Store, item: ItemId) {
    let delete = Operation::DeleteItem {
        item,
        expect: Expect::default(),
    };
    let changes = Changeset {
        origin: acceptance(0, vec![]).origin,
        at: NOW,
        mode: Mode::AllOrNothing,
        operations: vec![delete],
    };
    store.apply(mailbox(1), changes).await.unwrap();
}

/// Delivers messages for some segments.
async fn fill(store: &Store, count: u128) -> Vec<(u128, ItemId)> {
    let mut items = Vec::new();
    for n in 1..=count {
        let (item, _) = deliver(store, n, mailbox(1), &content(n)).await.unwrap();
        items.push((n, item));
    }
    items
}

/// The same and deletes two of three; answers what is left.
async fn fill_and_thin_out(store: &Store, count: u128) -> Vec<(u128, ItemId)> {
    let mut left = Vec::new();
    for (n, item) in fill(store, count).await {
        match n % 3 {
            0 => left.push((n, item)),
            _ => delete(store, item).await,
        }
    }
    left
}

async fn assert_whole(store: &Store, items: &[(u128, ItemId)]) {
    for (n, item) in items {
        let read = common::read(store, mailbox(1), *item).await.unwrap();
        assert!(read.ends_with(&content(*n)), "message {n}");
    }
    let report = store.check(|_, _| ()).await.unwrap();
    assert_eq!(report.findings, []);
}

fn octets(files: &FaultyFiles) -> usize {
    files.dump().values().map(Vec::len).sum()
}

fn octets_below(path: &Path) -> u64 {
    let entries = fs::read_dir(path).unwrap();
    entries
        .map(|it| it.unwrap().metadata().unwrap().len())
        .sum()
}

struct Parts {
    engine: Arc<dyn Engine>,
    bodies: FaultyFiles,
    rest: StoreParts,
}

impl Parts {
    fn new() -> Self {
        Self {
            engine: Arc::new(Memory::new()),
            bodies: FaultyFiles::new(),
            rest: StoreParts::in_memory().unwrap(),
        }
    }

    fn open(&self) -> Store {
        let mut parts = StoreParts::in_memory().unwrap();
        parts.engine = self.engine.clone();
        parts.bodies = Arc::new(self.bodies.clone());
        parts.keys = self.rest.keys.clone();
        parts.key_service = self.rest.key_service.clone();
        parts.segment_size = MIN_SEGMENT_SIZE;
        Store::open(parts).unwrap()
    }
}

#[test]
fn space_comes_back_and_what_is_needed_stays_on_every_engine() {
    for engine in ENGINES {
        let common::OnDisk { store, directory } = on_disk(engine);
        let bodies = directory.path().join("bodies");
        let left = block_on(fill_and_thin_out(&store, 90));
        let before = octets_below(&bodies);
        let done = block_on(store.compact(30, |_, _| ())).unwrap();
        assert!(done.removed >= 3 && done.left == 0, "{done:?}");
        let after = octets_below(&bodies);
        assert!(after < before * 6 / 10, "{before} before, {after} after");
        block_on(assert_whole(&store, &left));
        let again = block_on(store.compact(30, |_, _| ())).unwrap();
        assert!(
            again.removed <= 1,
            "the segment that was being written to: {again:?}"
        );

        // A new start finds everything in its new place, and every kind of change goes on.
        drop(store);
        let store = open(directory.path(), engine);
        block_on(async {
            assert_whole(&store, &left).await;
            for (_, item) in &left {
                delete(&store, *item).await;
            }
            deliver(&store, 1000, mailbox(1), &content(1000))
                .await
                .unwrap();
            store.compact(1, |_, _| ()).await.unwrap();
        });
        assert!(octets_below(&bodies) < 2 * u64::from(MIN_SEGMENT_SIZE));
    }
}

#[test]
fn who_reads_while_a_body_is_moved_reads_on() {
    let parts = Parts::new();
    let store = parts.open();
    block_on(async {
        let left = fill_and_thin_out(&store, 60).await;
        let (n, item) = *left.iter().find(|(n, _)| n % 4 == 3).unwrap();
        let mut early = MailboxStore::read(&store, mailbox(1), item, 0..u64::MAX)
            .await
            .unwrap();
        let late = MailboxStore::read(&store, mailbox(1), item, 0..u64::MAX)
            .await
            .unwrap();
        let mut read = Vec::new();
        for _ in 0..2 {
            read.extend_from_slice(&early.next().await.unwrap().unwrap());
        }
        let done = store.compact(30, |_, _| ()).await.unwrap();
        assert!(done.removed > 0);
        let rest: Vec<Bytes> = early.map(Result::unwrap).collect().await;
        assert!([read, rest.concat()].concat().ends_with(&content(n)));
        let all: Vec<Bytes> = late.map(Result::unwrap).collect().await;
        assert!(all.concat().ends_with(&content(n)));
    });
}

/// The race that would lose mail: somebody holds a body that nothing refers to yet.
#[test]
fn a_body_that_waits_for_its_first_reference_is_kept() {
    let parts = Parts::new();
    let store = parts.open();
    block_on(async {
        let waiting = common::write(&store, b"waiting").await.unwrap();
        fill_and_thin_out(&store, 60).await;
        let done = store.compact(1, |_, _| ()).await.unwrap();
        assert_eq!(
            done.removed, 0,
            "the first segment and all behind it are pinned"
        );
        assert!(done.left > 0);
        accept(&store, 500, waiting).await.unwrap();
        let done = store.compact(1, |_, _| ()).await.unwrap();
        assert!(done.removed > 0 && done.left == 0, "{done:?}");
    });
}

/// The other side of it: the body is gone, and a reference would lead nowhere.
#[test]
fn a_reference_to_a_body_that_was_removed_is_refused() {
    let parts = Parts::new();
    let store = parts.open();
    block_on(async {
        let body = common::write(&store, b"once").await.unwrap();
        let item = accept(&store, 500, body).await.unwrap();
        delete(&store, item).await;
        // Until it is removed it can be brought back.
        let item = accept(&store, 501, body).await.unwrap();
        delete(&store, item).await;
        let left = fill_and_thin_out(&store, 60).await;
        assert!(store.compact(1, |_, _| ()).await.unwrap().removed > 0);
        let refused = accept(&store, 502, body).await.unwrap_err();
        assert!(
            matches!(&refused, SpoolError::Delivery { source: StoreError::NoSuchBody(id), .. } if *id == body.id),
            "{refused:?}"
        );
        let again = common::write(&store, b"once").await.unwrap();
        assert_eq!(again.id, body.id);
        accept(&store, 503, again).await.unwrap();
        assert_whole(&store, &left).await;
    });
}

async fn accept(store: &Store, id: u128, body: Body) -> Result<ItemId, SpoolError> {
    let delivery = delivery(mailbox(1), message(body, "a subject"));
    let accepted = store.accept(acceptance(id, vec![delivery])).await?;
    match accepted.deliveries[..] {
        [wm_core::traits::Outcome::Item { item, .. }] => Ok(item),
        ref other => panic!("{other:?}"),
    }
}

/// Writers bring back, and delete, the very bodies that compaction is about to remove.
#[test]
fn deliveries_of_what_is_being_removed_lose_nothing() {
    for engine in [memory as OpenEngine, ENGINES[0], ENGINES[1]] {
        let common::OnDisk { store, .. } = &on_disk(engine);
        block_on(fill_and_thin_out(store, 60));
        let ended = AtomicBool::new(false);
        let (kept, removed) = thread::scope(|scope| {
            let compaction = scope.spawn(|| {
                let mut removed = 0;
                while !ended.load(Ordering::Relaxed) {
                    removed += block_on(store.compact(1, |_, _| ())).unwrap().removed;
                }
                removed
            });
            let writer = |writer: u128| {
                let mut kept = Vec::new();
                for turn in 0..40 {
                    let n = (writer + turn) % 10;
                    let id = (writer + 1) << 64 | turn;
                    let item = match block_on(deliver(store, id, mailbox(1), &content(n))) {
                        Ok((item, _)) => item,
                        // Another writer's reference kept it, and went, before this one's came.
                        Err(SpoolError::Delivery {
                            source: StoreError::NoSuchBody(_),
                            ..
                        }) => continue,
                        Err(error) => panic!("{error}"),
                    };
                    match turn % 4 {
                        0 => kept.push((n, item)),
                        _ => block_on(delete(store, item)),
                    }
                }
                kept
            };
            let writers = [0, 1, 2].map(|n| scope.spawn(move || writer(n)));
            let kept = writers.map(|writer| writer.join().unwrap()).concat();
            ended.store(true, Ordering::Relaxed);
            (kept, compaction.join().unwrap())
        });
        assert!(removed > 3, "{removed}");
        assert!(kept.len() > 20, "{}", kept.len());
        block_on(assert_whole(store, &kept));
    }
}

fn memory(_: std::path::PathBuf) -> Arc<dyn Engine> {
    Arc::new(Memory::new())
}

#[test]
fn what_is_damaged_or_cannot_be_opened_keeps_its_segment() {
    let parts = Parts::new();
    let store = parts.open();
    let left = block_on(fill_and_thin_out(&store, 60));
    drop(store);
    // In the middle of a body of several chunks that is needed.
    let before = parts.bodies.dump();
    let segment = &before["00000001.wms"];
    let kept = left.iter().find(|(n, _)| n % 4 == 3).unwrap();
    let store = parts.open();
    parts.bodies.corrupt("00000001.wms", segment.len() / 3, 1);
    let readable = block_on(common::read(&store, mailbox(1), kept.1)).is_ok();
    let done = block_on(store.compact(1, |_, _| ())).unwrap();
    assert!(done.removed > 0, "{done:?}");
    let after = parts.bodies.dump();
    let found = block_on(store.check(|_, _| ())).unwrap().findings.len();
    assert_eq!(done.left, found as u64, "a damaged body keeps its segment");
    assert_eq!(after.contains_key("00000001.wms"), found > 0);
    assert!(readable || found > 0);

    // An organization whose keys are not there: nobody knows what of it is needed.
    let other = OrganizationId::from_u128(2);
    block_on(async {
        let mut writer = MailboxStore::body_writer(&store, other).await.unwrap();
        writer.write(Bytes::from_static(b"theirs")).await.unwrap();
        let body = writer.finish().await.unwrap();
        let theirs = wm_core::MailboxRef {
            organization: other,
            ..mailbox(9)
        };
        let delivery = delivery(theirs, message(body, "theirs"));
        store.accept(acceptance(900, vec![delivery])).await.unwrap();
        for n in 100..140 {
            let (item, _) = deliver(&store, n, mailbox(1), &content(n)).await.unwrap();
            delete(&store, item).await;
        }
        store.shred(other).await.unwrap();
        let done = store.compact(1, |_, _| ()).await.unwrap();
        assert!(done.removed > 0 && done.left > found as u64, "{done:?}");
    });
    assert!(ACME != other);
}

#[test]
fn a_full_disk_or_a_failed_sync_stops_a_compaction_and_loses_nothing() {
    for fault in [Fault::Space(300_000), Fault::Sync] {
        let parts = Parts::new();
        let store = parts.open();
        let left = block_on(fill_and_thin_out(&store, 60));
        parts.bodies.set_fault(Some(fault));
        block_on(store.compact(1, |_, _| ())).unwrap_err();
        assert_eq!(store.failure().is_some(), fault == Fault::Sync);
        parts.bodies.set_fault(None);
        drop(store);
        let store = parts.open();
        block_on(async {
            assert_whole(&store, &left).await;
            let before = octets(&parts.bodies);
            assert!(store.compact(1, |_, _| ()).await.unwrap().removed > 0);
            assert!(octets(&parts.bodies) < before);
            assert_whole(&store, &left).await;
        });
    }
}
