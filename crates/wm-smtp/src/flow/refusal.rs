//! Every refusal of the mail flow, and the one place where errors of the traits become codes.

use std::error::Error;
use std::fmt;

use wm_core::EmailAddress;
use wm_core::traits::{DirectoryError, SpoolError, StoreError};

use crate::codec::{EnhancedCode, Reply, ReplyCode as Code};

/// A no, with the reply to give and, where something failed, the cause for the log. The cause never
/// reaches the client.
#[derive(Debug)]
pub struct Refusal {
    reply: Reply,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Refusal {
    /// What to tell the client.
    #[must_use]
    pub const fn reply(&self) -> &Reply {
        &self.reply
    }

    /// Takes it apart.
    #[must_use]
    pub fn into_parts(self) -> (Reply, Option<Box<dyn Error + Send + Sync>>) {
        (self.reply, self.cause)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reply.fmt(f)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn Error + 'static))
    }
}

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Self {
        Self { reply, cause: None }
    }
}

impl From<DirectoryError> for Refusal {
    fn from(error: DirectoryError) -> Self {
        LOCAL_ERROR.because(error)
    }
}

impl From<SpoolError> for Refusal {
    fn from(error: SpoolError) -> Self {
        match &error {
            SpoolError::Delivery {
                recipient,
                source: StoreError::OverQuota { .. },
            } => MAILBOX_FULL.about(recipient).because(error),
            _ => LOCAL_ERROR.because(error),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        LOCAL_ERROR.because(error)
    }
}

impl Reply {
    pub(super) fn because(self, error: impl Error + Send + Sync + 'static) -> Refusal {
        Refusal {
            reply: self,
            cause: Some(Box::new(error)),
        }
    }

    /// The same reply, saying which address it is about.
    pub(super) fn about(self, address: &EmailAddress) -> Self {
        let text = format!("<{}>: {}", address.original(), self.text());
        self.with_text(text)
    }
}

const fn reply(code: Code, subject: u16, detail: u16, text: &'static str) -> Reply {
    Reply::new(code, EnhancedCode::new(subject, detail), text)
}

pub(super) const NOT_IN_SERVICE: Reply = reply(
    Code::MAILBOX_BUSY,
    3,
    2,
    "The organization is not in service",
);
pub(super) const LOCAL_ERROR: Reply = reply(Code::LOCAL_ERROR, 3, 0, "Local error in processing");
/// For all recipients: one reply answers for the message, and it stays with a sender who will retry.
pub(super) const MAILBOX_FULL: Reply =
    reply(Code::INSUFFICIENT_STORAGE, 2, 2, "The mailbox is full");
pub(super) const AUTHENTICATION_UNAVAILABLE: Reply = reply(
    Code::TEMPORARY_FAILURE,
    7,
    0,
    "Authentication is not possible at present",
);
pub(super) const CREDENTIALS_INVALID: Reply = reply(
    Code::CREDENTIALS_INVALID,
    7,
    8,
    "Authentication credentials invalid",
);
pub(super) const UNKNOWN_USER: Reply = reply(Code::MAILBOX_UNAVAILABLE, 1, 1, "No such user here");
pub(super) const EMPTY_GROUP: Reply = reply(
    Code::MAILBOX_UNAVAILABLE,
    2,
    4,
    "The group has no members who receive mail",
);
pub(super) const RELAYING_DENIED: Reply = reply(
    Code::MAILBOX_UNAVAILABLE,
    7,
    1,
    "Relaying denied: the domain is not served here",
);
pub(super) const NO_RELAY: Reply = reply(
    Code::MAILBOX_UNAVAILABLE,
    7,
    1,
    "Relaying to other domains is not available yet",
);
pub(super) const UNVERIFIED_DOMAIN: Reply = reply(
    Code::MAILBOX_UNAVAILABLE,
    7,
    1,
    "The ownership of the domain is not verified",
);
pub(super) const NOT_PERMITTED: Reply = reply(
    Code::MAILBOX_UNAVAILABLE,
    7,
    1,
    "Not permitted to send as this address",
);
pub(super) const NO_ORIGINATOR: Reply = reply(
    Code::MAILBOX_UNAVAILABLE,
    6,
    0,
    "The message needs one From field with addresses, and at most one Sender (RFC 5322 3.6.2)",
);
pub(super) const LOOP: Reply = reply(
    Code::TRANSACTION_FAILED,
    4,
    6,
    "Routing loop: too many Received fields",
);
