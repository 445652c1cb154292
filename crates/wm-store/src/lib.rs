//! Durable, encrypted mail storage and directory behind the `wm-core` traits.

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
mod store;
mod workers;

pub use store::{OpenError, Store, StoreParts};
