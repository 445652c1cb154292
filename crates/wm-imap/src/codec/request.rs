//! Commands: those imap-codec knows, and the ones of later extensions that it does not.

use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::core::Tag;
use imap_codec::imap_types::sequence::SequenceSet;

/// A command with its tag.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What the answer is labelled with.
    pub tag: Tag<'a>,
    /// The command.
    pub body: RequestBody<'a>,
}

/// A command.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestBody<'a> {
    /// A command that imap-codec reads.
    Imap(CommandBody<'a>),
    /// `UID EXPUNGE` (RFC 4315 §2.1).
    UidExpunge(SequenceSet),
    /// `NAMESPACE` (RFC 2342).
    Namespace,
    /// `ID` (RFC 2971); what the client says of itself is not looked at.
    Id,
}

/// A command that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a command, or its arguments are malformed")]
pub struct RequestError {
    /// Its tag, if there is one.
    pub tag: Option<String>,
}

impl<'a> Request<'a> {
    /// Reads a whole command, its last line break included, as
    /// [`Frame::Command`](super::Frame::Command) has it.
    ///
    /// ```
    /// use wm_imap::codec::{Request, RequestBody};
    ///
    /// assert_eq!(Request::parse(b"a1 namespace\r\n")?.body, RequestBody::Namespace);
    /// assert_eq!(Request::parse(b"a1 FETCH everything\r\n").unwrap_err().tag.as_deref(), Some("a1"));
    /// # Ok::<(), wm_imap::codec::RequestError>(())
    /// ```
    pub fn parse(command: &'a [u8]) -> Result<Self, RequestError> {
        let tag = tag_of(command);
        let error = || RequestError {
            tag: tag.as_ref().map(|tag| tag.as_ref().to_owned()),
        };
        if let Some(body) = extension(command) {
            let tag = tag.ok_or(RequestError { tag: None })?;
            return Ok(Self { tag, body });
        }
        match CommandCodec::default().decode(command) {
            Ok((b"", command)) => Ok(Self {
                tag: command.tag,
                body: RequestBody::Imap(command.body),
            }),
            _ => Err(error()),
        }
    }
}

/// The tag at the beginning of a command, if it is one.
pub(crate) fn tag_of(command: &[u8]) -> Option<Tag<'_>> {
    let end = command
        .iter()
        .position(|&b| matches!(b, b' ' | b'\r' | b'\n'))?;
    Tag::try_from(command.get(..end)?).ok()
}

fn extension(command: &[u8]) -> Option<RequestBody<'static>> {
    let text = command.strip_suffix(b"\n")?;
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let mut words = text.splitn(4, |&b| b == b' ').skip(1);
    let (first, second, third) = (words.next()?, words.next(), words.next());
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    match (second, third) {
        (None, None) if is(first, "NAMESPACE") => Some(RequestBody::Namespace),
        (Some(_), _) if is(first, "ID") => Some(RequestBody::Id),
        (Some(second), Some(set)) if is(first, "UID") && is(second, "EXPUNGE") => {
            SequenceSet::try_from(str::from_utf8(set).ok()?)
                .ok()
                .map(RequestBody::UidExpunge)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_real_clients_send_is_read() {
        for command in [
            // mbsync
            "5 UID FETCH 1:* (UID FLAGS)",
            "6 UID FETCH 17 (BODY.PEEK[])",
            "7 UID FETCH 1:2000 (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (X-TUID Message-Id)])",
            "8 UID STORE 5 +FLAGS.SILENT (\\Deleted)",
            "9 UID EXPUNGE 5",
            "10 UID SEARCH HEADER X-TUID abcdefghijkl",
            // imaplib
            "ABCD1 SELECT INBOX",
            "ABCD2 FETCH 1 (RFC822)",
            "ABCD3 STORE 1 +FLAGS (\\Seen)",
            "ABCD4 STORE 1 +FLAGS \\Seen",
            "ABCD5 SEARCH CHARSET UTF-8 SUBJECT \"x\"",
            "ABCD6 LIST \"\" *",
            // Thunderbird
            "1 ID (\"name\" \"Thunderbird\" \"version\" \"153.0\")",
            "2 UID fetch 1:* (FLAGS)",
            "3 UID fetch 1 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date)])",
            "4 lsub \"\" \"*\"",
            "5 UID fetch 4 (BODYSTRUCTURE BODY.PEEK[1.2.MIME] BODY[TEXT]<0.100>)",
            "6 noop",
            "7 UID MOVE 1:3,7 \"Deleted Items\"",
            // curl
            "A001 EXAMINE \"INBOX\"",
            "A002 AUTHENTICATE PLAIN AGFsaWNlAHB3",
            "A003 STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY RECENT)",
        ] {
            assert!(
                Request::parse(format!("{command}\r\n").as_bytes()).is_ok(),
                "{command}"
            );
        }
    }

    #[test]
    fn what_is_no_command_is_refused_under_its_tag() {
        for (command, tag) in [
            ("a NOOP x\r\n", Some("a")),
            ("a\r\n", Some("a")),
            ("\r\n", None),
            ("+ NOOP\r\n", None),
            ("a UID EXPUNGE x\r\n", Some("a")),
            ("a NAMESPACE x\r\n", Some("a")),
            ("(a NAMESPACE\r\n", None),
            ("a STORE 1 FLAGS (\\Seen)", Some("a")),
        ] {
            let error = Request::parse(command.as_bytes()).unwrap_err();
            assert_eq!(error.tag.as_deref(), tag, "{command:?}");
        }
    }
}
