use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::DomainName;

/// A full name in the DNS, such as `_dmarc.example.com`: unlike a [`DomainName`] its labels may hold
/// any octet (RFC 2181 §11). Kept in lower case, since case means nothing (RFC 4343), and without
/// the dot at the end; the root is `.`.
///
/// ```
/// use wm_core::traits::DnsName;
///
/// let name: DnsName = "_DMARC.example.com.".parse()?;
/// assert_eq!(name.as_str(), "_dmarc.example.com");
/// assert_eq!(name.parent(), Some("example.com".parse()?));
/// # Ok::<(), wm_core::traits::ParseDnsNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

/// A text or a series of labels that is not a [`DnsName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDnsNameError {
    /// Two dots in a row, a dot in front, or nothing at all.
    #[error("empty label")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("label of {0} octets, the limit is 63")]
    LabelTooLong(usize),
    /// More than 255 octets on the wire.
    #[error("name of {0} octets on the wire, the limit is 255")]
    NameTooLong(usize),
    /// A `\` that is followed by neither a character nor three digits up to 255.
    #[error("bad escape")]
    Escape,
    /// A character beyond ASCII; international names are written as A-labels.
    #[error("character {0:?} in a DNS name")]
    Character(char),
}

impl DnsName {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self(".".into())
    }

    /// The name with these labels, from left to right.
    ///
    /// # Errors
    /// When a label is empty or something is too long.
    pub fn from_labels<L: AsRef<[u8]>>(
        labels: impl IntoIterator<Item = L>,
    ) -> Result<Self, ParseDnsNameError> {
        let mut text = String::new();
        let mut wire_length = 1;
        for label in labels {
            let label = label.as_ref();
            if label.is_empty() {
                return Err(ParseDnsNameError::EmptyLabel);
            }
            if label.len() > 63 {
                return Err(ParseDnsNameError::LabelTooLong(label.len()));
            }
            wire_length += label.len() + 1;
            if wire_length > 255 {
                return Err(ParseDnsNameError::NameTooLong(wire_length));
            }
            if !text.is_empty() {
                text.push('.');
            }
            label
                .iter()
                .for_each(|&octet| push_escaped(&mut text, octet));
        }
        Ok(if text.is_empty() {
            Self::root()
        } else {
            Self(text)
        })
    }

    /// The name under which the DNS keeps the host name of an address (RFC 1035 §3.5, RFC 3596 §2.5).
    #[must_use]
    pub fn reverse(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(v6) => {
                let nibbles = v6
                    .octets()
                    .into_iter()
                    .rev()
                    .flat_map(|octet| [octet & 15, octet >> 4]);
                nibbles
                    .map(|nibble| format!("{nibble:x}."))
                    .collect::<String>()
                    + "ip6.arpa"
            }
        })
    }

    /// The name in lower case, octets that are no printable ASCII character as `\DDD`
    /// (RFC 1035 §5.1), without a dot at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == "."
    }

    /// The labels from left to right, escapes undone; none for the root.
    pub fn labels(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let mut rest = if self.is_root() { "" } else { self.as_str() };
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (label, after) = split_label(rest);
            rest = after.unwrap_or_default();
            // What is stored was escaped here, so that unescaping cannot fail.
            Some(unescape(label).unwrap_or(Cow::Borrowed(label.as_bytes())))
        })
    }

    /// The name without its leftmost label; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(match split_label(&self.0) {
            (_, Some(parent)) => Self(parent.to_owned()),
            (_, None) => Self::root(),
        })
    }

    /// The name one or more labels below this one: `_dmarc` below `example.com`.
    ///
    /// # Errors
    /// When `labels` is no name, or the result is too long.
    pub fn child(&self, labels: &str) -> Result<Self, ParseDnsNameError> {
        if self.is_root() {
            labels.parse()
        } else {
            format!("{labels}.{self}").parse()
        }
    }

    /// Whether this name lies below `other`. No name lies below itself.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        let mut above = self.parent();
        while let Some(name) = above {
            if name == *other {
                return true;
            }
            above = name.parent();
        }
        false
    }
}

impl FromStr for DnsName {
    type Err = ParseDnsNameError;

    fn from_str(text: &str) -> Result<Self, ParseDnsNameError> {
        if let Some(c) = text.chars().find(|c| !c.is_ascii()) {
            return Err(ParseDnsNameError::Character(c));
        }
        if text == "." {
            return Ok(Self::root());
        }
        let mut labels = Vec::new();
        let mut rest = Some(text);
        while let Some(text) = rest {
            let (label, after) = split_label(text);
            labels.push(unescape(label)?);
            rest = after.filter(|after| !after.is_empty());
        }
        Self::from_labels(labels)
    }
}

impl TryFrom<String> for DnsName {
    type Error = ParseDnsNameError;

