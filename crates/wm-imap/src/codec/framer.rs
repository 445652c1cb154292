//! Finds where commands, literals and continuation lines begin and end, before anything is parsed
//! (RFC 3501 §2.2.1, RFC 7888).

/// Longest literal size that is counted; a larger number is read as this one.
const MAX_COUNT: u64 = u32::MAX as u64;

/// Cuts what a client sends into frames.
///
/// A command is kept in memory up to a limit, its literals included. What is longer is passed over
/// and answered once ([`Frame::Oversized`]), and the next command is read as usual: no input
/// desynchronises the stream or grows a buffer. The message literal of APPEND is not kept at all but
/// handed on in pieces.
///
/// ```
/// use wm_imap::codec::{Frame, Framer};
///
/// let mut framer = Framer::new(1024);
/// let mut input = &b"a1 NOOP\r\na2 LOGIN {5}\r\n"[..];
/// assert_eq!(framer.next(&mut input), Some(Frame::Command(b"a1 NOOP\r\n".to_vec())));
/// assert_eq!(framer.next(&mut input), Some(Frame::Continue));
/// let mut input = &b"alice pw\r\n"[..];
/// assert_eq!(framer.next(&mut input), Some(Frame::Command(b"a2 LOGIN {5}\r\nalice pw\r\n".to_vec())));
/// assert_eq!(framer.next(&mut input), None);
/// ```
#[derive(Debug)]
pub struct Framer {
    max_command: usize,
    state: State,
    /// The command so far.
    buffer: Vec<u8>,
    /// Where its current line begins.
    line: usize,
}

/// A piece of what a client sends.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// A whole command with its literals and its last line break, ready for
    /// [`Request::parse`](super::Request::parse).
    Command(Vec<u8>),
    /// The client waits for a continuation request before it sends a literal of the command.
    Continue,
    /// An APPEND command up to its message. Answer with [`Framer::accept`] or [`Framer::refuse`].
    Append {
        /// The command with an empty message in place of the real one, ready for parsing.
        command: Vec<u8>,
        /// Octets of the message.
        size: u64,
        /// Whether the client waits for a continuation request. If so and it is refused, the message is
        /// not sent.
        synchronising: bool,
    },
    /// A piece of the message of an accepted APPEND.
    Piece(&'a [u8]),
    /// The APPEND command ended: as it should, or with something behind the message.
    AppendEnd {
        /// Whether nothing but a line break followed the message.
        well_formed: bool,
    },
    /// A line that was asked for with [`Framer::expect_line`], with its line break.
    Line(Vec<u8>),
    /// A command or line was longer than the limit and has been passed over.
    Oversized {
        /// The beginning of the command, which holds its tag.
        beginning: Vec<u8>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a line of a command.
    Command,
    /// In a literal of a command: octets still to come.
    Literal(u64),
    /// Before the message of an APPEND that has not been decided on.
    Undecided { size: u64, synchronising: bool },
    /// In the message of an accepted APPEND.
    Message(u64),
    /// Behind the message of an APPEND.
    MessageTail,
    /// In a line that is no command.
    Line,
    /// In a line that is passed over.
    Skip { then: Report },
    /// In a literal that is passed over, within a command that is passed over.
    SkipLiteral { left: u64, then: Report },
}

/// What is said at the end of what is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    Nothing,
    Oversized,
    AppendEnd,
}

impl Framer {
    /// A framer that keeps at most `max_command` octets of a command.
    pub fn new(max_command: usize) -> Self {
        Self {
            max_command,
            state: State::Command,
            buffer: Vec::new(),
            line: 0,
        }
    }

