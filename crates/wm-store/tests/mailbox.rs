//! The mailbox store keeps its contract on every engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

mod memory {
    wm_core::mailbox_store_contract!(Box::new(crate::common::memory()));
}

mod sled {
    wm_core::mailbox_store_contract!(crate::common::sled());
}

mod redb {
    wm_core::mailbox_store_contract!(crate::common::redb());
}
