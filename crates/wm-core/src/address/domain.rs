use std::borrow::{Borrow, Cow};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;
use std::str::FromStr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::error::AddressErrorKind as Kind;
use super::spelled::Spelled;
use super::{AddressError, serde_as_written};

/// The domain of a mail address: a host name of letters, digits and hyphens, internationalised or not
/// (RFC 5321 §4.1.2 `Domain`, RFC 6531 §3.3).
///
/// Normalised to lower-case A-labels. U-label and A-label spellings are equal. There is no trailing dot,
/// no underscore (that is for DNS owner names such as `_dmarc.example.com`) and no address literal. The spelling kept has
/// at most four times the octets a name may have.
///
/// A set or map keyed by domain names can be asked with a `&str`, if that is in the normalised form.
///
/// ```
/// use wm_core::DomainName;
///
/// let domain: DomainName = "Mail.BÜCHER.example".parse()?;
/// assert_eq!(domain.as_ascii(), "mail.xn--bcher-kva.example");
/// assert_eq!(domain.to_unicode(), "mail.bücher.example");
/// assert!(domain.is_subdomain_of(&"bücher.example".parse()?));
/// # Ok::<(), wm_core::AddressError>(())
/// ```
#[derive(Clone)]
pub struct DomainName(Spelled);

impl DomainName {
    /// The longest domain name in octets, as A-labels without a trailing dot (RFC 1035 §2.3.4: 255 on the wire).
    pub const MAX_LEN: usize = 253;
    /// The longest label in octets, as an A-label (RFC 1035 §2.3.4).
    pub const MAX_LABEL_LEN: usize = 63;

    /// The normalised form: A-labels in lower case.
    pub fn as_ascii(&self) -> &str {
        self.0.canonical()
    }

    /// The spelling that was parsed.
    pub fn original(&self) -> &str {
        self.0.original()
    }

    /// The form for people: U-labels in lower case.
    pub fn to_unicode(&self) -> Cow<'_, str> {
        let ascii = self.as_ascii();
        if !has_ace_prefix(ascii) {
            return Cow::Borrowed(ascii);
        }
        // A parsed name is valid IDNA, so that there is no error to report.
        Uts46::new()
            .to_unicode(
                ascii.as_bytes(),
                AsciiDenyList::STD3,
                Hyphens::CheckFirstLast,
            )
            .0
    }

    /// The labels of the normalised form, from left to right: `mail`, `example`, `com`.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.as_ascii().split('.')
    }

    /// The name without its leftmost label, or `None` for a single label.
    pub fn parent(&self) -> Option<Self> {
        let (_, parent) = self.as_ascii().split_once('.')?;
        Some(Self(Spelled::new(parent, parent)))
    }

    /// Whether this name lies below `other`, on a label boundary. A name is not a subdomain of itself.
    pub fn is_subdomain_of(&self, other: &Self) -> bool {
        self.as_ascii()
            .strip_suffix(other.as_ascii())
            .is_some_and(|rest| rest.ends_with('.'))
    }
}

impl FromStr for DomainName {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let ascii = normalise(text)?;
        Ok(Self(Spelled::new(&ascii, text)))
    }
}

impl TryFrom<&str> for DomainName {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl AsRef<str> for DomainName {
    fn as_ref(&self) -> &str {
        self.as_ascii()
    }
}

// Sound because Eq, Ord and Hash below are those of the normalised string.
impl Borrow<str> for DomainName {
    fn borrow(&self) -> &str {
        self.as_ascii()
    }
}

impl PartialEq for DomainName {
    fn eq(&self, other: &Self) -> bool {
        self.as_ascii() == other.as_ascii()
    }
}

impl Eq for DomainName {}

impl Hash for DomainName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ascii().hash(state);
    }
}

impl Ord for DomainName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_ascii().cmp(other.as_ascii())
    }
}

impl PartialOrd for DomainName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The normalised form.
impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_ascii())
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DomainName").field(&self.0).finish()
    }
}

serde_as_written!(DomainName, "a domain name");

/// The longest spelling in octets: four for each of the normalised form, the most a character of UTF-8 takes. Only
/// characters that UTS #46 ignores could make it longer.
const MAX_WRITTEN: usize = 4 * DomainName::MAX_LEN;

/// The characters that separate labels in UTS #46.
const DOTS: [char; 4] = ['.', '。', '．', '｡'];

