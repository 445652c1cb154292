//! Where the spool's records are in the engine, after owner and [`Space::Spool`].
//!
//! | owner | kind | then | value |
//! |---|---|---|---|
//! | organization | `t` | task (8) | [`TaskRecord`](super::records::TaskRecord) |
//! | installation | `d` | when it is due, or its lease lapses (8), task (8), organization (16) | empty |
//! | installation | `n` | | [`NextTask`](super::records::NextTask) |
//! | installation | `a` | day of acceptance (4), accept id (16) | [`AcceptedRecord`](super::records::AcceptedRecord) |
//! | installation | `c` | scope: kind (1), ids; day (4) | [`CounterRecord`](super::records::CounterRecord) |

use crate::{
    engine::KeyRange,
    keyspace::{INSTALLATION, Space, time},
};
use wm_core::{AcceptId, OrganizationId, TaskId, Timestamp, traits::CounterScope};

pub(super) fn task(organization: OrganizationId, task: TaskId) -> Vec<u8> {
    key(organization, b't', &[&task.0.to_be_bytes()])
}

/// Whether this is a key of [`task`].
pub(super) fn is_task(key: &[u8]) -> bool {
    key.get(17) == Some(&b't')
}

/// The id at the end of a key of [`task`].
pub(super) fn task_id(key: &[u8]) -> TaskId {
    TaskId(key.last_chunk().map_or(0, |id| u64::from_be_bytes(*id)))
}

pub(super) fn tasks(organization: OrganizationId) -> KeyRange {
    KeyRange::prefix(key(organization, b't', &[]))
}

pub(super) fn next_task() -> Vec<u8> {
    key(INSTALLATION, b'n', &[])
}

/// What was accepted on a day; days are counted from 1970-01-01 UTC.
pub(super) fn accepted(day: u32, id: AcceptId) -> Vec<u8> {
    key(
        INSTALLATION,
        b'a',
        &[&day.to_be_bytes(), &id.as_u128().to_be_bytes()],
    )
}

pub(super) fn accepted_before(day: u32) -> KeyRange {
    KeyRange::new(
        key(INSTALLATION, b'a', &[]),
        key(INSTALLATION, b'a', &[&day.to_be_bytes()]),
    )
}

pub(super) fn counter(scope: CounterScope, day: u32) -> Vec<u8> {
    [counted(scope).as_slice(), &day.to_be_bytes()].concat()
}

/// A scope's counters of earlier days.
pub(super) fn counters_before(scope: CounterScope, day: u32) -> KeyRange {
    KeyRange::new(counted(scope), counter(scope, day))
}

/// All counters, of any day.
pub(super) fn counters() -> KeyRange {
    KeyRange::prefix(key(INSTALLATION, b'c', &[]))
}

/// The day at the end of a key of [`counter`].
pub(super) fn day_of_counter(key: &[u8]) -> u32 {
    key.last_chunk().map_or(0, |day| u32::from_be_bytes(*day))
}

fn counted(scope: CounterScope) -> Vec<u8> {
    match scope {
        CounterScope::Account(account) => {
            key(INSTALLATION, b'c', &[b"a", &account.as_u64().to_be_bytes()])
        }
        CounterScope::User(organization, user) => {
            let organization = organization.as_u128().to_be_bytes();
            key(
                INSTALLATION,
                b'c',
                &[b"u", &organization, &user.as_u128().to_be_bytes()],
            )
        }
        CounterScope::TestDomain(organization) => key(
            INSTALLATION,
            b'c',
            &[b"t", &organization.as_u128().to_be_bytes()],
        ),
    }
}

/// A task's place in the order in which tasks are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    pub(super) task: TaskId,
    pub(super) organization: OrganizationId,
}

impl Due {
    pub(super) fn key(self) -> Vec<u8> {
        let Self {
            at,
            task,
            organization,
        } = self;
        let organization = organization.as_u128().to_be_bytes();
        key(
            INSTALLATION,
            b'd',
            &[&time(at), &task.0.to_be_bytes(), &organization],
        )
    }

    /// Everything that is due at `now`.
    pub(super) fn at(now: Timestamp) -> KeyRange {
        let after = Timestamp::from_millis(now.as_millis().saturating_add(1));
        KeyRange::new(
            key(INSTALLATION, b'd', &[]),
            key(INSTALLATION, b'd', &[&time(after)]),
        )
    }

    pub(super) fn all() -> KeyRange {
        KeyRange::prefix(key(INSTALLATION, b'd', &[]))
    }

    pub(super) fn parse(key: &[u8]) -> Option<Self> {
        let (rest, organization) = key.split_last_chunk()?;
        let (rest, task) = rest.split_last_chunk()?;
        let (_, at) = rest.split_last_chunk()?;
        Some(Self {
            at: Timestamp::from_millis(i64::from_be_bytes(*at) ^ i64::MIN),
            task: TaskId(u64::from_be_bytes(*task)),
            organization: OrganizationId::from_u128(u128::from_be_bytes(*organization)),
        })
    }
}

fn key(owner: OrganizationId, kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Space::Spool.prefix(owner);
    key.push(kind);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_due_time_is_read_back_from_its_key() {
        let due = Due {
            at: Timestamp::from_millis(-5),
            task: TaskId(9),
            organization: OrganizationId::from_u128(7),
        };
        assert_eq!(Due::parse(&due.key()), Some(due));
        assert!(Due::at(due.at).contains(&due.key()));
        assert!(!Due::at(Timestamp::from_millis(-6)).contains(&due.key()));
    }
}
