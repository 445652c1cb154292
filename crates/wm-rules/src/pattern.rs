use std::fmt;
use std::str::FromStr;

use nom::branch::alt;
use nom::character::complete::{anychar, char, none_of};
use nom::combinator::{all_consuming, opt, recognize, rest, verify};
use nom::multi::many0_count;
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wm_core::{AddressError, AddressErrorKind, DomainName, EmailAddress};

/// The addresses a rule speaks of (FLW-3).
///
/// | written | matches |
/// |---|---|
/// | `user@example.com` | that address |
/// | `example.com` | every address of that domain, none of its subdomains |
/// | `*example.com` or `*.example.com` | every address of that domain and of all its subdomains |
/// | `*` | every address |
///
/// Case, needless quotes and the spelling of internationalised domains do not matter (FLW-4).
/// An asterisk in a local part is a wildcard in the wrong place, unless it is quoted: `"*"@example.com`.
///
/// [`Display`](fmt::Display) writes the normalised form, which parses to an equal pattern; serde reads and
/// writes it as a string.
///
/// ```
/// use wm_rules::Pattern;
///
/// let pattern: Pattern = "*.Bücher.example".parse()?;
/// assert_eq!(pattern.to_string(), "*xn--bcher-kva.example");
/// assert!(pattern.matches(&"post@laden.bücher.example".parse()?));
///
/// let error = "*example..com".parse::<Pattern>().unwrap_err();
/// assert_eq!(error.to_string(), "empty label at byte 9");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// One address: `user@example.com`.
    Address(EmailAddress),
    /// One domain: `example.com`.
    Domain(DomainName),
    /// A domain and all its subdomains: `*example.com`.
    Wildcard(DomainName),
    /// Every address: `*`.
    Star,
}

/// How closely a pattern describes an address, the least specific first (FLW-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Specificity {
    /// `*`
    Star,
    /// `*example.com`; a longer domain is more specific. The value is its length in octets, as A-labels.
    Wildcard(u8),
    /// `example.com`
    Domain,
    /// `user@example.com`
    Address,
}

/// Why a text is not a pattern, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    kind: PatternErrorKind,
    at: usize,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternErrorKind {
    /// The text is empty.
    #[error("pattern missing")]
    Empty,
    /// There are two asterisks.
    #[error("second wildcard")]
    SecondWildcard,
    /// The asterisk is not the first character.
    #[error("wildcard not in front")]
    MisplacedWildcard,
    /// A wildcard stands in front of an address, as in `*@example.com`, where `example.com` is meant.
    #[error("wildcard in front of an address instead of a domain")]
    WildcardAddress,
    /// The address or domain is not valid.
    #[error(transparent)]
    Address(AddressErrorKind),
}

impl Pattern {
    /// Whether the address is one of those the pattern describes.
    pub fn matches(&self, address: &EmailAddress) -> bool {
        match self {
            Self::Address(this) => this == address,
            Self::Domain(domain) => domain == address.domain(),
            Self::Wildcard(domain) => {
                domain == address.domain() || address.domain().is_subdomain_of(domain)
            }
            Self::Star => true,
        }
    }

