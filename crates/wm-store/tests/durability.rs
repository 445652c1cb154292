//! What was acknowledged is there after a power cut, whenever it comes, and nothing is half there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{ACME, NOW, acceptance, deliver, delivery, mailbox, memory, message, write};
use futures::{executor::block_on, future::join_all};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use wm_core::{
    ItemId, ModSeq, Uid,
    model::Flags,
    traits::{
        Acceptance, Changeset, Expect, ItemUpdate, MailboxStore, Mode, NewTask, Operation,
        ReversePath, Spool, StoreError, TaskKind,
    },
};
use wm_store::{
    Store, StoreParts,
    engine::{Batch, Direction, Engine, EngineError, KeyRange, Memory, Snapshot},
    segment::{Fault, FaultyFiles, MIN_SEGMENT_SIZE},
};

const WRITERS: u128 = 8;

/// An item that was acknowledged: what it is, and the number it was given.
type Acknowledged = BTreeMap<(u128, ItemId), (Uid, Vec<u8>)>;

/// What the disk held at the moment of the cut, and what had been acknowledged by then.
struct Cut {
    engine: Memory,
    bodies: FaultyFiles,
    acknowledged: Acknowledged,
}

/// An engine that takes a picture of everything during one of its commits, before or after the
/// commit is applied: a commit in flight may survive a power cut, or not.
struct Camera {
    engine: Memory,
    bodies: FaultyFiles,
    acknowledged: Arc<Mutex<Acknowledged>>,
    commits_left: AtomicUsize,
    seed: u64,
    cut: Mutex<Option<Cut>>,
}

impl Camera {
    fn take(&self) {
        // What is acknowledged while the picture is taken waits for this commit.
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let engine = copy(&self.engine);
        let bodies = self.bodies.power_cut(self.seed);
        *self.cut.lock().unwrap() = Some(Cut {
            engine,
            bodies,
            acknowledged,
        });
    }
}

