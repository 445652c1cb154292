use std::borrow::{Borrow, Cow};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::error::AddressErrorKind as Kind;
use super::spelled::Spelled;
use super::{AddressError, serde_as_written};

/// What stands before the `@`: a dot-string or a quoted string, in Unicode or not
/// (RFC 5321 §4.1.2 `Local-part`, RFC 6531 §3.3).
///
/// Normalised by folding case and by dropping quotes and backslashes that are not needed, so that
/// `"John"`, `"\john"` and `john` are equal.
///
/// ```
/// use wm_core::LocalPart;
///
/// let quoted: LocalPart = r#""John\ Smith""#.parse()?;
/// assert_eq!(quoted.as_str(), r#""john smith""#);
/// assert_eq!(quoted.unquoted(), "john smith");
/// # Ok::<(), wm_core::AddressError>(())
/// ```
#[derive(Clone)]
pub struct LocalPart(Spelled);

impl LocalPart {
    /// The longest local part in octets, quotes included (RFC 5321 §4.5.3.1.1).
    pub const MAX_LEN: usize = 64;

    /// The normalised form, quoted if it has to be.
    pub fn as_str(&self) -> &str {
        self.0.canonical()
    }

    /// The spelling that was parsed.
    pub fn original(&self) -> &str {
        self.0.original()
    }

    /// The normalised content, without quotes and backslashes.
    pub fn unquoted(&self) -> Cow<'_, str> {
        match quoted_content(self.as_str()) {
            Some(quoted) => Cow::Owned(unquote(quoted).collect()),
            None => Cow::Borrowed(self.as_str()),
        }
    }

    /// The octets of `text` up to the end of the local part it starts with; the rest is not looked at.
    pub(super) fn prefix_len(text: &str) -> Result<usize, AddressError> {
        match text.strip_prefix('"') {
            Some(_) => quoted_string_len(text),
            None => dot_string_len(text),
        }
    }

    /// A text that [`prefix_len`](Self::prefix_len) found to be a local part.
    pub(super) fn from_checked(text: &str) -> Result<Self, AddressError> {
        let canonical = canonical(text);
        // Folding may lengthen a text, and the canonical form has to parse too.
        let len = text.len().max(canonical.len());
        if len > Self::MAX_LEN {
            return Err(AddressError::new(Kind::LocalPartTooLong(len), 0));
        }
        Ok(Self(Spelled::new(&canonical, text)))
    }
}

impl FromStr for LocalPart {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let len = Self::prefix_len(text)?;
        if let Some(c) = text.get(len..).and_then(|rest| rest.chars().next()) {
            return Err(AddressError::new(Kind::Character(c), len));
        }
        Self::from_checked(text)
    }
}

