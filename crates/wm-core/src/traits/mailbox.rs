use std::error::Error;
use std::ops::Range;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, Stream};
use serde::{Deserialize, Serialize};

use super::{Applied, Changeset};
use crate::model::{Event, EventId, Folder, Item, Mailbox, Tombstone};
use crate::{BodyId, FolderId, ItemId, MailboxRef, ModSeq, OrganizationId, Timestamp, Uid};

/// The mailboxes of an installation: folders, items, content, change feed.
///
/// Everything that changes goes through [`apply`](Self::apply): one changeset is one atomic, durable
/// commit and takes the mailbox's next modification sequence number. Readers and watchers see
/// commits only after they are durable, in order, and each entirely.
///
/// Making a mailbox is its first commit. It exists as soon as the directory says so: the first [`apply`](Self::apply),
/// [`create`](Self::create) or delivery materialises it with its well-known folders. Reading one
/// that nothing has materialised is [`StoreError::NoSuchMailbox`].
///
/// Protocol crates do not hold this trait but a
/// [`MailboxSession`](crate::access::MailboxSession), which checks permissions first.
#[async_trait]
pub trait MailboxStore: Send + Sync {
    /// Makes the mailbox with its well-known folders; changes nothing when it is there already.
    async fn create(&self, mailbox: MailboxRef, at: Timestamp) -> Result<(), StoreError>;

    /// Removes the mailbox and everything in it, for good.
    async fn remove(&self, mailbox: MailboxRef) -> Result<(), StoreError>;

    /// Sets how many octets the mailbox may hold.
    async fn set_quota(&self, mailbox: MailboxRef, octets: u64) -> Result<(), StoreError>;

    /// The mailbox as a whole.
    async fn mailbox(&self, mailbox: MailboxRef) -> Result<Mailbox, StoreError>;

    /// All folders, parents before children, hidden ones included.
    async fn folders(&self, mailbox: MailboxRef) -> Result<Vec<Folder>, StoreError>;

    /// One folder.
    async fn folder(&self, mailbox: MailboxRef, folder: FolderId) -> Result<Folder, StoreError>;

    /// One item.
    async fn item(&self, mailbox: MailboxRef, item: ItemId) -> Result<Item, StoreError>;

    /// A page of a folder's items. Costs what the page costs, whatever the folder's size.
    async fn items(&self, mailbox: MailboxRef, list: ItemList) -> Result<Page<Item>, StoreError>;

    /// Every UID of a folder with its item, rising: what an IMAP session needs to number messages.
    /// The [`ModSeq`] is the [`highest_modseq`](Folder::highest_modseq) of the same snapshot.
    async fn uids(
        &self,
        mailbox: MailboxRef,
        folder: FolderId,
    ) -> Result<(ModSeq, Vec<(Uid, ItemId)>), StoreError>;

    /// What happened to a folder's items after `since`, oldest commit first, about `limit` entries:
    /// a commit is never divided. Zero as `since` lists everything that is there.
    ///
    /// Every page brings the client to a whole state: it then knows each item that had entered the
    /// folder by [`upto`](Changes::upto), and each change up to there. So an item is listed at the
    /// first of its [`Stamps`](crate::model::Stamps) after `since` that is not before it entered,
    /// and perhaps again, at a later one, by a later page.
    ///
    /// Starting afresh in pages, take the mailbox's [`highest_modseq`](Mailbox::highest_modseq)
    /// first, then [`items`](Self::items) by UID, then the changes since: each item comes once, and
    /// no page is a state before the horizon.
    ///
    /// # Errors
    /// [`StoreError::StateTooOld`] when `since` lies before the mailbox's horizon and is not zero. A store
    /// may answer nevertheless when nothing has happened in the folder since.
    async fn changes(
        &self,
        mailbox: MailboxRef,
        folder: FolderId,
        since: ModSeq,
        limit: usize,
    ) -> Result<Changes, StoreError>;

    /// What happened to the folders themselves after `since`.
    ///
    /// # Errors
    /// As for [`changes`](Self::changes).
    async fn folder_changes(
        &self,
        mailbox: MailboxRef,
        since: ModSeq,
    ) -> Result<FolderChanges, StoreError>;

    /// The event log after `after`, at most `limit` entries, oldest first.
    ///
    /// # Errors
    /// [`StoreError::StateTooOld`] when entries after `after` have been dropped.
    async fn events(
        &self,
        mailbox: MailboxRef,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError>;

    /// Drops tombstones and events up to and including `horizon`, in bounded steps.
    async fn truncate(&self, mailbox: MailboxRef, horizon: ModSeq) -> Result<(), StoreError>;

    /// Wakes for every commit to the mailbox that becomes visible after this call. A slow reader
    /// misses intermediate numbers, never the last one.
    fn watch(&self, mailbox: MailboxRef) -> Watch;

    /// Commits a changeset. When this answers `Ok`, it survives power loss.
    async fn apply(&self, mailbox: MailboxRef, changes: Changeset) -> Result<Applied, StoreError>;

    /// Begins a body that items of this organization can refer to once it is finished.
    async fn body_writer(
        &self,
        organization: OrganizationId,
    ) -> Result<Box<dyn BodyWriter>, StoreError>;

    /// The octets `range` of an item's content, its trace prefix included; cut to the item's size.
    ///
    /// # Errors
    /// [`StoreError::NoSuchItem`]; damage found later is reported through the stream.
    async fn read(
        &self,
        mailbox: MailboxRef,
        item: ItemId,
        range: Range<u64>,
    ) -> Result<BodyStream, StoreError>;
}

/// Octets of a content, in order.
pub type BodyStream = BoxStream<'static, Result<Bytes, StoreError>>;

/// Numbers of commits, rising, each already visible. Ends when the store closes.
pub type Watch = Pin<Box<dyn Stream<Item = ModSeq> + Send + Sync>>;

/// Takes a body in pieces. Dropped unfinished, it leaves nothing that anybody can refer to.
#[async_trait]
pub trait BodyWriter: Send {
    /// Adds octets. Waits while the store is busy, so a peer cannot outrun the disk.
    async fn write(&mut self, octets: Bytes) -> Result<(), StoreError>;

