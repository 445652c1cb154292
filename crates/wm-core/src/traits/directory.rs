use std::error::Error;

use async_trait::async_trait;

use super::AuditEvent;
use crate::model::{
    BookingOptions, Contact, Device, EntityId, GalEntry, Grant, Group, MailDomain, MailboxRights,
    Names, Organization, OrganizationAlias, OrganizationState, Principal, Resource, ResourceKind,
    User, UserRole,
};
use crate::{
    AccountId, DomainName, EmailAddress, GroupId, OrganizationId, ResourceId, Secret, Timestamp,
    UserId,
};

/// Who there is, how they are reached, and what they may do. Reading side; [`DirectoryAdmin`]
/// changes it.
///
/// Lookups by id take the organization too: an id of another organization finds nothing.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The organization of this id.
    async fn organization(
        &self,
        id: OrganizationId,
    ) -> Result<Option<Organization>, DirectoryError>;

    /// Every organization, by alias.
    async fn organizations(&self) -> Result<Vec<Organization>, DirectoryError>;

    /// The mail domain of this name, whichever organization has it.
    async fn domain(&self, name: &DomainName) -> Result<Option<MailDomain>, DirectoryError>;

    /// The domains of an organization, by name.
    async fn domains(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<MailDomain>, DirectoryError>;

    /// Who receives mail for this address: by primary address or alias, enabled entities only.
    async fn resolve(&self, address: &EmailAddress) -> Result<Resolution, DirectoryError>;

    /// Checks a password. Unknown names, wrong passwords and disabled users answer the same error
    /// after the same work, so that neither the answer nor its time says whether a user exists.
    async fn authenticate(
        &self,
        login: &Login,
        password: &Secret<String>,
    ) -> Result<Principal, AuthError>;

    /// A user.
    async fn user(
        &self,
        organization: OrganizationId,
        id: UserId,
    ) -> Result<Option<User>, DirectoryError>;

    /// All users, by id.
    async fn users(&self, organization: OrganizationId) -> Result<Vec<User>, DirectoryError>;

    /// A group.
    async fn group(
        &self,
        organization: OrganizationId,
        id: GroupId,
    ) -> Result<Option<Group>, DirectoryError>;

    /// All groups, by id.
    async fn groups(&self, organization: OrganizationId) -> Result<Vec<Group>, DirectoryError>;

    /// A resource.
    async fn resource(
        &self,
        organization: OrganizationId,
        id: ResourceId,
    ) -> Result<Option<Resource>, DirectoryError>;

    /// All resources, by id.
    async fn resources(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<Resource>, DirectoryError>;

    /// The direct members of a group.
    async fn members(
        &self,
        organization: OrganizationId,
        group: GroupId,
    ) -> Result<Vec<EntityId>, DirectoryError>;

    /// The enabled users and resources a group comes down to, each once, through nested groups and
    /// whatever cycles they form (GRP-2). Who is disabled takes no part in mail: disabled members are
    /// left out, and so is whoever belongs to it only through a disabled group inside. Within
    /// [`group_depth`](crate::Limits::group_depth) and [`group_members`](crate::Limits::group_members).
    async fn expand(
        &self,
        organization: OrganizationId,
        group: GroupId,
    ) -> Result<Vec<EntityId>, DirectoryError>;

    /// Every group that an entity belongs to, through nested groups.
    async fn memberships(
        &self,
        organization: OrganizationId,
        entity: EntityId,
    ) -> Result<Vec<GroupId>, DirectoryError>;

    /// The delegates of a resource (RES-3).
    async fn delegates(
        &self,
        organization: OrganizationId,
        resource: ResourceId,
    ) -> Result<Vec<EntityId>, DirectoryError>;

    /// What administrators have granted on an entity (PRM-1).
    async fn grants(
        &self,
        organization: OrganizationId,
        on: EntityId,
    ) -> Result<Vec<Grant>, DirectoryError>;

    /// What `user` may do with `on`, through group membership too. Owning it is not among this.
    async fn rights(
        &self,
        organization: OrganizationId,
        user: UserId,
        on: EntityId,
    ) -> Result<MailboxRights, DirectoryError>;

    /// The global address list's entries of which a name or address begins with `prefix`, ignoring
    /// case, by display name (USR-7).
    async fn search(
        &self,
        organization: OrganizationId,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<GalEntry>, DirectoryError>;

    /// The devices of a user (EAS-4).
    async fn devices(
        &self,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Vec<Device>, DirectoryError>;
}

/// The changing side of a directory. A directory that is managed elsewhere implements it by
/// answering [`DirectoryError::ReadOnly`].
#[async_trait]
pub trait DirectoryAdmin: Directory {
    /// Makes an organization by quick setup (ORG-3): with a test domain, which is its default domain
    /// and verified. Committed together with its audit event.
    async fn create_organization(
        &self,
        organization: NewOrganization,
        audit: AuditEvent,
    ) -> Result<(), DirectoryError>;

    /// Commits a change together with its audit event, durably, or changes nothing.
    async fn change(
        &self,
        organization: OrganizationId,
        change: DirectoryChange,
        audit: AuditEvent,
    ) -> Result<(), DirectoryError>;
}

/// Who receives mail for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// A user's mailbox.
    User(Box<User>),
    /// A resource's mailbox.
    Resource(Box<Resource>),
    /// The members of a group.
    Group(Box<Group>),
    /// Nobody: the domain is this organization's, the local part is not known there.
    UnknownRecipient(OrganizationId),
    /// No organization has the domain.
    UnknownDomain,
}

/// A name to log in with (CLT-2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// A primary address, an alias, a user principal name, `DOMAIN\user`, or a user name.
    pub name: String,
    /// The organization, where the way in tells it; a bare user name is accepted only then, or when
    /// the installation has one organization.
    pub organization: Option<OrganizationId>,
}

impl Login {
    /// A log-in that does not say which organization.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            organization: None,
        }
    }
}

