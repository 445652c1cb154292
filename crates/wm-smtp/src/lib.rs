//! SMTP (RFC 5321): the wire, a server's connections as state machines, and the flow of mail from a
//! connection into mailboxes.
//!
//! | layer | module | knows |
//! |---|---|---|
//! | codec | [`codec`] | commands, replies, message bodies: bytes ⇄ values |
//! | session | [`server`] | what an SMTP server may say when; no I/O, no clock |
//! | service | [`flow`] | senders, recipients, delivery, over the traits of `wm-core` |
//! | driver | `driver` | streams and timers of tokio |
//!
//! | feature | adds |
//! |---|---|
//! | `tokio` | `driver::serve`: a connection over any `AsyncRead + AsyncWrite` |
//!
//! # Serving mail
//!
//! A [`flow::MailFlow`] is made once, over a directory and a spool; a [`server::Config`] once for
//! each port. Each accepted socket becomes a [`flow::Connection`], which `driver::serve` (feature
//! `tokio`) serves to its end.
//!
//! Another runtime does what `driver::serve` does in a loop of its own: see [`flow::Connection`].
//! Another mail flow than this crate's answers the questions of a [`server::Session`] itself.
//!
//! A message streams from the socket to storage in slices of what was read. A connection costs one
//! read buffer (64 KiB while it sends a message) and the header fields of its message, whatever the
//! message's size.
//!
//! # What is spoken
//!
//! EHLO, HELO, MAIL, RCPT, DATA, RSET, NOOP, QUIT, VRFY and EXPN (252: not disclosed), HELP (RFC
//! 5321); SIZE (RFC 1870), PIPELINING (RFC 2920), ENHANCEDSTATUSCODES (RFC 2034), CHUNKING without
//! BINARYMIME (RFC 3030), STARTTLS (RFC 3207), AUTH PLAIN and LOGIN (RFC 4954), 8BITMIME (RFC 6152),
//! SMTPUTF8 (RFC 6531). Addresses with address literals (`bob@[192.0.2.1]`) are refused: no mailbox
//! here has one.
//!
//! A message ends at CRLF `.` CRLF and nowhere else; see [`codec::BareNewline`] for what becomes of
//! messages that would end somewhere else for other servers (SMTP smuggling). Its lines may have any
//! length: they stream, so a limit would only lose mail that every other server takes.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod codec;
#[cfg(feature = "tokio")]
pub mod driver;
pub mod flow;
pub mod server;
pub mod trace;
