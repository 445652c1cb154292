//! [`ProtocolState`] over the engine.
//!
//! | key | value |
//! |---|---|
//! | organization, `s`, mailbox (16), protocol (1), client, `0 0`, name | [`Stored`], sealed |
//! | installation, `t`, time of expiry (8), the whole of the key above | nothing |
//! | installation, `s` | the last version given, 8 bytes |
//!
//! A zero byte in a client's name is followed by 255, so that keys sort by client, then by name.

use crate::{
    Store,
    commit::Transaction,
    engine::{Direction, KeyRange, MAX_KEY, Snapshot},
    fault::Fault,
    keyspace::{INSTALLATION, Space},
    record::Record,
    seal::KeySet,
};
use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};
use wm_core::{
    MailboxRef, Timestamp,
    model::Protocol,
    traits::{ProtocolState, STATE_RECORD_SIZE, StateError, StateKey, StateRecord, StateVersion},
};

/// Expired records dropped in one commit, at most.
const STEP: usize = 1000;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u64,
    expires: Timestamp,
    value: Vec<u8>,
}

impl Record for Stored {
    const NAME: &'static str = "protocol state";
}

impl Stored {
    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires <= now && self.expires < Timestamp::MAX
    }
}

#[async_trait]
impl ProtocolState for Store {
    async fn load(
        &self,
        key: &StateKey,
        now: Timestamp,
    ) -> Result<Option<StateRecord>, StateError> {
        let Some(keys) = self.core.known_keys(key.mailbox.organization).await? else {
            return Ok(None);
        };
        let key = record_key(key);
        let load = move |state: &dyn Snapshot| {
            let found = stored(state, &keys, &key)?;
            Ok(found
                .filter(|stored| !stored.is_expired(now))
                .map(|stored| StateRecord {
                    version: StateVersion(stored.version),
                    value: stored.value.into(),
                    expires: stored.expires,
                }))
        };
        self.core.read(load).await
    }

    async fn store(
        &self,
        key: &StateKey,
        expected: Option<StateVersion>,
        value: Bytes,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<StateVersion, StateError> {
        let keys = self.core.keys(key.mailbox.organization).await?;
        let key = record_key(key);
        let size = value.len();
        if size > STATE_RECORD_SIZE || expiry_key(expires, &key).len() > MAX_KEY {
            return Err(StateError::TooLarge {
                size: size.max(key.len()),
            });
        }
        let store = move |transaction: &mut Transaction<'_>| {
            let present = stored(transaction, &keys, &key)?;
            let live = present.as_ref().filter(|stored| !stored.is_expired(now));
            let version = live.map(|stored| StateVersion(stored.version));
            if version != expected {
                return Err(StateError::Conflict { present: version });
            }
            if let Some(present) = present {
                transaction.delete(expiry_key(present.expires, &key));
            }
            let version = next_version(transaction)?;
            let record = Stored {
                version,
                expires,
                value: value.into(),
            };
            transaction.put(key.clone(), keys.seal_record(&key, &record)?);
            if expires < Timestamp::MAX {
                transaction.put(expiry_key(expires, &key), Bytes::new());
            }
            Ok(StateVersion(version))
        };
        self.core.commit(store).await
    }

    async fn remove(&self, key: &StateKey) -> Result<(), StateError> {
        let Some(keys) = self.core.known_keys(key.mailbox.organization).await? else {
            return Ok(());
        };
        let key = record_key(key);
        let remove = move |transaction: &mut Transaction<'_>| {
            if let Some(present) = stored(transaction, &keys, &key)? {
                transaction.delete(expiry_key(present.expires, &key));
                transaction.delete(key);
            }
            Ok(())
        };
        self.core.commit(remove).await
    }

    async fn keys(
        &self,
        mailbox: MailboxRef,
        protocol: Protocol,
        now: Timestamp,
    ) -> Result<Vec<StateKey>, StateError> {
        let Some(keys) = self.core.known_keys(mailbox.organization).await? else {
            return Ok(Vec::new());
        };
        let prefix = prefix(mailbox, protocol);
        let find = move |state: &dyn Snapshot| {
            let mut found = Vec::new();
            for entry in state.scan(KeyRange::prefix(prefix.clone()), Direction::Forward) {
                let (key, value) = entry?;
                if !keys.open_record::<Stored>(&key, &value)?.is_expired(now) {
                    let names = key.get(prefix.len()..).and_then(parse_names);
                    let (client, name) = names.ok_or_else(|| damaged(&key))?;
                    found.push(StateKey {
                        mailbox,
                        protocol,
                        client,
                        name,
                    });
                }
            }
            Ok(found)
        };
        self.core.read(find).await
    }

    async fn expire(&self, now: Timestamp, limit: usize) -> Result<usize, StateError> {
        let expire = move |transaction: &mut Transaction<'_>| {
            let mut range = KeyRange::prefix(Space::StateExpiry.prefix(INSTALLATION));
            if now < Timestamp::MAX {
                let next = Timestamp::from_millis(now.as_millis() + 1);
                range = range.before(expiry_key(next, &[]));
            }
            let start = range.start.len() + 8;
            let due = transaction
                .scan(range, Direction::Forward)
                .take(limit.min(STEP));
            let due = due
                .map(|entry| Ok(entry?.0))
                .collect::<Result<Vec<_>, StateError>>()?;
            for entry in &due {
                transaction.delete(entry.slice(start..));
                transaction.delete(entry.clone());
            }
            Ok(due.len())
        };
        self.core.commit(expire).await
    }
}

