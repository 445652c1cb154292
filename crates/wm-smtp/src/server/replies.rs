//! Every reply of a session, and the one place where faults become codes (RFC 5321 §4.2.3,
//! RFC 5248, RFC 4954 §6).

use crate::codec::{CommandError, EnhancedCode, Reply, ReplyCode as Code};

const fn reply(code: Code, subject: u16, detail: u16, text: &'static str) -> Reply {
    Reply::new(code, EnhancedCode::new(subject, detail), text)
}

pub(super) const CLOSING: Reply = reply(Code::CLOSING, 0, 0, "Closing connection");
pub(super) const DONE: Reply = reply(Code::OK, 0, 0, "OK");
pub(super) const SENDER_OK: Reply = reply(Code::OK, 1, 0, "Sender OK");
pub(super) const RECIPIENT_OK: Reply = reply(Code::OK, 1, 5, "Recipient OK");
pub(super) const READY_FOR_TLS: Reply = reply(Code::READY, 0, 0, "Ready to start TLS");
pub(super) const AUTHENTICATED: Reply =
    reply(Code::AUTHENTICATED, 7, 0, "Authentication succeeded");
pub(super) const HELP: Reply = reply(Code::HELP, 0, 0, "See RFC 5321");
/// RFC 5321 §7.3: a server that does not verify says so, rather than yes or no.
pub(super) const CANNOT_VERIFY: Reply = reply(
    Code::CANNOT_VERIFY,
    0,
    0,
    "Cannot verify users; send mail to find out",
);
pub(super) const START_MAIL_INPUT: Reply = Reply::plain(
    Code::START_MAIL_INPUT,
    "Start mail input; end with <CRLF>.<CRLF>",
);

pub(super) const TIMEOUT: Reply = reply(Code::NOT_AVAILABLE, 4, 2, "Timeout, closing connection");
pub(super) const SHUTTING_DOWN: Reply =
    reply(Code::NOT_AVAILABLE, 3, 2, "Shutting down, try again later");
pub(super) const TOO_MANY_ERRORS: Reply = reply(
    Code::NOT_AVAILABLE,
    7,
    0,
    "Too many errors, closing connection",
);
pub(super) const LOCAL_ERROR: Reply = reply(Code::LOCAL_ERROR, 3, 0, "Local error in processing");
pub(super) const TOO_MANY_RECIPIENTS: Reply =
    reply(Code::INSUFFICIENT_STORAGE, 5, 3, "Too many recipients");

pub(super) const LINE_TOO_LONG: Reply = reply(Code::UNRECOGNIZED, 5, 2, "Line too long");
pub(super) const AUTH_LINE_TOO_LONG: Reply = reply(
    Code::UNRECOGNIZED,
    5,
    6,
    "Authentication exchange line too long",
);
pub(super) const BARE_LINE_FEED: Reply = reply(
    Code::UNRECOGNIZED,
    5,
    2,
    "Lines must end in CRLF, not LF alone",
);
pub(super) const BAD_ENCODING: Reply = reply(
    Code::BAD_ARGUMENTS,
    5,
    2,
    "Authentication exchange not understood",
);
pub(super) const AUTH_CANCELLED: Reply =
    reply(Code::BAD_ARGUMENTS, 7, 0, "Authentication cancelled");
pub(super) const NOT_IMPLEMENTED: Reply =
    reply(Code::NOT_IMPLEMENTED, 5, 1, "Command not implemented");
pub(super) const HELLO_FIRST: Reply = reply(Code::BAD_SEQUENCE, 5, 1, "Send EHLO first");
pub(super) const MAIL_FIRST: Reply = reply(Code::BAD_SEQUENCE, 5, 1, "Send MAIL first");
pub(super) const NESTED_MAIL: Reply = reply(Code::BAD_SEQUENCE, 5, 1, "Sender already given");
pub(super) const CHUNKS_BEGUN: Reply =
    reply(Code::BAD_SEQUENCE, 5, 1, "Send BDAT or RSET after BDAT");
pub(super) const ALREADY_AUTHENTICATED: Reply =
    reply(Code::BAD_SEQUENCE, 5, 1, "Already authenticated");
pub(super) const ALREADY_TLS: Reply = reply(Code::BAD_SEQUENCE, 5, 1, "TLS is already active");
pub(super) const AUTHENTICATION_REQUIRED: Reply = reply(
    Code::AUTHENTICATION_REQUIRED,
    7,
    0,
    "Authentication required",
);
pub(super) const STARTTLS_FIRST: Reply = reply(
    Code::AUTHENTICATION_REQUIRED,
    7,
    0,
    "Must issue a STARTTLS command first",
);
pub(super) const ENCRYPTION_REQUIRED: Reply = reply(
    Code::ENCRYPTION_REQUIRED,
    7,
    11,
    "Encryption required for authentication",
);
/// The code that Exchange Online made known for this; RFC 5248 registers none.
pub(super) const BARE_NEWLINE: Reply = reply(
    Code::MAILBOX_UNAVAILABLE,
    6,
    11,
    "Message contains bare CR or LF (RFC 5321 2.3.8)",
);
pub(super) const MESSAGE_TOO_BIG: Reply = reply(
    Code::EXCEEDED_STORAGE,
    3,
    4,
    "Message exceeds the size limit",
);
pub(super) const NEEDS_SMTPUTF8: Reply = reply(
    Code::NAME_NOT_ALLOWED,
    6,
    7,
    "Internationalized address without SMTPUTF8",
);
pub(super) const NO_RECIPIENTS: Reply =
    reply(Code::TRANSACTION_FAILED, 5, 1, "No valid recipients");

impl From<CommandError> for Reply {
    fn from(error: CommandError) -> Self {
        use CommandError as E;
        let (code, subject, detail) = match &error {
            E::Unrecognized => (Code::UNRECOGNIZED, 5, 1),
            E::NotText => (Code::UNRECOGNIZED, 5, 2),
            E::NoArguments | E::Arguments(_) | E::ChunkSize | E::Parameter(_) => {
                (Code::BAD_ARGUMENTS, 5, 4)
            }
            E::Sender(_) => (Code::BAD_ARGUMENTS, 1, 7),
            E::Recipient(_) => (Code::BAD_ARGUMENTS, 1, 3),
            E::UnknownParameter(_) => (Code::PARAMETERS_NOT_RECOGNIZED, 5, 4),
            E::UnknownMechanism(_) => (Code::PARAMETER_NOT_IMPLEMENTED, 5, 4),
        };
        reply(code, subject, detail, "").with_text(error.to_string())
    }
}
