use std::sync::atomic::{AtomicU64, Ordering};

use wm_core::model::{Names, UserRole};
use wm_core::traits::{Directory, NewOrganization, NewUser};
use wm_core::{AccountId, OrganizationId, Secret, Timestamp, UserId};
use wm_store::directory::{DirectoryOptions, StoredDirectory};
use wm_store::{Store, StoreParts};

use super::*;

struct Count(AtomicU64);

impl IdSource for Count {
    fn fresh(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A directory in memory with the organization `demo` and its user `alice`.
struct Installation {
    directory: StoredDirectory,
    ids: Count,
    limits: Limits,
    _store: Store,
}

impl Installation {
    async fn new() -> Self {
        let store = Store::open(StoreParts::in_memory().unwrap()).unwrap();
        let directory = StoredDirectory::open(&store, DirectoryOptions::default());
        let installation = Self {
            directory: directory.await.unwrap(),
            ids: Count(1_000.into()),
            limits: Limits::default(),
            _store: store,
        };
        installation.organization(1, "demo").await;
        let alice = UserId::from_u128(7);
        let new = NewUser {
            id: alice,
            name: "alice".into(),
            names: Names::default(),
            role: UserRole::User,
            password: Some(Secret::from("Tr0ub4dor&3")),
            at: now(),
        };
        let enable = DirectoryChange::Enable(EntityId::User(alice), address("alice@demo.test"));
        for change in [DirectoryChange::CreateUser(new), enable] {
            let domains = installation.domains();
            let demo = domains.organization(None).await.unwrap();
            domains.change(&demo, change, "Test").await.unwrap();
        }
        installation
    }

    async fn organization(&self, id: u128, alias: &str) {
        let new = NewOrganization {
            id: OrganizationId::from_u128(id),
            account: AccountId::from_u64(1).unwrap(),
            alias: alias.parse().unwrap(),
            test_domain: domain(&format!("{alias}.test")),
            at: now(),
        };
        let audit = AuditEvent {
            id: self.ids.fresh(),
            at: now(),
            identity: "test".into(),
            name: "CreateOrganization".into(),
            account: new.account,
            organization: Some(new.id),
            source_address: String::new(),
            user_agent: String::new(),
            request_id: String::new(),
            parameters: String::new(),
            outcome: AuditOutcome::Done(String::new()),
        };
        self.directory
            .create_organization(new, audit)
            .await
            .unwrap();
    }

    fn domains(&self) -> Domains<'_> {
        Domains {
            directory: &self.directory,
            clock: &now,
            ids: &self.ids,
            limits: &self.limits,
        }
    }

    async fn ask(&self, request: DomainRequest) -> DomainAnswer {
        self.domains().answer(request).await
    }

    async fn add(&self, name: &str) -> DomainAnswer {
        self.ask(add(name)).await
    }

    async fn remove(&self, name: &str, role_addresses: bool) -> DomainAnswer {
        let domain = domain(name);
        let request = DomainRequest::Remove {
            domain,
            role_addresses,
        };
        self.ask(request).await
    }

    async fn names(&self) -> Vec<String> {
        let all = DomainRequest::List { organization: None };
        let all = self.ask(all).await.unwrap();
        all.iter().map(|line| line.domain.to_string()).collect()
    }
}

fn now() -> Timestamp {
    Timestamp::from_seconds(1_700_000_000)
}

fn domain(name: &str) -> DomainName {
    name.parse().unwrap()
}

fn address(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

fn add(name: &str) -> DomainRequest {
    DomainRequest::Add {
        domain: domain(name),
        organization: None,
        postmaster: None,
        beyond_setup: false,
    }
}

#[tokio::test]
async fn a_domain_is_added_once_and_not_verified() {
    let installation = Installation::new().await;
    let first = installation.add("example.com").await.unwrap();
    assert_eq!(first, installation.add("EXAMPLE.com").await.unwrap());
    let [line] = first.as_slice() else {
        panic!("{first:?}");
    };
    assert!(!line.verified && !line.default && !line.test);
    assert_eq!(
        line.missing_addresses,
        [
            address("postmaster@example.com"),
            address("abuse@example.com")
        ],
        "they are offered"
    );
    assert_eq!(installation.names().await, ["demo.test", "example.com"]);
}

#[tokio::test]
async fn setup_adds_a_hundred_domains_and_beyond_it_there_are_a_thousand() {
    let mut installation = Installation::new().await;
    for i in 1..100 {
        installation.add(&format!("d{i}.example")).await.unwrap();
    }
    let refused = installation.add("d100.example").await.unwrap_err();
    assert!(
        refused.contains("up to 100") && refused.contains("1000"),
        "{refused}"
    );
    // One that is there is no further one.
    installation.add("d99.example").await.unwrap();
    let beyond = |name: &str| DomainRequest::Add {
        domain: domain(name),
        organization: None,
        postmaster: None,
        beyond_setup: true,
    };
    for i in 100..1_000 {
        let added = installation.ask(beyond(&format!("d{i}.example"))).await;
        added.unwrap();
    }
    let refused = installation.ask(beyond("d1000.example")).await.unwrap_err();
    assert_eq!(refused, "more than 1000 domains");
    assert_eq!(installation.names().await.len(), 1_000);
    // The limit is the one that is given.
    installation.limits.domains_through_setup = 2_000;
    let refused = installation.add("d1000.example").await.unwrap_err();
    assert_eq!(refused, "more than 1000 domains");
}

#[tokio::test]
async fn removal_is_refused_while_an_address_uses_the_domain() {
    let installation = Installation::new().await;
    let with_postmaster = DomainRequest::Add {
        domain: domain("example.com"),
        organization: Some("demo".parse().unwrap()),
        postmaster: Some(address("alice@demo.test")),
        beyond_setup: false,
    };
    for _ in 0..2 {
        let added = installation.ask(with_postmaster.clone()).await.unwrap();
        assert!(added[0].missing_addresses.is_empty());
    }
    for role in ["postmaster@example.com", "abuse@example.com"] {
        let found = installation.directory.resolve(&address(role)).await;
        assert!(matches!(found, Ok(Resolution::User(user)) if user.name == "alice"));
    }
    let refused = installation.remove("example.com", false).await.unwrap_err();
    assert!(
        refused.contains("abuse@example.com") && refused.contains("postmaster@example.com"),
        "{refused}"
    );
    // With another address in use, none is taken away.
    let alias = DirectoryChange::AddAlias(
        EntityId::User(UserId::from_u128(7)),
        address("sales@example.com"),
    );
    let domains = installation.domains();
    let demo = domains.organization(None).await.unwrap();
    domains.change(&demo, alias, "Test").await.unwrap();
    let refused = installation.remove("example.com", true).await.unwrap_err();
    assert_eq!(
        refused,
        "example.com has addresses in use: sales@example.com"
    );
    let abuse = address("abuse@example.com");
    let found = installation.directory.resolve(&abuse);
    assert!(matches!(found.await, Ok(Resolution::User(_))));
    let alias = DirectoryChange::RemoveAlias(
        EntityId::User(UserId::from_u128(7)),
        address("sales@example.com"),
    );
    domains.change(&demo, alias, "Test").await.unwrap();
    assert_eq!(installation.remove("example.com", true).await, Ok(vec![]));
    assert_eq!(installation.names().await, ["demo.test"]);
    let again = installation.remove("example.com", true).await.unwrap_err();
    assert_eq!(again, "no organization has the domain example.com");
}

#[tokio::test]
async fn another_default_domain_changes_no_address_and_is_not_removed() {
    let installation = Installation::new().await;
    installation.add("example.com").await.unwrap();
    let before = installation
        .directory
        .users(OrganizationId::from_u128(1))
        .await
        .unwrap();
    let default = |name: &str| DomainRequest::Default {
        domain: domain(name),
    };
    for _ in 0..2 {
        let changed = installation.ask(default("example.com")).await.unwrap();
        assert!(changed[0].default);
    }
    let after = installation
        .directory
        .users(OrganizationId::from_u128(1))
        .await
        .unwrap();
    assert_eq!(before, after);
    let refused = installation.remove("example.com", false).await.unwrap_err();
    assert!(refused.contains("default domain"), "{refused}");
    let refused = installation.remove("demo.test", false).await.unwrap_err();
    assert!(refused.contains("test domain"), "{refused}");
    let unknown = installation.ask(default("example.org")).await.unwrap_err();
    assert_eq!(unknown, "no organization has the domain example.org");
}

#[tokio::test]
async fn a_domain_is_of_one_organization_and_several_are_told_apart() {
    let installation = Installation::new().await;
    installation.add("example.com").await.unwrap();
    installation.organization(2, "acme").await;
    let ambiguous = installation.add("example.org").await.unwrap_err();
    assert!(ambiguous.contains("--organization"), "{ambiguous}");
    let of = |alias: &str, name: &str, postmaster: Option<&str>| DomainRequest::Add {
        domain: domain(name),
        organization: Some(alias.parse().unwrap()),
        postmaster: postmaster.map(address),
        beyond_setup: false,
    };
    for (request, why) in [
        (
            of("acme", "example.com", None),
            "belongs to another organization",
        ),
        (
            of("other", "example.org", None),
            "there is no organization other",
        ),
        (
            of("acme", "example.org", Some("alice@demo.test")),
            "nobody in acme has the address alice@demo.test",
        ),
    ] {
        let refused = installation.ask(request).await.unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    let of_acme = DomainRequest::List {
        organization: Some("acme".parse().unwrap()),
    };
    let listed = installation.ask(of_acme).await.unwrap();
    let names: Vec<String> = listed.iter().map(|it| it.domain.to_string()).collect();
    assert_eq!(names, ["acme.test", "example.org"]);
}

#[tokio::test]
async fn what_is_noted_of_ownership_is_news_once_and_never_of_a_test_domain() {
    let installation = Installation::new().await;
    installation.add("example.com").await.unwrap();
    let note = async |name: &str, verified: bool| {
        let domain = domain(name);
        let request = DomainRequest::Verified { domain, verified };
        installation.ask(request).await.unwrap().len()
    };
    assert_eq!(note("example.com", true).await, 1);
    assert_eq!(note("example.com", true).await, 0);
    assert_eq!(note("example.com", false).await, 1);
    assert_eq!(note("demo.test", false).await, 0);
    assert_eq!(note("example.org", true).await, 0);
    let test = installation.directory.domain(&domain("demo.test")).await;
    assert!(test.unwrap().unwrap().verified);
}
