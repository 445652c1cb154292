use std::fmt;

/// Why a text is not an address, local part or domain name, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError {
    kind: AddressErrorKind,
    at: usize,
}

/// What is wrong with an address.
///
/// Lengths are in octets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressErrorKind {
    /// The local part is missing.
    #[error("local part missing")]
    NoLocalPart,
    /// There is no `@` after the local part.
    #[error("@ missing")]
    NoAt,
    /// The domain is missing.
    #[error("domain missing")]
    NoDomain,
    /// The character is not allowed in this place.
    #[error("unexpected character {0:?}")]
    Character(char),
    /// The local part begins or ends with a dot, or has two in a row, outside quotes.
    #[error("dot without an atom beside it")]
    Dot,
    /// A quoted local part has no closing quote.
    #[error("closing quote missing")]
    OpenQuote,
    /// The local part has more than 64 octets (RFC 5321 §4.5.3.1.1).
    #[error("local part of {0} octets, the limit is 64")]
    LocalPartTooLong(usize),
    /// Two dots in a row, or a dot in front.
    #[error("empty label")]
    EmptyLabel,
    /// The domain ends with a dot.
    #[error("trailing dot")]
    TrailingDot,
    /// The label, as an A-label, has more than 63 octets (RFC 1035 §2.3.4).
    #[error("label of {0} octets, the limit is 63")]
    LabelTooLong(usize),
    /// The label begins or ends with a hyphen.
    #[error("hyphen at the edge of a label")]
    Hyphen,
    /// The label is not a valid internationalised label (UTS #46), for example an A-label
    /// that does not decode, or a mix of writing directions.
    #[error("invalid internationalised label")]
    Idna,
    /// The domain has more than 253 octets as A-labels, or more than four times as many as written.
    #[error("domain of {0} octets, the limit is 253")]
    DomainTooLong(usize),
    /// An address literal such as `[192.0.2.1]` or `[IPv6:2001:db8::1]` instead of a domain name.
    #[error("address literal instead of a domain name")]
    AddressLiteral,
    /// An IPv4 address without brackets, which is never a host name (RFC 1123 §2.1).
    #[error("IP address instead of a domain name")]
    IpAddress,
    /// The address has more than 254 octets (RFC 5321 §4.5.3.1.3, less the angle brackets).
    #[error("address of {0} octets, the limit is 254")]
    AddressTooLong(usize),
}

impl AddressError {
    pub(super) fn new(kind: AddressErrorKind, at: usize) -> Self {
        Self { kind, at }
    }

    /// What is wrong.
    pub fn kind(&self) -> &AddressErrorKind {
        &self.kind
    }

    /// The byte of the input where it is wrong: the first byte of the character, label or part concerned.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The same error in a longer text, in which the parsed one starts at byte `offset`.
    #[must_use]
    pub fn shifted(self, offset: usize) -> Self {
        Self {
            at: self.at + offset,
            ..self
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.at)
    }
}

impl std::error::Error for AddressError {}
