//! A header block as it stands on the wire: fields, unfolding, tokens (RFC 5322 §2.2, §3.2).
//!
//! Everything here works on bytes and decodes nothing: encoded words (RFC 2047) and RFC 2231 parameters stay as
//! they are, which is what IMAP's ENVELOPE and BODYSTRUCTURE are made of.

use std::borrow::Cow;

/// The header block of a message or of a MIME part, up to and including the empty line that ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head<'a>(&'a [u8]);

impl<'a> Head<'a> {
    /// The header block at the beginning of `bytes`; what follows the first empty line is ignored.
    ///
    /// ```
    /// use wm_core::content::Head;
    ///
    /// let head = Head::new(b"Subject: a folded\r\n subject\r\nTo: bob@example.com\r\n\r\nbody");
    /// assert_eq!(head.first("subject").unwrap().unfolded().as_ref(), b"a folded subject");
    /// assert_eq!(head.fields().count(), 2);
    /// ```
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The fields in order. A line that is no field (no colon, no continuation) is a field without a name.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (field, tail) = next_field(rest)?;
            rest = tail;
            Some(field)
        })
    }

    /// The first field of that name, compared without regard to case.
    pub fn first(&self, name: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.is(name))
    }
}

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    raw: &'a [u8],
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Field<'a> {
    /// The whole field with its folding and its final line break.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The field name as written; empty for a line that is no field.
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Whether this is the field called `name`, without regard to case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The field body with line breaks (and NULs, which no mail protocol can carry) removed and outer white space
    /// trimmed.
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        let value = self.value.trim_ascii();
        if !value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Cow::Borrowed(value);
        }
        Cow::Owned(
            value
                .iter()
                .copied()
                .filter(|b| !matches!(b, b'\r' | b'\n' | 0))
                .collect(),
        )
    }
}

fn next_field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let mut end = line_end(bytes);
    if is_empty_line(bytes.get(..end)?) {
        return None;
    }
    while matches!(bytes.get(end), Some(b' ' | b'\t')) {
        end += line_end(bytes.get(end..)?);
    }
    let (raw, rest) = bytes.split_at_checked(end)?;
    let (name, value) = match raw.iter().position(|&b| b == b':') {
        Some(colon) if !raw.starts_with(b" ") && !raw.starts_with(b"\t") => {
            (raw.get(..colon)?.trim_ascii_end(), raw.get(colon + 1..)?)
        }
        _ => (b"".as_slice(), raw),
    };
    let name = if name.iter().all(u8::is_ascii_graphic) {
        name
    } else {
        b""
    };
    Some((Field { raw, name, value }, rest))
}

/// Length of the first line including its line break.
fn line_end(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&b| b == b'\n')
        .map_or(bytes.len(), |lf| lf + 1)
}

fn is_empty_line(line: &[u8]) -> bool {
    matches!(line, b"" | b"\n" | b"\r\n")
}