    fn try_from(text: String) -> Result<Self, ParseDnsNameError> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

impl From<&DomainName> for DnsName {
    fn from(domain: &DomainName) -> Self {
        Self(domain.as_ascii().to_owned())
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The text up to the first dot that is not escaped, and what follows the dot.
fn split_label(text: &str) -> (&str, Option<&str>) {
    let mut escaped = false;
    let dot = text.bytes().position(|octet| {
        let separates = octet == b'.' && !escaped;
        escaped = octet == b'\\' && !escaped;
        separates
    });
    match dot.and_then(|at| text.split_at_checked(at)) {
        Some((label, rest)) => (label, rest.get(1..)),
        None => (text, None),
    }
}

fn push_escaped(text: &mut String, octet: u8) {
    match octet.to_ascii_lowercase() {
        octet @ (b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$') => {
            text.extend(['\\', char::from(octet)])
        }
        octet @ 0x21..=0x7e => text.push(char::from(octet)),
        octet => text.push_str(&format!("\\{octet:03}")),
    }
}

fn unescape(label: &str) -> Result<Cow<'_, [u8]>, ParseDnsNameError> {
    if !label.contains('\\') {
        return Ok(Cow::Borrowed(label.as_bytes()));
    }
    let mut octets = Vec::with_capacity(label.len());
    let mut rest = label.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        let first = rest.next().ok_or(ParseDnsNameError::Escape)?;
        if !first.is_ascii_digit() {
            octets.push(first);
            continue;
        }
        let value = [Some(first), rest.next(), rest.next()]
            .into_iter()
            .try_fold(0u16, |value, digit| {
                let digit = digit.filter(u8::is_ascii_digit)?;
                Some(value * 10 + u16::from(digit - b'0'))
            });
        let value = value.and_then(|value| u8::try_from(value).ok());
        octets.push(value.ok_or(ParseDnsNameError::Escape)?);
    }
    Ok(Cow::Owned(octets))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> DnsName {
        text.parse().unwrap()
    }

    #[test]
    fn case_and_the_dot_at_the_end_mean_nothing() {
        assert_eq!(name("_DMARC.Example.com."), name("_dmarc.example.com"));
    }

    #[test]
    fn a_dot_inside_a_label_is_kept_apart_from_the_dot_between_labels() {
        let mailbox = name(r"jo\.ann.example.com");
        assert_eq!(mailbox.labels().next().unwrap(), b"jo.ann".as_slice());
        assert_eq!(mailbox.parent(), Some(name("example.com")));
        assert!(!name(r"a\.example.com").is_below(&name("example.com")));
    }

    #[test]
    fn names_lie_below_their_parents_only() {
        assert!(name("a.b.example.com").is_below(&name("example.com")));
        assert!(name("com").is_below(&DnsName::root()));
        assert!(!name("notexample.com").is_below(&name("example.com")));
        assert!(!name("example.com").is_below(&name("example.com")));
        assert_eq!(DnsName::root().parent(), None);
        assert_eq!(
            name("example.com").child("_dmarc"),
            Ok(name("_dmarc.example.com"))
        );
    }

    #[test]
    fn lengths_are_those_of_the_wire() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(name(&longest).as_str().len(), 253);
        assert_eq!(
            format!("{longest}a").parse::<DnsName>(),
            Err(ParseDnsNameError::NameTooLong(256))
        );
        assert_eq!(
            format!("a{label}").parse::<DnsName>(),
            Err(ParseDnsNameError::LabelTooLong(64))
        );
        for (wrong, why) in [
            ("", ParseDnsNameError::EmptyLabel),
            ("a..b", ParseDnsNameError::EmptyLabel),
            (".a", ParseDnsNameError::EmptyLabel),
            (r"a\", ParseDnsNameError::Escape),
            (r"\256", ParseDnsNameError::Escape),
            ("bücher", ParseDnsNameError::Character('ü')),
        ] {
            assert_eq!(wrong.parse::<DnsName>(), Err(why), "{wrong:?}");
        }
    }

    #[test]
    fn addresses_are_written_backwards() {
        let v4 = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(DnsName::reverse(v4), name("1.2.0.192.in-addr.arpa"));
        let v6 = "2001:db8::567:89ab".parse().unwrap();
        assert_eq!(
            DnsName::reverse(v6),
            name("b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa")
        );
    }

    proptest! {
        #[test]
        fn labels_of_any_octets_survive_the_text_form(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..6)
        ) {
            let name = DnsName::from_labels(&labels).unwrap();
            let again: DnsName = name.as_str().parse().unwrap();
            prop_assert_eq!(&again, &name);
            let read: Vec<Vec<u8>> = again.labels().map(Cow::into_owned).collect();
            let lower: Vec<Vec<u8>> = labels.iter().map(|label| label.to_ascii_lowercase()).collect();
            prop_assert_eq!(read, lower);
        }
    }
}
