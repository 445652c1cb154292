use crate::record::Record;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use wm_core::{
    ConversationId, FolderId, ItemId, ModSeq, Timestamp, Uid, UidValidity, UserId,
    model::{
        EventKind, Flags, Folder, FolderClass, FolderPermission, FolderRole, Item, ItemClass,
        Keyword, Mailbox, Origin, Properties, Stamps, Summary,
    },
    traits::Body,
};

/// A mailbox. The record of a removed one stays, so that no number of it is ever used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MailboxRecord {
    pub(super) highest_modseq: ModSeq,
    pub(super) horizon: ModSeq,
    pub(super) size: u64,
    pub(super) quota: u64,
    pub(super) created: Timestamp,
    pub(super) removed: bool,
    pub(super) next_item: u64,
    pub(super) next_folder: u32,
    /// The number of folders.
    pub(super) folders: u32,
    /// The folder of the first role; the others follow in the order of [`FolderRole::ALL`].
    pub(super) first_role: u32,
    /// The latest one given to a folder.
    pub(super) uid_validity: u32,
}

impl Record for MailboxRecord {
    const NAME: &'static str = "mailbox";
}

impl MailboxRecord {
    pub(super) fn folder_with(&self, role: FolderRole) -> FolderId {
        let position = FolderRole::ALL
            .iter()
            .position(|&other| other == role)
            .unwrap_or_default();
        FolderId(u64::from(self.first_role) + position as u64)
    }

    pub(super) fn to_mailbox(&self) -> Mailbox {
        Mailbox {
            highest_modseq: self.highest_modseq,
            horizon: self.horizon,
            size: self.size,
            quota: self.quota,
            created: self.created,
        }
    }
}

/// What changes of a folder when somebody changes the folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FolderRecord {
    pub(super) parent: Option<FolderId>,
    pub(super) name: String,
    pub(super) role: Option<FolderRole>,
    pub(super) class: FolderClass,
    pub(super) modseq: ModSeq,
    pub(super) subscribed: bool,
    pub(super) permissions: Vec<FolderPermission>,
    pub(super) properties: Properties,
    pub(super) created: Timestamp,
}

impl Record for FolderRecord {
    const NAME: &'static str = "folder";
}

/// What changes of a folder when its items do, and the incarnation their UIDs belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FolderCounts {
    pub(super) uid_validity: UidValidity,
    pub(super) uid_next: u32,
    pub(super) total: u64,
    pub(super) unread: u64,
    pub(super) size: u64,
    pub(super) highest_modseq: ModSeq,
}

impl Record for FolderCounts {
    const NAME: &'static str = "folder counts";
}

impl FolderRecord {
    pub(super) fn into_folder(self, id: FolderId, counts: &FolderCounts) -> Folder {
        Folder {
            id,
            parent: self.parent,
            name: self.name,
            role: self.role,
            class: self.class,
            uid_validity: counts.uid_validity,
            uid_next: Uid::new(counts.uid_next).unwrap_or(LAST_UID),
            total: counts.total,
            unread: counts.unread,
            size: counts.size,
            modseq: self.modseq,
            highest_modseq: counts.highest_modseq,
            subscribed: self.subscribed,
            permissions: self.permissions,
            properties: self.properties,
            created: self.created,
        }
    }
}

/// The highest UID there is; a folder that has given it out takes no more items.
pub(super) const LAST_UID: Uid = Uid(std::num::NonZeroU32::MAX);

/// An item: all of [`Item`] but its id, and its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ItemRecord {
    pub(super) folder: FolderId,
    pub(super) uid: Uid,
    pub(super) class: ItemClass,
    pub(super) received: Timestamp,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
    pub(super) flags: Flags,
    pub(super) keywords: BTreeSet<Keyword>,
    pub(super) categories: BTreeSet<String>,
    pub(super) conversation: ConversationId,
    pub(super) creator: Option<UserId>,
    pub(super) summary: Summary,
    pub(super) properties: Properties,
    pub(super) stamps: Stamps,
    /// Octets in front of the body.
    pub(super) prefix: Vec<u8>,
    pub(super) body: Body,
}

impl Record for ItemRecord {
    const NAME: &'static str = "item";
}

impl ItemRecord {
    pub(super) fn size(&self) -> u64 {
        self.prefix.len() as u64 + self.body.size
    }

    pub(super) fn modseq(&self) -> ModSeq {
        self.stamps.modseq()
    }

    /// 1 if it counts as unread.
    pub(super) fn unread(&self) -> u64 {
        u64::from(!self.flags.contains(Flags::READ))
    }

    pub(super) fn into_item(self, id: ItemId) -> Item {
        Item {
            id,
            folder: self.folder,
            uid: self.uid,
            size: self.size(),
            class: self.class,
            received: self.received,
            created: self.created,
            modified: self.modified,
            flags: self.flags,
            keywords: self.keywords,
            categories: self.categories,
            conversation: self.conversation,
            creator: self.creator,
            summary: self.summary,
            properties: self.properties,
            stamps: self.stamps,
        }
    }
}

/// The commits at which a folder's changes list an item: the one with which it entered the folder, and
/// the last ones since that changed each part of it.
pub(super) fn positions(stamps: &Stamps) -> BTreeSet<ModSeq> {
    let Stamps {
        entered,
        content,
        read,
        flags,
        labels,
        properties,
        ..
    } = *stamps;
    let later = [content, read, flags, labels, properties];
    later
        .into_iter()
        .filter(|&at| at > entered)
        .chain([entered])
        .collect()
}

/// The event log's entry for one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CommitRecord {
    pub(super) at: Timestamp,
    pub(super) origin: Origin,
    pub(super) events: Vec<EventKind>,
}

impl Record for CommitRecord {
    const NAME: &'static str = "commit";
}
