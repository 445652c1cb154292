//! Changes to a mailbox, as values.

use std::collections::BTreeSet;

use super::{Body, StoreError};
use crate::model::{
    Flags, FolderClass, FolderPermission, FolderRole, ItemClass, Keyword, Origin, PropertyName,
    PropertyValue, Summary,
};
use crate::{ConversationId, FolderId, ItemId, ModSeq, Timestamp, Uid, UidValidity, UserId};

/// Operations that are committed together.
#[derive(Debug, Clone)]
pub struct Changeset {
    /// Who asks.
    pub origin: Origin,
    /// When.
    pub at: Timestamp,
    /// What happens when one operation is refused.
    pub mode: Mode,
    /// What to do, in order; later ones see the effect of earlier ones. At most
    /// [`operations_per_changeset`](crate::Limits::operations_per_changeset).
    pub operations: Vec<Operation>,
}

/// What happens to a changeset of which one operation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing at all is done; the error is that of the first refused operation.
    AllOrNothing,
    /// The others are done; the refused one's outcome is [`Outcome::Refused`].
    EachOnItsOwn,
}

/// One change to a mailbox.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Makes a folder.
    CreateFolder(NewFolder),
    /// Changes a folder.
    UpdateFolder {
        /// The folder.
        folder: FolderId,
        /// What becomes of it.
        update: FolderUpdate,
    },
    /// Deletes a folder for good, with everything in and below it. Well-known folders refuse.
    DeleteFolder {
        /// The folder.
        folder: FolderId,
    },
    /// Puts an item into a folder.
    AddItem(NewItem),
    /// Changes an item.
    UpdateItem {
        /// The item.
        item: ItemId,
        /// What must hold.
        expect: Expect,
        /// What becomes of it.
        update: ItemUpdate,
    },
    /// Moves an item; it keeps its id and gets a new UID. Into its own folder: changes nothing.
    MoveItem {
        /// The item.
        item: ItemId,
        /// What must hold.
        expect: Expect,
        /// Where to.
        to: FolderTarget,
    },
    /// Copies an item; the copy gets an id of its own.
    CopyItem {
        /// The item.
        item: ItemId,
        /// What must hold.
        expect: Expect,
        /// Where to.
        to: FolderTarget,
    },
    /// Deletes an item for good. (A soft deletion is a move to [`FolderRole::Recoverable`], one
    /// that people see a move to [`FolderRole::Deleted`].)
    DeleteItem {
        /// The item.
        item: ItemId,
        /// What must hold.
        expect: Expect,
    },
}

/// What a caller relies on when it changes an item. The empty expectation always holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expect {
    /// It lies in this folder; if not, [`StoreError::NoSuchItem`].
    pub folder: Option<FolderId>,
    /// It has not changed after this; if it has, [`StoreError::Changed`] (IMAP UNCHANGEDSINCE, EWS
    /// `ErrorIrresolvableConflict`).
    pub unchanged_since: Option<ModSeq>,
    /// It has all of these flags; if not, [`StoreError::Changed`] (IMAP EXPUNGE).
    pub flags: Flags,
}

/// A folder to be made.
#[derive(Debug, Clone)]
pub struct NewFolder {
    /// The folder it will lie in; `None` for the top.
    pub parent: Option<FolderId>,
    /// Its name.
    pub name: String,
    /// What it is meant to hold.
    pub class: FolderClass,
}

/// Changes to a folder; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct FolderUpdate {
    /// A new name.
    pub name: Option<String>,
    /// A new parent; `Some(None)` is the top.
    pub parent: Option<Option<FolderId>>,
    /// Subscribe or unsubscribe.
    pub subscribed: Option<bool>,
    /// The whole permission set.
    pub permissions: Option<Vec<FolderPermission>>,
    /// Extended properties to set, or to remove where `None`.
    pub properties: Vec<(PropertyName, Option<PropertyValue>)>,
}

/// A folder by id or by its part in the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderTarget {
    /// This one.
    Id(FolderId),
    /// The one with this role.
    Role(FolderRole),
}

impl From<FolderId> for FolderTarget {
    fn from(folder: FolderId) -> Self {
        Self::Id(folder)
    }
}

impl From<FolderRole> for FolderTarget {
    fn from(role: FolderRole) -> Self {
        Self::Role(role)
    }
}

