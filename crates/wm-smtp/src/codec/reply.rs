//! Replies (RFC 5321 §4.2) with enhanced status codes (RFC 3463) placed as RFC 2034 §4 says.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, BytesMut};

/// The longest text of one reply line: RFC 5321 §4.5.3.1.5 allows 512 octets for the whole line.
const MAX_TEXT: usize = 480;

/// One reply of the server.
///
/// ```
/// use bytes::BytesMut;
/// use wm_smtp::codec::{EnhancedCode, Reply, ReplyCode};
///
/// let reply = Reply::new(ReplyCode::MAILBOX_UNAVAILABLE, EnhancedCode::new(1, 1), "No such user here");
/// let mut wire = BytesMut::new();
/// reply.write(&mut wire);
/// assert_eq!(&wire[..], b"550 5.1.1 No such user here\r\n");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: ReplyCode,
    enhanced: Option<EnhancedCode>,
    text: Cow<'static, str>,
}

impl Reply {
    /// A reply with an enhanced status code. Each line of `text` (separated by `\n`) becomes a line
    /// of the reply; what a reply cannot carry (controls, non-ASCII) is shown as `?`, and a line is
    /// cut after 480 octets.
    #[must_use]
    pub const fn new(code: ReplyCode, enhanced: EnhancedCode, text: &'static str) -> Self {
        Self {
            code,
            enhanced: Some(enhanced),
            text: Cow::Borrowed(text),
        }
    }

    /// A reply without an enhanced status code, as the greeting, the answers to EHLO and HELO and
    /// all 3yz replies are (RFC 2034 §4).
    #[must_use]
    pub const fn plain(code: ReplyCode, text: &'static str) -> Self {
        Self {
            code,
            enhanced: None,
            text: Cow::Borrowed(text),
        }
    }

    /// The same reply with another text.
    #[must_use]
    pub fn with_text(self, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.into(),
            ..self
        }
    }

    /// The three-digit code.
    #[must_use]
    pub const fn code(&self) -> ReplyCode {
        self.code
    }

    /// The enhanced status code in full, such as `5.1.1`.
    #[must_use]
    pub fn status(&self) -> Option<String> {
        self.enhanced
            .map(|code| format!("{}.{code}", self.code.class()))
    }

    /// The text, its lines separated by `\n`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends the reply as it goes over the wire.
    pub fn write(&self, out: &mut BytesMut) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            out.put_slice(format!("{}{separator}", self.code).as_bytes());
            if let Some(status) = self.status() {
                out.put_slice(format!("{status} ").as_bytes());
            }
            let shown = |c: char| {
                if matches!(c, ' '..='~') {
                    c as u8
                } else {
                    b'?'
                }
            };
            out.extend(line.chars().take(MAX_TEXT).map(shown));
            out.put_slice(b"\r\n");
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut wire = BytesMut::new();
        self.write(&mut wire);
        f.write_str(String::from_utf8_lossy(&wire).trim_end())
    }
}

/// A three-digit reply code (RFC 5321 §4.2.1): its first digit is the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(u16);

