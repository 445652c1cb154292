//! The stored directory keeps its contract on every engine, and what is beyond the contract:
//! configuration, audit, restarts, keys that are gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{ENGINES, OnDisk, OpenEngine};
use futures::{FutureExt, executor::block_on, future::join_all};
use std::{fs, ops::Deref, path::Path};
use wm_core::{
    AccountId, EmailAddress, Timestamp, UserId,
    contract::{audit, organization},
    model::{
        Device, DeviceState, EntityId, Grant, MailboxRights, Names, OrganizationState, UserRole,
    },
    traits::{
        AuditEvent, AuditLog, AuditQuery, ConfigKey, ConfigKind, ConfigStore, Directory,
        DirectoryAdmin, DirectoryChange, DirectoryError, Login, NewOrganization, NewUser,
        Resolution,
    },
};
use wm_store::{
    Store,
    directory::{DirectoryOptions, StoredDirectory},
};

mod memory {
    wm_core::directory_contract!(crate::Opened::new(Box::new(crate::common::memory())));
}

mod sled {
    wm_core::directory_contract!(crate::Opened::new(crate::common::sled()));
}

mod redb {
    wm_core::directory_contract!(crate::Opened::new(crate::common::redb()));
}

/// A directory and the store it is in.
struct Opened<S> {
    directory: StoredDirectory,
    store: S,
}

impl<S: Deref<Target = Store>> Opened<S> {
    fn new(store: S) -> Self {
        Self {
            directory: open(&store),
            store,
        }
    }
}

impl<S> Deref for Opened<S> {
    type Target = StoredDirectory;

    fn deref(&self) -> &StoredDirectory {
        &self.directory
    }
}

#[test]
fn everything_is_there_after_a_restart() {
    for engine in ENGINES {
        let directory = Opened::new(common::on_disk(engine));
        block_on(fill(&directory));
        let before = block_on(contents(&directory));
        let Opened { store, directory } = directory;
        drop(directory);
        let directory = Opened::new(reopen(store, engine));
        assert_eq!(block_on(contents(&directory)), before);
        assert!(block_on(directory.authenticate(&Login::new("alice"), &PASSWORD.into())).is_ok());
        // And it goes on from there.
        block_on(change(
            &directory,
            DirectoryChange::AddDomain("two.example".parse().unwrap()),
        ))
        .unwrap();
    }
}

#[test]
fn no_name_and_no_address_stands_in_clear_on_disk() {
    for engine in ENGINES {
        let directory = Opened::new(common::on_disk(engine));
        block_on(fill(&directory));
        let path = directory.store.directory.path().to_owned();
        let Opened { store, directory } = directory;
        drop(directory);
        let OnDisk {
            store,
            directory: _kept,
        } = store;
        drop(store);
        for text in [
            "alice",
            "Alice",
            "example",
            "gateway-7",
            "phone1",
            "CreateOrganization",
            "argon2",
        ] {
            assert!(!any_file_has(&path, text.as_bytes()), "{text}");
        }
    }
}

#[test]
fn of_changes_made_at_once_one_gets_the_address() {
    let directory = Opened::new(Box::new(common::memory()));
    block_on(fill(&directory));
    let made = (10..20).map(|n| {
        let new = NewUser {
            password: None,
            ..new_user(n, &format!("user{n}"))
        };
        change(&directory, DirectoryChange::CreateUser(new))
    });
    assert!(
        block_on(join_all(made))
            .into_iter()
            .all(|made| made.is_ok())
    );
    let enabled = (10..20).map(|n| {
        let user = UserId::from_u128(n);
        change(
            &directory,
            DirectoryChange::Enable(user.into(), address("office@example.com")),
        )
    });
    let enabled = block_on(join_all(enabled));
    assert_eq!(enabled.iter().filter(|result| result.is_ok()).count(), 1);
    let found = block_on(directory.resolve(&address("office@example.com"))).unwrap();
    assert!(matches!(found, Resolution::User(_)));
}

