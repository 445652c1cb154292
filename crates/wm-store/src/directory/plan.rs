//! What a change comes to: the rules of the directory, decided on what is in memory. Nothing is
//! changed here.

use super::{
    DirectoryOptions,
    installation::Installation,
    record::{
        Edit, EntityRecord, Grants, GroupRecord, Record, RecordId, ResourceRecord, Retained,
        UserRecord, device_id,
    },
    roll::{Roll, folded, too_many},
};
use std::collections::BTreeSet;
use wm_core::{
    DomainName, EmailAddress, GroupId, Limits, MailboxId, ResourceId, Timestamp, UserId,
    model::{
        BookingOptions, Contact, DirectoryKind, EntityId, EntityState, Grant, Group, MailDomain,
        Organization, OrganizationState, Resource, User,
    },
    traits::{
        DirectoryChange, DirectoryError, NewGroup, NewOrganization, NewResource, NewUser,
        UserUpdate,
    },
};

type Edits = Result<Vec<Edit>, DirectoryError>;

/// An organization by quick setup (ORG-3).
pub(super) fn creation(
    installation: &Installation,
    new: NewOrganization,
    limits: &Limits,
) -> Edits {
    if installation.organization(new.id).is_some() {
        return Err(DirectoryError::NameInUse(new.id.to_string()));
    }
    if installation.living().any(|it| it.alias == new.alias) {
        return Err(DirectoryError::NameInUse(new.alias.to_string()));
    }
    if installation.domain(&new.test_domain).is_some() {
        return Err(DirectoryError::DomainInUse(new.test_domain));
    }
    if installation.living().count() >= limits.organizations {
        return Err(too_many("organizations", limits.organizations));
    }
    let domain = MailDomain {
        name: new.test_domain.clone(),
        organization: new.id,
        verified: true,
        test: true,
    };
    let organization = Organization {
        id: new.id,
        account: new.account,
        alias: new.alias,
        state: OrganizationState::Active,
        default_domain: new.test_domain.clone(),
        test_domain: new.test_domain,
        directory: DirectoryKind::Own,
        created: new.at,
    };
    Ok(vec![
        Edit::Put(Record::Organization(organization)),
        Edit::Put(Record::Domain(domain)),
    ])
}

/// Another state for an organization (ORG-2). With [`OrganizationState::Deleted`] its domains are
/// free for others. It needs nothing of what is in the organization, whose keys may be gone.
pub(super) fn state(
    installation: &Installation,
    organization: &Organization,
    to: OrganizationState,
) -> Edits {
    let state = organization.state.become_state(to);
    let state = state.map_err(|error| DirectoryError::WrongState(error.to_string()))?;
    let changed = Organization {
        state,
        ..organization.clone()
    };
    let mut edits = vec![Edit::Put(Record::Organization(changed))];
    if state == OrganizationState::Deleted {
        let domains = installation.domains_of(organization.id);
        edits.extend(domains.map(|domain| Edit::Remove(RecordId::Domain(domain.name.clone()))));
    }
    Ok(edits)
}

/// Decides the changes within one organization.
pub(super) struct Planner<'a> {
    pub(super) installation: &'a Installation,
    pub(super) organization: &'a Organization,
    pub(super) roll: &'a Roll,
    pub(super) limits: &'a Limits,
    pub(super) options: &'a DirectoryOptions,
}

