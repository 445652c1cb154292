//! Two organizations in one store: ours has something of everything, theirs has a user and a
//! mailbox without any mail.

use crate::common::{self, NOW, OnDisk, OpenEngine, message};
use bytes::Bytes;
use wm_core::{
    AccountId, EmailAddress, FolderId, GroupId, ItemId, MailboxRef, OrganizationId, ResourceId,
    TaskId, Timestamp, UserId,
    contract::operation_at,
    model::{
        Device, DeviceState, EntityId, FolderClass, FolderRole, Grant, MailboxRights, Names,
        Protocol, ResourceKind, UserRole,
    },
    traits::{
        Acceptance, AuditEvent, AuditLog, AuditOutcome, AuditQuery, Body, ConfigKey, ConfigKind,
        ConfigStore, Directory, DirectoryAdmin, DirectoryChange, DirectoryError, Lease,
        MailboxStore, NewFolder, NewGroup, NewOrganization, NewResource, NewTask, NewUser,
        Operation, Outcome, ProtocolState, ReversePath, Spool, StateKey, StateVersion, TaskKind,
    },
};
use wm_store::{
    Store,
    directory::{DirectoryOptions, StoredDirectory},
};

pub const OURS: OrganizationId = OrganizationId::from_u128(0xa1);
pub const THEIRS: OrganizationId = OrganizationId::from_u128(0xb2);
pub const ALICE: UserId = UserId::from_u128(0xa11ce);
pub const MALLORY: UserId = UserId::from_u128(0x3a11);
pub const TEAM: GroupId = GroupId::from_u128(0x7ea3);
pub const ROOM: ResourceId = ResourceId::from_u128(0x500);
pub const PASSWORD: &str = "correct Horse 9";

pub struct Two {
    pub store: Store,
    pub directory: StoredDirectory,
    /// Alice's mailbox, and what is in it.
    pub ours: MailboxRef,
    pub folder: FolderId,
    pub item: ItemId,
    pub body: Body,
    pub task: TaskId,
    /// A task of ours, leased.
    pub lease: Lease,
    pub state: StateKey,
    pub state_version: StateVersion,
    pub config_version: u64,
    /// Mallory's mailbox.
    pub theirs: MailboxRef,
    _directory: Option<tempfile::TempDir>,
}

impl Two {
    pub async fn begin(engine: Option<OpenEngine>) -> Self {
        let (store, on_disk) = match engine {
            None => (common::memory(), None),
            Some(engine) => {
                let OnDisk { store, directory } = common::on_disk(engine);
                (store, Some(directory))
            }
        };
        let directory = StoredDirectory::open(&store, DirectoryOptions::default())
            .await
            .unwrap();
        for (id, account, name) in [(OURS, 1, "ours"), (THEIRS, 2, "theirs")] {
            let new = NewOrganization {
                id,
                account: account_number(account),
                alias: name.parse().unwrap(),
                test_domain: format!("{name}.test.example").parse().unwrap(),
                at: NOW,
            };
            let event = audit(id, "CreateOrganization");
            directory.create_organization(new, event).await.unwrap();
        }
        populate(&directory).await;
        let key = setting();
        let config_version = directory
            .store(
                OURS,
                &key,
                None,
                Some(b"secret".to_vec()),
                audit(OURS, "PutSetting"),
            )
            .await
            .unwrap();

        let (ours, theirs) = (mailbox(OURS, ALICE), mailbox(THEIRS, MALLORY));
        store.create(theirs, NOW).await.unwrap();
        store.create(ours, NOW).await.unwrap();
        let folder = new_folder(&store, ours).await;
        let body = body(&store, OURS, b"Subject: private\r\n\r\nprivate").await;
        let mut new = message(body, "private");
        new.folder = folder.into();
        let added = store
            .apply(
                ours,
                operation_at(NOW.as_seconds(), vec![Operation::AddItem(new)]),
            )
            .await
            .unwrap();
        let [Outcome::Item { item, .. }] = added.outcomes[..] else {
            panic!("{added:?}")
        };
        let accepted = store.accept(task(OURS, 1, body)).await.unwrap();
        let leased = store.lease(NOW, LATER, 9).await.unwrap();
        let state = state_key(ours);
        let state_version = ProtocolState::store(
            &store,
            &state,
            None,
            Bytes::from_static(b"key"),
            Timestamp::MAX,
            NOW,
        )
        .await
        .unwrap();
        Self {
            ours,
            folder,
            item,
            body,
            task: accepted.tasks[0],
            lease: leased.into_iter().next().unwrap(),
            state,
            state_version,
            config_version,
            theirs,
            store,
            directory,
            _directory: on_disk,
        }
    }

