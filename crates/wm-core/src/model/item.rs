//! Items, their change stamps, and the change feed: the model every protocol's synchronisation is
//! computed from. `docs/decisions/0002-item-model.md` maps each protocol's needs to these fields.

use std::collections::BTreeSet;
use std::ops::BitOr;

use serde::{Deserialize, Serialize};

use super::{Flags, Keyword, Properties};
use crate::{ConversationId, FolderId, ItemId, ModSeq, Timestamp, Uid, UserId};

/// One message, appointment, contact or task: what is indexed about it. Its content (the internet
/// format: RFC 5322, iCalendar, vCard) is read through
/// [`MailboxStore::read`](crate::traits::MailboxStore::read).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Never reused; unchanged by a move inside the mailbox.
    pub id: ItemId,
    /// The folder it lies in.
    pub folder: FolderId,
    /// Its number in that folder; a move gives a new one.
    pub uid: Uid,
    /// What it is.
    pub class: ItemClass,
    /// Octets of its content, trace prefix included (IMAP RFC822.SIZE).
    pub size: u64,
    /// When it was received (IMAP INTERNALDATE; ActiveSync filters age by it).
    pub received: Timestamp,
    /// When it was stored in this mailbox.
    pub created: Timestamp,
    /// When it last changed.
    pub modified: Timestamp,
    /// The flags every protocol knows.
    pub flags: Flags,
    /// IMAP keywords.
    pub keywords: BTreeSet<Keyword>,
    /// Outlook categories.
    pub categories: BTreeSet<String>,
    /// The conversation it belongs to.
    pub conversation: ConversationId,
    /// Who put it there, when that was somebody other than the mailbox's owner or the service: the
    /// one whose item it is for [`FolderRights::EDIT_OWN`](super::FolderRights::EDIT_OWN).
    pub creator: Option<UserId>,
    /// What lists show of the content.
    pub summary: Summary,
    /// Extended properties.
    pub properties: Properties,
    /// When each part of it last changed.
    pub stamps: Stamps,
}

impl Item {
    /// The item's modification sequence (IMAP MODSEQ, EWS `ChangeKey`).
    #[must_use]
    pub fn modseq(&self) -> ModSeq {
        self.stamps.modseq()
    }
}

/// An item's message class, such as `IPM.Note`; compared ignoring ASCII case.
#[derive(Debug, Clone, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemClass(String);

impl ItemClass {
    /// A message.
    pub const NOTE: &'static str = "IPM.Note";
    /// A calendar item.
    pub const APPOINTMENT: &'static str = "IPM.Appointment";
    /// A contact.
    pub const CONTACT: &'static str = "IPM.Contact";
    /// A task.
    pub const TASK: &'static str = "IPM.Task";

    /// The class of this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `base` or one of its subclasses: `IPM.Note.SMIME` is an `IPM.Note`.
    #[must_use]
    pub fn is_a(&self, base: &str) -> bool {
        match (self.0.get(..base.len()), self.0.as_bytes().get(base.len())) {
            (Some(head), None | Some(b'.')) => head.eq_ignore_ascii_case(base),
            _ => false,
        }
    }
}

impl Default for ItemClass {
    fn default() -> Self {
        Self(Self::NOTE.into())
    }
}

impl PartialEq for ItemClass {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

/// What lists show of an item without opening its content. Derived by
/// `wm_core::content::summarize`, stored with the item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The subject, decoded.
    pub subject: String,
    /// The first From mailbox: `Name <address>`.
    pub from: String,
    /// The To mailboxes, joined with `; `.
    pub to: String,
    /// The Date header.
    pub sent: Option<Timestamp>,
    /// The Message-ID, without angle brackets.
    pub message_id: Option<String>,
    /// Whether there is an attachment a person would call one.
    pub has_attachments: bool,
    /// The beginning of the text, at most 255 characters.
    pub preview: String,
}

