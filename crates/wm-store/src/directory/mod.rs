//! The directory and configuration of an installation, kept in its [`Store`].
//!
//! All of it is in memory as well, so that a look-up costs no I/O: a thousand users take about a
//! megabyte. A change is decided on what is in memory, committed together with its audit event, and
//! then applied to memory, one after the other. Each commit also moves the number of changes of what
//! it touches, and is refused if that is not where it was: two directories on one store cannot give
//! one address to two people.

mod audit;
mod config;
mod installation;
mod password;
mod plan;
mod record;
mod roll;

pub use password::{PasswordCost, PasswordPolicy};

use crate::{
    Store,
    engine::{Direction, KeyRange, Snapshot},
    fault::Fault,
    keyspace::{INSTALLATION, Space},
    seal::KeySet,
    store::Core,
};
use async_trait::async_trait;
use futures::lock::{Mutex, OwnedMutexGuard};
use installation::Installation;
use password::Passwords;
use plan::Planner;
use record::{Edit, Record, version_key};
use roll::Roll;
use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use wm_core::{
    DomainName, EmailAddress, GroupId, OrganizationId, ResourceId, Secret, UserId,
    model::{
        Device, EntityId, GalEntry, Grant, Group, MailDomain, MailboxRights, Organization,
        Principal, PrincipalRole, Resource, User,
    },
    traits::{
        AuditEvent, AuthError, Directory, DirectoryAdmin, DirectoryChange, DirectoryError, Login,
        NewOrganization, NewUser, Resolution,
    },
};

/// The directory that a [`Store`] keeps itself: a [`Directory`], a [`DirectoryAdmin`], a
/// [`ConfigStore`](wm_core::traits::ConfigStore) and an [`AuditLog`](wm_core::traits::AuditLog).
///
/// Of one store only one directory is opened; clones are the same directory.
#[derive(Clone)]
pub struct StoredDirectory {
    core: Arc<Core>,
    shared: Arc<Shared>,
}

/// How a directory works.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DirectoryOptions {
    /// What a password has to be.
    pub policy: PasswordPolicy,
    /// What checking one costs.
    pub cost: PasswordCost,
    /// Local parts in test domains that nobody gets (JRN-2).
    pub reserved_local_parts: Vec<String>,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            policy: PasswordPolicy::default(),
            cost: PasswordCost::default(),
            reserved_local_parts: vec!["amazonjournaling".into()],
        }
    }
}

struct Shared {
    installation: RwLock<Installation>,
    /// Held from the decision on a change until it is in memory.
    changes: Arc<Mutex<()>>,
    passwords: Passwords,
    options: DirectoryOptions,
}

impl StoredDirectory {
    /// Opens the directory in `store`, which may be empty. An organization whose keys cannot be had
    /// at present does not stand in the way of the others; what is asked of it answers why, until
    /// they can.
    ///
    /// # Errors
    /// [`DirectoryError::Damaged`], or what the store or the operating system says.
    pub async fn open(store: &Store, options: DirectoryOptions) -> Result<Self, DirectoryError> {
        let passwords = Passwords::start(options.cost).map_err(not_started)?;
        let directory = Self {
            core: store.core.clone(),
            shared: Arc::new(Shared {
                installation: RwLock::default(),
                changes: Arc::default(),
                passwords,
                options,
            }),
        };
        let keys = directory.core.keys(INSTALLATION).await?;
        let (version, records) = directory.records(keys).await?;
        {
            let mut installation = directory.write();
            installation.version = version;
            installation.apply(INSTALLATION, records.into_iter().map(Edit::Put).collect());
        }
        let living: Vec<_> = directory.read().living().map(|it| it.id).collect();
        for id in living {
            directory.load(id).await;
        }
        Ok(directory)
    }

    /// Reads what is in an organization into memory.
    async fn load(&self, organization: OrganizationId) {
        let load = async {
            let keys = self.core.keys(organization).await?;
            let (version, records) = self.records(keys).await?;
            let mut roll = Roll::at(version);
            records
                .into_iter()
                .for_each(|record| roll.apply(Edit::Put(record)));
            Ok(roll)
        };
        let roll = load.await;
        self.write().set_roll(organization, roll);
    }

    /// All records of the owner of `keys` and the number of changes they have had.
    async fn records(&self, keys: Arc<KeySet>) -> Result<(u64, Vec<Record>), Fault> {
        let read = move |now: &dyn Snapshot| {
            let (mut version, mut records) = (0, Vec::new());
            let range = KeyRange::prefix(Space::Directory.prefix(keys.organization()));
            for entry in now.scan(range, Direction::Forward) {
                let (key, value) = entry?;
                if key == version_key(keys.organization()) {
                    version = parse_version(&value)?;
                } else {
                    records.push(Record::open(&keys, &key, &value)?);
                }
            }
            Ok::<_, Fault>((version, records))
        };
        self.core.read(read).await
    }

    /// Asks something of an organization; `None` when there is no such organization.
    async fn query<T>(
        &self,
        organization: OrganizationId,
        question: impl FnOnce(&Roll) -> Result<T, DirectoryError>,
    ) -> Result<Option<T>, DirectoryError> {
        if self.read().roll(organization).is_err() {
            // Perhaps its keys can be had by now.
            self.load(organization).await;
        }
        self.read().roll(organization)?.map(question).transpose()
    }

    async fn list<T>(
        &self,
        organization: OrganizationId,
        question: impl FnOnce(&Roll) -> Vec<T>,
    ) -> Result<Vec<T>, DirectoryError> {
        let answer = self.query(organization, |roll| Ok(question(roll))).await?;
        answer.ok_or(DirectoryError::NoSuchOrganization(organization))
    }

