//! The spool: [`Spool`] over the engine, the segments and the committer.

mod acceptor;
mod forget;
mod keys;
mod records;

use crate::{
    commit::Transaction,
    engine::{Direction, Snapshot},
    fault::Fault,
    seal::KeySet,
    segment,
    store::Store,
};
pub(crate) use forget::due_of;

use acceptor::Acceptor;
use async_trait::async_trait;
use keys::Due;
use records::TaskRecord;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};
use wm_core::{
    BodyId, OrganizationId, TaskId, Timestamp,
    traits::{
        Acceptance, Accepted, BodyStream, BodyWriter, Lease, MailboxStore, Reschedule, Spool,
        SpoolError, StoreError, Task,
    },
};

/// Due tasks that are looked at for those whose keys can be had, at most.
const LOOKED_AT: usize = 10_000;

#[async_trait]
impl Spool for Store {
    async fn body_writer(
        &self,
        organization: OrganizationId,
    ) -> Result<Box<dyn BodyWriter>, SpoolError> {
        Ok(MailboxStore::body_writer(self, organization).await?)
    }

    async fn accept(&self, acceptance: Acceptance) -> Result<Accepted, SpoolError> {
        let acceptor = Acceptor::new(&self.core, acceptance).await?;
        self.core
            .commit(move |transaction| acceptor.accept(transaction))
            .await
    }

