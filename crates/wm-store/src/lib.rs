//! Durable, encrypted mail storage and directory behind the `wm-core` traits.

mod check;
mod commit;
pub mod directory;
pub mod engine;
mod fault;
mod keyspace;
mod mailbox;
mod record;
pub mod seal;
pub mod segment;
mod spool;
mod state;
mod store;
mod workers;

pub use check::{CheckReport, Finding};
pub use store::{OpenError, Store, StoreParts};
