//! What every [`DirectoryAdmin`] has to do. Use [`directory_contract!`](crate::directory_contract).
//! (A read-only [`Directory`](crate::traits::Directory) is checked by filling it from outside.)
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed check is a failed test"
)]
#![allow(missing_docs, reason = "each check's name says what it checks")]

use super::fixture::{audit, organization};
use crate::model::{
    EntityId, EntityState, Grant, MailboxRights, Names, OrganizationState, PrincipalRole,
    ResourceKind, UserRole,
};
use crate::traits::{
    AuthError, DirectoryAdmin, DirectoryChange, DirectoryError, Login, NewGroup, NewOrganization,
    NewResource, NewUser, PasswordFault, Resolution,
};
use crate::{
    AccountId, DomainName, EmailAddress, GroupId, OrganizationId, ResourceId, Secret, Timestamp,
    UserId,
};

/// Makes a test of every check, for the directory that the expression makes.
#[macro_export]
macro_rules! directory_contract {
    ($make:expr) => {
        $crate::contract_cases!(directory, $make;
            quick_setup_makes_an_active_organization_with_its_test_domain,
            an_enabled_user_is_found_by_every_address,
            every_login_form_is_accepted,
            failed_logins_are_not_told_apart,
            a_disabled_user_cannot_log_in_and_receives_nothing,
            a_password_that_breaks_the_policy_is_refused,
            an_address_belongs_to_one_entity,
            aliases_are_bounded_and_the_primary_can_be_changed,
            a_domain_in_use_is_not_removed,
            a_domain_belongs_to_one_organization,
            groups_come_down_to_their_members,
            grants_reach_through_groups,
            an_enabled_entity_is_not_deleted,
            the_address_list_finds_by_beginning,
            organizations_see_nothing_of_each_other,
            only_legal_states_follow,
            a_refused_change_changes_nothing,
        );
    };
}

const AT: Timestamp = Timestamp::from_seconds(1_800_000_000);
const PASSWORD: &str = "Correct-Horse-9";

pub async fn quick_setup_makes_an_active_organization_with_its_test_domain(
    directory: &dyn DirectoryAdmin,
) {
    let id = setup(directory, 1).await;
    let organization = directory.organization(id).await.unwrap().unwrap();
    assert_eq!(organization.state, OrganizationState::Active);
    assert_eq!(organization.default_domain, organization.test_domain);
    let domain = directory
        .domain(&organization.test_domain)
        .await
        .unwrap()
        .unwrap();
    assert!(domain.organization == id && domain.verified && domain.test);
    assert_eq!(directory.domains(id).await.unwrap(), [domain]);
    assert_eq!(directory.organizations().await.unwrap(), [organization]);
    let again = new_organization(2, "Demo-1", "other.example");
    assert!(matches!(
        directory.create_organization(again, audit("x")).await,
        Err(DirectoryError::NameInUse(_))
    ));
}

pub async fn an_enabled_user_is_found_by_every_address(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    add_domain(directory, id, "example.com").await;
    let alice = user(directory, id, 1, "alice", "Alice@example.com").await;
    change(
        directory,
        id,
        DirectoryChange::AddAlias(alice.into(), address("info@example.com")),
    )
    .await
    .unwrap();
    for known in [
        "alice@example.com",
        "ALICE@EXAMPLE.COM",
        "info@example.com",
        "alice@demo-1.test.example",
    ] {
        let found = directory.resolve(&address(known)).await.unwrap();
        assert!(
            matches!(&found, Resolution::User(user) if user.id == alice),
            "{known}: {found:?}"
        );
    }
    let unknown = directory
        .resolve(&address("nobody@example.com"))
        .await
        .unwrap();
    assert_eq!(unknown, Resolution::UnknownRecipient(id));
    let elsewhere = directory
        .resolve(&address("alice@example.org"))
        .await
        .unwrap();
    assert_eq!(elsewhere, Resolution::UnknownDomain);
    let stored = directory.user(id, alice).await.unwrap().unwrap();
    assert_eq!(stored.primary, Some(address("alice@example.com")));
    assert_eq!(stored.addresses().count(), 3);
}

