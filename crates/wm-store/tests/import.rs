//! What an export wrote can be put back, and is then what it was.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{ACME, NOW, delivery, mailbox, message};
use futures::executor::block_on;
use std::{collections::BTreeMap, fs, path::PathBuf};
use tempfile::TempDir;
use wm_core::{
    MailboxRef, Timestamp,
    contract::operation_at,
    model::{Flags, FolderClass, Item, PropertyName, PropertyValue},
    traits::{FolderUpdate, ItemList, ListBy, MailboxStore, NewFolder, Operation, Outcome, Spool},
};
use wm_store::{
    Store,
    export::{ExportFormat, ExportOptions, Selection},
    import::{ImportError, ImportReport},
};

const MAIL: &[u8] = b"Message-ID: <1@acme.example>\r\nSubject: import\r\n\r\nFrom here on\r\n";

#[test]
fn an_export_put_back_has_the_same_folders_and_items() {
    let (store, export) = exported();
    let before = contents(&store, mailbox(1));
    let back = common::memory();
    let report = import(&back, &export, mailbox(1)).unwrap();
    assert_eq!(
        (report.items, report.present, report.failed.len()),
        (6, 0, 0)
    );
    assert_eq!(contents(&back, mailbox(1)), before);
}

#[test]
fn an_import_that_is_repeated_or_was_interrupted_puts_nothing_in_twice() {
    let (store, export) = exported();
    let before = contents(&store, mailbox(1));
    let back = common::memory();
    // What an interruption leaves: some of the items, two of which look the same.
    let items = of(&export, 1).join("items.jsonl");
    let lines = fs::read_to_string(&items).unwrap();
    let some: Vec<_> = lines.lines().take(3).collect();
    fs::write(&items, some.join("\n")).unwrap();
    assert_eq!(import(&back, &export, mailbox(1)).unwrap().items, 3);

    fs::write(&items, &lines).unwrap();
    for (new, old) in [(3, 3), (0, 6)] {
        let report = import(&back, &export, mailbox(1)).unwrap();
        assert_eq!((report.items, report.present), (new, old));
        assert_eq!(contents(&back, mailbox(1)), before);
    }
}

#[test]
fn what_recipients_shared_is_shared_again() {
    let (_, export) = exported();
    let back = common::memory();
    for n in [1, 2] {
        import(&back, &export, mailbox(n)).unwrap();
    }
    let report = block_on(back.check(|_, _| ())).unwrap();
    // Six items and one of another mailbox: five bodies are different ones.
    assert_eq!((report.items, report.bodies), (7, 4));
    assert_eq!(report.findings, []);
}

