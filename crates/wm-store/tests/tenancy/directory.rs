//! [`Directory`], [`DirectoryAdmin`], [`ConfigStore`] and [`AuditLog`].

use crate::{
    Walked,
    common::NOW,
    two::{
        ALICE, ENTITIES, LATER, MALLORY, OURS, PASSWORD, ROOM, TEAM, THEIRS, Two, account_number,
        address, audit, device, new_user, setting,
    },
};
use wm_core::{
    DomainName, GroupId, OrganizationId, ResourceId,
    model::{BookingOptions, Grant, MailboxRights, ResourceKind},
    traits::{
        AuditLog, AuditQuery, AuthError, ConfigKind, ConfigStore, Directory, DirectoryAdmin,
        DirectoryChange as Change, DirectoryError, Login, NewGroup, NewOrganization, NewResource,
        Resolution, UserUpdate,
    },
};

pub async fn walk(two: &Two, walked: &mut Walked) {
    reading(two, walked).await;
    by_name(two, walked).await;
    changing(two, walked).await;
    making_an_organization(two, walked).await;
    configuration(two, walked).await;
    audit_log(two, walked).await;
}

/// Their organization has nobody and nothing of these ids.
async fn reading(two: &Two, walked: &mut Walked) {
    let it = &two.directory;
    let mut walked = |method: &str| walked.through(&format!("Directory::{method}"));
    walked("user");
    assert_eq!(it.user(THEIRS, ALICE).await.unwrap(), None);
    walked("group");
    assert_eq!(it.group(THEIRS, TEAM).await.unwrap(), None);
    walked("resource");
    assert_eq!(it.resource(THEIRS, ROOM).await.unwrap(), None);
    walked("users");
    let users = it.users(THEIRS).await.unwrap();
    assert!(users.iter().map(|user| user.id).eq([MALLORY]));
    walked("groups");
    assert_eq!(it.groups(THEIRS).await.unwrap(), []);
    walked("resources");
    assert_eq!(it.resources(THEIRS).await.unwrap(), []);

    let not_found = [
        ("members", it.members(THEIRS, TEAM).await.err()),
        ("expand", it.expand(THEIRS, TEAM).await.err()),
        ("delegates", it.delegates(THEIRS, ROOM).await.err()),
    ];
    for (method, error) in not_found {
        walked(method);
        assert!(
            matches!(error, Some(DirectoryError::NoSuchEntity(_))),
            "{method}: {error:?}"
        );
    }
    for entity in ENTITIES {
        assert_eq!(it.memberships(THEIRS, entity).await.unwrap(), []);
        assert_eq!(it.grants(THEIRS, entity).await.unwrap(), []);
        for user in [ALICE, MALLORY] {
            let rights = it.rights(THEIRS, user, entity).await.unwrap();
            assert_eq!(rights, MailboxRights::NONE);
        }
        // Nor has somebody of theirs a right in ours.
        let rights = it.rights(OURS, MALLORY, entity).await.unwrap();
        assert_eq!(rights, MailboxRights::NONE);
    }
    for method in ["memberships", "grants", "rights"] {
        walked(method);
    }
    walked("devices");
    assert_eq!(it.devices(THEIRS, ALICE).await.unwrap(), []);
    walked("search");
    for beginning in ["alice", "team", "room", "alice@ours"] {
        assert_eq!(it.search(THEIRS, beginning, 9).await.unwrap(), []);
    }
    assert_eq!(it.search(THEIRS, "", 9).await.unwrap().len(), 1);
    walked("domains");
    let domains = it.domains(THEIRS).await.unwrap();
    assert!(domains.iter().all(|domain| domain.organization == THEIRS));
    assert_eq!(domains.len(), 1);
}

