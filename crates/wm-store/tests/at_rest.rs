//! What a store leaves on disk: nothing in the clear, damage that is noticed and named, keys that
//! are needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{ACME, ENGINES, NOW, acceptance, deliver, delivery, mailbox, message, on_disk, open};
use futures::executor::block_on;
use std::{
    fs,
    path::{Path, PathBuf},
};
use wm_core::{
    MailboxRef, ModSeq, OrganizationId,
    model::{Origin, PropertyName, PropertyValue, Protocol, Summary},
    traits::{
        Changeset, FolderUpdate, MailboxStore, Mode, NewFolder, NewTask, Operation, ReversePath,
        Spool, StoreError, TaskKind,
    },
};
use wm_store::{
    Store, StoreParts,
    engine::{Batch, Direction, KeyRange},
};

#[test]
fn nothing_of_a_message_stands_in_clear_on_disk() {
    for engine in ENGINES {
        let store = on_disk(engine);
        block_on(async {
            let content = b"Subject: rhubarb subject\r\n\r\nrhubarb body\r\n".repeat(3000);
            let body = common::write(&store, &content).await.unwrap();
            let mut item = message(body, "rhubarb subject");
            item.content.prefix = b"X-Trace: rhubarb prefix\r\n".to_vec();
            item.content.summary = Summary {
                from: "Rhubarb Sender <rhubarb.sender@example.org>".into(),
                to: "rhubarb.to@example.org".into(),
                message_id: Some("rhubarb-id@example.org".into()),
                preview: "rhubarb preview".into(),
                ..item.content.summary
            };
            item.keywords = ["rhubarb-keyword".parse().unwrap()].into();
            item.categories = ["rhubarb category".into()].into();
            item.properties = [(
                PropertyName::Tag(1),
                PropertyValue::String("rhubarb property".into()),
            )]
            .into();
            let mut acceptance = acceptance(1, vec![delivery(mailbox(1), item)]);
            acceptance.origin = Origin::new(Protocol::Smtp, "rhubarb client");
            acceptance.tasks.push(NewTask {
                organization: ACME,
                kind: TaskKind::Relay,
                reverse_path: ReversePath(Some("rhubarb.from@example.org".parse().unwrap())),
                recipients: vec!["rhubarb.to@example.net".parse().unwrap()],
                prefix: b"rhubarb prefix".to_vec(),
                body,
                detail: "rhubarb detail".into(),
                due: NOW,
            });
            store.accept(acceptance).await.unwrap();
            let folder = NewFolder {
                parent: None,
                name: "rhubarb folder".into(),
                class: wm_core::model::FolderClass::Mail,
            };
            apply(&store, mailbox(1), vec![Operation::CreateFolder(folder)]).await;
            let folders = store.folders(mailbox(1)).await.unwrap();
            let update = FolderUpdate {
                properties: vec![(
                    PropertyName::Tag(2),
                    Some(PropertyValue::String("rhubarb folder property".into())),
                )],
                ..FolderUpdate::default()
            };
            let folder = folders
                .iter()
                .find(|f| f.name == "rhubarb folder")
                .unwrap()
                .id;
            apply(
                &store,
                mailbox(1),
                vec![Operation::UpdateFolder { folder, update }],
            )
            .await;
            assert_eq!(
                store.tasks(ACME, None, 9).await.unwrap()[0].what.detail,
                "rhubarb detail"
            );
        });
        let common::OnDisk { store, directory } = store;
        drop(store);
        let files = files_below(directory.path());
        assert!(files.len() >= 4, "{files:?}");
        for file in files {
            let bytes = fs::read(&file).unwrap().to_ascii_lowercase();
            let found = bytes.windows(7).any(|window| window == b"rhubarb");
            assert!(!found, "{} has it in the clear", file.display());
        }
    }
}

#[test]
fn a_store_opens_again_with_everything_and_numbers_go_on() {
    for engine in ENGINES {
        let common::OnDisk { store, directory } = on_disk(engine);
        let (first, uid) = block_on(deliver(&store, 1, mailbox(1), b"first")).unwrap();
        drop(store);
        let store = open(directory.path(), engine);
        block_on(async {
            assert!(
                common::read(&store, mailbox(1), first)
                    .await
                    .unwrap()
                    .ends_with(b"first")
            );
            let (second, next) = deliver(&store, 2, mailbox(1), b"second").await.unwrap();
            assert!(second > first && next > uid);
            let again = deliver(&store, 1, mailbox(1), b"first").await.unwrap();
            assert_eq!(again, (first, uid), "an acceptance is remembered");
            store.clean_up().await.unwrap();
            let report = store.check(|_, _| ()).await.unwrap();
            assert_eq!(
                (report.items, report.bodies, &*report.findings),
                (2, 2, &[][..])
            );
        });
    }
}

