//! IMAP4rev1 (RFC 3501) over the wm-core traits: any IMAP client sees the same mailbox as every other protocol
//! (IMP-1).
//!
//! - [`codec`]: what clients send, cut into frames and commands. Pure.
//! - [`message`]: what IMAP says of a message: ENVELOPE, BODYSTRUCTURE, sections. Pure.
//! - [`session`]: one connection: octets in, events out, no I/O and no clock.
//! - `driver`: serves a session over any stream of tokio's (feature `tokio`).
//!
//! Extensions: LITERAL+ (RFC 7888), IDLE (2177), UIDPLUS (4315), MOVE (6851), UNSELECT (3691), NAMESPACE (2342),
//! ID (2971), SASL-IR (4959), CHILDREN (3348), SPECIAL-USE (6154).
//!
//! | feature | adds |
//! |---|---|
//! | (none) | codec, message, session |
//! | `tokio` | `driver` |

pub mod codec;
#[cfg(feature = "tokio")]
pub mod driver;
pub mod message;
pub mod session;
