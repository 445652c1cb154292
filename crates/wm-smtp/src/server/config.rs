use std::time::Duration;

use wm_core::{DomainName, Limits};

use crate::codec::BareNewline;

/// How a [`Session`](super::Session) behaves. Start from [`Config::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name the server gives itself.
    pub host: DomainName,
    /// Whose mail it takes.
    pub role: Role,
    /// Whether STARTTLS is offered. Default: yes.
    pub starttls: bool,
    /// Whether a password may be sent over a connection without TLS. Default: no.
    pub cleartext_auth: bool,
    /// What becomes of a message with bare CR or LF. Default: it is refused.
    pub bare_newline: BareNewline,
    /// Octets of a message (LIM-3), announced by SIZE.
    pub message_size: u64,
    /// Recipients of a message (LIM-3).
    pub recipients: usize,
    /// Octets of a command line with its CRLF. Default: 2,048. RFC 5321 §4.5.3.1.4 asks for 512, and
    /// the extensions spoken here for 565 more.
    pub command_line: usize,
    /// Octets of a line of an authentication exchange. Default: 12,288 (RFC 4954 §4).
    pub auth_line: usize,
    /// Commands that are refused for what they are before the connection is closed. Default: 20.
    pub errors: u32,
    /// Senders and recipients that are refused for good before the connection is closed, which ends
    /// the guessing of addresses. Default: 100.
    pub refusals: u32,
    /// Failed authentications before the connection is closed. Default: 3.
    pub auth_failures: u32,
    /// How long the client may take over a command line or the next piece of a message. Default: 5
    /// minutes (RFC 5321 §4.5.3.2.7).
    pub timeout: Duration,
}

impl Config {
    /// The default behaviour for a server of this name and role.
    #[must_use]
    pub fn new(host: DomainName, role: Role, limits: &Limits) -> Self {
        Self {
            host,
            role,
            starttls: true,
            cleartext_auth: false,
            bare_newline: BareNewline::default(),
            message_size: limits.message_size,
            recipients: limits.recipients_per_message,
            command_line: 2_048,
            auth_line: 12_288,
            errors: 20,
            refusals: 100,
            auth_failures: 3,
            timeout: Duration::from_secs(5 * 60),
        }
    }
}

/// Whose mail a server takes (SMT-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Anybody's, for its own domains (port 25). AUTH is not offered.
    Mx,
    /// That of users who have authenticated (RFC 6409; ports 587 and 465).
    Submission,
}
