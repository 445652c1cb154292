//! A damaged engine is noticed, and a repair brings back every message.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{ACME, ENGINES, NOW, OnDisk, OpenEngine, acceptance, delivery, mailbox, message};
use futures::executor::block_on;
use std::{
    fs,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
};
use wm_core::{
    FolderId, ItemId, MailboxRef, ModSeq, Uid,
    contract::{audit, operation_at},
    model::{Flags, FolderClass, FolderRole, Names, UserRole},
    traits::{
        Directory, DirectoryAdmin, DirectoryChange, ItemList, ItemUpdate, ListBy, MailboxStore,
        NewFolder, NewOrganization, NewTask, NewUser, Operation, Outcome, ReversePath, Spool,
        TaskKind,
    },
};
use wm_store::{
    Store,
    directory::{DirectoryOptions, StoredDirectory},
    engine::{Engine, EngineError, EngineOptions, Redb, Sled},
    repair::{self, RepairError, RepairReport},
};

type TryOpen = fn(PathBuf) -> Result<Arc<dyn Engine>, EngineError>;

const TRY_OPEN: [TryOpen; 2] = [
    |path| Ok(Arc::new(Sled::open(path, EngineOptions::default())?)),
    |path| Ok(Arc::new(Redb::open(path, EngineOptions::default())?)),
];

#[test]
fn after_damage_anywhere_in_the_engine_a_repair_brings_back_everything() {
    for (engine, open) in ENGINES.into_iter().zip(TRY_OPEN) {
        let mut noticed = 0;
        for part in 0..PARTS {
            let (directory, before) = filled(engine);
            flip(&directory.path().join("engine"), part);
            noticed += u32::from(is_noticed(directory.path(), open));
            let report = repair(directory.path(), open).unwrap();
            assert_eq!(report.check.findings, [], "part {part}");
            assert_eq!(contents(directory.path(), engine), before, "part {part}");
            assert!(report.kept.unwrap().exists());
        }
        // What no page in use has is nobody's loss.
        assert!(noticed >= 2, "{noticed} of {PARTS} noticed");
    }
}

#[test]
fn an_engine_that_is_gone_is_made_anew() {
    for (engine, open) in ENGINES.into_iter().zip(TRY_OPEN) {
        let (directory, before) = filled(engine);
        fs::remove_dir_all(directory.path().join("engine")).unwrap();
        let report = repair(directory.path(), open).unwrap();
        assert_eq!(report.check.findings, []);
        assert_eq!(report.kept, None);
        assert_eq!(contents(directory.path(), engine), before);
    }
}

#[test]
fn a_sound_store_is_the_same_after_a_repair() {
    for (engine, open) in ENGINES.into_iter().zip(TRY_OPEN) {
        let (directory, before) = filled(engine);
        for _ in 0..2 {
            let report = repair(directory.path(), open).unwrap();
            assert!(report.exact && report.remade.is_empty(), "{report:?}");
            assert_eq!(contents(directory.path(), engine), before);
        }
    }
}

#[test]
fn a_packed_store_is_the_same_and_its_journal_is_enough_for_a_repair() {
    for (engine, open) in ENGINES.into_iter().zip(TRY_OPEN) {
        let (directory, before) = filled(engine);
        let store = common::open(directory.path(), engine);
        block_on(store.pack()).unwrap();
        drop(store);
        assert_eq!(contents(directory.path(), engine), before);
        fs::remove_dir_all(directory.path().join("engine")).unwrap();
        let report = repair(directory.path(), open).unwrap();
        assert_eq!(report.check.findings, []);
        assert_eq!(contents(directory.path(), engine), before);
    }
}

#[test]
fn without_a_journal_what_the_engine_still_gives_out_comes_back() {
    for (engine, open) in ENGINES.into_iter().zip(TRY_OPEN) {
        let (directory, before) = filled(engine);
        fs::remove_dir_all(directory.path().join("journal")).unwrap();
        let report = repair(directory.path(), open).unwrap();
        assert!(!report.exact && report.salvaged > 100, "{report:?}");
        assert_eq!(report.check.findings, []);
        assert_eq!(contents(directory.path(), engine), before);
    }
}

