use super::{
    keys::{MailboxKeys, Tail},
    records::{CommitRecord, FolderCounts, FolderRecord, ItemRecord, MailboxRecord, positions},
};
use crate::{
    engine::{Direction, EngineError, KeyRange, Snapshot},
    record::Record,
    seal::KeySet,
    segment::{self, StoredBody},
};
use bytes::Bytes;
use std::{collections::BTreeMap, num::NonZeroU32};
use wm_core::{
    BodyId, FolderId, ItemId, MailboxRef, ModSeq, Timestamp, Uid, UidValidity,
    model::{Event, EventId, Folder, FolderClass, Item, Tombstone},
    traits::{Changes, Cursor, FolderChanges, ItemList, ListBy, Page, StoreError},
};

/// A mailbox as one state shows it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    state: &'a dyn Snapshot,
    keys: &'a KeySet,
    mailbox: MailboxRef,
    at: MailboxKeys,
}

impl<'a> View<'a> {
    pub(super) fn new(state: &'a dyn Snapshot, keys: &'a KeySet, mailbox: MailboxRef) -> Self {
        Self {
            state,
            keys,
            mailbox,
            at: MailboxKeys::new(mailbox),
        }
    }

    /// The mailbox's record, which stays when the mailbox is removed.
    pub(super) fn record(&self) -> Result<Option<MailboxRecord>, StoreError> {
        self.open(&self.at.mailbox(), || "the mailbox".to_owned())
    }

    pub(super) fn mailbox(&self) -> Result<MailboxRecord, StoreError> {
        let record = self.record()?.filter(|record| !record.removed);
        record.ok_or(StoreError::NoSuchMailbox(self.mailbox))
    }

    pub(super) fn folder_record(&self, folder: FolderId) -> Result<FolderRecord, StoreError> {
        let record = self.open(&self.at.folder(folder), || format!("folder {folder}"))?;
        record.ok_or(StoreError::NoSuchFolder(folder))
    }

    pub(super) fn counts(&self, folder: FolderId) -> Result<FolderCounts, StoreError> {
        let counts = self.open(&self.at.counts(folder), || format!("folder {folder}"))?;
        counts.ok_or(StoreError::NoSuchFolder(folder))
    }

    pub(super) fn folder(&self, folder: FolderId) -> Result<Folder, StoreError> {
        Ok(self
            .folder_record(folder)?
            .into_folder(folder, &self.counts(folder)?))
    }

    /// All folders, parents before children. One whose record cannot be read is there under another
    /// name, so that what is in it can be reached; asked for by its id it is an error.
    pub(super) fn folders(&self) -> Result<Vec<Folder>, StoreError> {
        let mut below: BTreeMap<Option<FolderId>, Vec<Folder>> = BTreeMap::new();
        for folder in self.folder_ids()? {
            let folder = match self.folder(folder) {
                Err(StoreError::Damaged { .. }) => self.damaged_folder(folder),
                known => known?,
            };
            below.entry(folder.parent).or_default().push(folder);
        }
        let mut folders = below.remove(&None).unwrap_or_default();
        let mut next = 0;
        while let Some(folder) = folders.get(next) {
            folders.extend(below.remove(&Some(folder.id)).unwrap_or_default());
            next += 1;
        }
        Ok(folders)
    }

    fn damaged_folder(&self, id: FolderId) -> Folder {
        let unknown = FolderRecord {
            parent: None,
            name: format!("Damaged folder {id}"),
            role: None,
            class: FolderClass::Mail,
            modseq: ModSeq(0),
            subscribed: true,
            permissions: Vec::new(),
            properties: [].into(),
            created: Timestamp::default(),
        };
        let record = self.folder_record(id).unwrap_or(unknown);
        let counts = self.counts(id).unwrap_or(FolderCounts {
            uid_validity: UidValidity(NonZeroU32::MIN),
            uid_next: 1,
            total: 0,
            unread: 0,
            size: 0,
            highest_modseq: record.modseq,
        });
        record.into_folder(id, &counts)
    }

