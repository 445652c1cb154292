//! The one place where access to mailboxes is decided, for all protocols.
//!
//! A protocol crate asks [`Mailboxes`] for a [`MailboxSession`] and never holds a raw
//! [`MailboxStore`]. The owner and holders of Full Access (PRM-1) may do everything; everybody else
//! has what the folders' permission sets give them (PRM-4), and does not learn of folders they may
//! not see. Grants are looked up with every call, so that changes take effect at once (PRM-5).

use std::ops::Range;
use std::sync::Arc;

use crate::model::{
    EntityId, Event, EventId, Folder, FolderRights, FolderRole, Grantee, Item, Mailbox, Origin,
    Principal, PrincipalRole,
};
use crate::traits::{
    Applied, BodyStream, BodyWriter, Changes, Changeset, Directory, DirectoryError, Expect,
    FolderChanges, FolderTarget, ItemList, MailboxStore, Mode, NewItem, Operation, Page,
    StoreError, Watch,
};
use crate::{FolderId, GroupId, ItemId, MailboxRef, ModSeq, ResourceId, Timestamp, Uid, UserId};

/// Opens mailboxes for people who have logged in.
#[derive(Clone)]
pub struct Mailboxes {
    store: Arc<dyn MailboxStore>,
    directory: Arc<dyn Directory>,
}

impl Mailboxes {
    /// Access to this store, decided by this directory.
    #[must_use]
    pub fn new(store: Arc<dyn MailboxStore>, directory: Arc<dyn Directory>) -> Self {
        Self { store, directory }
    }

    /// Opens a mailbox for `principal`; changes made through the session carry `origin`. The mailbox
    /// of somebody in the directory is materialised if it is not there yet.
    ///
    /// # Errors
    /// [`StoreError::NoSuchMailbox`] when there is none in the principal's organization, or the
    /// principal may see nothing in it.
    pub async fn open(
        &self,
        principal: &Principal,
        mailbox: MailboxRef,
        origin: Origin,
        now: Timestamp,
    ) -> Result<MailboxSession, StoreError> {
        if mailbox.organization != principal.organization {
            return Err(StoreError::NoSuchMailbox(mailbox));
        }
        let session = MailboxSession {
            store: self.store.clone(),
            directory: self.directory.clone(),
            principal: principal.clone(),
            mailbox,
            origin,
        };
        if !session.is_owner() && !session.owner_is_known().await? {
            return Err(StoreError::NoSuchMailbox(mailbox));
        }
        self.store.create(mailbox, now).await?;
        if session.folders().await?.is_empty() {
            return Err(StoreError::NoSuchMailbox(mailbox));
        }
        Ok(session)
    }
}

/// One mailbox, as far as one principal may see and change it. The methods are those of
/// [`MailboxStore`]; what the principal may not see is answered as if it did not exist, what it may
/// see but not do is [`StoreError::Denied`].
#[derive(Clone)]
pub struct MailboxSession {
    store: Arc<dyn MailboxStore>,
    directory: Arc<dyn Directory>,
    principal: Principal,
    mailbox: MailboxRef,
    origin: Origin,
}

impl MailboxSession {
    /// The mailbox.
    #[must_use]
    pub const fn mailbox_ref(&self) -> MailboxRef {
        self.mailbox
    }

    /// Who opened it.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What changes made here carry.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The mailbox as a whole.
    pub async fn mailbox(&self) -> Result<Mailbox, StoreError> {
        self.store.mailbox(self.mailbox).await
    }

    /// The folders the principal may see, parents before children. The hidden
    /// [`FolderRole::Recoverable`] is among them for those with full access.
    pub async fn folders(&self) -> Result<Vec<Folder>, StoreError> {
        let access = self.access().await?;
        let mut folders = self.store.folders(self.mailbox).await?;
        folders.retain(|folder| access.sees(folder));
        Ok(folders)
    }

    /// One folder.
    pub async fn folder(&self, folder: FolderId) -> Result<Folder, StoreError> {
        let access = self.access().await?;
        let found = self.store.folder(self.mailbox, folder).await?;
        if access.sees(&found) {
            Ok(found)
        } else {
            Err(StoreError::NoSuchFolder(folder))
        }
    }