#[test]
fn a_repair_that_was_interrupted_is_finished_or_begun_again() {
    let (engine, open) = (ENGINES[1], TRY_OPEN[1]);
    let (directory, before) = filled(engine);
    let at = |name: &str| directory.path().join(name);

    // While the new engine was being built.
    fs::create_dir(at("engine.unfinished")).unwrap();
    fs::write(at("engine.unfinished/FORMAT"), "half").unwrap();
    repair(directory.path(), open).unwrap();
    assert_eq!(contents(directory.path(), engine), before);
    assert!(!at("engine.unfinished").exists());

    // When it was complete; and when the damaged one was out of its way already.
    for damaged_is_there in [true, false] {
        fs::rename(at("engine"), at("engine.repaired")).unwrap();
        if damaged_is_there {
            fs::create_dir(at("engine")).unwrap();
            fs::write(at("engine/FORMAT"), "damaged").unwrap();
        }
        let report = repair(directory.path(), open).unwrap();
        assert_eq!(report.kept.is_some(), damaged_is_there);
        assert!(!at("engine.repaired").exists());
        assert_eq!(contents(directory.path(), engine), before);
    }
}

#[test]
fn a_store_in_use_is_not_repaired() {
    for (engine, open) in ENGINES.into_iter().zip(TRY_OPEN) {
        let OnDisk { store, directory } = common::on_disk(engine);
        let refused = repair(directory.path(), open);
        assert!(
            matches!(refused, Err(RepairError::Engine(EngineError::InUse { .. }))),
            "{refused:?}"
        );
        block_on(store.create(mailbox(1), NOW)).unwrap();
    }
}

#[test]
fn a_journal_that_lost_its_end_is_noticed_and_mended() {
    for (engine, open) in ENGINES.into_iter().zip(TRY_OPEN) {
        let (directory, before) = filled(engine);
        let journal = largest(&directory.path().join("journal"));
        let bytes = fs::read(&journal).unwrap();
        fs::write(&journal, &bytes[..bytes.len() - 9]).unwrap();

        let store = common::open(directory.path(), engine);
        assert!(store.journal_is_behind());
        block_on(store.clean_up()).unwrap();
        assert!(!store.journal_is_behind());
        drop(store);
        assert!(!common::open(directory.path(), engine).journal_is_behind());

        fs::remove_dir_all(directory.path().join("engine")).unwrap();
        repair(directory.path(), open).unwrap();
        assert_eq!(contents(directory.path(), engine), before);
    }
}

#[test]
fn damage_in_the_journal_costs_a_sound_store_nothing() {
    for (engine, open) in ENGINES.into_iter().zip(TRY_OPEN) {
        let (directory, before) = filled(engine);
        let journal = largest(&directory.path().join("journal"));
        let mut bytes = fs::read(&journal).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&journal, bytes).unwrap();
        let report = repair(directory.path(), open).unwrap();
        assert!(!report.exact);
        assert_eq!(contents(directory.path(), engine), before);
    }
}

#[test]
fn a_checkpoint_takes_the_place_of_journals_and_is_whole_while_others_write() {
    let engine = ENGINES[1];
    let (directory, _) = filled(engine);
    let journals = directory.path().join("journal");
    fs::remove_dir_all(&journals).unwrap();
    let store = common::open(directory.path(), engine);
    assert!(store.journal_is_behind());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..50 {
                block_on(common::deliver(&store, 1000 + n, mailbox(5), b"meanwhile")).unwrap();
            }
        });
        assert!(block_on(store.checkpoint()).unwrap());
        writer.join().unwrap();
    });
    assert!(!block_on(store.checkpoint()).unwrap(), "none is due");
    drop(store);
    let names: Vec<_> = fs::read_dir(&journals).unwrap().collect();
    assert_eq!(
        names.len(),
        2,
        "the checkpoint and what came after it began"
    );
    let before = contents(directory.path(), engine);
    fs::remove_dir_all(directory.path().join("engine")).unwrap();
    repair(directory.path(), TRY_OPEN[1]).unwrap();
    assert_eq!(contents(directory.path(), engine), before);
}

