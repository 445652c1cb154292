//! The mail domains of an organization in the directory (DOM-1), on the server's side of the control
//! socket.

use serde::{Deserialize, Serialize};
use wm_core::model::{EntityId, MailDomain, Organization, OrganizationAlias, OrganizationState};
use wm_core::traits::{
    AuditEvent, AuditOutcome, Clock, DirectoryAdmin, DirectoryChange, DirectoryError, IdSource,
    Resolution,
};
use wm_core::{DomainName, EmailAddress, Limits};
use wm_dns::RequiredRecords;

/// What can be done with domains.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DomainRequest {
    /// Give a domain to an organization, to the only one when none is named, and the addresses that
    /// every domain should have to somebody.
    Add {
        domain: DomainName,
        organization: Option<OrganizationAlias>,
        postmaster: Option<EmailAddress>,
        /// Whether it may be one more than setup makes.
        beyond_setup: bool,
    },
    /// Take it away, and before it `postmaster@` and `abuse@`, when that is asked for.
    Remove {
        domain: DomainName,
        role_addresses: bool,
    },
    /// Make it the one of new addresses.
    Default { domain: DomainName },
    /// All domains, or those of one organization.
    List {
        organization: Option<OrganizationAlias>,
    },
    /// Note whether its ownership is proved (DOM-7). Of a domain that no organization has, and of a
    /// test domain, nothing is noted.
    Verified { domain: DomainName, verified: bool },
}

/// What became of it: the domains concerned, or why not.
pub(crate) type DomainAnswer = Result<Vec<ListedDomain>, String>;

/// A domain as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedDomain {
    pub(crate) domain: DomainName,
    pub(crate) organization: OrganizationAlias,
    /// Whether new addresses are in it.
    pub(crate) default: bool,
    /// Whether it is the one that works without any DNS.
    pub(crate) test: bool,
    /// Whether mail for it is taken from outside.
    pub(crate) verified: bool,
    /// Addresses that it should have and has not (DOM-8).
    pub(crate) missing_addresses: Vec<EmailAddress>,
}

/// Why a request was not done.
#[derive(Debug)]
enum Refusal {
    Directory(DirectoryError),
    Because(String),
}

impl From<DirectoryError> for Refusal {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

/// A directory to be changed.
pub(crate) struct Domains<'a> {
    pub(crate) directory: &'a dyn DirectoryAdmin,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) ids: &'a dyn IdSource,
    pub(crate) limits: &'a Limits,
}

