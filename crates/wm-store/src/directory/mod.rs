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
mod lookup;
mod password;
mod plan;
mod record;
mod retention;
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
    OrganizationId,
    traits::{
        AuditEvent, Directory, DirectoryAdmin, DirectoryChange, DirectoryError, NewOrganization,
        NewUser,
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