    /// The folder with this role.
    pub async fn folder_with_role(&self, role: FolderRole) -> Result<Folder, StoreError> {
        let folders = self.folders().await?;
        folders
            .into_iter()
            .find(|folder| folder.role == Some(role))
            .ok_or(StoreError::Denied)
    }

    /// What the principal may do in a folder.
    pub async fn rights(&self, folder: FolderId) -> Result<FolderRights, StoreError> {
        match self.access().await? {
            Access::Full => Ok(FolderRights::ALL),
            access => Ok(access.rights(&self.store.folder(self.mailbox, folder).await?)),
        }
    }

    /// One item.
    pub async fn item(&self, item: ItemId) -> Result<Item, StoreError> {
        let found = self.store.item(self.mailbox, item).await?;
        self.require(found.folder, FolderRights::READ)
            .await
            .map_err(|error| match error {
                StoreError::NoSuchFolder(_) => StoreError::NoSuchItem(item),
                other => other,
            })?;
        Ok(found)
    }

    /// A page of a folder's items.
    pub async fn items(&self, list: ItemList) -> Result<Page<Item>, StoreError> {
        self.require(list.folder, FolderRights::READ).await?;
        self.store.items(self.mailbox, list).await
    }

    /// Every UID of a folder with its item, and the state they are of.
    pub async fn uids(&self, folder: FolderId) -> Result<(ModSeq, Vec<(Uid, ItemId)>), StoreError> {
        self.require(folder, FolderRights::READ).await?;
        self.store.uids(self.mailbox, folder).await
    }

    /// What happened to a folder's items after `since`.
    pub async fn changes(
        &self,
        folder: FolderId,
        since: ModSeq,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        self.require(folder, FolderRights::READ).await?;
        self.store.changes(self.mailbox, folder, since, limit).await
    }

    /// What happened to the folders after `since`. A folder that the principal may not see any more
    /// is among those gone.
    pub async fn folder_changes(&self, since: ModSeq) -> Result<FolderChanges, StoreError> {
        let access = self.access().await?;
        let mut changes = self.store.folder_changes(self.mailbox, since).await?;
        let (seen, hidden): (Vec<_>, Vec<_>) = changes
            .folders
            .into_iter()
            .partition(|folder| access.sees(folder));
        changes.folders = seen;
        changes.gone.extend(hidden.iter().map(|folder| folder.id));
        Ok(changes)
    }

    /// The event log after `after`; for those with full access.
    pub async fn events(&self, after: EventId, limit: usize) -> Result<Vec<Event>, StoreError> {
        match self.access().await? {
            Access::Full => self.store.events(self.mailbox, after, limit).await,
            Access::Folders { .. } => Err(StoreError::Denied),
        }
    }