    /// Commits what `plan` decides, with its audit event, and applies it.
    async fn commit<T: Send + 'static>(
        &self,
        organization: OrganizationId,
        audit: AuditEvent,
        plan: impl FnOnce(&Installation) -> Result<(Vec<Edit>, T), DirectoryError> + Send,
    ) -> Result<T, DirectoryError> {
        let alone = self.shared.changes.clone().lock_owned().await;
        let (edits, answer) = plan(&self.read())?;
        self.commit_edits(alone, organization, edits, &audit)
            .await?;
        Ok(answer)
    }

    async fn commit_edits(
        &self,
        alone: OwnedMutexGuard<()>,
        organization: OrganizationId,
        edits: Vec<Edit>,
        audit: &AuditEvent,
    ) -> Result<(), DirectoryError> {
        let installation_keys = self.core.keys(INSTALLATION).await?;
        let mut writes = Vec::new();
        let mut owners = Vec::new();
        for edit in &edits {
            let id = edit.id();
            let owner = id.owner(organization);
            let keys = self.core.keys(owner).await?;
            let key = id.key(&keys);
            let value = match edit {
                Edit::Put(record) => Some(record.seal(&keys, &key)?),
                Edit::Remove(_) => None,
            };
            writes.push((key, value));
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        let (key, value) = audit::sealed(audit, &installation_keys)?;
        writes.push((key, Some(value)));
        let versions: Vec<_> = owners
            .into_iter()
            .map(|owner| (owner, self.version(owner)))
            .collect();

        let shared = self.shared.clone();
        let request = move |transaction: &mut crate::commit::Transaction<'_>| {
            for (owner, version) in versions {
                let key = version_key(owner);
                let found = transaction
                    .get(&key)?
                    .map_or(Ok(0), |value| parse_version(&value))?;
                if found != version {
                    return Err(changed_elsewhere());
                }
                transaction.put(key, (version + 1).to_be_bytes().to_vec());
            }
            for (key, value) in writes {
                match value {
                    Some(value) => transaction.put(key, value),
                    None => transaction.delete(key),
                }
            }
            transaction.when_durable(move || {
                shared.write().apply_change(organization, edits);
                drop(alone);
            });
            Ok(())
        };
        self.core.commit(request).await
    }

    fn version(&self, owner: OrganizationId) -> u64 {
        let installation = self.read();
        match owner {
            INSTALLATION => installation.version,
            _ => installation
                .roll(owner)
                .ok()
                .flatten()
                .map_or(0, |roll| roll.version),
        }
    }

    /// The hash of the password in a change, which has to obey the policy.
    async fn hash_password(
        &self,
        organization: OrganizationId,
        change: &DirectoryChange,
    ) -> Result<Option<String>, DirectoryError> {
        let (password, name) = match change {
            DirectoryChange::CreateUser(NewUser {
                password: Some(password),
                name,
                ..
            }) => (password, name.clone()),
            DirectoryChange::SetPassword(id, password) => {
                let user = self.user(organization, *id).await?;
                let user = user.ok_or(DirectoryError::NoSuchEntity((*id).into()))?;
                (password, user.name)
            }
            _ => return Ok(None),
        };
        self.shared.options.policy.check(password.expose(), &name)?;
        self.shared.passwords.hash(password.clone()).await.map(Some)
    }

    fn read(&self) -> RwLockReadGuard<'_, Installation> {
        self.shared
            .installation
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Installation> {
        self.shared.write()
    }
}

impl Shared {
    fn write(&self) -> RwLockWriteGuard<'_, Installation> {
        self.installation
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StoredDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredDirectory")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

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

#[async_trait]
impl DirectoryAdmin for StoredDirectory {
    async fn create_organization(
        &self,
        organization: NewOrganization,
        audit: AuditEvent,
    ) -> Result<(), DirectoryError> {
        let alone = self.shared.changes.clone().lock_owned().await;
        let id = organization.id;
        let edits = plan::creation(&self.read(), organization, &self.core.limits)?;
        // Made now, so that nobody ever waits for a key service who does not expect to.
        self.core.keys(id).await?;
        self.commit_edits(alone, id, edits, &audit).await
    }

    async fn change(
        &self,
        organization: OrganizationId,
        change: DirectoryChange,
        audit: AuditEvent,
    ) -> Result<(), DirectoryError> {
        let known = |installation: &Installation| {
            let found = installation.organization(organization).cloned();
            found.ok_or(DirectoryError::NoSuchOrganization(organization))
        };
        if let DirectoryChange::SetState(to) = change {
            return self
                .commit(organization, audit, |installation| {
                    Ok((plan::state(installation, &known(installation)?, to)?, ()))
                })
                .await;
        }
        let password = self.hash_password(organization, &change).await?;
        self.commit(organization, audit, |installation| {
            let planner = Planner {
                installation,
                organization: &known(installation)?,
                roll: installation
                    .roll(organization)?
                    .ok_or(DirectoryError::NoSuchOrganization(organization))?,
                limits: &self.core.limits,
                options: &self.shared.options,
            };
            Ok((planner.edits(change, password)?, ()))
        })
        .await
    }
}

fn parse_version(value: &[u8]) -> Result<u64, Fault> {
    let version = value.try_into().map(u64::from_be_bytes);
    version.map_err(|_| Fault::Record {
        what: "directory version",
        key: Vec::new(),
        source: None,
    })
}

fn not_started(error: io::Error) -> DirectoryError {
    DirectoryError::Unavailable {
        reason: "passwords cannot be checked".into(),
        source: Some(error.into()),
    }
}

fn changed_elsewhere() -> DirectoryError {
    DirectoryError::Unavailable {
        reason: "the directory was changed by somebody else; it has to be opened again".into(),
        source: None,
    }
}
