use super::record::{
    Document, Edit, EntityRecord, Grants, GroupRecord, Record, RecordId, ResourceRecord, Retained,
    UserRecord, device_id,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use wm_core::{
    EmailAddress, GroupId, Limits, MailboxId, ResourceId, Timestamp, UserId,
    model::{
        Device, EntityId, GalEntry, Grant, Group, MailboxRights, Names, Resource, User, UserRole,
    },
    traits::{ConfigKey, DirectoryError, Resolution},
};

/// Everybody and everything in one organization, in memory: what the records say, with indexes.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// How many changes there were.
    pub(super) version: u64,
    /// Users first, then groups, then resources, each by id.
    entities: BTreeMap<EntityId, EntityRecord>,
    grants: BTreeMap<EntityId, Vec<Grant>>,
    devices: BTreeMap<(UserId, String), Device>,
    documents: BTreeMap<ConfigKey, Document>,
    /// Mailboxes of who was deleted, and since when they are kept.
    retained: BTreeMap<MailboxId, Timestamp>,

    addresses: HashMap<EmailAddress, EntityId>,
    /// Users by name, as [`folded`].
    users_by_name: HashMap<String, UserId>,
    /// The groups that each entity is a direct member of.
    groups_of: BTreeMap<EntityId, BTreeSet<GroupId>>,
}

impl Roll {
    /// Nobody, after so many changes.
    pub(super) fn at(version: u64) -> Self {
        Self {
            version,
            ..Self::default()
        }
    }

    pub(super) fn apply(&mut self, edit: Edit) {
        match edit {
            Edit::Put(Record::Entity(entity)) => {
                self.forget(entity.id());
                self.learn(entity);
            }
            Edit::Remove(RecordId::Entity(id)) => self.forget(id),
            Edit::Put(Record::Grants(Grants { on, grants })) => {
                self.grants.insert(on, grants);
            }
            Edit::Remove(RecordId::Grants(on)) => {
                self.grants.remove(&on);
            }
            Edit::Put(Record::Device(device)) => {
                self.devices
                    .insert((device.user, device_id(&device.id)), device);
            }
            Edit::Remove(RecordId::Device(user, id)) => {
                self.devices.remove(&(user, id));
            }
            Edit::Put(Record::Document(document)) => {
                self.documents.insert(document.key.clone(), document);
            }
            Edit::Remove(RecordId::Document(key)) => {
                self.documents.remove(&key);
            }
            Edit::Put(Record::Retained(Retained { mailbox, since })) => {
                self.retained.insert(mailbox, since);
            }
            Edit::Remove(RecordId::Retained(mailbox)) => {
                self.retained.remove(&mailbox);
            }
            Edit::Put(Record::Organization(_) | Record::Domain(_))
            | Edit::Remove(RecordId::Organization(_) | RecordId::Domain(_)) => {}
        }
    }

    pub(super) fn entity(&self, id: EntityId) -> Option<&EntityRecord> {
        self.entities.get(&id)
    }

    pub(super) fn entities(&self) -> impl Iterator<Item = &EntityRecord> {
        self.entities.values()
    }

    pub(super) fn user(&self, id: UserId) -> Option<&UserRecord> {
        match self.entity(id.into())? {
            EntityRecord::User(record) => Some(record),
            _ => None,
        }
    }

    pub(super) fn group(&self, id: GroupId) -> Option<&GroupRecord> {
        match self.entity(id.into())? {
            EntityRecord::Group(record) => Some(record),
            _ => None,
        }
    }

