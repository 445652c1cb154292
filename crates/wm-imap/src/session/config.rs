use std::sync::Arc;
use std::time::Duration;

use wm_core::Limits;
use wm_core::access::Mailboxes;
use wm_core::traits::{Directory, IdSource};

/// How a [`Session`](super::Session) behaves. Start from [`Config::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether STARTTLS is offered. Default: yes.
    pub starttls: bool,
    /// Whether a password may be sent over a connection without TLS. Default: no (LOGINDISABLED).
    pub cleartext_auth: bool,
    /// Octets of a message that APPEND takes (LIM-3).
    pub message_size: u64,
    /// Operations of one changeset that the store takes.
    pub operations: usize,
    /// Octets of a command with all its literals, the message of APPEND apart. Default: 65,536.
    pub command_size: usize,
    /// Failed log-ins before the connection is closed. Default: 3.
    pub auth_failures: u32,
    /// Commands in a row that are none before the connection is closed. Default: 20.
    pub bad_commands: u32,
    /// How long a client may take to log in. Default: 3 minutes.
    pub login_timeout: Duration,
    /// How long a client that has logged in may be silent, in IDLE too. Default: 30 minutes (RFC 3501
    /// §5.4, RFC 2177).
    pub timeout: Duration,
}

impl Config {
    /// The default behaviour under these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            starttls: true,
            cleartext_auth: false,
            message_size: limits.message_size,
            operations: limits.operations_per_changeset,
            command_size: 64 * 1024,
            auth_failures: 3,
            bad_commands: 20,
            login_timeout: Duration::from_secs(3 * 60),
            timeout: Duration::from_secs(30 * 60),
        }
    }
}

/// What sessions work with.
#[derive(Clone)]
pub struct Services {
    /// Checks passwords.
    pub directory: Arc<dyn Directory>,
    /// Opens mailboxes.
    pub mailboxes: Mailboxes,
    /// Names the conversations of appended messages that belong to none.
    pub ids: Arc<dyn IdSource>,
}
