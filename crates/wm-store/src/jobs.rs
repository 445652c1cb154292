//! Jobs that end what has had its time. A product runs them now and then, with the time it has: none of
//! them reads a clock. Each can be given up or cut short at any moment, by loss of power too, and be begun
//! again; each works in bounded steps, between which everything else goes on.
//!
//! Further ones are [`Store::clean_up`], [`Store::compact`], and
//! [`StoredDirectory`](crate::directory::StoredDirectory)'s `remove_retired` and `finish_removals`.

use crate::{
    Store,
    check::owners,
    commit::Transaction,
    engine::{Direction, KeyRange, Snapshot},
    fault::Fault,
    keyspace::{INSTALLATION, Space},
};
use std::time::Duration;
use wm_core::{
    MailboxRef, OrganizationId, Timestamp,
    traits::{MailboxStore, ProtocolState, StateError, StoreError},
};

/// Records deleted in one commit, at most.
const STEP: usize = 1000;

impl Store {
    /// Drops the protocol state that has expired by `now`; answers how many records that were.
    ///
    /// # Errors
    /// The first fault; what was dropped stays so.
    pub async fn expire_states(&self, now: Timestamp) -> Result<u64, StateError> {
        let mut expired = 0;
        loop {
            match ProtocolState::expire(self, now, STEP).await? {
                0 => return Ok(expired),
                some => expired += some as u64,
            }
        }
    }

    /// Drops what mailboxes remember of changes for longer than
    /// [`change_history`](wm_core::Limits::change_history): the event log, and what left folders. Whoever
    /// last synchronised a folder before that, and before its last change, starts afresh. Answers how many
    /// mailboxes had some.
    ///
    /// # Errors
    /// The first fault; what was dropped stays so. A mailbox that is damaged is passed over.
    pub async fn forget_history(&self, now: Timestamp) -> Result<u64, StoreError> {
        let before = earlier(now, self.core.limits.change_history);
        let mut mailboxes = 0;
        for organization in self.core.read(owners).await? {
            // What belongs to an organization whose keys cannot be had waits, and holds up nobody.
            let known = self.core.known_keys(organization).await;
            if organization == INSTALLATION || !matches!(known, Ok(Some(_))) {
                continue;
            }
            for mailbox in self.mailboxes(organization).await? {
                let mailbox = MailboxRef {
                    organization,
                    mailbox,
                };
                match self.forget_history_of(mailbox, before).await {
                    Ok(some) => mailboxes += u64::from(some),
                    Err(StoreError::NoSuchMailbox(_) | StoreError::Damaged { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(mailboxes)
    }

    async fn forget_history_of(
        &self,
        mailbox: MailboxRef,
        before: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut some = false;
        loop {
            let (last, more) = self.last_commit_before(mailbox, before, STEP).await?;
            let Some(last) = last else {
                return Ok(some);
            };
            MailboxStore::truncate(self, mailbox, last).await?;
            some = true;
            if !more {
                return Ok(some);
            }
        }
    }

    /// Deletes every record of an organization, whose keys are destroyed.
    pub(crate) async fn erase(&self, organization: OrganizationId) -> Result<(), StoreError> {
        // What the installation has of it.
        let mine = move |now: &dyn Snapshot| {
            let mut mine = crate::spool::due_of(now, organization)?;
            mine.extend(crate::mailbox::purges_of(now, organization)?);
            Ok::<_, Fault>(mine)
        };
        let mine = self.core.read(mine).await?;
        for some in mine.chunks(STEP) {
            let some = some.to_vec();
            let delete = move |transaction: &mut Transaction<'_>| {
                some.into_iter().for_each(|key| transaction.delete(key));
                Ok::<_, Fault>(())
            };
            self.core.commit(delete).await?;
        }
        // The fingerprint goes last: with it an organization without keys is never taken for a new one.
        let fingerprint = Space::Keys.prefix(organization);
        loop {
            let fingerprint = fingerprint.clone();
            let step = move |transaction: &mut Transaction<'_>| {
                let all = KeyRange::prefix(organization.as_u128().to_be_bytes().to_vec());
                let keys = transaction
                    .scan(all, Direction::Forward)
                    .map(|entry| Ok(entry?.0))
                    .filter(|key| !matches!(key, Ok(key) if *key == fingerprint))
                    .take(STEP)
                    .collect::<Result<Vec<_>, Fault>>()?;
                let done = keys.is_empty();
                keys.into_iter().for_each(|key| transaction.delete(key));
                if done {
                    transaction.delete(fingerprint);
                }
                Ok::<_, Fault>(done)
            };
            if self.core.commit(step).await? {
                return Ok(());
            }
        }
    }

    /// Whether there is any record of an organization.
    pub(crate) async fn has_any_of(
        &self,
        organization: OrganizationId,
    ) -> Result<bool, StoreError> {
        let any = move |now: &dyn Snapshot| {
            let all = KeyRange::prefix(organization.as_u128().to_be_bytes().to_vec());
            let first = now.scan(all, Direction::Forward).next().transpose()?;
            Ok::<_, Fault>(first.is_some())
        };
        Ok(self.core.read(any).await?)
    }
}

/// A time so much before another.
fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(by))
}
