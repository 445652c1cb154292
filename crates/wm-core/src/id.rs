//! Identifiers. Each is opaque to everybody but the crate that issues it; the textual forms are those
//! of the reference system (`m-` + 32 hex for an organization, a UUID for users and groups,
//! `r-` + 32 hex for resources, 12 digits for an account).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text that is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {kind}: expected {expected}")]
pub struct ParseIdError {
    kind: &'static str,
    expected: &'static str,
    text: String,
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        id_common!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:032x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix($prefix)
                    .and_then(parse_hex)
                    .map(Self)
                    .ok_or_else(|| ParseIdError { kind: $kind, expected: $expected, text: text.into() })
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        id_common!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let v = self.0;
                write!(
                    f,
                    "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    v >> 96,
                    (v >> 80) & 0xffff,
                    (v >> 64) & 0xffff,
                    (v >> 48) & 0xffff,
                    v & 0xffff_ffff_ffff,
                )
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_uuid(text).map(Self).ok_or_else(|| ParseIdError {
                    kind: $kind,
                    expected: "a UUID such as 6f1c2a30-0d5e-4a55-9e0b-2f6f5a0e7b11",
                    text: text.into(),
                })
            }
        }
    };
}

macro_rules! id_common {
    ($name:ident) => {
        impl $name {
            /// The identifier with this value. Values come from an
            /// [`IdSource`](crate::traits::IdSource) or from storage.
            #[must_use]
            pub const fn from_u128(value: u128) -> Self {
                Self(value)
            }

            /// The value, as stores keep it.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?
                        .parse()
                        .map_err(de::Error::custom)
                } else {
                    u128::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

hex_id! {
    /// An organization, the unit of tenancy (ORG-1): `m-` and 32 hexadecimal digits.
    OrganizationId, "an organization id", "m- and 32 hexadecimal digits", "m-"
}
hex_id! {
    /// A room or a piece of equipment (RES-1): `r-` and 32 hexadecimal digits.
    ResourceId, "a resource id", "r- and 32 hexadecimal digits", "r-"
}
hex_id! {
    /// The idempotency key of one accepted message; see [`Spool`](crate::traits::Spool).
    AcceptId, "an accept id", "a- and 32 hexadecimal digits", "a-"
}
uuid_id! {
    /// A user, unique for good: a re-created user of the same name has another id (USR-3).
    UserId, "a user id"
}
uuid_id! {
    /// A group (GRP-1).
    GroupId, "a group id"
}
uuid_id! {
    /// A mailbox. It carries the value of the user or resource that owns it, which is what binds
    /// a retained mailbox to its owner (USR-3).
    MailboxId, "a mailbox id"
}

impl From<UserId> for MailboxId {
    fn from(user: UserId) -> Self {
        Self(user.0)
    }
}

impl From<ResourceId> for MailboxId {
    fn from(resource: ResourceId) -> Self {
        Self(resource.0)
    }
}

/// An account: the owner of organizations, access keys and audit (ORG-0); twelve decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

impl AccountId {
    /// The account with this number, if it fits twelve digits.
    #[must_use]
    pub const fn from_u64(value: u64) -> Option<Self> {
        if value < 1_000_000_000_000 {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl FromStr for AccountId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let digits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        digits
            .then(|| text.parse().ok())
            .flatten()
            .and_then(Self::from_u64)
            .ok_or_else(|| ParseIdError {
                kind: "an account id",
                expected: "12 decimal digits",
                text: text.into(),
            })
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id! {
    /// A folder within its mailbox; never reused there.
    FolderId
}
number_id! {
    /// An item within its mailbox; never reused there and unchanged when the item moves between
    /// the mailbox's folders. Issued in rising order by the store's committer.
    ItemId
}
number_id! {
    /// A modification sequence number (RFC 7162) of a mailbox. Every commit takes the next one;
    /// zero is "before everything".
    ModSeq
}
number_id! {
    /// A task of the spool; never reused.
    TaskId
}

impl ModSeq {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

macro_rules! imap_number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub std::num::NonZeroU32);

        impl $name {
            /// The number, unless it is zero.
            #[must_use]
            pub const fn new(value: u32) -> Option<Self> {
                match std::num::NonZeroU32::new(value) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The plain number.
            #[must_use]
            pub const fn as_u32(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

imap_number! {
    /// An item's unique identifier within one folder incarnation (RFC 3501 §2.3.1.1): strictly
    /// rising, never reused, new when an item moves.
    Uid
}
imap_number! {
    /// The incarnation of a folder; with it a [`Uid`] is valid for good (RFC 3501 §2.3.1.1).
    UidValidity
}

/// The name of a stored body within its organization: a keyed hash of its content, so that equal
/// bodies are stored once and nobody outside can confirm that a given file is there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BodyId(pub [u8; 32]);

impl fmt::Display for BodyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BodyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyId({self})")
    }
}

/// The conversation (thread) an item belongs to.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ConversationId(pub u128);

/// A mailbox named in full. Stores take nothing less, so an id of another organization finds
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MailboxRef {
    /// The organization that owns it.
    pub organization: OrganizationId,
    /// The mailbox within it.
    pub mailbox: MailboxId,
}

impl fmt::Display for MailboxRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.organization, self.mailbox)
    }
}

fn parse_hex(text: &str) -> Option<u128> {
    let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

fn parse_uuid(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    let dashes = [8, 13, 18, 23];
    if bytes.len() != 36 || !dashes.iter().all(|&at| bytes.get(at) == Some(&b'-')) {
        return None;
    }
    parse_hex(&text.replace('-', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textual_forms_are_those_of_the_reference_system() {
        let organization = OrganizationId::from_u128(0xd281);
        assert_eq!(
            organization.to_string(),
            "m-0000000000000000000000000000d281"
        );
        assert_eq!(organization.to_string().parse(), Ok(organization));

        let user = UserId::from_u128(0x6f1c_2a30_0d5e_4a55_9e0b_2f6f_5a0e_7b11);
        assert_eq!(user.to_string(), "6f1c2a30-0d5e-4a55-9e0b-2f6f5a0e7b11");
        assert_eq!(user.to_string().parse(), Ok(user));

        assert_eq!("000000000042".parse(), Ok(AccountId(42)));
    }

    #[test]
    fn a_malformed_id_says_what_was_expected() {
        let error = "m-12".parse::<OrganizationId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"m-12\" is not an organization id: expected m- and 32 hexadecimal digits"
        );
        assert!(
            "6f1c2a30-0d5e-4a55-9e0b-2f6f5a0e7b1é"
                .parse::<UserId>()
                .is_err()
        );
        assert!(
            "6f1c2a300d5e-4a55-9e0b-2f6f5a0e-7b11"
                .parse::<UserId>()
                .is_err()
        );
        assert!("+00000000001".parse::<AccountId>().is_err());
        assert!(
            "m-+0000000000000000000000000000001"
                .parse::<OrganizationId>()
                .is_err()
        );
    }
}
