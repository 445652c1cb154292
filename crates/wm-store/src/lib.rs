//! Durable, encrypted mail storage and directory behind the `wm-core` traits.

pub mod engine;
pub mod seal;
pub mod segment;
mod workers;