/// When each part of an item last changed, as modification sequence numbers. With them a protocol
/// sees, from nothing but the item and its client's last state, *what* changed since: ActiveSync
/// sends a read-flag-only change as such, EWS answers `ReadFlagChange`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamps {
    /// The item came into being.
    pub created: ModSeq,
    /// It came into its present folder; to that folder it is new since then.
    pub entered: ModSeq,
    /// Its content changed.
    pub content: ModSeq,
    /// [`Flags::READ`] changed.
    pub read: ModSeq,
    /// Another flag changed.
    pub flags: ModSeq,
    /// Keywords or categories changed.
    pub labels: ModSeq,
    /// Extended properties changed.
    pub properties: ModSeq,
}

impl Stamps {
    /// The stamps of an item that comes into being with this commit.
    #[must_use]
    pub const fn new(at: ModSeq) -> Self {
        Self {
            created: at,
            entered: at,
            content: at,
            read: at,
            flags: at,
            labels: at,
            properties: at,
        }
    }

    /// The latest of them: the item's modification sequence.
    #[must_use]
    pub fn modseq(&self) -> ModSeq {
        self.entries()
            .into_iter()
            .map(|(_, at)| at)
            .max()
            .unwrap_or_default()
    }

    /// What has changed after `state`.
    #[must_use]
    pub fn since(&self, state: ModSeq) -> ChangeMask {
        self.mask(|at| at > state)
    }

    /// What changed with exactly this commit: what a client changed itself, and need not be told.
    #[must_use]
    pub fn at(&self, commit: ModSeq) -> ChangeMask {
        self.mask(|at| at == commit)
    }

    /// Records that these parts changed with this commit.
    pub fn touch(&mut self, changed: ChangeMask, at: ModSeq) {
        let parts = [
            (ChangeMask::FOLDER, &mut self.entered),
            (ChangeMask::CONTENT, &mut self.content),
            (ChangeMask::READ, &mut self.read),
            (ChangeMask::FLAGS, &mut self.flags),
            (ChangeMask::LABELS, &mut self.labels),
            (ChangeMask::PROPERTIES, &mut self.properties),
        ];
        for (part, stamp) in parts {
            if changed.contains(part) {
                *stamp = at;
            }
        }
    }

    fn mask(&self, wanted: impl Fn(ModSeq) -> bool) -> ChangeMask {
        self.entries()
            .into_iter()
            .filter(|(_, at)| wanted(*at))
            .fold(ChangeMask::NONE, |mask, (part, _)| mask | part)
    }

    const fn entries(&self) -> [(ChangeMask, ModSeq); 7] {
        [
            (ChangeMask::CREATED, self.created),
            (ChangeMask::FOLDER, self.entered),
            (ChangeMask::CONTENT, self.content),
            (ChangeMask::READ, self.read),
            (ChangeMask::FLAGS, self.flags),
            (ChangeMask::LABELS, self.labels),
            (ChangeMask::PROPERTIES, self.properties),
        ]
    }
}

/// Which parts of an item changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeMask(u8);

impl ChangeMask {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// It came into being.
    pub const CREATED: Self = Self(1);
    /// It came into the folder.
    pub const FOLDER: Self = Self(1 << 1);
    /// The content, and with it size, class and summary.
    pub const CONTENT: Self = Self(1 << 2);
    /// The read flag.
    pub const READ: Self = Self(1 << 3);
    /// Another flag.
    pub const FLAGS: Self = Self(1 << 4);
    /// Keywords or categories.
    pub const LABELS: Self = Self(1 << 5);
    /// Extended properties.
    pub const PROPERTIES: Self = Self(1 << 6);

    /// Whether every part of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing changed.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These parts without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for ChangeMask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// That an item has left a folder, by deletion or by a move (IMAP VANISHED, EWS and ActiveSync
/// `Delete`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The folder it left.
    pub folder: FolderId,
    /// The item.
    pub item: ItemId,
    /// The UID it had there.
    pub uid: Uid,
    /// The commit with which it left.
    pub modseq: ModSeq,
    /// Where it went; `None` when it was deleted.
    pub moved_to: Option<FolderId>,
}