    pub(super) fn folder_ids(&self) -> Result<Vec<FolderId>, StoreError> {
        self.folders_in(self.at.folders())
    }

    pub(super) fn children(&self, parent: FolderId) -> Result<Vec<FolderId>, StoreError> {
        self.folders_in(self.at.children(parent))
    }

    /// The folder of this name below `parent`.
    pub(super) fn folder_named(
        &self,
        parent: Option<FolderId>,
        name: &str,
    ) -> Result<Option<FolderId>, StoreError> {
        Ok(self
            .folders_in(self.at.names(self.keys, parent, name))?
            .pop())
    }

    /// An item, wherever it is; [`item`](Self::item) is for those who were not told of it by the
    /// folder.
    pub(super) fn item_record(&self, item: ItemId) -> Result<ItemRecord, StoreError> {
        let record = self.open(&self.at.item(item), || format!("item {item}"))?;
        record.ok_or(StoreError::NoSuchItem(item))
    }

    /// An item that is not on its way out with its folder.
    pub(super) fn item(&self, item: ItemId) -> Result<ItemRecord, StoreError> {
        let record = self.item_record(item)?;
        match self.has_folder(record.folder)? {
            true => Ok(record),
            false => Err(StoreError::NoSuchItem(item)),
        }
    }

    /// Where an item's body is.
    pub(super) fn body(&self, item: ItemId, record: &ItemRecord) -> Result<StoredBody, StoreError> {
        let what = || format!("the body of item {item}");
        match segment::find_body(self.state, self.keys, record.body.id) {
            Ok(Some(body)) => Ok(body),
            Ok(None) => Err(self.damaged(what(), None)),
            Err(fault) if fault.is_damage() => Err(self.damaged(what(), Some(Box::new(fault)))),
            Err(fault) => Err(fault.into()),
        }
    }

    pub(super) fn items(&self, list: &ItemList) -> Result<Page<Item>, StoreError> {
        self.require_folder(list.folder)?;
        let (mut range, index) = match list.by {
            ListBy::Uid { from, to } => (
                self.at.uids_between(list.folder, from, to),
                self.at.uids(list.folder).start,
            ),
            ListBy::Received { from, until } => (
                self.at.received_between(list.folder, from, until),
                self.at.received_between(list.folder, None, None).start,
            ),
        };
        if let Some(Cursor(after)) = &list.after {
            let last = [&*index, after].concat();
            range = match list.descending {
                true => range.before(last),
                false => range.after(&last),
            };
        }
        let direction = match list.descending {
            true => Direction::Backward,
            false => Direction::Forward,
        };
        let mut entries = Vec::new();
        let mut next = list.after.clone();
        for entry in self.state.scan(range, direction) {
            if entries.len() >= list.limit {
                return Ok(Page { entries, next });
            }
            let (key, _) = entry?;
            let item = Tail(&key).item().ok_or_else(|| self.bad_key(&key))?;
            entries.extend(self.listed(item)?);
            next = key.strip_prefix(&*index).map(|tail| Cursor(tail.to_vec()));
        }
        Ok(Page {
            entries,
            next: None,
        })
    }

    /// At most `limit` items of some folders by the time received, newest first, of those that come
    /// before a place in that order.
    pub(super) fn newest(
        &self,
        folders: &[FolderId],
        (from, until): (Option<Timestamp>, Option<Timestamp>),
        before: Option<(Timestamp, ItemId)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ItemId)>, StoreError> {
        let mut sources = Vec::new();
        for &folder in folders {
            self.require_folder(folder)?;
            let mut range = self.at.received_between(folder, from, until);
            if let Some((at, item)) = before {
                range = range.before(self.at.received(folder, at, item));
            }
            let places = self.state.scan(range, Direction::Backward).map(|entry| {
                let (key, _) = entry?;
                let mut tail = Tail(&key);
                let item = tail.item();
                let place = tail.time().zip(item);
                place.ok_or_else(|| self.bad_key(&key))
            });
            sources.push(places.peekable());
        }
        let mut newest = Vec::new();
        while newest.len() < limit {
            let mut next: Option<(usize, (Timestamp, ItemId))> = None;
            for (index, source) in sources.iter_mut().enumerate() {
                if let Some(fault) = source.next_if(Result::is_err) {
                    fault?;
                } else if let Some(&Ok(place)) = source.peek()
                    && next.is_none_or(|(_, best)| best < place)
                {
                    next = Some((index, place));
                }
            }
            let Some((index, place)) = next else {
                break;
            };
            newest.push(place);
            sources.get_mut(index).and_then(Iterator::next);
        }
        Ok(newest)
    }