    /// Wakes for every later commit.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.store.watch(self.mailbox)
    }

    /// Begins a body for an item of this mailbox.
    pub async fn body_writer(&self) -> Result<Box<dyn BodyWriter>, StoreError> {
        self.store.body_writer(self.mailbox.organization).await
    }

    /// Octets of an item's content.
    pub async fn read(&self, item: ItemId, range: Range<u64>) -> Result<BodyStream, StoreError> {
        if !matches!(self.access().await?, Access::Full) {
            self.item(item).await?;
        }
        self.store.read(self.mailbox, item, range).await
    }

    /// Commits operations, each checked against what the principal may do in the folders concerned.
    /// Like the store's `apply`, with the session's origin.
    ///
    /// # Errors
    /// [`StoreError::Denied`] before anything is done, whatever the mode.
    pub async fn apply(
        &self,
        mode: Mode,
        mut operations: Vec<Operation>,
        at: Timestamp,
    ) -> Result<Applied, StoreError> {
        let access = self.access().await?;
        if !matches!(access, Access::Full) {
            let folders = self.store.folders(self.mailbox).await?;
            let check = Check {
                session: self,
                access: &access,
                folders: &folders,
            };
            for operation in &mut operations {
                check.operation(operation).await?;
            }
        }
        let changes = Changeset {
            origin: self.origin.clone(),
            at,
            mode,
            operations,
        };
        self.store.apply(self.mailbox, changes).await
    }

    fn is_owner(&self) -> bool {
        self.mailbox == self.principal.mailbox()
    }

    async fn owner_is_known(&self) -> Result<bool, StoreError> {
        let organization = self.mailbox.organization;
        for owner in self.possible_owners() {
            let enabled = match owner {
                EntityId::User(id) => {
                    let user = self
                        .directory
                        .user(organization, id)
                        .await
                        .map_err(unavailable)?;
                    user.is_some_and(|user| user.state.is_enabled())
                }
                EntityId::Resource(id) => {
                    let resource = self
                        .directory
                        .resource(organization, id)
                        .await
                        .map_err(unavailable)?;
                    resource.is_some_and(|resource| resource.state.is_enabled())
                }
                EntityId::Group(_) => false,
            };
            if enabled {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn require(&self, folder: FolderId, rights: FolderRights) -> Result<(), StoreError> {
        match self.access().await? {
            Access::Full => Ok(()),
            access => {
                let folder = self.store.folder(self.mailbox, folder).await?;
                access.require(&folder, rights)
            }
        }
    }

    async fn access(&self) -> Result<Access, StoreError> {
        let migrates = self.principal.role == PrincipalRole::MigrationAdministrator;
        if self.is_owner() || migrates {
            return Ok(Access::Full);
        }
        let (organization, user) = (self.principal.organization, self.principal.user);
        for owner in self.possible_owners() {
            let rights = self
                .directory
                .rights(organization, user, owner)
                .await
                .map_err(unavailable)?;
            if rights.full_access {
                return Ok(Access::Full);
            }
        }
        let member = EntityId::User(user);
        let groups = self
            .directory
            .memberships(organization, member)
            .await
            .map_err(unavailable)?;
        Ok(Access::Folders { user, groups })
    }

    /// A mailbox id has the value of its owner's id, who is a user or a resource.
    fn possible_owners(&self) -> [EntityId; 2] {
        let value = self.mailbox.mailbox.as_u128();
        [
            EntityId::User(UserId::from_u128(value)),
            EntityId::Resource(ResourceId::from_u128(value)),
        ]
    }
}

/// What a principal has, before any folder is looked at.
enum Access {
    Full,
    Folders { user: UserId, groups: Vec<GroupId> },
}

impl Access {
    fn sees(&self, folder: &Folder) -> bool {
        self.rights(folder).contains(FolderRights::VISIBLE)
    }

    /// An entry for the user decides; without one, the entries for the user's groups together;
    /// without any, the default entry.
    fn rights(&self, folder: &Folder) -> FolderRights {
        let Self::Folders { user, groups } = self else {
            return FolderRights::ALL;
        };
        let rights_of = |wanted: &dyn Fn(Grantee) -> bool| {
            let entries = folder
                .permissions
                .iter()
                .filter(|entry| wanted(entry.grantee));
            entries
                .map(|entry| entry.rights)
                .reduce(FolderRights::union)
        };
        rights_of(&|grantee| grantee == Grantee::User(*user))
            .or_else(|| {
                rights_of(&|grantee| matches!(grantee, Grantee::Group(g) if groups.contains(&g)))
            })
            .or_else(|| rights_of(&|grantee| grantee == Grantee::Default))
            .unwrap_or(FolderRights::NONE)
    }

    fn require(&self, folder: &Folder, needed: FolderRights) -> Result<(), StoreError> {
        let rights = self.rights(folder);
        if rights.contains(needed) {
            return Ok(());
        }
        if rights.contains(FolderRights::VISIBLE) {
            Err(StoreError::Denied)
        } else {
            Err(StoreError::NoSuchFolder(folder.id))
        }
    }

    fn is_creator(&self, item: &Item) -> bool {
        matches!(self, Self::Folders { user, .. } if item.creator == Some(*user))
    }
}

/// Checks operations of somebody who has folder permissions only, and pins each item to the folder
/// it was checked in, so that a move in between cannot widen what is allowed.
struct Check<'a> {
    session: &'a MailboxSession,
    access: &'a Access,
    folders: &'a [Folder],
}

impl Check<'_> {
    async fn operation(&self, operation: &mut Operation) -> Result<(), StoreError> {
        match operation {
            Operation::CreateFolder(new) => match new.parent {
                Some(parent) => self.require(parent.into(), FolderRights::CREATE_SUBFOLDERS),
                None => Err(StoreError::Denied),
            },
            Operation::UpdateFolder { folder, update } => {
                self.require((*folder).into(), FolderRights::OWNER)?;
                match update.parent {
                    Some(Some(parent)) => {
                        self.require(parent.into(), FolderRights::CREATE_SUBFOLDERS)
                    }
                    Some(None) => Err(StoreError::Denied),
                    None => Ok(()),
                }
            }
            Operation::DeleteFolder { folder } => {
                self.require((*folder).into(), FolderRights::OWNER)?;
                self.require_below(*folder)
            }
            Operation::AddItem(NewItem {
                folder, creator, ..
            }) => {
                *creator = Some(self.session.principal.user);
                self.require(*folder, FolderRights::CREATE)
            }
            Operation::UpdateItem { item, expect, .. } => {
                self.item(
                    *item,
                    expect,
                    FolderRights::EDIT_ALL,
                    FolderRights::EDIT_OWN,
                )
                .await
            }
            Operation::DeleteItem { item, expect } => {
                self.item(
                    *item,
                    expect,
                    FolderRights::DELETE_ALL,
                    FolderRights::DELETE_OWN,
                )
                .await
            }
            Operation::MoveItem { item, expect, to } => {
                self.item(
                    *item,
                    expect,
                    FolderRights::DELETE_ALL,
                    FolderRights::DELETE_OWN,
                )
                .await?;
                self.require(*to, FolderRights::CREATE)
            }
            Operation::CopyItem { item, expect, to } => {
                self.item(*item, expect, FolderRights::READ, FolderRights::READ)
                    .await?;
                self.require(*to, FolderRights::CREATE)
            }
        }
    }

    async fn item(
        &self,
        item: ItemId,
        expect: &mut Expect,
        any: FolderRights,
        own: FolderRights,
    ) -> Result<(), StoreError> {
        let found = self.session.item(item).await?;
        let needed = if self.access.is_creator(&found) {
            own
        } else {
            any
        };
        let folder = self.folder(found.folder.into())?;
        if !self.access.rights(folder).contains(needed) {
            self.access.require(folder, any)?;
        }
        if expect
            .folder
            .is_some_and(|expected| expected != found.folder)
        {
            return Err(StoreError::NoSuchItem(item));
        }
        expect.folder = Some(found.folder);
        Ok(())
    }

    fn require(&self, folder: FolderTarget, rights: FolderRights) -> Result<(), StoreError> {
        self.access.require(self.folder(folder)?, rights)
    }

    /// Deleting a folder deletes those below it: all of them have to be the principal's to delete.
    fn require_below(&self, folder: FolderId) -> Result<(), StoreError> {
        for child in self
            .folders
            .iter()
            .filter(|child| child.parent == Some(folder))
        {
            if !self.access.rights(child).contains(FolderRights::OWNER) {
                return Err(StoreError::Denied);
            }
            self.require_below(child.id)?;
        }
        Ok(())
    }

    fn folder(&self, target: FolderTarget) -> Result<&Folder, StoreError> {
        let found = self.folders.iter().find(|folder| match target {
            FolderTarget::Id(id) => folder.id == id,
            FolderTarget::Role(role) => folder.role == Some(role),
        });
        found.ok_or(match target {
            FolderTarget::Id(id) => StoreError::NoSuchFolder(id),
            FolderTarget::Role(_) => StoreError::Denied,
        })
    }
}

fn unavailable(error: DirectoryError) -> StoreError {
    StoreError::Unavailable {
        reason: "the directory does not answer".into(),
        transient: error.is_transient(),
        source: Some(Box::new(error)),
    }
}