pub async fn every_login_form_is_accepted(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    add_domain(directory, id, "example.com").await;
    let alice = user(directory, id, 1, "alice", "a.smith@example.com").await;
    change(
        directory,
        id,
        DirectoryChange::AddAlias(alice.into(), address("info@example.com")),
    )
    .await
    .unwrap();
    let forms = [
        "a.smith@example.com",
        "A.Smith@Example.com",
        "info@example.com",
        "alice@demo-1.test.example",
        r"demo-1\alice",
        "alice",
    ];
    for name in forms {
        let principal = directory
            .authenticate(&Login::new(name), &PASSWORD.into())
            .await;
        let principal = principal.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((principal.organization, principal.user), (id, alice));
        assert_eq!(
            (principal.address, principal.role),
            (address("a.smith@example.com"), PrincipalRole::User)
        );
    }
    // With a second organization a bare name needs to say which.
    let other = setup(directory, 2).await;
    let bare = directory
        .authenticate(&Login::new("alice"), &PASSWORD.into())
        .await;
    assert!(matches!(bare, Err(AuthError::InvalidCredentials)));
    let here = Login {
        organization: Some(id),
        ..Login::new("alice")
    };
    assert!(
        directory
            .authenticate(&here, &PASSWORD.into())
            .await
            .is_ok()
    );
    let there = Login {
        organization: Some(other),
        ..Login::new("alice")
    };
    assert!(
        directory
            .authenticate(&there, &PASSWORD.into())
            .await
            .is_err()
    );
}

pub async fn failed_logins_are_not_told_apart(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    user(directory, id, 1, "alice", "alice@demo-1.test.example").await;
    let disabled = NewUser {
        password: Some(PASSWORD.into()),
        ..new_user(2, "bob")
    };
    change(directory, id, DirectoryChange::CreateUser(disabled))
        .await
        .unwrap();
    let passwordless = new_user(3, "carol");
    change(directory, id, DirectoryChange::CreateUser(passwordless))
        .await
        .unwrap();
    let carol = EntityId::User(UserId::from_u128(3));
    change(
        directory,
        id,
        DirectoryChange::Enable(carol, address("carol@demo-1.test.example")),
    )
    .await
    .unwrap();
    for (name, password) in [
        ("alice", "wrong"),
        ("alice", ""),
        ("nobody", PASSWORD),
        ("nobody@demo-1.test.example", PASSWORD),
        ("nobody@unknown.example", PASSWORD),
        ("bob", PASSWORD),
        ("carol", ""),
        ("", ""),
        ("\u{0}", PASSWORD),
    ] {
        let error = directory
            .authenticate(&Login::new(name), &password.into())
            .await
            .unwrap_err();
        assert!(
            matches!(error, AuthError::InvalidCredentials),
            "{name}: {error}"
        );
        assert_eq!(error.to_string(), AuthError::InvalidCredentials.to_string());
    }
}

pub async fn a_disabled_user_cannot_log_in_and_receives_nothing(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    let alice = user(directory, id, 1, "alice", "alice@demo-1.test.example").await;
    change(directory, id, DirectoryChange::Disable(alice.into(), AT))
        .await
        .unwrap();
    assert!(
        directory
            .authenticate(&Login::new("alice"), &PASSWORD.into())
            .await
            .is_err()
    );
    let found = directory
        .resolve(&address("alice@demo-1.test.example"))
        .await
        .unwrap();
    assert_eq!(found, Resolution::UnknownRecipient(id));
    let stored = directory.user(id, alice).await.unwrap().unwrap();
    assert_eq!(
        (stored.state, stored.primary),
        (EntityState::Disabled { since: Some(AT) }, None)
    );
    let back = DirectoryChange::Enable(alice.into(), address("alice@demo-1.test.example"));
    change(directory, id, back).await.unwrap();
    assert!(
        directory
            .authenticate(&Login::new("alice"), &PASSWORD.into())
            .await
            .is_ok()
    );
}

