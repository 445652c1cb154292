//! What a list of messages shows, decoded, and the conversation a message belongs to.

use mail_parser::{Address, HeaderName, MessageParser};

use super::head::Head;
use super::structure::{Kind, Part, Structure};
use super::text::decode_text;
use crate::model::Summary;
use crate::{ConversationId, Timestamp};

/// Characters kept of the subject, the sender and the preview, and of the list of recipients.
const MAX_CHARS: usize = 255;
const MAX_RECIPIENT_CHARS: usize = 512;
/// Longest Message-ID kept, in bytes; a cut one would be another.
const MAX_MESSAGE_ID: usize = 512;

/// The summary of a message held in memory. For one that streams see [`Structure::summary`].
pub fn summarize(message: &[u8]) -> Summary {
    Structure::of(message).summary()
}

impl Structure {
    /// What lists show of the message.
    ///
    /// ```
    /// let message = b"From: Bob <bob@example.com>\r\nSubject: Hi\r\n\r\nHow are\r\nyou?\r\n";
    /// let summary = wm_core::content::summarize(message);
    /// assert_eq!(summary.from, "Bob <bob@example.com>");
    /// assert_eq!(summary.preview, "How are you?");
    /// ```
    pub fn summary(&self) -> Summary {
        let mut summary = Summary {
            has_attachments: has_attachments(self),
            preview: preview(self),
            ..Summary::default()
        };
        let head = block(self.root().head());
        let parser = MessageParser::new()
            .with_minimal_headers()
            .with_message_ids();
        let Some(parsed) = parser.parse_headers(&head) else {
            return summary;
        };
        summary.subject = line(parsed.subject().unwrap_or_default(), MAX_CHARS);
        summary.from = mailboxes(parsed.from().or_else(|| parsed.sender()), 1, MAX_CHARS);
        summary.to = mailboxes(parsed.to(), usize::MAX, MAX_RECIPIENT_CHARS);
        summary.sent = parsed
            .date()
            .filter(|date| date.is_valid())
            .map(|date| Timestamp::from_seconds(date.to_timestamp()));
        summary.message_id = parsed
            .message_id()
            .filter(|id| !id.is_empty() && id.len() <= MAX_MESSAGE_ID)
            .map(str::to_owned);
        summary
    }
}

/// The conversation a message belongs to: that of the first message it refers to, or of its own Message-ID.
/// `None` when it names neither; such a message begins a conversation nobody can join.
///
/// ```
/// use wm_core::content::{Head, conversation};
///
/// let first = conversation(Head::new(b"Message-ID: <1@a>\r\n\r\n"));
/// let reply = conversation(Head::new(b"Message-ID: <2@b>\r\nIn-Reply-To: <1@a>\r\n\r\n"));
/// assert!(first.is_some() && first == reply);
/// ```
pub fn conversation(head: Head<'_>) -> Option<ConversationId> {
    let head = block(head);
    let parsed = MessageParser::new()
        .with_message_ids()
        .parse_headers(&head)?;
    let first = |name: HeaderName<'static>| {
        let value = parsed.header(name)?;
        let id = value
            .as_text_list()
            .and_then(|ids| ids.first())
            .map(AsRef::as_ref)
            .or_else(|| value.as_text())?;
        (!id.is_empty()).then(|| id.to_owned())
    };
    let id = first(HeaderName::References)
        .or_else(|| first(HeaderName::InReplyTo))
        .or_else(|| first(HeaderName::MessageId))?;
    Some(ConversationId(fnv1a(id.as_bytes())))
}

/// FNV-1a, 128 bits: stable over releases and machines, which is all an identifier needs.
fn fnv1a(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, &byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
}

/// The fields that are fields, with the empty line that a parser needs to see.
fn block(head: Head<'_>) -> Vec<u8> {
    let mut block: Vec<u8> = Vec::new();
    for field in head.fields().filter(|field| !field.name().is_empty()) {
        block.extend_from_slice(field.raw());
    }
    block.extend_from_slice(b"\r\n\r\n");
    block
}

fn mailboxes(address: Option<&Address<'_>>, count: usize, chars: usize) -> String {
    let mut out = String::new();
    for mailbox in address.into_iter().flat_map(Address::iter).take(count) {
        if out.len() > chars * 4 {
            break;
        }
        if !out.is_empty() {
            out.push_str("; ");
        }
        match (mailbox.name(), mailbox.address()) {
            (Some(name), Some(address)) => out.push_str(&format!("{name} <{address}>")),
            (name, address) => out.push_str(name.or(address).unwrap_or_default()),
        }
    }
    line(&out, chars)
}

fn preview(structure: &Structure) -> String {
    let sampled = |subtype: &str| {
        structure
            .parts()
            .find(|part| !part.sample().is_empty() && part.is("text", subtype))
    };
    let Some(part) = sampled("plain").or_else(|| sampled("html")) else {
        return String::new();
    };
    line(&decode_text(part.head(), part.sample()), MAX_CHARS)
}

/// Text as one line of at most `chars` characters without control characters.
fn line(text: &str, chars: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    for word in text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
    {
        for c in (count > 0).then_some(' ').into_iter().chain(word.chars()) {
            if count == chars {
                return out;
            }
            out.push(c);
            count += 1;
        }
    }
    out
}

