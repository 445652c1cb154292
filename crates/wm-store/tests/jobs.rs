//! What has had its time goes, in simulated time: mailboxes of who is disabled or deleted, organizations
//! that are removed, history, protocol state. Interrupted anywhere, a job is completed by the next run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use bytes::Bytes;
use common::{acceptance, delivery, message};
use futures::{FutureExt, executor::block_on, future::poll_fn};
use std::{pin::pin, sync::Arc, task::Poll};
use wm_core::{
    AccountId, EmailAddress, FolderId, Limits, MailboxRef, ModSeq, OrganizationId, Timestamp,
    UserId,
    contract::{audit, organization},
    model::{
        EntityState, Event, EventId, Flags, FolderRole, Names, Organization, OrganizationState,
        Protocol, UserRole,
    },
    traits::{
        AuditEvent, AuditLog, AuditQuery, BodyWriter, Directory, DirectoryAdmin, DirectoryChange,
        DirectoryError, ItemUpdate, MailboxStore, NewOrganization, NewTask, NewUser, Operation,
        Outcome, ProtocolState, ReversePath, Spool, StateKey, StoreError, TaskKind,
    },
};
use wm_store::{
    Store, StoreParts,
    directory::{DirectoryOptions, StoredDirectory},
    engine::{Direction, Engine, KeyRange},
    segment::{Files, MIN_SEGMENT_SIZE},
};

#[test]
fn a_disabled_mailbox_is_restored_within_its_time_and_then_removed_for_good() {
    let house = House::new();
    let (alice, bob) = (house.user(1, 1, "alice"), house.user(1, 2, "bob"));
    house.deliver(alice, 3);
    house.deliver(bob, 1);
    house.disable(alice, START);

    assert_eq!(house.remove_retired(after(30) - 1), []);
    house.enable(alice, "alice");
    assert_eq!(house.items(alice), Some(3));
    // Enabled, it has no end.
    assert_eq!(house.remove_retired(after(1000)), []);

    house.disable(alice, after(100));
    assert_eq!(house.remove_retired(after(130) - 1), []);
    assert_eq!(house.remove_retired(after(130)), [mailbox_of(alice)]);
    assert_eq!(house.items(alice), None);
    assert_eq!(house.states(alice), 0);
    let removals = house.audited("DeleteMailbox");
    assert_eq!(removals.len(), 1);
    assert_eq!(removals[0].at, Timestamp::from_millis(after(130)));

    // It happens once; the user is still there, and begins anew.
    assert_eq!(house.remove_retired(after(131)), []);
    house.enable(alice, "alice");
    house.deliver(alice, 1);
    assert_eq!(house.items(alice), Some(1));
    assert_eq!((house.items(bob), house.states(bob)), (Some(1), 1));
    assert_eq!(house.check(), 2);
}

#[test]
fn a_recreated_user_of_the_same_name_does_not_get_the_mailbox() {
    let house = House::new();
    let alice = house.user(1, 1, "alice");
    house.deliver(alice, 3);
    house.disable(alice, START);
    house.change(1, DirectoryChange::Delete(alice.1.into()));

    let other = house.user(1, 2, "alice");
    assert_eq!(house.items(other), None);
    house.deliver(other, 1);
    assert_eq!(house.items(alice), Some(3));
    let house = house.again();
    assert_eq!(house.remove_retired(after(30) - 1), []);
    assert_eq!(house.remove_retired(after(30)), [mailbox_of(alice)]);
    assert_eq!((house.items(alice), house.items(other)), (None, Some(1)));
    assert_eq!(house.remove_retired(after(31)), []);
}

