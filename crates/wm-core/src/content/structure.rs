//! The MIME tree of a message with the exact byte ranges of every part (RFC 2045, RFC 2046).

use std::borrow::Cow;
use std::ops::Range;

use super::head::Head;
use super::media::Parameterised;

/// Parts nested deeper than this are not taken apart.
const MAX_DEPTH: usize = 64;
/// No message is taken apart into more than this many parts.
const MAX_PARTS: usize = 1_000;
/// Longest boundary recognised, in bytes (RFC 2046 §5.1.1 allows 70).
const MAX_BOUNDARY: usize = 256;
/// Header bytes kept of one part, and of all parts together.
const MAX_HEAD: usize = 128 * 1024;
const MAX_HEADS: usize = 1024 * 1024;
/// Body bytes kept of the text shown as a preview.
const MAX_SAMPLE: usize = 8 * 1024;

/// The MIME tree of a message.
///
/// Ranges are byte offsets into the message as it is stored, transfer encodings untouched: they cut any section IMAP
/// can name. Header blocks are kept (up to 128 KiB each and 1 MiB in all), bodies are not.
///
/// Every sequence of bytes has a structure. What is malformed, nested deeper than 64 levels or beyond the
/// thousandth part is a leaf that covers all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    nodes: Vec<Node>,
}

impl Structure {
    /// The structure of a message held in memory. [`Scanner`] does the same for one that streams.
    pub fn of(message: &[u8]) -> Self {
        let mut scanner = Scanner::new();
        scanner.feed(message);
        scanner.finish()
    }

    /// The message itself.
    pub fn root(&self) -> Part<'_> {
        Part {
            nodes: &self.nodes,
            index: 0,
        }
    }

    /// The part with that IMAP part number (RFC 3501 §6.4.5); `[]` is the message itself.
    ///
    /// ```
    /// use wm_core::content::Structure;
    ///
    /// let message = b"Subject: x\r\n\r\nhello\r\n";
    /// let structure = Structure::of(message);
    /// assert_eq!(structure.part(&[1]).unwrap().body(), 14..21);
    /// assert!(structure.part(&[2]).is_none());
    /// ```
    pub fn part(&self, number: &[u32]) -> Option<Part<'_>> {
        let mut part = self.root();
        for (level, &n) in number.iter().enumerate() {
            if level > 0 {
                part = match part.kind() {
                    Kind::Multipart => part,
                    Kind::Message => part.message()?,
                    Kind::Leaf => return None,
                };
            }
            part = match part.kind() {
                Kind::Multipart => part
                    .children()
                    .nth(usize::try_from(n).ok()?.checked_sub(1)?)?,
                _ if n == 1 => part,
                _ => return None,
            };
        }
        Some(part)
    }

    /// All parts, each before its children.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        (0..self.nodes.len()).map(|index| Part {
            nodes: &self.nodes,
            index,
        })
    }
}

/// What a part consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Content that is not taken apart.
    Leaf,
    /// One or more parts between boundaries.
    Multipart,
    /// A message (`message/rfc822`), the one child.
    Message,
}

/// One part of a message, or the message itself.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    nodes: &'a [Node],
    index: usize,
}

impl<'a> Part<'a> {
    /// Where its header block is, the empty line behind it included.
    pub fn header(&self) -> Range<u64> {
        self.node().header.clone()
    }

    /// Where its body is; the line break before a boundary belongs to the boundary.
    pub fn body(&self) -> Range<u64> {
        self.node().body.clone()
    }

    /// Number of line breaks in the body.
    pub fn lines(&self) -> u64 {
        self.node().lines
    }

