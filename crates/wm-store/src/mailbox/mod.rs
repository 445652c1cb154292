//! Mailboxes: [`MailboxStore`] over the engine, the segments and the committer.

mod editor;
mod folders;
mod items;
mod keys;
mod purge;
mod rebuild;
mod records;
mod search;
mod view;

pub(crate) use editor::{Editor, Means};
pub(crate) use purge::purges_of;
pub(crate) use rebuild::{Sink, rebuild};
pub(crate) use view::{inspect, is_primary, of_key};

use crate::{
    commit::Transaction,
    seal::KeySet,
    segment::{self, MAX_BODY, StoredBody},
    store::Store,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use std::{ops::Range, sync::Arc};
use view::View;
use wm_core::{
    FolderId, ItemId, MailboxRef, ModSeq, OrganizationId, Timestamp, Uid,
    model::{Event, EventId, Folder, Item, Mailbox, Origin, Protocol},
    traits::{
        Applied, Body, BodyStream, BodyWriter, Changes, Changeset, FolderChanges, ItemList,
        MailboxStore, Operation, Page, StoreError, Watch,
    },
};

#[async_trait]
impl MailboxStore for Store {
    async fn create(&self, mailbox: MailboxRef, at: Timestamp) -> Result<(), StoreError> {
        if self.view(mailbox, |view| view.mailbox()).await.is_ok() {
            return Ok(());
        }
        self.edit(mailbox, move |transaction, means| {
            let editor = Editor::open(transaction, means, mailbox, at)?;
            editor.finish(&service()).map(drop)
        })
        .await
    }

    async fn remove(&self, mailbox: MailboxRef) -> Result<(), StoreError> {
        self.edit_existing(mailbox, |editor| editor.remove())
            .await?;
        self.purge_mailbox(mailbox).await
    }

    async fn set_quota(&self, mailbox: MailboxRef, octets: u64) -> Result<(), StoreError> {
        self.edit_existing(mailbox, move |editor| editor.set_quota(octets))
            .await
    }

    async fn mailbox(&self, mailbox: MailboxRef) -> Result<Mailbox, StoreError> {
        self.view(mailbox, |view| Ok(view.mailbox()?.to_mailbox()))
            .await
    }

    async fn folders(&self, mailbox: MailboxRef) -> Result<Vec<Folder>, StoreError> {
        self.view(mailbox, |view| view.folders()).await
    }

    async fn folder(&self, mailbox: MailboxRef, folder: FolderId) -> Result<Folder, StoreError> {
        self.view(mailbox, move |view| view.folder(folder)).await
    }

    async fn item(&self, mailbox: MailboxRef, item: ItemId) -> Result<Item, StoreError> {
        self.view(mailbox, move |view| Ok(view.item(item)?.into_item(item)))
            .await
    }

    async fn items(&self, mailbox: MailboxRef, list: ItemList) -> Result<Page<Item>, StoreError> {
        self.view(mailbox, move |view| view.items(&list)).await
    }

    async fn uids(
        &self,
        mailbox: MailboxRef,
        folder: FolderId,
    ) -> Result<(ModSeq, Vec<(Uid, ItemId)>), StoreError> {
        self.view(mailbox, move |view| view.uids(folder)).await
    }

    async fn changes(
        &self,
        mailbox: MailboxRef,
        folder: FolderId,
        since: ModSeq,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        self.view(mailbox, move |view| view.changes(folder, since, limit))
            .await
    }

    async fn folder_changes(
        &self,
        mailbox: MailboxRef,
        since: ModSeq,
    ) -> Result<FolderChanges, StoreError> {
        self.view(mailbox, move |view| view.folder_changes(since))
            .await
    }

    async fn events(
        &self,
        mailbox: MailboxRef,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.view(mailbox, move |view| view.events(after, limit))
            .await
    }

    async fn truncate(&self, mailbox: MailboxRef, horizon: ModSeq) -> Result<(), StoreError> {
        self.edit_existing(mailbox, move |editor| editor.truncate(horizon))
            .await?;
        self.purge_mailbox(mailbox).await
    }

    fn watch(&self, mailbox: MailboxRef) -> Watch {
        self.core.watchers.watch(mailbox)
    }

    async fn apply(&self, mailbox: MailboxRef, changes: Changeset) -> Result<Applied, StoreError> {
        let deletes = |operation: &Operation| matches!(operation, Operation::DeleteFolder { .. });
        let purge = changes.operations.iter().any(deletes);
        let applied = self
            .edit(mailbox, move |transaction, means| {
                Editor::open(transaction, means, mailbox, changes.at)?.apply(changes)
            })
            .await?;
        if purge {
            self.purge_mailbox(mailbox).await?;
        }
        Ok(applied)
    }

    async fn body_writer(
        &self,
        organization: OrganizationId,
    ) -> Result<Box<dyn BodyWriter>, StoreError> {
        let keys = self.core.keys(organization).await?;
        Ok(Box::new(Writer(self.core.bodies.writer(keys, MAX_BODY)?)))
    }

    async fn read(
        &self,
        mailbox: MailboxRef,
        item: ItemId,
        range: Range<u64>,
    ) -> Result<BodyStream, StoreError> {
        let keys = self.core.known_keys(mailbox.organization).await?;
        let keys = keys.ok_or(StoreError::NoSuchMailbox(mailbox))?;
        let find = move |view: View<'_>| {
            let record = view.item(item)?;
            Ok((view.body(item, &record)?, record.prefix))
        };
        let (body, prefix) = self.view(mailbox, find).await?;
        let what = move || format!("the content of item {item} of mailbox {mailbox}");
        Ok(self.content(keys, prefix, body, range, what))
    }
}