impl ReplyCode {
    /// 214: help message.
    pub const HELP: Self = Self(214);
    /// 220: service ready.
    pub const READY: Self = Self(220);
    /// 221: service closing transmission channel.
    pub const CLOSING: Self = Self(221);
    /// 235: authentication succeeded (RFC 4954 §6).
    pub const AUTHENTICATED: Self = Self(235);
    /// 250: requested mail action okay, completed.
    pub const OK: Self = Self(250);
    /// 252: cannot verify the user.
    pub const CANNOT_VERIFY: Self = Self(252);
    /// 334: a challenge of the authentication exchange (RFC 4954 §4).
    pub const CHALLENGE: Self = Self(334);
    /// 354: start mail input.
    pub const START_MAIL_INPUT: Self = Self(354);
    /// 421: service not available, closing transmission channel.
    pub const NOT_AVAILABLE: Self = Self(421);
    /// 450: mailbox temporarily unavailable.
    pub const MAILBOX_BUSY: Self = Self(450);
    /// 451: local error in processing.
    pub const LOCAL_ERROR: Self = Self(451);
    /// 452: insufficient system storage, or too many recipients (RFC 5321 §4.5.3.1.10).
    pub const INSUFFICIENT_STORAGE: Self = Self(452);
    /// 454: temporary authentication failure (RFC 4954 §6), TLS not available (RFC 3207 §4).
    pub const TEMPORARY_FAILURE: Self = Self(454);
    /// 500: syntax error, command unrecognized or line too long.
    pub const UNRECOGNIZED: Self = Self(500);
    /// 501: syntax error in parameters or arguments.
    pub const BAD_ARGUMENTS: Self = Self(501);
    /// 502: command not implemented.
    pub const NOT_IMPLEMENTED: Self = Self(502);
    /// 503: bad sequence of commands.
    pub const BAD_SEQUENCE: Self = Self(503);
    /// 504: command parameter not implemented.
    pub const PARAMETER_NOT_IMPLEMENTED: Self = Self(504);
    /// 530: authentication required (RFC 4954 §6).
    pub const AUTHENTICATION_REQUIRED: Self = Self(530);
    /// 535: authentication credentials invalid (RFC 4954 §6).
    pub const CREDENTIALS_INVALID: Self = Self(535);
    /// 538: encryption required for the requested authentication mechanism (RFC 4954 §6).
    pub const ENCRYPTION_REQUIRED: Self = Self(538);
    /// 550: mailbox unavailable, or refused by policy.
    pub const MAILBOX_UNAVAILABLE: Self = Self(550);
    /// 552: exceeded storage allocation.
    pub const EXCEEDED_STORAGE: Self = Self(552);
    /// 553: mailbox name not allowed.
    pub const NAME_NOT_ALLOWED: Self = Self(553);
    /// 554: transaction failed.
    pub const TRANSACTION_FAILED: Self = Self(554);
    /// 555: MAIL or RCPT parameters not recognized or not implemented.
    pub const PARAMETERS_NOT_RECOGNIZED: Self = Self(555);

    /// The code with this value, if the grammar of RFC 5321 §4.2 has it: `[2-5][0-5][0-9]`.
    #[must_use]
    pub const fn from_u16(code: u16) -> Option<Self> {
        let legal = code >= 200 && code < 560 && code % 100 < 60;
        if legal { Some(Self(code)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// 4yz: the command may succeed later.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        self.class() == 4
    }

    /// 5yz: the command is not to be repeated unchanged.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        self.class() == 5
    }

    const fn class(self) -> u16 {
        self.0 / 100
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Subject and detail of an enhanced status code (RFC 3463 §2). Its class is the first digit of the
/// reply code, so that the two can never disagree (RFC 2034 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnhancedCode {
    subject: u16,
    detail: u16,
}

impl EnhancedCode {
    /// The code `x.subject.detail`; the registry (RFC 5248) has three digits at most for each.
    #[must_use]
    pub const fn new(subject: u16, detail: u16) -> Self {
        Self { subject, detail }
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_reply_repeats_its_codes() {
        let reply = Reply::new(ReplyCode::HELP, EnhancedCode::new(0, 0), "one\ntwo");
        assert_eq!(reply.to_string(), "214-2.0.0 one\r\n214 2.0.0 two");
    }

    #[test]
    fn text_cannot_forge_a_reply() {
        let hostile = "<a\r\n250 ok\u{7f}é>".to_owned();
        let reply = Reply::plain(ReplyCode::BAD_ARGUMENTS, "").with_text(hostile);
        assert_eq!(reply.to_string(), "501-<a?\r\n501 250 ok??>");
    }

    #[test]
    fn a_reply_line_stays_within_512_octets() {
        let reply =
            Reply::new(ReplyCode::OK, EnhancedCode::new(999, 999), "").with_text("x".repeat(2000));
        assert!(reply.to_string().len() + 2 <= 512);
    }

    #[test]
    fn codes_outside_the_grammar_do_not_exist() {
        for code in [0, 199, 260, 369, 560, 999] {
            assert_eq!(ReplyCode::from_u16(code), None, "{code}");
        }
        assert_eq!(ReplyCode::from_u16(250), Some(ReplyCode::OK));
    }
}
