use std::fmt;
use std::str::FromStr;

use super::error::AddressErrorKind as Kind;
use super::{AddressError, DomainName, LocalPart, serde_as_written};

/// A mail address with a domain name (RFC 5321 §4.1.2 `Mailbox`, RFC 6531 §3.3), without display name,
/// comments or angle brackets.
///
/// Equality, order and hash ignore case, needless quotes and the spelling of internationalised domains.
///
/// ```
/// use wm_core::EmailAddress;
///
/// let address: EmailAddress = "Grüße@BÜCHER.example".parse()?;
/// assert_eq!(address.local_part().as_str(), "grüsse");
/// assert_eq!(address.domain().as_ascii(), "xn--bcher-kva.example");
///
/// let error = "john smith@example.com".parse::<EmailAddress>().unwrap_err();
/// assert_eq!(error.to_string(), "unexpected character ' ' at byte 4");
/// # Ok::<(), wm_core::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EmailAddress {
    // The order of the fields is the order of addresses: a domain's stand together.
    domain: DomainName,
    local_part: LocalPart,
}

impl EmailAddress {
    /// The longest address in octets: a path of RFC 5321 §4.5.3.1.3 without its angle brackets.
    pub const MAX_LEN: usize = 254;

    /// Puts an address together.
    ///
    /// # Errors
    /// [`Kind::AddressTooLong`](super::AddressErrorKind::AddressTooLong) if it has more than
    /// [`MAX_LEN`](Self::MAX_LEN) octets as written or normalised.
    pub fn new(local_part: LocalPart, domain: DomainName) -> Result<Self, AddressError> {
        let written = local_part.original().len() + 1 + domain.original().len();
        let normalised = local_part.as_str().len() + 1 + domain.as_ascii().len();
        let len = written.max(normalised);
        if len > Self::MAX_LEN {
            return Err(AddressError::new(Kind::AddressTooLong(len), 0));
        }
        Ok(Self { domain, local_part })
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &LocalPart {
        &self.local_part
    }

    /// What stands after the `@`.
    pub fn domain(&self) -> &DomainName {
        &self.domain
    }

    /// The spelling that was parsed: the one to send mail to, since RFC 5321 §2.4 leaves the meaning of a
    /// local part's case to its owner.
    pub fn original(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            write!(
                f,
                "{}@{}",
                self.local_part.original(),
                self.domain.original()
            )
        })
    }

    /// Takes the address apart.
    pub fn into_parts(self) -> (LocalPart, DomainName) {
        (self.local_part, self.domain)
    }
}

impl FromStr for EmailAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let at = LocalPart::prefix_len(text)?;
        let (local_part, rest) = text.split_at_checked(at).unwrap_or((text, ""));
        let Some(domain) = rest.strip_prefix('@') else {
            return Err(match rest.chars().next() {
                Some(c) => AddressError::new(Kind::Character(c), at),
                None => AddressError::new(Kind::NoAt, at),
            });
        };
        let local_part = LocalPart::from_checked(local_part)?;
        let domain = domain
            .parse()
            .map_err(|error: AddressError| error.shifted(at + 1))?;
        Self::new(local_part, domain)
    }
}

impl TryFrom<&str> for EmailAddress {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

/// The normalised form.
impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmailAddress({:?})", self.original().to_string())
    }
}

serde_as_written!(EmailAddress, "a mail address");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> EmailAddress {
        text.parse().unwrap()
    }

    fn error(text: &str) -> (Kind, usize) {
        let error = text.parse::<EmailAddress>().unwrap_err();
        (error.kind().clone(), error.position())
    }

    #[test]
    fn spellings_of_one_mailbox_are_equal() {
        for spelling in [
            r#""john"@example.com"#,
            "JOHN@Example.COM",
            r#""j\o\hn"@example.com"#,
        ] {
            assert_eq!(address(spelling), address("john@example.com"));
            assert_eq!(address(spelling).to_string(), "john@example.com");
            assert_eq!(address(spelling).original().to_string(), spelling);
        }
        assert_eq!(
            address("a@bücher.example"),
            address("a@xn--bcher-kva.example")
        );
    }

    #[test]
    fn an_at_sign_in_quotes_belongs_to_the_local_part() {
        let address = address(r#""a@b"@example.com"#);
        assert_eq!(address.local_part().unquoted(), "a@b");
        assert_eq!(address.domain().as_ascii(), "example.com");
    }

    #[test]
    fn errors_name_the_position_in_the_whole_address() {
        assert_eq!(error(""), (Kind::NoLocalPart, 0));
        assert_eq!(error("@example.com"), (Kind::NoLocalPart, 0));
        assert_eq!(error("john"), (Kind::NoAt, 4));
        assert_eq!(error("john@"), (Kind::NoDomain, 5));
        assert_eq!(error("john@@example.com"), (Kind::Character('@'), 5));
        assert_eq!(error("john@[192.0.2.1]"), (Kind::AddressLiteral, 5));
        assert_eq!(error("john@example.com."), (Kind::TrailingDot, 16));
        assert_eq!(error("<john@example.com>"), (Kind::Character('<'), 0));
        assert_eq!(error("john@example.com>"), (Kind::Character('>'), 16));
        assert_eq!(
            error(r#""john"smith@example.com"#),
            (Kind::Character('s'), 6)
        );
    }

    #[test]
    fn two_hundred_and_fifty_four_octets_are_the_limit() {
        let domain = |len: usize| {
            format!(
                "{}.com",
                vec!["a".repeat(47); 4].join(".") + &"a".repeat(len - 195)
            )
        };
        let local_part = "l".repeat(54);
        assert_eq!(
            address(&format!("{local_part}@{}", domain(199)))
                .to_string()
                .len(),
            254
        );
        assert_eq!(
            error(&format!("{local_part}@{}", domain(200))),
            (Kind::AddressTooLong(255), 0)
        );
    }

    #[test]
    fn addresses_sort_by_domain() {
        let mut sorted = ["b@a.example", "a@b.example", "a@a.example"].map(address);
        sorted.sort();
        assert_eq!(
            sorted.map(|a| a.to_string()),
            ["a@a.example", "b@a.example", "a@b.example"]
        );
    }

    #[test]
    fn serde_keeps_the_spelling() {
        let json = r#""John@Example.com""#;
        let read: EmailAddress = serde_json::from_str(json).unwrap();
        assert_eq!(read, address("john@example.com"));
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }

    proptest! {
        #[test]
        fn normalisation_is_idempotent(text in r#"([a-zA-Zß.+]{1,8}|"([a-zA-Z .@ẞ]|\\[\\"a ]){0,8}")@([a-zA-Zü]{1,3}\.){0,2}[a-zA-Z]{1,3}"#) {
            if let Ok(parsed) = text.parse::<EmailAddress>() {
                prop_assert_eq!(parsed.original().to_string(), &text[..]);
                let again = address(&parsed.to_string());
                prop_assert_eq!(again.original().to_string(), parsed.to_string());
                prop_assert_eq!(again, parsed);
            }
        }

        #[test]
        fn any_text_parses_or_is_refused_at_a_character(text in r#"["\\@.a-cü\n ]{0,20}"#) {
            if let Err(error) = text.parse::<EmailAddress>() {
                prop_assert!(text.is_char_boundary(error.position()));
            }
        }
    }
}