    /// Takes the next frame from `input`, or all of `input` when it does not complete one.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Frame<'a>> {
        loop {
            match self.state {
                State::Undecided { .. } => return None,
                State::Literal(0) => self.begin_line(),
                State::Literal(left) => {
                    let piece = take(input, left)?;
                    self.buffer.extend_from_slice(piece);
                    self.state = State::Literal(left - piece.len() as u64);
                }
                State::Message(0) => {
                    self.state = State::MessageTail;
                }
                State::Message(left) => {
                    let piece = take(input, left)?;
                    self.state = State::Message(left - piece.len() as u64);
                    return Some(Frame::Piece(piece));
                }
                State::SkipLiteral { left: 0, then } => {
                    self.line = self.buffer.len();
                    self.state = State::Skip { then };
                }
                State::SkipLiteral { left, then } => {
                    let piece = take(input, left)?;
                    self.state = State::SkipLiteral {
                        left: left - piece.len() as u64,
                        then,
                    };
                }
                State::Command | State::MessageTail | State::Line | State::Skip { .. } => {
                    if !self.read_line(input) {
                        return None;
                    }
                    if let Some(frame) = self.end_line() {
                        return Some(frame);
                    }
                }
            }
        }
    }

    /// The next line is not a command: a SASL response, the end of IDLE.
    pub fn expect_line(&mut self) {
        if self.state == State::Command && self.buffer.is_empty() {
            self.state = State::Line;
        }
    }

    /// Takes the message of the APPEND command just reported.
    pub fn accept(&mut self) {
        if let State::Undecided { size, .. } = self.state {
            self.state = State::Message(size);
        }
    }

    /// Does without the message of the APPEND command just reported. If the client sends it all the same,
    /// it is passed over.
    pub fn refuse(&mut self) {
        if let State::Undecided {
            size,
            synchronising,
        } = self.state
        {
            self.state = match synchronising {
                true => State::Command,
                false => State::SkipLiteral {
                    left: size,
                    then: Report::Nothing,
                },
            };
        }
    }

    /// Forgets everything read so far.
    pub fn clear(&mut self) {
        *self = Self::new(self.max_command);
    }

    /// Takes input up to a line break. Beyond the limit only the end of the line is kept: it may announce a
    /// literal.
    fn read_line(&mut self, input: &mut &[u8]) -> bool {
        let end = input.iter().position(|&b| b == b'\n').map(|lf| lf + 1);
        let (piece, rest) = input.split_at(end.unwrap_or(input.len()));
        *input = rest;
        let skips = matches!(self.state, State::Skip { .. });
        if !skips && self.buffer.len() + piece.len() > self.max_command {
            // The announcement of a literal may have begun before this piece.
            let line = self.buffer.get(self.line..).unwrap_or_default();
            let tail = last(line, MAX_MARKER).to_vec();
            let room = MAX_TAG.saturating_sub(self.buffer.len());
            self.buffer
                .extend_from_slice(piece.get(..room).unwrap_or(piece));
            self.buffer.truncate(MAX_TAG);
            self.line = self.buffer.len();
            self.buffer.extend_from_slice(&tail);
            let in_tail = self.state == State::MessageTail;
            self.state = State::Skip {
                then: if in_tail {
                    Report::AppendEnd
                } else {
                    Report::Oversized
                },
            };
        }
        if matches!(self.state, State::Skip { .. }) {
            let tail = self.buffer.split_off(self.line);
            let kept = [&tail, piece].concat();
            self.buffer.extend_from_slice(last(&kept, MAX_MARKER));
        } else {
            self.buffer.extend_from_slice(piece);
        }
        end.is_some()
    }

    fn end_line(&mut self) -> Option<Frame<'static>> {
        let literal = literal_marker(self.buffer.get(self.line..).unwrap_or_default());
        match (self.state, literal) {
            (State::Line, _) => {
                self.state = State::Command;
                Some(Frame::Line(self.take_buffer()))
            }
            (State::MessageTail, None) => {
                self.state = State::Command;
                let well_formed = matches!(self.take_buffer().as_slice(), b"\r\n" | b"\n");
                Some(Frame::AppendEnd { well_formed })
            }
            (State::MessageTail, Some(literal)) => {
                // A second message (RFC 3502), or nonsense.
                self.buffer.clear();
                self.line = 0;
                self.state = match literal.synchronising {
                    true => State::Command,
                    false => State::SkipLiteral {
                        left: literal.size,
                        then: Report::Nothing,
                    },
                };
                Some(Frame::AppendEnd { well_formed: false })
            }
            (State::Skip { then }, Some(literal)) if !literal.synchronising => {
                self.buffer.truncate(self.line);
                self.state = State::SkipLiteral {
                    left: literal.size,
                    then,
                };
                None
            }
            (State::Skip { then }, _) => {
                self.state = State::Command;
                self.buffer.truncate(self.line);
                let beginning = self.take_buffer();
                match then {
                    Report::Nothing => None,
                    Report::Oversized => Some(Frame::Oversized { beginning }),
                    Report::AppendEnd => Some(Frame::AppendEnd { well_formed: false }),
                }
            }
            (_, None) => Some(Frame::Command(self.take_buffer())),
            (_, Some(literal)) => self.begin_literal(literal),
        }
    }

    fn begin_literal(&mut self, literal: Literal) -> Option<Frame<'static>> {
        let Literal {
            size,
            synchronising,
            ..
        } = literal;
        if let Some(command) = self.append_command(&literal) {
            self.take_buffer();
            self.state = State::Undecided {
                size,
                synchronising,
            };
            return Some(Frame::Append {
                command,
                size,
                synchronising,
            });
        }
        if self.buffer.len() as u64 + size > self.max_command as u64 {
            self.buffer.truncate(MAX_TAG);
            self.line = self.buffer.len();
            if synchronising {
                self.state = State::Command;
                return Some(Frame::Oversized {
                    beginning: self.take_buffer(),
                });
            }
            self.state = State::SkipLiteral {
                left: size,
                then: Report::Oversized,
            };
            return None;
        }
        self.state = State::Literal(size);
        synchronising.then_some(Frame::Continue)
    }

    /// The command with an empty message, if it is an APPEND and the announced literal its message.
    fn append_command(&self, literal: &Literal) -> Option<Vec<u8>> {
        let words: Vec<&[u8]> = self.buffer.splitn(3, |&b| b == b' ').collect();
        if !words.get(1)?.eq_ignore_ascii_case(b"APPEND") {
            return None;
        }
        let mut command = self
            .buffer
            .get(..self.buffer.len().checked_sub(literal.marker)?)?
            .to_vec();
        command.extend_from_slice(b"{0}\r\n\r\n");
        // Another literal, a mailbox name, leaves the command incomplete.
        super::Request::parse(&command).is_ok().then_some(command)
    }

    fn begin_line(&mut self) {
        self.line = self.buffer.len();
        self.state = State::Command;
    }

    fn take_buffer(&mut self) -> Vec<u8> {
        self.line = 0;
        std::mem::take(&mut self.buffer)
    }
}