/// An organization to be made.
#[derive(Debug, Clone)]
pub struct NewOrganization {
    /// Its id.
    pub id: OrganizationId,
    /// The account that owns it.
    pub account: AccountId,
    /// Its alias.
    pub alias: OrganizationAlias,
    /// Its test domain.
    pub test_domain: DomainName,
    /// When.
    pub at: Timestamp,
}

/// A user to be made; disabled until given an address by [`DirectoryChange::Enable`].
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The id, never used before.
    pub id: UserId,
    /// The name to log in with.
    pub name: String,
    /// The names people see.
    pub names: Names,
    /// Person or system.
    pub role: UserRole,
    /// The password; `None` until one is set.
    pub password: Option<Secret<String>>,
    /// When.
    pub at: Timestamp,
}

/// A group to be made; disabled until given an address.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// The id, never used before.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// When.
    pub at: Timestamp,
}

/// A resource to be made; disabled until given an address.
#[derive(Debug, Clone)]
pub struct NewResource {
    /// The id, never used before.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Room or equipment.
    pub kind: ResourceKind,
    /// What it is, for people.
    pub description: String,
    /// When.
    pub at: Timestamp,
}

/// Changes to a user's details; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct UserUpdate {
    /// The names people see.
    pub names: Option<Names>,
    /// Company and telephone details.
    pub contact: Option<Contact>,
    /// Octets the mailbox may hold; `Some(None)` for the default.
    pub quota: Option<Option<u64>>,
}

