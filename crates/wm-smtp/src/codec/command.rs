//! Commands (RFC 5321 §4.1) and those of the extensions this crate speaks: SIZE (RFC 1870),
//! 8BITMIME (RFC 6152), CHUNKING (RFC 3030), STARTTLS (RFC 3207), AUTH (RFC 4954), SMTPUTF8
//! (RFC 6531).
//!
//! Deviations that real clients need are accepted: spaces behind `FROM:` and `TO:`, a path without
//! angle brackets, white space at the end of a line (RFC 5321 §4.1.1 asks for that one), and host
//! names in EHLO that no DNS would hold.

use std::fmt;
use std::str::FromStr;

use bytes::{BufMut, BytesMut};
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while, take_while1};
use nom::character::complete::{alpha1, char, digit1, none_of, space0, space1};
use nom::combinator::{all_consuming, eof, opt, peek, recognize, value, verify};
use nom::multi::{many0, many0_count, separated_list1};
use nom::sequence::{delimited, pair, preceded, separated_pair, terminated};
use nom::{IResult, Parser};
use wm_core::traits::ReversePath;
use wm_core::{AddressError, EmailAddress, Secret};

/// One command of a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Command {
    /// EHLO: the client names itself and asks for extensions.
    Ehlo(HeloName),
    /// HELO: the client names itself.
    Helo(HeloName),
    /// MAIL: begins a transaction.
    Mail(MailFrom),
    /// RCPT: adds a recipient.
    Rcpt(RcptTo),
    /// DATA: the message follows, dot-stuffed.
    Data,
    /// BDAT: a chunk of the message follows (RFC 3030 §2).
    Bdat {
        /// Its octets.
        size: u64,
        /// Whether it is the last.
        last: bool,
    },
    /// RSET: ends the transaction.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY: asks whether a mailbox exists.
    Vrfy,
    /// EXPN: asks for the members of a list.
    Expn,
    /// HELP.
    Help,
    /// STARTTLS (RFC 3207 §4).
    StartTls,
    /// AUTH (RFC 4954 §4).
    Auth {
        /// The SASL mechanism.
        mechanism: Mechanism,
        /// The initial response as sent: base64, or `=` for an empty one.
        initial: Option<Secret<String>>,
    },
}

impl Command {
    /// Reads a command line, given without its line end.
    ///
    /// ```
    /// use wm_core::traits::ReversePath;
    /// use wm_smtp::codec::Command;
    ///
    /// let Ok(Command::Mail(mail)) = Command::parse(b"mail from:<> size=2048") else { panic!() };
    /// assert_eq!((mail.path, mail.size), (ReversePath::NULL, Some(2048)));
    /// ```
    ///
    /// # Errors
    /// [`CommandError`] says what to answer.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let line = std::str::from_utf8(line).map_err(|_| match is_bdat(line) {
            true => CommandError::ChunkSize,
            false => CommandError::NotText,
        })?;
        let line = line.trim_end_matches([' ', '\t']);
        let (arguments, verb) = verb(line).map_err(|_| CommandError::Unrecognized)?;
        let alone = |command| match arguments {
            "" => Ok(command),
            _ => Err(CommandError::NoArguments),
        };
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => arguments.parse().map(Self::Ehlo),
            "HELO" => arguments.parse().map(Self::Helo),
            "MAIL" => mail(arguments).map(Self::Mail),
            "RCPT" => rcpt(arguments).map(Self::Rcpt),
            "DATA" => alone(Self::Data),
            "BDAT" => bdat(arguments),
            "RSET" => alone(Self::Rset),
            "NOOP" => Ok(Self::Noop),
            "QUIT" => alone(Self::Quit),
            "VRFY" => Ok(Self::Vrfy),
            "EXPN" => Ok(Self::Expn),
            "HELP" => Ok(Self::Help),
            "STARTTLS" => alone(Self::StartTls),
            "AUTH" => auth(arguments),
            _ => Err(CommandError::Unrecognized),
        }
    }

    /// Appends the command as it goes over the wire.
    pub fn write(&self, out: &mut BytesMut) {
        let text = match self {
            Self::Ehlo(name) => format!("EHLO {name}"),
            Self::Helo(name) => format!("HELO {name}"),
            Self::Mail(mail) => mail.to_string(),
            Self::Rcpt(rcpt) => rcpt.to_string(),
            Self::Data => "DATA".into(),
            Self::Bdat { size, last } => format!("BDAT {size}{}", if *last { " LAST" } else { "" }),
            Self::Rset => "RSET".into(),
            Self::Noop => "NOOP".into(),
            Self::Quit => "QUIT".into(),
            Self::Vrfy => "VRFY".into(),
            Self::Expn => "EXPN".into(),
            Self::Help => "HELP".into(),
            Self::StartTls => "STARTTLS".into(),
            Self::Auth {
                mechanism,
                initial: None,
            } => format!("AUTH {mechanism}"),
            Self::Auth {
                mechanism,
                initial: Some(initial),
            } => {
                format!("AUTH {mechanism} {}", initial.expose())
            }
        };
        out.put_slice(text.as_bytes());
        out.put_slice(b"\r\n");
    }
}

