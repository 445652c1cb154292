//! What a mailbox of a given size costs: octets on disk, memory, and the time of the calls that a
//! client waits for.
//!
//! `cargo run --release -p wm-store --features sled,redb --example mailbox_size -- redb 100000`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

use bytes::Bytes;
use futures::executor::block_on;
use std::{
    env, fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use wm_core::{
    AcceptId, ConversationId, MailboxId, MailboxRef, OrganizationId, Timestamp, Uid,
    model::{Flags, FolderRole, ItemClass, Origin, Protocol, Summary},
    traits::{
        Acceptance, Body, Changeset, Delivery, Expect, ItemContent, ItemList, ItemUpdate, ListBy,
        MailboxStore, Mode, NewItem, Operation, Outcome, Spool,
    },
};
use wm_store::{
    Store, StoreParts,
    engine::{Engine, EngineOptions, Redb, Sled, SyncPolicy},
    segment::Directory,
};

const WRITERS: u64 = 64;
const MESSAGE: usize = 5_000;

fn main() {
    let mut arguments = env::args().skip(1);
    let engine = arguments.next().unwrap_or_else(|| "redb".into());
    let items: u64 = arguments.next().map_or(10_000, |n| n.parse().unwrap());
    let synced = arguments.next().as_deref() != Some("unsynced");

    let directory = tempfile::tempdir_in(".").unwrap();
    let path = directory.path();
    let store = open(path, &engine, synced);
    let mailbox = MailboxRef {
        organization: OrganizationId::from_u128(1),
        mailbox: MailboxId::from_u128(1),
    };
    let begun = Instant::now();
    let rounds = items / WRITERS;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                for n in 0..rounds {
                    block_on(deliver(store, mailbox, writer << 32 | n));
                }
            });
        }
    });
    let took = begun.elapsed();
    let (groups, requests) = store.commits();
    println!("{engine}, {items} items of {MESSAGE} octets, synced: {synced}");
    println!(
        "{:.0} deliveries/s, {:.1} in a group",
        items as f64 / took.as_secs_f64(),
        requests as f64 / groups as f64
    );

    let engine_octets = size(&path.join("engine"));
    let body_octets = size(&path.join("bodies"));
    println!(
        "bodies {:.0} octets an item, engine {:.0}",
        per(body_octets, items),
        per(engine_octets, items)
    );
    println!("resident {} MB", resident() >> 20);

    let folder = block_on(store.folders(mailbox)).unwrap()[0].id;
    let newest = ItemList {
        folder,
        by: ListBy::Received {
            from: None,
            until: None,
        },
        descending: true,
        after: None,
        limit: 50,
    };
    time("folders", || {
        drop(block_on(store.folders(mailbox)).unwrap())
    });
    time("newest 50", || {
        drop(block_on(store.items(mailbox, newest.clone())).unwrap())
    });
    let item = block_on(store.items(mailbox, newest.clone()))
        .unwrap()
        .entries[0]
        .id;
    let mut on = false;
    time("flag change", || {
        on = !on;
        let (set, clear) = if on {
            (Flags::READ, Flags::NONE)
        } else {
            (Flags::NONE, Flags::READ)
        };
        let update = ItemUpdate {
            set,
            clear,
            ..ItemUpdate::default()
        };
        let operations = vec![Operation::UpdateItem {
            item,
            expect: Expect::default(),
            update,
        }];
        drop(block_on(store.apply(mailbox, changes(operations))).unwrap());
    });
    let mut n = 1 << 60;
    time("delivery", || {
        n += 1;
        block_on(deliver(&store, mailbox, n));
    });
    let state = block_on(store.mailbox(mailbox)).unwrap().highest_modseq;
    time("changes, none", || {
        drop(block_on(store.changes(mailbox, folder, state, 50)).unwrap())
    });
    let begun = Instant::now();
    let uids = block_on(store.uids(mailbox, folder)).unwrap().1.len();
    println!("{uids} uids in {:.0?}", begun.elapsed());
    println!("resident {} MB", resident() >> 20);
}

fn open(path: &Path, engine: &str, synced: bool) -> Store {
    let sync = if synced {
        SyncPolicy::Durable
    } else {
        SyncPolicy::Off
    };
    let options = EngineOptions::default().with_sync(sync);
    let at = path.join("engine");
    let engine: Arc<dyn Engine> = match engine {
        "sled" => Arc::new(Sled::open(at, options).unwrap()),
        "redb" => Arc::new(Redb::open(at, options).unwrap()),
        other => panic!("no engine {other}"),
    };
    let mut parts = StoreParts::in_directory(path, engine).unwrap();
    if !synced {
        parts.bodies = Arc::new(Directory::open(path.join("bodies")).unwrap().without_sync());
    }
    Store::open(parts).unwrap()
}

async fn deliver(store: &Store, mailbox: MailboxRef, n: u64) {
    let mut writer = Spool::body_writer(store, mailbox.organization)
        .await
        .unwrap();
    let mut content = format!("Message-ID: <{n}@example.org>\r\n").into_bytes();
    content.resize(MESSAGE, b'x');
    writer.write(Bytes::from(content)).await.unwrap();
    let body: Body = writer.finish().await.unwrap();
    let summary = Summary {
        subject: format!("Re: minutes of the meeting of the {n}th"),
        from: "Somebody Else <somebody.else@example.org>".into(),
        to: "Alice Example <alice@demo.example>".into(),
        sent: Some(Timestamp::from_seconds(1_800_000_000)),
        message_id: Some(format!("{n}.7f3a9c@mail.example.org")),
        has_attachments: false,
        preview: "Dear all, please find below the minutes of our last meeting. ".repeat(2),
    };
    let item = NewItem {
        folder: FolderRole::Inbox.into(),
        delivered: true,
        class: ItemClass::default(),
        content: ItemContent {
            prefix: b"Return-Path: <somebody.else@example.org>\r\n".to_vec(),
            body,
            summary,
        },
        received: Timestamp::from_seconds(1_800_000_000 + (n & 0xffff_ffff) as i64),
        flags: Flags::NONE,
        keywords: [].into(),
        categories: [].into(),
        conversation: ConversationId(u128::from(n)),
        creator: None,
        properties: [].into(),
    };
    let acceptance = Acceptance {
        id: AcceptId::from_u128(u128::from(n) << 64 | 0x1234_5678),
        at: Timestamp::from_seconds(1_800_000_000),
        origin: Origin::new(Protocol::Smtp, "192.0.2.1"),
        deliveries: vec![Delivery {
            mailbox,
            recipient: "alice@demo.example".parse().unwrap(),
            item,
        }],
        tasks: vec![],
        counters: vec![],
    };
    let accepted = store.accept(acceptance).await.unwrap();
    assert!(
        matches!(accepted.deliveries[..], [Outcome::Item { uid, .. }] if uid >= Uid::new(1).unwrap())
    );
}

fn changes(operations: Vec<Operation>) -> Changeset {
    Changeset {
        origin: Origin::new(Protocol::Imap, "measure"),
        at: Timestamp::from_seconds(1_800_000_000),
        mode: Mode::AllOrNothing,
        operations,
    }
}

/// Prints the median of a call's time.
fn time(what: &str, mut call: impl FnMut()) {
    let mut times: Vec<Duration> = (0..101)
        .map(|_| {
            let begun = Instant::now();
            call();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("{what:<14} {:>8.0?}", times[50]);
}

fn per(octets: u64, items: u64) -> f64 {
    octets as f64 / items as f64
}

fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                size(&path)
            } else {
                path.metadata().unwrap().len()
            }
        })
        .sum()
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4096
}
