//! Why a command fails, and what IMAP calls it: the one place where errors become response codes (RFC 5530).

use imap_codec::imap_types::core::Charset;
use imap_codec::imap_types::response::Code;
use wm_core::traits::StoreError;

use super::output::Reply;
use super::view::NoSuchMessage;

#[derive(Debug)]
pub(super) enum Failure {
    NotLoggedIn,
    NotSelected,
    BadName,
    NoSuchMailbox,
    /// The target of APPEND, COPY or MOVE, which the client may create.
    NoSuchTarget,
    MailboxExists,
    HasChildren,
    Cannot,
    NoSuchMessage,
    ExpungeIssued,
    BadCharset,
    ReadOnly,
    TooBig,
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSuchFolder(_) => Self::NoSuchMailbox,
            StoreError::NoSuchItem(_) => Self::ExpungeIssued,
            StoreError::FolderExists { .. } => Self::MailboxExists,
            other => Self::Store(other),
        }
    }
}

impl From<NoSuchMessage> for Failure {
    fn from(_: NoSuchMessage) -> Self {
        Self::NoSuchMessage
    }
}

impl Failure {
    /// Where something was to be put there is no mailbox.
    pub(super) fn of_target(self) -> Self {
        match self {
            Self::NoSuchMailbox => Self::NoSuchTarget,
            other => other,
        }
    }

    /// What went wrong in this system, if the failure is not the client's or its mailbox's.
    pub(super) fn into_fault(self) -> Option<StoreError> {
        match self {
            Self::Store(
                StoreError::Denied
                | StoreError::OverQuota { .. }
                | StoreError::TooMany { .. }
                | StoreError::InvalidFolder { .. }
                | StoreError::NoSuchMailbox(_),
            ) => None,
            Self::Store(error) => Some(error),
            _ => None,
        }
    }

    pub(super) fn reply(&self) -> Reply<'static> {
        match self {
            Self::NotLoggedIn => Reply::bad("Log in first"),
            Self::NotSelected => Reply::bad("No mailbox is selected"),
            Self::BadName => Reply::no("Not a mailbox name").with_code("CANNOT"),
            Self::NoSuchMailbox => Reply::no("No such mailbox").with_code("NONEXISTENT"),
            Self::NoSuchTarget => Reply::no("No such mailbox").with(Code::TryCreate),
            Self::MailboxExists => {
                Reply::no("There is such a mailbox already").with_code("ALREADYEXISTS")
            }
            Self::HasChildren => {
                Reply::no("There are mailboxes below this one").with_code("HASCHILDREN")
            }
            Self::Cannot => Reply::no("This cannot be done").with_code("CANNOT"),
            Self::NoSuchMessage => Reply::bad("No message has such a number"),
            Self::ExpungeIssued => {
                Reply::no("Some messages are no longer there").with_code("EXPUNGEISSUED")
            }
            Self::BadCharset => {
                let allowed = ["US-ASCII", "UTF-8"]
                    .into_iter()
                    .filter_map(|name| Charset::try_from(name).ok());
                Reply::no("Unknown charset").with(Code::badcharset(allowed.collect()))
            }
            Self::ReadOnly => Reply::no("The mailbox is read-only"),
            Self::TooBig => Reply::no("The message is too large").with(Code::TooBig),
            Self::Store(error) => store(error),
        }
    }
}

fn store(error: &StoreError) -> Reply<'static> {
    match error {
        StoreError::Denied => Reply::no("Permission denied").with_code("NOPERM"),
        StoreError::OverQuota { .. } => Reply::no("The mailbox is full").with(Code::OverQuota),
        StoreError::TooMany { .. } => Reply::no("Too many").with_code("LIMIT"),
        StoreError::InvalidFolder { reason, .. } => Reply::no(*reason).with_code("CANNOT"),
        StoreError::NoSuchMailbox(_) => Reply::no("No such mailbox").with_code("NONEXISTENT"),
        StoreError::Damaged { .. } => Reply::no("Stored data is damaged").with_code("CORRUPTION"),
        StoreError::Unavailable { .. } => Reply::no("Try again later").with_code("UNAVAILABLE"),
        _ => Reply::no("Internal error").with_code("SERVERBUG"),
    }
}