impl Store {
    /// The octets `range` of a prefix and the body behind it. `what` names them in errors.
    pub(crate) fn content(
        &self,
        keys: Arc<KeySet>,
        prefix: Vec<u8>,
        body: StoredBody,
        range: Range<u64>,
        what: impl Fn() -> String + Send + Sync + 'static,
    ) -> BodyStream {
        let length = prefix.len() as u64;
        let within = |at: u64| usize::try_from(at.min(length)).unwrap_or(prefix.len());
        let (from, to) = (within(range.start), within(range.end));
        let head = Bytes::from(prefix).slice(from..to.max(from));
        let head = stream::iter((!head.is_empty()).then_some(Ok(head)));
        let rest = range.start.saturating_sub(length)..range.end.saturating_sub(length);
        let body = self.core.bodies.read(keys, body, rest).map(move |piece| {
            piece.map_err(|error| match error.is_damage() {
                true => StoreError::Damaged {
                    what: what(),
                    source: Some(Box::new(error)),
                },
                false => error.into(),
            })
        });
        head.chain(body).boxed()
    }

    /// Answers from the state as everybody sees it.
    async fn view<T: Send + 'static>(
        &self,
        mailbox: MailboxRef,
        look: impl FnOnce(View<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let keys = self.core.known_keys(mailbox.organization).await?;
        let keys = keys.ok_or(StoreError::NoSuchMailbox(mailbox))?;
        self.core
            .read(move |now| {
                let view = View::new(now, &keys, mailbox);
                match view.mailbox() {
                    // What else there is of the mailbox can be read without it.
                    Ok(_) | Err(StoreError::Damaged { .. }) => look(view),
                    Err(error) => Err(error),
                }
            })
            .await
    }

    /// [`MailboxStore::uids`] of a folder whose counts may be damaged.
    pub(crate) async fn uids_without_counts(
        &self,
        mailbox: MailboxRef,
        folder: FolderId,
    ) -> Result<Vec<(Uid, ItemId)>, StoreError> {
        self.view(mailbox, move |view| view.uids_listed(folder))
            .await
    }

    /// An item, and how many octets there are in front of its body.
    pub(crate) async fn item_with_prefix(
        &self,
        mailbox: MailboxRef,
        item: ItemId,
    ) -> Result<(Item, u64), StoreError> {
        self.view(mailbox, move |view| {
            let record = view.item(item)?;
            let prefix = record.prefix.len() as u64;
            Ok((record.into_item(item), prefix))
        })
        .await
    }

    /// Takes a mailbox away, if it is there; its items go in steps afterwards.
    pub(crate) async fn retire(&self, mailbox: MailboxRef) -> Result<(), StoreError> {
        match self.edit_existing(mailbox, |editor| editor.remove()).await {
            Err(StoreError::NoSuchMailbox(_)) => Ok(()),
            removed => removed,
        }
    }

    /// Of the oldest `limit` commits that the event log has, the last from before a time; and whether
    /// there may be later ones from before it.
    pub(crate) async fn last_commit_before(
        &self,
        mailbox: MailboxRef,
        before: Timestamp,
        limit: usize,
    ) -> Result<(Option<ModSeq>, bool), StoreError> {
        self.view(mailbox, move |view| view.last_commit_before(before, limit))
            .await
    }

    async fn edit<T: Send + 'static>(
        &self,
        mailbox: MailboxRef,
        edit: impl FnOnce(&mut Transaction<'_>, Means<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let keys = self.core.keys(mailbox.organization).await?;
        self.edit_with(keys, edit).await
    }

    async fn edit_existing<T: Send + 'static>(
        &self,
        mailbox: MailboxRef,
        edit: impl FnOnce(Editor<'_, '_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let keys = self.core.known_keys(mailbox.organization).await?;
        let keys = keys.ok_or(StoreError::NoSuchMailbox(mailbox))?;
        self.edit_with(keys, move |transaction, means| {
            let at = Timestamp::default();
            edit(Editor::open_existing(transaction, means, mailbox, at)?)
        })
        .await
    }

    async fn edit_with<T: Send + 'static>(
        &self,
        keys: Arc<KeySet>,
        edit: impl FnOnce(&mut Transaction<'_>, Means<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let tools = self.core.toolbox();
        self.core
            .commit(move |transaction| edit(transaction, tools.means(&keys)))
            .await
    }
}

struct Writer(segment::BodyWriter);

#[async_trait]
impl BodyWriter for Writer {
    async fn write(&mut self, octets: Bytes) -> Result<(), StoreError> {
        Ok(self.0.write(&octets).await?)
    }

    async fn finish(self: Box<Self>) -> Result<Body, StoreError> {
        let stored = self.0.finish().await?;
        Ok(Body {
            id: stored.id,
            size: stored.size,
        })
    }
}

/// What the service does of itself.
pub(crate) fn service() -> Origin {
    Origin::new(Protocol::System, "store")
}
