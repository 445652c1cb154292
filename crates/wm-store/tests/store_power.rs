//! What a whole store on disk has after the power went: every message, flag, user and protocol
//! record that was acknowledged, once, unaltered, under the number it was given.
//!
//! `WM_POWER_CUTS` and `WM_POWER_SEED` choose how many cuts are made and which.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs
)]

mod common;
mod power;

use bytes::Bytes;
use common::{ENGINES, NOW, acceptance, deliver, mailbox};
use futures::executor::block_on;
use power::Random;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    panic::catch_unwind,
    path::Path,
    sync::Mutex,
    thread,
};
use wm_core::{
    AccountId, ItemId, Timestamp, Uid, UserId,
    contract::audit,
    model::{Flags, Names, Protocol, UserRole},
    traits::{
        Changeset, Directory, DirectoryAdmin, DirectoryChange, Expect, ItemUpdate, MailboxStore,
        Mode, NewOrganization, NewUser, Operation, ProtocolState, StateKey, StateVersion,
    },
};
use wm_store::{
    Store,
    directory::{DirectoryOptions, StoredDirectory},
};

const WRITERS: u128 = 4;
const STEPS: u128 = 25;
const MAILBOXES: u128 = 3;

/// The server's engine.
#[test]
fn a_store_on_redb_keeps_what_it_acknowledged() {
    let outcome = power::campaign("redb", power::cuts(40), |left, notes| {
        block_on(check(left, 1, &Notes::parse(notes)))
    });
    assert_eq!(outcome.failures, Vec::<String>::new());
}

/// What a writer did, as it is noted when that was acknowledged.
#[derive(Default)]
struct Notes {
    delivered: BTreeMap<u128, (u128, ItemId, Uid)>,
    flagged: BTreeSet<u128>,
    users: BTreeSet<u128>,
    states: BTreeMap<u128, u64>,
}

impl Notes {
    fn parse(notes: &[u8]) -> Self {
        let mut parsed = Self::default();
        for line in str::from_utf8(notes).unwrap().lines() {
            let (kind, numbers) = line.split_once(' ').unwrap();
            let numbers: Vec<u128> = numbers.split(' ').map(|it| it.parse().unwrap()).collect();
            match (kind, &numbers[..]) {
                ("deliver", &[id, mailbox, item, uid]) => {
                    let uid = Uid::new(uid as u32).unwrap();
                    parsed
                        .delivered
                        .insert(id, (mailbox, ItemId(item as u64), uid));
                }
                ("flag", &[id]) => drop(parsed.flagged.insert(id)),
                ("user", &[id]) => drop(parsed.users.insert(id)),
                ("state", &[writer, version]) => drop(parsed.states.insert(writer, version as u64)),
                _ => panic!("{line}"),
            }
        }
        parsed
    }
}

/// Opens what was left and looks for what is missing, altered or there twice.
async fn check(left: &Path, engine: usize, notes: &Notes) -> Result<(), String> {
    if !left.join("engine").exists() {
        // Cut before there was a store.
        return match notes.delivered.is_empty() {
            true => Ok(()),
            false => Err("the store is gone".into()),
        };
    }
    let open = || common::open(left, ENGINES[engine]);
    let store = catch_unwind(open).map_err(|_| "the store does not open")?;
    let found = store
        .check(|_, _| ())
        .await
        .map_err(|error| error.to_string())?;
    if let Some(finding) = found.findings.first() {
        return Err(format!("{}: {}", finding.what, found.findings.len()));
    }
    let missing = |what: &str, error: &dyn std::error::Error| Err(format!("{what}: {error}"));
    for (id, (n, item, uid)) in &notes.delivered {
        let what = format!("message {id}, item {item} of mailbox {n}");
        match common::read(&store, mailbox(*n), *item).await {
            Ok(read) if read.ends_with(&content(*id)) => {}
            Ok(_) => return Err(format!("{what} is altered")),
            Err(error) => return missing(&what, &error),
        }
        match store.item(mailbox(*n), *item).await {
            Ok(stored) if stored.uid != *uid => return Err(format!("{what} had UID {uid}")),
            Ok(stored) if notes.flagged.contains(id) && stored.flags != Flags::FLAGGED => {
                return Err(format!("{what} has lost its flag"));
            }
            Ok(_) => {}
            Err(error) => return missing(&what, &error),
        }
    }
    let directory = open_directory(&store).await;
    for id in &notes.users {
        let user = directory.user(common::ACME, UserId::from_u128(*id)).await;
        if !matches!(user, Ok(Some(_))) {
            return Err(format!("user {id}: {user:?}"));
        }
    }
    for (writer, version) in &notes.states {
        let record = store.load(&state_key(*writer), NOW).await;
        let found = record.map(|record| record.map(|record| record.version.0));
        if !matches!(found, Ok(Some(found)) if found >= *version) {
            return Err(format!("state of {writer} was at {version}: {found:?}"));
        }
    }
    Ok(())
}