pub async fn a_password_that_breaks_the_policy_is_refused(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    let alice = user(directory, id, 1, "alice", "alice@demo-1.test.example").await;
    let set = |password: &str| DirectoryChange::SetPassword(alice, Secret::from(password));
    for (password, fault) in [
        ("Ab1!", PasswordFault::TooShort(8)),
        (&*"Ab1!".repeat(65), PasswordFault::TooLong(256)),
        ("alllowercase", PasswordFault::TooUniform(3)),
        ("Tab\tulator-1", PasswordFault::Character),
        ("My-ALICE-2026", PasswordFault::ContainsName),
    ] {
        let error = change(directory, id, set(password)).await.unwrap_err();
        assert!(
            matches!(error, DirectoryError::Password(f) if f == fault),
            "{password:?}: {error}"
        );
    }
    change(directory, id, set("Battery-Staple-7"))
        .await
        .unwrap();
    assert!(
        directory
            .authenticate(&Login::new("alice"), &PASSWORD.into())
            .await
            .is_err()
    );
    assert!(
        directory
            .authenticate(&Login::new("alice"), &"Battery-Staple-7".into())
            .await
            .is_ok()
    );
}

pub async fn an_address_belongs_to_one_entity(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    let alice = user(directory, id, 1, "alice", "alice@demo-1.test.example").await;
    let taken = address("\"ALICE\"@demo-1.test.example");
    let bob = NewUser {
        password: None,
        ..new_user(2, "bob")
    };
    change(directory, id, DirectoryChange::CreateUser(bob))
        .await
        .unwrap();
    let bob = EntityId::User(UserId::from_u128(2));
    let refused = change(directory, id, DirectoryChange::Enable(bob, taken.clone())).await;
    assert!(matches!(refused, Err(DirectoryError::AddressInUse(a)) if a == taken));
    let elsewhere = change(
        directory,
        id,
        DirectoryChange::Enable(bob, address("bob@example.org")),
    )
    .await;
    assert!(matches!(elsewhere, Err(DirectoryError::NoSuchDomain(_))));
    change(
        directory,
        id,
        DirectoryChange::Enable(bob, address("bob@demo-1.test.example")),
    )
    .await
    .unwrap();
    let alias = DirectoryChange::AddAlias(alice.into(), address("bob@demo-1.test.example"));
    assert!(matches!(
        change(directory, id, alias).await,
        Err(DirectoryError::AddressInUse(_))
    ));
    let same_name = change(
        directory,
        id,
        DirectoryChange::CreateUser(new_user(4, "ALICE")),
    )
    .await;
    assert!(matches!(same_name, Err(DirectoryError::NameInUse(_))));
}

pub async fn aliases_are_bounded_and_the_primary_can_be_changed(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    let alice = user(directory, id, 1, "alice", "alice@demo-1.test.example").await;
    let alias = |n: usize| address(&format!("alias{n}@demo-1.test.example"));
    for n in 0..100 {
        change(
            directory,
            id,
            DirectoryChange::AddAlias(alice.into(), alias(n)),
        )
        .await
        .unwrap();
    }
    let full = change(
        directory,
        id,
        DirectoryChange::AddAlias(alice.into(), alias(100)),
    )
    .await;
    assert!(matches!(
        full,
        Err(DirectoryError::TooMany { limit: 100, .. })
    ));
    change(
        directory,
        id,
        DirectoryChange::SetPrimary(alice.into(), alias(7)),
    )
    .await
    .unwrap();
    let stored = directory.user(id, alice).await.unwrap().unwrap();
    assert_eq!(stored.primary, Some(alias(7)));
    assert!(
        stored
            .aliases
            .contains(&address("alice@demo-1.test.example"))
    );
    change(
        directory,
        id,
        DirectoryChange::RemoveAlias(alice.into(), alias(8)),
    )
    .await
    .unwrap();
    assert_eq!(
        directory.resolve(&alias(8)).await.unwrap(),
        Resolution::UnknownRecipient(id)
    );
}

