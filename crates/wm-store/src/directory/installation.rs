use super::{
    record::{Edit, Record, RecordId},
    roll::Roll,
};
use crate::{fault::Fault, keyspace::INSTALLATION};
use std::collections::BTreeMap;
use wm_core::{
    DomainName, EmailAddress, OrganizationId, UserId,
    model::{EntityId, MailDomain, Organization, OrganizationState},
    traits::{DirectoryError, Login},
};

/// All organizations, in memory.
#[derive(Debug, Default)]
pub(super) struct Installation {
    /// How many changes there were to the list of organizations and their domains.
    pub(super) version: u64,
    organizations: BTreeMap<OrganizationId, Entry>,
    domains: BTreeMap<DomainName, MailDomain>,
}

#[derive(Debug)]
struct Entry {
    organization: Organization,
    /// What is in it, unless that could not be read.
    roll: Result<Roll, Fault>,
}

impl Installation {
    /// Applies a change that was committed for an organization, and counts it.
    pub(super) fn apply_change(&mut self, organization: OrganizationId, edits: Vec<Edit>) {
        let concerns = |owner| {
            edits
                .iter()
                .any(|edit| edit.id().owner(organization) == owner)
        };
        let (ours, theirs) = (concerns(INSTALLATION), concerns(organization));
        self.version += u64::from(ours);
        self.apply(organization, edits);
        if let Some(Entry { roll: Ok(roll), .. }) = self.organizations.get_mut(&organization) {
            roll.version += u64::from(theirs);
        }
    }

    /// Applies records of an organization.
    pub(super) fn apply(&mut self, organization: OrganizationId, edits: Vec<Edit>) {
        for edit in edits {
            match edit {
                Edit::Put(Record::Organization(record)) => self.put_organization(record),
                Edit::Put(Record::Domain(domain)) => {
                    self.domains.insert(domain.name.clone(), domain);
                }
                Edit::Remove(RecordId::Organization(id)) => {
                    self.organizations.remove(&id);
                }
                Edit::Remove(RecordId::Domain(name)) => {
                    self.domains.remove(&name);
                }
                edit => {
                    if let Some(Entry { roll: Ok(roll), .. }) =
                        self.organizations.get_mut(&organization)
                    {
                        roll.apply(edit);
                    }
                }
            }
        }
    }

    /// Takes in what is known of an organization's content.
    pub(super) fn set_roll(&mut self, organization: OrganizationId, roll: Result<Roll, Fault>) {
        if let Some(entry) = self.organizations.get_mut(&organization) {
            entry.roll = roll;
        }
    }

    pub(super) fn organization(&self, id: OrganizationId) -> Option<&Organization> {
        self.organizations.get(&id).map(|entry| &entry.organization)
    }

    pub(super) fn organizations(&self) -> impl Iterator<Item = &Organization> {
        self.organizations.values().map(|entry| &entry.organization)
    }

    /// What is in an organization; `None` when there is no such organization.
    pub(super) fn roll(&self, id: OrganizationId) -> Result<Option<&Roll>, DirectoryError> {
        match self.organizations.get(&id).map(|entry| &entry.roll) {
            None => Ok(None),
            Some(Ok(roll)) => Ok(Some(roll)),
            Some(Err(fault)) => Err(fault.clone().into()),
        }
    }

    pub(super) fn domain(&self, name: &DomainName) -> Option<&MailDomain> {
        self.domains.get(name)
    }

    pub(super) fn domains_of(&self, id: OrganizationId) -> impl Iterator<Item = &MailDomain> {
        self.domains
            .values()
            .filter(move |domain| domain.organization == id)
    }

    /// The user that a log-in names (CLT-2).
    pub(super) fn user_of(
        &self,
        login: &Login,
    ) -> Result<Option<(OrganizationId, UserId)>, DirectoryError> {
        let name = login.name.as_str();
        let found = if let Some((organization, user)) = name.split_once('\\') {
            self.named(self.organization_called(organization), user)?
        } else if let Ok(address) = name.parse::<EmailAddress>() {
            self.addressed(&address)?
        } else {
            self.named(
                login.organization.or_else(|| self.only_organization()),
                name,
            )?
        };
        let wanted =
            |(organization, _): &_| login.organization.is_none_or(|id| id == *organization);
        Ok(found.filter(wanted))
    }

    /// By address, else by user principal name: the user's name and one of the domains.
    fn addressed(
        &self,
        address: &EmailAddress,
    ) -> Result<Option<(OrganizationId, UserId)>, DirectoryError> {
        let Some(domain) = self.domain(address.domain()) else {
            return Ok(None);
        };
        let id = domain.organization;
        match self.roll(id)?.and_then(|roll| roll.holder(address)) {
            Some(EntityId::User(user)) => Ok(Some((id, user))),
            Some(_) => Ok(None),
            None => self.named(Some(id), &address.local_part().unquoted()),
        }
    }

    fn named(
        &self,
        organization: Option<OrganizationId>,
        name: &str,
    ) -> Result<Option<(OrganizationId, UserId)>, DirectoryError> {
        let Some(id) = organization else {
            return Ok(None);
        };
        let user = self.roll(id)?.and_then(|roll| roll.user_named(name));
        Ok(user.map(|user| (id, user)))
    }

    /// The organization of this alias or domain.
    fn organization_called(&self, name: &str) -> Option<OrganizationId> {
        let mut living = self.living();
        let by_alias = living.find(|it| it.alias.as_str().eq_ignore_ascii_case(name));
        by_alias.map(|it| it.id).or_else(|| {
            let domain = self.domain(&name.parse().ok()?)?;
            Some(domain.organization)
        })
    }

    fn only_organization(&self) -> Option<OrganizationId> {
        let mut living = self.living();
        let only = living.next()?;
        living.next().is_none().then_some(only.id)
    }

    /// All but the deleted ones.
    pub(super) fn living(&self) -> impl Iterator<Item = &Organization> {
        self.organizations()
            .filter(|it| it.state != OrganizationState::Deleted)
    }

    fn put_organization(&mut self, organization: Organization) {
        let gone = organization.state == OrganizationState::Deleted;
        match self.organizations.get_mut(&organization.id) {
            Some(entry) if !gone => entry.organization = organization,
            _ => {
                let entry = Entry {
                    organization,
                    roll: Ok(Roll::default()),
                };
                self.organizations.insert(entry.organization.id, entry);
            }
        }
    }
}
