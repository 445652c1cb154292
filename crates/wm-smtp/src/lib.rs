//! SMTP (RFC 5321): the wire, a server's connections as state machines, and the flow of mail from a
//! connection into mailboxes.
//!
//! | layer | module | knows |
//! |---|---|---|
//! | codec | [`codec`] | commands, replies, message bodies: bytes ⇄ values |
//! | session | [`server`] | what an SMTP server may say when; no I/O, no clock |
//!
//! # Serving a connection
//!
//! [`server::Session`] is one connection. Whoever has the socket passes in what it reads and does
//! what the session's [`server::Event`]s say; the driver is a loop of a few lines under any runtime.
//! A message streams through it in slices of what was read, so a connection costs one read buffer
//! whatever the size of the message.
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
//! messages that would end somewhere else for other servers (SMTP smuggling).

pub mod codec;
pub mod server;