    /// How specific a match with this pattern is.
    pub fn specificity(&self) -> Specificity {
        match self {
            Self::Address(_) => Specificity::Address,
            Self::Domain(_) => Specificity::Domain,
            // A domain name has at most 253 octets.
            Self::Wildcard(domain) => Specificity::Wildcard(domain.as_ascii().len() as u8),
            Self::Star => Specificity::Star,
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let Ok((_, form)) = form(text) else {
            return Err(PatternError::new(PatternErrorKind::Empty, 0));
        };
        match form {
            Form::Star => Ok(Self::Star),
            Form::Wildcard(domain) => {
                let offset = text.len() - domain.len();
                if let Some(at) = domain.find('*') {
                    return Err(PatternError::new(
                        PatternErrorKind::SecondWildcard,
                        offset + at,
                    ));
                }
                if domain.contains('@') {
                    return Err(PatternError::new(PatternErrorKind::WildcardAddress, 0));
                }
                let domain = domain
                    .parse()
                    .map_err(|error: AddressError| error.shifted(offset))?;
                Ok(Self::Wildcard(domain))
            }
            Form::Other { quoted, unquoted } => {
                if let Some(at) = unquoted.find('*') {
                    return Err(PatternError::new(
                        PatternErrorKind::MisplacedWildcard,
                        quoted.len() + at,
                    ));
                }
                match quoted.is_empty() && !unquoted.contains('@') {
                    true => Ok(Self::Domain(text.parse()?)),
                    false => Ok(Self::Address(address(text, quoted, unquoted)?)),
                }
            }
        }
    }
}

impl TryFrom<&str> for Pattern {
    type Error = PatternError;

    fn try_from(text: &str) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<EmailAddress> for Pattern {
    fn from(address: EmailAddress) -> Self {
        Self::Address(address)
    }
}

/// The normalised form.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => {
                let (local_part, domain) = (address.local_part().as_str(), address.domain());
                match local_part.contains('*') && !local_part.starts_with('"') {
                    true => write!(f, "\"{local_part}\"@{domain}"),
                    false => write!(f, "{local_part}@{domain}"),
                }
            }
            Self::Domain(domain) => write!(f, "{domain}"),
            Self::Wildcard(domain) => write!(f, "*{domain}"),
            Self::Star => f.write_str("*"),
        }
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Pattern;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern such as user@example.com, example.com, *example.com or *")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Pattern, E> {
                // A rule file has many patterns: say which.
                text.parse()
                    .map_err(|error| E::custom(format_args!("pattern {text:?}: {error}")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl PatternError {
    fn new(kind: PatternErrorKind, at: usize) -> Self {
        Self { kind, at }
    }

    /// What is wrong.
    pub fn kind(&self) -> &PatternErrorKind {
        &self.kind
    }

    /// The byte of the input where it is wrong.
    pub fn position(&self) -> usize {
        self.at
    }
}

impl From<AddressError> for PatternError {
    fn from(error: AddressError) -> Self {
        Self::new(
            PatternErrorKind::Address(error.kind().clone()),
            error.position(),
        )
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.at)
    }
}

impl std::error::Error for PatternError {}

/// What a text has to be, judged by its first characters. Only an empty text has no form.
enum Form<'a> {
    Star,
    /// What follows `*` or `*.`
    Wildcard(&'a str),
    /// An address or a domain, cut behind a quoted string at its beginning.
    Other {
        quoted: &'a str,
        unquoted: &'a str,
    },
}

fn form(text: &str) -> IResult<&str, Form<'_>> {
    alt((
        all_consuming(char('*')).map(|_| Form::Star),
        preceded((char('*'), opt(char('.'))), rest).map(Form::Wildcard),
        (quoted_string, rest).map(|(quoted, unquoted)| Form::Other { quoted, unquoted }),
        verify(rest, |text: &str| !text.is_empty()).map(|unquoted| Form::Other {
            quoted: "",
            unquoted,
        }),
    ))
    .parse(text)
}

fn quoted_string(text: &str) -> IResult<&str, &str> {
    let content = alt((preceded(char('\\'), anychar), none_of("\"\\")));
    recognize(delimited(char('"'), many0_count(content), char('"'))).parse(text)
}

/// An address that may begin with a quoted string. Quotes that only keep an asterisk from being
/// a wildcard do not count towards its length, so that the normalised form of any pattern parses.
fn address(text: &str, quoted: &str, unquoted: &str) -> Result<EmailAddress, AddressError> {
    text.parse().or_else(|error| {
        let content = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let plain = content
            .filter(|it| !it.contains('\\'))
            .map(|it| [it, unquoted].concat());
        plain.and_then(|it| it.parse().ok()).ok_or(error)
    })
}
