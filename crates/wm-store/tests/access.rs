//! What people may see and do in mailboxes, by the access layer of wm-core over a stored directory:
//! ownership, Full Access, folder permissions, tenancy.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use bytes::Bytes;
use common::NOW;
use futures::{TryStreamExt, executor::block_on};
use std::sync::Arc;
use wm_core::{
    AccountId, EmailAddress, FolderId, GroupId, ItemId, MailboxRef, ModSeq, OrganizationId, UserId,
    access::{MailboxSession, Mailboxes},
    contract::audit,
    model::{
        EntityId, EventId, Flags, FolderPermission, FolderRights, FolderRole, Grant, Grantee,
        MailboxRights, Names, Origin, Principal, PrincipalRole, Protocol, UserRole,
    },
    traits::{
        Applied, DirectoryAdmin, DirectoryChange, Expect, FolderUpdate, ItemList, ItemUpdate,
        ListBy, MailboxStore, Mode, NewFolder, NewGroup, NewOrganization, NewUser, Operation,
        Outcome, StoreError,
    },
};
use wm_store::{
    Store,
    directory::{DirectoryOptions, StoredDirectory},
};

const ACME: OrganizationId = OrganizationId::from_u128(0xac);
const OTHER: OrganizationId = OrganizationId::from_u128(0x07);
const ALICE: UserId = UserId::from_u128(1);
const BOB: UserId = UserId::from_u128(2);
const STAFF: GroupId = GroupId::from_u128(3);
const MALLORY: UserId = UserId::from_u128(4);

#[test]
fn the_owner_may_do_everything() {
    let house = House::new();
    let alice = house.open(ALICE).unwrap();
    let item = house.put(&alice, FolderRole::Inbox).unwrap();
    assert_eq!(
        block_on(alice.folders()).unwrap().len(),
        FolderRole::ALL.len()
    );
    assert_eq!(read(&alice, item).unwrap(), CONTENT);
    act(&alice, mark_read(item)).unwrap();
    act(&alice, delete(item)).unwrap();
    assert!(block_on(alice.events(EventId::default(), 10)).is_ok());
}

#[test]
fn without_rights_there_is_no_mailbox() {
    let house = House::new();
    house.open(ALICE).unwrap();
    assert!(matches!(house.open(BOB), Err(StoreError::NoSuchMailbox(_))));
    let nobodys = MailboxRef {
        organization: ACME,
        mailbox: UserId::from_u128(99).into(),
    };
    let nothing = house.open_as(&principal(ACME, BOB), nobodys);
    assert!(matches!(nothing, Err(StoreError::NoSuchMailbox(_))));
}

#[test]
fn no_right_reaches_into_another_organization() {
    let house = House::new();
    house.open(ALICE).unwrap();
    let everybody = [
        principal(OTHER, MALLORY),
        // The ids of a user of the mailbox's organization, and every role, do not help.
        principal(OTHER, ALICE),
        Principal {
            role: PrincipalRole::MigrationAdministrator,
            ..principal(OTHER, MALLORY)
        },
    ];
    for stranger in everybody {
        let opened = house.open_as(&stranger, alices());
        assert!(
            matches!(opened, Err(StoreError::NoSuchMailbox(_))),
            "{stranger:?}"
        );
    }
}

#[test]
fn full_access_through_a_group_opens_everything_and_ends_at_once() {
    let house = House::new();
    let item = house
        .put(&house.open(ALICE).unwrap(), FolderRole::Inbox)
        .unwrap();
    house.grant(
        STAFF.into(),
        MailboxRights {
            full_access: true,
            ..MailboxRights::NONE
        },
    );
    let bob = house.open(BOB).unwrap();
    assert_eq!(read(&bob, item).unwrap(), CONTENT);
    assert_eq!(
        block_on(bob.folders()).unwrap().len(),
        FolderRole::ALL.len()
    );
    // PRM-4a: it includes the folder permissions.
    act(&bob, permit(folder_of(&bob, FolderRole::Inbox), &[])).unwrap();
    // PRM-5: the open session has nothing left.
    house.grant(STAFF.into(), MailboxRights::NONE);
    assert!(read(&bob, item).is_err());
    assert!(act(&bob, mark_read(item)).is_err());
    assert_eq!(block_on(bob.folders()).unwrap(), []);
}