#[test]
fn a_flipped_byte_in_a_body_is_named_with_its_mailbox_and_item() {
    for engine in ENGINES {
        let common::OnDisk { store, directory } = on_disk(engine);
        let contents = [
            b"one".repeat(50_000),
            b"two".repeat(50_000),
            b"three".repeat(50_000),
        ];
        let items: Vec<_> = (1..)
            .zip(&contents)
            .map(|(n, content)| block_on(deliver(&store, n, mailbox(n), content)).unwrap().0)
            .collect();
        drop(store);

        let segment = directory.path().join("bodies/00000001.wms");
        let mut bytes = fs::read(&segment).unwrap();
        bytes[240_000] ^= 1;
        fs::write(&segment, bytes).unwrap();

        let store = open(directory.path(), engine);
        block_on(async {
            for (n, content) in [(1, &contents[0]), (3, &contents[2])] {
                let item = items[n as usize - 1];
                assert!(
                    common::read(&store, mailbox(n), item)
                        .await
                        .unwrap()
                        .ends_with(content)
                );
            }
            let error = common::read(&store, mailbox(2), items[1])
                .await
                .unwrap_err();
            let StoreError::Damaged {
                what,
                source: Some(_),
            } = &error
            else {
                panic!("{error}")
            };
            assert_eq!(
                *what,
                format!("the content of item {} of mailbox {}", items[1], mailbox(2))
            );

            let report = store.check(|_, _| ()).await.unwrap();
            let [finding] = &report.findings[..] else {
                panic!("{report:?}")
            };
            assert_eq!(
                (finding.mailbox, finding.item),
                (Some(mailbox(2)), Some(items[1]))
            );
            assert!(report.torn > 0);
        });
    }
}