fn normalise(text: &str) -> Result<Cow<'_, str>, AddressError> {
    if text.is_empty() {
        return Err(AddressError::new(Kind::NoDomain, 0));
    }
    if text.starts_with('[') {
        return Err(AddressError::new(Kind::AddressLiteral, 0));
    }
    if text.len() > MAX_WRITTEN {
        return Err(AddressError::new(Kind::DomainTooLong(text.len()), 0));
    }
    check_labels(text)?;
    let ascii = if text.is_ascii() && !has_ace_prefix(text) {
        lower_case(text)
    } else {
        to_ascii(text)?
    };
    check_lengths(&ascii, text)?;
    if ascii.ends_with(|c: char| c.is_ascii_digit()) && ascii.parse::<Ipv4Addr>().is_ok() {
        return Err(AddressError::new(Kind::IpAddress, 0));
    }
    Ok(ascii)
}

/// Checks what can be told from the text as written, naming the position.
fn check_labels(text: &str) -> Result<(), AddressError> {
    for (start, label) in labels_with_positions(text) {
        let error = |kind, at| Err(AddressError::new(kind, start + at));
        if label.is_empty() {
            return match text.strip_suffix(DOTS) {
                Some(rest) if start == text.len() => {
                    Err(AddressError::new(Kind::TrailingDot, rest.len()))
                }
                _ => error(Kind::EmptyLabel, 0),
            };
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || !c.is_ascii();
        if let Some((at, c)) = label.char_indices().find(|&(_, c)| !allowed(c)) {
            return error(Kind::Character(c), at);
        }
        if label.starts_with('-') {
            return error(Kind::Hyphen, 0);
        }
        if label.ends_with('-') {
            return error(Kind::Hyphen, label.len() - 1);
        }
    }
    Ok(())
}

/// Checks the lengths of the normalised form, naming the position in the text as written.
fn check_lengths(ascii: &str, text: &str) -> Result<(), AddressError> {
    let too_long = ascii
        .split('.')
        .zip(labels_with_positions(text))
        .find(|(label, _)| label.len() > DomainName::MAX_LABEL_LEN);
    if let Some((label, (start, _))) = too_long {
        return Err(AddressError::new(Kind::LabelTooLong(label.len()), start));
    }
    if ascii.len() > DomainName::MAX_LEN {
        return Err(AddressError::new(Kind::DomainTooLong(ascii.len()), 0));
    }
    Ok(())
}

fn lower_case(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    }
}

fn to_ascii(text: &str) -> Result<Cow<'_, str>, AddressError> {
    uts46(text).ok_or_else(|| {
        // The library does not say where: it is in the first label that fails alone,
        // or in their combination (RFC 5893).
        let at = labels_with_positions(text)
            .find(|(_, label)| uts46(label).is_none())
            .map_or(0, |(start, _)| start);
        AddressError::new(Kind::Idna, at)
    })
}

/// The A-label form, or `None` if it has none.
fn uts46(text: &str) -> Option<Cow<'_, str>> {
    Uts46::new()
        .to_ascii(
            text.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Ignore,
        )
        .ok()
        // Ignorable characters may leave nothing of a label.
        .filter(|ascii| ascii.split('.').all(|label| !label.is_empty()))
        .filter(|ascii| !is_encoded_twice(ascii))
}

/// Whether a label decodes to what looks like an A-label again, and so is none.
fn is_encoded_twice(ascii: &str) -> bool {
    let (unicode, _) = Uts46::new().to_unicode(
        ascii.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
    );
    has_ace_prefix(&unicode)
}

fn has_ace_prefix(text: &str) -> bool {
    text.split('.').any(|label| {
        label
            .as_bytes()
            .first_chunk::<4>()
            .is_some_and(|p| p.eq_ignore_ascii_case(b"xn--"))
    })
}