#[test]
fn rights_to_send_do_not_open_a_mailbox() {
    let house = House::new();
    house.open(ALICE).unwrap();
    house.grant(
        BOB.into(),
        MailboxRights {
            full_access: false,
            send_as: true,
            send_on_behalf: true,
        },
    );
    assert!(matches!(house.open(BOB), Err(StoreError::NoSuchMailbox(_))));
}

#[test]
fn a_disabled_owners_mailbox_is_closed_to_others() {
    let house = House::new();
    house.open(ALICE).unwrap();
    house.grant(
        BOB.into(),
        MailboxRights {
            full_access: true,
            ..MailboxRights::NONE
        },
    );
    assert!(house.open(BOB).is_ok());
    house.change(DirectoryChange::Disable(ALICE.into(), NOW));
    assert!(matches!(house.open(BOB), Err(StoreError::NoSuchMailbox(_))));
}

#[test]
fn what_is_not_shared_does_not_exist() {
    let house = House::new();
    let alice = house.open(ALICE).unwrap();
    let hidden = house.put(&alice, FolderRole::Drafts).unwrap();
    let shared = house.put(&alice, FolderRole::Inbox).unwrap();
    house.share(&alice, FolderRole::Inbox, Grantee::User(BOB), REVIEWER);
    let bob = house.open(BOB).unwrap();
    let drafts = folder_of(&alice, FolderRole::Drafts);

    let seen: Vec<_> = block_on(bob.folders())
        .unwrap()
        .iter()
        .map(|f| f.role)
        .collect();
    assert_eq!(seen, [Some(FolderRole::Inbox)]);
    assert_eq!(read(&bob, shared).unwrap(), CONTENT);
    assert!(matches!(
        block_on(bob.folder(drafts)),
        Err(StoreError::NoSuchFolder(_))
    ));
    assert!(matches!(
        block_on(bob.item(hidden)),
        Err(StoreError::NoSuchItem(_))
    ));
    assert!(matches!(read(&bob, hidden), Err(StoreError::NoSuchItem(_))));
    assert!(matches!(
        block_on(bob.items(all(drafts))),
        Err(StoreError::NoSuchFolder(_))
    ));
    assert!(matches!(
        block_on(bob.uids(drafts)),
        Err(StoreError::NoSuchFolder(_))
    ));
    let changes = block_on(bob.changes(drafts, ModSeq::default(), 10));
    assert!(matches!(changes, Err(StoreError::NoSuchFolder(_))));
    let hierarchy = block_on(bob.folder_changes(ModSeq::default())).unwrap();
    assert_eq!(hierarchy.folders.len(), 1);
    assert!(matches!(
        block_on(bob.events(EventId::default(), 10)),
        Err(StoreError::Denied)
    ));
    // Nor may it be changed, moved or copied out of, alone or together with what may.
    for operation in [
        mark_read(hidden),
        delete(hidden),
        Operation::CopyItem {
            item: hidden,
            expect: Expect::default(),
            to: FolderRole::Inbox.into(),
        },
    ] {
        assert!(matches!(
            act(&bob, operation),
            Err(StoreError::NoSuchItem(_))
        ));
    }
    assert_eq!(block_on(alice.item(hidden)).unwrap().flags, Flags::NONE);
}

