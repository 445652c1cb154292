use crate::{
    engine::{Batch, Direction, EngineError, Entries, KeyRange, Snapshot},
    segment::StoredBody,
};
use bytes::Bytes;
use std::{cmp::Ordering, collections::BTreeMap, iter::Peekable, mem, ops::Bound};
use wm_core::{MailboxRef, ModSeq};

/// The state as the next commit will leave it: what is committed, under what the group's requests
/// have written so far.
pub(crate) struct Transaction<'a> {
    committed: &'a dyn Snapshot,
    group: Group,
    /// What the current request has overwritten in `group.writes`, oldest first.
    undo: Vec<(Bytes, Option<Option<Bytes>>)>,
    bodies: Vec<StoredBody>,
    changed: Vec<(MailboxRef, ModSeq)>,
    afterwards: Vec<Afterwards>,
}

/// What is done once a commit is durable, before its callers are answered.
pub(super) type Afterwards = Box<dyn FnOnce() + Send + Sync>;

/// What a group of requests comes to.
#[derive(Default)]
pub(super) struct Group {
    pub(super) bodies: Vec<StoredBody>,
    pub(super) changed: Vec<(MailboxRef, ModSeq)>,
    pub(super) afterwards: Vec<Afterwards>,
    writes: BTreeMap<Bytes, Option<Bytes>>,
    bytes: usize,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(committed: &'a dyn Snapshot) -> Self {
        Self {
            committed,
            group: Group::default(),
            undo: Vec::new(),
            bodies: Vec::new(),
            changed: Vec::new(),
            afterwards: Vec::new(),
        }
    }

    /// Sets `key` to `value`.
    pub(crate) fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.write(key.into(), Some(value.into()));
    }

    /// Removes `key`, which need not be there.
    pub(crate) fn delete(&mut self, key: impl Into<Bytes>) {
        self.write(key.into(), None);
    }

    /// The commit refers to this body: it is made durable first.
    pub(crate) fn refer_to(&mut self, body: StoredBody) {
        self.bodies.push(body);
    }

    /// Wakes those who watch the mailbox once the commit is visible.
    pub(crate) fn wake(&mut self, mailbox: MailboxRef, commit: ModSeq) {
        self.changed.push((mailbox, commit));
    }

    /// Runs `work` on the committer's thread once the commit is durable, before anybody is answered:
    /// for what is kept in memory beside the engine. It has to be short.
    pub(crate) fn when_durable(&mut self, work: impl FnOnce() + Send + Sync + 'static) {
        self.afterwards.push(Box::new(work));
    }

    /// Ends the current request: what it wrote stays.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
        self.group.bodies.append(&mut self.bodies);
        self.group.changed.append(&mut self.changed);
        self.group.afterwards.append(&mut self.afterwards);
    }

    /// Ends the current request: nothing of it stays.
    pub(super) fn undo(&mut self) {
        for (key, before) in mem::take(&mut self.undo).into_iter().rev() {
            match before {
                Some(before) => self.group.writes.insert(key, before),
                None => self.group.writes.remove(&key),
            };
        }
        self.bodies.clear();
        self.changed.clear();
        self.afterwards.clear();
    }

    /// About how many bytes the group has written.
    pub(super) fn size(&self) -> usize {
        self.group.bytes
    }

    pub(super) fn into_group(self) -> Group {
        self.group
    }

    fn write(&mut self, key: Bytes, value: Option<Bytes>) {
        self.group.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        let before = self.group.writes.insert(key.clone(), value);
        self.undo.push((key, before));
    }
}

impl Snapshot for Transaction<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        match self.group.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.committed.get(key),
        }
    }

    fn scan<'a>(&'a self, range: KeyRange, direction: Direction) -> Entries<'a> {
        if range.is_empty() {
            return Box::new(std::iter::empty());
        }
        let end = range
            .end
            .as_ref()
            .map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        let written = self
            .group
            .writes
            .range::<[u8], _>((Bound::Included(&range.start[..]), end));
        let written: Box<dyn Iterator<Item = _>> = match direction {
            Direction::Forward => Box::new(written),
            Direction::Backward => Box::new(written.rev()),
        };
        Box::new(Merged {
            committed: self.committed.scan(range.clone(), direction).peekable(),
            written: written.peekable(),
            direction,
        })
    }
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub(super) fn take_batch(&mut self) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in mem::take(&mut self.writes) {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            };
        }
        batch
    }
}