#[test]
fn a_change_whose_caller_went_away_is_whole() {
    let engine = ENGINES[1];
    let on_disk = Opened::new(common::on_disk(engine));
    block_on(fill(&on_disk));
    for n in 10..40 {
        let made = change(
            &on_disk,
            DirectoryChange::CreateUser(new_user(n, &format!("user{n}"))),
        );
        let mut made = Box::pin(made);
        // Polled a few times, given up somewhere on the way.
        for _ in 0..n % 4 {
            if made.as_mut().now_or_never().is_some() {
                break;
            }
            std::thread::yield_now();
        }
    }
    block_on(change(
        &on_disk,
        DirectoryChange::AddDomain("last.example".parse().unwrap()),
    ))
    .unwrap();
    let before = block_on(contents(&on_disk));
    let Opened { store, directory } = on_disk;
    drop(directory);
    let reopened = Opened::new(reopen(store, engine));
    assert_eq!(block_on(contents(&reopened)), before);
}

#[test]
fn a_change_and_its_audit_event_are_one() {
    let directory = Opened::new(Box::new(common::memory()));
    block_on(fill(&directory));
    let ask = |query: AuditQuery| block_on(directory.events(query)).unwrap();
    let all = AuditQuery {
        account: account(42),
        organization: None,
        from: None,
        until: None,
        limit: 1000,
    };
    let names = |events: Vec<AuditEvent>| {
        events
            .into_iter()
            .map(|event| event.name)
            .collect::<Vec<_>>()
    };
    let before = ask(all.clone()).len();

    let refused = directory.change(
        organization(1),
        DirectoryChange::AddDomain("example.com".parse().unwrap()),
        event(900, 5, "Refused"),
    );
    assert!(block_on(refused).is_err());
    assert_eq!(ask(all.clone()).len(), before);

    for (id, at, name) in [(901, 50, "Later"), (902, -50, "Earlier")] {
        let name_of_domain = format!("{name}.example").parse().unwrap();
        let change = DirectoryChange::AddDomain(name_of_domain);
        block_on(directory.change(organization(1), change, event(id, at, name))).unwrap();
    }
    block_on(directory.record(AuditEvent {
        account: account(7),
        ..event(903, 60, "Foreign")
    }))
    .unwrap();
    let other = AuditEvent {
        organization: Some(organization(2)),
        ..event(904, 55, "Other")
    };
    block_on(directory.record(other)).unwrap();

    assert_eq!(ask(all.clone()).len(), before + 3);
    assert_eq!(
        names(ask(AuditQuery {
            limit: 2,
            ..all.clone()
        })),
        ["Other", "Later"]
    );
    let of_one = AuditQuery {
        organization: Some(organization(2)),
        ..all.clone()
    };
    assert_eq!(names(ask(of_one)), ["Other"]);
    let window = AuditQuery {
        from: Some(at(-50)),
        until: Some(at(0)),
        ..all
    };
    assert_eq!(names(ask(window)), ["Earlier"]);
}

#[test]
fn of_two_writers_of_a_document_the_first_wins_and_versions_never_repeat() {
    let directory = Opened::new(Box::new(common::memory()));
    block_on(fill(&directory));
    let key = ConfigKey {
        kind: ConfigKind::Gateway,
        name: "new".into(),
    };
    let store = |expected, value: Option<&str>| {
        let value = value.map(|value| value.as_bytes().to_vec());
        block_on(directory.store(organization(1), &key, expected, value, audit("PutGateway")))
    };
    let first = store(None, Some("one")).unwrap();
    assert!(matches!(
        store(None, Some("x")),
        Err(DirectoryError::WrongState(_))
    ));
    let second = store(Some(first), Some("two")).unwrap();
    assert!(matches!(
        store(Some(first), Some("x")),
        Err(DirectoryError::WrongState(_))
    ));
    let loaded = block_on(directory.load(organization(1), &key))
        .unwrap()
        .unwrap();
    assert_eq!((loaded.version, &*loaded.value), (second, &b"two"[..]));
    assert_eq!(
        block_on(directory.names(organization(1), ConfigKind::Gateway)).unwrap(),
        ["gateway-7", "new"]
    );
    store(Some(second), None).unwrap();
    assert_eq!(
        block_on(directory.load(organization(1), &key)).unwrap(),
        None
    );
    assert!(store(None, Some("three")).unwrap() > second);
    assert_eq!(
        block_on(directory.load(organization(2), &key)).unwrap(),
        None
    );
}