    /// Their name for what has this id in our organization.
    pub fn stolen(&self) -> MailboxRef {
        MailboxRef {
            organization: THEIRS,
            ..self.ours
        }
    }

    /// Everything of ours, as it is.
    pub async fn contents(&self) -> String {
        let (store, directory) = (&self.store, &self.directory);
        let changes = store
            .changes(self.ours, self.folder, wm_core::ModSeq(0), 99)
            .await
            .unwrap();
        let state = ProtocolState::load(store, &self.state, NOW).await.unwrap();
        let query = AuditQuery {
            account: account_number(1),
            organization: None,
            from: None,
            until: None,
            limit: 99,
        };
        format!(
            "{:?}",
            (
                store.mailbox(self.ours).await.unwrap(),
                store.folders(self.ours).await.unwrap(),
                changes,
                store.tasks(OURS, None, 99).await.unwrap(),
                state,
            ),
        ) + &format!(
            "{:?}",
            (
                directory.organization(OURS).await.unwrap(),
                directory.domains(OURS).await.unwrap(),
                directory.users(OURS).await.unwrap(),
                directory.groups(OURS).await.unwrap(),
                directory.members(OURS, TEAM).await.unwrap(),
                directory.resources(OURS).await.unwrap(),
                directory.delegates(OURS, ROOM).await.unwrap(),
                directory.grants(OURS, ALICE.into()).await.unwrap(),
                directory.devices(OURS, ALICE).await.unwrap(),
                ConfigStore::load(directory, OURS, &setting())
                    .await
                    .unwrap(),
                AuditLog::events(directory, query).await.unwrap(),
            )
        )
    }

    pub async fn change(
        &self,
        organization: OrganizationId,
        change: DirectoryChange,
    ) -> Result<(), DirectoryError> {
        let event = audit(organization, "Change");
        self.directory.change(organization, change, event).await
    }
}

async fn populate(directory: &StoredDirectory) {
    let room = NewResource {
        id: ROOM,
        name: "room".into(),
        kind: ResourceKind::Room,
        description: String::new(),
        at: NOW,
    };
    let team = NewGroup {
        id: TEAM,
        name: "team".into(),
        at: NOW,
    };
    let all = MailboxRights {
        full_access: true,
        send_as: true,
        send_on_behalf: true,
    };
    let ours = [
        DirectoryChange::CreateUser(new_user(ALICE, "alice")),
        DirectoryChange::Enable(ALICE.into(), address("alice@ours.test.example")),
        DirectoryChange::CreateGroup(team),
        DirectoryChange::Enable(TEAM.into(), address("team@ours.test.example")),
        DirectoryChange::AddMember(TEAM, ALICE.into()),
        DirectoryChange::CreateResource(room),
        DirectoryChange::Enable(ROOM.into(), address("room@ours.test.example")),
        DirectoryChange::AddDelegate(ROOM, ALICE.into()),
        DirectoryChange::AddDomain("ours.example".parse().unwrap()),
        DirectoryChange::PutGrant(Grant {
            on: ALICE.into(),
            to: TEAM.into(),
            rights: all,
        }),
        DirectoryChange::PutDevice(device()),
    ];
    let theirs = [
        DirectoryChange::CreateUser(new_user(MALLORY, "mallory")),
        DirectoryChange::Enable(MALLORY.into(), address("mallory@theirs.test.example")),
    ];
    for (organization, changes) in [(OURS, &ours[..]), (THEIRS, &theirs[..])] {
        for change in changes {
            let event = audit(organization, "Change");
            directory
                .change(organization, change.clone(), event)
                .await
                .unwrap();
        }
    }
}

