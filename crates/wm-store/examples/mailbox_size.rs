//! What a mailbox of a given size costs: octets on disk, memory, and the time of the calls that a
//! client waits for, beside a mailbox of a hundredth of that size.
//!
//! `cargo run --release -p wm-store --features sled,redb --example mailbox_size -- redb 1000000 [OCTETS]`
//!
//! Mailboxes are filled as an import fills them, without syncing; everything is measured on the store
//! as it is opened again, synced. Messages have so many octets, 5,000 unless said otherwise.
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
    ops::Range,
    path::Path,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use wm_core::{
    AcceptId, ConversationId, FolderId, ItemId, MailboxId, MailboxRef, OrganizationId, Timestamp,
    model::{Flags, FolderRole, ItemClass, Origin, Protocol, Summary},
    traits::{
        Acceptance, Changeset, Delivery, Expect, ItemContent, ItemList, ItemUpdate, ListBy,
        MailboxSearch, MailboxStore, Mode, NewItem, Operation, Outcome, SearchQuery, Spool, Term,
    },
};
use wm_store::{
    Store, StoreParts,
    engine::{Engine, EngineOptions, Redb, Sled, SyncPolicy},
    segment::Directory,
};

const MAILBOX: MailboxRef = MailboxRef {
    organization: OrganizationId::from_u128(1),
    mailbox: MailboxId::from_u128(1),
};
const AT: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// Items put in by one commit, as by an import.
const BATCH: u64 = 100;
const WRITERS: u64 = 4;
/// How often a call is timed.
const CALLS: usize = 201;
/// What the criterion allows, besides: octets for an item.
const ALLOWED: f64 = 600.0;

/// The environment variable that says which directory to fill, to the process that fills it.
const FILL: &str = "WM_MAILBOX_SIZE_FILL";

fn main() {
    let mut arguments = env::args().skip(1);
    let engine = arguments.next().unwrap_or_else(|| "redb".into());
    let mut number = |default| arguments.next().map_or(default, |n| n.parse().unwrap());
    let items: u64 = number(10_000);
    let octets: usize = number(5_000) as usize;
    if let Some(path) = env::var_os(FILL) {
        return fill(Path::new(&path), &engine, items, octets);
    }

    let large = Measured::new(&engine, items, octets);
    large.warm_up();
    println!("resident {} MB", resident() >> 20);
    let small = Measured::new(&engine, (items / 100).max(BATCH * WRITERS), octets);
    small.warm_up();
    compare(&small, &large);
    search(&small);
}

/// Makes a store with a mailbox of so many items, as an import does, and packs it.
fn fill(path: &Path, engine: &str, items: u64, octets: usize) {
    let begun = Instant::now();
    let store = open(path, engine, SyncPolicy::Off);
    block_on(store.create(MAILBOX, AT)).unwrap();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, share) = (&store, items / WRITERS);
            let all = writer * share..(writer + 1) * share;
            scope.spawn(move || {
                for from in all.clone().step_by(BATCH as usize) {
                    let some = from..(from + BATCH).min(all.end);
                    block_on(import(store, some, octets));
                }
            });
        }
    });
    println!(
        "{engine}, {items} items of {octets} octets, filled in {:.1?}",
        begun.elapsed()
    );
    print_sizes("as filled", path, items, octets);
    let begun = Instant::now();
    block_on(store.pack()).unwrap();
    println!("packed in {:.1?}", begun.elapsed());
    drop(store);
    print_sizes("packed", path, items, octets);
}

/// A store with one mailbox.
struct Measured {
    store: Store,
    folder: FolderId,
    item: ItemId,
    octets: usize,
    items: u64,
    _directory: TempDir,
}