#[test]
fn a_user_made_again_with_the_same_id_gets_it_within_its_time() {
    let house = House::new();
    let alice = house.user(1, 1, "alice");
    house.deliver(alice, 3);
    house.disable(alice, START);
    house.change(1, DirectoryChange::Delete(alice.1.into()));
    // Made again, the time goes on from when the first was disabled.
    house.create(1, 1, "alice");
    assert_eq!(house.remove_retired(after(30) - 1), []);
    house.enable(alice, "alice");
    assert_eq!(house.items(alice), Some(3));
    assert_eq!(house.remove_retired(after(1000)), []);

    house.disable(alice, START);
    house.change(1, DirectoryChange::Delete(alice.1.into()));
    house.create(1, 1, "alice");
    assert_eq!(house.remove_retired(after(30)), [mailbox_of(alice)]);
    house.enable(alice, "alice");
    assert_eq!(house.items(alice), None);
}

#[test]
fn who_never_was_enabled_has_nothing_removed() {
    let house = House::new();
    house.create(1, 1, "alice");
    assert_eq!(house.remove_retired(after(10_000)), []);
    house.change(1, DirectoryChange::Delete(UserId::from_u128(1).into()));
    assert_eq!(house.remove_retired(after(10_000)), []);
}

#[test]
fn a_removal_of_a_mailbox_cut_short_anywhere_is_completed_by_the_next() {
    let mut cuts = 0;
    for polls in CUTS {
        let house = House::new();
        let (alice, bob) = (house.user(1, 1, "alice"), house.user(1, 2, "bob"));
        // More than one step's worth.
        house.deliver(alice, 300);
        house.deliver(bob, 1);
        house.disable(alice, START);
        let done = {
            let job = house.directory.remove_retired(at(after(30)), event);
            give_up_after(job, polls)
        };
        let house = house.again();
        block_on(house.store.clean_up()).unwrap();
        house.remove_retired(after(30));
        assert_eq!(house.items(alice), None, "{polls} polls");
        assert_eq!(house.states(alice), 0, "{polls} polls");
        assert_eq!(house.remove_retired(after(31)), [], "{polls} polls");
        let user = block_on(house.directory.user(organization(1), alice.1));
        let never = EntityState::Disabled { since: None };
        assert_eq!(user.unwrap().unwrap().state, never);
        assert_eq!(house.check(), 1);
        assert_eq!(house.audited("DeleteMailbox").len(), 1, "{polls} polls");
        cuts += u32::from(!done);
    }
    assert!(cuts > 0, "never cut short");
}

#[test]
fn a_removed_organization_leaves_nothing_and_the_others_everything() {
    let mut cuts = 0;
    for polls in CUTS {
        let house = House::new();
        let (alice, carol) = (house.user(1, 1, "alice"), house.user(2, 9, "carol"));
        house.deliver(alice, 40);
        house.deliver(carol, 2);
        house.task(alice);
        house.task(carol);
        house.change(1, DirectoryChange::SetState(OrganizationState::Deleting));
        assert!(house.records_of(organization(1)) > 100);
        let done = {
            let job = house.directory.finish_removals(event);
            give_up_after(job, polls)
        };
        let house = house.again();
        block_on(house.directory.finish_removals(event)).unwrap();

        assert_eq!(house.records_of(organization(1)), 0, "{polls} polls");
        assert!(!house.has_keys_of(organization(1)), "{polls} polls");
        let removed = block_on(house.directory.organization(organization(1)));
        assert_eq!(removed.unwrap().unwrap().state, OrganizationState::Deleted);
        let again = block_on(house.directory.finish_removals(event)).unwrap();
        assert_eq!(again, [], "{polls} polls");
        assert_eq!(house.items(carol), Some(2));
        let leased = block_on(house.store.lease(at(after(1)), at(after(2)), 10)).unwrap();
        assert_eq!(leased.len(), 1, "{polls} polls");
        assert_eq!(house.check(), 2);
        // Its address is free, its id is not.
        let taken = block_on(
            house
                .directory
                .create_organization(new_organization(1, "one"), audit("CreateOrganization")),
        );
        assert!(
            matches!(taken, Err(DirectoryError::NameInUse(_))),
            "{taken:?}"
        );
        block_on(
            house
                .directory
                .create_organization(new_organization(3, "one"), audit("CreateOrganization")),
        )
        .unwrap();
        cuts += u32::from(!done);
    }
    assert!(cuts > 0, "never cut short");
}

