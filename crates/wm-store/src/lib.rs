//! Durable, encrypted mail storage and directory behind the `wm-core` traits.

pub mod engine;