    pub(super) fn uids(
        &self,
        folder: FolderId,
    ) -> Result<(ModSeq, Vec<(Uid, ItemId)>), StoreError> {
        let counts = self.counts(folder)?;
        Ok((counts.highest_modseq, self.uids_listed(folder)?))
    }

    /// Every UID of a folder with its item, rising.
    pub(super) fn uids_listed(&self, folder: FolderId) -> Result<Vec<(Uid, ItemId)>, StoreError> {
        let uids = self.keys_in(self.at.uids(folder)).map(|key| {
            let key = key?;
            let mut tail = Tail(&key);
            let item = tail.item();
            tail.uid().zip(item).ok_or_else(|| self.bad_key(&key))
        });
        uids.collect()
    }

    /// An item is listed at the first of its [`positions`] after `since`, as it is now. So a client
    /// that has been brought to a state, by however many pages, has every change up to it: that of a
    /// part that changed at that time was there to be listed then, or a page before.
    pub(super) fn changes(
        &self,
        folder: FolderId,
        since: ModSeq,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        self.require_folder(folder)?;
        // A client that has seen the folder's last change has missed nothing, whatever is forgotten.
        let mailbox = match self.counts(folder)?.highest_modseq <= since {
            true => self.mailbox()?,
            false => self.known_state(since)?,
        };
        let items = self.at.changed_after(folder, since);
        // To a client that starts afresh nothing is gone.
        let gone = match since {
            ModSeq(0) => KeyRange::new("", ""),
            _ => self.at.tombstones_after(folder, since),
        };
        let steps = |range, read: fn(&Self, FolderId, &[u8]) -> Result<Step, StoreError>| {
            let step = move |key: Result<Bytes, EngineError>| read(self, folder, &key?);
            self.keys_in(range).map(step).peekable()
        };
        let mut sources = [steps(items, Self::changed), steps(gone, Self::left)];

        let (mut items, mut gone) = (Vec::new(), Vec::new());
        let mut upto = since;
        loop {
            // What cannot be read comes first, to be answered at once.
            let at = |step: &Result<Step, _>| step.as_ref().map_or(ModSeq(0), Step::at);
            let heads = sources.each_mut().map(|source| source.peek().map(at));
            let next = heads.into_iter().flatten().min();
            let more = next.is_some();
            let Some(next) =
                next.filter(|&next| items.len() + gone.len() < limit.max(1) || next <= upto)
            else {
                let upto = if more { upto } else { mailbox.highest_modseq };
                return Ok(Changes {
                    items,
                    gone,
                    upto,
                    more,
                });
            };
            let mut source = sources.iter_mut().zip(heads);
            let source = source.find(|(_, head)| *head == Some(next));
            match source.and_then(|(source, _)| source.next()).transpose()? {
                Some(Step::Item(at, item)) => items.extend(self.listed(item)?.filter(|item| {
                    positions(&item.stamps).into_iter().find(|&at| at > since) == Some(at)
                })),
                Some(Step::Gone(tombstone)) => gone.push(tombstone),
                None => {}
            }
            upto = next;
        }
    }

    pub(super) fn folder_changes(&self, since: ModSeq) -> Result<FolderChanges, StoreError> {
        let upto = self.known_state(since)?.highest_modseq;
        let mut folders = self.folders()?;
        folders.retain(|folder| folder.modseq > since);
        let gone = match since {
            ModSeq(0) => KeyRange::new("", ""),
            _ => self.at.folder_tombstones_after(since),
        };
        Ok(FolderChanges {
            folders,
            gone: self.folders_in(gone)?,
            upto,
        })
    }