#[test]
fn compaction_gives_back_the_space_of_a_removed_organization() {
    let house = House::new();
    let (alice, carol) = (house.user(1, 1, "alice"), house.user(2, 9, "carol"));
    for n in 0..12 {
        let content = vec![n; MIN_SEGMENT_SIZE as usize / 4];
        block_on(house.put(alice, &content));
    }
    block_on(house.put(carol, b"small"));
    let before = house.size_of_bodies();
    house.change(1, DirectoryChange::SetState(OrganizationState::Deleting));
    let removed = block_on(house.directory.finish_removals(event)).unwrap();
    assert_eq!(removed, [organization(1)]);
    block_on(house.store.compact(1, |_, _| ())).unwrap();
    let left = house.size_of_bodies();
    assert!(left < before / 2, "{left} of {before}");
    assert_eq!(house.check(), 1);
}

#[test]
fn history_is_forgotten_after_its_time_and_no_earlier() {
    let house = House::new();
    let alice = house.user(1, 1, "alice");
    let of = mailbox_of(alice);
    let gone = house.delivered_at(alice, after(0));
    house.delivered_at(alice, after(10));
    let old = house.modseq(alice);
    house.apply(
        alice,
        after(11),
        Operation::DeleteItem {
            item: gone,
            expect: Default::default(),
        },
    );
    let middle = house.modseq(alice);
    house.delivered_at(alice, after(20));

    let forget = |days| block_on(house.store.forget_history(at(after(days)))).unwrap();
    assert_eq!(forget(30), 0);
    assert_eq!(house.events(alice, ModSeq(0)).unwrap().len(), 4);
    assert_eq!(forget(42), 1);
    // What happened on the 20th day is remembered, what was before is not.
    let events = house.events(alice, middle).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].at, at(after(20)));
    for too_old in [ModSeq(0), old] {
        let refused = house.events(alice, too_old);
        assert!(
            matches!(refused, Err(StoreError::StateTooOld { .. })),
            "{refused:?}"
        );
    }
    let inbox = house.inbox(alice);
    let changes = |since| block_on(house.store.changes(of, inbox, since, 100));
    assert!(matches!(changes(old), Err(StoreError::StateTooOld { .. })));
    assert_eq!(changes(middle).unwrap().items.len(), 1);
    // There is nothing more to forget; then everything goes.
    assert_eq!(forget(43), 0);
    assert_eq!(forget(100), 1);
    assert_eq!(house.items(alice), Some(2));
    assert_eq!(house.check(), 2);
}

#[test]
fn who_has_seen_the_last_change_of_a_quiet_folder_need_not_start_afresh() {
    let house = House::new();
    let alice = house.user(1, 1, "alice");
    let of = mailbox_of(alice);
    let item = house.delivered_at(alice, after(0));
    let sent = block_on(house.store.folders(of)).unwrap();
    let sent = sent
        .into_iter()
        .find(|it| it.role == Some(FolderRole::Sent))
        .unwrap();
    let seen = house.modseq(alice);
    for n in 1..5 {
        let update = ItemUpdate {
            set: if n % 2 == 1 { Flags::READ } else { Flags::NONE },
            clear: if n % 2 == 0 { Flags::READ } else { Flags::NONE },
            ..ItemUpdate::default()
        };
        house.apply(
            alice,
            after(n),
            Operation::UpdateItem {
                item,
                expect: Default::default(),
                update,
            },
        );
    }
    block_on(house.store.forget_history(at(after(100)))).unwrap();
    let changes = block_on(house.store.changes(of, sent.id, seen, 10)).unwrap();
    assert!(changes.items.is_empty() && changes.gone.is_empty() && !changes.more);
    assert_eq!(changes.upto, house.modseq(alice));
    let refused = block_on(house.store.changes(of, house.inbox(alice), seen, 10));
    assert!(matches!(refused, Err(StoreError::StateTooOld { .. })));
}

