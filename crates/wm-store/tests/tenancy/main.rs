//! Two organizations share nothing (ORG-1): every method of every trait that the store and its
//! directory implement, called with ids of the other organization, finds nothing and changes
//! nothing.
//!
//! Which methods there are is read from the traits' own source: one that is added and not walked
//! through fails the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs
)]

#[path = "../common/mod.rs"]
mod common;

mod directory;
mod mailboxes;
mod spool;
mod two;

use futures::executor::block_on;
use std::collections::BTreeSet;
use two::Two;

#[test]
fn no_method_of_any_trait_finds_anything_of_another_organization() {
    for engine in [None, Some(common::ENGINES[0]), Some(common::ENGINES[1])] {
        let mut walked = Walked::default();
        block_on(async {
            let two = Two::begin(engine).await;
            let before = two.contents().await;
            mailboxes::walk(&two, &mut walked).await;
            spool::walk(&two, &mut walked).await;
            directory::walk(&two, &mut walked).await;
            assert_eq!(
                two.contents().await,
                before,
                "the first organization is as it was"
            );
        });
        walked.assert_complete();
    }
}

/// The methods that were called, as `Trait::method`.
#[derive(Default)]
pub struct Walked(BTreeSet<String>);

impl Walked {
    pub fn through(&mut self, name: &str) {
        assert!(
            all_methods().contains(name),
            "{name} is no method of a trait"
        );
        self.0.insert(name.to_owned());
    }

    fn assert_complete(&self) {
        let all = all_methods();
        let left: Vec<_> = all.difference(&self.0).collect();
        assert!(left.is_empty(), "not walked through: {left:?}");
        assert!(all.len() >= 58, "{} methods found", all.len());
    }
}

/// The methods of the traits whose implementations keep something of organizations.
fn all_methods() -> BTreeSet<String> {
    let sources = [
        (
            "MailboxStore",
            include_str!("../../../wm-core/src/traits/mailbox.rs"),
        ),
        (
            "MailboxSearch",
            include_str!("../../../wm-core/src/traits/search.rs"),
        ),
        (
            "Spool",
            include_str!("../../../wm-core/src/traits/spool.rs"),
        ),
        (
            "ProtocolState",
            include_str!("../../../wm-core/src/traits/state.rs"),
        ),
        (
            "Directory",
            include_str!("../../../wm-core/src/traits/directory.rs"),
        ),
        (
            "DirectoryAdmin",
            include_str!("../../../wm-core/src/traits/directory.rs"),
        ),
        (
            "ConfigStore",
            include_str!("../../../wm-core/src/traits/config.rs"),
        ),
        (
            "AuditLog",
            include_str!("../../../wm-core/src/traits/audit.rs"),
        ),
    ];
    let mut methods = BTreeSet::new();
    for (name, source) in sources {
        let (_, body) = source
            .split_once(&format!("pub trait {name}:"))
            .unwrap_or_else(|| panic!("no trait {name}"));
        let (body, _) = body.split_once("\n}\n").unwrap();
        for line in body.lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("async ").unwrap_or(line);
            if let Some(rest) = line.strip_prefix("fn ") {
                let method = rest.split(['(', '<']).next().unwrap();
                methods.insert(format!("{name}::{method}"));
            }
        }
    }
    methods
}