#[test]
fn an_organization_without_keys_is_unavailable_and_the_others_are_not() {
    let engine = ENGINES[1];
    let directory = Opened::new(common::on_disk(engine));
    block_on(fill(&directory));
    let second = new_organization(2);
    block_on(directory.create_organization(second, audit("CreateOrganization"))).unwrap();
    block_on(directory.store.shred(organization(2))).unwrap();
    let Opened { store, directory } = directory;
    drop(directory);

    let directory = Opened::new(reopen(store, engine));
    let found = block_on(directory.resolve(&address("alice@example.com"))).unwrap();
    assert!(matches!(found, Resolution::User(_)));
    let unreadable = block_on(directory.resolve(&address("x@demo-2.test.example")));
    assert!(
        unreadable.is_err(),
        "not an unknown recipient: {unreadable:?}"
    );
    let known = block_on(directory.organization(organization(2)))
        .unwrap()
        .unwrap();
    assert_eq!(known.state, OrganizationState::Active);

    // It can still be deleted, and its domain is free again.
    for state in [OrganizationState::Deleting, OrganizationState::Deleted] {
        let delete = DirectoryChange::SetState(state);
        block_on(directory.change(organization(2), delete, audit("DeleteOrganization"))).unwrap();
    }
    let found = block_on(directory.resolve(&address("x@demo-2.test.example"))).unwrap();
    assert_eq!(found, Resolution::UnknownDomain);
    let alias_again = NewOrganization {
        id: organization(3),
        ..new_organization(2)
    };
    block_on(directory.create_organization(alias_again, audit("CreateOrganization"))).unwrap();
}

#[test]
fn the_journaling_address_of_a_test_domain_is_nobodys() {
    let directory = Opened::new(Box::new(common::memory()));
    block_on(fill(&directory));
    let alice = EntityId::User(UserId::from_u128(1));
    let reserved = address("AmazonJournaling@demo-1.test.example");
    let refused = block_on(change(
        &directory,
        DirectoryChange::AddAlias(alice, reserved),
    ));
    assert!(matches!(refused, Err(DirectoryError::AddressInUse(_))));
}

#[test]
fn deleting_a_user_takes_grants_memberships_and_devices_along() {
    let directory = Opened::new(Box::new(common::memory()));
    block_on(fill(&directory));
    let (alice, bob) = (UserId::from_u128(1), UserId::from_u128(2));
    for to_bob in [
        DirectoryChange::Disable(bob.into(), at(0)),
        DirectoryChange::Delete(bob.into()),
    ] {
        block_on(change(&directory, to_bob)).unwrap();
    }
    assert_eq!(
        block_on(directory.grants(organization(1), alice.into())).unwrap(),
        []
    );
    assert_eq!(
        block_on(directory.devices(organization(1), bob)).unwrap(),
        []
    );
}

/// Closes a store and opens it again.
fn reopen(on_disk: OnDisk, engine: OpenEngine) -> OnDisk {
    let OnDisk { store, directory } = on_disk;
    drop(store);
    OnDisk {
        store: common::open(directory.path(), engine),
        directory,
    }
}

const PASSWORD: &str = "Correct-Horse-9";