pub async fn a_domain_in_use_is_not_removed(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    add_domain(directory, id, "example.com").await;
    let alice = user(directory, id, 1, "alice", "alice@example.com").await;
    let remove = || DirectoryChange::RemoveDomain(domain("example.com"));
    assert!(matches!(
        change(directory, id, remove()).await,
        Err(DirectoryError::DomainInUse(_))
    ));
    let other = address("alice@demo-1.test.example");
    change(
        directory,
        id,
        DirectoryChange::SetPrimary(alice.into(), other),
    )
    .await
    .unwrap();
    change(
        directory,
        id,
        DirectoryChange::RemoveAlias(alice.into(), address("alice@example.com")),
    )
    .await
    .unwrap();
    change(
        directory,
        id,
        DirectoryChange::SetDefaultDomain(domain("example.com")),
    )
    .await
    .unwrap();
    assert!(matches!(
        change(directory, id, remove()).await,
        Err(DirectoryError::DomainInUse(_))
    ));
    let test_domain = domain("demo-1.test.example");
    change(
        directory,
        id,
        DirectoryChange::SetDefaultDomain(test_domain.clone()),
    )
    .await
    .unwrap();
    change(directory, id, remove()).await.unwrap();
    assert_eq!(
        directory.domain(&domain("example.com")).await.unwrap(),
        None
    );
    let test = change(directory, id, DirectoryChange::RemoveDomain(test_domain)).await;
    assert!(matches!(test, Err(DirectoryError::DomainInUse(_))));
}

pub async fn a_domain_belongs_to_one_organization(directory: &dyn DirectoryAdmin) {
    let (one, two) = (setup(directory, 1).await, setup(directory, 2).await);
    change(
        directory,
        one,
        DirectoryChange::AddDomain(domain("example.com")),
    )
    .await
    .unwrap();
    let stored = directory
        .domain(&domain("EXAMPLE.com"))
        .await
        .unwrap()
        .unwrap();
    assert!(stored.organization == one && !stored.verified && !stored.test);
    for id in [one, two] {
        let again = change(
            directory,
            id,
            DirectoryChange::AddDomain(domain("example.com")),
        )
        .await;
        assert!(matches!(again, Err(DirectoryError::DomainInUse(_))));
    }
    change(
        directory,
        one,
        DirectoryChange::SetDomainVerified(domain("example.com"), true),
    )
    .await
    .unwrap();
    assert!(
        directory
            .domain(&domain("example.com"))
            .await
            .unwrap()
            .unwrap()
            .verified
    );
    let theirs = change(
        directory,
        two,
        DirectoryChange::SetDomainVerified(domain("example.com"), false),
    )
    .await;
    assert!(matches!(theirs, Err(DirectoryError::NoSuchDomain(_))));
}