    /// Its header block, or the beginning of one that is too long: see [`Part::head_is_complete`].
    pub fn head(&self) -> Head<'a> {
        Head::new(&self.node().head)
    }

    /// Whether [`Part::head`] has every field.
    pub fn head_is_complete(&self) -> bool {
        self.node().head.len() as u64 == self.node().header.end - self.node().header.start
    }

    /// What it consists of.
    pub fn kind(&self) -> Kind {
        self.node().kind
    }

    /// Type and subtype: as declared, `text/plain` where nothing valid is declared or a multipart has no parts,
    /// `application/octet-stream` for a message that is not taken apart.
    pub fn media_type(&self) -> (&'a [u8], &'a [u8]) {
        let node = self.node();
        match node.kind {
            Kind::Leaf if node.declares("multipart", "*") => (b"text", b"plain"),
            Kind::Leaf if node.declares("message", "rfc822") => (b"application", b"octet-stream"),
            _ => (&node.media.0, &node.media.1),
        }
    }

    /// Whether its media type is `kind/subtype`, without regard to case; `*` stands for any subtype.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        matches(self.media_type(), kind, subtype)
    }

    /// The value of its Content-Disposition field: `attachment`, `inline`.
    pub fn disposition(&self) -> Option<Vec<u8>> {
        self.node().disposition()
    }

    /// The parts of a multipart, or the one message inside a message part.
    pub fn children(&self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        let nodes = self.nodes;
        self.node()
            .children
            .iter()
            .map(move |&index| Part { nodes, index })
    }

    /// The message inside a message part.
    pub fn message(&self) -> Option<Part<'a>> {
        (self.kind() == Kind::Message)
            .then(|| self.children().next())
            .flatten()
    }

    /// The beginning of the body, kept for the first plain and the first HTML text of a message only.
    pub(super) fn sample(&self) -> &'a [u8] {
        &self.node().sample
    }

    fn node(&self) -> &'a Node {
        // Indices are those of nodes that exist; the fallback cannot be reached.
        static NONE: Node = Node::at(0, false);
        self.nodes.get(self.index).unwrap_or(&NONE)
    }
}

