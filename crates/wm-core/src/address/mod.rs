//! Mail addresses: [`DomainName`], [`LocalPart`] and [`EmailAddress`] (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! A value of these types is valid and normalised once, when it is parsed. Equality, order and hash
//! look at the normalised form only, so addresses that the mail system delivers to the same mailbox
//! are equal, and a map of them needs no further care. The spelling that was given is kept beside it,
//! because a message travels with the address its sender wrote.
//!
//! ```
//! use wm_core::EmailAddress;
//!
//! let written: EmailAddress = r#""John"@Bücher.example"#.parse()?;
//! assert_eq!(written, "john@xn--bcher-kva.example".parse()?);
//! assert_eq!(written.to_string(), "john@xn--bcher-kva.example");
//! assert_eq!(written.original().to_string(), r#""John"@Bücher.example"#);
//!
//! let error = "john@bücher..example".parse::<EmailAddress>().unwrap_err();
//! assert_eq!(error.to_string(), "empty label at byte 13");
//! # Ok::<(), wm_core::AddressError>(())
//! ```
//!
//! | | normalised by | at most |
//! |---|---|---|
//! | domain | IDNA (UTS #46, non-transitional), A-labels, lower case | 253 octets, labels of 1 to 63 |
//! | local part | unquoting where quotes are not needed, case folding | 64 octets |
//! | address | both | 254 octets |
//!
//! Local parts are compared without regard to case, as the reference system does (FLW-4). Unicode
//! normalisation is not applied to them: RFC 6532 §3.1 asks the sender for NFC.

mod domain;
mod email;
mod error;
mod local_part;
mod spelled;

pub use domain::DomainName;
pub use email::EmailAddress;
pub use error::{AddressError, AddressErrorKind};
pub use local_part::LocalPart;

/// Implements serde as a string for a type with `FromStr` and a method that gives its original spelling.
macro_rules! serde_as_written {
    ($type:ty, $expecting:literal) => {
        /// As a string, in the original spelling, so that nothing is lost in storage.
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.original())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}
use serde_as_written;