#[test]
#[ignore = "the process that the power is cut for"]
fn workload() {
    let (_, root) = power::run();
    let notes = Mutex::new(power::notes(&root));
    let note = |text: String| notes.lock().unwrap().write_all(text.as_bytes()).unwrap();
    let store = common::open(&root, ENGINES[1]);
    let directory = block_on(async {
        let directory = open_directory(&store).await;
        if directory
            .organization(common::ACME)
            .await
            .unwrap()
            .is_none()
        {
            directory
                .create_organization(organization(), audit("Create"))
                .await
                .unwrap();
        }
        directory
    });
    // Numbers that no run before this one has used.
    let run = block_on(directory.users(common::ACME)).unwrap().len() as u128;
    let run = run.max(block_on(items(&store)) as u128) + 1;

    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, directory, note) = (&store, &directory, &note);
            scope.spawn(move || {
                for step in 0..STEPS {
                    let id = run << 64 | writer << 32 | step;
                    block_on(work(store, directory, writer, id, note));
                }
            });
        }
    });
}

async fn work(
    store: &Store,
    directory: &StoredDirectory,
    writer: u128,
    id: u128,
    note: &(dyn Fn(String) + Sync),
) {
    let n = id % MAILBOXES;
    let (item, uid) = deliver(store, id, mailbox(n), &content(id)).await.unwrap();
    note(format!("deliver {id} {n} {} {}\n", item.0, uid.as_u32()));
    match id % 8 {
        0 | 4 => {
            let flags = Operation::UpdateItem {
                item,
                expect: Expect::default(),
                update: ItemUpdate {
                    set: Flags::FLAGGED,
                    ..ItemUpdate::default()
                },
            };
            let changes = Changeset {
                origin: acceptance(0, vec![]).origin,
                at: NOW,
                mode: Mode::AllOrNothing,
                operations: vec![flags],
            };
            store.apply(mailbox(n), changes).await.unwrap();
            note(format!("flag {id}\n"));
        }
        1 => {
            let change = DirectoryChange::CreateUser(user(id));
            directory
                .change(common::ACME, change, audit("CreateUser"))
                .await
                .unwrap();
            note(format!("user {id}\n"));
        }
        2 | 6 => {
            let key = state_key(writer);
            let present = store
                .load(&key, NOW)
                .await
                .unwrap()
                .map(|record| record.version);
            let value = Bytes::from(content(id));
            let stored = store.store(&key, present, value, Timestamp::MAX, NOW).await;
            let StateVersion(version) = stored.unwrap();
            note(format!("state {writer} {version}\n"));
        }
        _ => {}
    }
}

/// What the message of this number says: of any size, and no two alike.
fn content(id: u128) -> Vec<u8> {
    let mut random = Random::new(id as u64 ^ (id >> 64) as u64);
    let size = match random.below(10) {
        0 => random.below(200_000),
        _ => random.below(6_000),
    };
    let text = format!("{id} {} ", random.below(1 << 30));
    text.bytes().cycle().take(size + text.len()).collect()
}

async fn items(store: &Store) -> usize {
    let mut count = 0;
    for n in 0..MAILBOXES {
        if let Ok(folders) = store.folders(mailbox(n)).await {
            for folder in folders {
                count += store.uids(mailbox(n), folder.id).await.unwrap().1.len();
            }
        }
    }
    count
}

async fn open_directory(store: &Store) -> StoredDirectory {
    let mut options = DirectoryOptions::default();
    options.cost.memory = 8;
    StoredDirectory::open(store, options).await.unwrap()
}

fn organization() -> NewOrganization {
    NewOrganization {
        id: common::ACME,
        account: AccountId::from_u64(42).unwrap(),
        alias: "acme".parse().unwrap(),
        test_domain: "acme.test.example".parse().unwrap(),
        at: NOW,
    }
}

fn user(id: u128) -> NewUser {
    NewUser {
        id: UserId::from_u128(id),
        name: format!("user{id}"),
        names: Names::default(),
        role: UserRole::System,
        password: None,
        at: NOW,
    }
}

fn state_key(writer: u128) -> StateKey {
    StateKey {
        mailbox: mailbox(0),
        protocol: Protocol::Ews,
        client: writer.to_string(),
        name: String::new(),
    }
}