/// What is found by a name that is unique in the installation says whose it is.
async fn by_name(two: &Two, walked: &mut Walked) {
    let it = &two.directory;
    for method in [
        "organization",
        "organizations",
        "domain",
        "resolve",
        "authenticate",
    ] {
        walked.through(&format!("Directory::{method}"));
    }
    let unknown = OrganizationId::from_u128(0xdead);
    assert_eq!(it.organization(unknown).await.unwrap(), None);
    assert_eq!(it.organization(THEIRS).await.unwrap().unwrap().id, THEIRS);
    let ids = it.organizations().await.unwrap();
    assert!(
        ids.iter()
            .map(|organization| organization.id)
            .eq([OURS, THEIRS])
    );
    let domain = it.domain(&domain("ours.example")).await.unwrap().unwrap();
    assert_eq!(domain.organization, OURS);
    // A local part of ours is unknown in their domain.
    let resolved = it.resolve(&address("alice@theirs.test.example")).await;
    assert_eq!(resolved.unwrap(), Resolution::UnknownRecipient(THEIRS));

    for name in [
        "alice",
        "alice@ours.test.example",
        "ours\\alice",
        "theirs\\alice",
    ] {
        let login = Login {
            name: name.into(),
            organization: Some(THEIRS),
        };
        let logged_in = it.authenticate(&login, &PASSWORD.into()).await;
        assert!(
            matches!(logged_in, Err(AuthError::InvalidCredentials)),
            "{name}: {logged_in:?}"
        );
    }
}

/// Every change that names an entity or a domain of ours is refused in their organization.
async fn changing(two: &Two, walked: &mut Walked) {
    walked.through("DirectoryAdmin::change");
    let theirs = address("stolen@theirs.test.example");
    let grant = |on, to| {
        Change::PutGrant(Grant {
            on,
            to,
            rights: MailboxRights {
                send_as: true,
                ..MailboxRights::NONE
            },
        })
    };
    let mut changes = vec![
        Change::RemoveDomain(domain("ours.example")),
        Change::SetDomainVerified(domain("ours.example"), true),
        Change::SetDefaultDomain(domain("ours.example")),
        Change::UpdateUser(ALICE, UserUpdate::default()),
        Change::SetPassword(ALICE, "another Horse 9".into()),
        Change::SetBooking(ROOM, BookingOptions::default()),
        Change::AddMember(TEAM, MALLORY.into()),
        Change::RemoveMember(TEAM, ALICE.into()),
        Change::AddDelegate(ROOM, MALLORY.into()),
        Change::RemoveDelegate(ROOM, ALICE.into()),
        Change::PutDevice(device()),
        Change::RemoveDevice(ALICE, device().id),
        grant(MALLORY.into(), TEAM.into()),
    ];
    for entity in ENTITIES {
        changes.extend([
            Change::Enable(entity, theirs.clone()),
            Change::Disable(entity, LATER),
            Change::Delete(entity),
            Change::AddAlias(entity, theirs.clone()),
            Change::RemoveAlias(entity, address("alice@ours.test.example")),
            Change::SetPrimary(entity, theirs.clone()),
            grant(entity, MALLORY.into()),
        ]);
    }
    for change in changes {
        let what = format!("{change:?}");
        let refused = two.change(THEIRS, change).await;
        assert!(
            matches!(
                refused,
                Err(DirectoryError::NoSuchEntity(_) | DirectoryError::NoSuchDomain(_))
            ),
            "{what}: {refused:?}"
        );
    }

    // What is ours for the whole installation is in use.
    let taken = two
        .change(THEIRS, Change::AddDomain(domain("ours.example")))
        .await;
    assert!(
        matches!(taken, Err(DirectoryError::DomainInUse(_))),
        "{taken:?}"
    );
    let foreign = Change::AddAlias(MALLORY.into(), address("mallory@ours.example"));
    let foreign = two.change(THEIRS, foreign).await;
    assert!(
        matches!(foreign, Err(DirectoryError::NoSuchDomain(_))),
        "{foreign:?}"
    );

    // A member of their group that is one of ours.
    let group = GroupId::from_u128(0x99);
    let new = NewGroup {
        id: group,
        name: "team".into(),
        at: NOW,
    };
    two.change(THEIRS, Change::CreateGroup(new)).await.unwrap();
    for entity in ENTITIES {
        let member = two.change(THEIRS, Change::AddMember(group, entity)).await;
        assert!(
            matches!(member, Err(DirectoryError::NoSuchEntity(_))),
            "{member:?}"
        );
    }

    // The same names and ids may be theirs, and then are others.
    let room = NewResource {
        id: ResourceId::from_u128(ROOM.as_u128()),
        name: "room".into(),
        kind: ResourceKind::Equipment,
        description: String::new(),
        at: NOW,
    };
    for change in [
        Change::CreateUser(new_user(ALICE, "alice")),
        Change::CreateResource(room),
        Change::Disable(MALLORY.into(), NOW),
    ] {
        two.change(THEIRS, change).await.unwrap();
    }
    let unknown = OrganizationId::from_u128(0xdead);
    let nowhere = two.change(unknown, Change::Delete(ALICE.into())).await;
    assert!(matches!(
        nowhere,
        Err(DirectoryError::NoSuchOrganization(_))
    ));
}

