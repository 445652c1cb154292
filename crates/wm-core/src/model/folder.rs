use serde::{Deserialize, Serialize};

use super::{FolderPermission, Properties};
use crate::{FolderId, ModSeq, Timestamp, Uid, UidValidity};

/// A folder of a mailbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Folder {
    /// Its id; stable for the folder's life.
    pub id: FolderId,
    /// The folder it lies in; `None` at the top.
    pub parent: Option<FolderId>,
    /// Its name; unique among its siblings, ignoring case.
    pub name: String,
    /// Its part in the mailbox, if a well-known one. Such folders can be neither deleted nor moved.
    pub role: Option<FolderRole>,
    /// What it is meant to hold.
    pub class: FolderClass,
    /// The incarnation that [`Item::uid`](super::Item::uid)s belong to.
    pub uid_validity: UidValidity,
    /// The UID that the next item will get, or a higher one.
    pub uid_next: Uid,
    /// Items in it.
    pub total: u64,
    /// Items in it without [`Flags::READ`](super::Flags::READ).
    pub unread: u64,
    /// Octets of the items in it.
    pub size: u64,
    /// The last change to the folder itself: name, parent, permissions, properties.
    pub modseq: ModSeq,
    /// The last change to the folder or anything in it, removals included (IMAP HIGHESTMODSEQ).
    pub highest_modseq: ModSeq,
    /// Whether IMAP clients have subscribed to it.
    pub subscribed: bool,
    /// What others may do in it (PRM-4).
    pub permissions: Vec<FolderPermission>,
    /// Extended properties.
    pub properties: Properties,
    /// When it was made.
    pub created: Timestamp,
}

/// The well-known folders, made with the mailbox (all but the last visible to every protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum FolderRole {
    Inbox,
    Drafts,
    Sent,
    Deleted,
    Junk,
    Outbox,
    Archive,
    Calendar,
    Contacts,
    Tasks,
    Notes,
    Journal,
    /// Where softly deleted items can be recovered from; hidden.
    Recoverable,
}

impl FolderRole {
    /// Every role, in the order the folders are made.
    pub const ALL: [Self; 13] = [
        Self::Inbox,
        Self::Drafts,
        Self::Sent,
        Self::Deleted,
        Self::Junk,
        Self::Outbox,
        Self::Archive,
        Self::Calendar,
        Self::Contacts,
        Self::Tasks,
        Self::Notes,
        Self::Journal,
        Self::Recoverable,
    ];

    /// The name the folder is made with.
    #[must_use]
    pub const fn default_name(self) -> &'static str {
        match self {
            Self::Inbox => "Inbox",
            Self::Drafts => "Drafts",
            Self::Sent => "Sent Items",
            Self::Deleted => "Deleted Items",
            Self::Junk => "Junk E-mail",
            Self::Outbox => "Outbox",
            Self::Archive => "Archive",
            Self::Calendar => "Calendar",
            Self::Contacts => "Contacts",
            Self::Tasks => "Tasks",
            Self::Notes => "Notes",
            Self::Journal => "Journal",
            Self::Recoverable => "Recoverable Items",
        }
    }

    /// What the folder is meant to hold.
    #[must_use]
    pub const fn class(self) -> FolderClass {
        match self {
            Self::Calendar => FolderClass::Calendar,
            Self::Contacts => FolderClass::Contacts,
            Self::Tasks => FolderClass::Tasks,
            Self::Notes => FolderClass::Notes,
            Self::Journal => FolderClass::Journal,
            _ => FolderClass::Mail,
        }
    }
}

/// What a folder is meant to hold (EWS `FolderClass`, [MS-OXOSFLD] 2.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FolderClass {
    /// `IPF.Note`
    Mail,
    /// `IPF.Appointment`
    Calendar,
    /// `IPF.Contact`
    Contacts,
    /// `IPF.Task`
    Tasks,
    /// `IPF.StickyNote`
    Notes,
    /// `IPF.Journal`
    Journal,
    /// Anything else a client has asked for.
    Other(String),
}

impl FolderClass {
    /// The class a client has named.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let known = [
            Self::Mail,
            Self::Calendar,
            Self::Contacts,
            Self::Tasks,
            Self::Notes,
            Self::Journal,
        ];
        known
            .into_iter()
            .find(|class| class.as_str().eq_ignore_ascii_case(name))
            .unwrap_or_else(|| Self::Other(name.into()))
    }

    /// The class's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Mail => "IPF.Note",
            Self::Calendar => "IPF.Appointment",
            Self::Contacts => "IPF.Contact",
            Self::Tasks => "IPF.Task",
            Self::Notes => "IPF.StickyNote",
            Self::Journal => "IPF.Journal",
            Self::Other(name) => name,
        }
    }
}
