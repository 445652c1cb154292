//! Where a mailbox's records are in the engine.
//!
//! A key begins with organization (16 bytes), [`Space::Mailboxes`], mailbox (16) and a kind (1).
//! Numbers in keys are big-endian, so that they sort. Values are sealed or empty.
//!
//! | kind | then | value |
//! |---|---|---|
//! | `m` | | [`MailboxRecord`](super::records::MailboxRecord) |
//! | `f` | folder (4) | [`FolderRecord`](super::records::FolderRecord) |
//! | `c` | folder (4) | [`FolderCounts`](super::records::FolderCounts) |
//! | `n` | parent (4), keyed hash of the name (16), folder (4) | empty |
//! | `i` | item (8) | [`ItemRecord`](super::records::ItemRecord) |
//! | `u` | folder (4), UID (4), item (8) | empty |
//! | `r` | folder (4), time received (8), item (8) | empty |
//! | `s` | folder (4), each of the item's [`positions`](super::records::positions) (8), item (8) | empty |
//! | `t` | folder (4), modification sequence (8), item (8), UID (4), new folder or 0 (4) | empty |
//! | `d` | modification sequence (8), deleted folder (4) | empty |
//! | `e` | modification sequence (8) | [`CommitRecord`](super::records::CommitRecord) |
//!
//! What is deleted in steps is listed among the installation's keys: [`Space::Purge`], organization
//! (16), mailbox (16), folder (4) or 0 for the change feed up to the horizon; empty.

use crate::{
    engine::KeyRange,
    keyspace::{INSTALLATION, Space, time},
    seal::{KeySet, Namer},
};
use wm_core::{
    FolderId, ItemId, MailboxId, MailboxRef, ModSeq, OrganizationId, Timestamp, Uid,
    model::Tombstone,
};

/// The keys of one mailbox.
#[derive(Debug, Clone, Copy)]
pub(super) struct MailboxKeys([u8; 33]);

impl MailboxKeys {
    pub(super) fn new(mailbox: MailboxRef) -> Self {
        let mut prefix = [0; 33];
        let (organization, rest) = prefix.split_at_mut(16);
        organization.copy_from_slice(&mailbox.organization.as_u128().to_be_bytes());
        let (space, id) = rest.split_at_mut(1);
        space.fill(Space::Mailboxes as u8);
        id.copy_from_slice(&mailbox.mailbox.as_u128().to_be_bytes());
        Self(prefix)
    }

    /// The mailbox that a key belongs to, and the kind of its record.
    pub(super) fn parse(key: &[u8]) -> Option<(MailboxRef, u8)> {
        let (organization, rest) = key.split_first_chunk()?;
        let (_, rest) = rest.split_first()?;
        let (mailbox, rest) = rest.split_first_chunk()?;
        let mailbox = MailboxRef {
            organization: OrganizationId::from_u128(u128::from_be_bytes(*organization)),
            mailbox: MailboxId::from_u128(u128::from_be_bytes(*mailbox)),
        };
        Some((mailbox, *rest.first()?))
    }

    pub(super) fn mailbox(self) -> Vec<u8> {
        self.key(b'm', &[])
    }

    pub(super) fn folder(self, folder: FolderId) -> Vec<u8> {
        self.key(b'f', &[&number(folder)])
    }

    pub(super) fn folders(self) -> KeyRange {
        KeyRange::prefix(self.key(b'f', &[]))
    }

    pub(super) fn counts(self, folder: FolderId) -> Vec<u8> {
        self.key(b'c', &[&number(folder)])
    }

    /// The entry of a name below `parent`; its range, for there to be one whichever folder it is.
    pub(super) fn name(
        self,
        keys: &KeySet,
        parent: Option<FolderId>,
        name: &str,
        folder: FolderId,
    ) -> Vec<u8> {
        [self.named(keys, parent, name).as_slice(), &number(folder)].concat()
    }

    pub(super) fn names(self, keys: &KeySet, parent: Option<FolderId>, name: &str) -> KeyRange {
        KeyRange::prefix(self.named(keys, parent, name))
    }

    pub(super) fn children(self, parent: FolderId) -> KeyRange {
        KeyRange::prefix(self.key(b'n', &[&number(parent)]))
    }

    pub(super) fn items(self) -> KeyRange {
        KeyRange::prefix(self.key(b'i', &[]))
    }

