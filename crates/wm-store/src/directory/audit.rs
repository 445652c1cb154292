//! The audit log (AUD-1, AUD-2): events by account and time.

use super::StoredDirectory;
use crate::{
    engine::{Direction, KeyRange},
    fault::Fault,
    keyspace::{INSTALLATION, Space},
    record::Record,
    seal::KeySet,
};
use async_trait::async_trait;
use wm_core::{
    AccountId, Timestamp,
    traits::{AuditError, AuditEvent, AuditLog, AuditQuery, DirectoryError},
};

impl Record for AuditEvent {
    const NAME: &'static str = "audit event";
}

#[async_trait]
impl AuditLog for StoredDirectory {
    async fn record(&self, event: AuditEvent) -> Result<(), AuditError> {
        let (key, value) = sealed(&event, &*self.core.keys(INSTALLATION).await?)?;
        self.core
            .commit(move |transaction| {
                transaction.put(key, value);
                Ok::<_, DirectoryError>(())
            })
            .await
    }

    async fn events(&self, query: AuditQuery) -> Result<Vec<AuditEvent>, AuditError> {
        let keys = self.core.keys(INSTALLATION).await?;
        let wanted = move |event: &Result<AuditEvent, Fault>| match event {
            Ok(event) => query
                .organization
                .is_none_or(|id| event.organization == Some(id)),
            Err(_) => true,
        };
        let from = query.from.unwrap_or(Timestamp::from_millis(i64::MIN));
        let mut range = KeyRange::prefix(prefix(query.account));
        range.start = prefix_at(query.account, from).into();
        if let Some(until) = query.until {
            range = range.before(prefix_at(query.account, until));
        }
        let find = move |now: &dyn crate::engine::Snapshot| {
            let newest_first = now.scan(range, Direction::Backward);
            let events = newest_first.map(|entry| {
                let (key, value) = entry?;
                keys.open_record(&key, &value)
            });
            Ok::<_, DirectoryError>(
                events
                    .filter(wanted)
                    .take(query.limit)
                    .collect::<Result<_, _>>()?,
            )
        };
        self.core.read(find).await
    }
}

/// The key and value of an event; `keys` are the installation's.
pub(super) fn sealed(event: &AuditEvent, keys: &KeySet) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let mut key = prefix_at(event.account, event.at);
    key.extend(event.id.to_be_bytes());
    let value = keys.seal_record(&key, event)?;
    Ok((key, value))
}

fn prefix(account: AccountId) -> Vec<u8> {
    let mut prefix = Space::Audit.prefix(INSTALLATION);
    prefix.extend(account.as_u64().to_be_bytes());
    prefix
}

fn prefix_at(account: AccountId, at: Timestamp) -> Vec<u8> {
    let mut prefix = prefix(account);
    // With the sign turned around the bytes sort as the times do.
    prefix.extend((at.as_millis() ^ i64::MIN).to_be_bytes());
    prefix
}
