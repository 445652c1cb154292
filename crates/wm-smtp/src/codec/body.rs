//! Message bodies on the wire: the transparency of DATA (RFC 5321 §4.5.2) and the octet counts of
//! BDAT (RFC 3030), both with strict line ends.
//!
//! Servers that disagree about what ends a message can be made to see one message as two (SMTP
//! smuggling, CVE-2023-51764 and its family). Here a line is what ends in CRLF and nothing else is,
//! so only CRLF `.` CRLF ends a message, and only a `.` behind CRLF is stuffing.

use bytes::{Buf, Bytes};
use memchr::{memchr, memchr2};

/// What to do with a message that has CR or LF outside of CRLF (forbidden by RFC 5321 §2.3.8).
/// Neither choice lets such an octet end the message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BareNewline {
    /// Read the message to its real end and refuse it. No hop behind this server can be confused
    /// by it.
    #[default]
    Reject,
    /// Repair it: a bare LF becomes CRLF, a bare CR becomes a space (which, unlike a line break,
    /// cannot move the border between header and body).
    Normalize,
}

/// What a [`BodyDecoder`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// The next octets of the message.
    Chunk(Bytes),
    /// The end of the message. Only a dot-stuffed body knows its own end.
    End {
        /// The message held a bare newline and is to be refused; chunks stopped where it stood.
        refused: bool,
    },
}

/// Decodes a body piece by piece, handing out slices of its input rather than copies.
///
/// ```
/// use bytes::Bytes;
/// use wm_smtp::codec::{BareNewline, BodyDecoder, Decoded};
///
/// let mut decoder = BodyDecoder::dot_stuffed(BareNewline::Reject);
/// let mut input = Bytes::from_static(b"Subject: x\r\n\r\n..dots\r\n.\r\nQUIT\r\n");
/// let mut message = Vec::new();
/// while let Some(Decoded::Chunk(chunk)) = decoder.decode(&mut input) {
///     message.extend_from_slice(&chunk);
/// }
/// assert_eq!(message, b"Subject: x\r\n\r\n.dots\r\n");
/// assert_eq!(&input[..], b"QUIT\r\n");
/// ```
#[derive(Debug)]
pub struct BodyDecoder {
    dots: bool,
    policy: BareNewline,
    at: At,
    refused: bool,
}

/// Where in the stream the decoder stands. A CR or a dot that may turn out to be part of a line end
/// is held back until the octets behind it are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    Text,
    Cr,
    Dot,
    DotCr,
}

impl BodyDecoder {
    /// A body as DATA sends it.
    #[must_use]
    pub const fn dot_stuffed(policy: BareNewline) -> Self {
        Self {
            dots: true,
            policy,
            at: At::LineStart,
            refused: false,
        }
    }

    /// A body as BDAT sends it: the caller passes exactly the announced octets, chunk after chunk,
    /// and calls [`finish`](Self::finish) behind the last.
    #[must_use]
    pub const fn counted(policy: BareNewline) -> Self {
        Self {
            dots: false,
            policy,
            at: At::LineStart,
            refused: false,
        }
    }

    /// Takes octets off `input` and gives what they decode to; `None` when `input` is used up. It
    /// stops behind the end of the message, and what is left in `input` is not part of it.
    pub fn decode(&mut self, input: &mut Bytes) -> Option<Decoded> {
        loop {
            let chunk = match (self.at, *input.first()?) {
                (At::Cr, b'\n') => self.take(input, At::LineStart, b"\r\n"),
                (At::Cr, _) => self.bare_cr(),
                (At::LineStart, b'.') if self.dots => self.take(input, At::Dot, b""),
                (At::Dot, b'\r') => self.take(input, At::DotCr, b""),
                (At::DotCr, b'\n') => {
                    self.take(input, At::LineStart, b"");
                    return Some(Decoded::End {
                        refused: self.refused,
                    });
                }
                (At::DotCr, _) => self.bare_cr(),
                (At::Dot | At::LineStart | At::Text, _) => self.text(input),
            };
            if !chunk.is_empty() && !self.refused {
                return Some(Decoded::Chunk(chunk));
            }
        }
    }

    /// Ends a counted body: what was held back, and whether the message is to be refused.
    pub fn finish(&mut self) -> (Bytes, bool) {
        let rest = if self.at == At::Cr {
            self.bare_cr()
        } else {
            Bytes::new()
        };
        (rest, self.refused)
    }

    /// Whether a bare newline has been met, so that the message is to be refused.
    #[must_use]
    pub const fn refused(&self) -> bool {
        self.refused
    }

