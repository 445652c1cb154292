//! What group commit is worth: messages of 5 KB that 64 writers have made durable per second, for
//! each engine, beside the same with a commit for each message, beside what the disk can sync, and
//! beside the same without syncing. `cargo bench -p wm-benches --bench commit [DIRECTORY]`.
//!
//! The rates depend on the disk and on what else uses it; each is measured in turns with the others,
//! and the ratios are what to look at.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

use bytes::Bytes;
use futures::lock::Mutex;
use std::{
    fs::File,
    io::Write,
    path::Path,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use wm_core::{
    AcceptId, ConversationId, MailboxId, MailboxRef, OrganizationId, Timestamp,
    model::{Flags, FolderRole, ItemClass, Origin, Protocol, Summary},
    traits::{Acceptance, Delivery, ItemContent, NewItem, Spool},
};
use wm_store::{
    Store, StoreParts,
    engine::{Engine, EngineOptions, Redb, Sled, SyncPolicy},
    segment::Directory,
};

const WRITERS: u64 = 64;
const MAILBOXES: u64 = 16;
const OCTETS: usize = 5_000;
const ROUNDS: u64 = 2;
const TIME: Duration = Duration::from_secs(4);

fn main() {
    let argument = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let place = argument.map_or_else(
        || env!("CARGO_TARGET_TMPDIR").into(),
        std::path::PathBuf::from,
    );
    for engine in ["redb", "sled"] {
        let mut sums = [0.0; 4];
        let mut grouped = (0, 0);
        for _ in 0..ROUNDS {
            let directory = tempfile::TempDir::new_in(&place).unwrap();
            let at = |name: &str| directory.path().join(name);
            sums[0] += sync_rate(&at("raw"));
            let durable = open(&at("durable"), engine, SyncPolicy::Durable);
            sums[1] += rate(&durable, false);
            let (groups, requests) = durable.commits();
            grouped = (grouped.0 + groups, grouped.1 + requests);
            sums[2] += rate(&open(&at("single"), engine, SyncPolicy::Durable), true);
            sums[3] += rate(&open(&at("unsynced"), engine, SyncPolicy::Off), false);
        }
        let [syncs, durable, single, unsynced] = sums.map(|sum| sum / ROUNDS as f64);
        let bound = unsynced.min(WRITERS as f64 * syncs);
        println!(
            "{engine}: {durable:.0}/s durable, {:.1} in a group; {single:.0}/s with a commit each \
             ({:.1} times as fast); {unsynced:.0}/s without syncing; the disk syncs {syncs:.0}/s; \
             durable is {:.0} % of the smaller of {WRITERS} x {syncs:.0} and {unsynced:.0}",
            grouped.1 as f64 / grouped.0 as f64,
            durable / single,
            100.0 * durable / bound
        );
    }
}

/// Appends of 4 KiB that the disk confirms one by one, per second.
fn sync_rate(path: &Path) -> f64 {
    let mut file = File::create(path).unwrap();
    let (begun, mut syncs) = (Instant::now(), 0_u32);
    while begun.elapsed() < TIME / 2 {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    f64::from(syncs) / begun.elapsed().as_secs_f64()
}

/// Messages acknowledged per second; with `alone` each waits until the one before is.
fn rate(store: &Store, alone: bool) -> f64 {
    let (count, ended, turn) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(()));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (count, ended, turn) = (&count, &ended, &turn);
            scope.spawn(move || {
                let mut n = writer << 32;
                while !ended.load(Ordering::Relaxed) {
                    n += 1;
                    block_on(deliver(store, n, alone.then_some(turn)));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(TIME / 4);
        let (begun, before) = (Instant::now(), count.load(Ordering::Relaxed));
        thread::sleep(TIME);
        let done = count.load(Ordering::Relaxed) - before;
        ended.store(true, Ordering::Relaxed);
        done as f64 / begun.elapsed().as_secs_f64()
    })
}

fn open(path: &Path, engine: &str, sync: SyncPolicy) -> Store {
    std::fs::create_dir(path).unwrap();
    let options = EngineOptions::default().with_sync(sync);
    let at = path.join("engine");
    let engine: Arc<dyn Engine> = match engine {
        "sled" => Arc::new(Sled::open(at, options).unwrap()),
        _ => Arc::new(Redb::open(at, options).unwrap()),
    };
    let mut parts = StoreParts::in_directory(path, engine).unwrap();
    if sync == SyncPolicy::Off {
        parts.bodies = Arc::new(Directory::open(path.join("bodies")).unwrap().without_sync());
    }
    Store::open(parts).unwrap()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

async fn deliver(store: &Store, n: u64, turn: Option<&Mutex<()>>) {
    let mailbox = MailboxRef {
        organization: OrganizationId::from_u128(1),
        mailbox: MailboxId::from_u128(u128::from(n % MAILBOXES + 1)),
    };
    let mut writer = Spool::body_writer(store, mailbox.organization)
        .await
        .unwrap();
    let mut content = format!("Message-ID: <{n}@example.org>\r\n\r\n").into_bytes();
    content.resize(OCTETS, b'x');
    writer.write(Bytes::from(content)).await.unwrap();
    let body = writer.finish().await.unwrap();
    let at = Timestamp::from_seconds(1_800_000_000);
    let item = NewItem {
        folder: FolderRole::Inbox.into(),
        delivered: true,
        class: ItemClass::default(),
        content: ItemContent {
            prefix: b"Return-Path: <somebody.else@example.org>\r\n".to_vec(),
            body,
            summary: Summary {
                subject: format!("Re: minutes of the meeting of the {n}th"),
                from: "Somebody Else <somebody.else@example.org>".into(),
                to: "Alice Example <alice@demo.example>".into(),
                preview: "Dear all, please find below the minutes of our meeting. ".repeat(2),
                ..Summary::default()
            },
        },
        received: at,
        flags: Flags::NONE,
        keywords: [].into(),
        categories: [].into(),
        conversation: ConversationId(u128::from(n)),
        creator: None,
        properties: [].into(),
    };
    let acceptance = Acceptance {
        id: AcceptId::from_u128(u128::from(n) << 64 | 0x1234_5678),
        at,
        origin: Origin::new(Protocol::Smtp, "192.0.2.1"),
        deliveries: vec![Delivery {
            mailbox,
            recipient: "alice@demo.example".parse().unwrap(),
            item,
        }],
        tasks: vec![],
        counters: vec![],
    };
    let _alone = match turn {
        Some(turn) => Some(turn.lock().await),
        None => None,
    };
    store.accept(acceptance).await.unwrap();
}
