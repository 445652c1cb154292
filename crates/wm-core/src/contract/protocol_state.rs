//! What every [`ProtocolState`] has to do. Use [`protocol_state_contract!`](crate::protocol_state_contract).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed check is a failed test"
)]
#![allow(missing_docs, reason = "each check's name says what it checks")]

use bytes::Bytes;
use futures::future;

use super::fixture::{mailbox, organization};
use crate::model::Protocol;
use crate::traits::{ProtocolState, STATE_RECORD_SIZE, StateError, StateKey, StateVersion};
use crate::{MailboxRef, Timestamp};

/// Makes a test of every check, for the state store that the expression makes.
#[macro_export]
macro_rules! protocol_state_contract {
    ($make:expr) => {
        $crate::contract_cases!(protocol_state, $make;
            a_record_is_loaded_as_it_was_stored,
            only_the_holder_of_the_present_version_may_replace,
            of_two_writers_one_wins,
            versions_never_repeat_even_after_removal,
            an_expired_record_is_gone,
            expiry_drops_what_is_due_and_nothing_else,
            keys_list_one_mailbox_and_protocol,
            a_record_too_large_is_refused,
            records_of_other_organizations_are_not_found,
        );
    };
}

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

pub async fn a_record_is_loaded_as_it_was_stored(state: &dyn ProtocolState) {
    let key = key("phone", "sync/1");
    assert_eq!(state.load(&key, NOW).await.unwrap(), None);
    for size in [0, 1, 3000, STATE_RECORD_SIZE] {
        let value = Bytes::from(vec![0xa5; size]);
        let version = put(
            state,
            &key,
            state.load(&key, NOW).await.unwrap().map(|r| r.version),
            &value,
        )
        .await;
        let loaded = state.load(&key, NOW).await.unwrap().unwrap();
        assert_eq!(
            (loaded.version, loaded.expires),
            (version.unwrap(), Timestamp::MAX)
        );
        assert!(loaded.value == value);
    }
}

pub async fn only_the_holder_of_the_present_version_may_replace(state: &dyn ProtocolState) {
    let key = key("phone", "sync/1");
    let stale = Some(StateVersion(u64::MAX));
    let absent = put(state, &key, stale, b"x").await;
    assert!(matches!(
        absent,
        Err(StateError::Conflict { present: None })
    ));
    let first = put(state, &key, None, b"one").await.unwrap();
    let again = put(state, &key, None, b"x").await;
    assert!(matches!(again, Err(StateError::Conflict { present: Some(v) }) if v == first));
    let second = put(state, &key, Some(first), b"two").await.unwrap();
    assert!(second > first);
    assert!(put(state, &key, Some(first), b"x").await.is_err());
    assert_eq!(state.load(&key, NOW).await.unwrap().unwrap().value, "two");
}

pub async fn of_two_writers_one_wins(state: &dyn ProtocolState) {
    let key = key("phone", "sync/1");
    let first = put(state, &key, None, b"0").await.unwrap();
    let results = future::join_all((0..8).map(|n: u8| {
        let key = &key;
        async move { put(state, key, Some(first), &[n]).await }
    }))
    .await;
    let winners: Vec<_> = results
        .iter()
        .enumerate()
        .filter(|(_, r)| r.is_ok())
        .map(|(n, _)| n)
        .collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(
        state.load(&key, NOW).await.unwrap().unwrap().value[..],
        [winners[0] as u8]
    );
}

pub async fn versions_never_repeat_even_after_removal(state: &dyn ProtocolState) {
    let key = key("phone", "sync/1");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(put(state, &key, None, b"x").await.unwrap());
        state.remove(&key).await.unwrap();
        assert_eq!(state.load(&key, NOW).await.unwrap(), None);
    }
    state.remove(&key).await.unwrap();
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
}