#[test]
fn a_reviewer_reads_and_changes_nothing() {
    let house = House::new();
    let alice = house.open(ALICE).unwrap();
    let item = house.put(&alice, FolderRole::Inbox).unwrap();
    house.share(&alice, FolderRole::Inbox, Grantee::Default, REVIEWER);
    let bob = house.open(BOB).unwrap();
    let inbox = folder_of(&bob, FolderRole::Inbox);
    assert_eq!(block_on(bob.rights(inbox)).unwrap(), REVIEWER);
    let new = NewFolder {
        parent: Some(inbox),
        name: "mine".into(),
        class: wm_core::model::FolderClass::Mail,
    };
    for operation in [
        mark_read(item),
        delete(item),
        Operation::MoveItem {
            item,
            expect: Expect::default(),
            to: inbox.into(),
        },
        Operation::CopyItem {
            item,
            expect: Expect::default(),
            to: inbox.into(),
        },
        Operation::CreateFolder(NewFolder {
            parent: None,
            ..new.clone()
        }),
        Operation::CreateFolder(new),
        Operation::DeleteFolder { folder: inbox },
        permit(inbox, &[(Grantee::User(BOB), FolderRights::ALL)]),
    ] {
        let refused = act(&bob, operation.clone());
        assert!(
            matches!(refused, Err(StoreError::Denied)),
            "{operation:?}: {refused:?}"
        );
    }
    assert!(matches!(
        house.put(&bob, FolderRole::Inbox),
        Err(StoreError::Denied)
    ));
}

#[test]
fn an_author_changes_what_is_their_own() {
    let house = House::new();
    let alice = house.open(ALICE).unwrap();
    let hers = house.put(&alice, FolderRole::Inbox).unwrap();
    let author =
        REVIEWER | FolderRights::CREATE | FolderRights::EDIT_OWN | FolderRights::DELETE_OWN;
    house.share(&alice, FolderRole::Inbox, Grantee::Group(STAFF), author);
    let bob = house.open(BOB).unwrap();
    let his = house.put(&bob, FolderRole::Inbox).unwrap();
    assert_eq!(block_on(alice.item(his)).unwrap().creator, Some(BOB));
    act(&bob, mark_read(his)).unwrap();
    assert!(matches!(
        act(&bob, mark_read(hers)),
        Err(StoreError::Denied)
    ));
    assert!(matches!(act(&bob, delete(hers)), Err(StoreError::Denied)));
    act(&bob, delete(his)).unwrap();
}

#[test]
fn an_entry_of_ones_own_comes_before_those_of_groups_and_of_all() {
    let house = House::new();
    let alice = house.open(ALICE).unwrap();
    let inbox = folder_of(&alice, FolderRole::Inbox);
    let all = (Grantee::Default, FolderRights::ALL);
    let staff = (Grantee::Group(STAFF), REVIEWER);
    let nothing = (Grantee::User(BOB), FolderRights::NONE);
    act(&alice, permit(inbox, &[all, staff])).unwrap();
    let bob = house.open(BOB).unwrap();
    assert_eq!(block_on(bob.rights(inbox)).unwrap(), REVIEWER);
    act(&alice, permit(inbox, &[all, staff, nothing])).unwrap();
    assert!(matches!(
        block_on(bob.folder(inbox)),
        Err(StoreError::NoSuchFolder(_))
    ));
    // What was shared and is not any more is reported gone.
    let changes = block_on(bob.folder_changes(ModSeq::default())).unwrap();
    assert!(changes.folders.is_empty() && changes.gone.contains(&inbox));
}

#[test]
fn a_refused_operation_refuses_the_others_whatever_the_mode() {
    let house = House::new();
    let alice = house.open(ALICE).unwrap();
    let item = house.put(&alice, FolderRole::Inbox).unwrap();
    let editor = REVIEWER | FolderRights::EDIT_ALL;
    house.share(&alice, FolderRole::Inbox, Grantee::User(BOB), editor);
    let bob = house.open(BOB).unwrap();
    for mode in [Mode::AllOrNothing, Mode::EachOnItsOwn] {
        let both = vec![mark_read(item), delete(item)];
        let refused = block_on(bob.apply(mode, both, NOW));
        assert!(matches!(refused, Err(StoreError::Denied)));
        assert_eq!(block_on(alice.item(item)).unwrap().flags, Flags::NONE);
    }
    act(&bob, mark_read(item)).unwrap();
    assert_eq!(block_on(alice.item(item)).unwrap().flags, Flags::READ);
}