/// What is kept of an oversized command for its tag, and of a line for its literal marker.
const MAX_TAG: usize = 256;
const MAX_MARKER: usize = 64;

struct Literal {
    size: u64,
    synchronising: bool,
    /// Length of the marker and the line break.
    marker: usize,
}

/// The literal that a line announces with its last word, `{5}` or `{5+}`.
fn literal_marker(line: &[u8]) -> Option<Literal> {
    let text = line.strip_suffix(b"\n")?;
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let inner = text.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&b| b == b'{')?;
    let digits = inner.get(open + 1..)?;
    let (digits, synchronising) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (digits, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0, |n: u64, digit| {
        (n * 10 + u64::from(digit - b'0')).min(MAX_COUNT)
    });
    Some(Literal {
        size,
        synchronising,
        marker: line.len() - open,
    })
}

/// Takes up to `most` octets; `None` when there are none.
fn take<'a>(input: &mut &'a [u8], most: u64) -> Option<&'a [u8]> {
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
    let (piece, rest) = input.split_at(most);
    *input = rest;
    (!piece.is_empty()).then_some(piece)
}

fn last(bytes: &[u8], most: usize) -> &[u8] {
    bytes
        .get(bytes.len().saturating_sub(most)..)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` in pieces of `size` and shows the frames, accepting every APPEND.
    fn frames(input: &[u8], size: usize, max: usize) -> Vec<String> {
        let mut framer = Framer::new(max);
        let mut seen: Vec<String> = Vec::new();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        for mut piece in input.chunks(size) {
            while let Some(frame) = framer.next(&mut piece) {
                match frame {
                    Frame::Command(c) => seen.push(format!("command {}", text(&c))),
                    Frame::Continue => seen.push("continue".into()),
                    Frame::Append { command, size, .. } => {
                        seen.push(format!("append {} {size}: ", text(&command)));
                        framer.accept();
                    }
                    Frame::Piece(piece) => seen
                        .last_mut()
                        .unwrap()
                        .push_str(str::from_utf8(piece).unwrap()),
                    Frame::AppendEnd { well_formed } => seen.push(format!("end {well_formed}")),
                    Frame::Line(line) => seen.push(format!("line {}", text(&line))),
                    Frame::Oversized { beginning } => {
                        seen.push(format!("oversized {}", text(&beginning)))
                    }
                }
            }
            assert!(framer.buffer.len() <= max.max(MAX_TAG + MAX_MARKER));
        }
        seen.iter()
            .map(|frame| frame.replace("\r\n", "|"))
            .collect()
    }

    #[test]
    fn commands_and_literals_are_found_however_they_arrive() {
        let input = b"a NOOP\r\nb LOGIN {5+}\r\nalice {2}\r\npw\r\nc LOGIN \"{3}\" x\r\nd APPEND {5+}\r\nINBOX (\\Seen) {7+}\r\nx\r\ny\r\nz\r\ne NOOP\n";
        let expected = [
            "command a NOOP|",
            "continue",
            "command b LOGIN {5+}|alice {2}|pw|",
            "command c LOGIN \"{3}\" x|",
            "append d APPEND {5+}|INBOX (\\Seen) {0}|| 7: x|y|z",
            "end true",
            "command e NOOP\n",
        ];
        for size in [1, 2, 3, 5, 1000] {
            assert_eq!(frames(input, size, 100), expected, "pieces of {size}");
        }
    }

    #[test]
    fn an_oversized_command_is_passed_over_with_its_literals() {
        let long = "x".repeat(100);
        for (input, beginning) in [
            (format!("a LOGIN {long}\r\n"), "a LOGIN"),
            (
                format!(
                    "a LOGIN {{200+}}\r\n{} {{3+}}\r\na\nb\r\n",
                    "y\n".repeat(100)
                ),
                "a LOGIN",
            ),
            (
                format!("a LOGIN {long} {{4+}}\r\n1\n\n4 {{5+}}\r\n12345 \r\n"),
                "a LOGIN",
            ),
            ("a LOGIN {99999999999999999999}\r\n".to_owned(), "a LOGIN"),
            ("a LOGIN {51}\r\n".to_owned(), "a LOGIN"),
        ] {
            for size in [1, 7, 1000] {
                let found = frames(format!("{input}b NOOP\r\n").as_bytes(), size, 50);
                assert_eq!(found.len(), 2, "{input}: {found:?}");
                assert!(
                    found[0].starts_with(&format!("oversized {beginning}")),
                    "{input} {size} {found:?}"
                );
                assert_eq!(found[1], "command b NOOP|");
            }
        }
    }

    #[test]
    fn a_literal_is_found_where_the_limit_falls_into_its_announcement() {
        for filling in 20..60 {
            let line = format!("a LOGIN {} {{4+}}", "x".repeat(filling));
            let input = format!("{line}\r\n\r\nb \r\nc NOOP\r\n");
            let whole = frames(input.as_bytes(), 1000, 50);
            assert_eq!(whole[1], "command c NOOP|", "{filling}");
            for size in 1..12 {
                let pieces = frames(input.as_bytes(), size, 50);
                assert_eq!(pieces[1..], whole[1..], "{filling} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_refused_message_is_passed_over_if_the_client_does_not_wait() {
        for (marker, message) in [("{5+}", "a\r\nb\n\r\n"), ("{5}", "")] {
            let mut framer = Framer::new(100);
            let input = format!("a APPEND x {marker}\r\n{message}b NOOP\r\n");
            let mut input = input.as_bytes();
            assert!(matches!(
                framer.next(&mut input),
                Some(Frame::Append { size: 5, .. })
            ));
            assert_eq!(framer.next(&mut input), None);
            framer.refuse();
            assert_eq!(
                framer.next(&mut input),
                Some(Frame::Command(b"b NOOP\r\n".to_vec()))
            );
        }
    }

    #[test]
    fn what_follows_the_message_makes_append_malformed() {
        for tail in ["{1+}\r\nn".to_owned(), "x".repeat(1000)] {
            let found = frames(
                format!("a APPEND x {{1+}}\r\nm {tail}\r\nb NOOP\r\n").as_bytes(),
                1000,
                100,
            );
            assert_eq!(found[1..], ["end false", "command b NOOP|"]);
        }
    }

    #[test]
    fn a_line_that_is_no_command_may_look_like_one() {
        let mut framer = Framer::new(100);
        framer.expect_line();
        let mut input = &b"DONE {5}\r\na NOOP\r\n"[..];
        assert_eq!(
            framer.next(&mut input),
            Some(Frame::Line(b"DONE {5}\r\n".to_vec()))
        );
        assert_eq!(
            framer.next(&mut input),
            Some(Frame::Command(b"a NOOP\r\n".to_vec()))
        );
    }
}