impl Domains<'_> {
    /// Does what is asked.
    pub(crate) async fn answer(&self, request: DomainRequest) -> DomainAnswer {
        let done = match request {
            DomainRequest::Add {
                domain,
                organization,
                postmaster,
                beyond_setup,
            } => {
                self.add(domain, organization, postmaster, beyond_setup)
                    .await
            }
            DomainRequest::Remove {
                domain,
                role_addresses,
            } => self.remove(&domain, role_addresses).await,
            DomainRequest::Default { domain } => self.make_default(&domain).await,
            DomainRequest::List { organization } => self.list(organization).await,
            DomainRequest::Verified { domain, verified } => self.note(&domain, verified).await,
        };
        done.map_err(|refusal| match refusal {
            Refusal::Directory(error) => error.to_string(),
            Refusal::Because(why) => why,
        })
    }

    /// Adds what is not there yet: done twice, it does nothing the second time.
    async fn add(
        &self,
        name: DomainName,
        organization: Option<OrganizationAlias>,
        postmaster: Option<EmailAddress>,
        beyond_setup: bool,
    ) -> Result<Vec<ListedDomain>, Refusal> {
        let organization = self.organization(organization.as_ref()).await?;
        match self.directory.domain(&name).await? {
            Some(domain) if domain.organization == organization.id => {}
            Some(_) => {
                let why = format!("{name} belongs to another organization");
                return Err(Refusal::Because(why));
            }
            None => {
                let limit = self.limits.domains_through_setup;
                let present = self.directory.domains(organization.id).await?.len();
                if present >= limit && !beyond_setup {
                    return Err(Refusal::Because(format!(
                        "{} has {present} domains, and setup adds up to {limit}: with --beyond-setup \
                         there may be {}",
                        organization.alias, self.limits.domains_per_organization
                    )));
                }
                self.change(
                    &organization,
                    DirectoryChange::AddDomain(name.clone()),
                    "RegisterMailDomain",
                )
                .await?;
            }
        }
        if let Some(owner) = postmaster {
            self.give_role_addresses(&organization, &name, &owner)
                .await?;
        }
        self.listed(&organization, &name).await
    }

    /// `postmaster@` and `abuse@` as aliases of whoever has the address (DOM-8).
    async fn give_role_addresses(
        &self,
        organization: &Organization,
        name: &DomainName,
        owner: &EmailAddress,
    ) -> Result<(), Refusal> {
        let entity = match self.directory.resolve(owner).await? {
            Resolution::User(user) if user.organization == organization.id => {
                EntityId::User(user.id)
            }
            Resolution::Group(group) if group.organization == organization.id => {
                EntityId::Group(group.id)
            }
            Resolution::Resource(resource) if resource.organization == organization.id => {
                EntityId::Resource(resource.id)
            }
            _ => {
                let why = format!("nobody in {} has the address {owner}", organization.alias);
                return Err(Refusal::Because(why));
            }
        };
        for address in self.missing(name).await? {
            let alias = DirectoryChange::AddAlias(entity, address);
            self.change(organization, alias, "CreateAlias").await?;
        }
        Ok(())
    }

    async fn remove(
        &self,
        name: &DomainName,
        role_addresses: bool,
    ) -> Result<Vec<ListedDomain>, Refusal> {
        let (domain, organization) = self.known(name).await?;
        let because = |why: &str| Err(Refusal::Because(format!("{name} {why}")));
        if domain.test {
            return because("is the organization's test domain, which stays");
        }
        if organization.default_domain == *name {
            return because("is the default domain: make another one the default first");
        }
        let roles = RequiredRecords::suggested_aliases(name);
        let (of_roles, others): (Vec<_>, Vec<_>) = self
            .addresses(&organization, name)
            .await?
            .into_iter()
            .partition(|address| {
                role_addresses && !address.primary && roles.contains(&address.address)
            });
        if !others.is_empty() {
            const SHOWN: usize = 10;
            let shown = others.iter().take(SHOWN).map(|it| it.address.to_string());
            let shown: Vec<String> = shown.collect();
            let more = match others.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let shown = shown.join(", ");
            return because(&format!("has addresses in use: {shown}{more}"));
        }
        for held in of_roles {
            let alias = DirectoryChange::RemoveAlias(held.entity, held.address);
            self.change(&organization, alias, "DeleteAlias").await?;
        }
        self.change(
            &organization,
            DirectoryChange::RemoveDomain(name.clone()),
            "DeregisterMailDomain",
        )
        .await?;
        Ok(Vec::new())
    }

    async fn make_default(&self, name: &DomainName) -> Result<Vec<ListedDomain>, Refusal> {
        let (_, organization) = self.known(name).await?;
        if organization.default_domain != *name {
            let change = DirectoryChange::SetDefaultDomain(name.clone());
            self.change(&organization, change, "UpdateDefaultMailDomain")
                .await?;
        }
        let organization = self.directory.organization(organization.id).await?;
        match organization {
            Some(organization) => self.listed(&organization, name).await,
            None => Ok(Vec::new()),
        }
    }

    async fn list(
        &self,
        organization: Option<OrganizationAlias>,
    ) -> Result<Vec<ListedDomain>, Refusal> {
        let organizations = match organization {
            Some(alias) => vec![self.organization(Some(&alias)).await?],
            None => self.living().await?,
        };
        let mut listed = Vec::new();
        for organization in organizations {
            for domain in self.directory.domains(organization.id).await? {
                listed.push(self.line(&organization, domain).await?);
            }
        }
        Ok(listed)
    }

    async fn note(&self, name: &DomainName, verified: bool) -> Result<Vec<ListedDomain>, Refusal> {
        let Some(domain) = self.directory.domain(name).await? else {
            return Ok(Vec::new());
        };
        if domain.test || domain.verified == verified {
            return Ok(Vec::new());
        }
        let (_, organization) = self.known(name).await?;
        let change = DirectoryChange::SetDomainVerified(name.clone(), verified);
        self.change(&organization, change, "VerifyMailDomain")
            .await?;
        self.listed(&organization, name).await
    }

    async fn living(&self) -> Result<Vec<Organization>, Refusal> {
        let mut all = self.directory.organizations().await?;
        all.retain(|organization| organization.state != OrganizationState::Deleted);
        Ok(all)
    }

    /// The organization with an alias, or the only one.
    async fn organization(
        &self,
        alias: Option<&OrganizationAlias>,
    ) -> Result<Organization, Refusal> {
        let mut living = self.living().await?;
        if let Some(alias) = alias {
            living.retain(|organization| organization.alias == *alias);
        }
        match (living.pop(), living.is_empty(), alias) {
            (Some(only), true, _) => Ok(only),
            (None, _, Some(alias)) => Err(Refusal::Because(format!(
                "there is no organization {alias}"
            ))),
            (None, _, None) => Err(Refusal::Because("there is no organization".into())),
            (Some(_), false, _) => Err(Refusal::Because(
                "there are several organizations: name one with --organization".into(),
            )),
        }
    }

    /// A domain with the organization that has it.
    async fn known(&self, name: &DomainName) -> Result<(MailDomain, Organization), Refusal> {
        let unknown = || Refusal::Because(format!("no organization has the domain {name}"));
        let domain = self.directory.domain(name).await?.ok_or_else(unknown)?;
        let organization = self.directory.organization(domain.organization).await?;
        Ok((domain, organization.ok_or_else(unknown)?))
    }

    async fn listed(
        &self,
        organization: &Organization,
        name: &DomainName,
    ) -> Result<Vec<ListedDomain>, Refusal> {
        match self.directory.domain(name).await? {
            Some(domain) => Ok(vec![self.line(organization, domain).await?]),
            None => Ok(Vec::new()),
        }
    }

    async fn line(
        &self,
        organization: &Organization,
        domain: MailDomain,
    ) -> Result<ListedDomain, Refusal> {
        Ok(ListedDomain {
            organization: organization.alias.clone(),
            default: organization.default_domain == domain.name,
            test: domain.test,
            verified: domain.verified,
            missing_addresses: self.missing(&domain.name).await?,
            domain: domain.name,
        })
    }

    /// The addresses that every domain should have, and that nobody has in this one.
    async fn missing(&self, name: &DomainName) -> Result<Vec<EmailAddress>, Refusal> {
        let mut missing = Vec::new();
        for address in RequiredRecords::suggested_aliases(name) {
            let found = self.directory.resolve(&address).await?;
            if let Resolution::UnknownRecipient(_) = found {
                missing.push(address);
            }
        }
        Ok(missing)
    }

    /// Every address in a domain.
    async fn addresses(
        &self,
        organization: &Organization,
        name: &DomainName,
    ) -> Result<Vec<Held>, Refusal> {
        let id = organization.id;
        let mut held = Vec::new();
        let mut add = |entity, primary: Option<EmailAddress>, aliases: Vec<EmailAddress>| {
            let primary = primary.map(|address| (address, true));
            let all = primary
                .into_iter()
                .chain(aliases.into_iter().map(|address| (address, false)));
            let here = all.filter(|(address, _)| address.domain() == name);
            held.extend(here.map(|(address, primary)| Held {
                entity,
                address,
                primary,
            }));
        };
        for user in self.directory.users(id).await? {
            add(EntityId::User(user.id), user.primary, user.aliases);
        }
        for group in self.directory.groups(id).await? {
            add(EntityId::Group(group.id), group.primary, group.aliases);
        }
        for resource in self.directory.resources(id).await? {
            add(
                EntityId::Resource(resource.id),
                resource.primary,
                resource.aliases,
            );
        }
        Ok(held)
    }

    async fn change(
        &self,
        organization: &Organization,
        change: DirectoryChange,
        name: &str,
    ) -> Result<(), Refusal> {
        let audit = AuditEvent {
            id: self.ids.fresh(),
            at: self.clock.now(),
            identity: "system".into(),
            name: name.into(),
            account: organization.account,
            organization: Some(organization.id),
            source_address: String::new(),
            user_agent: concat!("wm-server/", env!("CARGO_PKG_VERSION")).into(),
            request_id: format!("{:032x}", self.ids.fresh()),
            parameters: "{}".into(),
            outcome: AuditOutcome::Done(String::new()),
        };
        Ok(self
            .directory
            .change(organization.id, change, audit)
            .await?)
    }
}

/// An address and who has it.
struct Held {
    entity: EntityId,
    address: EmailAddress,
    primary: bool,
}

#[cfg(test)]
mod tests;