pub async fn an_expired_record_is_gone(state: &dyn ProtocolState) {
    let key = key("phone", "sync/1");
    let expires = Timestamp::from_millis(NOW.as_millis() + 1);
    state
        .store(&key, None, Bytes::from_static(b"x"), expires, NOW)
        .await
        .unwrap();
    assert!(state.load(&key, NOW).await.unwrap().is_some());
    assert_eq!(state.load(&key, expires).await.unwrap(), None);
    assert_eq!(
        state
            .keys(key.mailbox, key.protocol, expires)
            .await
            .unwrap(),
        []
    );
    let made = state
        .store(
            &key,
            None,
            Bytes::from_static(b"y"),
            Timestamp::MAX,
            expires,
        )
        .await;
    assert!(made.is_ok(), "an expired record does not stand in the way");
}

pub async fn expiry_drops_what_is_due_and_nothing_else(state: &dyn ProtocolState) {
    for n in 1..=5 {
        let expires = Timestamp::from_millis(NOW.as_millis() + n);
        let key = key("phone", &n.to_string());
        state
            .store(&key, None, Bytes::from_static(b"x"), expires, NOW)
            .await
            .unwrap();
    }
    let kept = key("phone", "kept");
    put(state, &kept, None, b"x").await.unwrap();
    let later = Timestamp::from_millis(NOW.as_millis() + 4);
    assert_eq!(state.expire(later, 3).await.unwrap(), 3);
    assert_eq!(state.expire(later, 3).await.unwrap(), 1);
    assert_eq!(state.expire(later, 3).await.unwrap(), 0);
    let left = state
        .keys(mailbox(1), Protocol::ActiveSync, NOW)
        .await
        .unwrap();
    assert_eq!(left, [key("phone", "5"), kept]);
}

pub async fn keys_list_one_mailbox_and_protocol(state: &dyn ProtocolState) {
    let ours = [key("a", "1"), key("a", "2"), key("b", "")];
    let other_mailbox = StateKey {
        mailbox: mailbox(2),
        ..key("a", "1")
    };
    let other_protocol = StateKey {
        protocol: Protocol::Ews,
        ..key("a", "1")
    };
    for key in ours.iter().rev().chain([&other_mailbox, &other_protocol]) {
        put(state, key, None, b"x").await.unwrap();
    }
    assert_eq!(
        state
            .keys(mailbox(1), Protocol::ActiveSync, NOW)
            .await
            .unwrap(),
        ours
    );
    assert_eq!(
        state
            .keys(mailbox(2), Protocol::ActiveSync, NOW)
            .await
            .unwrap(),
        [other_mailbox]
    );
}

pub async fn a_record_too_large_is_refused(state: &dyn ProtocolState) {
    let key = key("phone", "sync/1");
    let refused = put(state, &key, None, &vec![0; STATE_RECORD_SIZE + 1]).await;
    assert!(matches!(refused, Err(StateError::TooLarge { .. })));
    assert_eq!(state.load(&key, NOW).await.unwrap(), None);
}

pub async fn records_of_other_organizations_are_not_found(state: &dyn ProtocolState) {
    let ours = key("phone", "sync/1");
    put(state, &ours, None, b"x").await.unwrap();
    let mailbox = MailboxRef {
        organization: organization(2),
        ..ours.mailbox
    };
    let theirs = StateKey {
        mailbox,
        ..ours.clone()
    };
    assert_eq!(state.load(&theirs, NOW).await.unwrap(), None);
    assert_eq!(
        state
            .keys(mailbox, Protocol::ActiveSync, NOW)
            .await
            .unwrap(),
        []
    );
    state.remove(&theirs).await.unwrap();
    assert!(state.load(&ours, NOW).await.unwrap().is_some());
}

fn key(client: &str, name: &str) -> StateKey {
    StateKey {
        mailbox: mailbox(1),
        protocol: Protocol::ActiveSync,
        client: client.into(),
        name: name.into(),
    }
}

async fn put(
    state: &dyn ProtocolState,
    key: &StateKey,
    expected: Option<StateVersion>,
    value: &[u8],
) -> Result<StateVersion, StateError> {
    state
        .store(
            key,
            expected,
            Bytes::copy_from_slice(value),
            Timestamp::MAX,
            NOW,
        )
        .await
}