    pub(super) fn resource(&self, id: ResourceId) -> Option<&ResourceRecord> {
        match self.entity(id.into())? {
            EntityRecord::Resource(record) => Some(record),
            _ => None,
        }
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &User> {
        self.entities().filter_map(|entity| match entity {
            EntityRecord::User(record) => Some(&record.user),
            _ => None,
        })
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.entities().filter_map(|entity| match entity {
            EntityRecord::Group(record) => Some(&record.group),
            _ => None,
        })
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.entities().filter_map(|entity| match entity {
            EntityRecord::Resource(record) => Some(&record.resource),
            _ => None,
        })
    }

    pub(super) fn holder(&self, address: &EmailAddress) -> Option<EntityId> {
        self.addresses.get(address).copied()
    }

    pub(super) fn user_named(&self, name: &str) -> Option<UserId> {
        self.users_by_name.get(&folded(name)).copied()
    }

    /// Who receives mail for an address in one of the organization's domains.
    pub(super) fn resolve(&self, address: &EmailAddress) -> Option<Resolution> {
        Some(match self.entity(self.holder(address)?)?.clone() {
            EntityRecord::User(record) => Resolution::User(Box::new(record.user)),
            EntityRecord::Group(record) => Resolution::Group(Box::new(record.group)),
            EntityRecord::Resource(record) => Resolution::Resource(Box::new(record.resource)),
        })
    }

    /// The groups that an entity is a direct member of.
    pub(super) fn groups_of(&self, id: EntityId) -> impl Iterator<Item = GroupId> {
        self.groups_of.get(&id).into_iter().flatten().copied()
    }

    /// Every group that an entity belongs to, through other groups too.
    pub(super) fn memberships(&self, id: EntityId) -> BTreeSet<GroupId> {
        let mut found = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let new = self.groups_of(id).filter(|group| found.insert(*group));
            open.extend(new.map(EntityId::from));
        }
        found
    }

    /// The enabled users and resources that a group comes down to (GRP-2), not through groups inside
    /// that are disabled.
    pub(super) fn expand(
        &self,
        group: GroupId,
        limits: &Limits,
    ) -> Result<BTreeSet<EntityId>, DirectoryError> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::from([group]);
        let mut level = vec![group];
        let mut depth = 0;
        while !level.is_empty() {
            depth += 1;
            if depth > limits.group_depth {
                return Err(too_many("groups one inside the other", limits.group_depth));
            }
            let members = level.iter().filter_map(|group| self.group(*group));
            let mut next = Vec::new();
            let enabled =
                |member: &&EntityId| self.entity(**member).is_some_and(EntityRecord::is_enabled);
            for member in members.flat_map(|record| &record.members).filter(enabled) {
                match member {
                    EntityId::Group(inner) if seen.insert(*inner) => next.push(*inner),
                    EntityId::Group(_) => {}
                    EntityId::User(_) | EntityId::Resource(_) => {
                        found.insert(*member);
                    }
                }
                if found.len() > limits.group_members {
                    return Err(too_many("members", limits.group_members));
                }
            }
            level = next;
        }
        Ok(found)
    }

    pub(super) fn grants(&self, on: EntityId) -> &[Grant] {
        self.grants.get(&on).map_or(&[], Vec::as_slice)
    }

    /// Every grant there is.
    pub(super) fn all_grants(&self) -> impl Iterator<Item = (EntityId, &[Grant])> {
        self.grants
            .iter()
            .map(|(on, grants)| (*on, grants.as_slice()))
    }

    /// What `user` may do with `on` by grants to the user and to groups the user belongs to (PRM-1).
    pub(super) fn rights(&self, user: UserId, on: EntityId) -> MailboxRights {
        let grants = self.grants(on);
        if grants.is_empty() {
            return MailboxRights::NONE;
        }
        let groups = self.memberships(user.into());
        let held = grants.iter().filter(|grant| match grant.to {
            EntityId::User(to) => to == user,
            EntityId::Group(to) => groups.contains(&to),
            EntityId::Resource(_) => false,
        });
        held.fold(MailboxRights::NONE, |rights, grant| {
            rights.union(grant.rights)
        })
    }

    /// The address list's entries with a name or address that begins with `prefix` (USR-7).
    pub(super) fn search(&self, prefix: &str, limit: usize) -> Vec<GalEntry> {
        let prefix = folded(prefix);
        let mut found: Vec<_> = self
            .entities()
            .filter(|entity| is_listed(entity) && begins_with(entity, &prefix))
            .filter_map(gal_entry)
            .map(|entry| (folded(&entry.display_name), entry))
            .collect();
        found.sort_by(|(a, x), (b, y)| a.cmp(b).then(x.id.cmp(&y.id)));
        found
            .into_iter()
            .map(|(_, entry)| entry)
            .take(limit)
            .collect()
    }

    pub(super) fn devices(&self, user: UserId) -> impl Iterator<Item = &Device> {
        let of_user = self.devices.range((user, String::new())..);
        of_user
            .take_while(move |((owner, _), _)| *owner == user)
            .map(|(_, device)| device)
    }

    pub(super) fn document(&self, key: &ConfigKey) -> Option<&Document> {
        self.documents.get(key)
    }

    /// The mailboxes that are kept for nobody, and since when.
    pub(super) fn retained(&self) -> impl Iterator<Item = (MailboxId, Timestamp)> {
        self.retained
            .iter()
            .map(|(mailbox, since)| (*mailbox, *since))
    }

    pub(super) fn documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.values()
    }

    fn learn(&mut self, entity: EntityRecord) {
        let id = entity.id();
        for address in entity.addresses() {
            self.addresses.insert(address.clone(), id);
        }
        match &entity {
            EntityRecord::User(record) => {
                self.users_by_name
                    .insert(folded(&record.user.name), record.user.id);
            }
            EntityRecord::Group(record) => {
                for member in &record.members {
                    self.groups_of
                        .entry(*member)
                        .or_default()
                        .insert(record.group.id);
                }
            }
            EntityRecord::Resource(_) => {}
        }
        self.entities.insert(id, entity);
    }

    fn forget(&mut self, id: EntityId) {
        let Some(entity) = self.entities.remove(&id) else {
            return;
        };
        for address in entity.addresses() {
            self.addresses.remove(address);
        }
        match &entity {
            EntityRecord::User(record) => {
                self.users_by_name.remove(&folded(&record.user.name));
            }
            EntityRecord::Group(record) => {
                for member in &record.members {
                    if let Some(groups) = self.groups_of.get_mut(member) {
                        groups.remove(&record.group.id);
                    }
                }
            }
            EntityRecord::Resource(_) => {}
        }
    }
}

