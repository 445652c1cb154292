//! The wire: framing of what clients send, commands, responses. Pure; the grammar is imap-codec's.

mod framer;
mod request;
mod utf7;

pub use framer::{Frame, Framer};
pub(crate) use request::tag_of;
pub use request::{Request, RequestBody, RequestError};
pub use utf7::{decode_name, encode_name};