pub async fn groups_come_down_to_their_members(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    let alice = user(directory, id, 1, "alice", "alice@demo-1.test.example").await;
    let bob = user(directory, id, 2, "bob", "bob@demo-1.test.example").await;
    let team = group(directory, id, 10, "team").await;
    for member in [alice, bob] {
        change(
            directory,
            id,
            DirectoryChange::AddMember(team, member.into()),
        )
        .await
        .unwrap();
        change(
            directory,
            id,
            DirectoryChange::AddMember(team, member.into()),
        )
        .await
        .unwrap();
    }
    let all = [EntityId::User(alice), EntityId::User(bob)];
    assert_eq!(directory.members(id, team).await.unwrap(), all);
    assert_eq!(directory.expand(id, team).await.unwrap(), all);
    assert_eq!(directory.memberships(id, bob.into()).await.unwrap(), [team]);
    // An organization's own directory does not nest groups (ORG-3).
    let other = group(directory, id, 11, "other").await;
    let nested = change(
        directory,
        id,
        DirectoryChange::AddMember(other, EntityId::Group(team)),
    )
    .await;
    assert!(matches!(nested, Err(DirectoryError::Unsupported(_))));
    change(
        directory,
        id,
        DirectoryChange::RemoveMember(team, bob.into()),
    )
    .await
    .unwrap();
    assert_eq!(
        directory.expand(id, team).await.unwrap(),
        [EntityId::User(alice)]
    );
    // Who is disabled is a member still, and receives nothing.
    change(directory, id, DirectoryChange::Disable(alice.into(), AT))
        .await
        .unwrap();
    assert_eq!(directory.expand(id, team).await.unwrap(), []);
    assert_eq!(
        directory.members(id, team).await.unwrap(),
        [EntityId::User(alice)]
    );
}

pub async fn grants_reach_through_groups(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    let alice = user(directory, id, 1, "alice", "alice@demo-1.test.example").await;
    let bob = user(directory, id, 2, "bob", "bob@demo-1.test.example").await;
    let team = group(directory, id, 10, "team").await;
    change(directory, id, DirectoryChange::AddMember(team, bob.into()))
        .await
        .unwrap();
    assert_eq!(
        directory.rights(id, bob, alice.into()).await.unwrap(),
        MailboxRights::NONE
    );

    let full = MailboxRights {
        full_access: true,
        ..MailboxRights::NONE
    };
    let behalf = MailboxRights {
        send_on_behalf: true,
        ..MailboxRights::NONE
    };
    for (to, rights) in [(EntityId::Group(team), full), (bob.into(), behalf)] {
        let grant = Grant {
            on: alice.into(),
            to,
            rights,
        };
        change(directory, id, DirectoryChange::PutGrant(grant))
            .await
            .unwrap();
    }
    assert_eq!(
        directory.rights(id, bob, alice.into()).await.unwrap(),
        full.union(behalf)
    );
    assert_eq!(directory.grants(id, alice.into()).await.unwrap().len(), 2);
    let none = Grant {
        on: alice.into(),
        to: bob.into(),
        rights: MailboxRights::NONE,
    };
    change(directory, id, DirectoryChange::PutGrant(none))
        .await
        .unwrap();
    assert_eq!(directory.rights(id, bob, alice.into()).await.unwrap(), full);

    let on_group = Grant {
        on: EntityId::Group(team),
        to: alice.into(),
        rights: full,
    };
    let refused = change(directory, id, DirectoryChange::PutGrant(on_group)).await;
    assert!(
        matches!(refused, Err(DirectoryError::Unsupported(_))),
        "GRP-3"
    );
}

pub async fn an_enabled_entity_is_not_deleted(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    let alice = user(directory, id, 1, "alice", "alice@demo-1.test.example").await;
    let team = group(directory, id, 10, "team").await;
    change(
        directory,
        id,
        DirectoryChange::AddMember(team, alice.into()),
    )
    .await
    .unwrap();
    let enabled = change(directory, id, DirectoryChange::Delete(alice.into())).await;
    assert!(matches!(enabled, Err(DirectoryError::WrongState(_))));
    change(directory, id, DirectoryChange::Disable(alice.into(), AT))
        .await
        .unwrap();
    change(directory, id, DirectoryChange::Delete(alice.into()))
        .await
        .unwrap();
    assert_eq!(directory.user(id, alice).await.unwrap(), None);
    assert_eq!(directory.expand(id, team).await.unwrap(), []);
    let again = change(directory, id, DirectoryChange::Delete(alice.into())).await;
    assert!(matches!(again, Err(DirectoryError::NoSuchEntity(_))));
    // The name is free; the id, and with it the old mailbox, is not taken over (USR-3).
    user(directory, id, 3, "alice", "alice@demo-1.test.example").await;
    let reused = change(
        directory,
        id,
        DirectoryChange::CreateUser(new_user(3, "eve")),
    )
    .await;
    assert!(matches!(reused, Err(DirectoryError::NameInUse(_))));
}

