//! What the spool need not know any longer.

use super::keys::{self, Due};
use crate::{
    Store,
    commit::Transaction,
    engine::{Direction, Snapshot},
    fault::Fault,
};
use bytes::Bytes;
use wm_core::{OrganizationId, Timestamp, traits::SpoolError};

/// Records deleted in one commit, at most.
const STEP: usize = 1000;

impl Store {
    /// Drops what the spool remembers of acceptances, to answer them again, and of daily limits from
    /// before yesterday; answers how many records that were. Each acceptance drops some of them too, so
    /// this is for spools that have become quiet.
    ///
    /// # Errors
    /// The first fault; what was dropped stays so.
    pub async fn forget_accepted(&self, now: Timestamp) -> Result<u64, SpoolError> {
        let yesterday = super::acceptor::day(now).saturating_sub(1);
        let old = move |state: &dyn Snapshot| {
            let accepted = state.scan(keys::accepted_before(yesterday), Direction::Forward);
            let counted = state.scan(keys::counters(), Direction::Forward);
            let counted = counted.filter(|entry| match entry {
                Ok((key, _)) => keys::day_of_counter(key) < yesterday,
                Err(_) => true,
            });
            let old = accepted.chain(counted).map(|entry| Ok(entry?.0));
            old.take(STEP).collect::<Result<Vec<_>, Fault>>()
        };
        let mut dropped = 0;
        loop {
            let some = self.core.read(old).await?;
            if some.is_empty() {
                return Ok(dropped);
            }
            dropped += some.len() as u64;
            let drop = move |transaction: &mut Transaction<'_>| {
                some.into_iter().for_each(|key| transaction.delete(key));
                Ok::<_, SpoolError>(())
            };
            self.core.commit(drop).await?;
        }
    }
}

/// The places of an organization's tasks in the order in which tasks are due.
pub(crate) fn due_of(
    now: &dyn Snapshot,
    organization: OrganizationId,
) -> Result<Vec<Bytes>, Fault> {
    let due = now.scan(Due::all(), Direction::Forward);
    let of = |key: &Bytes| Due::parse(key).is_some_and(|due| due.organization == organization);
    due.map(|entry| Ok(entry?.0))
        .filter(|key| key.as_ref().map_or(true, of))
        .collect()
}