/// Whether any part is one a person would call an attachment: not the text, not a picture shown inside it, not a
/// signature, not the machine-readable half of a report.
fn has_attachments(structure: &Structure) -> bool {
    let mut open = vec![(structure.root(), Relation::Alone)];
    while let Some((part, relation)) = open.pop() {
        if part.kind() != Kind::Multipart || relation == Relation::Shown {
            if is_attachment(&part, relation) {
                return true;
            }
            continue;
        }
        let related = part.is("multipart", "related") || part.is("multipart", "report");
        open.extend(part.children().enumerate().map(|(n, child)| {
            (
                child,
                if related && n > 0 {
                    Relation::Shown
                } else {
                    Relation::Alone
                },
            )
        }));
    }
    false
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// A part in its own right.
    Alone,
    /// A part that serves another: a picture in HTML, a delivery status.
    Shown,
}

fn is_attachment(part: &Part<'_>, relation: Relation) -> bool {
    let signature = ["pgp-signature", "pkcs7-signature", "x-pkcs7-signature"];
    if signature
        .iter()
        .any(|subtype| part.is("application", subtype))
    {
        return false;
    }
    match part.disposition() {
        Some(disposition) if disposition.eq_ignore_ascii_case(b"attachment") => true,
        _ => relation == Relation::Alone && !part.is("text", "*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_decoded() {
        let summary = summarize(
            "From: =?iso-8859-1?q?J=FCrgen?= <j@example.com>\r\nTo: a@example.com, \"B, C\" <b@example.com>\r\n\
             Subject: =?utf-8?b?xYFvZMW6?=\r\n\tand =?iso-2022-jp?b?GyRCRnxLXBsoQg==?=\r\n\
             Date: Sat, 01 Jan 2000 01:00:00 +0100\r\nMessage-ID: <x@y>\r\n\r\n"
                .as_bytes(),
        );
        assert_eq!(summary.from, "Jürgen <j@example.com>");
        assert_eq!(summary.to, "a@example.com; B, C <b@example.com>");
        assert_eq!(summary.subject, "Łodź and 日本");
        assert_eq!(summary.sent, Some(Timestamp::from_seconds(946_684_800)));
        assert_eq!(summary.message_id.as_deref(), Some("x@y"));
    }

    #[test]
    fn the_preview_is_plain_text_where_there_is_some() {
        let html = "Content-Type: text/html\r\n\r\n<p>some <b>markup</b></p>\r\n";
        assert_eq!(summarize(html.as_bytes()).preview, "some markup");
        let both = format!(
            "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n{html}\r\n--b\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             caf=C3=A9 =\r\nnoir\r\n--b--\r\n"
        );
        assert_eq!(summarize(both.as_bytes()).preview, "café noir");
    }

    #[test]
    fn the_preview_of_a_long_encoded_text_is_its_beginning() {
        // 28 lines of base64 of which the sample ends in the middle of one.
        let body = "w6TDtsO8IMOkw7bDvCDDpMO2w7wg\r\n".repeat(1000);
        let message = format!(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}"
        );
        let preview = summarize(message.as_bytes()).preview;
        assert!(preview.starts_with("äöü äöü äöü"), "{preview}");
        assert_eq!(preview.chars().count(), 255);
    }

    #[test]
    fn attachments_are_what_a_person_calls_one() {
        let multipart = |subtype: &str, parts: &[&str]| {
            let parts: String = parts
                .iter()
                .map(|head| format!("--b\r\n{head}\r\n\r\nx\r\n"))
                .collect();
            summarize(
                format!("Content-Type: multipart/{subtype}; boundary=b\r\n\r\n{parts}--b--\r\n")
                    .as_bytes(),
            )
            .has_attachments
        };
        let (text, image) = (
            "Content-Type: text/html",
            "Content-Type: image/png\r\nContent-ID: <i>",
        );
        assert!(!multipart("alternative", &["", text]));
        assert!(multipart(
            "mixed",
            &["", "Content-Type: application/pdf; name=a.pdf"]
        ));
        assert!(multipart(
            "mixed",
            &[
                "",
                "Content-Type: text/plain\r\nContent-Disposition: attachment"
            ]
        ));
        assert!(multipart("mixed", &["", "Content-Type: message/rfc822"]));
        assert!(!multipart("related", &[text, image]));
        assert!(!multipart(
            "signed",
            &["", "Content-Type: application/pgp-signature"]
        ));
        assert!(!multipart(
            "report",
            &[
                "",
                "Content-Type: message/delivery-status",
                "Content-Type: message/rfc822"
            ]
        ));
    }

    #[test]
    fn a_conversation_is_named_by_its_first_message() {
        let of = |head: &str| conversation(Head::new(head.as_bytes()));
        let root = of("Message-ID: <1@a>\r\n");
        assert!(root.is_some());
        assert_eq!(
            root,
            of("References: <1@a> <2@b>\r\nIn-Reply-To: <2@b>\r\nMessage-ID: <3@c>\r\n")
        );
        assert_ne!(root, of("Message-ID: <2@a>\r\n"));
        assert_eq!(of("Subject: none\r\n"), None);
    }
}