/// Finds the structure of a message that arrives in pieces of any size, in bounded memory.
///
/// ```
/// use wm_core::content::{Kind, Scanner};
///
/// let mut scanner = Scanner::new();
/// for piece in [&b"Content-Type: multipart/mixed; bound"[..], b"ary=b\r\n\r\n--b\r", b"\n\r\none\r\n--b--\r\n"] {
///     scanner.feed(piece);
/// }
/// let structure = scanner.finish();
/// assert_eq!(structure.root().kind(), Kind::Multipart);
/// assert_eq!(structure.part(&[1]).unwrap().body(), 52..55);
/// ```
#[derive(Clone, Debug)]
pub struct Scanner {
    nodes: Vec<Node>,
    /// The parts being read, the message first.
    open: Vec<Open>,
    /// Whether the innermost open part is still in its header block.
    in_head: bool,
    /// Offset of the next byte, and of the line it is in.
    offset: u64,
    line_start: u64,
    /// The current line, as far as it is needed.
    line: Vec<u8>,
    /// Line breaks before the current line; length of the last of them.
    breaks: u64,
    last_break: u64,
    last_byte: u8,
    heads: usize,
    sampling: Option<usize>,
    sampled: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Open {
    node: usize,
    /// What separates its parts, until the closing delimiter.
    boundary: Option<Vec<u8>>,
    /// Line breaks before its body.
    breaks: u64,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner before the first byte of a message.
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::at(0, false)],
            open: vec![Open {
                node: 0,
                boundary: None,
                breaks: 0,
            }],
            in_head: true,
            offset: 0,
            line_start: 0,
            line: Vec::new(),
            breaks: 0,
            last_break: 0,
            last_byte: 0,
            heads: 0,
            sampling: None,
            sampled: Vec::new(),
        }
    }

    /// Takes the next bytes of the message.
    pub fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            self.keep(piece);
            self.offset += piece.len() as u64;
            let ends = piece.ends_with(b"\n");
            let before = match piece {
                [.., before, _] if ends => *before,
                _ => self.last_byte,
            };
            self.last_byte = piece.last().copied().unwrap_or_default();
            if ends {
                self.end_line(if before == b'\r' { 2 } else { 1 });
            }
        }
    }

    /// Whether the header block of the message has been read to its end.
    pub fn has_head(&self) -> bool {
        self.nodes.len() > 1 || !self.in_head
    }

    /// The structure of what was fed.
    pub fn finish(mut self) -> Structure {
        if self.offset > self.line_start {
            self.end_line(0);
        }
        self.close_to(0, self.offset, self.breaks);
        for node in &mut self.nodes {
            if node.kind == Kind::Multipart && node.children.is_empty() {
                node.kind = Kind::Leaf;
            }
        }
        Structure { nodes: self.nodes }
    }

    /// Keeps of the current line what its end will be judged by: all of a header line, a possible delimiter.
    fn keep(&mut self, piece: &[u8]) {
        let limit = if self.in_head {
            MAX_HEAD
        } else {
            MAX_DELIMITER
        };
        let fresh = self.offset == self.line_start;
        if self.in_head || !self.line.is_empty() || (fresh && piece.starts_with(b"-")) {
            let room = limit.saturating_sub(self.line.len());
            self.line
                .extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
        if let Some(node) = self.sampling.and_then(|index| self.nodes.get_mut(index)) {
            let room = MAX_SAMPLE.saturating_sub(node.sample.len());
            node.sample
                .extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
    }

    fn end_line(&mut self, line_break: u64) {
        let line = std::mem::take(&mut self.line);
        let whole = line.len() as u64 == self.offset - self.line_start;
        match self.delimiter(&line).filter(|_| whole) {
            Some((level, closing)) => self.end_part(level, closing),
            None if self.in_head => self.head_line(&line, line_break),
            None => {}
        }
        self.line = line;
        self.line.clear();
        self.line_start = self.offset;
        self.last_break = line_break;
        self.breaks += u64::from(line_break > 0);
        // A body begins behind this line break.
        if let Some(open) = self.open.last_mut().filter(|_| !self.in_head)
            && self
                .nodes
                .get(open.node)
                .is_some_and(|node| node.body.start == self.offset)
        {
            open.breaks = self.breaks;
        }
    }

    /// The open part whose delimiter this line is, and whether it is the closing one. Inner parts come first, so
    /// that a boundary used twice closes the inner part.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let text = line.strip_prefix(b"--")?.trim_ascii_end();
        self.open
            .iter()
            .enumerate()
            .rev()
            .find_map(|(level, open)| {
                let boundary = open.boundary.as_deref()?;
                match text.strip_prefix(boundary)? {
                    b"" => Some((level, false)),
                    b"--" => Some((level, true)),
                    _ => None,
                }
            })
    }

    /// Ends the part in front of a delimiter of the multipart at `level`, and begins the next one.
    fn end_part(&mut self, level: usize, closing: bool) {
        if !closing && self.nodes.len() >= MAX_PARTS {
            return;
        }
        let line_break = u64::from(self.last_break > 0);
        self.close_to(
            level + 1,
            self.line_start - self.last_break,
            self.breaks - line_break,
        );
        let Some(open) = self.open.get_mut(level) else {
            return;
        };
        if closing {
            open.boundary = None;
        } else {
            let parent = open.node;
            self.begin_part(parent);
        }
    }

    fn begin_part(&mut self, parent: usize) {
        let index = self.nodes.len();
        let Some(node) = self.nodes.get_mut(parent) else {
            return;
        };
        node.children.push(index);
        let in_digest = node.declares("multipart", "digest");
        self.nodes.push(Node::at(self.offset, in_digest));
        self.open.push(Open {
            node: index,
            boundary: None,
            breaks: 0,
        });
        self.in_head = true;
    }

    /// Closes open parts until `depth` are left. `end` and `breaks` are those before the closing delimiter.
    fn close_to(&mut self, depth: usize, mut end: u64, mut breaks: u64) {
        while self.open.len() > depth {
            let Some(open) = self.open.pop() else { return };
            let Some(node) = self.nodes.get_mut(open.node) else {
                return;
            };
            if std::mem::take(&mut self.in_head) {
                // The header block was not ended: it is all there is.
                breaks += u64::from(node.header.start > end);
                node.header.end = end.max(node.header.start);
                end = node.header.end;
                node.body = end..end;
                node.head.truncate(
                    usize::try_from(node.header.end - node.header.start).unwrap_or(usize::MAX),
                );
                node.read_media();
                continue;
            }
            // The line break before a delimiter may be the one that ended a header block: it is in the bodies around.
            breaks += u64::from(node.body.start > end);
            end = end.max(node.body.start);
            node.body.end = end;
            node.lines = breaks.saturating_sub(open.breaks);
            node.sample
                .truncate(usize::try_from(node.body.end - node.body.start).unwrap_or(usize::MAX));
        }
        self.sampling = None;
    }

    fn head_line(&mut self, line: &[u8], line_break: u64) {
        let Some(index) = self.open.last().map(|open| open.node) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        let room = MAX_HEAD
            .saturating_sub(node.head.len())
            .min(MAX_HEADS.saturating_sub(self.heads));
        let contiguous = node.header.start + node.head.len() as u64 == self.line_start;
        if line.len() <= room && contiguous {
            node.head.extend_from_slice(line);
            self.heads += line.len();
        }
        if self.offset - self.line_start == line_break {
            node.header.end = self.offset;
            node.body = self.offset..self.offset;
            self.in_head = false;
            self.begin_body(index);
        }
    }

    /// Decides from the header block what the body of the innermost open part is.
    fn begin_body(&mut self, index: usize) {
        let room = self.open.len() < MAX_DEPTH && self.nodes.len() < MAX_PARTS;
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        node.read_media();
        let boundary = node.boundary().filter(|_| room);
        if boundary.is_some() {
            node.kind = Kind::Multipart;
            if let Some(open) = self.open.last_mut() {
                open.boundary = boundary;
            }
        } else if room && node.declares("message", "rfc822") && !node.is_encoded() {
            node.kind = Kind::Message;
            // The message begins behind the line break that is being ended.
            if let Some(open) = self.open.last_mut() {
                open.breaks = self.breaks + 1;
            }
            self.begin_part(index);
        } else if !node
            .disposition()
            .is_some_and(|d| d.eq_ignore_ascii_case(b"attachment"))
        {
            let subtype = ["plain", "html"].into_iter().find(|subtype| {
                node.declares("text", subtype)
                    || (*subtype == "plain" && node.declares("multipart", "*"))
            });
            if let Some(subtype) = subtype.filter(|subtype| !self.sampled.contains(subtype)) {
                self.sampled.push(subtype);
                self.sampling = Some(index);
            }
        }
    }
}