/// A mailbox as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// The last commit.
    pub highest_modseq: ModSeq,
    /// Tombstones up to and including this commit may have been dropped: a state older than this
    /// cannot be brought up to date.
    pub horizon: ModSeq,
    /// Octets of all items.
    pub size: u64,
    /// Octets it may hold.
    pub quota: u64,
    /// When it was made.
    pub created: Timestamp,
}

/// The position of an entry in a mailbox's event log (EWS `Watermark`).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct EventId {
    /// The commit.
    pub modseq: ModSeq,
    /// The entry within the commit.
    pub index: u32,
}

/// An entry of the event log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its position.
    pub id: EventId,
    /// When it was committed.
    pub at: Timestamp,
    /// Who did it.
    pub origin: Origin,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to an item or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields repeat the ids of the item or folder concerned"
)]
pub enum EventKind {
    /// A client made an item.
    Created { item: ItemId, folder: FolderId },
    /// Mail arrived (EWS `NewMail`).
    Delivered { item: ItemId, folder: FolderId },
    /// Parts of an item changed.
    Changed {
        item: ItemId,
        folder: FolderId,
        what: ChangeMask,
    },
    /// An item went from one folder to another.
    Moved {
        item: ItemId,
        from: FolderId,
        to: FolderId,
    },
    /// An item was made as a copy of `of`.
    Copied {
        item: ItemId,
        folder: FolderId,
        of: ItemId,
        from: FolderId,
    },
    /// An item is gone for good.
    Deleted { item: ItemId, folder: FolderId },
    /// A folder was made.
    FolderCreated {
        folder: FolderId,
        parent: Option<FolderId>,
    },
    /// A folder's name, permissions or properties changed.
    FolderChanged { folder: FolderId },
    /// A folder went elsewhere.
    FolderMoved {
        folder: FolderId,
        from: Option<FolderId>,
        to: Option<FolderId>,
    },
    /// A folder is gone for good, with all that was in it.
    FolderDeleted {
        folder: FolderId,
        parent: Option<FolderId>,
    },
}

/// Who made a change, so that it is not told back to the one who made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The protocol.
    pub protocol: Protocol,
    /// The client within the protocol: a device id, a subscription's owner, a connection.
    pub client: String,
}

impl Origin {
    /// A client of a protocol.
    #[must_use]
    pub fn new(protocol: Protocol, client: impl Into<String>) -> Self {
        Self {
            protocol,
            client: client.into(),
        }
    }
}

/// Where a change or a record comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Protocol {
    Smtp,
    Imap,
    Ews,
    ActiveSync,
    WebMail,
    /// The management interface.
    Api,
    /// The service itself: clean-up, import, migration.
    System,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_flag_only_change_is_visible_from_the_stamps() {
        let mut stamps = Stamps::new(ModSeq(5));
        stamps.touch(ChangeMask::READ, ModSeq(9));
        assert_eq!(stamps.since(ModSeq(5)), ChangeMask::READ);
        assert_eq!(stamps.modseq(), ModSeq(9));
        assert!(stamps.since(ModSeq(9)).is_empty());
    }

    #[test]
    fn a_clients_own_change_can_be_told_from_anothers() {
        let mut stamps = Stamps::new(ModSeq(1));
        stamps.touch(ChangeMask::LABELS, ModSeq(7));
        stamps.touch(ChangeMask::READ, ModSeq(8));
        let own = stamps.at(ModSeq(8));
        assert_eq!(stamps.since(ModSeq(6)).without(own), ChangeMask::LABELS);
    }

    #[test]
    fn a_class_is_its_base_class_on_dot_boundaries() {
        assert!(ItemClass::new("IPM.Note.SMIME").is_a("ipm.note"));
        assert!(!ItemClass::new("IPM.Notebook").is_a("IPM.Note"));
    }
}