#[test]
fn protocol_state_and_acceptances_go_with_their_time() {
    let house = House::new();
    let alice = house.user(1, 1, "alice");
    for n in 0..2500 {
        let key = state_key(alice, &format!("record {n}"));
        let expires = at(after(if n % 5 == 0 { 9 } else { 5 }));
        let store = house
            .store
            .store(&key, None, Bytes::new(), expires, at(START));
        block_on(store).unwrap();
    }
    assert_eq!(
        block_on(house.store.expire_states(at(after(5) - 1))).unwrap(),
        0
    );
    assert_eq!(
        block_on(house.store.expire_states(at(after(5)))).unwrap(),
        2000
    );
    assert_eq!(house.states(alice), 501);

    // An acceptance is answered again for a day at least.
    let body = block_on(house.write(alice, b"again"));
    let accept = || {
        let deliveries = vec![delivery(mailbox_of(alice), message(body, "again"))];
        block_on(house.store.accept(acceptance(77, deliveries))).unwrap()
    };
    let count = || {
        accept();
        house.items(alice).unwrap()
    };
    assert_eq!(count(), 1);
    assert_eq!(
        block_on(house.store.forget_accepted(at(after(1)))).unwrap(),
        0
    );
    assert_eq!(count(), 1);
    assert_eq!(
        block_on(house.store.forget_accepted(at(after(3)))).unwrap(),
        1
    );
    assert_eq!(count(), 2);
}

/// After how many polls a job is given up. How far it is then depends on the store's threads; at the last of
/// them it is done.
const CUTS: [u32; 10] = [1, 2, 3, 4, 5, 6, 8, 10, 15, 1000];

/// Milliseconds; as [`common::NOW`].
const START: i64 = 1_800_000_000_000;

/// Days after [`START`].
fn after(days: i64) -> i64 {
    START + days * 24 * 60 * 60 * 1000
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

type Who = (OrganizationId, UserId);

fn mailbox_of((organization, user): Who) -> MailboxRef {
    MailboxRef {
        organization,
        mailbox: user.into(),
    }
}

fn event(organization: &Organization, name: &str) -> AuditEvent {
    AuditEvent {
        organization: Some(organization.id),
        account: organization.account,
        ..audit(name)
    }
}

/// Polls a job at most so often, then drops it; answers whether it had come to its end.
fn give_up_after<T, E: std::fmt::Debug>(
    job: impl Future<Output = Result<T, E>>,
    polls: u32,
) -> bool {
    let mut job = pin!(job);
    let mut left = polls;
    block_on(poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        job.poll_unpin(context).map(|done| {
            done.unwrap();
            true
        })
    }))
}

/// A store in memory, which can be opened again, and the directory in it.
struct House {
    store: Store,
    directory: StoredDirectory,
    engine: Arc<dyn Engine>,
    bodies: Arc<dyn Files>,
    keys: Arc<dyn Files>,
    key_service: Arc<dyn wm_core::traits::KeyService>,
}

impl House {
    /// Two organizations, `one` and `two`.
    fn new() -> Self {
        let StoreParts {
            engine,
            bodies,
            keys,
            key_service,
            ..
        } = StoreParts::in_memory().unwrap();
        let house = Self::open(engine, bodies, keys, key_service);
        for (n, alias) in [(1, "one"), (2, "two")] {
            let create = house
                .directory
                .create_organization(new_organization(n, alias), audit("CreateOrganization"));
            block_on(create).unwrap();
        }
        house
    }

