//! Command lines out of a byte stream, whatever pieces it arrives in, in bounded memory.

use bytes::{Buf, Bytes};
use memchr::memchr;

/// What stands at the front of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, without its CRLF.
    Complete(Bytes),
    /// A line that ended in LF alone, without it.
    BareLf(Bytes),
    /// A line longer than the limit; none of it is kept.
    TooLong,
}

/// Collects one line at a time.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    partial: Vec<u8>,
    too_long: bool,
}

impl LineReader {
    /// Takes the next line off `input`; `None` when it is not complete yet. `limit` bounds the line
    /// with its CRLF, and what is kept of an incomplete one.
    pub(crate) fn next(&mut self, input: &mut Bytes, limit: usize) -> Option<Line> {
        let end = memchr(b'\n', input);
        let piece = input.split_to(end.unwrap_or(input.len()));
        if self.partial.len() + piece.len() >= limit {
            self.too_long = true;
            self.partial = Vec::new();
        }
        if end.is_none() {
            if !self.too_long {
                self.partial.extend_from_slice(&piece);
            }
            return None;
        }
        input.advance(1);
        if std::mem::take(&mut self.too_long) {
            return Some(Line::TooLong);
        }
        Some(classify(self.join(piece)))
    }

    fn join(&mut self, piece: Bytes) -> Bytes {
        if self.partial.is_empty() {
            return piece;
        }
        self.partial.extend_from_slice(&piece);
        std::mem::take(&mut self.partial).into()
    }
}

fn classify(mut line: Bytes) -> Line {
    if line.last() != Some(&b'\r') {
        return Line::BareLf(line);
    }
    line.truncate(line.len() - 1);
    Line::Complete(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&'static [u8]], limit: usize) -> Vec<Line> {
        let mut reader = LineReader::default();
        let mut lines = Vec::new();
        for piece in pieces {
            let mut input = Bytes::from_static(piece);
            while let Some(line) = reader.next(&mut input, limit) {
                lines.push(line);
            }
            assert!(
                reader.partial.len() < limit,
                "kept {}",
                reader.partial.len()
            );
        }
        lines
    }

    #[test]
    fn a_line_may_arrive_in_any_pieces() {
        let whole = lines(&[b"NOOP\r\nQUIT\r\n"], 512);
        assert_eq!(
            whole,
            [Line::Complete("NOOP".into()), Line::Complete("QUIT".into())]
        );
        assert_eq!(lines(&[b"NO", b"OP\r", b"\nQUIT", b"\r\n"], 512), whole);
    }

    #[test]
    fn the_limit_includes_the_crlf_however_the_line_arrives() {
        assert_eq!(
            lines(&[b"123456\r\n"], 8),
            [Line::Complete("123456".into())]
        );
        for pieces in [
            &[&b"1234567\r\nNOOP\r\n"[..]][..],
            &[b"1234567", b"\r\nNOOP\r\n"],
        ] {
            assert_eq!(
                lines(pieces, 8),
                [Line::TooLong, Line::Complete("NOOP".into())]
            );
        }
    }

    #[test]
    fn a_line_feed_alone_ends_a_line_but_is_reported() {
        assert_eq!(lines(&[b"NOOP\n"], 512), [Line::BareLf("NOOP".into())]);
        assert_eq!(lines(&[b"\n"], 512), [Line::BareLf("".into())]);
    }

    #[test]
    fn a_carriage_return_alone_ends_nothing() {
        assert_eq!(
            lines(&[b"NOOP\rQUIT\r\n"], 512),
            [Line::Complete("NOOP\rQUIT".into())]
        );
    }
}