#[test]
fn no_number_is_given_twice_after_a_repair() {
    for exact in [true, false] {
        let (engine, open) = (ENGINES[1], TRY_OPEN[1]);
        let (directory, _) = filled(engine);
        let numbers = |store: &Store| {
            let (item, uid) =
                block_on(common::deliver(store, 77, mailbox(1), b"one more")).unwrap();
            let it = block_on(store.mailbox(mailbox(1))).unwrap();
            (item, uid, it.highest_modseq)
        };
        let store = common::open(directory.path(), engine);
        let before = numbers(&store);
        // The last of all is gone again when the repair comes.
        let delete = Operation::DeleteItem {
            item: before.0,
            expect: Default::default(),
        };
        block_on(store.apply(mailbox(1), operation_at(9, vec![delete]))).unwrap();
        drop(store);
        if !exact {
            fs::remove_dir_all(directory.path().join("engine")).unwrap();
        }
        let report = repair(directory.path(), open).unwrap();
        assert_eq!(report.exact, exact);
        let store = common::open(directory.path(), engine);
        let (item, uid) = block_on(common::deliver(&store, 78, mailbox(1), b"after")).unwrap();
        assert!(
            item > before.0 && uid > before.1,
            "{item} {uid:?}, {before:?}"
        );
        let it = block_on(store.mailbox(mailbox(1))).unwrap();
        assert!(it.highest_modseq > before.2);
        let old = block_on(store.changes(mailbox(1), FolderId(1), before.2, 9));
        assert!(old.is_err(), "clients begin afresh");
    }
}

fn repair(path: &Path, open: TryOpen) -> Result<RepairReport, RepairError> {
    block_on(repair::in_directory(path, open, |_, done, all| {
        assert!(done <= all);
    }))
}

/// Whether opening or a check says that something is wrong, and says it as an error.
fn is_noticed(path: &Path, open: TryOpen) -> bool {
    let check = AssertUnwindSafe(|| {
        let Ok(engine) = open(path.join("engine")) else {
            return true;
        };
        let parts = wm_store::StoreParts::in_directory(path, engine).unwrap();
        let Ok(store) = Store::open(parts) else {
            return true;
        };
        match block_on(store.check(|_, _| ())) {
            Ok(report) => !report.findings.is_empty(),
            Err(_) => true,
        }
    });
    std::panic::catch_unwind(check).expect("damage is an error, not a panic")
}

/// Overwrites some bytes of every page of a part of the largest file of the engine.
fn flip(engine: &Path, part: usize) {
    let file = largest(engine);
    let mut bytes = fs::read(&file).unwrap();
    // Files grow in steps; what was never written is at the end.
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let (from, to) = (used * part / PARTS, used * (part + 1) / PARTS);
    for page in bytes[from..to].chunks_mut(1024) {
        page.iter_mut().take(16).for_each(|byte| *byte ^= 0x55);
    }
    fs::write(&file, bytes).unwrap();
}

/// Parts of an engine's largest file that are damaged, one in each round.
const PARTS: usize = 3;

fn largest(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.is_file())
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap()
}

/// A store with some of everything, and what is in it.
fn filled(engine: OpenEngine) -> (tempfile::TempDir, String) {
    let OnDisk { store, directory } = common::on_disk(engine);
    block_on(async {
        let people = StoredDirectory::open(&store, options()).await.unwrap();
        fill_directory(&people).await;
        for n in 1..=3 {
            fill_mailbox(&store, mailbox(n)).await;
        }
        // One message for all, and one that goes on.
        let body = common::write(&store, &b"to all of you".repeat(9000))
            .await
            .unwrap();
        let deliveries = (1..=4).map(|n| delivery(mailbox(n), message(body, "all")));
        let mut accepted = acceptance(1, deliveries.collect());
        accepted.tasks.push(NewTask {
            organization: ACME,
            kind: TaskKind::Relay,
            reverse_path: ReversePath::NULL,
            recipients: vec!["someone@elsewhere.example".parse().unwrap()],
            prefix: vec![],
            body,
            detail: String::new(),
            due: NOW,
        });
        store.accept(accepted).await.unwrap();
        store.remove(mailbox(4)).await.unwrap();
    });
    drop(store);
    let contents = contents(directory.path(), engine);
    (directory, contents)
}