const MAX_DELIMITER: usize = MAX_BOUNDARY + 64;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    header: Range<u64>,
    body: Range<u64>,
    lines: u64,
    head: Vec<u8>,
    /// Type and subtype as declared, or the default.
    media: (Vec<u8>, Vec<u8>),
    kind: Kind,
    children: Vec<usize>,
    sample: Vec<u8>,
    /// Whether the part's default type is that of a digest (RFC 2046 §5.1.5).
    in_digest: bool,
}

impl Node {
    const fn at(offset: u64, in_digest: bool) -> Self {
        Self {
            header: offset..offset,
            body: offset..offset,
            lines: 0,
            head: Vec::new(),
            media: (Vec::new(), Vec::new()),
            kind: Kind::Leaf,
            children: Vec::new(),
            sample: Vec::new(),
            in_digest,
        }
    }

    /// Takes type and subtype from the Content-Type field, or the default (RFC 2045 §5.2).
    fn read_media(&mut self) {
        let field = Head::new(&self.head)
            .first("content-type")
            .map(|field| field.unfolded());
        let (kind, subtype): (&[u8], &[u8]) = match field
            .as_deref()
            .map(Parameterised::parse)
            .and_then(|field| field.media_type())
        {
            Some(media) => media,
            None if field.is_none() && self.in_digest => (b"message", b"rfc822"),
            None => (b"text", b"plain"),
        };
        self.media = (kind.to_vec(), subtype.to_vec());
    }

    fn declares(&self, kind: &str, subtype: &str) -> bool {
        matches((&self.media.0, &self.media.1), kind, subtype)
    }

    /// The boundary of a multipart, if it has a usable one.
    fn boundary(&self) -> Option<Vec<u8>> {
        if !self.declares("multipart", "*") {
            return None;
        }
        let field = Head::new(&self.head).first("content-type")?.unfolded();
        let parsed = Parameterised::parse(&field);
        let boundary = match parsed.parameter("boundary") {
            Some(boundary) => Cow::Borrowed(boundary),
            None => parsed.decoded("boundary")?.into_bytes().into(),
        };
        let boundary = boundary.trim_ascii_end();
        (!boundary.is_empty() && boundary.len() <= MAX_BOUNDARY).then(|| boundary.to_vec())
    }

    /// Whether the body has to be decoded before it can be read.
    fn is_encoded(&self) -> bool {
        let encoding = Head::new(&self.head)
            .first("content-transfer-encoding")
            .map(|field| field.unfolded());
        encoding.is_some_and(|e| {
            let encoding = Parameterised::parse(&e);
            encoding.is("base64") || encoding.is("quoted-printable")
        })
    }

    fn disposition(&self) -> Option<Vec<u8>> {
        let field = Head::new(&self.head)
            .first("content-disposition")?
            .unfolded();
        Some(Parameterised::parse(&field).value().to_vec())
    }
}