    pub(super) fn events(&self, after: EventId, limit: usize) -> Result<Vec<Event>, StoreError> {
        let mailbox = self.mailbox()?;
        if after.modseq < mailbox.horizon {
            return Err(StoreError::StateTooOld {
                horizon: mailbox.horizon,
            });
        }
        let mut events = Vec::new();
        for entry in self
            .state
            .scan(self.at.events_from(after.modseq), Direction::Forward)
        {
            let (key, sealed) = entry?;
            let modseq = Tail(&key).modseq().ok_or_else(|| self.bad_key(&key))?;
            let what = || format!("the events of commit {modseq}");
            let commit: CommitRecord = self.unseal(&key, &sealed, what)?;
            for (index, kind) in (0..).zip(commit.events) {
                let id = EventId { modseq, index };
                if id > after && events.len() < limit {
                    events.push(Event {
                        id,
                        at: commit.at,
                        origin: commit.origin.clone(),
                        kind,
                    });
                }
            }
            if events.len() >= limit {
                break;
            }
        }
        Ok(events)
    }

    /// Of the oldest `limit` commits that the event log has, the last from before a time; and whether
    /// there may be later ones from before it.
    pub(super) fn last_commit_before(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<(Option<ModSeq>, bool), StoreError> {
        let horizon = self.mailbox()?.horizon;
        let (mut last, mut seen) = (None, 0);
        let log = self.at.events_from(horizon.next());
        for entry in self.state.scan(log, Direction::Forward).take(limit) {
            let (key, sealed) = entry?;
            seen += 1;
            // One that cannot be read goes with the next that can.
            if let Ok(CommitRecord { at, .. }) = self.keys.open_record(&key, &sealed) {
                if at >= before {
                    return Ok((last, false));
                }
                last = Tail(&key).modseq();
            }
        }
        Ok((last, seen == limit))
    }

    /// At most `limit` keys of a range.
    pub(super) fn some_keys(
        &self,
        range: KeyRange,
        limit: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        Ok(self.keys_in(range).take(limit).collect::<Result<_, _>>()?)
    }

    pub(super) fn has_folder(&self, folder: FolderId) -> Result<bool, StoreError> {
        Ok(self.state.get(&self.at.folder(folder))?.is_some())
    }

    fn require_folder(&self, folder: FolderId) -> Result<(), StoreError> {
        match self.has_folder(folder)? {
            true => Ok(()),
            false => Err(StoreError::NoSuchFolder(folder)),
        }
    }

    /// The mailbox, if a client's state of then can be brought up to date.
    fn known_state(&self, since: ModSeq) -> Result<MailboxRecord, StoreError> {
        let mailbox = self.mailbox()?;
        if since < mailbox.horizon && since != ModSeq(0) {
            return Err(StoreError::StateTooOld {
                horizon: mailbox.horizon,
            });
        }
        Ok(mailbox)
    }

    /// An item that an index names. One that cannot be read is left out, so that it does not keep
    /// the others from being listed; asked for by its id it is an error, and a check reports it.
    pub(super) fn listed(&self, item: ItemId) -> Result<Option<Item>, StoreError> {
        match self.item_record(item) {
            Ok(record) => Ok(Some(record.into_item(item))),
            Err(StoreError::NoSuchItem(_) | StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn changed(&self, _: FolderId, key: &[u8]) -> Result<Step, StoreError> {
        let mut tail = Tail(key);
        let item = tail.item();
        let parts = tail.modseq().zip(item);
        parts
            .map(|(at, item)| Step::Item(at, item))
            .ok_or_else(|| self.bad_key(key))
    }

    fn left(&self, folder: FolderId, key: &[u8]) -> Result<Step, StoreError> {
        let mut tail = Tail(key);
        let moved_to = tail.folder();
        let (uid, item) = (tail.uid(), tail.item());
        let parts = moved_to.zip(uid).zip(item).zip(tail.modseq());
        let (((moved_to, uid), item), modseq) = parts.ok_or_else(|| self.bad_key(key))?;
        Ok(Step::Gone(Tombstone {
            folder,
            item,
            uid,
            modseq,
            moved_to,
        }))
    }

    /// The folders that the keys of a range end with.
    fn folders_in(&self, range: KeyRange) -> Result<Vec<FolderId>, StoreError> {
        let folder = |key: Result<Bytes, EngineError>| {
            let key = key?;
            Tail(&key)
                .folder()
                .flatten()
                .ok_or_else(|| self.bad_key(&key))
        };
        self.keys_in(range).map(folder).collect()
    }

    fn keys_in(
        &self,
        range: KeyRange,
    ) -> impl Iterator<Item = Result<Bytes, EngineError>> + use<'a> {
        self.state
            .scan(range, Direction::Forward)
            .map(|entry| entry.map(|(key, _)| key))
    }

    fn open<R: Record>(
        &self,
        key: &[u8],
        what: impl FnOnce() -> String,
    ) -> Result<Option<R>, StoreError> {
        let sealed = self.state.get(key)?;
        sealed
            .map(|sealed| self.unseal(key, &sealed, what))
            .transpose()
    }

    fn unseal<R: Record>(
        &self,
        key: &[u8],
        sealed: &[u8],
        what: impl FnOnce() -> String,
    ) -> Result<R, StoreError> {
        let opened = self.keys.open_record(key, sealed);
        opened.map_err(|fault| self.damaged(what(), Some(Box::new(fault))))
    }

    fn bad_key(&self, key: &[u8]) -> StoreError {
        self.damaged(format!("the key {}", key.escape_ascii()), None)
    }

    fn damaged(
        &self,
        what: String,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Damaged {
            what: format!("{what} of mailbox {}", self.mailbox),
            source,
        }
    }
}

/// A step of a folder's changes.
enum Step {
    /// This commit is among the item's positions.
    Item(ModSeq, ItemId),
    Gone(Tombstone),
}

impl Step {
    fn at(&self) -> ModSeq {
        match self {
            Self::Item(at, _) => *at,
            Self::Gone(tombstone) => tombstone.modseq,
        }
    }
}

/// Whether an entry of a mailbox says what no other does: indexes, counts of what is gone and the
/// event log are derived, or can be done without.
pub(crate) fn is_primary(key: &[u8]) -> bool {
    MailboxKeys::parse(key).is_some_and(|(_, kind)| b"mfci".contains(&kind))
}

/// The mailbox of an entry, and a key behind all of its entries.
pub(crate) fn of_key(key: &[u8]) -> Option<(MailboxRef, Vec<u8>)> {
    let (mailbox, _) = MailboxKeys::parse(key)?;
    Some((mailbox, MailboxKeys::new(mailbox).last()))
}

/// What there is to say about an entry of a mailbox.
#[derive(Default)]
pub(crate) struct Inspected {
    pub(crate) mailbox: Option<MailboxRef>,
    /// If it is an item's record.
    pub(crate) item: Option<ItemId>,
    /// The body it refers to.
    pub(crate) body: Option<BodyId>,
    pub(crate) wrong: Option<String>,
}

/// Opens any entry of any mailbox.
pub(crate) fn inspect(keys: &KeySet, key: &[u8], value: &[u8]) -> Inspected {
    let Some((mailbox, kind)) = MailboxKeys::parse(key) else {
        return Inspected::default();
    };
    let mut inspected = Inspected {
        mailbox: Some(mailbox),
        ..Inspected::default()
    };
    let opened = match kind {
        b'm' => keys.open_record::<MailboxRecord>(key, value).map(drop),
        b'f' => keys.open_record::<FolderRecord>(key, value).map(drop),
        b'c' => keys.open_record::<FolderCounts>(key, value).map(drop),
        b'e' => keys.open_record::<CommitRecord>(key, value).map(drop),
        b'i' => {
            inspected.item = Tail(key).item();
            keys.open_record::<ItemRecord>(key, value)
                .map(|record| inspected.body = Some(record.body.id))
        }
        _ => Ok(()),
    };
    inspected.wrong = opened.err().map(|fault| fault.to_string());
    inspected
}
