//! What is to be sent: small responses gathered, pieces of messages passed on as they are.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use imap_codec::ResponseCodec;
use imap_codec::encode::Encoder;
use imap_codec::imap_types::core::{Tag, Text};
use imap_codec::imap_types::response::{Code, CodeOther, Data, Response, Status};

/// Pieces from this size on are not copied.
const SHARE_AT: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Output {
    queue: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
}

impl Output {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, octets: &[u8]) {
        self.tail.extend_from_slice(octets);
        self.len += octets.len();
    }

    pub(super) fn push_bytes(&mut self, octets: Bytes) {
        if octets.len() < SHARE_AT {
            return self.push(&octets);
        }
        self.len += octets.len();
        if !self.tail.is_empty() {
            self.queue.push_back(self.tail.split().freeze());
        }
        self.queue.push_back(octets);
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let next = match self.queue.pop_front() {
            Some(next) => next,
            None if self.tail.is_empty() => return None,
            None => self.tail.split().freeze(),
        };
        self.len -= next.len();
        Some(next)
    }

    pub(super) fn data(&mut self, data: Data<'_>) {
        self.push(
            &ResponseCodec::default()
                .encode(&Response::Data(data))
                .dump(),
        );
    }

    /// `+ text`
    pub(super) fn continuation(&mut self, text: &str) {
        self.push(format!("+ {text}\r\n").as_bytes());
    }

    /// A tagged response, or an untagged one.
    pub(super) fn status(&mut self, tag: Option<&str>, status: Reply<'_>) {
        let tag = tag.and_then(|tag| Tag::try_from(tag.to_owned()).ok());
        let (code, text) = (status.code, text(&status.text));
        let status = match status.kind {
            Kind::Ok => Status::Ok { tag, code, text },
            Kind::No => Status::No { tag, code, text },
            Kind::Bad => Status::Bad { tag, code, text },
            Kind::Bye => Status::Bye { code, text },
        };
        self.push(
            &ResponseCodec::default()
                .encode(&Response::Status(status))
                .dump(),
        );
    }
}

/// The outcome of a command, or news about the connection.
#[derive(Debug, Clone)]
pub(super) struct Reply<'a> {
    kind: Kind,
    code: Option<Code<'a>>,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ok,
    No,
    Bad,
    Bye,
}

impl<'a> Reply<'a> {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self {
            kind: Kind::Ok,
            code: None,
            text: text.into(),
        }
    }

    pub(super) fn no(text: impl Into<String>) -> Self {
        Self {
            kind: Kind::No,
            ..Self::ok(text)
        }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self {
            kind: Kind::Bad,
            ..Self::ok(text)
        }
    }

    pub(super) fn bye(text: impl Into<String>) -> Self {
        Self {
            kind: Kind::Bye,
            ..Self::ok(text)
        }
    }

    pub(super) fn with(self, code: Code<'a>) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    /// With a response code that imap-types has no name for (RFC 5530, RFC 4315).
    pub(super) fn with_code(self, code: impl Into<String>) -> Self {
        self.with(Code::Other(CodeOther::unvalidated(
            code.into().into_bytes(),
        )))
    }
}

/// Texts come from here, but may quote names.
fn text(text: &str) -> Text<'static> {
    let clean: String = text
        .chars()
        .map(|c| {
            if c.is_ascii() && !c.is_ascii_control() {
                c
            } else {
                '?'
            }
        })
        .collect();
    Text::try_from(clean).unwrap_or_else(|_| Text::unvalidated("-"))
}