/// An organization with something of every kind.
async fn fill(directory: &StoredDirectory) {
    directory
        .create_organization(new_organization(1), audit("CreateOrganization"))
        .await
        .unwrap();
    let (alice, bob) = (UserId::from_u128(1), UserId::from_u128(2));
    let full = MailboxRights {
        full_access: true,
        ..MailboxRights::NONE
    };
    for step in [
        DirectoryChange::AddDomain("example.com".parse().unwrap()),
        DirectoryChange::CreateUser(new_user(1, "alice")),
        DirectoryChange::CreateUser(new_user(2, "bob")),
        DirectoryChange::Enable(alice.into(), address("Alice@example.com")),
        DirectoryChange::Enable(bob.into(), address("bob@example.com")),
        DirectoryChange::AddAlias(alice.into(), address("info@example.com")),
        DirectoryChange::PutGrant(Grant {
            on: alice.into(),
            to: bob.into(),
            rights: full,
        }),
        DirectoryChange::PutDevice(Device {
            id: "phone1".into(),
            user: bob,
            kind: "Phone".into(),
            model: String::new(),
            os: String::new(),
            user_agent: String::new(),
            state: DeviceState::ProvisioningRequired,
            first_seen: at(0),
            last_sync: at(0),
        }),
    ] {
        change(directory, step).await.unwrap();
    }
    let key = ConfigKey {
        kind: ConfigKind::Gateway,
        name: "gateway-7".into(),
    };
    let value = Some(b"host = gateway.example".to_vec());
    directory
        .store(organization(1), &key, None, value, audit("PutGateway"))
        .await
        .unwrap();
}

/// All that can be asked of the first organization, as text.
async fn contents(directory: &StoredDirectory) -> String {
    let id = organization(1);
    let alice = EntityId::User(UserId::from_u128(1));
    let gateway = ConfigKey {
        kind: ConfigKind::Gateway,
        name: "gateway-7".into(),
    };
    format!(
        "{:#?}",
        (
            directory.organizations().await.unwrap(),
            directory.domains(id).await.unwrap(),
            directory.users(id).await.unwrap(),
            directory.grants(id, alice).await.unwrap(),
            directory.devices(id, UserId::from_u128(2)).await.unwrap(),
            directory.load(id, &gateway).await.unwrap(),
            directory.search(id, "", 99).await.unwrap(),
        )
    )
}

fn open(store: &Store) -> StoredDirectory {
    let mut options = DirectoryOptions::default();
    options.cost.memory = 8;
    options.cost.passes = 1;
    block_on(StoredDirectory::open(store, options)).unwrap()
}

async fn change(
    directory: &StoredDirectory,
    change: DirectoryChange,
) -> Result<(), DirectoryError> {
    directory
        .change(organization(1), change, audit("Change"))
        .await
}

fn new_organization(n: u8) -> NewOrganization {
    NewOrganization {
        id: organization(n),
        account: account(42),
        alias: format!("demo-{n}").parse().unwrap(),
        test_domain: format!("demo-{n}.test.example").parse().unwrap(),
        at: at(0),
    }
}

fn new_user(n: u128, name: &str) -> NewUser {
    NewUser {
        id: UserId::from_u128(n),
        name: name.into(),
        names: Names::default(),
        role: UserRole::User,
        password: Some(PASSWORD.into()),
        at: at(0),
    }
}

fn event(id: u128, seconds: i64, name: &str) -> AuditEvent {
    AuditEvent {
        id,
        at: at(seconds),
        ..audit(name)
    }
}

/// Seconds around the time of the contract's events.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

fn account(number: u64) -> AccountId {
    AccountId::from_u64(number).unwrap()
}

fn address(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

fn any_file_has(path: &Path, text: &[u8]) -> bool {
    fs::read_dir(path).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => any_file_has(&path, text),
            false => fs::read(&path)
                .unwrap()
                .windows(text.len())
                .any(|window| window == text),
        }
    })
}