impl Measured {
    /// A store that another process fills, so that this one's memory is that of opening and using it.
    fn new(engine: &str, items: u64, octets: usize) -> Self {
        let directory = tempfile::tempdir_in(".").unwrap();
        let path = directory.path();
        let filled = Command::new(env::current_exe().unwrap())
            .args([engine, &items.to_string(), &octets.to_string()])
            .env(FILL, path)
            .status();
        assert!(filled.unwrap().success());
        let begun = Instant::now();
        let store = open(path, engine, SyncPolicy::Durable);
        println!("opened in {:.1?}", begun.elapsed());
        let folder = block_on(store.folders(MAILBOX)).unwrap()[0].id;
        let item = block_on(store.items(MAILBOX, newest(folder)))
            .unwrap()
            .entries[0]
            .id;
        Self {
            store,
            folder,
            item,
            octets,
            items,
            _directory: directory,
        }
    }

    fn open_mailbox(&self) {
        let folders = block_on(self.store.folders(MAILBOX)).unwrap();
        assert!(folders[0].total >= self.items / WRITERS * WRITERS);
    }

    fn list_newest(&self) {
        let page = block_on(self.store.items(MAILBOX, newest(self.folder))).unwrap();
        assert_eq!(page.entries.len(), 50);
    }

    fn change_flag(&self, turn: u64) {
        let (set, clear) = match turn.is_multiple_of(2) {
            true => (Flags::READ, Flags::NONE),
            false => (Flags::NONE, Flags::READ),
        };
        let update = ItemUpdate {
            set,
            clear,
            ..ItemUpdate::default()
        };
        let operation = Operation::UpdateItem {
            item: self.item,
            expect: Expect::default(),
            update,
        };
        block_on(self.store.apply(MAILBOX, changes(vec![operation]))).unwrap();
    }

    fn deliver(&self, turn: u64) {
        block_on(deliver(&self.store, 1 << 60 | turn, self.octets));
    }

    /// All that is measured, once, and the list of all UIDs.
    fn warm_up(&self) {
        for turn in 0..20 {
            self.open_mailbox();
            self.list_newest();
            self.change_flag(turn);
            self.deliver(1 << 40 | turn);
        }
        let begun = Instant::now();
        let uids = block_on(self.store.uids(MAILBOX, self.folder)).unwrap().1;
        println!("{} UIDs in {:.1?}", uids.len(), begun.elapsed());
    }
}

/// A call that is timed; it is told how many came before.
type Call = fn(&Measured, u64);

/// Times each call by turns on both, so that what else the machine does is the same for both.
fn compare(small: &Measured, large: &Measured) {
    let calls: [(&str, Call); 4] = [
        ("opening", |it, _| it.open_mailbox()),
        ("newest 50", |it, _| it.list_newest()),
        ("flag change", Measured::change_flag),
        ("delivery", Measured::deliver),
    ];
    for (what, call) in calls {
        let mut times = [Vec::new(), Vec::new()];
        for turn in 0..CALLS as u64 {
            for (measured, times) in [small, large].into_iter().zip(&mut times) {
                let begun = Instant::now();
                call(measured, turn);
                times.push(begun.elapsed());
            }
        }
        let [few, many] = times.map(median);
        println!(
            "{what:<12} {few:>9.1?} with {} items, {many:>9.1?} with {}: {:.2} times",
            small.items,
            large.items,
            many.as_secs_f64() / few.as_secs_f64()
        );
    }
}

