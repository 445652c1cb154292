use super::{StoredDirectory, roll::Roll};
use async_trait::async_trait;
use wm_core::{
    DomainName, EmailAddress, GroupId, OrganizationId, ResourceId, Secret, UserId,
    model::{
        Device, EntityId, GalEntry, Grant, Group, MailDomain, MailboxRights, Organization,
        Principal, PrincipalRole, Resource, User,
    },
    traits::{AuthError, Directory, DirectoryError, Login, Resolution},
};

#[async_trait]
impl Directory for StoredDirectory {
    async fn organization(
        &self,
        id: OrganizationId,
    ) -> Result<Option<Organization>, DirectoryError> {
        Ok(self.read().organization(id).cloned())
    }

    async fn organizations(&self) -> Result<Vec<Organization>, DirectoryError> {
        let mut organizations: Vec<_> = self.read().organizations().cloned().collect();
        organizations.sort_by(|a, b| a.alias.cmp(&b.alias).then(a.id.cmp(&b.id)));
        Ok(organizations)
    }

    async fn domain(&self, name: &DomainName) -> Result<Option<MailDomain>, DirectoryError> {
        Ok(self.read().domain(name).cloned())
    }

    async fn domains(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<MailDomain>, DirectoryError> {
        let installation = self.read();
        if installation.organization(organization).is_none() {
            return Err(DirectoryError::NoSuchOrganization(organization));
        }
        Ok(installation.domains_of(organization).cloned().collect())
    }

    async fn resolve(&self, address: &EmailAddress) -> Result<Resolution, DirectoryError> {
        let Some(domain) = self.domain(address.domain()).await? else {
            return Ok(Resolution::UnknownDomain);
        };
        let found = self
            .query(domain.organization, |roll| Ok(roll.resolve(address)))
            .await?;
        Ok(found
            .flatten()
            .unwrap_or(Resolution::UnknownRecipient(domain.organization)))
    }

    async fn authenticate(
        &self,
        login: &Login,
        password: &Secret<String>,
    ) -> Result<Principal, AuthError> {
        let found = self.find_login(login).map_err(AuthError::Unavailable)?;
        let user = found
            .as_ref()
            .map(|(principal, hash)| (principal.organization, principal.user, hash.clone()));
        let verified = self.shared.passwords.verify(user, password.clone()).await;
        match (verified.map_err(AuthError::Unavailable)?, found) {
            (true, Some((principal, _))) => Ok(principal),
            _ => Err(AuthError::InvalidCredentials),
        }
    }

    async fn user(
        &self,
        organization: OrganizationId,
        id: UserId,
    ) -> Result<Option<User>, DirectoryError> {
        let find = |roll: &Roll| Ok(roll.user(id).map(|record| record.user.clone()));
        Ok(self.query(organization, find).await?.flatten())
    }

    async fn users(&self, organization: OrganizationId) -> Result<Vec<User>, DirectoryError> {
        self.list(organization, |roll| roll.users().cloned().collect())
            .await
    }

    async fn group(
        &self,
        organization: OrganizationId,
        id: GroupId,
    ) -> Result<Option<Group>, DirectoryError> {
        let find = |roll: &Roll| Ok(roll.group(id).map(|record| record.group.clone()));
        Ok(self.query(organization, find).await?.flatten())
    }

    async fn groups(&self, organization: OrganizationId) -> Result<Vec<Group>, DirectoryError> {
        self.list(organization, |roll| roll.groups().cloned().collect())
            .await
    }

    async fn resource(
        &self,
        organization: OrganizationId,
        id: ResourceId,
    ) -> Result<Option<Resource>, DirectoryError> {
        let find = |roll: &Roll| Ok(roll.resource(id).map(|record| record.resource.clone()));
        Ok(self.query(organization, find).await?.flatten())
    }

    async fn resources(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<Resource>, DirectoryError> {
        self.list(organization, |roll| roll.resources().cloned().collect())
            .await
    }

    async fn members(
        &self,
        organization: OrganizationId,
        group: GroupId,
    ) -> Result<Vec<EntityId>, DirectoryError> {
        let members = self.query(organization, |roll| {
            let record = roll
                .group(group)
                .ok_or(DirectoryError::NoSuchEntity(group.into()))?;
            Ok(record.members.iter().copied().collect())
        });
        members
            .await?
            .ok_or(DirectoryError::NoSuchOrganization(organization))
    }

    async fn expand(
        &self,
        organization: OrganizationId,
        group: GroupId,
    ) -> Result<Vec<EntityId>, DirectoryError> {
        let members = self.query(organization, |roll| {
            roll.group(group)
                .ok_or(DirectoryError::NoSuchEntity(group.into()))?;
            Ok(roll.expand(group, &self.core.limits)?.into_iter().collect())
        });
        members
            .await?
            .ok_or(DirectoryError::NoSuchOrganization(organization))
    }

    async fn memberships(
        &self,
        organization: OrganizationId,
        entity: EntityId,
    ) -> Result<Vec<GroupId>, DirectoryError> {
        self.list(organization, |roll| {
            roll.memberships(entity).into_iter().collect()
        })
        .await
    }

    async fn delegates(
        &self,
        organization: OrganizationId,
        resource: ResourceId,
    ) -> Result<Vec<EntityId>, DirectoryError> {
        let delegates = self.query(organization, |roll| {
            let record = roll.resource(resource);
            let record = record.ok_or(DirectoryError::NoSuchEntity(resource.into()))?;
            Ok(record.delegates.iter().copied().collect())
        });
        delegates
            .await?
            .ok_or(DirectoryError::NoSuchOrganization(organization))
    }

    async fn grants(
        &self,
        organization: OrganizationId,
        on: EntityId,
    ) -> Result<Vec<Grant>, DirectoryError> {
        self.list(organization, |roll| roll.grants(on).to_vec())
            .await
    }

    async fn rights(
        &self,
        organization: OrganizationId,
        user: UserId,
        on: EntityId,
    ) -> Result<MailboxRights, DirectoryError> {
        let rights = self
            .query(organization, |roll| Ok(roll.rights(user, on)))
            .await?;
        Ok(rights.unwrap_or(MailboxRights::NONE))
    }

    async fn search(
        &self,
        organization: OrganizationId,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<GalEntry>, DirectoryError> {
        self.list(organization, |roll| roll.search(prefix, limit))
            .await
    }

    async fn devices(
        &self,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Vec<Device>, DirectoryError> {
        self.list(organization, |roll| roll.devices(user).cloned().collect())
            .await
    }
}

impl StoredDirectory {
    /// Whom a log-in names and the hash of that user's password, if the user may log in.
    fn find_login(&self, login: &Login) -> Result<Option<(Principal, String)>, DirectoryError> {
        let installation = self.read();
        let Some((id, user)) = installation.user_of(login)? else {
            return Ok(None);
        };
        let serves = installation
            .organization(id)
            .is_some_and(|it| it.state.serves());
        let record = installation
            .roll(id)?
            .and_then(|roll| roll.user(user))
            .filter(|_| serves);
        let Some(record) = record.filter(|record| record.user.state.is_enabled()) else {
            return Ok(None);
        };
        let known = record.user.primary.clone().zip(record.password.clone());
        Ok(known.map(|(address, hash)| {
            (
                Principal {
                    organization: id,
                    user,
                    address,
                    role: PrincipalRole::User,
                },
                hash,
            )
        }))
    }
}