impl Planner<'_> {
    /// The edits that `change` comes to; a password in it has been hashed to `password`.
    pub(super) fn edits(&self, change: DirectoryChange, password: Option<String>) -> Edits {
        use DirectoryChange as C;
        if self.organization.state == OrganizationState::Deleted {
            return Err(wrong_state("the organization is deleted"));
        }
        match change {
            C::SetState(to) => state(self.installation, self.organization, to),
            C::AddDomain(name) => self.add_domain(name),
            C::RemoveDomain(name) => self.remove_domain(name),
            C::SetDomainVerified(name, verified) => {
                let domain = MailDomain {
                    verified,
                    ..self.domain(&name)?.clone()
                };
                Ok(vec![Edit::Put(Record::Domain(domain))])
            }
            C::SetDefaultDomain(name) => {
                let default_domain = self.domain(&name)?.name.clone();
                let changed = Organization {
                    default_domain,
                    ..self.organization.clone()
                };
                Ok(vec![Edit::Put(Record::Organization(changed))])
            }
            C::CreateUser(new) => self.create_user(new, password),
            C::UpdateUser(id, update) => self.update_user(id, update),
            C::SetPassword(id, _) => {
                let record = UserRecord {
                    password,
                    ..self.user(id)?.clone()
                };
                Ok(vec![put(EntityRecord::User(Box::new(record)))])
            }
            C::CreateGroup(new) => self.create_group(new),
            C::CreateResource(new) => self.create_resource(new),
            C::SetBooking(id, booking) => {
                let mut record = self.resource(id)?.clone();
                record.resource.booking = booking;
                Ok(vec![put(EntityRecord::Resource(record))])
            }
            C::Enable(id, address) => self.enable(id, address),
            C::Disable(id, at) => self.disable(id, at),
            C::Delete(id) => self.delete(id),
            C::AddAlias(id, address) => self.add_alias(id, address),
            C::RemoveAlias(id, address) => self.remove_alias(id, &address),
            C::SetPrimary(id, address) => self.set_primary(id, &address),
            C::AddMember(group, member) => self.add_member(group, member),
            C::RemoveMember(group, member) => {
                let mut record = self.group(group)?.clone();
                record.members.remove(&member);
                Ok(vec![put(EntityRecord::Group(record))])
            }
            C::AddDelegate(resource, delegate) => self.add_delegate(resource, delegate),
            C::RemoveDelegate(resource, delegate) => {
                let mut record = self.resource(resource)?.clone();
                record.delegates.remove(&delegate);
                Ok(vec![put(EntityRecord::Resource(record))])
            }
            C::PutGrant(grant) => self.put_grant(grant),
            C::PutDevice(device) => {
                self.user(device.user)?;
                Ok(vec![Edit::Put(Record::Device(device))])
            }
            C::RemoveDevice(user, id) => {
                self.user(user)?;
                Ok(vec![Edit::Remove(RecordId::Device(user, device_id(&id)))])
            }
            _ => Err(DirectoryError::Unsupported(
                "this directory does not know such a change",
            )),
        }
    }

    fn add_domain(&self, name: DomainName) -> Edits {
        if self.installation.domain(&name).is_some() {
            return Err(DirectoryError::DomainInUse(name));
        }
        let limit = self.limits.domains_per_organization;
        if self.installation.domains_of(self.organization.id).count() >= limit {
            return Err(too_many("domains", limit));
        }
        let organization = self.organization.id;
        let domain = MailDomain {
            name,
            organization,
            verified: false,
            test: false,
        };
        Ok(vec![Edit::Put(Record::Domain(domain))])
    }

    fn remove_domain(&self, name: DomainName) -> Edits {
        let is_default = self.organization.default_domain == name;
        let mut addresses = self.roll.entities().flat_map(EntityRecord::addresses);
        if self.domain(&name)?.test || is_default || addresses.any(|it| *it.domain() == name) {
            return Err(DirectoryError::DomainInUse(name));
        }
        Ok(vec![Edit::Remove(RecordId::Domain(name))])
    }

    fn create_user(&self, new: NewUser, password: Option<String>) -> Edits {
        let limit = self.limits.users_per_organization;
        if self.roll.users().count() >= limit {
            return Err(too_many("users", limit));
        }
        if self.roll.user_named(&new.name).is_some() {
            return Err(DirectoryError::NameInUse(new.name));
        }
        self.check_new_id(new.id.into(), new.id.as_u128())?;
        let user = User {
            id: new.id,
            organization: self.organization.id,
            name: new.name,
            names: new.names,
            contact: Contact::default(),
            role: new.role,
            state: self.returning(new.id.into()),
            primary: None,
            aliases: Vec::new(),
            quota: None,
            created: new.at,
        };
        let record = EntityRecord::User(Box::new(UserRecord { user, password }));
        Ok(self.created(record))
    }

    fn update_user(&self, id: UserId, update: UserUpdate) -> Edits {
        let mut record = self.user(id)?.clone();
        let user = &mut record.user;
        user.names = update.names.unwrap_or_else(|| user.names.clone());
        user.contact = update.contact.unwrap_or_else(|| user.contact.clone());
        user.quota = update.quota.unwrap_or(user.quota);
        Ok(vec![put(EntityRecord::User(Box::new(record)))])
    }

    fn create_group(&self, new: NewGroup) -> Edits {
        if self
            .roll
            .groups()
            .any(|group| folded(&group.name) == folded(&new.name))
        {
            return Err(DirectoryError::NameInUse(new.name));
        }
        self.check_new_id(new.id.into(), new.id.as_u128())?;
        let group = Group {
            id: new.id,
            organization: self.organization.id,
            name: new.name,
            state: NEW,
            primary: None,
            aliases: Vec::new(),
            hidden: false,
            created: new.at,
        };
        Ok(vec![put(EntityRecord::Group(GroupRecord {
            group,
            members: BTreeSet::new(),
        }))])
    }

    fn create_resource(&self, new: NewResource) -> Edits {
        if self
            .roll
            .resources()
            .any(|it| folded(&it.name) == folded(&new.name))
        {
            return Err(DirectoryError::NameInUse(new.name));
        }
        self.check_new_id(new.id.into(), new.id.as_u128())?;
        let resource = Resource {
            id: new.id,
            organization: self.organization.id,
            name: new.name,
            description: new.description,
            kind: new.kind,
            state: self.returning(new.id.into()),
            primary: None,
            aliases: Vec::new(),
            booking: BookingOptions::default(),
            created: new.at,
        };
        let record = ResourceRecord {
            resource,
            delegates: BTreeSet::new(),
        };
        Ok(self.created(EntityRecord::Resource(record)))
    }

    /// The state of somebody new: with the time of its being disabled if the mailbox is still kept of the
    /// one who had this very id (USR-3).
    fn returning(&self, mailbox: MailboxId) -> EntityState {
        let kept = self.roll.retained().find(|(kept, _)| *kept == mailbox);
        EntityState::Disabled {
            since: kept.map(|(_, since)| since),
        }
    }

    fn created(&self, entity: EntityRecord) -> Vec<Edit> {
        let mailbox = entity.id().mailbox();
        let kept = self
            .roll
            .retained()
            .find(|(kept, _)| Some(*kept) == mailbox);
        let kept = kept.map(|(mailbox, _)| Edit::Remove(RecordId::Retained(mailbox)));
        [put(entity)].into_iter().chain(kept).collect()
    }

    fn enable(&self, id: EntityId, address: EmailAddress) -> Edits {
        let mut entity = self.entity(id)?.clone();
        if entity.is_enabled() {
            return Err(wrong_state("it is enabled already"));
        }
        self.check_free(&address)?;
        let test = self.test_address(entity.name(), &address);
        let test = test.filter(|test| *test != address);
        test.iter().try_for_each(|test| self.check_free(test))?;

        let (state, primary, aliases) = entity.mail_mut();
        *state = EntityState::Enabled;
        *primary = Some(address);
        aliases.extend(test);
        Ok(vec![put(entity)])
    }

    fn disable(&self, id: EntityId, at: Timestamp) -> Edits {
        let mut entity = self.enabled(id)?;
        let (state, primary, aliases) = entity.mail_mut();
        *state = EntityState::Disabled { since: Some(at) };
        *primary = None;
        aliases.clear();
        Ok(vec![put(entity)])
    }

    fn delete(&self, id: EntityId) -> Edits {
        if self.entity(id)?.is_enabled() {
            return Err(wrong_state("it is enabled; disable it first"));
        }
        let mut edits = vec![Edit::Remove(RecordId::Entity(id))];
        // Its mailbox stays for its time, for nobody but who gets the same id again.
        if let EntityState::Disabled { since: Some(since) } = self.entity(id)?.mail().0
            && let Some(mailbox) = id.mailbox()
        {
            edits.push(Edit::Put(Record::Retained(Retained { mailbox, since })));
        }
        for group in self
            .roll
            .groups_of(id)
            .filter_map(|group| self.roll.group(group))
        {
            let mut record = group.clone();
            record.members.remove(&id);
            edits.push(put(EntityRecord::Group(record)));
        }
        for resource in self
            .roll
            .resources()
            .filter_map(|it| self.roll.resource(it.id))
        {
            if EntityId::from(resource.resource.id) != id && resource.delegates.contains(&id) {
                let mut record = resource.clone();
                record.delegates.remove(&id);
                edits.push(put(EntityRecord::Resource(record)));
            }
        }
        for (on, grants) in self.roll.all_grants() {
            let mut left = grants.to_vec();
            left.retain(|grant| grant.to != id && grant.on != id);
            if left.len() < grants.len() {
                edits.push(put_grants(on, left));
            }
        }
        if let EntityId::User(user) = id {
            let devices = self.roll.devices(user);
            edits.extend(
                devices.map(|it| Edit::Remove(RecordId::Device(it.user, device_id(&it.id)))),
            );
        }
        Ok(edits)
    }

    fn add_alias(&self, id: EntityId, address: EmailAddress) -> Edits {
        let mut entity = self.enabled(id)?;
        self.check_free(&address)?;
        let (_, _, aliases) = entity.mail_mut();
        if aliases.len() >= self.limits.aliases_per_user {
            return Err(too_many("aliases", self.limits.aliases_per_user));
        }
        aliases.push(address);
        Ok(vec![put(entity)])
    }

    fn remove_alias(&self, id: EntityId, address: &EmailAddress) -> Edits {
        let mut entity = self.enabled(id)?;
        let (_, _, aliases) = entity.mail_mut();
        let at = position(aliases, address)?;
        aliases.remove(at);
        Ok(vec![put(entity)])
    }

    fn set_primary(&self, id: EntityId, address: &EmailAddress) -> Edits {
        let mut entity = self.enabled(id)?;
        let (_, primary, aliases) = entity.mail_mut();
        if primary.as_ref() != Some(address) {
            let at = position(aliases, address)?;
            let old = primary.replace(aliases.remove(at));
            aliases.extend(old);
        }
        Ok(vec![put(entity)])
    }

    fn add_member(&self, group: GroupId, member: EntityId) -> Edits {
        let mut record = self.group(group)?.clone();
        self.entity(member)?;
        match member {
            EntityId::Resource(_) => {
                return Err(DirectoryError::Unsupported(
                    "a resource cannot be a member of a group",
                ));
            }
            EntityId::Group(_) if self.organization.directory == DirectoryKind::Own => {
                return Err(DirectoryError::Unsupported(
                    "the organization's own directory does not nest groups",
                ));
            }
            _ => {}
        }
        record.members.insert(member);
        if record.members.len() > self.limits.group_members {
            return Err(too_many("members", self.limits.group_members));
        }
        Ok(vec![put(EntityRecord::Group(record))])
    }

    fn add_delegate(&self, resource: ResourceId, delegate: EntityId) -> Edits {
        let mut record = self.resource(resource)?.clone();
        self.entity(delegate)?;
        if let EntityId::Resource(_) = delegate {
            return Err(DirectoryError::Unsupported(
                "a resource cannot be a delegate",
            ));
        }
        record.delegates.insert(delegate);
        Ok(vec![put(EntityRecord::Resource(record))])
    }

    fn put_grant(&self, grant: Grant) -> Edits {
        self.entity(grant.on)?;
        self.entity(grant.to)?;
        if let (EntityId::Group(_), true) = (grant.on, grant.rights.full_access) {
            return Err(DirectoryError::Unsupported(
                "Full Access cannot be granted on a group",
            ));
        }
        if let EntityId::Resource(_) = grant.to {
            return Err(DirectoryError::Unsupported(
                "a resource cannot be granted anything",
            ));
        }
        let mut grants = self.roll.grants(grant.on).to_vec();
        grants.retain(|held| held.to != grant.to);
        if !grant.rights.is_empty() {
            grants.push(grant);
        }
        Ok(vec![put_grants(grant.on, grants)])
    }

    fn domain(&self, name: &DomainName) -> Result<&MailDomain, DirectoryError> {
        let domain = self.installation.domain(name);
        domain
            .filter(|domain| domain.organization == self.organization.id)
            .ok_or_else(|| DirectoryError::NoSuchDomain(name.clone()))
    }

    fn entity(&self, id: EntityId) -> Result<&EntityRecord, DirectoryError> {
        self.roll.entity(id).ok_or(DirectoryError::NoSuchEntity(id))
    }

    fn enabled(&self, id: EntityId) -> Result<EntityRecord, DirectoryError> {
        let entity = self.entity(id)?;
        if !entity.is_enabled() {
            return Err(wrong_state("it is not enabled"));
        }
        Ok(entity.clone())
    }

    fn user(&self, id: UserId) -> Result<&UserRecord, DirectoryError> {
        self.roll
            .user(id)
            .ok_or(DirectoryError::NoSuchEntity(id.into()))
    }

    fn group(&self, id: GroupId) -> Result<&GroupRecord, DirectoryError> {
        self.roll
            .group(id)
            .ok_or(DirectoryError::NoSuchEntity(id.into()))
    }

    fn resource(&self, id: ResourceId) -> Result<&ResourceRecord, DirectoryError> {
        self.roll
            .resource(id)
            .ok_or(DirectoryError::NoSuchEntity(id.into()))
    }

    /// Users and resources share the numbers of mailboxes.
    fn check_new_id(&self, id: EntityId, number: u128) -> Result<(), DirectoryError> {
        let twin = match id {
            EntityId::User(_) => ResourceId::from_u128(number).into(),
            _ => UserId::from_u128(number).into(),
        };
        match self.roll.entity(id).or_else(|| self.roll.entity(twin)) {
            Some(_) => Err(DirectoryError::NameInUse(id.to_string())),
            None => Ok(()),
        }
    }

    /// Whether the address is in a domain of the organization and nobody's.
    fn check_free(&self, address: &EmailAddress) -> Result<(), DirectoryError> {
        let domain = self.domain(address.domain())?;
        let local_part = address.local_part().unquoted();
        let reserved = &self.options.reserved_local_parts;
        let is_reserved = domain.test
            && reserved
                .iter()
                .any(|name| folded(name) == folded(&local_part));
        match is_reserved || self.roll.holder(address).is_some() {
            true => Err(DirectoryError::AddressInUse(address.clone())),
            false => Ok(()),
        }
    }

    /// `name@<test domain>` (USR-4a); a name that is no local part leaves it to the address's.
    fn test_address(&self, name: &str, address: &EmailAddress) -> Option<EmailAddress> {
        let domain = &self.organization.test_domain;
        let local_part = name
            .parse()
            .unwrap_or_else(|_| address.local_part().clone());
        EmailAddress::new(local_part, domain.clone()).ok()
    }
}

const NEW: EntityState = EntityState::Disabled { since: None };

fn put(entity: EntityRecord) -> Edit {
    Edit::Put(Record::Entity(entity))
}

fn put_grants(on: EntityId, grants: Vec<Grant>) -> Edit {
    match grants.is_empty() {
        true => Edit::Remove(RecordId::Grants(on)),
        false => Edit::Put(Record::Grants(Grants { on, grants })),
    }
}

fn position(aliases: &[EmailAddress], address: &EmailAddress) -> Result<usize, DirectoryError> {
    let found = aliases.iter().position(|alias| alias == address);
    found.ok_or_else(|| wrong_state(format!("{address} is not an alias of it")))
}

fn wrong_state(why: impl Into<String>) -> DirectoryError {
    DirectoryError::WrongState(why.into())
}
