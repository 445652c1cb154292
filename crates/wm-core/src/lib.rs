//! placeholder

pub mod address;

pub use address::{AddressError, AddressErrorKind, DomainName, EmailAddress, LocalPart};
