use async_trait::async_trait;

use super::StoreError;
use crate::model::Flags;
use crate::{FolderId, ItemId, MailboxRef, Timestamp};

/// Finding items by property and text. Apart from [`MailboxStore`](super::MailboxStore), so that an
/// existing store can implement little and work.
#[async_trait]
pub trait MailboxSearch: Send + Sync {
    /// The items that match, newest first, at most `limit`.
    async fn search(
        &self,
        mailbox: MailboxRef,
        query: SearchQuery,
        limit: usize,
    ) -> Result<Vec<SearchHit>, StoreError>;
}

/// What to look for, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchQuery {
    /// The folders to look in; empty for the whole mailbox.
    pub folders: Vec<FolderId>,
    /// All of these must hold.
    pub terms: Vec<Term>,
}

/// A condition on an item. Text is matched ignoring case.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Term {
    /// The subject contains this.
    Subject(String),
    /// A From or Sender mailbox contains this.
    From(String),
    /// A recipient contains this.
    To(String),
    /// The text of the body contains this.
    Body(String),
    /// Any of the above contains this.
    Text(String),
    /// Received at this time or later.
    ReceivedFrom(Timestamp),
    /// Received before this time.
    ReceivedBefore(Timestamp),
    /// All of these flags are set.
    Has(Flags),
    /// None of these flags is set.
    Lacks(Flags),
    /// The condition does not hold.
    Not(Box<Term>),
    /// One of the conditions holds.
    Any(Vec<Term>),
}

/// An item found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchHit {
    /// The item.
    pub item: ItemId,
    /// Where it is.
    pub folder: FolderId,
}
