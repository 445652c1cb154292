//! What an export writes, and that damage is left out and listed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{NOW, mailbox, message};
use futures::executor::block_on;
use serde_json::Value;
use std::{fs, path::Path, sync::Mutex};
use wm_core::{
    contract::operation_at,
    model::{Flags, FolderClass, FolderRole, PropertyName, PropertyValue},
    traits::{MailboxStore, NewFolder, Operation, Outcome},
};
use wm_store::{
    Store, StoreParts,
    engine::{Batch, Direction, Engine, KeyRange},
    export::{ExportError, ExportFormat},
};

const MAIL: &str = "Subject: export\r\n\r\nFrom here on\r\n>From there\r\nend\r\n";

#[test]
fn a_maildir_has_every_message_with_its_folder_and_flags() {
    let (store, _) = filled();
    let into = tempfile::tempdir().unwrap();
    let told = Mutex::new(Vec::new());
    let tell = |done, all| told.lock().unwrap().push((done, all));
    let report = block_on(store.export(into.path(), ExportFormat::Maildir, tell)).unwrap();
    assert_eq!(
        (report.mailboxes, report.items, report.damaged.len()),
        (2, 4, 0)
    );
    assert_eq!(told.lock().unwrap().last(), Some(&(4, 4)));

    let root = of(into.path(), 1);
    let items = lines(&root);
    assert_eq!(items.len(), 3);
    for item in &items {
        let file = fs::read_to_string(root.join(item["file"].as_str().unwrap())).unwrap();
        assert!(file.ends_with(MAIL));
        assert_eq!(file.len() as u64, item["item"]["size"].as_u64().unwrap());
    }
    let in_office = root.join(".Projects.Büro_2/cur");
    let name = fs::read_dir(&in_office).unwrap().next().unwrap().unwrap();
    assert!(name.file_name().to_str().unwrap().ends_with(":2,FS"));
    let folders = json(&root.join("mailbox.json"));
    assert_eq!(folders["folders"].as_array().unwrap().len(), 15);
    assert_eq!(
        json(&into.path().join("damaged.json")),
        Value::Array(vec![])
    );
}

#[test]
fn an_mbox_quotes_what_looks_like_its_own_lines() {
    let (store, _) = filled();
    let into = tempfile::tempdir().unwrap();
    block_on(store.export(into.path(), ExportFormat::Mbox, |_, _| ())).unwrap();
    let mbox = fs::read_to_string(of(into.path(), 1).join("Inbox.mbox")).unwrap();
    let messages = mbox.split("From MAILER-DAEMON Fri Jan 15 08:00:00 2027\n");
    let messages: Vec<_> = messages.skip(1).collect();
    assert_eq!(messages.len(), 2);
    for message in messages {
        assert!(
            message.contains("\r\n>From here on\r\n>>From there\r\nend\r\n\n"),
            "{message}"
        );
    }
}

#[test]
fn damaged_records_are_left_out_and_listed() {
    let (store, engine) = filled();
    // The records of one item and of one body's place.
    let entries: Vec<_> = {
        let snapshot = engine.snapshot().unwrap();
        let entries = snapshot.scan(KeyRange::all(), Direction::Forward);
        entries.map(Result::unwrap).collect()
    };
    let is_item = |key: &[u8]| key.len() == 42 && key[16] == b'm' && key[33] == b'i';
    let (key, value) = entries.into_iter().find(|(key, _)| is_item(key)).unwrap();
    let mut flipped = value.to_vec();
    flipped[60] ^= 1;
    let mut batch = Batch::new();
    batch.put(key, flipped);
    engine.commit(batch).unwrap();

    for format in [ExportFormat::Maildir, ExportFormat::Mbox] {
        let into = tempfile::tempdir().unwrap();
        let report = block_on(store.export(into.path(), format, |_, _| ())).unwrap();
        assert_eq!(report.items, 3);
        let [finding] = &report.damaged[..] else {
            panic!("{report:?}")
        };
        assert_eq!(finding.mailbox, Some(mailbox(1)));
        assert!(finding.item.is_some());
        let listed = json(&into.path().join("damaged.json"));
        assert_eq!(listed[0]["what"].as_str(), Some(&*finding.what));
    }
}

#[test]
fn nothing_is_exported_over_something_else() {
    let (store, _) = filled();
    let into = tempfile::tempdir().unwrap();
    fs::write(into.path().join("mine"), "precious").unwrap();
    let refused = block_on(store.export(into.path(), ExportFormat::Maildir, |_, _| ()));
    assert!(matches!(refused, Err(ExportError::NotEmpty(_))));
    assert_eq!(fs::read_dir(into.path()).unwrap().count(), 1);
}

fn filled() -> (Store, std::sync::Arc<dyn Engine>) {
    let parts = StoreParts::in_memory().unwrap();
    let engine = parts.engine.clone();
    let store = Store::open(parts).unwrap();
    block_on(async {
        for (n, id) in [(1, 1), (1, 2), (2, 3)] {
            common::deliver(&store, id, mailbox(n), MAIL.as_bytes())
                .await
                .unwrap();
        }
        let folder = |parent, name: &str| {
            Operation::CreateFolder(NewFolder {
                parent,
                name: name.into(),
                class: FolderClass::Mail,
            })
        };
        let projects = made(&store, folder(None, "Projects")).await;
        let office = made(&store, folder(Some(projects), "Büro.2")).await;
        let body = common::write(&store, MAIL.as_bytes()).await.unwrap();
        let mut item = message(body, "export");
        item.folder = office.into();
        item.flags = Flags::READ | Flags::FLAGGED;
        let name = PropertyName::Tag(7);
        item.properties = [(name, PropertyValue::Guid(1 << 100))].into();
        let add = operation_at(NOW.as_seconds(), vec![Operation::AddItem(item)]);
        store.apply(mailbox(1), add).await.unwrap();
        let folders = store.folders(mailbox(1)).await.unwrap();
        assert!(folders.iter().any(|it| it.role == Some(FolderRole::Inbox)));
    });
    (store, engine)
}

async fn made(store: &Store, folder: Operation) -> wm_core::FolderId {
    let changes = operation_at(NOW.as_seconds(), vec![folder]);
    match store.apply(mailbox(1), changes).await.unwrap().outcomes[..] {
        [Outcome::Folder(folder)] => folder,
        ref other => panic!("{other:?}"),
    }
}

fn of(root: &Path, n: u128) -> std::path::PathBuf {
    let mailbox = mailbox(n);
    root.join(mailbox.organization.to_string())
        .join(mailbox.mailbox.to_string())
}

fn lines(root: &Path) -> Vec<Value> {
    let text = fs::read_to_string(root.join("items.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