    /// Ends the body and names it. It becomes durable with the first commit that refers to it.
    async fn finish(self: Box<Self>) -> Result<Body, StoreError>;
}

/// A finished body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// Its name within the organization.
    pub id: BodyId,
    /// Its octets.
    pub size: u64,
}

/// Which items to list, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemList {
    /// The folder.
    pub folder: FolderId,
    /// The index to walk, and the part of it.
    pub by: ListBy,
    /// Whether to walk it backwards: newest, or highest UID, first.
    pub descending: bool,
    /// Where the last page ended.
    pub after: Option<Cursor>,
    /// Items at most.
    pub limit: usize,
}

/// An index over a folder's items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListBy {
    /// By UID, both ends included.
    Uid {
        /// The lowest.
        from: Uid,
        /// The highest; `None` for no bound.
        to: Option<Uid>,
    },
    /// By the time received, the later end excluded. What falls out of a moving window is the range
    /// between its old and new beginning.
    Received {
        /// The earliest; `None` for no bound.
        from: Option<Timestamp>,
        /// Later than the latest; `None` for no bound.
        until: Option<Timestamp>,
    },
}

/// A place in a listing, meaningful to the store that issued it only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor(pub Vec<u8>);

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// What happened in a folder. A client applies `gone` first: an item that left and came back is in
/// both, under its old and its new UID.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// Items that entered or changed, as they are now, by rising modification sequence.
    pub items: Vec<Item>,
    /// Items that left, by rising modification sequence.
    pub gone: Vec<Tombstone>,
    /// The state that the client is brought to.
    pub upto: ModSeq,
    /// Whether there is more after `upto`.
    pub more: bool,
}

/// What happened to the folders of a mailbox.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderChanges {
    /// Folders made or changed, as they are now; parents before children.
    pub folders: Vec<Folder>,
    /// Folders deleted.
    pub gone: Vec<FolderId>,
    /// The state that the client is brought to.
    pub upto: ModSeq,
}

/// Why a mailbox store refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No mailbox of this name, or it is another organization's.
    #[error("there is no mailbox {0}")]
    NoSuchMailbox(MailboxRef),
    /// No such folder in this mailbox.
    #[error("there is no folder {0} in the mailbox")]
    NoSuchFolder(FolderId),
    /// No such item in this mailbox, or not where it was expected.
    #[error("there is no item {0} in the mailbox")]
    NoSuchItem(ItemId),
    /// No such body in this organization, or it is about to be collected: write it again.
    #[error("there is no body {0} in the organization")]
    NoSuchBody(BodyId),
    /// The item has changed since the caller last saw it.
    #[error("item {item} has changed: it is at {now}")]
    Changed {
        /// The item.
        item: ItemId,
        /// Its present modification sequence.
        now: ModSeq,
    },
    /// A sibling has this name.
    #[error("there is a folder named {name:?} already")]
    FolderExists {
        /// The name.
        name: String,
    },
    /// The operation makes no sense for this folder: a well-known one deleted, one moved into
    /// itself, a name that is empty, too long or holds control characters.
    #[error("folder {folder}: {reason}")]
    InvalidFolder {
        /// The folder, or the parent of the one to be made.
        folder: FolderId,
        /// What is wrong.
        reason: &'static str,
    },
    /// The mailbox would hold more than it may.
    #[error("mailbox {mailbox} is full: {quota} octets")]
    OverQuota {
        /// The mailbox.
        mailbox: MailboxRef,
        /// What it may hold.
        quota: u64,
    },
    /// A limit other than the quota.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The client's state lies before the horizon: it has to start afresh.
    #[error("changes before {horizon} are no longer known")]
    StateTooOld {
        /// The oldest state that can be brought up to date.
        horizon: ModSeq,
    },
    /// A stored record does not verify. The rest of the mailbox stays readable.
    #[error("damaged record: {what}")]
    Damaged {
        /// Which record, and whose.
        what: String,
        /// The underlying error.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The store cannot work at present: disk full, engine failed, shut down.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// Whether the same call may succeed later.
        transient: bool,
        /// The underlying error.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The access layer refused ([`MailboxSession`](crate::access::MailboxSession)).
    #[error("permission denied")]
    Denied,
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable {
                transient: true,
                ..
            }
        )
    }
}