#[test]
fn an_item_without_its_file_is_named_and_the_others_are_put_in() {
    let (_, export) = exported();
    let root = of(&export, 1);
    let text = fs::read_to_string(root.join("items.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let file = PathBuf::from(first["file"].as_str().unwrap());
    let content = fs::read(root.join(&file)).unwrap();

    fs::write(root.join(&file), &content[1..]).unwrap();
    let report = import(&common::memory(), &export, mailbox(1)).unwrap();
    assert_eq!(report.items, 5);
    assert_eq!(report.failed[0].file, file);
    assert!(
        report.failed[0].why.contains("octets instead of"),
        "{report:?}"
    );

    fs::remove_file(root.join(&file)).unwrap();
    let report = import(&common::memory(), &export, mailbox(1)).unwrap();
    assert_eq!((report.items, report.failed.len()), (5, 1));
}

#[test]
fn what_an_export_says_never_leads_out_of_it() {
    let (_, export) = exported();
    fs::write(export.path().join("secret"), MAIL).unwrap();
    let items = of(&export, 1).join("items.jsonl");
    let text = fs::read_to_string(&items).unwrap();
    let mut line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    line["item"]["size"] = MAIL.len().into();
    let secret = export.path().join("secret");
    for file in ["../../secret", secret.to_str().unwrap()] {
        line["file"] = file.into();
        fs::write(&items, line.to_string()).unwrap();
        let report = import(&common::memory(), &export, mailbox(1)).unwrap();
        assert_eq!(report.items, 0);
        assert!(report.failed[0].why.contains("outside"), "{report:?}");
    }
}

#[test]
fn an_export_to_mbox_is_refused() {
    let (store, _) = exported();
    let export = tempfile::tempdir().unwrap();
    block_on(store.export(export.path(), ExportFormat::Mbox, |_, _| ())).unwrap();
    let refused = import(&common::memory(), &export, mailbox(1));
    assert!(matches!(refused, Err(ImportError::Mbox(_))), "{refused:?}");
}

#[test]
fn an_export_of_some_mailboxes_has_these_alone() {
    let (store, _) = exported();
    let options = |selection| ExportOptions::from(ExportFormat::Maildir).of(selection);
    let export = |selection| {
        let into = tempfile::tempdir().unwrap();
        block_on(store.export(into.path(), options(selection), |_, _| ())).unwrap()
    };
    let one = export(Selection::Mailboxes([mailbox(2)].into()));
    assert_eq!((one.mailboxes, one.items), (1, 1));
    let all = export(Selection::Organization(ACME));
    assert_eq!((all.mailboxes, all.items), (2, 7));
    let none = export(Selection::Organization(wm_core::OrganizationId::from_u128(
        9,
    )));
    assert_eq!((none.mailboxes, none.items), (0, 0));
}

fn import(store: &Store, export: &TempDir, into: MailboxRef) -> Result<ImportReport, ImportError> {
    let mailbox = into.mailbox.to_string();
    let from = export
        .path()
        .join(into.organization.to_string())
        .join(mailbox);
    block_on(store.import(from, into, NOW, |_, _| ()))
}

fn of(export: &TempDir, n: u128) -> PathBuf {
    let mailbox = mailbox(n);
    export
        .path()
        .join(mailbox.organization.to_string())
        .join(mailbox.mailbox.to_string())
}

/// Two mailboxes with a message in common, and their export.
fn exported() -> (Store, TempDir) {
    let store = common::memory();
    let put = |operation| {
        let changes = operation_at(NOW.as_seconds(), vec![operation]);
        block_on(store.apply(mailbox(1), changes)).unwrap().outcomes
    };
    let folder = |parent, name: &str, class| {
        let new = NewFolder {
            parent,
            name: name.into(),
            class,
        };
        match put(Operation::CreateFolder(new))[..] {
            [Outcome::Folder(folder)] => folder,
            ref other => panic!("{other:?}"),
        }
    };
    block_on(async {
        let body = common::write(&store, MAIL).await.unwrap();
        let to = [1, 2].map(|n| delivery(mailbox(n), message(body, "import")));
        let acceptance = common::acceptance(1, to.into());
        store.accept(acceptance).await.unwrap();
        // Twice the same, and nothing in common with others.
        for id in [2, 3] {
            common::deliver(&store, id, mailbox(1), b"the same twice")
                .await
                .unwrap();
        }
    });
    let projects = folder(None, "Projects", FolderClass::Mail);
    let plans = folder(Some(projects), "Plans.2027 / all", FolderClass::Tasks);
    put(Operation::UpdateFolder {
        folder: plans,
        update: FolderUpdate {
            subscribed: Some(true),
            ..FolderUpdate::default()
        },
    });
    let large = b"0123456789".repeat(20_000);
    for (n, (folder, content)) in [(projects, MAIL), (plans, &large), (plans, b"")]
        .into_iter()
        .enumerate()
    {
        let mut item = message(block_on(common::write(&store, content)).unwrap(), "import");
        item.folder = folder.into();
        item.flags = Flags::READ | Flags::FLAGGED;
        item.received = Timestamp::from_millis(NOW.as_millis() - 1 - n as i64);
        item.keywords = ["$Work".parse().unwrap()].into();
        item.categories = ["Red".to_owned()].into();
        let properties = [(PropertyName::Tag(7), PropertyValue::Guid(1 << 100))];
        item.properties = properties.into();
        put(Operation::AddItem(item));
    }
    let export = tempfile::tempdir().unwrap();
    block_on(store.export(export.path(), ExportFormat::Maildir, |_, _| ())).unwrap();
    (store, export)
}

/// All that an import is to bring back, by folder.
fn contents(store: &Store, mailbox: MailboxRef) -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    block_on(async {
        let mut contents = BTreeMap::new();
        let folders = store.folders(mailbox).await.unwrap();
        let name = |id| {
            folders
                .iter()
                .find(|it| Some(it.id) == id)
                .map(|it| &it.name)
        };
        for folder in &folders {
            let list = ItemList {
                folder: folder.id,
                by: ListBy::Uid {
                    from: wm_core::Uid::new(1).unwrap(),
                    to: None,
                },
                descending: false,
                after: None,
                limit: 1000,
            };
            let mut items = Vec::new();
            for item in store.items(mailbox, list).await.unwrap().entries {
                let content = common::read(store, mailbox, item.id).await.unwrap();
                items.push((described(item), content));
            }
            let key = format!(
                "{:?} in {:?}, {:?} {:?} {} {} {}",
                folder.name,
                name(folder.parent),
                folder.role,
                folder.class,
                folder.subscribed,
                folder.total,
                folder.unread
            );
            contents.insert(key, items);
        }
        contents
    })
}

fn described(item: Item) -> String {
    let Item {
        class,
        size,
        received,
        flags,
        keywords,
        categories,
        conversation,
        creator,
        summary,
        properties,
        ..
    } = item;
    format!(
        "{class:?} {size} {received:?} {flags:?} {keywords:?} {categories:?} {conversation:?} {creator:?} {summary:?} {properties:?}"
    )
}