/// An item to be stored.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// Where.
    pub folder: FolderTarget,
    /// Whether it arrives as mail (the event is `Delivered`) or is made by a client (`Created`).
    pub delivered: bool,
    /// What it is.
    pub class: ItemClass,
    /// Its content and what lists show of it.
    pub content: ItemContent,
    /// When it was received.
    pub received: Timestamp,
    /// Its flags.
    pub flags: Flags,
    /// IMAP keywords.
    pub keywords: BTreeSet<Keyword>,
    /// Outlook categories.
    pub categories: BTreeSet<String>,
    /// The conversation it belongs to.
    pub conversation: ConversationId,
    /// Who puts it there, when not the mailbox's owner or the service.
    pub creator: Option<UserId>,
    /// Extended properties.
    pub properties: crate::model::Properties,
}

/// The content of an item: a small prefix of its own and a body it may share.
#[derive(Debug, Clone)]
pub struct ItemContent {
    /// Octets in front of the body: Return-Path and trace headers of this recipient; at most 64 KiB.
    pub prefix: Vec<u8>,
    /// The body.
    pub body: Body,
    /// What lists show of it.
    pub summary: Summary,
}

/// Changes to an item; what is `None` or empty stays. Flags and labels are given as differences, so
/// that two clients changing different ones never undo each other's work.
#[derive(Debug, Clone, Default)]
pub struct ItemUpdate {
    /// Flags to set.
    pub set: Flags,
    /// Flags to clear.
    pub clear: Flags,
    /// What becomes of the keywords.
    pub keywords: LabelChange<Keyword>,
    /// What becomes of the categories.
    pub categories: LabelChange<String>,
    /// Extended properties to set, or to remove where `None`.
    pub properties: Vec<(PropertyName, Option<PropertyValue>)>,
    /// Another class.
    pub class: Option<ItemClass>,
    /// Another content.
    pub content: Option<ItemContent>,
}

/// A change to a set of keywords or categories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChange<T: Ord> {
    /// Adds some, removes some.
    Edit {
        /// To add.
        add: BTreeSet<T>,
        /// To remove.
        remove: BTreeSet<T>,
    },
    /// Puts these in place of all.
    Replace(BTreeSet<T>),
}

impl<T: Ord> Default for LabelChange<T> {
    fn default() -> Self {
        Self::Edit {
            add: BTreeSet::new(),
            remove: BTreeSet::new(),
        }
    }
}

impl<T: Ord + Clone> LabelChange<T> {
    /// Changes `labels`; answers whether that made a difference.
    pub fn apply_to(&self, labels: &mut BTreeSet<T>) -> bool {
        match self {
            Self::Edit { add, remove } => {
                let before = labels.len();
                labels.retain(|label| !remove.contains(label));
                let removed = before != labels.len();
                let grown = labels.len();
                labels.extend(add.iter().cloned());
                removed || grown != labels.len()
            }
            Self::Replace(with) => {
                let differs = labels != with;
                labels.clone_from(with);
                differs
            }
        }
    }
}

/// A committed changeset.
#[derive(Debug)]
pub struct Applied {
    /// The number of the commit; unchanged from before when nothing had to be changed.
    pub modseq: ModSeq,
    /// Whether anything had to be changed. Only then is the number this changeset's own: what a
    /// client must not be told back is what its items were stamped with by a commit of its own.
    pub committed: bool,
    /// What came of each operation, in order.
    pub outcomes: Vec<Outcome>,
}

/// What came of an operation.
#[derive(Debug)]
pub enum Outcome {
    /// A folder was made, changed or deleted.
    Folder(FolderId),
    /// An item was stored, changed, moved or copied: the item (of a copy, the copy) and where it is.
    Item {
        /// The item.
        item: ItemId,
        /// Its folder.
        folder: FolderId,
        /// Its UID there.
        uid: Uid,
        /// The incarnation the UID belongs to.
        uid_validity: UidValidity,
        /// Its modification sequence; that of the commit unless nothing changed.
        modseq: ModSeq,
    },
    /// An item was deleted.
    Deleted(ItemId),
    /// The operation was refused, alone ([`Mode::EachOnItsOwn`]).
    Refused(StoreError),
}