/// The labels of a text as written, with the byte each starts at.
fn labels_with_positions(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(DOTS)
        .map(move |label| (label.as_ptr() as usize - text.as_ptr() as usize, label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn domain(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn error(text: &str) -> (Kind, usize) {
        let error = text.parse::<DomainName>().unwrap_err();
        (error.kind().clone(), error.position())
    }

    #[test]
    fn case_and_spelling_of_internationalised_labels_are_ignored() {
        for spelling in [
            "BÜCHER.example",
            "bu\u{308}cher.Example",
            "XN--BCHER-KVA.example",
            "bücher。example",
        ] {
            assert_eq!(domain(spelling), domain("bücher.example"), "{spelling}");
            assert_eq!(domain(spelling).as_ascii(), "xn--bcher-kva.example");
            assert_eq!(domain(spelling).to_unicode(), "bücher.example");
            assert_eq!(domain(spelling).original(), spelling);
        }
    }

    /// Such a U-label could not be read again (UTS #46 §4.1, criterion 4).
    #[test]
    fn an_a_label_is_not_encoded_twice() {
        let twice = "xn--xn--hgbmxephxrmtp2xrm0hexamplexn--bc-kv2wah";
        assert_eq!(error(twice), (Kind::Idna, 0));
        assert_eq!(error(&format!("a.{twice}.example")), (Kind::Idna, 2));
    }

    #[test]
    fn sharp_s_is_not_two_letters() {
        assert_eq!(domain("faß.de").as_ascii(), "xn--fa-hia.de");
        assert_ne!(domain("faß.de"), domain("fass.de"));
    }

    #[test]
    fn errors_name_the_position() {
        assert_eq!(error(""), (Kind::NoDomain, 0));
        assert_eq!(error("."), (Kind::EmptyLabel, 0));
        assert_eq!(error(".example"), (Kind::EmptyLabel, 0));
        assert_eq!(error("bücher..example"), (Kind::EmptyLabel, 8));
        assert_eq!(error("example.com."), (Kind::TrailingDot, 11));
        assert_eq!(error("example。"), (Kind::TrailingDot, 7));
        assert_eq!(error("exam ple.com"), (Kind::Character(' '), 4));
        assert_eq!(error("_dmarc.example.com"), (Kind::Character('_'), 0));
        assert_eq!(error("a.-b.example"), (Kind::Hyphen, 2));
        assert_eq!(error("a.b-.example"), (Kind::Hyphen, 3));
        assert_eq!(error("a.xn--0.example"), (Kind::Idna, 2));
        assert_eq!(error("a.\u{ad}.example"), (Kind::Idna, 2));
        assert_eq!(error("example.com\0"), (Kind::Character('\0'), 11));
    }

    #[test]
    fn address_literals_and_ip_addresses_are_named() {
        assert_eq!(error("[192.0.2.1]"), (Kind::AddressLiteral, 0));
        assert_eq!(error("[IPv6:2001:db8::1]"), (Kind::AddressLiteral, 0));
        assert_eq!(error("192.0.2.1"), (Kind::IpAddress, 0));
        assert_eq!(domain("192.0.2.example").as_ascii(), "192.0.2.example");
    }

    #[test]
    fn lengths_are_those_of_the_ascii_form() {
        let label = "a".repeat(63);
        assert_eq!(error(&format!("b.{label}a.c")), (Kind::LabelTooLong(64), 2));
        let u_label = "ü".repeat(80);
        assert!(matches!(
            error(&format!("b.{u_label}.c")),
            (Kind::LabelTooLong(_), 2)
        ));

        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(domain(&longest).as_ascii().len(), 253);
        assert_eq!(error(&format!("{longest}a")), (Kind::DomainTooLong(254), 0));
    }

    #[test]
    fn a_spelling_may_not_be_much_longer_than_the_name() {
        // Soft hyphens are ignored (UTS #46): nothing else would bound what is kept of them.
        let spelled = |len: usize| format!("a{}", "\u{ad}".repeat(len));
        assert_eq!(domain(&spelled(505)).as_ascii(), "a");
        assert_eq!(error(&spelled(506)), (Kind::DomainTooLong(1013), 0));
        assert_eq!(error(&"a.".repeat(600)), (Kind::DomainTooLong(1200), 0));
    }

    #[test]
    fn subdomains_end_on_label_boundaries() {
        let example = domain("example.com");
        assert!(domain("a.b.example.com").is_subdomain_of(&example));
        assert!(!domain("notexample.com").is_subdomain_of(&example));
        assert!(!example.is_subdomain_of(&example));
        assert_eq!(domain("a.example.com").parent(), Some(example));
        assert_eq!(domain("com").parent(), None);
        assert_eq!(
            domain("a.b.c").labels().collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn a_set_can_be_asked_with_a_string() {
        let set = std::collections::HashSet::from([domain("Example.com")]);
        assert!(set.contains("example.com"));
    }

    #[test]
    fn serde_keeps_the_spelling() {
        let json = "\"Bücher.example\"";
        let read: DomainName = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        let error = serde_json::from_str::<DomainName>("\"a..b\"").unwrap_err();
        assert!(
            error.to_string().starts_with("empty label at byte 2"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn normalisation_is_idempotent(text in "([-a-zA-Z0-9üßÉя中\u{308}]{1,9}[.。]){0,4}[a-zA-Zü]{1,9}") {
            if let Ok(domain) = text.parse::<DomainName>() {
                let again: DomainName = domain.as_ascii().parse().unwrap();
                prop_assert_eq!(again.original(), domain.as_ascii());
                prop_assert_eq!(again.as_ascii(), domain.as_ascii());
                let unicode: DomainName = domain.to_unicode().parse().unwrap();
                prop_assert_eq!(unicode, domain);
            }
        }

        #[test]
        fn any_text_parses_or_is_refused_at_a_character(text in ".{0,80}") {
            if let Err(error) = text.parse::<DomainName>() {
                prop_assert!(text.is_char_boundary(error.position()));
            }
        }
    }
}
