//! A directory of a few people and a spool that keeps what it accepts.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use wm_core::model::{
    Device, DirectoryKind, EntityId, EntityState, GalEntry, Grant, Group, MailDomain,
    MailboxRights, Names, Organization, OrganizationState, Principal, PrincipalRole, Resource,
    User, UserRole,
};
use wm_core::traits::{
    Acceptance, Accepted, AuthError, Body, BodyStream, BodyWriter, Directory, DirectoryError,
    IdSource, Lease, Login, Reschedule, Resolution, Spool, SpoolError, StoreError, Task,
};
use wm_core::{
    AccountId, BodyId, DomainName, EmailAddress, GroupId, MailboxRef, OrganizationId, ResourceId,
    Secret, TaskId, Timestamp, UserId,
};

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(crate) const DEMO: OrganizationId = OrganizationId::from_u128(1);
const OTHER: OrganizationId = OrganizationId::from_u128(2);
const CLOSED: OrganizationId = OrganizationId::from_u128(3);

pub(crate) fn address(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

/// Organization `demo`: alice, bob (alias robert) and carol, who is disabled; group team of all three,
/// group nobody of carol. Organization `other`: dave. Organization `closed`: eve. Domain
/// `new.example` is demo's and not verified. Everybody's password is `secret`.
pub(crate) struct People {
    pub(crate) rights: Vec<(UserId, EntityId, MailboxRights)>,
    pub(crate) broken: bool,
}

pub(crate) const ALICE: UserId = UserId::from_u128(11);
pub(crate) const BOB: UserId = UserId::from_u128(12);
const CAROL: UserId = UserId::from_u128(13);
pub(crate) const DAVE: UserId = UserId::from_u128(21);
const EVE: UserId = UserId::from_u128(31);
pub(crate) const TEAM: GroupId = GroupId::from_u128(41);
const NOBODY: GroupId = GroupId::from_u128(42);

impl People {
    pub(crate) fn new() -> Self {
        Self {
            rights: Vec::new(),
            broken: false,
        }
    }

    fn up(&self) -> Result<(), DirectoryError> {
        match self.broken {
            true => Err(DirectoryError::Unavailable {
                reason: "unplugged".into(),
                source: None,
            }),
            false => Ok(()),
        }
    }
}

fn users() -> Vec<User> {
    let user = |id, organization, name: &str, domains: &[&str]| {
        let mut addresses = domains
            .iter()
            .map(|domain| address(&format!("{name}@{domain}")));
        User {
            id,
            organization,
            name: name.into(),
            names: Names::default(),
            contact: Default::default(),
            role: UserRole::User,
            state: EntityState::Enabled,
            primary: addresses.next(),
            aliases: addresses.collect(),
            quota: None,
            created: NOW,
        }
    };
    let mut users = vec![
        user(ALICE, DEMO, "alice", &["demo.example", "new.example"]),
        user(BOB, DEMO, "bob", &["demo.example"]),
        user(CAROL, DEMO, "carol", &[]),
        user(DAVE, OTHER, "dave", &["other.example"]),
        user(EVE, CLOSED, "eve", &["closed.example"]),
    ];
    users[1].aliases.push(address("robert@demo.example"));
    users[2].state = EntityState::Disabled { since: Some(NOW) };
    users
}

fn groups() -> Vec<Group> {
    let group = |id, name: &str| Group {
        id,
        organization: DEMO,
        name: name.into(),
        state: EntityState::Enabled,
        primary: Some(address(&format!("{name}@demo.example"))),
        aliases: vec![],
        hidden: false,
        created: NOW,
    };
    vec![group(TEAM, "team"), group(NOBODY, "nobody")]
}

#[async_trait]
impl Directory for People {
    async fn organization(
        &self,
        id: OrganizationId,
    ) -> Result<Option<Organization>, DirectoryError> {
        self.up()?;
        Ok(Some(Organization {
            id,
            account: AccountId::from_u64(1).unwrap(),
            alias: "demo".parse().unwrap(),
            state: match id {
                CLOSED => OrganizationState::Inactive,
                _ => OrganizationState::Active,
            },
            default_domain: "demo.example".parse().unwrap(),
            test_domain: "demo.test.example".parse().unwrap(),
            directory: DirectoryKind::Own,
            created: NOW,
        }))
    }

    async fn organizations(&self) -> Result<Vec<Organization>, DirectoryError> {
        Ok(vec![])
    }

    async fn domain(&self, name: &DomainName) -> Result<Option<MailDomain>, DirectoryError> {
        self.up()?;
        let organization = match name.as_ascii() {
            "demo.example" | "new.example" => DEMO,
            "other.example" => OTHER,
            "closed.example" => CLOSED,
            _ => return Ok(None),
        };
        let verified = name.as_ascii() != "new.example";
        Ok(Some(MailDomain {
            name: name.clone(),
            organization,
            verified,
            test: false,
        }))
    }

    async fn domains(&self, _: OrganizationId) -> Result<Vec<MailDomain>, DirectoryError> {
        Ok(vec![])
    }

    async fn resolve(&self, wanted: &EmailAddress) -> Result<Resolution, DirectoryError> {
        self.up()?;
        let user = users()
            .into_iter()
            .find(|user| user.addresses().any(|it| it == wanted));
        let group = groups()
            .into_iter()
            .find(|group| group.primary.as_ref() == Some(wanted));
        Ok(match (user, group, self.domain(wanted.domain()).await?) {
            (Some(user), ..) => Resolution::User(Box::new(user)),
            (_, Some(group), _) => Resolution::Group(Box::new(group)),
            (.., Some(domain)) => Resolution::UnknownRecipient(domain.organization),
            _ => Resolution::UnknownDomain,
        })
    }

    async fn authenticate(
        &self,
        login: &Login,
        password: &Secret<String>,
    ) -> Result<Principal, AuthError> {
        self.up().map_err(AuthError::Unavailable)?;
        let named = |user: &User| user.name == login.name && user.state.is_enabled();
        let user = users()
            .into_iter()
            .find(named)
            .filter(|_| password.expose() == "secret");
        let user = user.ok_or(AuthError::InvalidCredentials)?;
        Ok(Principal {
            organization: user.organization,
            user: user.id,
            address: user.primary.unwrap(),
            role: PrincipalRole::User,
        })
    }

    async fn user(&self, _: OrganizationId, id: UserId) -> Result<Option<User>, DirectoryError> {
        Ok(users().into_iter().find(|user| user.id == id))
    }

    async fn users(&self, _: OrganizationId) -> Result<Vec<User>, DirectoryError> {
        Ok(users())
    }

    async fn group(&self, _: OrganizationId, id: GroupId) -> Result<Option<Group>, DirectoryError> {
        Ok(groups().into_iter().find(|group| group.id == id))
    }

    async fn groups(&self, _: OrganizationId) -> Result<Vec<Group>, DirectoryError> {
        Ok(groups())
    }

    async fn resource(
        &self,
        _: OrganizationId,
        _: ResourceId,
    ) -> Result<Option<Resource>, DirectoryError> {
        Ok(None)
    }

    async fn resources(&self, _: OrganizationId) -> Result<Vec<Resource>, DirectoryError> {
        Ok(vec![])
    }

    async fn members(
        &self,
        _: OrganizationId,
        group: GroupId,
    ) -> Result<Vec<EntityId>, DirectoryError> {
        Ok(match group {
            TEAM => vec![ALICE.into(), BOB.into(), CAROL.into()],
            _ => vec![CAROL.into()],
        })
    }

    async fn expand(
        &self,
        id: OrganizationId,
        group: GroupId,
    ) -> Result<Vec<EntityId>, DirectoryError> {
        self.members(id, group).await
    }

    async fn memberships(
        &self,
        _: OrganizationId,
        _: EntityId,
    ) -> Result<Vec<GroupId>, DirectoryError> {
        Ok(vec![])
    }

    async fn delegates(
        &self,
        _: OrganizationId,
        _: ResourceId,
    ) -> Result<Vec<EntityId>, DirectoryError> {
        Ok(vec![])
    }

    async fn grants(&self, _: OrganizationId, _: EntityId) -> Result<Vec<Grant>, DirectoryError> {
        Ok(vec![])
    }

    async fn rights(
        &self,
        _: OrganizationId,
        user: UserId,
        on: EntityId,
    ) -> Result<MailboxRights, DirectoryError> {
        let held = self
            .rights
            .iter()
            .find(|(to, of, _)| (*to, *of) == (user, on));
        Ok(held.map_or(MailboxRights::NONE, |(.., rights)| *rights))
    }

    async fn search(
        &self,
        _: OrganizationId,
        _: &str,
        _: usize,
    ) -> Result<Vec<GalEntry>, DirectoryError> {
        Ok(vec![])
    }

    async fn devices(&self, _: OrganizationId, _: UserId) -> Result<Vec<Device>, DirectoryError> {
        Ok(vec![])
    }
}

/// Each with its owner.
type Bodies = Arc<Mutex<Vec<(OrganizationId, Vec<u8>)>>>;

/// What a spool has been given.
#[derive(Default)]
pub(crate) struct Accepting {
    pub(crate) accepted: Mutex<Vec<Acceptance>>,
    pub(crate) bodies: Bodies,
    /// The mailbox that is full.
    pub(crate) full: Option<MailboxRef>,
    /// Octets after which writing fails.
    pub(crate) disk: Option<usize>,
    /// Writing never ends.
    pub(crate) stalled: bool,
    /// How many acceptances come after their body was collected.
    pub(crate) collected: Mutex<usize>,
}

impl Accepting {
    /// The mailboxes that have mail, each with the address it was reached by and the whole message.
    pub(crate) fn delivered(&self) -> Vec<(MailboxRef, EmailAddress, String)> {
        let bodies = self.bodies.lock().unwrap();
        let accepted = self.accepted.lock().unwrap();
        let deliveries = accepted
            .iter()
            .flat_map(|acceptance| &acceptance.deliveries);
        deliveries
            .map(|delivery| {
                let content = &delivery.item.content;
                let (owner, body) = &bodies[usize::from(content.body.id.0[0])];
                assert_eq!(
                    *owner, delivery.mailbox.organization,
                    "a body of its own organization"
                );
                let message = [&content.prefix[..], body].concat();
                let message = String::from_utf8(message).unwrap();
                (delivery.mailbox, delivery.recipient.clone(), message)
            })
            .collect()
    }
}

struct Writer {
    organization: OrganizationId,
    octets: Vec<u8>,
    disk: Option<usize>,
    stalled: bool,
    bodies: Bodies,
}

#[async_trait]
impl BodyWriter for Writer {
    async fn write(&mut self, octets: Bytes) -> Result<(), StoreError> {
        if self.stalled {
            std::future::pending::<()>().await;
        }
        self.octets.extend_from_slice(&octets);
        match self.disk.is_some_and(|room| self.octets.len() > room) {
            true => Err(StoreError::Unavailable {
                reason: "disk full".into(),
                transient: true,
                source: None,
            }),
            false => Ok(()),
        }
    }

    async fn finish(self: Box<Self>) -> Result<Body, StoreError> {
        let mut bodies = self.bodies.lock().unwrap();
        let size = self.octets.len() as u64;
        bodies.push((self.organization, self.octets));
        let mut id = [0; 32];
        id[0] = u8::try_from(bodies.len() - 1).unwrap();
        Ok(Body {
            id: BodyId(id),
            size,
        })
    }
}

#[async_trait]
impl Spool for Accepting {
    async fn body_writer(
        &self,
        organization: OrganizationId,
    ) -> Result<Box<dyn BodyWriter>, SpoolError> {
        Ok(Box::new(Writer {
            organization,
            octets: vec![],
            disk: self.disk,
            stalled: self.stalled,
            bodies: Arc::clone(&self.bodies),
        }))
    }

    async fn accept(&self, acceptance: Acceptance) -> Result<Accepted, SpoolError> {
        let full = |delivery: &&wm_core::traits::Delivery| Some(delivery.mailbox) == self.full;
        if let Some(delivery) = acceptance.deliveries.iter().find(full) {
            return Err(SpoolError::Delivery {
                recipient: delivery.recipient.clone(),
                source: StoreError::OverQuota {
                    mailbox: delivery.mailbox,
                    quota: 0,
                },
            });
        }
        let mut collected = self.collected.lock().unwrap();
        if let Some(left) = collected.checked_sub(1)
            && let Some(delivery) = acceptance.deliveries.first()
        {
            *collected = left;
            return Err(SpoolError::Delivery {
                recipient: delivery.recipient.clone(),
                source: StoreError::NoSuchBody(delivery.item.content.body.id),
            });
        }
        self.accepted.lock().unwrap().push(acceptance);
        Ok(Accepted {
            deliveries: vec![],
            tasks: vec![],
        })
    }

    async fn lease(&self, _: Timestamp, _: Timestamp, _: usize) -> Result<Vec<Lease>, SpoolError> {
        Ok(vec![])
    }

    async fn read(&self, lease: &Lease, _: std::ops::Range<u64>) -> Result<BodyStream, SpoolError> {
        Err(SpoolError::LeaseLost(lease.task.id))
    }

    async fn complete(&self, lease: Lease, _: Option<Acceptance>) -> Result<(), SpoolError> {
        Err(SpoolError::LeaseLost(lease.task.id))
    }

    async fn reschedule(&self, lease: Lease, _: Reschedule) -> Result<(), SpoolError> {
        Err(SpoolError::LeaseLost(lease.task.id))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, SpoolError> {
        Ok(None)
    }

    async fn tasks(
        &self,
        _: OrganizationId,
        _: Option<TaskId>,
        _: usize,
    ) -> Result<Vec<Task>, SpoolError> {
        Ok(vec![])
    }
}

/// The ids 1, 2, 3 …
#[derive(Default)]
pub(crate) struct Counting(Mutex<u128>);

impl IdSource for Counting {
    fn fresh(&self) -> u128 {
        let mut last = self.0.lock().unwrap();
        *last += 1;
        *last
    }
}