async fn fill_mailbox(store: &Store, mailbox: MailboxRef) {
    let folder = |parent, name: &str| {
        Operation::CreateFolder(NewFolder {
            parent,
            name: name.into(),
            class: FolderClass::Mail,
        })
    };
    let made = apply(
        store,
        mailbox,
        vec![folder(None, "Projects"), folder(None, "Gone")],
    )
    .await;
    let [Outcome::Folder(projects), Outcome::Folder(gone)] = made[..] else {
        panic!("{made:?}")
    };
    let made = apply(store, mailbox, vec![folder(Some(projects), "Büro")]).await;
    let [Outcome::Folder(office)] = made[..] else {
        panic!("{made:?}")
    };
    let mut items = Vec::new();
    for n in 0..30 {
        let content = format!("Subject: {n}\r\n\r\n{}", "text ".repeat(n * 50));
        let body = common::write(store, content.as_bytes()).await.unwrap();
        let mut item = message(body, &format!("message {n}"));
        item.folder = match n % 3 {
            0 => office.into(),
            1 => gone.into(),
            _ => FolderRole::Inbox.into(),
        };
        let added = apply(store, mailbox, vec![Operation::AddItem(item)]).await;
        let [Outcome::Item { item, .. }] = added[..] else {
            panic!("{added:?}")
        };
        items.push(item);
    }
    let expect = Default::default();
    let update = ItemUpdate {
        set: Flags::READ | Flags::FLAGGED,
        ..ItemUpdate::default()
    };
    let changes = vec![
        Operation::UpdateItem {
            item: items[3],
            expect,
            update,
        },
        Operation::MoveItem {
            item: items[5],
            expect,
            to: office.into(),
        },
        Operation::CopyItem {
            item: items[6],
            expect,
            to: FolderRole::Archive.into(),
        },
        Operation::DeleteItem {
            item: items[8],
            expect,
        },
        Operation::DeleteFolder { folder: gone },
    ];
    apply(store, mailbox, changes).await;
}

async fn fill_directory(people: &StoredDirectory) {
    let new = NewOrganization {
        id: ACME,
        account: wm_core::AccountId::from_u64(1).unwrap(),
        alias: "acme".parse().unwrap(),
        test_domain: "acme.test.example".parse().unwrap(),
        at: NOW,
    };
    people
        .create_organization(new, audit("CreateOrganization"))
        .await
        .unwrap();
    for n in 1..=20 {
        let user = NewUser {
            id: wm_core::UserId::from_u128(n),
            name: format!("user{n}"),
            names: Names::default(),
            role: UserRole::User,
            password: None,
            at: NOW,
        };
        let mut event = audit("CreateUser");
        event.id = n;
        people
            .change(ACME, DirectoryChange::CreateUser(user), event)
            .await
            .unwrap();
    }
}

async fn apply(store: &Store, mailbox: MailboxRef, operations: Vec<Operation>) -> Vec<Outcome> {
    let changes = operation_at(NOW.as_seconds(), operations);
    store.apply(mailbox, changes).await.unwrap().outcomes
}

fn options() -> DirectoryOptions {
    DirectoryOptions::default()
}

/// All that people would miss, as text: everything but the numbers of changes.
fn contents(path: &Path, engine: OpenEngine) -> String {
    let store = common::open(path, engine);
    block_on(async {
        let people = StoredDirectory::open(&store, options()).await.unwrap();
        let mut all = format!("{:?}\n", people.organizations().await.unwrap());
        all += &format!("{:?}\n", people.users(ACME).await.unwrap());
        all += &format!("{:?}\n", store.tasks(ACME, None, 99).await.unwrap());
        for n in 1..=5 {
            let Ok(it) = store.mailbox(mailbox(n)).await else {
                all += &format!("no mailbox {n}\n");
                continue;
            };
            all += &format!("{n}: {} of {}\n", it.size, it.quota);
            for mut folder in store.folders(mailbox(n)).await.unwrap() {
                let listed = listed(&store, mailbox(n), folder.id).await;
                (folder.modseq, folder.highest_modseq) = (ModSeq(0), ModSeq(0));
                if folder.uid_next > Uid::new(1 << 20).unwrap() {
                    folder.uid_next = Uid::new(folder.uid_next.as_u32() - (1 << 20)).unwrap();
                }
                all += &format!("{folder:?}\n");
                for item in listed {
                    let content = common::read(&store, mailbox(n), item).await.unwrap();
                    let item = store.item(mailbox(n), item).await.unwrap();
                    let content = String::from_utf8(content).unwrap();
                    all += &format!("{item:?} {} {content:.60}\n", content.len());
                }
            }
        }
        all
    })
}

async fn listed(store: &Store, mailbox: MailboxRef, folder: FolderId) -> Vec<ItemId> {
    let list = ItemList {
        folder,
        by: ListBy::Received {
            from: None,
            until: None,
        },
        descending: false,
        after: None,
        limit: 999,
    };
    let page = store.items(mailbox, list).await.unwrap();
    let (_, uids) = store.uids(mailbox, folder).await.unwrap();
    assert_eq!(uids.len(), page.entries.len());
    page.entries.into_iter().map(|item| item.id).collect()
}