/// The arguments of MAIL.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailFrom {
    /// Where reports about the message go.
    pub path: ReversePath,
    /// The size of the message in octets, as the client estimates it (SIZE, RFC 1870 §6).
    pub size: Option<u64>,
    /// What the body is made of (BODY, RFC 6152 §2).
    pub body: BodyType,
    /// Addresses or header fields are internationalised (SMTPUTF8, RFC 6531 §3.4).
    pub smtputf8: bool,
}

impl From<ReversePath> for MailFrom {
    fn from(path: ReversePath) -> Self {
        Self {
            path,
            size: None,
            body: BodyType::SevenBit,
            smtputf8: false,
        }
    }
}

impl fmt::Display for MailFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MAIL FROM:{}", self.path)?;
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        if self.body == BodyType::EightBitMime {
            f.write_str(" BODY=8BITMIME")?;
        }
        f.write_str(if self.smtputf8 { " SMTPUTF8" } else { "" })
    }
}

/// The arguments of RCPT.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RcptTo {
    /// Whom the message is for.
    pub path: ForwardPath,
}

impl From<ForwardPath> for RcptTo {
    fn from(path: ForwardPath) -> Self {
        Self { path }
    }
}

impl fmt::Display for RcptTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RCPT TO:{}", self.path)
    }
}

/// Whom a message is for (RFC 5321 §4.1.2 `Forward-path`). A source route is read and ignored
/// (appendix F.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain: whoever runs this server (§4.5.1).
    Postmaster,
    /// This mailbox.
    Mailbox(EmailAddress),
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<Postmaster>"),
            Self::Mailbox(address) => write!(f, "<{}>", address.original()),
        }
    }
}

/// What a body is made of (RFC 6152 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyType {
    /// `7BIT`.
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
}

/// A SASL mechanism (RFC 4422).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// `PLAIN` (RFC 4616).
    Plain,
    /// `LOGIN`, obsolete and all that some clients have (draft-murchison-sasl-login).
    Login,
}

impl Mechanism {
    /// Every mechanism, best first.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Login];
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        })
    }
}

/// The name a client gives itself in EHLO or HELO: a domain or an address literal, or what clients
/// take for one. At most 255 visible ASCII characters, none of them special in a Received field.
/// Nothing vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeloName(String);