impl Engine for Camera {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        self.engine.snapshot()
    }

    fn commit(&self, batch: Batch) -> Result<(), EngineError> {
        let last = self.commits_left.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && self.seed.is_multiple_of(2) {
            self.take();
        }
        self.engine.commit(batch)?;
        if last && !self.seed.is_multiple_of(2) {
            self.take();
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        "camera"
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

fn copy(engine: &Memory) -> Memory {
    let snapshot = engine.snapshot().unwrap();
    let mut batch = Batch::new();
    for entry in snapshot.scan(KeyRange::all(), Direction::Forward) {
        let (key, value) = entry.unwrap();
        batch.put(key, value);
    }
    let copy = Memory::new();
    copy.commit(batch).unwrap();
    copy
}

/// Has some writers deliver, flag and delete until the power is cut during a commit that `seed`
/// chooses; `fault` is what the segments suffer from.
fn cut_during_a_workload(seed: u64, fault: Option<Fault>) -> (Cut, StoreParts) {
    let bodies = FaultyFiles::new();
    bodies.set_fault(fault);
    let acknowledged = Arc::new(Mutex::new(Acknowledged::new()));
    let camera = Arc::new(Camera {
        engine: Memory::new(),
        bodies: bodies.clone(),
        acknowledged: acknowledged.clone(),
        commits_left: AtomicUsize::new(3 + seed as usize % 40),
        seed,
        cut: Mutex::new(None),
    });
    let mut parts = StoreParts::in_memory().unwrap();
    let (keys, key_service) = (parts.keys.clone(), parts.key_service.clone());
    parts.engine = camera.clone();
    parts.bodies = Arc::new(bodies);
    parts.segment_size = MIN_SEGMENT_SIZE;
    let store = Store::open(parts).unwrap();

    std::thread::scope(|scope| {
        for writer in 1..=WRITERS {
            let (store, acknowledged, camera) = (&store, &acknowledged, &camera);
            scope.spawn(move || {
                let mut n = 0;
                while camera.cut.lock().unwrap().is_none() {
                    n += 1;
                    block_on(work(store, acknowledged, writer, n, seed));
                }
            });
        }
    });
    let cut = camera.cut.lock().unwrap().take().unwrap();
    let mut parts = StoreParts::in_memory().unwrap();
    (parts.keys, parts.key_service) = (keys, key_service);
    (cut, parts)
}

async fn work(store: &Store, acknowledged: &Mutex<Acknowledged>, writer: u128, n: u128, seed: u64) {
    let size = ((seed as usize + 1) * 7919 * n as usize) % 150_000;
    let content = format!("{writer}/{n}/").repeat(size / 6 + 1).into_bytes();
    let mailbox = mailbox(writer % 3);
    let (item, uid) = deliver(store, writer << 64 | n, mailbox, &content)
        .await
        .unwrap();
    let place = (writer % 3, item);
    acknowledged.lock().unwrap().insert(place, (uid, content));
    if n.is_multiple_of(3) {
        acknowledged.lock().unwrap().remove(&place);
        let delete = Operation::DeleteItem {
            item,
            expect: Expect::default(),
        };
        store.apply(mailbox, changes(vec![delete])).await.unwrap();
    }
}

fn changes(operations: Vec<Operation>) -> Changeset {
    let origin = acceptance(0, vec![]).origin;
    Changeset {
        origin,
        at: NOW,
        mode: Mode::AllOrNothing,
        operations,
    }
}

/// Opens what the cut has left and looks for what is missing, damaged or given out twice.
async fn losses(cut: &Cut, parts: StoreParts) -> Vec<String> {
    let store = Store::open(StoreParts {
        engine: Arc::new(copy(&cut.engine)),
        bodies: Arc::new(cut.bodies.clone()),
        ..parts
    })
    .unwrap();
    let mut losses: Vec<String> = store
        .check(|_, _| ())
        .await
        .unwrap()
        .findings
        .into_iter()
        .map(|finding| finding.what)
        .collect();
    for (&(n, item), (uid, content)) in &cut.acknowledged {
        match common::read(&store, mailbox(n), item).await {
            Ok(found) if found.ends_with(content) => {}
            Ok(_) => losses.push(format!("item {item} of mailbox {n} is altered")),
            Err(error) => losses.push(format!("item {item} of mailbox {n}: {error}")),
        }
        let now = store.item(mailbox(n), item).await.map(|item| item.uid);
        if !matches!(now, Ok(now) if now == *uid) {
            losses.push(format!("item {item} of mailbox {n} had UID {uid}"));
        }
    }
    for n in 0..3 {
        let Ok(before) = store.mailbox(mailbox(n)).await else {
            continue;
        };
        let (item, uid) = deliver(&store, n + 1, mailbox(n), b"after").await.unwrap();
        let given = cut.acknowledged.iter().filter(|((m, _), _)| *m == n);
        let reused = |((_, i), (u, _)): (&(u128, ItemId), &(Uid, _))| *i == item || *u == uid;
        if given.into_iter().any(reused) {
            losses.push(format!("a number of mailbox {n} was given out twice"));
        }
        let after = store.mailbox(mailbox(n)).await.unwrap();
        assert_eq!(after.highest_modseq, ModSeq(before.highest_modseq.0 + 1));
    }
    losses
}

/// `WM_POWER_CUTS` and `WM_POWER_SEED` choose how many cuts are made and the first of their seeds.
#[test]
fn what_was_acknowledged_survives_every_power_cut() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let (first, cuts) = (number("WM_POWER_SEED", 0), number("WM_POWER_CUTS", 40));
    let mut acknowledged = 0;
    for seed in first..first + cuts {
        let (cut, parts) = cut_during_a_workload(seed, None);
        let losses = block_on(losses(&cut, parts));
        assert_eq!(losses, [""; 0], "seed {seed}");
        acknowledged += cut.acknowledged.len() as u64;
    }
    println!("{cuts} power cuts from seed {first}, {acknowledged} acknowledged items, none lost");
    assert!(acknowledged > 2 * cuts, "{acknowledged}");
}

#[test]
fn without_the_segments_sync_the_loss_is_noticed() {
    let noticed = (0..20).any(|seed| {
        let (cut, parts) = cut_during_a_workload(seed, Some(Fault::SyncIgnored));
        !block_on(losses(&cut, parts)).is_empty()
    });
    assert!(noticed);
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