/// Committed entries and written ones in one order; of two with one key the written one counts.
struct Merged<'a, W: Iterator<Item = (&'a Bytes, &'a Option<Bytes>)>> {
    committed: Peekable<Entries<'a>>,
    written: Peekable<W>,
    direction: Direction,
}

impl<'a, W: Iterator<Item = (&'a Bytes, &'a Option<Bytes>)>> Iterator for Merged<'a, W> {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.committed.peek(), self.written.peek()) {
                (Some(Ok((below, _))), Some((above, _))) => match self.direction {
                    Direction::Forward => below.cmp(above),
                    Direction::Backward => (*above).cmp(below),
                },
                (Some(_), _) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            match order {
                Ordering::Less => return self.committed.next(),
                Ordering::Equal => drop(self.committed.next()),
                Ordering::Greater => {}
            }
            let (key, value) = self.written.next()?;
            if let Some(value) = value {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Memory};
    use proptest::prelude::*;

    fn model_scan(
        model: &BTreeMap<u8, u8>,
        range: std::ops::Range<u8>,
        direction: Direction,
    ) -> Vec<(u8, u8)> {
        let mut entries: Vec<_> = model
            .iter()
            .filter(|(key, _)| range.contains(key))
            .map(|(&key, &value)| (key, value))
            .collect();
        if direction == Direction::Backward {
            entries.reverse();
        }
        entries
    }

    proptest! {
        #[test]
        fn a_transaction_reads_as_if_its_writes_were_committed(
            committed in proptest::collection::btree_map(0u8..20, any::<u8>(), 0..15),
            requests in proptest::collection::vec(
                (proptest::collection::vec((0u8..20, proptest::option::of(any::<u8>())), 0..6), any::<bool>()),
                0..6,
            ),
            a in 0u8..20,
            b in 0u8..20,
        ) {
            let engine = Memory::new();
            let mut batch = Batch::new();
            for (&key, &value) in &committed {
                batch.put(vec![key], vec![value]);
            }
            engine.commit(batch).unwrap();
            let snapshot = engine.snapshot().unwrap();

            let mut model = committed.clone();
            let mut transaction = Transaction::new(&*snapshot);
            for (writes, keep) in requests {
                let before = model.clone();
                for (key, value) in writes {
                    match value {
                        Some(value) => {
                            transaction.put(vec![key], vec![value]);
                            model.insert(key, value);
                        }
                        None => {
                            transaction.delete(vec![key]);
                            model.remove(&key);
                        }
                    }
                }
                if keep {
                    transaction.keep();
                } else {
                    transaction.undo();
                    model = before;
                }
            }

            for direction in [Direction::Forward, Direction::Backward] {
                let range = a.min(b)..a.max(b);
                let scanned: Vec<_> = transaction
                    .scan(KeyRange::new(vec![range.start], vec![range.end]), direction)
                    .map(|entry| entry.map(|(key, value)| (key[0], value[0])).unwrap())
                    .collect();
                prop_assert_eq!(scanned, model_scan(&model, range, direction));
            }
            for key in 0..20 {
                let found = transaction.get(&[key]).unwrap().map(|value| value[0]);
                prop_assert_eq!(found, model.get(&key).copied());
            }
            engine.commit(transaction.into_group().take_batch()).unwrap();
            let all: BTreeMap<_, _> = engine
                .snapshot()
                .unwrap()
                .scan(KeyRange::all(), Direction::Forward)
                .map(|entry| entry.map(|(key, value)| (key[0], value[0])).unwrap())
                .collect();
            prop_assert_eq!(all, model);
        }
    }
}