async fn making_an_organization(two: &Two, walked: &mut Walked) {
    walked.through("DirectoryAdmin::create_organization");
    let new = |id, alias: &str, test: &str| NewOrganization {
        id,
        account: account_number(2),
        alias: alias.parse().unwrap(),
        test_domain: domain(test),
        at: NOW,
    };
    let other = OrganizationId::from_u128(3);
    for (new, what) in [
        (new(OURS, "other", "other.test.example"), "our id"),
        (new(other, "ours", "other.test.example"), "our alias"),
        (new(other, "other", "ours.example"), "our domain"),
    ] {
        let event = audit(THEIRS, "CreateOrganization");
        let refused = two.directory.create_organization(new, event).await;
        assert!(
            matches!(
                refused,
                Err(DirectoryError::NameInUse(_) | DirectoryError::DomainInUse(_))
            ),
            "{what}: {refused:?}"
        );
    }
    assert_eq!(two.directory.organization(other).await.unwrap(), None);
}

async fn configuration(two: &Two, walked: &mut Walked) {
    for method in ["load", "names", "store"] {
        walked.through(&format!("ConfigStore::{method}"));
    }
    let (it, key) = (&two.directory, setting());
    assert_eq!(ConfigStore::load(it, THEIRS, &key).await.unwrap(), None);
    let names = it.names(THEIRS, ConfigKind::Gateway).await.unwrap();
    assert!(names.is_empty());
    for value in [Some(b"theirs".to_vec()), None] {
        let event = audit(THEIRS, "PutSetting");
        let replaced = it
            .store(THEIRS, &key, Some(two.config_version), value, event)
            .await;
        assert!(
            matches!(replaced, Err(DirectoryError::WrongState(_))),
            "{replaced:?}"
        );
    }
}

async fn audit_log(two: &Two, walked: &mut Walked) {
    walked.through("AuditLog::record");
    walked.through("AuditLog::events");
    let log = &two.directory;
    log.record(audit(THEIRS, "Walked")).await.unwrap();
    let query = |account, organization| AuditQuery {
        account: account_number(account),
        organization,
        from: None,
        until: None,
        limit: 999,
    };
    let theirs = log.events(query(2, None)).await.unwrap();
    assert!(!theirs.is_empty());
    assert!(
        theirs
            .iter()
            .all(|event| event.organization == Some(THEIRS))
    );
    assert_eq!(log.events(query(2, Some(OURS))).await.unwrap(), []);
    assert_eq!(log.events(query(1, Some(THEIRS))).await.unwrap(), []);
}

fn domain(name: &str) -> DomainName {
    name.parse().unwrap()
}
