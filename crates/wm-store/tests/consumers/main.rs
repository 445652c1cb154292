//! Clients of one mailbox. A miniature client of each protocol, driven through random histories of one mailbox: whatever
//! happened between two synchronisations, each ends with what the server has
//! (`docs/decisions/0002-item-model.md`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs
)]

#[path = "../common/mod.rs"]
mod common;

mod eas;
mod ews;
mod history;
mod imap;
mod together;

use futures::executor::block_on;
use history::{History, Step};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 500, ..ProptestConfig::default() })]
    #[test]
    fn every_client_ends_with_what_the_server_has(steps in proptest::collection::vec(history::step(), 1..60)) {
        block_on(async {
            let mut history = History::begin().await;
            let mut imap = history.folders.map(imap::Client::new);
            let mut ews = history.folders.map(ews::Client::new);
            let mut eas = history.folders.map(eas::Client::new);
            for step in steps {
                match step {
                    Step::ImapSyncs(folder) => imap[folder].sync(&history).await,
                    Step::EwsSyncs(folder, page) => ews[folder].sync(&history, page).await,
                    Step::EasSyncs(folder, reply) => eas[folder].sync(&history, reply).await,
                    Step::EasFilters(folder, days) => eas[folder].filter(days),
                    Step::EasFlags(folder, nth) => eas[folder].flag(&mut history, nth).await,
                    step => history.take(step).await,
                }
            }
            for folder in 0..history.folders.len() {
                imap[folder].sync(&history).await;
                imap[folder].check(&history).await;
                ews[folder].sync(&history, 7).await;
                ews[folder].check(&history).await;
                eas[folder].sync(&history, eas::Reply::Arrives).await;
                eas[folder].check(&history).await;
            }
        });
    }
}

/// Histories that the normal run plays; `WM_HISTORIES` asks for another number of them, and
/// `WM_HISTORY` for a first one other than 0.
const HISTORIES: u64 = 200;

#[test]
fn two_writers_and_three_readers_end_with_the_same_state() {
    let number = |name| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{name}: {text}")),
        )
    };
    let first = number("WM_HISTORY").unwrap_or(0);
    let histories = number("WM_HISTORIES").unwrap_or(HISTORIES);
    let store = common::memory();
    let body = block_on(common::write(&store, b"a body")).unwrap();
    for seed in first..first + histories {
        together::play(&store, body, seed);
    }
    println!("{histories} histories from {first} converged");
}
