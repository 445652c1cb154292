//! What the directory keeps in the engine: one sealed record for each thing it knows.
//!
//! Who there is (organizations, their domains) belongs to the installation, so that it can be read
//! when an organization's keys cannot; all else belongs to the organization and goes with its keys.
//! Engine keys hold numbers and keyed hashes, no names and no addresses.
//!
//! | key, after owner and space | record |
//! |---|---|
//! | `o` organization (16) | [`Organization`], the installation's |
//! | `m` hash of the name (32) | [`MailDomain`], the installation's |
//! | `u`, `g`, `r` id (16) | [`UserRecord`], [`GroupRecord`], [`ResourceRecord`] |
//! | `p` `u`, `g` or `r`, id (16) | [`Grants`] on an entity |
//! | `d` user (16) hash of the id (32) | [`Device`] |
//! | `x` mailbox (16) | [`Retained`] |
//! | `c` hash of kind and name (32) | [`Document`] |
//! | `v` | the number of changes, 8 bytes in the clear |

use crate::{
    fault::Fault,
    keyspace::{INSTALLATION, Space},
    record::Record as Sealed,
    seal::{KeySet, Namer},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use wm_core::{
    DomainName, EmailAddress, MailboxId, OrganizationId, Timestamp, UserId,
    model::{
        Device, EntityId, EntityState, Grant, Group, MailDomain, Organization, Resource, User,
    },
    traits::ConfigKey,
};

/// One change of one record.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    Put(Record),
    Remove(RecordId),
}

#[derive(Debug, Clone)]
pub(super) enum Record {
    Organization(Organization),
    Domain(MailDomain),
    Entity(EntityRecord),
    Grants(Grants),
    Device(Device),
    Document(Document),
    Retained(Retained),
}

/// Names a record.
#[derive(Debug, Clone)]
pub(super) enum RecordId {
    Organization(OrganizationId),
    Domain(DomainName),
    Entity(EntityId),
    Grants(EntityId),
    /// With the device's id as [`device_id`] spells it.
    Device(UserId, String),
    Document(ConfigKey),
    Retained(MailboxId),
}

/// Anything that can have an address.
#[derive(Debug, Clone)]
pub(super) enum EntityRecord {
    User(Box<UserRecord>),
    Group(GroupRecord),
    Resource(ResourceRecord),
}

/// A user, and what the user logs in with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct UserRecord {
    pub(super) user: User,
    /// The password's hash as a PHC string.
    pub(super) password: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct GroupRecord {
    pub(super) group: Group,
    pub(super) members: BTreeSet<EntityId>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ResourceRecord {
    pub(super) resource: Resource,
    pub(super) delegates: BTreeSet<EntityId>,
}

/// Everything granted on an entity; at least one grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Grants {
    pub(super) on: EntityId,
    pub(super) grants: Vec<Grant>,
}

/// A mailbox that is kept for a while, of somebody who was deleted after having been disabled (USR-3).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Retained {
    pub(super) mailbox: MailboxId,
    /// When its owner was disabled.
    pub(super) since: Timestamp,
}

/// A document of the configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) key: ConfigKey,
    pub(super) version: u64,
    pub(super) value: Vec<u8>,
}

impl Sealed for Organization {
    const NAME: &'static str = "organization";
}
impl Sealed for MailDomain {
    const NAME: &'static str = "domain";
}
impl Sealed for UserRecord {
    const NAME: &'static str = "user";
}
impl Sealed for GroupRecord {
    const NAME: &'static str = "group";
}
impl Sealed for ResourceRecord {
    const NAME: &'static str = "resource";
}
impl Sealed for Grants {
    const NAME: &'static str = "grants";
}
impl Sealed for Device {
    const NAME: &'static str = "device";
}
impl Sealed for Retained {
    const NAME: &'static str = "retained mailbox";
}
impl Sealed for Document {
    const NAME: &'static str = "configuration";
}

impl Edit {
    pub(super) fn id(&self) -> RecordId {
        match self {
            Self::Put(record) => record.id(),
            Self::Remove(id) => id.clone(),
        }
    }
}

impl Record {
    pub(super) fn id(&self) -> RecordId {
        match self {
            Self::Organization(organization) => RecordId::Organization(organization.id),
            Self::Domain(domain) => RecordId::Domain(domain.name.clone()),
            Self::Entity(entity) => RecordId::Entity(entity.id()),
            Self::Grants(grants) => RecordId::Grants(grants.on),
            Self::Device(device) => RecordId::Device(device.user, device_id(&device.id)),
            Self::Document(document) => RecordId::Document(document.key.clone()),
            Self::Retained(retained) => RecordId::Retained(retained.mailbox),
        }
    }