impl Store {
    /// Drops all protocol state of a mailbox, in steps.
    pub(crate) async fn forget_states(&self, mailbox: MailboxRef) -> Result<(), StateError> {
        let Some(keys) = self.core.known_keys(mailbox.organization).await? else {
            return Ok(());
        };
        let mut all = Space::State.prefix(mailbox.organization);
        all.extend(mailbox.mailbox.as_u128().to_be_bytes());
        loop {
            let (range, keys) = (KeyRange::prefix(all.clone()), keys.clone());
            let forget = move |transaction: &mut Transaction<'_>| {
                let some = transaction.scan(range, Direction::Forward).take(STEP);
                let some = some.collect::<Result<Vec<_>, _>>()?;
                for (key, value) in &some {
                    // Of one that cannot be read the expiry stays, and passes.
                    if let Ok(stored) = keys.open_record::<Stored>(key, value) {
                        transaction.delete(expiry_key(stored.expires, key));
                    }
                    transaction.delete(key.clone());
                }
                Ok::<_, StateError>(some.len() < STEP)
            };
            if self.core.commit(forget).await? {
                return Ok(());
            }
        }
    }
}

fn stored(state: &dyn Snapshot, keys: &KeySet, key: &[u8]) -> Result<Option<Stored>, StateError> {
    let value = state.get(key)?;
    Ok(value
        .map(|value| keys.open_record(key, &value))
        .transpose()?)
}

/// One version for each store of any record: none repeats, not even after a record was removed.
fn next_version(transaction: &mut Transaction<'_>) -> Result<u64, StateError> {
    let key = Space::State.prefix(INSTALLATION);
    let last = match transaction.get(&key)? {
        Some(last) => (&*last).try_get_u64().map_err(|_| damaged(&key))?,
        None => 0,
    };
    transaction.put(key, (last + 1).to_be_bytes().to_vec());
    Ok(last + 1)
}

fn record_key(key: &StateKey) -> Vec<u8> {
    let mut encoded = prefix(key.mailbox, key.protocol);
    for byte in key.client.bytes() {
        encoded.push(byte);
        if byte == 0 {
            encoded.push(u8::MAX);
        }
    }
    encoded.put_u16(0);
    encoded.extend(key.name.as_bytes());
    encoded
}

fn prefix(mailbox: MailboxRef, protocol: Protocol) -> Vec<u8> {
    let mut prefix = Space::State.prefix(mailbox.organization);
    prefix.extend(mailbox.mailbox.as_u128().to_be_bytes());
    prefix.push(match protocol {
        Protocol::Smtp => 1,
        Protocol::Imap => 2,
        Protocol::Ews => 3,
        Protocol::ActiveSync => 4,
        Protocol::WebMail => 5,
        Protocol::Api => 6,
        Protocol::System => 7,
    });
    prefix
}

fn expiry_key(expires: Timestamp, record_key: &[u8]) -> Vec<u8> {
    let mut key = Space::StateExpiry.prefix(INSTALLATION);
    // With the sign turned around the bytes sort as the times do.
    key.put_i64(expires.as_millis() ^ i64::MIN);
    key.extend(record_key);
    key
}

/// Client and name from what follows the prefix.
fn parse_names(mut rest: &[u8]) -> Option<(String, String)> {
    let mut client = Vec::new();
    loop {
        match rest {
            [0, 0, name @ ..] => {
                let name = String::from_utf8(name.to_vec()).ok()?;
                return Some((String::from_utf8(client).ok()?, name));
            }
            [0, u8::MAX, after @ ..] => {
                client.push(0);
                rest = after;
            }
            [byte, after @ ..] => {
                client.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

fn damaged(key: &[u8]) -> Fault {
    Fault::Record {
        what: Stored::NAME,
        key: key.to_vec(),
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wm_core::{MailboxId, OrganizationId};

    fn key(client: String, name: String) -> StateKey {
        let mailbox = MailboxRef {
            organization: OrganizationId::from_u128(1),
            mailbox: MailboxId::from_u128(2),
        };
        StateKey {
            mailbox,
            protocol: Protocol::Ews,
            client,
            name,
        }
    }

    proptest! {
        #[test]
        fn keys_sort_by_client_and_name_and_can_be_read_back(
            a in ("[\0-\u{2}a]{0,4}", "[\0-\u{2}a]{0,4}"),
            b in ("[\0-\u{2}a]{0,4}", "[\0-\u{2}a]{0,4}"),
        ) {
            let [a, b] = [a, b].map(|(client, name)| key(client, name));
            prop_assert_eq!(record_key(&a).cmp(&record_key(&b)), a.cmp(&b));
            let start = prefix(a.mailbox, a.protocol).len();
            prop_assert_eq!(parse_names(&record_key(&a)[start..]), Some((a.client, a.name)));
        }
    }

    #[test]
    fn times_sort_before_and_after_the_epoch() {
        let times = [i64::MIN, -5, 0, 5, i64::MAX].map(Timestamp::from_millis);
        let keys = times.map(|at| expiry_key(at, b"key"));
        assert!(keys.is_sorted());
    }
}