    /// As many whole lines as can be handed out in one slice.
    fn text(&mut self, input: &mut Bytes) -> Bytes {
        let mut from = 0;
        self.at = At::Text;
        while let Some(found) = input
            .get(from..)
            .and_then(|rest| memchr2(b'\r', b'\n', rest))
        {
            let here = from + found;
            match (input.get(here), input.get(here + 1)) {
                (Some(b'\r'), Some(b'\n')) => from = here + 2,
                (Some(b'\r'), None) => {
                    self.at = At::Cr;
                    let chunk = input.split_to(here);
                    input.advance(1);
                    return chunk;
                }
                _ => match self.policy {
                    BareNewline::Reject => {
                        self.refused = true;
                        from = here + 1;
                        continue;
                    }
                    BareNewline::Normalize if here > 0 => return input.split_to(here),
                    BareNewline::Normalize => return repaired(input.get_u8()),
                },
            }
            if self.dots && matches!(input.get(from), None | Some(b'.')) {
                self.at = At::LineStart;
                return input.split_to(from);
            }
        }
        input.split_to(input.len())
    }

    fn take(&mut self, input: &mut Bytes, next: At, decoded: &'static [u8]) -> Bytes {
        input.advance(1);
        self.at = next;
        Bytes::from_static(decoded)
    }

    fn bare_cr(&mut self) -> Bytes {
        self.at = At::Text;
        match self.policy {
            BareNewline::Reject => {
                self.refused = true;
                Bytes::new()
            }
            BareNewline::Normalize => repaired(b'\r'),
        }
    }
}

/// Encodes a body as DATA carries it: a dot is put before a line's own, and the end mark behind the
/// last line. The message must have no bare CR or LF: a peer may take them for line ends.
#[derive(Debug)]
pub struct BodyEncoder {
    at: At,
}

impl Default for BodyEncoder {
    fn default() -> Self {
        Self { at: At::LineStart }
    }
}

impl BodyEncoder {
    /// Takes octets off `message` and gives them as they go over the wire, in slices of the input;
    /// `None` when `message` is used up.
    pub fn encode(&mut self, message: &mut Bytes) -> Option<Bytes> {
        if self.at == At::LineStart && message.first()? == &b'.' {
            self.at = At::Text;
            return Some(Bytes::from_static(b"."));
        }
        let mut from = 0;
        while let Some(end) = message.get(from..).and_then(|rest| memchr(b'\n', rest)) {
            from += end + 1;
            if message.get(from) == Some(&b'.') {
                break;
            }
        }
        let stuff = message.get(from) == Some(&b'.') && from > 0;
        let slice = message.split_to(if stuff { from } else { message.len() });
        self.at = if slice.last()? == &b'\n' {
            At::LineStart
        } else {
            At::Text
        };
        Some(slice)
    }

    /// The end mark, with the CRLF that a message without a last one lacks.
    #[must_use]
    pub fn finish(self) -> &'static [u8] {
        if self.at == At::LineStart {
            b".\r\n"
        } else {
            b"\r\n.\r\n"
        }
    }
}

