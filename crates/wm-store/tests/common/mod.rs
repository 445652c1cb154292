//! Stores for the tests, over each engine, and messages to put into them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]

use bytes::Bytes;
use futures::TryStreamExt;
use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;
use wm_core::{
    AcceptId, BodyId, ConversationId, ItemId, MailboxId, MailboxRef, OrganizationId, Timestamp,
    model::{Flags, FolderRole, ItemClass, Origin, Protocol, Summary},
    traits::{
        Acceptance, Body, BodyWriter, Delivery, ItemContent, MailboxStore, NewItem, Outcome, Spool,
        SpoolError, StoreError,
    },
};
use wm_store::{
    Store, StoreParts,
    engine::{Engine, EngineOptions, Redb, Sled},
    segment::MIN_SEGMENT_SIZE,
};

pub const ACME: OrganizationId = OrganizationId::from_u128(0xac);
pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// An engine in the directory given.
pub type OpenEngine = fn(PathBuf) -> Arc<dyn Engine>;

pub const ENGINES: [OpenEngine; 2] = [
    |path| Arc::new(Sled::open(path, EngineOptions::default()).unwrap()),
    |path| Arc::new(Redb::open(path, EngineOptions::default()).unwrap()),
];

/// A store in a directory that goes with it.
pub struct OnDisk {
    pub store: Store,
    pub directory: TempDir,
}

pub fn memory() -> Store {
    Store::open(StoreParts::in_memory().unwrap()).unwrap()
}

pub fn sled() -> OnDisk {
    on_disk(ENGINES[0])
}

pub fn redb() -> OnDisk {
    on_disk(ENGINES[1])
}

pub fn on_disk(engine: OpenEngine) -> OnDisk {
    let directory = tempfile::tempdir().unwrap();
    OnDisk {
        store: open(directory.path(), engine),
        directory,
    }
}

/// Opens the store in a directory, again or for the first time.
pub fn open(directory: &Path, engine: OpenEngine) -> Store {
    let parts = StoreParts::in_directory(directory, engine(directory.join("engine"))).unwrap();
    Store::open(StoreParts {
        segment_size: MIN_SEGMENT_SIZE,
        ..parts
    })
    .unwrap()
}

impl Deref for OnDisk {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

pub fn mailbox(n: u128) -> MailboxRef {
    MailboxRef {
        organization: ACME,
        mailbox: MailboxId::from_u128(n),
    }
}

pub async fn write(store: &Store, content: &[u8]) -> Result<Body, StoreError> {
    let mut writer: Box<dyn BodyWriter> = MailboxStore::body_writer(store, ACME).await?;
    for piece in content.chunks(40_000) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish().await
}

pub async fn read(store: &Store, mailbox: MailboxRef, item: ItemId) -> Result<Vec<u8>, StoreError> {
    let pieces: Vec<Bytes> = MailboxStore::read(store, mailbox, item, 0..u64::MAX)
        .await?
        .try_collect()
        .await?;
    Ok(pieces.concat())
}

pub fn message(body: Body, subject: &str) -> NewItem {
    NewItem {
        folder: FolderRole::Inbox.into(),
        delivered: true,
        class: ItemClass::default(),
        content: ItemContent {
            prefix: b"Return-Path: <sender@example.org>\r\n".to_vec(),
            body,
            summary: Summary {
                subject: subject.to_owned(),
                ..Summary::default()
            },
        },
        received: NOW,
        flags: Flags::NONE,
        keywords: [].into(),
        categories: [].into(),
        conversation: ConversationId(7),
        creator: None,
        properties: [].into(),
    }
}

pub fn acceptance(id: u128, deliveries: Vec<Delivery>) -> Acceptance {
    Acceptance {
        id: AcceptId::from_u128(id),
        at: NOW,
        origin: Origin::new(Protocol::Smtp, "test"),
        deliveries,
        tasks: vec![],
        counters: vec![],
    }
}

pub fn delivery(mailbox: MailboxRef, item: NewItem) -> Delivery {
    Delivery {
        mailbox,
        recipient: "someone@acme.example".parse().unwrap(),
        item,
    }
}

/// Delivers a message to one mailbox as SMTP would.
pub async fn deliver(
    store: &Store,
    id: u128,
    mailbox: MailboxRef,
    content: &[u8],
) -> Result<(ItemId, wm_core::Uid), SpoolError> {
    let body = write(store, content).await?;
    let item = message(body, "a subject");
    let accepted = store
        .accept(acceptance(id, vec![delivery(mailbox, item)]))
        .await?;
    match accepted.deliveries[..] {
        [Outcome::Item { item, uid, .. }] => Ok((item, uid)),
        ref other => panic!("{other:?}"),
    }
}

/// A body that nobody wrote.
pub fn invented() -> Body {
    Body {
        id: BodyId([7; 32]),
        size: 7,
    }
}