    /// Behind all records of the mailbox.
    pub(super) fn last(self) -> Vec<u8> {
        self.key(u8::MAX, &[])
    }

    pub(super) fn item(self, item: ItemId) -> Vec<u8> {
        self.key(b'i', &[&item.0.to_be_bytes()])
    }

    pub(super) fn uid(self, folder: FolderId, uid: Uid, item: ItemId) -> Vec<u8> {
        let uid = uid.as_u32().to_be_bytes();
        self.key(b'u', &[&number(folder), &uid, &item.0.to_be_bytes()])
    }

    pub(super) fn uids(self, folder: FolderId) -> KeyRange {
        KeyRange::prefix(self.key(b'u', &[&number(folder)]))
    }

    /// The UIDs from one to another, both included.
    pub(super) fn uids_between(self, folder: FolderId, from: Uid, to: Option<Uid>) -> KeyRange {
        let bound = |uid: u32| self.key(b'u', &[&number(folder), &uid.to_be_bytes()]);
        let all = self.uids(folder);
        let end = to
            .and_then(|to| to.as_u32().checked_add(1))
            .map(|end| bound(end).into());
        KeyRange {
            start: bound(from.as_u32()).into(),
            end: end.or(all.end),
        }
    }

    pub(super) fn received(self, folder: FolderId, at: Timestamp, item: ItemId) -> Vec<u8> {
        self.key(b'r', &[&number(folder), &time(at), &item.0.to_be_bytes()])
    }

    /// What was received from one time on and before another.
    pub(super) fn received_between(
        self,
        folder: FolderId,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> KeyRange {
        let bound = |at| self.key(b'r', &[&number(folder), &time(at)]).into();
        let all = KeyRange::prefix(self.key(b'r', &[&number(folder)]));
        KeyRange {
            start: from.map_or(all.start, bound),
            end: until.map(bound).or(all.end),
        }
    }

    pub(super) fn changed(self, folder: FolderId, at: ModSeq, item: ItemId) -> Vec<u8> {
        self.key(
            b's',
            &[&number(folder), &at.0.to_be_bytes(), &item.0.to_be_bytes()],
        )
    }

    pub(super) fn changed_after(self, folder: FolderId, since: ModSeq) -> KeyRange {
        self.after(self.key(b's', &[&number(folder)]), since)
    }

    pub(super) fn tombstone(self, tombstone: &Tombstone) -> Vec<u8> {
        let Tombstone {
            folder,
            item,
            uid,
            modseq,
            moved_to,
        } = tombstone;
        let moved_to = moved_to.map_or([0; 4], number);
        let parts: [&[u8]; 5] = [
            &number(*folder),
            &modseq.0.to_be_bytes(),
            &item.0.to_be_bytes(),
            &uid.as_u32().to_be_bytes(),
            &moved_to,
        ];
        self.key(b't', &parts)
    }

    pub(super) fn tombstones_after(self, folder: FolderId, since: ModSeq) -> KeyRange {
        self.after(self.key(b't', &[&number(folder)]), since)
    }

    pub(super) fn tombstones_upto(self, folder: FolderId, upto: ModSeq) -> KeyRange {
        self.upto(self.key(b't', &[&number(folder)]), upto)
    }

    pub(super) fn folder_tombstone(self, at: ModSeq, folder: FolderId) -> Vec<u8> {
        self.key(b'd', &[&at.0.to_be_bytes(), &number(folder)])
    }

    pub(super) fn folder_tombstones_after(self, since: ModSeq) -> KeyRange {
        self.after(self.key(b'd', &[]), since)
    }

    pub(super) fn folder_tombstones_upto(self, upto: ModSeq) -> KeyRange {
        self.upto(self.key(b'd', &[]), upto)
    }

    pub(super) fn events(self, at: ModSeq) -> Vec<u8> {
        self.key(b'e', &[&at.0.to_be_bytes()])
    }

    /// The commits from one on.
    pub(super) fn events_from(self, first: ModSeq) -> KeyRange {
        let all = KeyRange::prefix(self.key(b'e', &[]));
        KeyRange {
            start: self.events(first).into(),
            end: all.end,
        }
    }

    pub(super) fn events_upto(self, upto: ModSeq) -> KeyRange {
        self.upto(self.key(b'e', &[]), upto)
    }

    fn after(self, prefix: Vec<u8>, since: ModSeq) -> KeyRange {
        let end = KeyRange::prefix(prefix.clone()).end;
        KeyRange {
            start: followed(prefix, since.next()).into(),
            end,
        }
    }

    fn upto(self, prefix: Vec<u8>, upto: ModSeq) -> KeyRange {
        KeyRange::new(prefix.clone(), followed(prefix, upto.next()))
    }

    fn named(self, keys: &KeySet, parent: Option<FolderId>, name: &str) -> Vec<u8> {
        let mut namer = Namer::new(keys, "wm folder name");
        namer.update(name.to_lowercase().as_bytes());
        let hash = namer.name();
        let (hash, _) = hash.split_at(16);
        self.key(b'n', &[&parent.map_or([0; 4], number), hash])
    }

    fn key(self, kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut key =
            Vec::with_capacity(self.0.len() + 1 + parts.iter().map(|p| p.len()).sum::<usize>());
        key.extend_from_slice(&self.0);
        key.push(kind);
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }
}

/// Reads numbers off the end of a key.
pub(super) struct Tail<'a>(pub(super) &'a [u8]);

