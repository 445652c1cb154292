//! Contract suites: what every implementation of a trait has to do, as tests (feature
//! `contract-tests`).
//!
//! Each suite is a module of checks and a macro that makes a `#[test]` of each. The macro takes an
//! expression that makes a fresh, empty subject: anything that dereferences to the trait, such as an
//! `Arc<dyn MailboxStore>` or a fixture that also holds a temporary directory.
//!
//! ```ignore
//! mod contract {
//!     wm_core::mailbox_store_contract!(my_store::Fixture::new());
//! }
//! ```

pub mod directory;
pub mod mailbox_store;
pub mod protocol_state;
pub mod spool;

mod fixture;

use std::future::Future;

pub use fixture::{audit, item, mailbox, operation_at, organization};

/// Drives a check to its end on this thread.
pub fn run(check: impl Future<Output = ()>) {
    futures::executor::block_on(check);
}

/// Makes a `#[test]` of each named check of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_cases {
    ($suite:ident, $make:expr; $($case:ident),* $(,)?) => {
        $(
            #[test]
            fn $case() {
                let subject = $make;
                $crate::contract::run($crate::contract::$suite::$case(&*subject));
            }
        )*
    };
}