impl TryFrom<&str> for LocalPart {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl AsRef<str> for LocalPart {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

// Sound because Eq, Ord and Hash below are those of the normalised string.
impl Borrow<str> for LocalPart {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for LocalPart {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for LocalPart {}

impl Hash for LocalPart {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Ord for LocalPart {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for LocalPart {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The normalised form.
impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalPart").field(&self.0).finish()
    }
}

serde_as_written!(LocalPart, "the local part of a mail address");

/// `Dot-string = Atom *("." Atom)`
fn dot_string_len(text: &str) -> Result<usize, AddressError> {
    let end = text
        .find(|c| c != '.' && !is_atext(c))
        .unwrap_or(text.len());
    let Some(dot_string) = text.get(..end).filter(|it| !it.is_empty()) else {
        return Err(match text.chars().next() {
            Some(c) if c != '@' => AddressError::new(Kind::Character(c), 0),
            _ => AddressError::new(Kind::NoLocalPart, 0),
        });
    };
    let misplaced = match dot_string.starts_with('.') {
        true => Some(0),
        false => dot_string.find("..").map(|at| at + 1),
    };
    match misplaced.or_else(|| dot_string.ends_with('.').then(|| end - 1)) {
        Some(at) => Err(AddressError::new(Kind::Dot, at)),
        None => Ok(end),
    }
}

/// `Quoted-string = DQUOTE *QcontentSMTP DQUOTE`
fn quoted_string_len(text: &str) -> Result<usize, AddressError> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        let (at, c) = match c {
            '"' => return Ok(at + 1),
            '\\' => match chars.next() {
                Some(escaped) => escaped,
                None => break,
            },
            _ => (at, c),
        };
        if c.is_control() {
            return Err(AddressError::new(Kind::Character(c), at));
        }
    }
    Err(AddressError::new(Kind::OpenQuote, 0))
}

/// The normalised form of a valid local part.
fn canonical(text: &str) -> Cow<'_, str> {
    let content = match quoted_content(text) {
        Some(quoted) => fold(unquote(quoted)),
        None if text
            .bytes()
            .all(|b| b.is_ascii() && !b.is_ascii_uppercase()) =>
        {
            return Cow::Borrowed(text);
        }
        None => fold(text.chars()),
    };
    if dot_string_len(&content) == Ok(content.len()) {
        return Cow::Owned(content);
    }
    let mut canonical = String::with_capacity(content.len() + 2);
    canonical.push('"');
    for c in content.chars() {
        if matches!(c, '"' | '\\') {
            canonical.push('\\');
        }
        canonical.push(c);
    }
    canonical.push('"');
    Cow::Owned(canonical)
}

/// What is between the quotes of a valid local part, if it has any.
fn quoted_content(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// The content of a quoted string without its backslashes.
fn unquote(quoted: &str) -> impl Iterator<Item = char> {
    let mut chars = quoted.chars();
    std::iter::from_fn(move || match chars.next()? {
        '\\' => chars.next(),
        c => Some(c),
    })
}

/// Full case folding (Unicode §3.13) by way of the case mappings of the standard library: down, up and down
/// again brings `ẞ`, `ß` and `ss` together. Of the letters with an upper case, `ı` alone has no folding.
fn fold(chars: impl Iterator<Item = char>) -> String {
    let mut folded = String::new();
    for c in chars {
        match c {
            'ı' => folded.push(c),
            c if c.is_ascii() => folded.push(c.to_ascii_lowercase()),
            c => {
                let upper = c.to_lowercase().flat_map(char::to_uppercase);
                folded.extend(upper.flat_map(char::to_lowercase));
            }
        }
    }
    folded
}

/// RFC 5322 §3.2.3 `atext`, with `UTF8-non-ascii` of RFC 6531 §3.3, without control characters.
fn is_atext(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_'
        | '`' | '{' | '|' | '}' | '~' => true,
        _ => !c.is_ascii() && !c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn local_part(text: &str) -> LocalPart {
        text.parse().unwrap()
    }

    fn error(text: &str) -> (Kind, usize) {
        let error = text.parse::<LocalPart>().unwrap_err();
        (error.kind().clone(), error.position())
    }

    #[test]
    fn needless_quotes_and_case_are_ignored() {
        for spelling in [
            "john.smith",
            r#""john.smith""#,
            r#""John\.\Smith""#,
            "JOHN.SMITH",
        ] {
            assert_eq!(local_part(spelling), local_part("john.smith"), "{spelling}");
            assert_eq!(local_part(spelling).as_str(), "john.smith");
            assert_eq!(local_part(spelling).original(), spelling);
        }
    }

    #[test]
    fn quotes_stay_where_they_are_needed() {
        for (written, canonical, unquoted) in [
            (r#""Joe\\Blow""#, r#""joe\\blow""#, r"joe\blow"),
            (r#""a\"""#, r#""a\"""#, r#"a""#),
            (r#""Abc\@def""#, r#""abc@def""#, "abc@def"),
            (r#""Fred Bloggs""#, r#""fred bloggs""#, "fred bloggs"),
            (r#""a..b""#, r#""a..b""#, "a..b"),
            (r#""""#, r#""""#, ""),
        ] {
            assert_eq!(local_part(written).as_str(), canonical);
            assert_eq!(local_part(written).unquoted(), unquoted);
        }
    }

    #[test]
    fn examples_of_rfc_3696_parse() {
        for text in [
            r#""Abc@def""#,
            "user+mailbox",
            "customer/department=shipping",
            "$A12345",
            "!def!xyz%abc",
            "_somename",
        ] {
            local_part(text);
        }
    }

    #[test]
    fn case_of_any_script_is_folded() {
        assert_eq!(local_part("ΟΔΥΣΣΕΥΣ"), local_part("οδυσσευς"));
        assert_eq!(local_part("GRÜẞE"), local_part("grüsse"));
        assert_eq!(local_part("grüße"), local_part("grüsse"));
        assert_ne!(local_part("ı"), local_part("i"));
    }

    #[test]
    fn errors_name_the_position() {
        assert_eq!(error(""), (Kind::NoLocalPart, 0));
        assert_eq!(error("@"), (Kind::NoLocalPart, 0));
        assert_eq!(error(".a"), (Kind::Dot, 0));
        assert_eq!(error("a."), (Kind::Dot, 1));
        assert_eq!(error("ü..b"), (Kind::Dot, 3));
        assert_eq!(error("john smith"), (Kind::Character(' '), 4));
        assert_eq!(error("a(comment)"), (Kind::Character('('), 1));
        assert_eq!(error("a\u{85}"), (Kind::Character('\u{85}'), 1));
        assert_eq!(error(r#""abc"#), (Kind::OpenQuote, 0));
        assert_eq!(error(r#""abc\""#), (Kind::OpenQuote, 0));
        assert_eq!(error("\"a\nb\""), (Kind::Character('\n'), 2));
        assert_eq!(error(r#""a"b"#), (Kind::Character('b'), 3));
    }

    #[test]
    fn sixty_four_octets_are_the_limit() {
        assert_eq!(local_part(&"a".repeat(64)).as_str().len(), 64);
        assert_eq!(error(&"a".repeat(65)), (Kind::LocalPartTooLong(65), 0));
        assert_eq!(error(&"ü".repeat(33)), (Kind::LocalPartTooLong(66), 0));
    }

    #[test]
    fn a_form_that_grows_past_the_limit_is_refused() {
        // Two octets fold to six.
        assert_eq!("ΐ".len(), 2);
        assert_eq!(error(&"ΐ".repeat(11)), (Kind::LocalPartTooLong(66), 0));
    }

    #[test]
    fn folding_any_character_twice_changes_nothing() {
        for c in '\0'..=char::MAX {
            let once = fold([c].into_iter());
            assert_eq!(fold(once.chars()), once, "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_parses_to_itself(text in r#"([a-zA-Zß.+]{1,8}|"([a-zA-Z .@ẞ]|\\[\\"a ]){0,8}")"#) {
            if let Ok(local_part) = text.parse::<LocalPart>() {
                let again: LocalPart = local_part.as_str().parse().unwrap();
                prop_assert_eq!(again.original(), local_part.as_str());
                prop_assert_eq!(again.as_str(), local_part.as_str());
            }
        }
    }
}