fn matches(media: (&[u8], &[u8]), kind: &str, subtype: &str) -> bool {
    media.0.eq_ignore_ascii_case(kind.as_bytes())
        && (subtype == "*" || media.1.eq_ignore_ascii_case(subtype.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3501 §6.4.5: the complex message with its part specifiers.
    const COMPLEX: &str = "\
Subject: complex\r\nContent-Type: multipart/mixed; boundary=A\r\n\r\npreamble\r\n\
--A\r\n\r\nplain\r\n\
--A\r\nContent-Type: application/octet-stream\r\n\r\n\r\n\
--A\r\nContent-Type: message/rfc822\r\n\r\n\
Subject: three\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n\
--B\r\n\r\n3.1\r\n--B\r\nContent-Type: application/octet-stream\r\n\r\n3.2\r\n--B--\r\nepilogue\r\n\
--A\r\nContent-Type: multipart/mixed; boundary=\"C C\"\r\n\r\n\
--C C\r\nContent-Type: image/gif\r\n\r\nGIF\r\n\
--C C \r\nContent-Type: message/rfc822\r\n\r\n\
Subject: 4.2\r\nContent-Type: multipart/mixed; boundary=D\r\n\r\n\
--D\r\n\r\n4.2.1\r\n\r\n--D\r\nContent-Type: multipart/alternative; boundary=E\r\n\r\n\
--E\r\n\r\n4.2.2.1\r\n--E\r\nContent-Type: text/richtext\r\n\r\n4.2.2.2\r\n--E--\r\n--D--\r\n\
--A--\r\n";

    fn body(message: &str, number: &[u32]) -> Option<String> {
        let structure = Structure::of(message.as_bytes());
        structure.part(number).map(|part| cut(message, part.body()))
    }

    fn cut(message: &str, range: Range<u64>) -> String {
        message[range.start as usize..range.end as usize].to_owned()
    }

    #[test]
    fn part_numbers_of_rfc_3501_find_their_bodies() {
        for (number, expected) in [
            (&[1][..], "plain"),
            (&[2], ""),
            (&[3, 1], "3.1"),
            (&[3, 2], "3.2"),
            (&[4, 1], "GIF"),
            (&[4, 2, 1], "4.2.1\r\n"),
            (&[4, 2, 2, 1], "4.2.2.1"),
            (&[4, 2, 2, 2], "4.2.2.2"),
        ] {
            assert_eq!(
                body(COMPLEX, number).as_deref(),
                Some(expected),
                "{number:?}"
            );
        }
        for number in [&[0][..], &[5], &[1, 1], &[3, 3], &[4, 2, 2, 3]] {
            assert_eq!(body(COMPLEX, number), None, "{number:?}");
        }
        let structure = Structure::of(COMPLEX.as_bytes());
        let inner = structure.part(&[4, 2]).unwrap().message().unwrap();
        assert_eq!(
            inner.head().first("subject").unwrap().unfolded().as_ref(),
            b"4.2"
        );
        assert!(cut(COMPLEX, inner.body()).ends_with("--D--"));
        assert_eq!(structure.part(&[4, 2, 1]).unwrap().lines(), 1);
        assert_eq!(structure.part(&[3]).unwrap().lines(), 11);
    }

    #[test]
    fn a_message_that_arrives_byte_by_byte_has_the_same_structure() {
        for message in [COMPLEX.to_owned(), COMPLEX.replace("\r\n", "\n")] {
            let mut scanner = Scanner::new();
            message
                .as_bytes()
                .chunks(1)
                .for_each(|byte| scanner.feed(byte));
            assert_eq!(scanner.finish(), Structure::of(message.as_bytes()));
        }
    }

    #[test]
    fn every_prefix_of_a_message_has_a_structure_within_its_bytes() {
        for end in 0..COMPLEX.len() {
            let structure = Structure::of(&COMPLEX.as_bytes()[..end]);
            assert_eq!(structure.root().body().end, end as u64);
            for part in structure.parts() {
                let (header, body) = (part.header(), part.body());
                assert!(
                    header.start <= header.end
                        && header.end == body.start
                        && body.start <= body.end,
                    "{end}"
                );
                assert!(part.head_is_complete());
                for child in part.children() {
                    assert!(
                        child.header().start >= body.start && child.body().end <= body.end,
                        "{end}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_delimiter_may_follow_the_header_at_once() {
        let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nA: 1\r\n--b\r\n--b\r\n\r\n--b--";
        let structure = Structure::of(message.as_bytes());
        let headers: Vec<_> = structure
            .root()
            .children()
            .map(|part| cut(message, part.header()))
            .collect();
        assert_eq!(headers, ["A: 1", "", "\r\n"]);
    }

    /// The break that ends the inner header block stands before the delimiter too, and is in the outer body.
    #[test]
    fn lines_are_the_breaks_of_the_body_even_where_a_delimiter_follows_a_header() {
        let message =
            "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\n--b--";
        let structure = Structure::of(message.as_bytes());
        let part = structure.part(&[1]).unwrap();
        assert_eq!(cut(message, part.body()), "Subject: x\r\n\r\n");
        assert_eq!(part.lines(), 2);
    }

    #[test]
    fn malformed_multiparts_are_text() {
        for head in [
            "multipart/mixed",
            "multipart/mixed; boundary=\"\"",
            "multipart/mixed; boundary=never",
        ] {
            let message = format!("Content-Type: {head}\r\n\r\nhello\r\n");
            let structure = Structure::of(message.as_bytes());
            assert_eq!(structure.root().kind(), Kind::Leaf);
            assert!(structure.root().is("text", "plain"));
            assert_eq!(body(&message, &[1]).as_deref(), Some("hello\r\n"));
        }
    }

    #[test]
    fn an_inner_boundary_that_extends_the_outer_one_is_another() {
        let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n\
            --b\r\nContent-Type: multipart/mixed; boundary=b2\r\n\r\n--b2\r\n\r\ninner\r\n--b2--\r\n--b--\r\n";
        assert_eq!(body(message, &[1, 1]).as_deref(), Some("inner"));
    }

    #[test]
    fn digest_parts_are_messages_by_default() {
        let message = "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\nhi\r\n--b--\r\n";
        let structure = Structure::of(message.as_bytes());
        assert_eq!(structure.part(&[1]).unwrap().kind(), Kind::Message);
        assert_eq!(body(message, &[1, 1]).as_deref(), Some("hi"));
    }

    #[test]
    fn an_encoded_message_is_a_file() {
        let message =
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n";
        let structure = Structure::of(message.as_bytes());
        assert!(structure.root().is("application", "octet-stream"));
    }

    #[test]
    fn nesting_parts_and_headers_are_bounded() {
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
        assert_eq!(Structure::of(nested.as_bytes()).parts().count(), MAX_DEPTH);

        let many = [
            "Content-Type: multipart/mixed; boundary=b\n\n",
            &"--b\n\n".repeat(100_000),
        ]
        .concat();
        assert_eq!(Structure::of(many.as_bytes()).parts().count(), MAX_PARTS);

        let long = ["A: 1\n", &"B: 2\n".repeat(1_000_000), "\nbody"].concat();
        let structure = Structure::of(long.as_bytes());
        assert!(!structure.root().head_is_complete());
        assert!(structure.nodes[0].head.len() <= MAX_HEAD);
        assert_eq!(body(&long, &[1]).as_deref(), Some("body"));

        let line = ["A: ", &"x".repeat(1_000_000), "\n\nbody"].concat();
        assert_eq!(body(&line, &[1]).as_deref(), Some("body"));
    }

    proptest::proptest! {
        #[test]
        fn any_sequence_of_lines_has_a_structure(pieces in proptest::collection::vec(piece(), 0..40)) {
            let message = pieces.concat();
            let structure = Structure::of(&message);
            let end = message.len() as u64;
            proptest::prop_assert_eq!(structure.root().body().end, end);
            for part in structure.parts() {
                let (header, body) = (part.header(), part.body());
                proptest::prop_assert!(header.start <= header.end && header.end == body.start && body.start <= body.end);
                let octets = &message[body.start as usize..body.end as usize];
                let breaks = octets.iter().filter(|&&octet| octet == b'\n').count();
                proptest::prop_assert_eq!(part.lines(), breaks as u64);
                let mut at = body.start;
                for child in part.children() {
                    proptest::prop_assert!(child.header().start >= at && child.body().end <= body.end);
                    at = child.body().end;
                }
            }
            let mut scanner = Scanner::new();
            message.chunks(3).for_each(|piece| scanner.feed(piece));
            proptest::prop_assert_eq!(scanner.finish(), structure);
        }
    }

    fn piece() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
        use proptest::prelude::*;
        let lines: [&[u8]; 13] = [
            b"\r\n",
            b"\n",
            b"\r",
            b"--a",
            b"--b--",
            b"--a--\r\n",
            b"--b\n",
            b" \r\n",
            b"Content-Type: multipart/mixed; boundary=a\r\n",
            b"Content-Type: multipart/digest; boundary=b\n",
            b"Content-Type: message/rfc822\r\n\r\n",
            b"Content-Transfer-Encoding: base64\r\n",
            b"text\r\n",
        ];
        prop_oneof![
            9 => (0..lines.len()).prop_map(move |n| lines[n].to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..20),
        ]
    }
}
