//! A store that version 1 of the format was written in, as a file of the repository: today's code opens it,
//! reads every message, and lets everybody log in.
//!
//! The fixtures were made by `cargo test -p wm-store --test fixture -- --ignored`, which writes them anew
//! with the format of the day. That is for a new version of the format, under another name; the old ones
//! stay as they are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use bytes::Bytes;
use common::{ENGINES, OpenEngine, acceptance, delivery, message};
use futures::{TryStreamExt, executor::block_on};
use std::{
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use wm_core::{
    AccountId, MailboxRef, OrganizationId, Timestamp, Uid, UserId,
    contract::{audit, operation_at},
    model::{
        Flags, FolderClass, FolderRole, Keyword, Names, PropertyName, PropertyValue, Protocol,
        UserRole,
    },
    traits::{
        Body, BodyWriter, ConfigKey, ConfigKind, ConfigStore, Directory, DirectoryAdmin,
        DirectoryChange, ItemList, ItemUpdate, ListBy, Login, MailboxStore, NewFolder,
        NewOrganization, NewTask, NewUser, Operation, Outcome, ProtocolState, ReversePath, Spool,
        StateKey, TaskKind,
    },
};
use wm_store::{
    Store, StoreParts,
    directory::{DirectoryOptions, StoredDirectory},
    repair,
};

const NAMES: [&str; 2] = ["sled", "redb"];
const ACME: OrganizationId = OrganizationId::from_u128(0xac3e);
const ALICE: UserId = UserId::from_u128(0xa11ce);
const BOB: UserId = UserId::from_u128(0xb0b);
const PASSWORDS: [(&str, &str); 2] = [
    ("alice@acme.example", "Correct-Horse-9"),
    ("bob@acme.example", "Battery-Staple-7"),
];
/// 2027-01-15T08:00:00Z, in seconds.
const START: i64 = 1_800_000_000;

#[test]
fn a_version_1_store_is_opened_and_every_message_and_login_in_it_read() {
    for (name, open) in NAMES.into_iter().zip(ENGINES) {
        let directory = unpacked(name);
        let expected = fs::read_to_string(fixture(&format!("{name}.txt"))).unwrap();
        let opened = Opened::new(directory.path(), open);
        assert_eq!(opened.dump(), expected, "{name}");
        assert!(expected.contains("Subject: message 3"), "{expected}");
        for (login, password) in PASSWORDS {
            let authenticate = |password: &str| {
                let (login, password) = (Login::new(login), password.into());
                block_on(opened.directory.authenticate(&login, &password)).is_ok()
            };
            assert!(authenticate(password), "{name}: {login}");
            assert!(!authenticate("Correct-Horse-8"), "{name}: {login}");
        }
        let report = block_on(opened.store.check(|_, _| ())).unwrap();
        assert_eq!(report.findings, [], "{name}");
    }
}

#[test]
fn in_a_version_1_store_mail_goes_on_and_no_uid_is_given_again() {
    for (name, open) in NAMES.into_iter().zip(ENGINES) {
        let directory = unpacked(name);
        let opened = Opened::new(directory.path(), open);
        let bob = mailbox(BOB);
        assert_eq!(block_on(opened.inbox(bob)).uid_next.0.get(), 4, "{name}");
        let uid = block_on(deliver(
            &opened.store,
            1000,
            BOB,
            "Subject: new\r\n\r\nnew\r\n",
        ));
        assert_eq!(uid.0.get(), 4, "{name}");
        let leased = block_on(opened.store.lease(at(10_000), at(20_000), 10)).unwrap();
        assert_eq!(leased.len(), 1, "{name}");
        let before = opened.dump();
        drop(opened);
        assert_eq!(Opened::new(directory.path(), open).dump(), before, "{name}");
    }
}

#[test]
fn a_version_1_store_without_its_engine_is_repaired() {
    for (name, open) in NAMES.into_iter().zip(ENGINES) {
        let directory = unpacked(name);
        fs::remove_dir_all(directory.path().join("engine")).unwrap();
        let repaired = repair::in_directory(directory.path(), |path| Ok(open(path)), |_, _, _| ());
        let report = block_on(repaired).unwrap();
        assert_eq!(report.check.findings, [], "{name}");
        let opened = Opened::new(directory.path(), open);
        let expected = fs::read_to_string(fixture(&format!("{name}.txt"))).unwrap();
        assert_eq!(opened.dump(), expected, "{name}");
    }
}

#[test]
#[ignore = "writes the fixtures anew"]
fn write_the_fixtures() {
    for (name, open) in NAMES.into_iter().zip(ENGINES) {
        let directory = tempfile::tempdir().unwrap();
        let opened = Opened::new(directory.path(), open);
        // More than one chunk; in one of them is enough.
        block_on(opened.fill(name == "redb"));
        fs::create_dir_all(fixture("")).unwrap();
        fs::write(fixture(&format!("{name}.txt")), opened.dump()).unwrap();
        drop(opened);
        pack(directory.path(), &fixture(&format!("{name}.pack")));
    }
}

struct Opened {
    store: Store,
    directory: StoredDirectory,
}

impl Opened {
    fn new(path: &Path, open: OpenEngine) -> Self {
        let parts = StoreParts::in_directory(path, open(path.join("engine"))).unwrap();
        let store = Store::open(parts).unwrap();
        let directory = StoredDirectory::open(&store, DirectoryOptions::default());
        Self {
            directory: block_on(directory).unwrap(),
            store,
        }
    }

    /// Something of every kind that a store keeps.
    async fn fill(&self, large: bool) {
        let organization = NewOrganization {
            id: ACME,
            account: AccountId::from_u64(42).unwrap(),
            alias: "acme".parse().unwrap(),
            test_domain: "acme.wm.localhost".parse().unwrap(),
            at: at(0),
        };
        let directory = &self.directory;
        let created = directory.create_organization(organization, audit("CreateOrganization"));
        created.await.unwrap();
        let domain: wm_core::DomainName = "acme.example".parse().unwrap();
        let mut changes = vec![
            DirectoryChange::AddDomain(domain.clone()),
            DirectoryChange::SetDomainVerified(domain, true),
        ];
        for ((id, name), (address, password)) in
            [(ALICE, "alice"), (BOB, "bob")].into_iter().zip(PASSWORDS)
        {
            changes.push(DirectoryChange::CreateUser(NewUser {
                id,
                name: name.into(),
                names: Names::default(),
                role: UserRole::User,
                password: Some(password.into()),
                at: at(0),
            }));
            changes.push(DirectoryChange::Enable(id.into(), address.parse().unwrap()));
        }
        for change in changes {
            let changed = directory.change(ACME, change, audit("Change"));
            changed.await.unwrap();
        }
        let key = ConfigKey {
            kind: ConfigKind::Gateway,
            name: "gateway".into(),
        };
        let document = Some(b"host = gateway.example".to_vec());
        let stored = directory.store(ACME, &key, None, document, audit("PutGateway"));
        stored.await.unwrap();

        let store = &self.store;
        for n in 1..=3 {
            for user in [ALICE, BOB] {
                let content = format!("Subject: message {n}\r\n\r\nText {n}.\r\n");
                deliver(store, n * 10 + user.as_u128(), user, &content).await;
            }
        }
        if large {
            let lines = (0..4000).map(|n| format!("line {n:010}\r\n"));
            let large = format!("Subject: large\r\n\r\n{}", lines.collect::<String>());
            deliver(store, 1, ALICE, &large).await;
        }
        store.rotate_keys(ACME).await.unwrap();

        let alice = mailbox(ALICE);
        let apply = async |seconds, operation| {
            let changes = operation_at(START + seconds, vec![operation]);
            let applied = store.apply(alice, changes).await.unwrap();
            applied.outcomes.into_iter().next().unwrap()
        };
        let folder = |parent, name: &str| {
            Operation::CreateFolder(NewFolder {
                parent,
                name: name.into(),
                class: FolderClass::Mail,
            })
        };
        let Outcome::Folder(projects) = apply(100, folder(None, "Projects")).await else {
            panic!()
        };
        let Outcome::Folder(office) = apply(101, folder(Some(projects), "Büro")).await else {
            panic!()
        };
        let (_, uids) = store.uids(alice, self.inbox(alice).await.id).await.unwrap();
        let expect = Default::default();
        let flag = ItemUpdate {
            set: Flags::READ | Flags::FLAGGED,
            properties: vec![(PropertyName::Tag(7), Some(PropertyValue::Guid(1 << 100)))],
            keywords: wm_core::traits::LabelChange::Replace(["$Work".parse().unwrap()].into()),
            ..ItemUpdate::default()
        };
        for (seconds, operation) in [
            (
                102,
                Operation::UpdateItem {
                    item: uids[0].1,
                    expect,
                    update: flag,
                },
            ),
            (
                103,
                Operation::CopyItem {
                    item: uids[0].1,
                    expect,
                    to: office.into(),
                },
            ),
            (
                104,
                Operation::MoveItem {
                    item: uids[1].1,
                    expect,
                    to: projects.into(),
                },
            ),
            (
                105,
                Operation::DeleteItem {
                    item: uids[2].1,
                    expect,
                },
            ),
        ] {
            apply(seconds, operation).await;
        }
        let key = StateKey {
            mailbox: alice,
            protocol: Protocol::ActiveSync,
            client: "phone".into(),
            name: "key".into(),
        };
        let state = Bytes::from_static(b"state");
        store
            .store(&key, None, state, Timestamp::MAX, at(0))
            .await
            .unwrap();
        let mut accepted = acceptance(2, vec![]);
        accepted.tasks.push(NewTask {
            organization: ACME,
            kind: TaskKind::Relay,
            reverse_path: ReversePath::NULL,
            recipients: vec!["x@example.org".parse().unwrap()],
            prefix: vec![],
            body: body(store, b"Subject: task\r\n\r\n").await,
            detail: String::new(),
            due: at(200),
        });
        store.accept(accepted).await.unwrap();
        store.clean_up().await.unwrap();
    }

    async fn inbox(&self, mailbox: MailboxRef) -> wm_core::model::Folder {
        let folders = self.store.folders(mailbox).await.unwrap();
        let mut folders = folders.into_iter();
        folders
            .find(|it| it.role == Some(FolderRole::Inbox))
            .unwrap()
    }

    /// Everything that can be read, as text; field by field, so that new ones do not change it.
    fn dump(&self) -> String {
        block_on(async {
            let mut text = String::new();
            let mut line = |what: String| writeln!(text, "{what}").unwrap();
            for organization in self.directory.organizations().await.unwrap() {
                let id = organization.id;
                line(format!("organization {} {id}", organization.alias));
                for domain in self.directory.domains(id).await.unwrap() {
                    line(format!(
                        "domain {}, verified {}",
                        domain.name, domain.verified
                    ));
                }
                for user in self.directory.users(id).await.unwrap() {
                    let addresses: Vec<_> = user.addresses().map(ToString::to_string).collect();
                    line(format!("user {} {} {addresses:?}", user.name, user.id));
                    let mailbox = user.mailbox();
                    for folder in self.store.folders(mailbox).await.unwrap() {
                        line(format!(
                            "folder {} {:?}, {:?} {}, {}, {} items, {} unread, {} octets",
                            folder.id,
                            folder.name,
                            folder.role,
                            folder.class.as_str(),
                            folder.uid_validity.0,
                            folder.total,
                            folder.unread,
                            folder.size
                        ));
                        for (item, content) in self.items(mailbox, folder.id).await {
                            line(format!(
                                "item {} {}, {} octets, {} {}, {:?} {:?} {:?}, {:?}",
                                item.uid.0,
                                item.id,
                                item.size,
                                item.received.as_millis(),
                                item.class.as_str(),
                                item.flags,
                                item.keywords
                                    .iter()
                                    .map(Keyword::as_str)
                                    .collect::<Vec<_>>(),
                                item.properties,
                                item.summary.subject
                            ));
                            line(match content.len() {
                                0..1000 => format!("{content:?}"),
                                length => format!("{length} octets, sum {}", sum(&content)),
                            });
                        }
                    }
                    let of = Protocol::ActiveSync;
                    for key in self.store.keys(mailbox, of, at(0)).await.unwrap() {
                        let record = self.store.load(&key, at(0)).await.unwrap().unwrap();
                        line(format!(
                            "state {} {} {:?}",
                            key.client, key.name, record.value
                        ));
                    }
                }
                for task in self.store.tasks(id, None, 100).await.unwrap() {
                    let to: Vec<_> = task
                        .what
                        .recipients
                        .iter()
                        .map(ToString::to_string)
                        .collect();
                    line(format!("task {:?} to {to:?}", task.what.kind));
                }
                let key = ConfigKey {
                    kind: ConfigKind::Gateway,
                    name: "gateway".into(),
                };
                let document = self.directory.load(id, &key).await.unwrap().unwrap();
                line(format!("gateway {:?}", Bytes::from(document.value)));
            }
            text
        })
    }

    async fn items(
        &self,
        mailbox: MailboxRef,
        folder: wm_core::FolderId,
    ) -> Vec<(wm_core::model::Item, String)> {
        let list = ItemList {
            folder,
            by: ListBy::Uid {
                from: Uid::new(1).unwrap(),
                to: None,
            },
            descending: false,
            after: None,
            limit: 1000,
        };
        let mut found = Vec::new();
        for item in self.store.items(mailbox, list).await.unwrap().entries {
            let content = MailboxStore::read(&self.store, mailbox, item.id, 0..u64::MAX);
            let pieces: Vec<Bytes> = content.await.unwrap().try_collect().await.unwrap();
            found.push((item, String::from_utf8(pieces.concat()).unwrap()));
        }
        found
    }
}

/// FNV-1a.
fn sum(content: &str) -> u64 {
    content.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, octet| {
        (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(START + seconds)
}

fn mailbox(user: UserId) -> MailboxRef {
    MailboxRef {
        organization: ACME,
        mailbox: user.into(),
    }
}

async fn body(store: &Store, content: &[u8]) -> Body {
    let writer = MailboxStore::body_writer(store, ACME).await;
    let mut writer: Box<dyn BodyWriter> = writer.unwrap();
    writer.write(Bytes::copy_from_slice(content)).await.unwrap();
    writer.finish().await.unwrap()
}

async fn deliver(store: &Store, id: u128, user: UserId, content: &str) -> Uid {
    let body = body(store, content.as_bytes()).await;
    let deliveries = vec![delivery(mailbox(user), message(body, "a subject"))];
    let accepted = store.accept(acceptance(id, deliveries)).await.unwrap();
    match accepted.deliveries[..] {
        [Outcome::Item { uid, .. }] => uid,
        ref other => panic!("{other:?}"),
    }
}

fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures/v1").join(name)
}

fn unpacked(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    unpack(&fixture(&format!("{name}.pack")), directory.path());
    directory
}

/// Blocks of a file that are all zeros are left out of a pack: engines make their files large.
const BLOCK: usize = 64;

/// Puts all files below a directory into one. For each: a line `path length blocks`, then each block that
/// is there as its number (4 octets, little-endian) and its octets, the last one filled with zeros.
fn pack(directory: &Path, into: &Path) {
    let mut out = Vec::new();
    for file in files(directory) {
        let name = file.strip_prefix(directory).unwrap().display().to_string();
        if name.ends_with("LOCK") {
            continue;
        }
        let mut octets = fs::read(&file).unwrap();
        let length = octets.len();
        octets.resize(length.div_ceil(BLOCK) * BLOCK, 0);
        let blocks = octets.chunks(BLOCK).enumerate();
        let there: Vec<_> = blocks
            .filter(|(_, it)| it.iter().any(|octet| *octet != 0))
            .collect();
        out.extend(format!("{name} {length} {}\n", there.len()).bytes());
        for (number, block) in there {
            out.extend((number as u32).to_le_bytes());
            out.extend(block);
        }
    }
    fs::write(into, out).unwrap();
}

fn unpack(pack: &Path, into: &Path) {
    let pack = fs::read(pack).unwrap();
    let mut rest = &pack[..];
    while !rest.is_empty() {
        let end = rest.iter().position(|octet| *octet == b'\n').unwrap();
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 1..];
        let [name, length, blocks] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let length: usize = length.parse().unwrap();
        let mut octets = vec![0; length.div_ceil(BLOCK) * BLOCK];
        for _ in 0..blocks.parse().unwrap() {
            let number = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            octets[number * BLOCK..][..BLOCK].copy_from_slice(&rest[4..][..BLOCK]);
            rest = &rest[4 + BLOCK..];
        }
        octets.truncate(length);
        let path = into.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, octets).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}