pub async fn the_address_list_finds_by_beginning(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    user(directory, id, 1, "alice", "asmith@demo-1.test.example").await;
    user(directory, id, 2, "bob", "bob@demo-1.test.example").await;
    group(directory, id, 10, "builders").await;
    let new = NewResource {
        id: ResourceId::from_u128(20),
        name: "room-1".into(),
        kind: ResourceKind::Room,
        description: "The big one".into(),
        at: AT,
    };
    change(directory, id, DirectoryChange::CreateResource(new))
        .await
        .unwrap();
    let names = async |prefix: &str, limit| {
        let found = directory.search(id, prefix, limit).await.unwrap();
        found
            .into_iter()
            .map(|entry| entry.display_name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("ASM", 9).await, ["Alice"], "by address");
    assert_eq!(
        names("b", 9).await,
        ["Bob", "builders"],
        "by name, in order"
    );
    assert_eq!(names("b", 1).await, ["Bob"]);
    assert_eq!(
        names("room", 9).await,
        Vec::<String>::new(),
        "what is not enabled is not listed"
    );
    assert_eq!(names("", 9).await.len(), 3);
}

pub async fn organizations_see_nothing_of_each_other(directory: &dyn DirectoryAdmin) {
    let (ours, theirs) = (setup(directory, 1).await, setup(directory, 2).await);
    let alice = user(directory, ours, 1, "alice", "alice@demo-1.test.example").await;
    let team = group(directory, ours, 10, "team").await;
    change(
        directory,
        ours,
        DirectoryChange::AddMember(team, alice.into()),
    )
    .await
    .unwrap();
    assert_eq!(directory.user(theirs, alice).await.unwrap(), None);
    assert_eq!(directory.group(theirs, team).await.unwrap(), None);
    assert!(directory.users(theirs).await.unwrap().is_empty());
    assert!(directory.search(theirs, "a", 9).await.unwrap().is_empty());
    assert!(
        directory
            .rights(theirs, alice, alice.into())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        directory
            .memberships(theirs, alice.into())
            .await
            .unwrap()
            .is_empty()
    );
    for members in [
        directory.members(theirs, team).await,
        directory.expand(theirs, team).await,
    ] {
        assert!(matches!(members, Err(DirectoryError::NoSuchEntity(_))));
    }
    for stranger in [
        DirectoryChange::SetPassword(alice, PASSWORD.into()),
        DirectoryChange::Disable(alice.into(), AT),
        DirectoryChange::AddMember(team, alice.into()),
        DirectoryChange::AddAlias(alice.into(), address("x@demo-2.test.example")),
    ] {
        let refused = change(directory, theirs, stranger).await;
        assert!(
            matches!(refused, Err(DirectoryError::NoSuchEntity(_))),
            "{refused:?}"
        );
    }
    // The same user name is free in each organization.
    user(directory, theirs, 2, "alice", "alice@demo-2.test.example").await;
}

pub async fn only_legal_states_follow(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    user(directory, id, 1, "alice", "alice@demo-1.test.example").await;
    let back = change(
        directory,
        id,
        DirectoryChange::SetState(OrganizationState::Creating),
    )
    .await;
    assert!(matches!(back, Err(DirectoryError::WrongState(_))));
    change(
        directory,
        id,
        DirectoryChange::SetState(OrganizationState::Inactive),
    )
    .await
    .unwrap();
    let login = directory
        .authenticate(&Login::new("alice"), &PASSWORD.into())
        .await;
    assert!(
        matches!(login, Err(AuthError::InvalidCredentials)),
        "an inactive organization serves nobody"
    );
}

pub async fn a_refused_change_changes_nothing(directory: &dyn DirectoryAdmin) {
    let id = setup(directory, 1).await;
    let alice = user(directory, id, 1, "alice", "alice@demo-1.test.example").await;
    user(directory, id, 2, "bob", "bob@demo-1.test.example").await;
    let before = directory.users(id).await.unwrap();
    for refused in [
        DirectoryChange::SetPrimary(alice.into(), address("bob@demo-1.test.example")),
        DirectoryChange::SetPrimary(alice.into(), address("unknown@demo-1.test.example")),
        DirectoryChange::RemoveAlias(alice.into(), address("alice@demo-1.test.example")),
        DirectoryChange::CreateUser(new_user(1, "carol")),
        DirectoryChange::CreateUser(NewUser {
            password: Some("short".into()),
            ..new_user(5, "carol")
        }),
        DirectoryChange::SetDefaultDomain(domain("unknown.example")),
    ] {
        assert!(change(directory, id, refused).await.is_err());
        assert_eq!(directory.users(id).await.unwrap(), before);
    }
}

async fn setup(directory: &dyn DirectoryAdmin, n: u8) -> OrganizationId {
    let new = new_organization(n, &format!("demo-{n}"), &format!("demo-{n}.test.example"));
    directory
        .create_organization(new, audit("CreateOrganization"))
        .await
        .unwrap();
    organization(n)
}

fn new_organization(n: u8, alias: &str, test_domain: &str) -> NewOrganization {
    NewOrganization {
        id: organization(n),
        account: AccountId::from_u64(42).unwrap(),
        alias: alias.parse().unwrap(),
        test_domain: domain(test_domain),
        at: AT,
    }
}

async fn add_domain(directory: &dyn DirectoryAdmin, id: OrganizationId, name: &str) {
    change(directory, id, DirectoryChange::AddDomain(domain(name)))
        .await
        .unwrap();
    change(
        directory,
        id,
        DirectoryChange::SetDomainVerified(domain(name), true),
    )
    .await
    .unwrap();
}

fn new_user(n: u128, name: &str) -> NewUser {
    let mut display = name.to_owned();
    display[..1].make_ascii_uppercase();
    NewUser {
        id: UserId::from_u128(n),
        name: name.into(),
        names: Names {
            display,
            ..Names::default()
        },
        role: UserRole::User,
        password: None,
        at: AT,
    }
}

async fn user(
    directory: &dyn DirectoryAdmin,
    id: OrganizationId,
    n: u128,
    name: &str,
    primary: &str,
) -> UserId {
    let new = NewUser {
        password: Some(PASSWORD.into()),
        ..new_user(n, name)
    };
    change(directory, id, DirectoryChange::CreateUser(new))
        .await
        .unwrap();
    let user = UserId::from_u128(n);
    change(
        directory,
        id,
        DirectoryChange::Enable(user.into(), address(primary)),
    )
    .await
    .unwrap();
    user
}

async fn group(directory: &dyn DirectoryAdmin, id: OrganizationId, n: u128, name: &str) -> GroupId {
    let group = GroupId::from_u128(n);
    change(
        directory,
        id,
        DirectoryChange::CreateGroup(NewGroup {
            id: group,
            name: name.into(),
            at: AT,
        }),
    )
    .await
    .unwrap();
    let primary = address(&format!("{name}@demo-1.test.example"));
    change(
        directory,
        id,
        DirectoryChange::Enable(EntityId::Group(group), primary),
    )
    .await
    .unwrap();
    group
}

async fn change(
    directory: &dyn DirectoryAdmin,
    id: OrganizationId,
    change: DirectoryChange,
) -> Result<(), DirectoryError> {
    directory.change(id, change, audit("Change")).await
}

fn address(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

fn domain(text: &str) -> DomainName {
    text.parse().unwrap()
}
