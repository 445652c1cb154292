//! What is done to a store while the power is cut: writers deliver, flag, move and delete messages,
//! make users and keep protocol state, and beside them the store is compacted,
//! cleaned up and packed.
//!
//! Each change is noted when it is asked for and when it is acknowledged, one line each:
//! `try <id> <what> <numbers>` and `ok <id> <numbers>`. [`model`](crate::model) reads that.

use crate::common::{self, ACME, NOW, acceptance, delivery, mailbox, message};
use crate::power::Random;
use bytes::Bytes;
use futures::executor::block_on;
use std::{
    fmt::Display,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use wm_core::{
    AccountId, ItemId, ModSeq, Timestamp, UserId,
    contract::audit,
    model::{Flags, FolderRole, Names, Protocol, UserRole},
    traits::{
        Applied, Changeset, Directory, DirectoryAdmin, DirectoryChange, Expect, ItemUpdate,
        MailboxStore, Mode, NewOrganization, NewUser, Operation, Outcome, ProtocolState, Spool,
        StateKey, StateVersion,
    },
};
use wm_store::{
    Store,
    directory::{DirectoryOptions, StoredDirectory},
};

pub const MAILBOXES: u128 = 3;
/// Where items are moved to.
pub const ASIDE: FolderRole = FolderRole::Junk;
const WRITERS: usize = 4;
const STEPS: u128 = 25;

/// Who takes down what happens.
pub type Note<'a> = &'a (dyn Fn(String) + Sync);

/// Has writers work until they are done or told to end. `run` tells apart what is done on one store.
pub fn work(
    store: &Store,
    run: u128,
    seed: u64,
    note: Note<'_>,
    ended: &(dyn Fn() -> bool + Sync),
) {
    let directory = block_on(prepared(store));
    let writing = AtomicUsize::new(WRITERS);
    thread::scope(|scope| {
        for number in 0..WRITERS {
            let (directory, writing) = (&directory, &writing);
            let mut writer = Writer {
                store,
                directory,
                note,
                number: number as u128,
                random: Random::new(seed ^ (run as u64) << 16 ^ (number as u64) << 8),
                items: Vec::new(),
            };
            scope.spawn(move || {
                let _writing = Writing(writing);
                for step in 0..STEPS {
                    if !ended() {
                        let id = run << 64 | writer.number << 32 | step;
                        block_on(writer.step(id));
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut turn = seed ^ run as u64;
            while writing.load(Ordering::Relaxed) > 0 {
                turn += 1;
                block_on(maintain(store, turn.is_multiple_of(4), note));
            }
        });
    });
}

/// A writer that has not ended, be it by a panic.
struct Writing<'a>(&'a AtomicUsize);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn maintain(store: &Store, pack: bool, note: Note<'_>) {
    note("begin clean-up\n".to_owned());
    store.clean_up().await.unwrap();
    note("end clean-up\n".to_owned());
    note("begin compaction\n".to_owned());
    store.compact(10, |_, _| ()).await.unwrap();
    note("end compaction\n".to_owned());
    if pack {
        note("begin packing\n".to_owned());
        store.pack().await.unwrap();
        note("end packing\n".to_owned());
    }
    let at = store.mailbox(mailbox(0)).await;
    if let Ok(at) = at.map(|mailbox| mailbox.highest_modseq.0) {
        let horizon = ModSeq(at.saturating_sub(20));
        store.truncate(mailbox(0), horizon).await.unwrap();
    }
}

struct Writer<'a> {
    store: &'a Store,
    directory: &'a StoredDirectory,
    note: Note<'a>,
    number: u128,
    random: Random,
    /// What this writer delivered, and may still do: mailbox, item, whether it was flagged or moved.
    items: Vec<(u128, ItemId, bool)>,
}

impl Writer<'_> {
    async fn step(&mut self, id: u128) {
        match self.random.below(20) {
            0..10 => self.deliver(id, 1).await,
            10..12 => self.deliver(id, MAILBOXES).await,
            12..15 => self.flag(id).await,
            15 => self.put_aside(id).await,
            16..18 => self.delete(id).await,
            18 => self.add_user(id).await,
            _ => self.keep_state(id).await,
        }
    }

    fn tries(&self, id: u128, what: &str, numbers: &[u128]) {
        (self.note)(format!("try {id} {what}{}\n", joined(numbers)));
    }

    fn done(&self, id: u128, numbers: &[u128]) {
        (self.note)(format!("ok {id}{}\n", joined(numbers)));
    }

    /// One message to some mailboxes, in one acceptance.
    async fn deliver(&mut self, id: u128, count: u128) {
        let first = self.random.below(MAILBOXES as usize) as u128;
        let to: Vec<u128> = (0..count).map(|n| (first + n) % MAILBOXES).collect();
        self.tries(id, "deliver", &to);
        let body = common::write(self.store, &content(id)).await.unwrap();
        let deliveries = to
            .iter()
            .map(|n| delivery(mailbox(*n), message(body, "a subject")))
            .collect();
        let accepted = self.store.accept(acceptance(id, deliveries)).await.unwrap();
        let mut numbers = Vec::new();
        for (n, outcome) in to.iter().zip(&accepted.deliveries) {
            let (item, uid, modseq) = placed(outcome);
            numbers.extend([u128::from(item.0), uid, modseq]);
            self.items.push((*n, item, false));
        }
        self.done(id, &numbers);
    }

    /// Two items of a mailbox, in one changeset.
    async fn flag(&mut self, id: u128) {
        let Some(&(n, ..)) = self.items.iter().find(|(_, _, touched)| !touched) else {
            return;
        };
        let items = self.items.iter_mut();
        let some = items.filter(|(m, _, touched)| *m == n && !touched).take(2);
        let mut numbers = vec![n];
        let mut operations = Vec::new();
        for (_, item, touched) in some {
            *touched = true;
            numbers.push(u128::from(item.0));
            operations.push(Operation::UpdateItem {
                item: *item,
                expect: Expect::default(),
                update: ItemUpdate {
                    set: Flags::FLAGGED,
                    ..ItemUpdate::default()
                },
            });
        }
        self.tries(id, "flag", &numbers);
        let applied = self.apply(n, operations).await;
        self.done(id, &[u128::from(applied.modseq.0)]);
    }

    async fn put_aside(&mut self, id: u128) {
        let mut items = self.items.iter_mut();
        let Some((n, item, touched)) = items.find(|(_, _, touched)| !touched) else {
            return;
        };
        *touched = true;
        let (n, item) = (*n, *item);
        self.tries(id, "move", &[n, u128::from(item.0)]);
        let moved = Operation::MoveItem {
            item,
            expect: Expect::default(),
            to: ASIDE.into(),
        };
        let applied = self.apply(n, vec![moved]).await;
        let (_, uid, modseq) = placed(&applied.outcomes[0]);
        self.done(id, &[uid, modseq]);
    }

    async fn delete(&mut self, id: u128) {
        if self.items.is_empty() {
            return;
        }
        let chosen = self.random.below(self.items.len());
        let (n, item, _) = self.items.swap_remove(chosen);
        self.tries(id, "delete", &[n, u128::from(item.0)]);
        let delete = Operation::DeleteItem {
            item,
            expect: Expect::default(),
        };
        let applied = self.apply(n, vec![delete]).await;
        self.done(id, &[u128::from(applied.modseq.0)]);
    }

    async fn add_user(&mut self, id: u128) {
        self.tries(id, "user", &[]);
        let user = NewUser {
            id: UserId::from_u128(id),
            name: format!("user{id}"),
            names: Names::default(),
            role: UserRole::System,
            password: None,
            at: NOW,
        };
        let change = DirectoryChange::CreateUser(user);
        let changed = self.directory.change(ACME, change, audit("CreateUser"));
        changed.await.unwrap();
        self.done(id, &[]);
    }

    async fn keep_state(&mut self, id: u128) {
        let key = state_key(self.number);
        self.tries(id, "state", &[self.number]);
        let present = self.store.load(&key, NOW).await.unwrap();
        let version = present.map(|record| record.version);
        let value = Bytes::from(id.to_string());
        let stored = self.store.store(&key, version, value, Timestamp::MAX, NOW);
        let StateVersion(version) = stored.await.unwrap();
        self.done(id, &[version.into()]);
    }

    async fn apply(&self, n: u128, operations: Vec<Operation>) -> Applied {
        let changes = Changeset {
            origin: acceptance(0, vec![]).origin,
            at: NOW,
            mode: Mode::AllOrNothing,
            operations,
        };
        self.store.apply(mailbox(n), changes).await.unwrap()
    }
}

/// What the message of this number says: of any size, and no two alike.
pub fn content(id: u128) -> Vec<u8> {
    let mut random = Random::new(id as u64 ^ (id >> 64) as u64);
    let size = match random.below(8) {
        0 => random.below(150_000),
        _ => random.below(3_000),
    };
    let text = format!("{id} {} ", random.below(1 << 30));
    text.repeat(size / text.len() + 1).into_bytes()
}

pub fn state_key(writer: u128) -> StateKey {
    StateKey {
        mailbox: mailbox(0),
        protocol: Protocol::Ews,
        client: writer.to_string(),
        name: String::new(),
    }
}

pub async fn open_directory(store: &Store) -> StoredDirectory {
    let mut options = DirectoryOptions::default();
    options.cost.memory = 8;
    StoredDirectory::open(store, options).await.unwrap()
}

async fn prepared(store: &Store) -> StoredDirectory {
    let directory = open_directory(store).await;
    if directory.organization(ACME).await.unwrap().is_none() {
        let organization = NewOrganization {
            id: ACME,
            account: AccountId::from_u64(42).unwrap(),
            alias: "acme".parse().unwrap(),
            test_domain: "acme.test.example".parse().unwrap(),
            at: NOW,
        };
        directory
            .create_organization(organization, audit("Create"))
            .await
            .unwrap();
    }
    directory
}

fn placed(outcome: &Outcome) -> (ItemId, u128, u128) {
    match outcome {
        Outcome::Item {
            item, uid, modseq, ..
        } => (*item, uid.as_u32().into(), modseq.0.into()),
        other => panic!("{other:?}"),
    }
}

fn joined(numbers: &[impl Display]) -> String {
    numbers.iter().map(|number| format!(" {number}")).collect()
}
