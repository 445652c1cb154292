//! Protocol state keeps its contract on every engine, and over a restart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use bytes::Bytes;
use common::{ENGINES, OnDisk};
use futures::executor::block_on;
use wm_core::{
    Timestamp,
    contract::mailbox,
    model::Protocol,
    traits::{ProtocolState, StateError, StateKey},
};

mod memory {
    wm_core::protocol_state_contract!(Box::new(crate::common::memory()));
}

mod sled {
    wm_core::protocol_state_contract!(crate::common::sled());
}

mod redb {
    wm_core::protocol_state_contract!(crate::common::redb());
}

#[test]
fn records_and_versions_go_on_after_a_restart() {
    for engine in ENGINES {
        let on_disk = common::on_disk(engine);
        let store = |state: &OnDisk, name: &str| {
            let value = Bytes::from(name.to_owned());
            block_on(state.store(&key(name), None, value, Timestamp::MAX, NOW)).unwrap()
        };
        let first = store(&on_disk, "first");
        let OnDisk {
            store: first_run,
            directory,
        } = on_disk;
        drop(first_run);
        let on_disk = OnDisk {
            store: common::open(directory.path(), engine),
            directory,
        };
        let record = block_on(on_disk.load(&key("first"), NOW)).unwrap().unwrap();
        assert_eq!((record.version, &*record.value), (first, &b"first"[..]));
        assert!(store(&on_disk, "second") > first);
    }
}

#[test]
fn a_name_too_long_for_a_key_is_refused() {
    let state = common::memory();
    let key = key(&"n".repeat(1000));
    let stored = state.store(&key, None, Bytes::new(), Timestamp::MAX, NOW);
    assert!(matches!(block_on(stored), Err(StateError::TooLarge { .. })));
}

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn key(name: &str) -> StateKey {
    StateKey {
        mailbox: mailbox(1),
        protocol: Protocol::Ews,
        client: "client".into(),
        name: name.into(),
    }
}