    /// The record as it is to stand under `key`.
    pub(super) fn seal(&self, keys: &KeySet, key: &[u8]) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Organization(record) => keys.seal_record(key, record),
            Self::Domain(record) => keys.seal_record(key, record),
            Self::Entity(EntityRecord::User(record)) => keys.seal_record(key, &**record),
            Self::Entity(EntityRecord::Group(record)) => keys.seal_record(key, record),
            Self::Entity(EntityRecord::Resource(record)) => keys.seal_record(key, record),
            Self::Grants(record) => keys.seal_record(key, record),
            Self::Device(record) => keys.seal_record(key, record),
            Self::Document(record) => keys.seal_record(key, record),
            Self::Retained(record) => keys.seal_record(key, record),
        }
    }

    /// The record that stands under `key`.
    pub(super) fn open(keys: &KeySet, key: &[u8], sealed: &[u8]) -> Result<Self, Fault> {
        Ok(match key.get(PREFIX) {
            Some(b'o') => Self::Organization(keys.open_record(key, sealed)?),
            Some(b'm') => Self::Domain(keys.open_record(key, sealed)?),
            Some(b'u') => {
                Self::Entity(EntityRecord::User(Box::new(keys.open_record(key, sealed)?)))
            }
            Some(b'g') => Self::Entity(EntityRecord::Group(keys.open_record(key, sealed)?)),
            Some(b'r') => Self::Entity(EntityRecord::Resource(keys.open_record(key, sealed)?)),
            Some(b'p') => Self::Grants(keys.open_record(key, sealed)?),
            Some(b'd') => Self::Device(keys.open_record(key, sealed)?),
            Some(b'x') => Self::Retained(keys.open_record(key, sealed)?),
            Some(b'c') => Self::Document(keys.open_record(key, sealed)?),
            _ => {
                return Err(Fault::Record {
                    what: "directory",
                    key: key.to_vec(),
                    source: None,
                });
            }
        })
    }
}

impl RecordId {
    /// Whose keys seal the record, of one that concerns `organization`.
    pub(super) fn owner(&self, organization: OrganizationId) -> OrganizationId {
        match self {
            Self::Organization(_) | Self::Domain(_) => INSTALLATION,
            _ => organization,
        }
    }

    /// The engine key; `keys` are the owner's.
    pub(super) fn key(&self, keys: &KeySet) -> Vec<u8> {
        let mut key = Space::Directory.prefix(keys.organization());
        match self {
            Self::Organization(id) => {
                key.push(b'o');
                key.extend(id.as_u128().to_be_bytes());
            }
            Self::Domain(name) => {
                key.push(b'm');
                key.extend(hash(keys, &[name.as_ascii().as_bytes()]));
            }
            Self::Entity(id) => push_entity(&mut key, *id),
            Self::Grants(on) => {
                key.push(b'p');
                push_entity(&mut key, *on);
            }
            Self::Device(user, id) => {
                key.push(b'd');
                key.extend(user.as_u128().to_be_bytes());
                key.extend(hash(keys, &[id.as_bytes()]));
            }
            Self::Retained(mailbox) => {
                key.push(b'x');
                key.extend(mailbox.as_u128().to_be_bytes());
            }
            Self::Document(ConfigKey { kind, name }) => {
                key.push(b'c');
                let kind = postcard::to_stdvec(kind).unwrap_or_default();
                key.extend(hash(keys, &[&kind, name.as_bytes()]));
            }
        }
        key
    }
}

impl EntityRecord {
    pub(super) fn id(&self) -> EntityId {
        match self {
            Self::User(record) => record.user.id.into(),
            Self::Group(record) => record.group.id.into(),
            Self::Resource(record) => record.resource.id.into(),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::User(record) => &record.user.name,
            Self::Group(record) => &record.group.name,
            Self::Resource(record) => &record.resource.name,
        }
    }

    pub(super) fn mail(&self) -> (EntityState, Option<&EmailAddress>, &[EmailAddress]) {
        match self {
            Self::User(record) => {
                let it = &record.user;
                (it.state, it.primary.as_ref(), &it.aliases)
            }
            Self::Group(GroupRecord { group: it, .. }) => {
                (it.state, it.primary.as_ref(), &it.aliases)
            }
            Self::Resource(ResourceRecord { resource: it, .. }) => {
                (it.state, it.primary.as_ref(), &it.aliases)
            }
        }
    }

    pub(super) fn mail_mut(
        &mut self,
    ) -> (
        &mut EntityState,
        &mut Option<EmailAddress>,
        &mut Vec<EmailAddress>,
    ) {
        match self {
            Self::User(record) => {
                let it = &mut record.user;
                (&mut it.state, &mut it.primary, &mut it.aliases)
            }
            Self::Group(GroupRecord { group: it, .. }) => {
                (&mut it.state, &mut it.primary, &mut it.aliases)
            }
            Self::Resource(ResourceRecord { resource: it, .. }) => {
                (&mut it.state, &mut it.primary, &mut it.aliases)
            }
        }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.mail().0.is_enabled()
    }

    /// Every address, the primary first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &EmailAddress> {
        let (_, primary, aliases) = self.mail();
        primary.into_iter().chain(aliases)
    }
}

/// The key of the number of changes to what `owner` has.
pub(super) fn version_key(owner: OrganizationId) -> Vec<u8> {
    [&*Space::Directory.prefix(owner), b"v"].concat()
}

/// Device ids are compared ignoring case.
pub(super) fn device_id(id: &str) -> String {
    id.to_ascii_lowercase()
}

/// Bytes of owner and space.
const PREFIX: usize = 17;

fn push_entity(key: &mut Vec<u8>, id: EntityId) {
    let (kind, id) = match id {
        EntityId::User(id) => (b'u', id.as_u128()),
        EntityId::Group(id) => (b'g', id.as_u128()),
        EntityId::Resource(id) => (b'r', id.as_u128()),
    };
    key.push(kind);
    key.extend(id.to_be_bytes());
}

fn hash(keys: &KeySet, parts: &[&[u8]]) -> [u8; 32] {
    let mut namer = Namer::new(keys, "wm directory");
    for part in parts {
        namer.update(&(part.len() as u64).to_be_bytes());
        namer.update(part);
    }
    namer.name()
}