/// A name as it is compared.
pub(super) fn folded(name: &str) -> String {
    name.to_lowercase()
}

pub(super) fn too_many(what: &'static str, limit: usize) -> DirectoryError {
    DirectoryError::TooMany { what, limit }
}

fn is_listed(entity: &EntityRecord) -> bool {
    entity.is_enabled()
        && match entity {
            EntityRecord::User(record) => record.user.role != UserRole::System,
            EntityRecord::Group(record) => !record.group.hidden,
            EntityRecord::Resource(_) => true,
        }
}

fn begins_with(entity: &EntityRecord, prefix: &str) -> bool {
    let names = match entity {
        EntityRecord::User(record) => {
            let Names {
                display,
                first,
                last,
            } = &record.user.names;
            vec![entity.name(), display, first, last]
        }
        _ => vec![entity.name()],
    };
    names
        .into_iter()
        .any(|name| folded(name).starts_with(prefix))
        || entity
            .addresses()
            .any(|address| address.to_string().starts_with(prefix))
}

fn gal_entry(entity: &EntityRecord) -> Option<GalEntry> {
    let address = entity.mail().1?.clone();
    let (names, contact) = match entity {
        EntityRecord::User(record) => (record.user.names.clone(), record.user.contact.clone()),
        _ => Default::default(),
    };
    let display_name = match &names {
        Names { display, .. } if !display.is_empty() => display.clone(),
        _ => entity.name().to_owned(),
    };
    Some(GalEntry {
        id: entity.id(),
        display_name,
        address,
        names,
        contact,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use wm_core::{OrganizationId, model::EntityState};

    fn group(id: u128, members: impl IntoIterator<Item = EntityId>) -> Edit {
        let group = Group {
            id: GroupId::from_u128(id),
            organization: OrganizationId::from_u128(1),
            name: format!("group{id}"),
            state: EntityState::Enabled,
            primary: None,
            aliases: vec![],
            hidden: false,
            created: Timestamp::from_seconds(0),
        };
        let members = members.into_iter().collect();
        Edit::Put(Record::Entity(EntityRecord::Group(GroupRecord {
            group,
            members,
        })))
    }

    fn group_id(id: u128) -> EntityId {
        GroupId::from_u128(id).into()
    }

    fn user_id(id: u128) -> EntityId {
        UserId::from_u128(id).into()
    }

    fn user(id: u128) -> Edit {
        let user = User {
            id: UserId::from_u128(id),
            organization: OrganizationId::from_u128(1),
            name: format!("user{id}"),
            names: Names::default(),
            contact: Default::default(),
            role: UserRole::User,
            state: EntityState::Enabled,
            primary: None,
            aliases: vec![],
            quota: None,
            created: Timestamp::from_seconds(0),
        };
        let password = None;
        Edit::Put(Record::Entity(EntityRecord::User(Box::new(UserRecord {
            user,
            password,
        }))))
    }

    /// Who is reached from `id` over the arrows, by closing them step by step.
    fn closure(arrows: &BTreeSet<(EntityId, EntityId)>, id: EntityId) -> BTreeSet<EntityId> {
        let mut reached = BTreeSet::new();
        loop {
            let from = |from: &EntityId| *from == id || reached.contains(from);
            let next: BTreeSet<_> = arrows
                .iter()
                .filter(|(a, _)| from(a))
                .map(|(_, b)| *b)
                .collect();
            if next == reached {
                return reached;
            }
            reached = next;
        }
    }

    proptest! {
        #[test]
        fn nested_groups_come_down_to_whom_they_reach_in_cycles_too(
            changes in vec((0..6u128, vec((any::<bool>(), 0..6u128), 0..5)), 1..20),
        ) {
            let mut roll = Roll::default();
            (0..6).for_each(|id| roll.apply(user(id)));
            let mut arrows = BTreeSet::new();
            for (id, members) in changes {
                let members: BTreeSet<_> = members
                    .into_iter()
                    .map(|(nested, id)| if nested { group_id(id) } else { user_id(id) })
                    .collect();
                arrows.retain(|(from, _)| *from != group_id(id));
                arrows.extend(members.iter().map(|member| (group_id(id), *member)));
                roll.apply(group(id, members));
            }
            // A group that was never made has no members, even where it is one.
            let back = arrows.iter().map(|(a, b)| (*b, *a)).collect();
            for id in 0..6 {
                let expanded = roll.expand(GroupId::from_u128(id), &Limits::default()).unwrap();
                let mut reached = closure(&arrows, group_id(id));
                reached.retain(|id| matches!(id, EntityId::User(_)));
                prop_assert_eq!(expanded, reached);

                for member in [group_id(id), user_id(id)] {
                    let groups = roll.memberships(member).into_iter().map(EntityId::from);
                    prop_assert_eq!(groups.collect::<BTreeSet<_>>(), closure(&back, member));
                }
            }
        }
    }

    #[test]
    fn an_expansion_is_bounded_in_depth_and_members() {
        let limits = Limits {
            group_depth: 3,
            group_members: 4,
            ..Limits::default()
        };
        let mut roll = Roll::default();
        (0..5).for_each(|id| roll.apply(user(id)));
        for id in 0..4 {
            roll.apply(group(id, [group_id(id + 1), user_id(id)]));
        }
        let expand = |roll: &Roll, id| roll.expand(GroupId::from_u128(id), &limits);
        assert_eq!(expand(&roll, 2).unwrap().len(), 2);
        assert!(matches!(
            expand(&roll, 0),
            Err(DirectoryError::TooMany { limit: 3, .. })
        ));
        roll.apply(group(9, (0..5).map(user_id)));
        assert!(matches!(
            expand(&roll, 9),
            Err(DirectoryError::TooMany { limit: 4, .. })
        ));
    }
}
