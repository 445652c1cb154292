use super::{
    keys::{self, Due},
    records::{AcceptedRecord, CounterRecord, NextTask, Placed, TaskRecord},
};
use crate::{
    commit::Transaction,
    engine::{Direction, KeyRange, Snapshot},
    fault::Fault,
    keyspace::INSTALLATION,
    mailbox::Editor,
    seal::{KeySet, KeyringError},
    store::{Core, Toolbox},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use wm_core::{
    OrganizationId, TaskId, Timestamp,
    model::Origin,
    traits::{Acceptance, Accepted, Counter, Delivery, NewTask, Outcome, SpoolError, StoreError},
};

/// Old records that go with each new one, at most: more than one, so that they do not pile up.
const FORGOTTEN: usize = 4;

/// An acceptance that makes sense, with the keys it takes.
pub(super) struct Acceptor {
    acceptance: Acceptance,
    keys: BTreeMap<OrganizationId, Arc<KeySet>>,
    installation: Arc<KeySet>,
    tools: Toolbox,
}

impl Acceptor {
    pub(super) async fn new(core: &Core, acceptance: Acceptance) -> Result<Self, SpoolError> {
        let Acceptance {
            deliveries, tasks, ..
        } = &acceptance;
        if deliveries.is_empty() && tasks.is_empty() {
            return Err(SpoolError::Invalid("neither a delivery nor a task"));
        }
        let mailboxes: BTreeSet<_> = deliveries.iter().map(|delivery| delivery.mailbox).collect();
        if mailboxes.len() < deliveries.len() {
            return Err(SpoolError::Invalid("two deliveries to one mailbox"));
        }
        let owners = deliveries
            .iter()
            .map(|delivery| delivery.mailbox.organization);
        let owners: BTreeSet<_> = owners
            .chain(tasks.iter().map(|task| task.organization))
            .collect();
        let mut keys = BTreeMap::new();
        for owner in owners {
            keys.insert(owner, core.keys(owner).await?);
        }
        let installation = core.keys(INSTALLATION).await?;
        Ok(Self {
            acceptance,
            keys,
            installation,
            tools: core.toolbox(),
        })
    }

    pub(super) fn accept(self, transaction: &mut Transaction<'_>) -> Result<Accepted, SpoolError> {
        let Acceptance {
            id,
            at,
            origin,
            deliveries,
            tasks,
            counters,
        } = &self.acceptance;
        let today = day(*at);
        // It may be less than a day old and of yesterday, or of tomorrow after a clock went back.
        for day in [today, today.saturating_sub(1), today.saturating_add(1)] {
            let key = keys::accepted(day, *id);
            let known = self
                .installation
                .read_record::<AcceptedRecord>(transaction, &key)?;
            if let Some(known) = known {
                return Ok(known.into_accepted());
            }
        }
        for counter in counters {
            self.count(transaction, counter)?;
        }
        let mut record = AcceptedRecord {
            deliveries: Vec::new(),
            tasks: Vec::new(),
        };
        for delivery in deliveries {
            let outcome = self.deliver(transaction, delivery, origin, *at)?;
            record.deliveries.extend(Placed::from_outcome(&outcome));
        }
        for task in tasks {
            record.tasks.push(self.enqueue(transaction, task, *at)?);
        }
        let key = keys::accepted(today, *id);
        self.installation.write_record(transaction, key, &record)?;
        delete_some(transaction, keys::accepted_before(today.saturating_sub(1)))?;
        Ok(record.into_accepted())
    }

    fn count(
        &self,
        transaction: &mut Transaction<'_>,
        counter: &Counter,
    ) -> Result<(), SpoolError> {
        let &Counter {
            scope,
            day,
            amount,
            limit,
        } = counter;
        let key = keys::counter(scope, day);
        let counted = self
            .installation
            .read_record::<CounterRecord>(transaction, &key)?;
        let sum = counted
            .map_or(0, |counted| counted.0)
            .saturating_add(amount);
        if sum > limit {
            return Err(SpoolError::LimitReached(*counter));
        }
        // Of the day before somebody may still be told.
        delete_some(
            transaction,
            keys::counters_before(scope, day.saturating_sub(1)),
        )?;
        Ok(self
            .installation
            .write_record(transaction, key, &CounterRecord(sum))?)
    }

    fn deliver(
        &self,
        transaction: &mut Transaction<'_>,
        delivery: &Delivery,
        origin: &Origin,
        at: Timestamp,
    ) -> Result<Outcome, SpoolError> {
        let Delivery {
            mailbox,
            recipient,
            item,
        } = delivery;
        let means = self.tools.means(self.keys(mailbox.organization)?);
        Editor::open(transaction, means, *mailbox, at)
            .and_then(|editor| editor.deliver(item.clone(), origin))
            .map_err(|source| match source {
                source @ StoreError::Unavailable { .. } => SpoolError::Store(source),
                source => SpoolError::Delivery {
                    recipient: recipient.clone(),
                    source,
                },
            })
    }

    fn enqueue(
        &self,
        transaction: &mut Transaction<'_>,
        task: &NewTask,
        at: Timestamp,
    ) -> Result<TaskId, SpoolError> {
        let next = self
            .installation
            .read_record(transaction, &keys::next_task())?;
        let NextTask(number) = next.unwrap_or(NextTask(1));
        let next = NextTask(number + 1);
        self.installation
            .write_record(transaction, keys::next_task(), &next)?;

        let (id, organization) = (TaskId(number), task.organization);
        let keys = self.keys(organization)?;
        self.tools
            .means(keys)
            .bodies
            .refer(transaction, keys, &task.body)?;
        let record = TaskRecord::new(task.clone(), at);
        transaction.put(
            Due {
                at: record.listed,
                task: id,
                organization,
            }
            .key(),
            "",
        );
        keys.write_record(transaction, keys::task(organization, id), &record)?;
        Ok(id)
    }

    fn keys(&self, owner: OrganizationId) -> Result<&KeySet, Fault> {
        let keys = self.keys.get(&owner).map(|keys| &**keys);
        keys.ok_or_else(|| KeyringError::Missing(owner).into())
    }
}

/// Days since 1970-01-01 UTC.
pub(super) fn day(at: Timestamp) -> u32 {
    u32::try_from(at.as_seconds().div_euclid(24 * 60 * 60)).unwrap_or_default()
}

/// Deletes the first entries of a range.
fn delete_some(transaction: &mut Transaction<'_>, range: KeyRange) -> Result<(), Fault> {
    let entries = transaction.scan(range, Direction::Forward).take(FORGOTTEN);
    let keys = entries
        .map(|entry| Ok(entry?.0))
        .collect::<Result<Vec<_>, Fault>>()?;
    keys.into_iter().for_each(|key| transaction.delete(key));
    Ok(())
}