    fn open(
        engine: Arc<dyn Engine>,
        bodies: Arc<dyn Files>,
        keys: Arc<dyn Files>,
        key_service: Arc<dyn wm_core::traits::KeyService>,
    ) -> Self {
        let store = Store::open(StoreParts {
            engine: engine.clone(),
            bodies: bodies.clone(),
            journal: None,
            keys: keys.clone(),
            key_service: key_service.clone(),
            limits: Limits::default(),
            segment_size: MIN_SEGMENT_SIZE,
        })
        .unwrap();
        let directory = StoredDirectory::open(&store, DirectoryOptions::default());
        let directory = block_on(directory).unwrap();
        Self {
            store,
            directory,
            engine,
            bodies,
            keys,
            key_service,
        }
    }

    /// The same, closed and opened.
    fn again(self) -> Self {
        let Self {
            store,
            directory,
            engine,
            bodies,
            keys,
            key_service,
        } = self;
        drop((directory, store));
        Self::open(engine, bodies, keys, key_service)
    }

    fn change(&self, n: u8, change: DirectoryChange) {
        let changed = self
            .directory
            .change(organization(n), change, audit("Change"));
        block_on(changed).unwrap();
    }

    fn create(&self, n: u8, id: u128, name: &str) {
        self.change(
            n,
            DirectoryChange::CreateUser(NewUser {
                id: UserId::from_u128(id),
                name: name.into(),
                names: Names::default(),
                role: UserRole::User,
                password: None,
                at: at(START),
            }),
        );
    }

    /// A user who is enabled, with some protocol state that does not expire.
    fn user(&self, n: u8, id: u128, name: &str) -> Who {
        let who = (organization(n), UserId::from_u128(id));
        self.create(n, id, name);
        self.enable(who, name);
        let key = state_key(who, "kept");
        let store = self
            .store
            .store(&key, None, Bytes::new(), Timestamp::MAX, at(START));
        block_on(store).unwrap();
        who
    }

    fn enable(&self, who: Who, name: &str) {
        let n = if who.0 == organization(1) { 1 } else { 2 };
        let domain = ["one", "two"][n - 1];
        let address: EmailAddress = format!("{name}@{domain}.test.example").parse().unwrap();
        self.change(n as u8, DirectoryChange::Enable(who.1.into(), address));
    }

    fn disable(&self, who: Who, when: i64) {
        let n = if who.0 == organization(1) { 1 } else { 2 };
        self.change(n, DirectoryChange::Disable(who.1.into(), at(when)));
    }

    fn deliver(&self, who: Who, count: u32) {
        for n in 0..count {
            block_on(self.put(who, format!("message {n}").as_bytes()));
        }
    }

    async fn put(&self, who: Who, content: &[u8]) {
        let body = self.write(who, content).await;
        let add = Operation::AddItem(message(body, "a subject"));
        let changes = wm_core::contract::operation_at(START / 1000, vec![add]);
        self.store.apply(mailbox_of(who), changes).await.unwrap();
    }

    async fn write(&self, who: Who, content: &[u8]) -> wm_core::traits::Body {
        let writer = MailboxStore::body_writer(&self.store, who.0).await;
        let mut writer: Box<dyn BodyWriter> = writer.unwrap();
        writer.write(Bytes::copy_from_slice(content)).await.unwrap();
        writer.finish().await.unwrap()
    }

    fn apply(&self, who: Who, when: i64, operation: Operation) -> Vec<Outcome> {
        let changes = wm_core::contract::operation_at(when / 1000, vec![operation]);
        let applied = self.store.apply(mailbox_of(who), changes);
        block_on(applied).unwrap().outcomes
    }

    fn delivered_at(&self, who: Who, when: i64) -> wm_core::ItemId {
        let body = block_on(self.write(who, format!("at {when}").as_bytes()));
        match self.apply(who, when, Operation::AddItem(message(body, "a subject")))[..] {
            [Outcome::Item { item, .. }] => item,
            ref other => panic!("{other:?}"),
        }
    }

    /// A task that is due.
    fn task(&self, who: Who) {
        let body = block_on(self.write(who, b"task"));
        let mut accepted = acceptance(who.1.as_u128(), vec![]);
        accepted.tasks.push(NewTask {
            organization: who.0,
            kind: TaskKind::Relay,
            reverse_path: ReversePath::NULL,
            recipients: vec!["x@example.org".parse().unwrap()],
            prefix: vec![],
            body,
            detail: String::new(),
            due: at(START),
        });
        block_on(self.store.accept(accepted)).unwrap();
    }

