//! One flipped byte, wherever it is: a check names what it belongs to, and everything else stays
//! readable.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use bytes::Bytes;
use common::{NOW, mailbox};
use futures::executor::block_on;
use std::{collections::BTreeSet, sync::Arc};
use wm_core::{
    ItemId, MailboxRef, Timestamp,
    contract::operation_at,
    model::{FolderClass, Protocol},
    traits::{MailboxStore, NewFolder, Operation, ProtocolState, StateKey},
};
use wm_store::{
    Finding, Store, StoreParts,
    engine::{Batch, Direction, Engine, KeyRange},
    segment::{Files, MIN_SEGMENT_SIZE, MemoryFiles},
};

/// The bytes of a key before the kind of a mailbox's record, and of an item's key.
const KIND: usize = 33;

#[test]
fn a_flipped_byte_in_any_sealed_value_is_named_and_everything_else_is_readable() {
    let (store, engine, _, items) = filled();
    let entries: Vec<_> = {
        let snapshot = engine.snapshot().unwrap();
        let entries = snapshot.scan(KeyRange::all(), Direction::Forward);
        entries
            .map(Result::unwrap)
            .filter(|(_, value)| value.len() >= 45)
            .collect()
    };
    let mut kinds = BTreeSet::new();
    for (nth, (key, value)) in entries.into_iter().enumerate() {
        // Now in the head of the sealed value, now in what it says, now in its tag.
        let at = [0, 5, value.len() / 2, value.len() - 1][nth % 4];
        let mut flipped = value.to_vec();
        flipped[at] ^= 1;
        put(&*engine, &key, flipped);
        let report = block_on(store.check(|_, _| ())).unwrap();
        let named = report.findings;
        let what = format!("{}, byte {at}: {named:?}", key.escape_ascii());
        assert!(!named.is_empty(), "{what}");
        kinds.insert((key[16], (key[16] == b'm').then(|| key[KIND])));
        let lost = match key[16] {
            b'm' => {
                let owner = of(&key[17..KIND]);
                let item = (key[KIND] == b'i').then(|| number(&key[KIND + 1..]));
                assert_eq!(named.len(), 1, "{what}");
                assert_eq!(
                    (named[0].mailbox, named[0].item),
                    (Some(owner), item),
                    "{what}"
                );
                item.map(|item| (owner, item)).into_iter().collect()
            }
            // Where a body is: whoever has it is named.
            b'b' => {
                let lost: BTreeSet<_> = named.iter().filter_map(whose).collect();
                assert!(!lost.is_empty(), "{what}");
                lost
            }
            _ => {
                assert_eq!(
                    named[0].organization.unwrap().as_u128().to_be_bytes(),
                    key[..16]
                );
                BTreeSet::new()
            }
        };
        assert_others_are_readable(&store, &items, &lost, &what);
        put(&*engine, &key, value.to_vec());
    }
    let mailboxes: String = kinds
        .iter()
        .filter_map(|(_, kind)| *kind)
        .map(char::from)
        .collect();
    assert_eq!(mailboxes, "cefim", "every kind of record was damaged");
    assert_eq!(block_on(store.check(|_, _| ())).unwrap().findings, []);
}

#[test]
fn a_flipped_byte_in_any_body_is_named_with_all_who_have_it() {
    let (store, _, files, items) = filled();
    let names = files.names().unwrap();
    assert_eq!(names.len(), 1);
    let segment = files.open(&names[0], true).unwrap();
    let size = segment.size().unwrap();
    let mut found = BTreeSet::new();
    for at in (16..2000).step_by(97).chain((2000..size).step_by(997)) {
        let mut byte = [0];
        segment.read_at(&mut byte, at).unwrap();
        segment.write_at(&[byte[0] ^ 1], at).unwrap();
        let report = block_on(store.check(|_, _| ())).unwrap();
        assert!(report.torn > 0, "byte {at}: {report:?}");
        // Nobody has what a second writing of the same content left.
        let lost: BTreeSet<_> = report
            .findings
            .iter()
            .map(|it| whose(it).unwrap())
            .collect();
        assert_others_are_readable(&store, &items, &lost, &format!("byte {at}"));
        found.extend(lost);
        segment.write_at(&byte, at).unwrap();
    }
    assert_eq!(found.len(), items.len(), "every item was hit");
}

fn whose(finding: &Finding) -> Option<(MailboxRef, ItemId)> {
    finding.mailbox.zip(finding.item)
}

fn assert_others_are_readable(
    store: &Store,
    items: &[(MailboxRef, ItemId, String)],
    lost: &BTreeSet<(MailboxRef, ItemId)>,
    what: &str,
) {
    for (mailbox, item, content) in items {
        let read = block_on(common::read(store, *mailbox, *item));
        match lost.contains(&(*mailbox, *item)) {
            true => assert!(read.is_err(), "{what}: {item} is named and can be read"),
            false => assert!(read.unwrap().ends_with(content.as_bytes()), "{what}"),
        }
    }
    for mailbox in [mailbox(1), mailbox(2)] {
        let folders = block_on(store.folders(mailbox)).unwrap();
        assert_eq!(folders.len(), 14, "{what}");
    }
}

fn put(engine: &dyn Engine, key: &Bytes, value: Vec<u8>) {
    let mut batch = Batch::new();
    batch.put(key.clone(), value);
    engine.commit(batch).unwrap();
}

fn of(id: &[u8]) -> MailboxRef {
    mailbox(u128::from_be_bytes(id.try_into().unwrap()))
}

fn number(bytes: &[u8]) -> ItemId {
    ItemId(u64::from_be_bytes(bytes.try_into().unwrap()))
}

type Filled = (
    Store,
    Arc<dyn Engine>,
    Arc<MemoryFiles>,
    Vec<(MailboxRef, ItemId, String)>,
);

/// Two mailboxes with messages of their own and one that both have.
fn filled() -> Filled {
    let files = Arc::new(MemoryFiles::new());
    let parts = StoreParts {
        bodies: files.clone(),
        segment_size: MIN_SEGMENT_SIZE,
        ..StoreParts::in_memory().unwrap()
    };
    let engine = parts.engine.clone();
    let store = Store::open(parts).unwrap();
    let mut items = Vec::new();
    let contents = [
        (1, "short".to_owned()),
        (1, "shared ".repeat(30)),
        (2, "shared ".repeat(30)),
        (2, "long ".repeat(14_000)),
    ];
    block_on(async {
        for (id, (n, content)) in (1..).zip(contents) {
            let delivered = common::deliver(&store, id, mailbox(n), content.as_bytes()).await;
            items.push((mailbox(n), delivered.unwrap().0, content));
        }
        for n in [1, 2] {
            let folder = Operation::CreateFolder(NewFolder {
                parent: None,
                name: "of my own".into(),
                class: FolderClass::Mail,
            });
            let changes = operation_at(NOW.as_seconds(), vec![folder]);
            store.apply(mailbox(n), changes).await.unwrap();
        }
        let key = StateKey {
            mailbox: mailbox(1),
            protocol: Protocol::ActiveSync,
            client: "phone".into(),
            name: "sync/1".into(),
        };
        let value = Bytes::from_static(b"state");
        ProtocolState::store(&store, &key, None, value, Timestamp::MAX, NOW)
            .await
            .unwrap();
    });
    (store, engine, files, items)
}