fn repaired(bare: u8) -> Bytes {
    Bytes::from_static(if bare == b'\n' { b"\r\n" } else { b" " })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a whole stream decodes to: the message, whether it ended, whether it is refused, and
    /// what was left behind the end.
    fn decode(policy: BareNewline, pieces: &[&[u8]]) -> (Vec<u8>, Option<bool>, Vec<u8>) {
        let mut decoder = BodyDecoder::dot_stuffed(policy);
        let mut message = Vec::new();
        let mut ended = None;
        let mut left = Vec::new();
        for piece in pieces {
            let mut input = Bytes::copy_from_slice(piece);
            while ended.is_none() {
                match decoder.decode(&mut input) {
                    Some(Decoded::Chunk(chunk)) => message.extend_from_slice(&chunk),
                    Some(Decoded::End { refused }) => ended = Some(refused),
                    None => break,
                }
            }
            left.extend_from_slice(&input);
        }
        (message, ended, left)
    }

    /// Everything that some server has taken for the end of a message.
    const SMUGGLED: [&[u8]; 13] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\n.\r",
        b"\r.\r",
        b"\r.\n",
        b"\r.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r\n\x00.\r\n",
        b"\r\n.\x00\r\n",
        b"\r\n.\r\r\n",
        b"\r\r\n.\x0b\r\n",
        b"\x85.\x85",
    ];

    #[test]
    fn nothing_but_crlf_dot_crlf_ends_a_message() {
        for smuggled in SMUGGLED {
            let unended = [b"a", smuggled, b"MAIL FROM:<>\r\n"].concat();
            let ended = [&unended[..], b".\r\nQUIT"].concat();
            let clean = !String::from_utf8_lossy(&unended)
                .replace("\r\n", "")
                .contains(['\r', '\n']);
            for policy in [BareNewline::Reject, BareNewline::Normalize] {
                for piece in [1, 100] {
                    let decode =
                        |stream: &[u8]| decode(policy, &stream.chunks(piece).collect::<Vec<_>>());
                    let case = format!("{} in {piece}, {policy:?}", smuggled.escape_ascii());
                    let (_, end, left) = decode(&unended);
                    assert_eq!((end, left), (None, vec![]), "{case}");
                    let (message, end, left) = decode(&ended);
                    let refused = !clean && policy == BareNewline::Reject;
                    assert_eq!((end, left), (Some(refused), b"QUIT".to_vec()), "{case}");
                    assert!(refused || message.ends_with(b"MAIL FROM:<>\r\n"), "{case}");
                }
            }
        }
    }

    #[test]
    fn normalized_text_has_crlf_alone() {
        let (message, ended, _) = decode(BareNewline::Normalize, &[b"a\nb\rc\r\r\n\n.d\r\n.\r\n"]);
        assert_eq!(
            message.escape_ascii().to_string(),
            "a\\r\\nb c \\r\\n\\r\\n.d\\r\\n"
        );
        assert_eq!(ended, Some(false));
    }

    #[test]
    fn a_dot_is_taken_from_every_line_that_starts_with_one() {
        let (message, ..) = decode(BareNewline::Reject, &[b"..\r\n...\r\n.x\r\ny.\r\n.\r\n"]);
        assert_eq!(message, b".\r\n..\r\nx\r\ny.\r\n");
    }

    #[test]
    fn a_message_may_be_empty() {
        assert_eq!(
            decode(BareNewline::Reject, &[b".\r\n"]),
            (vec![], Some(false), vec![])
        );
    }

    #[test]
    fn a_body_is_handed_out_in_large_slices() {
        let line = b"An ordinary line of an ordinary message, with nothing special in it.\r\n";
        let mut input = Bytes::from(line.repeat(1000));
        let whole = input.clone();
        let mut decoder = BodyDecoder::dot_stuffed(BareNewline::Reject);
        assert_eq!(decoder.decode(&mut input), Some(Decoded::Chunk(whole)));
    }

    #[test]
    fn a_counted_body_knows_no_dots() {
        let mut decoder = BodyDecoder::counted(BareNewline::Reject);
        let mut input = Bytes::from_static(b".\r\n..x\r\n.\r\n");
        assert_eq!(
            decoder.decode(&mut input),
            Some(Decoded::Chunk(".\r\n..x\r\n.\r\n".into()))
        );
        assert_eq!(decoder.finish(), (Bytes::new(), false));
    }

    #[test]
    fn a_counted_body_may_not_end_in_half_a_line_end() {
        let mut decoder = BodyDecoder::counted(BareNewline::Reject);
        assert_eq!(
            decoder.decode(&mut "x\r".into()),
            Some(Decoded::Chunk("x".into()))
        );
        assert_eq!(decoder.finish(), (Bytes::new(), true));
    }

    /// Octets as hostile as they come: mostly line ends and dots.
    fn octets() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"\r\n.ax\0".to_vec()), 0..60)
    }

    fn cut(octets: &[u8], mut at: Vec<usize>) -> Vec<&[u8]> {
        at.iter_mut().for_each(|at| *at %= octets.len() + 1);
        at.extend([0, octets.len()]);
        at.sort_unstable();
        at.windows(2)
            .map(|ends| &octets[ends[0]..ends[1]])
            .collect()
    }

    proptest! {
        #[test]
        fn pieces_decode_as_the_whole(
            octets in octets(),
            at in prop::collection::vec(any::<usize>(), 0..8),
            normalize: bool,
        ) {
            let policy = if normalize { BareNewline::Normalize } else { BareNewline::Reject };
            let whole = decode(policy, &[&octets]);
            let pieces = decode(policy, &cut(&octets, at));
            prop_assert_eq!(&whole.1, &pieces.1);
            if whole.1 == Some(false) {
                prop_assert_eq!(whole, pieces);
            }
        }

        /// The decoder against the rule said in one line: the message ends at the first CRLF `.`
        /// CRLF, and is refused when a CR or LF stands outside of CRLF before that.
        #[test]
        fn the_end_is_where_the_rule_says(octets in octets()) {
            let framed = [b"\r\n", &octets[..]].concat();
            let end = framed.windows(5).position(|window| window == b"\r\n.\r\n");
            let (_, ended, left) = decode(BareNewline::Reject, &[&octets]);
            let expected = end.map(|end| {
                let text = &framed[..end + 5];
                let rest = String::from_utf8_lossy(text).replace("\r\n", "");
                rest.contains(['\r', '\n'])
            });
            prop_assert_eq!(ended, expected);
            prop_assert_eq!(left, end.map_or(&[][..], |end| &framed[end + 5..]));
        }

        #[test]
        fn what_is_encoded_decodes_to_itself(
            lines in prop::collection::vec("[.a]{0,4}", 0..12),
            at in prop::collection::vec(any::<usize>(), 0..8),
        ) {
            let message: String = lines.iter().flat_map(|line| [line, "\r\n"]).collect();
            let mut encoder = BodyEncoder::default();
            let mut wire = Vec::new();
            for piece in cut(message.as_bytes(), at) {
                let mut piece = Bytes::copy_from_slice(piece);
                while let Some(slice) = encoder.encode(&mut piece) {
                    wire.extend_from_slice(&slice);
                }
            }
            wire.extend_from_slice(encoder.finish());
            prop_assert_eq!(
                decode(BareNewline::Reject, &[&wire]),
                (message.into_bytes(), Some(false), vec![])
            );
        }
    }
}
