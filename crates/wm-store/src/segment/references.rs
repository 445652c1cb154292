use super::{Bodies, Location, StoredBody, log::Pin};
use crate::{
    commit::Transaction,
    engine::{KeyRange, Snapshot},
    fault::Fault,
    keyspace::Space,
    record::Record,
    seal::{KeySet, StreamId},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use wm_core::{
    BodyId, OrganizationId,
    traits::{Body, StoreError},
};

/// Finished bodies that nothing has referred to yet, at most. The oldest are forgotten beyond that.
const MAX_FINISHED: usize = 1 << 14;

/// A body that something refers to. There is a record as long as something does.
#[derive(Debug, Serialize, Deserialize)]
struct BodyRecord {
    references: u64,
    size: u64,
    stream: StreamId,
    last: Location,
}

impl Record for BodyRecord {
    const NAME: &'static str = "body";
}

/// Bodies that are in the segments and not in the engine: a reference to one brings it there.
#[derive(Default)]
pub(super) struct Finished(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    bodies: HashMap<(OrganizationId, BodyId), Entry>,
    order: VecDeque<(OrganizationId, BodyId)>,
}

struct Entry {
    body: StoredBody,
    /// The first segment that it is in.
    first: u32,
    /// Keeps compaction away, until something refers to the body.
    pin: Option<Pin>,
}

/// Where a body is that something refers to.
pub(crate) fn find_body(
    state: &dyn Snapshot,
    keys: &KeySet,
    body: BodyId,
) -> Result<Option<StoredBody>, Fault> {
    let record = keys.read_record::<BodyRecord>(state, &key(keys.organization(), body))?;
    Ok(record.map(
        |BodyRecord {
             size, stream, last, ..
         }| StoredBody {
            id: body,
            size,
            stream,
            last,
        },
    ))
}

/// The entry under which a body of the segments is found that so many things refer to: what a
/// repair writes.
pub(crate) fn index_entry(
    keys: &KeySet,
    body: StoredBody,
    references: u64,
) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let StoredBody {
        id,
        size,
        stream,
        last,
    } = body;
    let record = BodyRecord {
        references,
        size,
        stream,
        last,
    };
    let key = key(keys.organization(), id);
    let sealed = keys.seal_record(&key, &record)?;
    Ok((key, sealed))
}

impl Bodies {
    /// Adds a reference to a body, which from then on is found until as many are released.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBody`] when nothing refers to it and it was not written lately, or has
    /// another size.
    pub(crate) fn refer(
        &self,
        transaction: &mut Transaction<'_>,
        keys: &KeySet,
        body: &Body,
    ) -> Result<(), StoreError> {
        let (organization, id) = (keys.organization(), body.id);
        let key = key(organization, id);
        let finished = self.finished.clone();
        transaction.when_durable(move || finished.claim(organization, id));
        let known = keys.read_record::<BodyRecord>(transaction, &key)?;
        let mut record = match known {
            Some(known) => known,
            None => {
                let finished = self.finished.get(organization, id);
                let stored = finished.ok_or(StoreError::NoSuchBody(body.id))?;
                transaction.refer_to(stored);
                let StoredBody {
                    size, stream, last, ..
                } = stored;
                BodyRecord {
                    references: 0,
                    size,
                    stream,
                    last,
                }
            }
        };
        if record.size != body.size {
            return Err(StoreError::NoSuchBody(body.id));
        }
        record.references += 1;
        Ok(keys.write_record(transaction, key, &record)?)
    }

    /// The keys under which an organization's bodies are found.
    pub(crate) fn records(organization: OrganizationId) -> KeyRange {
        KeyRange::prefix(Space::Bodies.prefix(organization))
    }

    /// The body of one of these entries; `None` when it cannot be read.
    pub(crate) fn found(&self, keys: &KeySet, key: &[u8], sealed: &[u8]) -> Option<StoredBody> {
        let id = key.last_chunk().copied().map(BodyId)?;
        let record: BodyRecord = keys.open_record(key, sealed).ok()?;
        Some(StoredBody {
            id,
            size: record.size,
            stream: record.stream,
            last: record.last,
        })
    }

    /// Has a body found where it was moved to, provided that it is still referred to and nothing
    /// else has moved it.
    pub(crate) fn settle(
        &self,
        transaction: &mut Transaction<'_>,
        keys: &KeySet,
        old: StoredBody,
        new: StoredBody,
    ) -> Result<(), Fault> {
        let key = key(keys.organization(), old.id);
        let record = keys.read_record::<BodyRecord>(transaction, &key)?;
        if let Some(record) = record
            && (record.stream, record.last) == (old.stream, old.last)
        {
            let last = new.last;
            keys.write_record(transaction, key, &BodyRecord { last, ..record })?;
            transaction.refer_to(new);
        }
        Ok(())
    }

    /// Takes a reference back. After the last one the body is garbage, for compaction to collect. A
    /// record that is damaged stays as it is: that must not keep an item from being deleted.
    pub(crate) fn release(
        &self,
        transaction: &mut Transaction<'_>,
        keys: &KeySet,
        body: BodyId,
    ) -> Result<(), StoreError> {
        let key = key(keys.organization(), body);
        let record = match keys.read_record::<BodyRecord>(transaction, &key) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(()),
            Err(fault) if fault.is_damage() => return Ok(()),
            Err(fault) => return Err(fault.into()),
        };
        match record.references.saturating_sub(1) {
            0 => transaction.delete(key),
            references => {
                let record = BodyRecord {
                    references,
                    ..record
                };
                keys.write_record(transaction, key, &record)?;
            }
        }
        Ok(())
    }
}

impl Finished {
    pub(super) fn add(&self, organization: OrganizationId, body: StoredBody, pin: Pin) {
        let mut waiting = self.lock();
        let name = (organization, body.id);
        let entry = Entry {
            body,
            first: pin.first(),
            pin: Some(pin),
        };
        if waiting.bodies.insert(name, entry).is_none() {
            waiting.order.push_back(name);
        }
        while waiting.order.len() > MAX_FINISHED
            && let Some(oldest) = waiting.order.pop_front()
        {
            waiting.bodies.remove(&oldest);
        }
    }

    fn get(&self, organization: OrganizationId, body: BodyId) -> Option<StoredBody> {
        let waiting = self.lock();
        waiting
            .bodies
            .get(&(organization, body))
            .map(|entry| entry.body)
    }

    /// Something refers to the body: from now on that keeps it.
    fn claim(&self, organization: OrganizationId, body: BodyId) {
        if let Some(entry) = self.lock().bodies.get_mut(&(organization, body)) {
            entry.pin = None;
        }
    }

    /// Forgets the bodies that are in one of these segments, if only in part.
    pub(super) fn forget(&self, segments: &HashSet<u32>) {
        let mut waiting = self.lock();
        let Waiting { bodies, order } = &mut *waiting;
        bodies.retain(|_, entry| {
            let within = entry.first..=entry.body.last.segment;
            !segments.iter().any(|segment| within.contains(segment))
        });
        order.retain(|name| bodies.contains_key(name));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(organization: OrganizationId, body: BodyId) -> Vec<u8> {
    let mut key = Space::Bodies.prefix(organization);
    key.extend_from_slice(&body.0);
    key
}