    async fn lease(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Lease>, SpoolError> {
        let due = move |state: &dyn Snapshot| {
            let entries = state.scan(Due::at(now), Direction::Forward).take(LOOKED_AT);
            let due = entries.map(|entry| Ok::<_, SpoolError>(Due::parse(&entry?.0)));
            Ok::<_, SpoolError>(
                due.collect::<Result<Vec<_>, _>>()?
                    .into_iter()
                    .flatten()
                    .collect(),
            )
        };
        let due: Vec<Due> = self.core.read(due).await?;
        // What belongs to an organization whose keys cannot be had waits, and holds up nobody.
        let mut keys = BTreeMap::new();
        for organization in due
            .iter()
            .map(|due| due.organization)
            .collect::<BTreeSet<_>>()
        {
            if let Ok(Some(found)) = self.core.known_keys(organization).await {
                keys.insert(organization, found);
            }
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let lease = move |transaction: &mut Transaction<'_>| {
            let mut leases = Vec::new();
            for due in due {
                if leases.len() >= limit {
                    break;
                }
                if let Some(keys) = keys.get(&due.organization) {
                    leases.extend(lease(transaction, keys, due, until)?);
                }
            }
            Ok(leases)
        };
        self.core.commit(lease).await
    }

    async fn read(&self, lease: &Lease, range: Range<u64>) -> Result<BodyStream, SpoolError> {
        let (task, organization) = (lease.task.id, lease.task.what.organization);
        let keys = self.core.known_keys(organization).await?;
        let keys = keys.ok_or(SpoolError::LeaseLost(task))?;
        let key_set = keys.clone();
        let find = move |now: &dyn Snapshot| {
            let record = key_set.read_record::<TaskRecord>(now, &keys::task(organization, task))?;
            let what = record.ok_or(SpoolError::LeaseLost(task))?.what;
            Ok::<_, SpoolError>((
                segment::find_body(now, &key_set, what.body.id)?,
                what.prefix,
            ))
        };
        let what = move || format!("the message of task {task} of {organization}");
        let (body, prefix) = self.core.read(find).await?;
        let body = body.ok_or_else(|| StoreError::Damaged {
            what: what(),
            source: None,
        })?;
        Ok(self.content(keys, prefix, body, range, what))
    }

    async fn complete(
        &self,
        lease: Lease,
        follow_up: Option<Acceptance>,
    ) -> Result<(), SpoolError> {
        let follow_up = match follow_up {
            Some(acceptance) => Some(Acceptor::new(&self.core, acceptance).await?),
            None => None,
        };
        let (keys, tools) = (self.keys_of(&lease).await?, self.core.toolbox());
        self.core
            .commit(move |transaction| {
                let record = held(transaction, &keys, &lease)?;
                let Lease {
                    task: Task { id, what, .. },
                    ..
                } = &lease;
                transaction.delete(keys::task(what.organization, *id));
                transaction.delete(due(*id, &record).key());
                tools
                    .means(&keys)
                    .bodies
                    .release(transaction, &keys, record.what.body.id)?;
                follow_up
                    .map(|acceptor| acceptor.accept(transaction))
                    .transpose()?;
                Ok(())
            })
            .await
    }

    async fn reschedule(&self, lease: Lease, reschedule: Reschedule) -> Result<(), SpoolError> {
        let keys = self.keys_of(&lease).await?;
        self.core
            .commit(move |transaction| {
                let mut record = held(transaction, &keys, &lease)?;
                record.attempts = record.attempts.saturating_add(1);
                record.due = reschedule.due;
                record.what.recipients = reschedule.recipients;
                record.last_error = reschedule.error;
                list(
                    transaction,
                    &keys,
                    lease.task.id,
                    &mut record,
                    reschedule.due,
                )
            })
            .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, SpoolError> {
        let first = |state: &dyn Snapshot| {
            let first = state
                .scan(Due::all(), Direction::Forward)
                .next()
                .transpose()?;
            Ok::<_, SpoolError>(
                first
                    .and_then(|(key, _)| Due::parse(&key))
                    .map(|due| due.at),
            )
        };
        self.core.read(first).await
    }

    async fn tasks(
        &self,
        organization: OrganizationId,
        after: Option<TaskId>,
        limit: usize,
    ) -> Result<Vec<Task>, SpoolError> {
        let Some(keys) = self.core.known_keys(organization).await? else {
            return Ok(Vec::new());
        };
        let range = keys::tasks(organization);
        let range = match after {
            Some(after) => range.after(&keys::task(organization, after)),
            None => range,
        };
        let read = move |state: &dyn Snapshot| {
            let entries = state.scan(range, Direction::Forward).take(limit);
            entries
                .map(|entry| {
                    let (key, sealed) = entry?;
                    let record: TaskRecord = keys.open_record(&key, &sealed)?;
                    Ok(record.into_task(keys::task_id(&key)))
                })
                .collect()
        };
        self.core.read(read).await
    }
}

/// Opens any entry of the spool; answers the body it refers to.
pub(crate) fn inspect(keys: &KeySet, key: &[u8], value: &[u8]) -> Result<Option<BodyId>, Fault> {
    if keys::is_task(key) {
        let record: TaskRecord = keys.open_record(key, value)?;
        return Ok(Some(record.what.body.id));
    }
    if !value.is_empty() {
        let wrong = |source| Fault::Record {
            what: "spool",
            key: key.to_vec(),
            source: Some(source),
        };
        keys.open_value(key, value).map_err(wrong)?;
    }
    Ok(None)
}

impl Store {
    async fn keys_of(&self, lease: &Lease) -> Result<Arc<KeySet>, SpoolError> {
        let keys = self.core.known_keys(lease.task.what.organization).await?;
        keys.ok_or(SpoolError::LeaseLost(lease.task.id))
    }
}

/// Leases a task, unless it has been leased or ended since it was seen to be due.
fn lease(
    transaction: &mut Transaction<'_>,
    keys: &KeySet,
    due: Due,
    until: Timestamp,
) -> Result<Option<Lease>, SpoolError> {
    if transaction.get(&due.key())?.is_none() {
        return Ok(None);
    }
    let key = keys::task(due.organization, due.task);
    let mut record = match keys.read_record::<TaskRecord>(transaction, &key) {
        Ok(Some(record)) => record,
        // It cannot be worked on, and must not keep others from being.
        Ok(None) => return Ok(None),
        Err(fault) if fault.is_damage() => return Ok(None),
        Err(fault) => return Err(fault.into()),
    };
    list(transaction, keys, due.task, &mut record, until)?;
    Ok(Some(record.into_lease(due.task)))
}

/// The task, if the lease still holds.
fn held(
    transaction: &Transaction<'_>,
    keys: &KeySet,
    lease: &Lease,
) -> Result<TaskRecord, SpoolError> {
    let Task { id, what, .. } = &lease.task;
    let record = keys.read_record(transaction, &keys::task(what.organization, *id))?;
    record
        .filter(|record: &TaskRecord| record.token == lease.token)
        .ok_or(SpoolError::LeaseLost(*id))
}

/// Gives a task another place in the order of due ones; whoever has it, has it no longer.
fn list(
    transaction: &mut Transaction<'_>,
    keys: &KeySet,
    task: TaskId,
    record: &mut TaskRecord,
    at: Timestamp,
) -> Result<(), SpoolError> {
    transaction.delete(due(task, record).key());
    record.listed = at;
    record.token += 1;
    transaction.put(due(task, record).key(), "");
    Ok(keys.write_record(
        transaction,
        keys::task(record.what.organization, task),
        record,
    )?)
}

fn due(task: TaskId, record: &TaskRecord) -> Due {
    Due {
        at: record.listed,
        task,
        organization: record.what.organization,
    }
}
