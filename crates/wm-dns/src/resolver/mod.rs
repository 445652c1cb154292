//! Asking the DNS: a stub that leaves recursion to a server, and a resolver that asks the domain's own
//! name servers.
//!
//! The logic is written against [`Wire`], which carries one message to a server and one back; feature
//! `tokio` has a `Wire` over sockets. Answers are untrusted: an answer counts only if it comes back
//! with the id and the question that were sent, is of bounded size, and is well-formed.

mod answer;
mod authoritative;
pub(crate) mod message;
mod stub;
#[cfg(feature = "tokio")]
mod tokio;
mod wire;

pub use authoritative::{Authoritative, AuthoritativeOptions};
pub use message::{MAX_MESSAGE, PAYLOAD, Query, Refused, Response};
pub use stub::{Stub, StubOptions};
#[cfg(feature = "tokio")]
pub use tokio::TokioWire;
pub use wire::{Accept, Wire, WireError};