/// A token of a structured field body (RFC 5322 §3.2). Comments and white space separate tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A run of bytes that are neither white space nor specials: an atom, or 8-bit text where an atom should be.
    Atom(&'a [u8]),
    /// The content of a quoted string, quoting removed.
    Quoted(Cow<'a, [u8]>),
    /// The content of a domain literal, brackets included.
    DomainLiteral(Cow<'a, [u8]>),
    /// The content of a comment, outer parentheses and quoting removed.
    Comment(Cow<'a, [u8]>),
    /// One of `< > @ , ; : .` or a stray `) ] \`.
    Special(u8),
}

/// Splits a field body into tokens; what is not closed ends with the field.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    /// Tokens of an unfolded field body.
    pub fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    /// What has not been split yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Passes over white space.
    pub fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    /// Passes over one byte if it is the next one.
    pub fn skip_byte(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes the bytes up to (not including) the first of `stops`, whatever they are.
    pub fn take_until(&mut self, stops: &[u8]) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|b| stops.contains(b))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Everything to the byte that closes what `open` has opened, quoting removed. Only parentheses nest.
    fn delimited(&mut self, open: u8, close: u8) -> Cow<'a, [u8]> {
        let body = self.rest.get(1..).unwrap_or_default();
        let (mut depth, mut escaped, mut quoted, mut end) = (1usize, false, false, body.len());
        for (i, &b) in body.iter().enumerate() {
            if escaped {
                escaped = false;
            } else if b == b'\\' {
                (escaped, quoted) = (true, true);
            } else if b == close {
                depth -= 1;
                if depth == 0 {
                    end = i;
                    break;
                }
            } else if b == open && open == b'(' {
                depth += 1;
            }
        }
        let (content, rest) = body.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        if quoted {
            Cow::Owned(unquote(content))
        } else {
            Cow::Borrowed(content)
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_space();
        let (&first, tail) = self.rest.split_first()?;
        Some(match first {
            b'"' => Token::Quoted(self.delimited(b'"', b'"')),
            b'(' => Token::Comment(self.delimited(b'(', b')')),
            b'[' => {
                let literal = self.delimited(b'[', b']');
                Token::DomainLiteral([b"[", literal.as_ref(), b"]"].concat().into())
            }
            _ if is_special(first) => {
                self.rest = tail;
                Token::Special(first)
            }
            _ => {
                let stop = |b: &u8| {
                    is_special(*b) || b.is_ascii_whitespace() || matches!(b, b'"' | b'(' | b'[')
                };
                let end = self.rest.iter().position(stop).unwrap_or(self.rest.len());
                let (atom, rest) = self.rest.split_at(end);
                self.rest = rest;
                Token::Atom(atom)
            }
        })
    }
}

fn is_special(b: u8) -> bool {
    matches!(
        b,
        b'<' | b'>' | b'@' | b',' | b';' | b':' | b'.' | b')' | b']' | b'\\'
    )
}

/// Removes the backslash of every quoted pair.
fn unquote(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut escaped = false;
    for &b in bytes {
        escaped = b == b'\\' && !escaped;
        if !escaped {
            out.push(b);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_folding_and_end_at_the_empty_line() {
        let head = Head::new(b"A: 1\r\n 2\r\nB : x\nno field\r\n\r\nC: 3\r\n");
        let fields: Vec<_> = head.fields().collect();
        assert_eq!(fields.len(), 3);
        assert_eq!(fields[0].raw(), b"A: 1\r\n 2\r\n");
        assert_eq!(fields[0].unfolded().as_ref(), b"1 2");
        assert_eq!(fields[1].name(), b"B");
        assert_eq!(fields[2].name(), b"");
        assert!(head.first("c").is_none());
    }

    #[test]
    fn fields_together_are_the_header_block() {
        for head in [
            &b" leading fold\r\nA: 1\r\n"[..],
            b"From x\nA:1\nB",
            b":\r\n::\r\n\t\r\nX",
            b"A: 1\r\n\r\n",
        ] {
            let joined: Vec<u8> = Head::new(head)
                .fields()
                .flat_map(|f| f.raw().to_vec())
                .collect();
            assert_eq!(
                joined,
                head.strip_suffix(b"\r\n\r\n")
                    .map_or(head.to_vec(), |h| [h, b"\r\n"].concat())
            );
        }
    }

    #[test]
    fn tokens_split_quoted_strings_comments_and_literals() {
        let tokens: Vec<_> = Tokens::new(br#""a \"b" (c (d\)) e) x@[127.0.0.1] "open"#).collect();
        assert_eq!(
            tokens,
            [
                Token::Quoted(b"a \"b"[..].into()),
                Token::Comment(b"c (d)) e"[..].into()),
                Token::Atom(b"x"),
                Token::Special(b'@'),
                Token::DomainLiteral(b"[127.0.0.1]"[..].into()),
                Token::Quoted(b"open"[..].into()),
            ]
        );
    }
}
