use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    EmailAddress, GroupId, MailboxId, MailboxRef, OrganizationId, ResourceId, Timestamp, UserId,
};

/// Anything in a directory that can have an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EntityId {
    /// A user.
    User(UserId),
    /// A group.
    Group(GroupId),
    /// A resource.
    Resource(ResourceId),
}

impl EntityId {
    /// The mailbox that belongs to it; groups have none (GRP-1).
    #[must_use]
    pub fn mailbox(self) -> Option<MailboxId> {
        match self {
            Self::User(user) => Some(user.into()),
            Self::Resource(resource) => Some(resource.into()),
            Self::Group(_) => None,
        }
    }
}

impl From<UserId> for EntityId {
    fn from(user: UserId) -> Self {
        Self::User(user)
    }
}

impl From<GroupId> for EntityId {
    fn from(group: GroupId) -> Self {
        Self::Group(group)
    }
}

impl From<ResourceId> for EntityId {
    fn from(resource: ResourceId) -> Self {
        Self::Resource(resource)
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Group(id) => id.fmt(f),
            Self::Resource(id) => id.fmt(f),
        }
    }
}

/// Whether an entity takes part in mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntityState {
    /// It has an address and, unless a group, a mailbox.
    Enabled,
    /// It is known but takes no part: no log-in, no mail (USR-2). Its mailbox, if it had one, is
    /// kept for [`mailbox_retention`](crate::Limits::mailbox_retention) from `since` (USR-3).
    Disabled {
        /// When it was disabled; `None` when it never was enabled.
        since: Option<Timestamp>,
    },
}

impl EntityState {
    /// Whether it is enabled.
    #[must_use]
    pub const fn is_enabled(self) -> bool {
        matches!(self, Self::Enabled)
    }
}

/// What kind of user (ORG-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserRole {
    /// A person.
    User,
    /// An account of the system itself, such as the migration administrator.
    System,
}

/// The names people see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The name shown in address books and headers.
    pub display: String,
    /// The first name.
    pub first: String,
    /// The last name.
    pub last: String,
}

/// Company and telephone details shown in the address book (USR-5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Contact {
    pub initials: String,
    pub telephone: String,
    pub street: String,
    pub job_title: String,
    pub city: String,
    pub company: String,
    pub zip_code: String,
    pub department: String,
    pub country: String,
    pub office: String,
}

/// A user (USR-1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Unique for good.
    pub id: UserId,
    /// The organization.
    pub organization: OrganizationId,
    /// The name to log in with where the organization is known; unique in it, ignoring case.
    pub name: String,
    /// The names people see.
    pub names: Names,
    /// Company and telephone details.
    pub contact: Contact,
    /// Person or system.
    pub role: UserRole,
    /// Enabled or disabled.
    pub state: EntityState,
    /// The sending address; present while enabled.
    pub primary: Option<EmailAddress>,
    /// Further addresses: they receive, and may be sent from (USR-4).
    pub aliases: Vec<EmailAddress>,
    /// Octets the mailbox may hold; `None` means [`mailbox_size`](crate::Limits::mailbox_size).
    pub quota: Option<u64>,
    /// When it was made.
    pub created: Timestamp,
}

impl User {
    /// The mailbox bound to this user.
    #[must_use]
    pub fn mailbox(&self) -> MailboxRef {
        MailboxRef {
            organization: self.organization,
            mailbox: self.id.into(),
        }
    }

    /// Every address the user receives under, the primary first.
    pub fn addresses(&self) -> impl Iterator<Item = &EmailAddress> {
        self.primary.iter().chain(&self.aliases)
    }
}

/// A group (GRP-1): a distribution list and a security group, without a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// The organization.
    pub organization: OrganizationId,
    /// Its name; unique in the organization, ignoring case.
    pub name: String,
    /// Enabled or disabled.
    pub state: EntityState,
    /// Its address; present while enabled.
    pub primary: Option<EmailAddress>,
    /// Further addresses.
    pub aliases: Vec<EmailAddress>,
    /// Whether address lists leave it out.
    pub hidden: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// Someone who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The organization.
    pub organization: OrganizationId,
    /// The user.
    pub user: UserId,
    /// The user's sending address.
    pub address: EmailAddress,
    /// What the log-in allows beyond the user's own.
    pub role: PrincipalRole,
}

impl Principal {
    /// The principal's own mailbox.
    #[must_use]
    pub fn mailbox(&self) -> MailboxRef {
        MailboxRef {
            organization: self.organization,
            mailbox: self.user.into(),
        }
    }
}

/// What a log-in allows beyond the user's own mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalRole {
    /// What the directory grants, nothing more.
    User,
    /// Full access to every mailbox of the organization (MIG-1).
    MigrationAdministrator,
}

/// An entry of the global address list (USR-7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GalEntry {
    /// Who it is.
    pub id: EntityId,
    /// The name shown.
    pub display_name: String,
    /// The address to write to.
    pub address: EmailAddress,
    /// The names people see.
    pub names: Names,
    /// Company and telephone details.
    pub contact: Contact,
}
