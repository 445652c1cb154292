//! The spool keeps its contract on every engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use std::{ops::Deref, sync::Arc};
use wm_core::contract::spool::SpoolUnderTest;
use wm_store::Store;

mod memory {
    wm_core::spool_contract!(super::Subject::new(crate::common::memory(), ()));
}

mod sled {
    wm_core::spool_contract!(super::Subject::on_disk(crate::common::sled()));
}

mod redb {
    wm_core::spool_contract!(super::Subject::on_disk(crate::common::redb()));
}

struct Subject<D> {
    under_test: SpoolUnderTest,
    _directory: D,
}

impl<D> Subject<D> {
    fn new(store: Store, directory: D) -> Self {
        let (spool, mailboxes) = (Arc::new(store.clone()), Arc::new(store));
        Self {
            under_test: SpoolUnderTest { spool, mailboxes },
            _directory: directory,
        }
    }
}

impl Subject<tempfile::TempDir> {
    fn on_disk(common::OnDisk { store, directory }: common::OnDisk) -> Self {
        Self::new(store, directory)
    }
}

impl<D> Deref for Subject<D> {
    type Target = SpoolUnderTest;

    fn deref(&self) -> &SpoolUnderTest {
        &self.under_test
    }
}