impl Tail<'_> {
    pub(super) fn item(&mut self) -> Option<ItemId> {
        self.take().map(|bytes| ItemId(u64::from_be_bytes(bytes)))
    }

    pub(super) fn modseq(&mut self) -> Option<ModSeq> {
        self.take().map(|bytes| ModSeq(u64::from_be_bytes(bytes)))
    }

    /// A time as [`time`] writes it.
    pub(super) fn time(&mut self) -> Option<Timestamp> {
        let at = self.take().map(i64::from_be_bytes)?;
        Some(Timestamp::from_millis(at ^ i64::MIN))
    }

    pub(super) fn uid(&mut self) -> Option<Uid> {
        self.take()
            .and_then(|bytes| Uid::new(u32::from_be_bytes(bytes)))
    }

    /// A folder; the inner `None` stands for 0.
    pub(super) fn folder(&mut self) -> Option<Option<FolderId>> {
        let number = self.take().map(u32::from_be_bytes)?;
        Some((number != 0).then(|| FolderId(number.into())))
    }

    fn id(&mut self) -> Option<u128> {
        self.take().map(u128::from_be_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (rest, tail) = self.0.split_last_chunk()?;
        self.0 = rest;
        Some(*tail)
    }
}

/// Something that is deleted in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Purge {
    pub(super) mailbox: MailboxRef,
    /// `None`: the change feed up to the horizon.
    pub(super) folder: Option<FolderId>,
}

impl Purge {
    pub(super) fn key(self) -> Vec<u8> {
        let mut key = Space::Purge.prefix(INSTALLATION);
        key.extend_from_slice(&self.mailbox.organization.as_u128().to_be_bytes());
        key.extend_from_slice(&self.mailbox.mailbox.as_u128().to_be_bytes());
        key.extend_from_slice(&self.folder.map_or([0; 4], number));
        key
    }

    pub(super) fn of(mailbox: MailboxRef) -> KeyRange {
        let mut prefix = Self {
            mailbox,
            folder: None,
        }
        .key();
        prefix.truncate(prefix.len() - 4);
        KeyRange::prefix(prefix)
    }

    pub(super) fn all() -> KeyRange {
        KeyRange::prefix(Space::Purge.prefix(INSTALLATION))
    }

    pub(super) fn parse(key: &[u8]) -> Option<Self> {
        let mut tail = Tail(key);
        let folder = tail.folder()?;
        let mailbox = MailboxId::from_u128(tail.id()?);
        let organization = OrganizationId::from_u128(tail.id()?);
        Some(Self {
            mailbox: MailboxRef {
                organization,
                mailbox,
            },
            folder,
        })
    }
}

fn followed(mut prefix: Vec<u8>, number: ModSeq) -> Vec<u8> {
    prefix.extend_from_slice(&number.0.to_be_bytes());
    prefix
}

/// Folders are numbered from 1 in four bytes; a number that does not fit names none of them.
fn number(folder: FolderId) -> [u8; 4] {
    u32::try_from(folder.0).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_is_read_back_from_its_key() {
        let mailbox = MailboxRef {
            organization: OrganizationId::from_u128(3),
            mailbox: MailboxId::from_u128(4),
        };
        for folder in [None, Some(FolderId(7))] {
            let purge = Purge { mailbox, folder };
            assert_eq!(Purge::parse(&purge.key()), Some(purge));
        }
    }
}
