//! ENVELOPE (RFC 3501 §7.4.2): header fields as they stand, addresses taken apart, nothing decoded.

use imap_codec::imap_types::core::NString;
use imap_codec::imap_types::envelope::{Address, Envelope};
use wm_core::content::{Head, Token, Tokens};

use super::nstring;

/// The envelope of a message with this header block. Every header block has one, malformed or empty.
pub fn envelope(head: Head<'_>) -> Envelope<'static> {
    let text = |name: &str| nstring(head.first(name).map(|field| field.unfolded()));
    let addresses = |name: &str| match head.first(name) {
        Some(field) => AddressList::read(&field.unfolded()),
        None => Vec::new(),
    };
    let from = addresses("from");
    let or_from = |list: Vec<Address<'static>>| if list.is_empty() { from.clone() } else { list };
    Envelope {
        date: text("date"),
        subject: text("subject"),
        sender: or_from(addresses("sender")),
        reply_to: or_from(addresses("reply-to")),
        to: addresses("to"),
        cc: addresses("cc"),
        bcc: addresses("bcc"),
        in_reply_to: text("in-reply-to"),
        message_id: text("message-id"),
        from,
    }
}

/// A token, and whether white space stood before it.
type Word<'a> = (bool, Token<'a>);

/// Reads an address list (RFC 5322 §3.4 and §4.4). What makes no sense is passed over.
struct AddressList<'a> {
    tokens: Tokens<'a>,
    /// Read since the last address.
    words: Vec<Word<'a>>,
    /// Whether the present address ended with its bracket.
    complete: bool,
    in_group: bool,
    found: Vec<Address<'static>>,
}

impl<'a> AddressList<'a> {
    fn read(value: &'a [u8]) -> Vec<Address<'static>> {
        let mut list = Self {
            tokens: Tokens::new(value),
            words: Vec::new(),
            complete: false,
            in_group: false,
            found: Vec::new(),
        };
        while let Some((space, token)) = list.next_word() {
            match token {
                Token::Special(b'<') => list.bracketed(),
                Token::Special(b',') => list.end_address(),
                Token::Special(b':') => list.begin_group(),
                Token::Special(b';') => list.end_group(),
                token => list.words.push((space, token)),
            }
        }
        list.end_group();
        list.found
    }

    fn next_word(&mut self) -> Option<Word<'a>> {
        let space = self
            .tokens
            .rest()
            .first()
            .is_some_and(u8::is_ascii_whitespace);
        Some((space, self.tokens.next()?))
    }

    /// `phrase <@route:local@domain>`, the bracket being read.
    fn bracketed(&mut self) {
        let name = phrase(&std::mem::take(&mut self.words));
        let (mut route, mut inner) = (None, Vec::new());
        while let Some((space, token)) = self.next_word() {
            let in_route = matches!(inner.first(), Some((_, Token::Special(b'@'))));
            match token {
                Token::Special(b'>') => break,
                Token::Special(b':') if in_route => {
                    route = Some(joined(&std::mem::take(&mut inner)))
                }
                // The bracket is not closed.
                Token::Special(b',') if !in_route => break,
                Token::Comment(_) => {}
                token => inner.push((space, token)),
            }
        }
        let (mailbox, host) = addr_spec(&inner);
        self.found.push(Address {
            name: nstring(name),
            adl: nstring(route),
            mailbox,
            host,
        });
        self.complete = true;
    }

    /// `local@domain (name)`, unless the address was a bracketed one.
    fn end_address(&mut self) {
        let (comments, words): (Vec<_>, Vec<_>) = std::mem::take(&mut self.words)
            .into_iter()
            .partition(|(_, token)| matches!(token, Token::Comment(_)));
        if std::mem::take(&mut self.complete) || words.is_empty() {
            return;
        }
        let name = comments
            .last()
            .map(|comment| joined(std::slice::from_ref(comment)));
        let (mailbox, host) = addr_spec(&words);
        self.found.push(Address {
            name: nstring(name),
            adl: NString(None),
            mailbox,
            host,
        });
    }

    fn begin_group(&mut self) {
        let name = phrase(&std::mem::take(&mut self.words)).unwrap_or_default();
        self.found.push(group_mark(nstring(Some(name))));
        self.in_group = true;
    }

    fn end_group(&mut self) {
        self.end_address();
        if std::mem::take(&mut self.in_group) {
            self.found.push(group_mark(NString(None)));
        }
    }
}