#[test]
fn a_folder_with_one_that_is_not_shared_below_it_is_not_deleted() {
    let house = House::new();
    let alice = house.open(ALICE).unwrap();
    let make = |parent, name: &str| {
        let new = NewFolder {
            parent,
            name: name.into(),
            class: wm_core::model::FolderClass::Mail,
        };
        match act(&alice, Operation::CreateFolder(new)).unwrap().outcomes[..] {
            [Outcome::Folder(folder)] => folder,
            ref other => panic!("{other:?}"),
        }
    };
    let project = make(None, "project");
    let private = make(Some(project), "private");
    act(
        &alice,
        permit(project, &[(Grantee::User(BOB), FolderRights::ALL)]),
    )
    .unwrap();
    let bob = house.open(BOB).unwrap();
    let gone = act(&bob, Operation::DeleteFolder { folder: project });
    assert!(matches!(gone, Err(StoreError::Denied)));
    act(
        &alice,
        permit(private, &[(Grantee::User(BOB), FolderRights::ALL)]),
    )
    .unwrap();
    act(&bob, Operation::DeleteFolder { folder: project }).unwrap();
}

#[test]
fn a_migration_administrator_has_every_mailbox_of_the_organization() {
    let house = House::new();
    let item = house
        .put(&house.open(ALICE).unwrap(), FolderRole::Inbox)
        .unwrap();
    let migration = Principal {
        role: PrincipalRole::MigrationAdministrator,
        ..principal(ACME, BOB)
    };
    let session = house.open_as(&migration, alices()).unwrap();
    assert_eq!(read(&session, item).unwrap(), CONTENT);
}

const CONTENT: &[u8] = b"Subject: plans\r\n\r\nNone yet.\r\n";
const REVIEWER: FolderRights = FolderRights::VISIBLE.union(FolderRights::READ);

/// Two organizations: in one Alice, Bob and the staff, whose only member is Bob; in the other
/// Mallory.
struct House {
    store: Arc<Store>,
    directory: Arc<StoredDirectory>,
    mailboxes: Mailboxes,
}

impl House {
    fn new() -> Self {
        let store = Arc::new(common::memory());
        let mut options = DirectoryOptions::default();
        options.cost.memory = 8;
        options.cost.passes = 1;
        let directory = Arc::new(block_on(StoredDirectory::open(&store, options)).unwrap());
        let mailboxes = Mailboxes::new(store.clone(), directory.clone());
        let house = Self {
            store,
            directory,
            mailboxes,
        };
        house.organization(ACME, "acme");
        house.organization(OTHER, "other");
        house.user(ACME, ALICE, "alice");
        house.user(ACME, BOB, "bob");
        house.user(OTHER, MALLORY, "mallory");
        house.change(DirectoryChange::CreateGroup(NewGroup {
            id: STAFF,
            name: "staff".into(),
            at: NOW,
        }));
        house.change(DirectoryChange::Enable(
            STAFF.into(),
            address(ACME, "staff"),
        ));
        house.change(DirectoryChange::AddMember(STAFF, BOB.into()));
        house
    }

    fn organization(&self, id: OrganizationId, alias: &str) {
        let new = NewOrganization {
            id,
            account: AccountId::from_u64(42).unwrap(),
            alias: alias.parse().unwrap(),
            test_domain: address(id, "any").domain().clone(),
            at: NOW,
        };
        block_on(
            self.directory
                .create_organization(new, audit("CreateOrganization")),
        )
        .unwrap();
    }

    fn user(&self, organization: OrganizationId, id: UserId, name: &str) {
        let new = NewUser {
            id,
            name: name.into(),
            names: Names::default(),
            role: UserRole::User,
            password: None,
            at: NOW,
        };
        let enable = DirectoryChange::Enable(id.into(), address(organization, name));
        for change in [DirectoryChange::CreateUser(new), enable] {
            block_on(self.directory.change(organization, change, audit("Change"))).unwrap();
        }
    }