pub const LATER: Timestamp = Timestamp::from_seconds(NOW.as_seconds() + 3600);

pub fn mailbox(organization: OrganizationId, user: UserId) -> MailboxRef {
    MailboxRef {
        organization,
        mailbox: user.into(),
    }
}

pub fn state_key(mailbox: MailboxRef) -> StateKey {
    StateKey {
        mailbox,
        protocol: Protocol::ActiveSync,
        client: "phone".into(),
        name: "sync/1".into(),
    }
}

pub fn setting() -> ConfigKey {
    ConfigKey {
        kind: ConfigKind::Gateway,
        name: "out".into(),
    }
}

pub fn device() -> Device {
    Device {
        id: "PHONE1".into(),
        user: ALICE,
        kind: "phone".into(),
        model: String::new(),
        os: String::new(),
        user_agent: String::new(),
        state: DeviceState::ProvisioningSucceeded,
        first_seen: NOW,
        last_sync: NOW,
    }
}

pub fn new_user(id: UserId, name: &str) -> NewUser {
    NewUser {
        id,
        name: name.into(),
        names: Names::default(),
        role: UserRole::User,
        password: Some(PASSWORD.into()),
        at: NOW,
    }
}

pub fn task(organization: OrganizationId, id: u128, body: Body) -> Acceptance {
    let mut acceptance = common::acceptance(id, vec![]);
    acceptance.tasks.push(NewTask {
        organization,
        kind: TaskKind::Relay,
        reverse_path: ReversePath::NULL,
        recipients: vec![address("someone@elsewhere.example")],
        prefix: vec![],
        body,
        detail: String::new(),
        due: NOW,
    });
    acceptance
}

pub async fn body(store: &Store, organization: OrganizationId, octets: &'static [u8]) -> Body {
    let mut writer = MailboxStore::body_writer(store, organization)
        .await
        .unwrap();
    writer.write(Bytes::from_static(octets)).await.unwrap();
    writer.finish().await.unwrap()
}

async fn new_folder(store: &Store, mailbox: MailboxRef) -> FolderId {
    let folders = store.folders(mailbox).await.unwrap();
    let inbox = folders
        .iter()
        .find(|folder| folder.role == Some(FolderRole::Inbox));
    let new = NewFolder {
        parent: inbox.map(|inbox| inbox.id),
        name: "private".into(),
        class: FolderClass::Mail,
    };
    let made = store
        .apply(
            mailbox,
            operation_at(NOW.as_seconds(), vec![Operation::CreateFolder(new)]),
        )
        .await
        .unwrap();
    match made.outcomes[..] {
        [Outcome::Folder(folder)] => folder,
        ref other => panic!("{other:?}"),
    }
}

pub fn audit(organization: OrganizationId, name: &str) -> AuditEvent {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    AuditEvent {
        id: id.into(),
        at: NOW,
        identity: "walk".into(),
        name: name.into(),
        account: account_number(if organization == OURS { 1 } else { 2 }),
        organization: Some(organization),
        source_address: "127.0.0.1".into(),
        user_agent: "walk".into(),
        request_id: "r".into(),
        parameters: "{}".into(),
        outcome: AuditOutcome::Done(String::new()),
    }
}

pub fn account_number(number: u64) -> AccountId {
    AccountId::from_u64(number).unwrap()
}

pub fn address(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

/// Who of ours there is.
pub const ENTITIES: [EntityId; 3] = [
    EntityId::User(ALICE),
    EntityId::Group(TEAM),
    EntityId::Resource(ROOM),
];