/// The beginning of a group with its name, or the end of one.
fn group_mark(mailbox: NString<'static>) -> Address<'static> {
    Address {
        name: NString(None),
        adl: NString(None),
        mailbox,
        host: NString(None),
    }
}

/// Local part and domain. The domain is never NIL, which would mean a group, but may be empty.
fn addr_spec(words: &[Word<'_>]) -> (NString<'static>, NString<'static>) {
    let at = words
        .iter()
        .rposition(|(_, token)| *token == Token::Special(b'@'))
        .unwrap_or(words.len());
    let (local, domain) = words.split_at(at);
    (
        nstring(Some(joined(local))),
        nstring(Some(joined(domain.get(1..).unwrap_or_default()))),
    )
}

/// A display name: words with single spaces where there was space.
fn phrase(words: &[Word<'_>]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (space, token) in words
        .iter()
        .filter(|(_, token)| !matches!(token, Token::Comment(_)))
    {
        if *space && !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(octets(token));
    }
    (!out.is_empty()).then_some(out)
}

fn joined(words: &[Word<'_>]) -> Vec<u8> {
    words
        .iter()
        .flat_map(|(_, token)| octets(token).iter().copied())
        .collect()
}

fn octets<'t>(token: &'t Token<'_>) -> &'t [u8] {
    match token {
        Token::Atom(atom) => atom,
        Token::Quoted(text) | Token::DomainLiteral(text) | Token::Comment(text) => text,
        Token::Special(b) => std::slice::from_ref(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses as `name|route|mailbox|host`, `-` for NIL.
    fn addresses(field: &str) -> Vec<String> {
        let part = |n: &NString<'_>| match &n.0 {
            Some(text) => String::from_utf8_lossy(text.as_ref()).into_owned(),
            None => "-".into(),
        };
        let list = AddressList::read(field.as_bytes());
        list.iter()
            .map(|a| [&a.name, &a.adl, &a.mailbox, &a.host].map(part).join("|"))
            .collect()
    }

    #[test]
    fn addresses_of_every_form_are_taken_apart() {
        for (field, expected) in [
            ("bob@example.com", &["-|-|bob|example.com"][..]),
            (
                "Bob <bob@example.com>, a@b",
                &["Bob|-|bob|example.com", "-|-|a|b"],
            ),
            (
                "bob@example.com (Bob \\(B\\))",
                &["Bob (B)|-|bob|example.com"],
            ),
            (
                r#""Q. \"B\" P" <"b p"@example.com>"#,
                &[r#"Q. "B" P|-|b p|example.com"#],
            ),
            ("John  Q. Public <j@x.y>", &["John Q. Public|-|j|x.y"]),
            ("=?utf-8?q?J=C3=BC?= <j@x>", &["=?utf-8?q?J=C3=BC?=|-|j|x"]),
            ("<@a,@b:c@d>", &["-|@a,@b|c|d"]),
            (
                "A Group:Ed <joe@where.test>,jdoe@one.test;",
                &[
                    "-|-|A Group|-",
                    "Ed|-|joe|where.test",
                    "-|-|jdoe|one.test",
                    "-|-|-|-",
                ],
            ),
            (
                "undisclosed-recipients:;",
                &["-|-|undisclosed-recipients|-", "-|-|-|-"],
            ),
            ("x@[192.0.2.1]", &["-|-|x|[192.0.2.1]"]),
            (
                "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
                &["Pete|-|pete|silly.test"],
            ),
            // Malformed, none of them lost.
            ("postmaster", &["-|-|postmaster|"]),
            (
                "Bob <bob@example.com, Al <al@b>",
                &["Bob|-|bob|example.com", "Al|-|al|b"],
            ),
            ("Bob <bob@x> junk, a@b", &["Bob|-|bob|x", "-|-|a|b"]),
            ("<>", &["-|-||"]),
            (",, ,", &[]),
            ("g: a@b", &["-|-|g|-", "-|-|a|b", "-|-|-|-"]),
            ("a@b@c", &["-|-|a@b|c"]),
        ] {
            assert_eq!(addresses(field), expected, "{field}");
        }
    }

    #[test]
    fn sender_and_reply_to_default_to_from() {
        let envelope = envelope(Head::new(b"From: a@b\r\nReply-To: c@d\r\nSubject:\r\n\r\n"));
        assert_eq!(envelope.sender, envelope.from);
        assert_ne!(envelope.reply_to, envelope.from);
        assert_eq!(envelope.subject, nstring(Some(b"")));
        assert_eq!(envelope.date, NString(None));
    }
}