    fn change(&self, change: DirectoryChange) {
        block_on(self.directory.change(ACME, change, audit("Change"))).unwrap();
    }

    /// Rights on Alice.
    fn grant(&self, to: EntityId, rights: MailboxRights) {
        self.change(DirectoryChange::PutGrant(Grant {
            on: ALICE.into(),
            to,
            rights,
        }));
    }

    /// Alice's mailbox, for somebody of her organization.
    fn open(&self, user: UserId) -> Result<MailboxSession, StoreError> {
        self.open_as(&principal(ACME, user), alices())
    }

    fn open_as(&self, who: &Principal, mailbox: MailboxRef) -> Result<MailboxSession, StoreError> {
        let origin = Origin::new(Protocol::Imap, "test");
        block_on(self.mailboxes.open(who, mailbox, origin, NOW))
    }

    fn put(&self, session: &MailboxSession, folder: FolderRole) -> Result<ItemId, StoreError> {
        block_on(async {
            let mut writer = session.body_writer().await?;
            writer.write(Bytes::from_static(CONTENT)).await?;
            let mut item = common::message(writer.finish().await?, "plans");
            item.folder = folder.into();
            item.content.prefix.clear();
            let applied = session.apply(Mode::AllOrNothing, vec![Operation::AddItem(item)], NOW);
            match applied.await?.outcomes[..] {
                [Outcome::Item { item, .. }] => Ok(item),
                ref other => panic!("{other:?}"),
            }
        })
    }

    fn share(&self, owner: &MailboxSession, folder: FolderRole, to: Grantee, rights: FolderRights) {
        act(owner, permit(folder_of(owner, folder), &[(to, rights)])).unwrap();
        // Anything else would be a test of nothing.
        assert!(
            block_on(self.store.folders(alices()))
                .unwrap()
                .iter()
                .any(|f| !f.permissions.is_empty())
        );
    }
}

fn alices() -> MailboxRef {
    MailboxRef {
        organization: ACME,
        mailbox: ALICE.into(),
    }
}

fn principal(organization: OrganizationId, user: UserId) -> Principal {
    Principal {
        organization,
        user,
        address: address(organization, "someone"),
        role: PrincipalRole::User,
    }
}

fn address(organization: OrganizationId, local: &str) -> EmailAddress {
    let domain = if organization == ACME {
        "acme"
    } else {
        "other"
    };
    format!("{local}@{domain}.example").parse().unwrap()
}

fn folder_of(session: &MailboxSession, role: FolderRole) -> FolderId {
    block_on(session.folder_with_role(role)).unwrap().id
}

fn all(folder: FolderId) -> ItemList {
    ItemList {
        folder,
        by: ListBy::Received {
            from: None,
            until: None,
        },
        descending: true,
        after: None,
        limit: 10,
    }
}

fn act(session: &MailboxSession, operation: Operation) -> Result<Applied, StoreError> {
    block_on(session.apply(Mode::AllOrNothing, vec![operation], NOW))
}

fn read(session: &MailboxSession, item: ItemId) -> Result<Vec<u8>, StoreError> {
    block_on(async {
        let pieces: Vec<Bytes> = session.read(item, 0..u64::MAX).await?.try_collect().await?;
        Ok(pieces.concat())
    })
}

fn mark_read(item: ItemId) -> Operation {
    let update = ItemUpdate {
        set: Flags::READ,
        ..ItemUpdate::default()
    };
    Operation::UpdateItem {
        item,
        expect: Expect::default(),
        update,
    }
}

fn delete(item: ItemId) -> Operation {
    Operation::DeleteItem {
        item,
        expect: Expect::default(),
    }
}

fn permit(folder: FolderId, entries: &[(Grantee, FolderRights)]) -> Operation {
    let entry = |&(grantee, rights): &_| FolderPermission { grantee, rights };
    let update = FolderUpdate {
        permissions: Some(entries.iter().map(entry).collect()),
        ..FolderUpdate::default()
    };
    Operation::UpdateFolder { folder, update }
}
