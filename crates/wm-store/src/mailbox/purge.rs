//! What is deleted in steps, so that no commit grows with what it deletes: the items of folders
//! that are gone, and the change feed before the horizon. What remains to be done is listed in the
//! engine by the commit that makes it necessary.

use super::{
    editor::{Editor, Means},
    keys::{Purge, Tail},
};
use crate::{
    commit::Transaction,
    engine::{Direction, KeyRange, Snapshot},
    fault::Fault,
    store::Store,
};
use bytes::Bytes;
use wm_core::{FolderId, MailboxRef, ModSeq, OrganizationId, Timestamp, traits::StoreError};

/// Index entries deleted in one commit, at most.
const STEP: usize = 256;

impl Store {
    /// Finishes what was being deleted in steps when the store was closed or lost power, and brings
    /// the journal up to date. A server does this once it is up.
    ///
    /// # Errors
    /// The first fault; what was not finished still can be.
    pub async fn clean_up(&self) -> Result<(), StoreError> {
        self.purge(Purge::all()).await?;
        self.checkpoint().await.map(drop)
    }

    /// Deletes what is left of the gone parts of a mailbox.
    pub(crate) async fn purge_mailbox(&self, mailbox: MailboxRef) -> Result<(), StoreError> {
        self.purge(Purge::of(mailbox)).await
    }

    async fn purge(&self, range: KeyRange) -> Result<(), StoreError> {
        let find = |now: &dyn Snapshot| {
            let entries = now.scan(range, Direction::Forward);
            let purges = entries.map(|entry| Ok::<_, StoreError>(Purge::parse(&entry?.0)));
            purges.collect::<Result<Vec<_>, _>>()
        };
        for purge in self.core.read(find).await?.into_iter().flatten() {
            let Some(keys) = self.core.known_keys(purge.mailbox.organization).await? else {
                continue;
            };
            loop {
                let (tools, keys) = (self.core.toolbox(), keys.clone());
                let step = move |transaction: &mut Transaction<'_>| {
                    step(transaction, tools.means(&keys), purge)
                };
                if self.core.commit(step).await? {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The entries of what is being deleted in steps in an organization.
pub(crate) fn purges_of(
    now: &dyn Snapshot,
    organization: OrganizationId,
) -> Result<Vec<Bytes>, Fault> {
    let of = |key: &Bytes| {
        Purge::parse(key).is_some_and(|purge| purge.mailbox.organization == organization)
    };
    now.scan(Purge::all(), Direction::Forward)
        .map(|entry| Ok(entry?.0))
        .filter(|key| key.as_ref().map_or(true, of))
        .collect()
}

/// Deletes some of it; answers whether that was all.
fn step(
    transaction: &mut Transaction<'_>,
    means: Means<'_>,
    purge: Purge,
) -> Result<bool, StoreError> {
    let at = Timestamp::default();
    let mut editor = Editor::open_any(transaction, means, purge.mailbox, at)?;
    let left = match purge.folder {
        Some(folder) => editor.purge_folder(folder)?,
        None => editor.purge_feed()?,
    };
    if left == STEP {
        transaction.delete(purge.key());
    }
    Ok(left == STEP)
}

impl Editor<'_, '_> {
    /// Deletes items and tombstones of a folder that is no more; answers how many more it could
    /// have deleted.
    fn purge_folder(&mut self, folder: FolderId) -> Result<usize, StoreError> {
        let uids = self.view().some_keys(self.paths.uids(folder), STEP)?;
        for uid in &uids {
            if let Some(item) = Tail(uid).item() {
                self.purge_item(item)?;
            }
            self.transaction.delete(uid.clone());
        }
        let tombstones = self.paths.tombstones_upto(folder, ModSeq(u64::MAX));
        self.purge_keys(tombstones, STEP - uids.len())
    }

    /// Deletes events and tombstones up to the horizon; answers how many more it could have
    /// deleted.
    fn purge_feed(&mut self) -> Result<usize, StoreError> {
        let horizon = self.record.horizon;
        let mut left = self.purge_keys(self.paths.events_upto(horizon), STEP)?;
        left = self.purge_keys(self.paths.folder_tombstones_upto(horizon), left)?;
        for folder in self.view().folder_ids()? {
            left = self.purge_keys(self.paths.tombstones_upto(folder, horizon), left)?;
        }
        Ok(left)
    }

    fn purge_keys(&mut self, range: KeyRange, limit: usize) -> Result<usize, StoreError> {
        let keys = self.view().some_keys(range, limit)?;
        let left = limit - keys.len();
        for key in keys {
            self.transaction.delete(key);
        }
        Ok(left)
    }
}