    fn remove_retired(&self, now: i64) -> Vec<MailboxRef> {
        let event = |organization: &Organization, name: &str| AuditEvent {
            at: at(now),
            ..event(organization, name)
        };
        block_on(self.directory.remove_retired(at(now), event)).unwrap()
    }

    /// The items of a mailbox's inbox; `None` when there is no such mailbox.
    fn items(&self, who: Who) -> Option<u64> {
        match block_on(self.store.folders(mailbox_of(who))) {
            Ok(folders) => Some(folders.iter().map(|folder| folder.total).sum()),
            Err(StoreError::NoSuchMailbox(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn inbox(&self, who: Who) -> FolderId {
        let folders = block_on(self.store.folders(mailbox_of(who))).unwrap();
        let inbox = folders.iter().find(|it| it.role == Some(FolderRole::Inbox));
        inbox.unwrap().id
    }

    fn modseq(&self, who: Who) -> ModSeq {
        let mailbox = block_on(self.store.mailbox(mailbox_of(who)));
        mailbox.unwrap().highest_modseq
    }

    fn events(&self, who: Who, after: ModSeq) -> Result<Vec<Event>, StoreError> {
        let after = EventId {
            modseq: after,
            index: u32::MAX,
        };
        block_on(self.store.events(mailbox_of(who), after, 100))
    }

    fn states(&self, who: Who) -> usize {
        let keys = self.store.keys(mailbox_of(who), Protocol::Ews, at(START));
        block_on(keys).unwrap().len()
    }

    fn audited(&self, name: &str) -> Vec<AuditEvent> {
        let query = AuditQuery {
            account: account(),
            organization: None,
            from: None,
            until: None,
            limit: 1000,
        };
        let mut events = block_on(self.directory.events(query)).unwrap();
        events.retain(|event| event.name == name);
        events
    }

    /// Verifies that nothing is damaged; answers how many items there are.
    fn check(&self) -> u64 {
        let report = block_on(self.store.check(|_, _| ())).unwrap();
        assert_eq!(report.findings, []);
        report.items
    }

    /// Records that name an organization, wherever they are.
    fn records_of(&self, organization: OrganizationId) -> usize {
        let id = organization.as_u128().to_be_bytes();
        let snapshot = self.engine.snapshot().unwrap();
        let keys = snapshot.scan(KeyRange::all(), Direction::Forward);
        keys.map(|entry| entry.unwrap().0)
            .filter(|key| {
                // The directory still knows that there was such an organization.
                let listed = key[16] == b'd' && key[..16] == [0; 16];
                !listed && key.windows(16).any(|part| part == id)
            })
            .count()
    }

    fn has_keys_of(&self, organization: OrganizationId) -> bool {
        let id = format!("{:032x}", organization.as_u128());
        let names = self.keys.names().unwrap();
        names.iter().any(|name| name.starts_with(&id))
    }

    fn size_of_bodies(&self) -> u64 {
        let names = self.bodies.names().unwrap();
        let size = |name: &String| self.bodies.open(name, false).unwrap().size().unwrap();
        names.iter().map(size).sum()
    }
}

fn account() -> AccountId {
    AccountId::from_u64(42).unwrap()
}

fn new_organization(n: u8, alias: &str) -> NewOrganization {
    NewOrganization {
        id: organization(n),
        account: account(),
        alias: alias.parse().unwrap(),
        test_domain: format!("{alias}.test.example").parse().unwrap(),
        at: at(START),
    }
}

fn state_key(who: Who, name: &str) -> StateKey {
    StateKey {
        mailbox: mailbox_of(who),
        protocol: Protocol::Ews,
        client: "client".into(),
        name: name.into(),
    }
}
