//! IMAP sessions over the wm-core traits.

pub mod codec;
pub mod message;