/// Times a search that finds nothing, and so looks at every item.
fn search(measured: &Measured) {
    for (what, term) in [
        ("subjects", Term::Subject("nowhere".into())),
        ("texts", Term::Body("nowhere".into())),
    ] {
        let query = SearchQuery {
            terms: vec![term],
            ..SearchQuery::default()
        };
        let begun = Instant::now();
        let hits = block_on(measured.store.search(MAILBOX, query, 1)).unwrap();
        assert!(hits.is_empty());
        println!(
            "searched the {what} of {} items in {:.1?}",
            measured.items,
            begun.elapsed()
        );
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn open(path: &Path, engine: &str, sync: SyncPolicy) -> Store {
    let options = EngineOptions::default().with_sync(sync);
    let at = path.join("engine");
    let engine: Arc<dyn Engine> = match engine {
        "sled" => Arc::new(Sled::open(at, options).unwrap()),
        "redb" => Arc::new(Redb::open(at, options).unwrap()),
        other => panic!("no engine {other}"),
    };
    let mut parts = StoreParts::in_directory(path, engine).unwrap();
    if sync == SyncPolicy::Off {
        parts.bodies = Arc::new(Directory::open(path.join("bodies")).unwrap().without_sync());
    }
    Store::open(parts).unwrap()
}

async fn import(store: &Store, numbers: Range<u64>, octets: usize) {
    let mut operations = Vec::new();
    for n in numbers {
        operations.push(Operation::AddItem(message(store, n, octets).await));
    }
    store.apply(MAILBOX, changes(operations)).await.unwrap();
}

async fn deliver(store: &Store, n: u64, octets: usize) {
    let item = message(store, n, octets).await;
    let acceptance = Acceptance {
        id: AcceptId::from_u128(u128::from(n) << 64 | 0x1234_5678),
        at: AT,
        origin: Origin::new(Protocol::Smtp, "192.0.2.1"),
        deliveries: vec![Delivery {
            mailbox: MAILBOX,
            recipient: "alice@demo.example".parse().unwrap(),
            item,
        }],
        tasks: vec![],
        counters: vec![],
    };
    let accepted = store.accept(acceptance).await.unwrap();
    assert!(matches!(accepted.deliveries[..], [Outcome::Item { .. }]));
}

async fn message(store: &Store, n: u64, octets: usize) -> NewItem {
    let mut writer = MailboxStore::body_writer(store, MAILBOX.organization)
        .await
        .unwrap();
    let mut content = format!("Message-ID: <{n}@example.org>\r\n").into_bytes();
    content.resize(octets, b'x');
    writer.write(Bytes::from(content)).await.unwrap();
    let body = writer.finish().await.unwrap();
    let summary = Summary {
        subject: format!("Re: minutes of the meeting of the {n}th"),
        from: "Somebody Else <somebody.else@example.org>".into(),
        to: "Alice Example <alice@demo.example>".into(),
        sent: Some(AT),
        message_id: Some(format!("{n}.7f3a9c@mail.example.org")),
        has_attachments: false,
        preview: "Dear all, please find below the minutes of our last meeting. ".repeat(2),
    };
    NewItem {
        folder: FolderRole::Inbox.into(),
        delivered: true,
        class: ItemClass::default(),
        content: ItemContent {
            prefix: b"Return-Path: <somebody.else@example.org>\r\n".to_vec(),
            body,
            summary,
        },
        received: Timestamp::from_seconds(AT.as_seconds() + (n & 0xffff_ffff) as i64),
        flags: Flags::NONE,
        keywords: [].into(),
        categories: [].into(),
        conversation: ConversationId(u128::from(n) << 64 | 0x9e37_79b9_7f4a_7c15),
        creator: None,
        properties: [].into(),
    }
}

fn newest(folder: FolderId) -> ItemList {
    ItemList {
        folder,
        by: ListBy::Received {
            from: None,
            until: None,
        },
        descending: true,
        after: None,
        limit: 50,
    }
}

fn changes(operations: Vec<Operation>) -> Changeset {
    Changeset {
        origin: Origin::new(Protocol::Imap, "measure"),
        at: AT,
        mode: Mode::AllOrNothing,
        operations,
    }
}

/// Octets on disk an item, beside what the criterion allows.
fn print_sizes(when: &str, path: &Path, items: u64, octets: usize) {
    let per_item = |part: &str| size(&path.join(part)) as f64 / items as f64;
    let parts = ["bodies", "engine", "journal"].map(per_item);
    let all = size(path) as f64 / items as f64;
    println!(
        "{when}: {all:.0} octets an item (bodies {:.0}, engine {:.0}, journal {:.0}), {:.0} allowed",
        parts[0],
        parts[1],
        parts[2],
        1.3 * octets as f64 + ALLOWED
    );
}

fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            true => size(&path),
            false => path.metadata().unwrap().len(),
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