#[test]
fn a_flipped_byte_in_a_record_is_named_and_hurts_no_other() {
    let parts = StoreParts::in_memory().unwrap();
    let engine = parts.engine.clone();
    let store = Store::open(parts).unwrap();
    block_on(async {
        let mut items = Vec::new();
        for n in 1..=3 {
            items.push(deliver(&store, n, mailbox(1), b"content").await.unwrap().0);
        }
        // The longest value is an item's.
        let snapshot = engine.snapshot().unwrap();
        let entries = snapshot
            .scan(KeyRange::all(), Direction::Forward)
            .map(Result::unwrap);
        let is_item = |key: &[u8]| key.ends_with(&items[1].0.to_be_bytes()) && key[33] == b'i';
        let (key, value) = entries
            .filter(|(key, _)| key.len() == 42)
            .find(|(key, _)| is_item(key))
            .unwrap();
        let mut value = value.to_vec();
        value[100] ^= 1;
        let mut batch = Batch::new();
        batch.put(key, value);
        engine.commit(batch).unwrap();

        let error = store.item(mailbox(1), items[1]).await.unwrap_err();
        let StoreError::Damaged { what, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(
            *what,
            format!("item {} of mailbox {}", items[1], mailbox(1))
        );
        for item in [items[0], items[2]] {
            assert!(
                common::read(&store, mailbox(1), item)
                    .await
                    .unwrap()
                    .ends_with(b"content")
            );
        }
        let report = store.check(|_, _| ()).await.unwrap();
        let [finding] = &report.findings[..] else {
            panic!("{report:?}")
        };
        assert_eq!(
            (finding.mailbox, finding.item),
            (Some(mailbox(1)), Some(items[1]))
        );

        let folder = store.folders(mailbox(1)).await.unwrap()[0].id;
        let changes = store
            .changes(mailbox(1), folder, ModSeq(0), 9)
            .await
            .unwrap();
        let listed: Vec<_> = changes.items.iter().map(|item| item.id).collect();
        assert_eq!(
            listed,
            [items[0], items[2]],
            "it does not keep the others from being listed"
        );
    });
}

#[test]
fn without_its_master_key_a_store_says_which_is_missing() {
    let engine = ENGINES[1];
    let common::OnDisk { store, directory } = on_disk(engine);
    let (item, _) = block_on(deliver(&store, 1, mailbox(1), b"content")).unwrap();
    drop(store);
    let key = directory.path().join("master.key");
    let old = fs::read_to_string(&key).unwrap();
    let name = old.split(' ').next().unwrap().to_owned();

    fs::write(&key, format!("another {}\n", "0".repeat(64))).unwrap();
    let error = block_on(common::read(
        &open(directory.path(), engine),
        mailbox(1),
        item,
    ));
    assert!(cause(&error.unwrap_err()).contains(&format!("the master key {name:?} is missing")));

    fs::write(&key, format!("{name} {}\n", "0".repeat(64))).unwrap();
    let error = block_on(common::read(
        &open(directory.path(), engine),
        mailbox(1),
        item,
    ));
    assert!(cause(&error.unwrap_err()).contains(&format!("the master key {name:?} does not open")));

    fs::write(&key, format!("new {}\n{old}", "0".repeat(64))).unwrap();
    let store = open(directory.path(), engine);
    assert!(
        block_on(common::read(&store, mailbox(1), item)).is_ok(),
        "the old key still unwraps"
    );
}

#[test]
fn lost_keys_are_an_error_and_never_made_anew() {
    let engine = ENGINES[1];
    let common::OnDisk { store, directory } = on_disk(engine);
    block_on(deliver(&store, 1, mailbox(1), b"content")).unwrap();
    drop(store);
    fs::remove_dir_all(directory.path().join("keys")).unwrap();
    let store = open(directory.path(), engine);
    let error = block_on(deliver(&store, 2, mailbox(1), b"more")).unwrap_err();
    assert!(cause(&error).contains("the keys of m-000000000000000000000000000000ac are missing"));
}

#[test]
fn a_shredded_organization_is_unreadable_and_the_others_are_not() {
    for engine in ENGINES {
        let store = on_disk(engine);
        let other = MailboxRef {
            organization: OrganizationId::from_u128(2),
            ..mailbox(1)
        };
        block_on(async {
            store.create(other, NOW).await.unwrap();
            deliver(&store, 1, mailbox(1), b"content").await.unwrap();
            store.shred(ACME).await.unwrap();
            assert!(store.mailbox(mailbox(1)).await.is_err());
            assert!(deliver(&store, 2, mailbox(1), b"content").await.is_err());
            store.mailbox(other).await.unwrap();
            assert!(store.lease(NOW, NOW, 9).await.unwrap().is_empty());
        });
        let keys = files_below(&store.directory.path().join("keys"));
        assert!(
            keys.iter()
                .all(|key| !key.display().to_string().contains("ac-")),
            "{keys:?}"
        );
    }
}

#[test]
fn after_a_rotation_old_and_new_are_readable() {
    let engine = ENGINES[1];
    let common::OnDisk { store, directory } = on_disk(engine);
    let old = block_on(async {
        let (old, _) = deliver(&store, 1, mailbox(1), b"old").await.unwrap();
        store.rotate_keys(ACME).await.unwrap();
        old
    });
    let (new, _) = block_on(deliver(&store, 2, mailbox(1), b"new")).unwrap();
    drop(store);
    let store = open(directory.path(), engine);
    block_on(async {
        assert!(
            common::read(&store, mailbox(1), old)
                .await
                .unwrap()
                .ends_with(b"old")
        );
        assert!(
            common::read(&store, mailbox(1), new)
                .await
                .unwrap()
                .ends_with(b"new")
        );
        let (again, _) = deliver(&store, 3, mailbox(2), b"old").await.unwrap();
        let items = [
            store.item(mailbox(1), old).await,
            store.item(mailbox(2), again).await,
        ];
        assert!(items.iter().all(Result::is_ok));
        assert_eq!(
            store.check(|_, _| ()).await.unwrap().bodies,
            2,
            "names survive rotation"
        );
    });
}

async fn apply(store: &Store, mailbox: MailboxRef, operations: Vec<Operation>) {
    let origin = Origin::new(Protocol::Imap, "rhubarb client");
    let changes = Changeset {
        origin,
        at: NOW,
        mode: Mode::AllOrNothing,
        operations,
    };
    store.apply(mailbox, changes).await.unwrap();
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files
}

/// An error with all that is beneath it.
fn cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", cause(source)),
        None => error.to_string(),
    }
}
