use std::fmt;
use std::ops::{BitAnd, BitOr, Not};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The flags of an item that every protocol knows in some form.
///
/// | here | IMAP | EWS | ActiveSync |
/// |---|---|---|---|
/// | `READ` | `\Seen` | `IsRead` | `Read` |
/// | `ANSWERED` | `\Answered` | `PidTagLastVerbExecuted` 102 | `LastVerbExecuted` 1 |
/// | `FORWARDED` | `$Forwarded` | `PidTagLastVerbExecuted` 104 | `LastVerbExecuted` 3 |
/// | `FLAGGED` | `\Flagged` | `Flag/FlagStatus` | `Flag/Status` |
/// | `DRAFT` | `\Draft` | `IsDraft` | `IsDraft` |
/// | `DELETED` | `\Deleted` | not shown | not shown |
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(u16);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// It has been read.
    pub const READ: Self = Self(1);
    /// It has been answered.
    pub const ANSWERED: Self = Self(1 << 1);
    /// It has been forwarded.
    pub const FORWARDED: Self = Self(1 << 2);
    /// It is marked for attention.
    pub const FLAGGED: Self = Self(1 << 3);
    /// It is being written.
    pub const DRAFT: Self = Self(1 << 4);
    /// An IMAP client has marked it for the next EXPUNGE.
    pub const DELETED: Self = Self(1 << 5);

    const NAMES: [(Self, &'static str); 6] = [
        (Self::READ, "read"),
        (Self::ANSWERED, "answered"),
        (Self::FORWARDED, "forwarded"),
        (Self::FLAGGED, "flagged"),
        (Self::DRAFT, "draft"),
        (Self::DELETED, "deleted"),
    ];

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether no flag is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bits, for keys and compact records.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Flags {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Flags {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = Self::NAMES
            .iter()
            .filter(|(flag, _)| self.contains(*flag))
            .map(|(_, name)| name);
        f.debug_set().entries(set).finish()
    }
}

/// An IMAP keyword: a user-defined flag (RFC 3501 §2.3.2); compared ignoring ASCII case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Keyword(String);

/// A text that is not an IMAP keyword.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a keyword: expected 1 to 128 printable ASCII characters other than (){{%*\"\\]"
)]
pub struct ParseKeywordError(String);

impl Keyword {
    /// The keyword as its first user wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|b| b.to_ascii_lowercase())
    }
}

impl FromStr for Keyword {
    type Err = ParseKeywordError;

    fn from_str(text: &str) -> Result<Self, ParseKeywordError> {
        let atom = text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b));
        if atom && (1..=128).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(ParseKeywordError(text.into()))
        }
    }
}

impl TryFrom<String> for Keyword {
    type Error = ParseKeywordError;

    fn try_from(text: String) -> Result<Self, ParseKeywordError> {
        text.parse()
    }
}

impl From<Keyword> for String {
    fn from(keyword: Keyword) -> Self {
        keyword.0
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded().cmp(other.folded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_ignore_case_and_keep_their_spelling() {
        let keyword: Keyword = "$Label1".parse().unwrap();
        assert_eq!(keyword, "$LABEL1".parse().unwrap());
        assert_eq!(keyword.as_str(), "$Label1");
        for wrong in ["", "two words", "\\Seen", "a(b", "ü"] {
            assert!(wrong.parse::<Keyword>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn flags_print_by_name() {
        assert_eq!(
            format!("{:?}", Flags::READ | Flags::DRAFT),
            r#"{"read", "draft"}"#
        );
    }
}