/// A change to a directory.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DirectoryChange {
    /// Moves the organization to another state; legal transitions only (ORG-2).
    SetState(OrganizationState),
    /// Adds a domain, not verified (DOM-1).
    AddDomain(DomainName),
    /// Removes a domain; refused while an address is in it, and for the default and test domain.
    RemoveDomain(DomainName),
    /// Records whether a domain's ownership is proved (DOM-7).
    SetDomainVerified(DomainName, bool),
    /// Chooses the default domain; changes no address.
    SetDefaultDomain(DomainName),
    /// Makes a user.
    CreateUser(NewUser),
    /// Changes a user's details.
    UpdateUser(UserId, UserUpdate),
    /// Sets a user's password (USR-6).
    SetPassword(UserId, Secret<String>),
    /// Makes a group.
    CreateGroup(NewGroup),
    /// Makes a resource.
    CreateResource(NewResource),
    /// Changes how a resource answers requests.
    SetBooking(ResourceId, BookingOptions),
    /// Enables an entity under this primary address; it also gets `name@<test domain>` (USR-4a).
    Enable(EntityId, EmailAddress),
    /// Disables an entity; its addresses are free again.
    Disable(EntityId, Timestamp),
    /// Deletes an entity; refused while it is enabled. Memberships and grants go with it. Its mailbox is
    /// kept as a disabled one's is, and is then only for an entity made with the same id (USR-3).
    Delete(EntityId),
    /// Adds an alias.
    AddAlias(EntityId, EmailAddress),
    /// Removes an alias.
    RemoveAlias(EntityId, EmailAddress),
    /// Makes this the primary address; the old one becomes an alias.
    SetPrimary(EntityId, EmailAddress),
    /// Makes an entity a member of a group.
    AddMember(GroupId, EntityId),
    /// Ends a membership.
    RemoveMember(GroupId, EntityId),
    /// Makes an entity a delegate of a resource (RES-3).
    AddDelegate(ResourceId, EntityId),
    /// Ends that.
    RemoveDelegate(ResourceId, EntityId),
    /// Replaces what `to` may do with `on`; no rights removes the grant (PRM-1, GRP-3).
    PutGrant(Grant),
    /// Makes or replaces a device's record.
    PutDevice(Device),
    /// Removes a device's record; it is new when it returns.
    RemoveDevice(UserId, String),
}

/// Why a directory refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// No such organization.
    #[error("there is no organization {0}")]
    NoSuchOrganization(OrganizationId),
    /// No such entity in this organization.
    #[error("there is no entity {0} in the organization")]
    NoSuchEntity(EntityId),
    /// The organization does not have the domain.
    #[error("the organization has no domain {0}")]
    NoSuchDomain(DomainName),
    /// Somebody has the address.
    #[error("the address {0} is in use")]
    AddressInUse(EmailAddress),
    /// Somebody has the name or id.
    #[error("the name {0:?} is in use")]
    NameInUse(String),
    /// The domain has addresses in it, or another organization has it, or it is the default.
    #[error("the domain {0} is in use")]
    DomainInUse(DomainName),
    /// The entity or organization is not in the state that this needs.
    #[error("{0}")]
    WrongState(String),
    /// The password is not acceptable.
    #[error("the password is not acceptable: {0}")]
    Password(#[from] PasswordFault),
    /// A limit is reached.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// It is not possible: nested groups in the organization's own directory, Full Access on a
    /// group, a member that is a resource.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The directory is managed elsewhere.
    #[error("the directory is managed elsewhere and read-only here")]
    ReadOnly,
    /// A stored record does not verify.
    #[error("damaged record: {0}")]
    Damaged(String),
    /// The directory cannot be reached at present.
    #[error("the directory is unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// The underlying error.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl DirectoryError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// What is wrong with a password (USR-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordFault {
    /// Fewer characters than needed.
    #[error("it has fewer than {0} characters")]
    TooShort(usize),
    /// More characters than allowed.
    #[error("it has more than {0} characters")]
    TooLong(usize),
    /// Too few of lower case, upper case, digits, symbols.
    #[error("it needs characters of at least {0} kinds: lower case, upper case, digits, symbols")]
    TooUniform(usize),
    /// A character outside U+0020 to U+00FF.
    #[error("it holds a character that is not allowed")]
    Character,
    /// It contains the user's name.
    #[error("it contains the user name")]
    ContainsName,
}

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Unknown name, wrong password, disabled user or organization not in service: not told apart.
    #[error("wrong user name or password")]
    InvalidCredentials,
    /// It could not be checked.
    #[error("the password could not be checked")]
    Unavailable(#[source] DirectoryError),
}