impl HeloName {
    /// The longest name in octets (RFC 5321 §4.5.3.1.2).
    pub const MAX_LEN: usize = 255;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeloName {
    type Err = CommandError;

    fn from_str(name: &str) -> Result<Self, CommandError> {
        let legal = |c: char| c.is_ascii_graphic() && !r#"()<>@,;\""#.contains(c);
        if name.is_empty() || name.len() > Self::MAX_LEN || !name.chars().all(legal) {
            return Err(CommandError::Arguments("EHLO host.name"));
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for HeloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The verb is unknown, or there is none.
    #[error("Command unrecognized")]
    Unrecognized,
    /// The line is not UTF-8.
    #[error("Command is not text")]
    NotText,
    /// The command has arguments it does not take.
    #[error("Command takes no arguments")]
    NoArguments,
    /// The arguments do not fit this grammar.
    #[error("Syntax: {0}")]
    Arguments(&'static str),
    /// The octets behind this BDAT cannot be told from commands: its size is unreadable.
    #[error("Syntax: BDAT size [LAST]")]
    ChunkSize,
    /// The reverse-path is not an address.
    #[error("Bad sender address: {0}")]
    Sender(AddressError),
    /// The forward-path is not an address.
    #[error("Bad recipient address: {0}")]
    Recipient(AddressError),
    /// A parameter of MAIL or RCPT that no announced extension has.
    #[error("Parameter {0} not recognized")]
    UnknownParameter(String),
    /// A parameter that is there twice, or whose value is not one.
    #[error("Bad parameter {0}")]
    Parameter(String),
    /// A SASL mechanism that is not offered.
    #[error("Mechanism {0} not supported")]
    UnknownMechanism(String),
}

/// `MAIL FROM:<path> [parameters]`
fn mail(arguments: &str) -> Result<MailFrom, CommandError> {
    let usage = |_| CommandError::Arguments("MAIL FROM:<address> [parameters]");
    let (_, (path, parameters)) = envelope("FROM:", arguments).map_err(usage)?;
    let path = match path {
        "" => ReversePath::NULL,
        mailbox => ReversePath(Some(mailbox.parse().map_err(CommandError::Sender)?)),
    };
    let mut mail = MailFrom::from(path);
    let mut seen = Vec::new();
    for (keyword, value) in parameters {
        let keyword = keyword.to_ascii_uppercase();
        if seen.contains(&keyword) {
            return Err(CommandError::Parameter(keyword));
        }
        match (keyword.as_str(), value) {
            ("SIZE", Some(size)) if is_size(size) => {
                mail.size = Some(size.parse().unwrap_or(u64::MAX));
            }
            ("BODY", Some(body)) if body.eq_ignore_ascii_case("7BIT") => {}
            ("BODY", Some(body)) if body.eq_ignore_ascii_case("8BITMIME") => {
                mail.body = BodyType::EightBitMime;
            }
            ("SMTPUTF8", None) => mail.smtputf8 = true,
            // Who submitted a message is believed to nobody, which RFC 4954 §5 allows.
            ("AUTH", Some(xtext)) if is_xtext(xtext) || xtext == "<>" => {}
            ("SIZE" | "BODY" | "SMTPUTF8" | "AUTH", _) => {
                return Err(CommandError::Parameter(keyword));
            }
            _ => return Err(CommandError::UnknownParameter(keyword)),
        }
        seen.push(keyword);
    }
    Ok(mail)
}

/// `RCPT TO:<path> [parameters]`
fn rcpt(arguments: &str) -> Result<RcptTo, CommandError> {
    let usage = CommandError::Arguments("RCPT TO:<address>");
    let Ok((_, (path, parameters))) = envelope("TO:", arguments) else {
        return Err(usage);
    };
    let path = match path {
        "" => return Err(usage),
        name if name.eq_ignore_ascii_case("postmaster") => ForwardPath::Postmaster,
        mailbox => ForwardPath::Mailbox(mailbox.parse().map_err(CommandError::Recipient)?),
    };
    match parameters.first() {
        None => Ok(path.into()),
        Some((keyword, _)) => Err(CommandError::UnknownParameter(keyword.to_ascii_uppercase())),
    }
}

/// Whether a line that cannot be read as a command would have been BDAT, so that what follows it is not commands.
pub(crate) fn is_bdat(line: &[u8]) -> bool {
    line.get(..4)
        .is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

/// `BDAT size [LAST]`
fn bdat(arguments: &str) -> Result<Command, CommandError> {
    let last = opt(preceded(space1, tag_no_case("LAST")));
    let parsed: IResult<_, _> = all_consuming(pair(digit1, last)).parse(arguments);
    let (_, (size, last)) = parsed.map_err(|_| CommandError::ChunkSize)?;
    let size: &str = size;
    let size = size.parse().map_err(|_| CommandError::ChunkSize)?;
    Ok(Command::Bdat {
        size,
        last: last.is_some(),
    })
}

/// `AUTH mechanism [initial-response]`
fn auth(arguments: &str) -> Result<Command, CommandError> {
    let word = || take_while1(|c: char| c.is_ascii_graphic());
    let initial = opt(preceded(space1, word()));
    let parsed: IResult<_, _> = all_consuming(pair(word(), initial)).parse(arguments);
    let usage = |_| CommandError::Arguments("AUTH mechanism [initial-response]");
    let (_, (name, initial)) = parsed.map_err(usage)?;
    let mechanism = Mechanism::ALL
        .into_iter()
        .find(|mechanism| mechanism.to_string().eq_ignore_ascii_case(name))
        .ok_or_else(|| CommandError::UnknownMechanism(name.to_ascii_uppercase()))?;
    Ok(Command::Auth {
        mechanism,
        initial: initial.map(Secret::from),
    })
}

/// A verb and the space behind it; what is left are the arguments.
fn verb(line: &str) -> IResult<&str, &str> {
    terminated(alpha1, alt((space1, peek(eof)))).parse(line)
}

type Parameters<'a> = Vec<(&'a str, Option<&'a str>)>;

/// The keyword, a path without its brackets and route, and parameters.
fn envelope<'a>(keyword: &str, arguments: &'a str) -> IResult<&'a str, (&'a str, Parameters<'a>)> {
    // A route leads to somebody: with one, the path is not the null one.
    let routed = preceded(source_route, verify(mailbox, |path: &str| !path.is_empty()));
    let bracketed = delimited(char('<'), alt((routed, mailbox)), char('>'));
    let path = preceded(
        pair(tag_no_case(keyword), space0),
        alt((bracketed, unbracketed)),
    );
    all_consuming(pair(path, many0(preceded(space1, parameter)))).parse(arguments)
}

/// `A-d-l ":"`
fn source_route(input: &str) -> IResult<&str, ()> {
    let domain = take_while1(|c: char| !matches!(c, ',' | ':' | '>' | ' ' | '@'));
    value(
        (),
        terminated(
            separated_list1(char(','), preceded(char('@'), domain)),
            char(':'),
        ),
    )
    .parse(input)
}

/// How far a mailbox reaches. Whether it is one is for [`EmailAddress`] to say.
fn mailbox(input: &str) -> IResult<&str, &str> {
    let quoted = alt((
        value((), none_of("\"\\")),
        value((), pair(char('\\'), none_of(""))),
    ));
    let quoted = recognize(delimited(char('"'), many0_count(quoted), char('"')));
    let plain = take_while(|c: char| !matches!(c, '<' | '>' | ' ' | '"'));
    recognize(pair(opt(quoted), plain)).parse(input)
}

fn unbracketed(input: &str) -> IResult<&str, &str> {
    preceded(peek(none_of("<>")), mailbox).parse(input)
}

/// `esmtp-param = esmtp-keyword ["=" esmtp-value]`
fn parameter(input: &str) -> IResult<&str, (&str, Option<&str>)> {
    let keyword = || take_while1(|c: char| c.is_ascii_alphanumeric() || c == '-');
    let text = take_while1(|c: char| c != '=' && c != ' ' && !c.is_control());
    let valued = separated_pair(keyword(), char('='), text);
    alt((
        valued.map(|(keyword, value)| (keyword, Some(value))),
        keyword().map(|keyword| (keyword, None)),
    ))
    .parse(input)
}

/// `size-value = 1*20DIGIT` (RFC 1870 §6)
fn is_size(text: &str) -> bool {
    text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit())
}

/// RFC 3461 §4 `xtext`
fn is_xtext(text: &str) -> bool {
    let mut pieces = text.split('+');
    let plain = |piece: &str| piece.bytes().all(|b| b.is_ascii_graphic() && b != b'=');
    let escape = |piece: &str| {
        piece.len() >= 2
            && piece
                .bytes()
                .take(2)
                .all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
    };
    pieces.next().is_some_and(plain) && pieces.all(|piece| escape(piece) && plain(piece))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a line reads as, written again.
    fn reread(line: &str) -> Result<String, CommandError> {
        let mut wire = BytesMut::new();
        Command::parse(line.as_bytes())?.write(&mut wire);
        Ok(String::from_utf8_lossy(&wire).trim_end().to_owned())
    }

    #[test]
    fn commands_are_read_whatever_their_case() {
        for (line, command) in [
            ("EHLO mail.example.org", "EHLO mail.example.org"),
            ("helo [192.0.2.1]", "HELO [192.0.2.1]"),
            ("EHLO [IPv6:2001:db8::1]", "EHLO [IPv6:2001:db8::1]"),
            ("EHLO my_desktop", "EHLO my_desktop"),
            ("Mail From:<a@example.org>", "MAIL FROM:<a@example.org>"),
            ("MAIL FROM:<>", "MAIL FROM:<>"),
            ("RCPT TO:<B@Example.ORG>", "RCPT TO:<B@Example.ORG>"),
            ("RCPT TO:<postmaster>", "RCPT TO:<Postmaster>"),
            ("data", "DATA"),
            ("BDAT 86 LAST", "BDAT 86 LAST"),
            ("bdat 0", "BDAT 0"),
            ("RSET  ", "RSET"),
            ("NOOP are you there", "NOOP"),
            ("QUIT", "QUIT"),
            ("VRFY Jones", "VRFY"),
            ("EXPN Staff", "EXPN"),
            ("HELP MAIL", "HELP"),
            ("StartTLS", "STARTTLS"),
            ("AUTH PLAIN AGEAYg==", "AUTH PLAIN AGEAYg=="),
            ("auth login", "AUTH LOGIN"),
        ] {
            assert_eq!(reread(line).as_deref(), Ok(command), "{line}");
        }
    }

    #[test]
    fn paths_of_real_clients_are_read() {
        for (path, address) in [
            ("<a@example.org>", "<a@example.org>"),
            (" <a@example.org>", "<a@example.org>"),
            ("a@example.org", "<a@example.org>"),
            (
                "<@one.example,@two.example:a@example.org>",
                "<a@example.org>",
            ),
            (r#"<"a b>c@d"@example.org>"#, r#"<"a b>c@d"@example.org>"#),
            (r#"<"a\"b"@example.org>"#, r#"<"a\"b"@example.org>"#),
            ("<grüße@bücher.example>", "<grüße@bücher.example>"),
        ] {
            assert_eq!(
                reread(&format!("RCPT TO:{path}")),
                Ok(format!("RCPT TO:{address}"))
            );
            assert_eq!(
                reread(&format!("MAIL FROM:{path}")),
                Ok(format!("MAIL FROM:{address}"))
            );
        }
    }

    #[test]
    fn parameters_are_read_in_any_order() {
        let line =
            "MAIL FROM:<a@example.org> smtputf8 BODY=8bitmime AUTH=e+3Dmc2@example.com SIZE=100";
        let written = "MAIL FROM:<a@example.org> SIZE=100 BODY=8BITMIME SMTPUTF8";
        assert_eq!(reread(line).as_deref(), Ok(written));
        assert_eq!(
            reread("MAIL FROM:<> AUTH=<>").as_deref(),
            Ok("MAIL FROM:<>")
        );
    }

    #[test]
    fn a_size_beyond_all_sizes_is_a_size() {
        let line = "MAIL FROM:<> SIZE=99999999999999999999";
        assert_eq!(reread(line), Ok(format!("MAIL FROM:<> SIZE={}", u64::MAX)));
    }

    #[test]
    fn each_fault_is_named() {
        use CommandError::{ChunkSize, NoArguments, NotText, Unrecognized};
        let parameter = |name: &str| CommandError::Parameter(name.into());
        let unknown = |name: &str| CommandError::UnknownParameter(name.into());
        for (line, error) in [
            ("", Unrecognized),
            (" NOOP", Unrecognized),
            ("NOOP\0", Unrecognized),
            ("GET / HTTP/1.1", Unrecognized),
            ("MAILFROM:<>", Unrecognized),
            ("DATA now", NoArguments),
            ("STARTTLS 1.3", NoArguments),
            ("BDAT", ChunkSize),
            ("BDAT -1", ChunkSize),
            ("BDAT 18446744073709551616", ChunkSize),
            ("BDAT 1 FIRST", ChunkSize),
            (
                "MAIL FROM:<> SIZE=",
                CommandError::Arguments("MAIL FROM:<address> [parameters]"),
            ),
            (
                "MAIL FROM:<a@b.c>SIZE=1",
                CommandError::Arguments("MAIL FROM:<address> [parameters]"),
            ),
            ("RCPT TO:<>", CommandError::Arguments("RCPT TO:<address>")),
            (
                "MAIL FROM:<@one.example:>",
                CommandError::Sender("@one.example:".parse::<EmailAddress>().unwrap_err()),
            ),
            ("BDAT 5 \u{fffd}", ChunkSize),
            ("MAIL FROM:<> SIZE=-1", parameter("SIZE")),
            ("MAIL FROM:<> SIZE", parameter("SIZE")),
            ("MAIL FROM:<> size=1 SIZE=2", parameter("SIZE")),
            ("MAIL FROM:<> BODY=BINARYMIME", parameter("BODY")),
            ("MAIL FROM:<> SMTPUTF8=yes", parameter("SMTPUTF8")),
            ("MAIL FROM:<> AUTH=a+2", parameter("AUTH")),
            ("MAIL FROM:<> AUTH=+gg", parameter("AUTH")),
            ("MAIL FROM:<> ret=hdrs", unknown("RET")),
            ("RCPT TO:<a@b.c> NOTIFY=NEVER", unknown("NOTIFY")),
            (
                "AUTH CRAM-MD5",
                CommandError::UnknownMechanism("CRAM-MD5".into()),
            ),
            (
                "AUTH",
                CommandError::Arguments("AUTH mechanism [initial-response]"),
            ),
            (
                "AUTH PLAIN a b",
                CommandError::Arguments("AUTH mechanism [initial-response]"),
            ),
            ("EHLO", CommandError::Arguments("EHLO host.name")),
            ("EHLO a b", CommandError::Arguments("EHLO host.name")),
            ("EHLO (forged)", CommandError::Arguments("EHLO host.name")),
        ] {
            assert_eq!(reread(line), Err(error), "{line}");
        }
        assert_eq!(Command::parse(b"NOOP \xff").unwrap_err(), NotText);
        assert_eq!(Command::parse(b"bdat 5\xff").unwrap_err(), ChunkSize);
        for path in [
            "<a@[192.0.2.1]>",
            "<a>",
            "<a@b",
            "<a@b>>",
            "<a@b\0>",
            "<a b@c.d>",
        ] {
            let error = reread(&format!("RCPT TO:{path}")).unwrap_err();
            let named = matches!(
                error,
                CommandError::Recipient(_) | CommandError::Arguments(_)
            );
            assert!(named, "{path}: {error}");
        }
    }

    #[test]
    fn debug_shows_no_credentials() {
        let command = Command::parse(b"AUTH PLAIN AGFsaWNlAGh1bnRlcjI=").unwrap();
        assert!(!format!("{command:?}").contains("AGFs"));
    }

    proptest! {
        #[test]
        fn any_line_parses_or_is_refused(line in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(Command::parse(&line));
        }

        #[test]
        fn what_is_written_reads_as_itself(
            line in r#"(MAIL FROM|RCPT TO):(<(@[a-z]{1,3}:)?([a-z.]{1,4}|"[a-z@>\\]{0,4}")@[a-zü.]{1,6}>|<>)( (SIZE=[0-9]{1,21}|BODY=(7BIT|8BITMIME)|SMTPUTF8|AUTH=[a-z+4]{1,4})){0,2}"#
        ) {
            if let Ok(written) = reread(&line) {
                prop_assert_eq!(reread(&written), Ok(written));
            }
        }
    }
}
