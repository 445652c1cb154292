//! Durable, encrypted mail storage and directory behind the `wm-core` traits.

mod commit;
pub mod engine;
pub mod seal;
pub mod segment;
mod workers;
