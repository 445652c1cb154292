use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Extended (MAPI) properties of an item or folder, kept losslessly for the client that set them.
pub type Properties = BTreeMap<PropertyName, PropertyValue>;

/// The name of an extended property (EWS `ExtendedFieldURI`; [MS-OXPROPS]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PropertyName {
    /// A tagged property, by its 16-bit id.
    Tag(u16),
    /// A named property with a numeric id in a set.
    Id(PropertySet, u32),
    /// A named property with a textual name in a set.
    Name(PropertySet, String),
}

/// The GUID of a property set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PropertySet(pub u128);

impl PropertySet {
    /// `PS_PUBLIC_STRINGS`, where EWS puts `PublicStrings`.
    pub const PUBLIC_STRINGS: Self = Self(0x0002_0329_0000_0000_C000_0000_0000_0046);
    /// `PSETID_Common`.
    pub const COMMON: Self = Self(0x0006_2008_0000_0000_C000_0000_0000_0046);
    /// `PS_INTERNET_HEADERS`.
    pub const INTERNET_HEADERS: Self = Self(0x0002_0386_0000_0000_C000_0000_0000_0046);
}

/// The value of an extended property ([MS-OXCDATA] 2.11.1); arrays by `Many`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the protocol's own type names")]
pub enum PropertyValue {
    Boolean(bool),
    Short(i16),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Currency(i64),
    ApplicationTime(f64),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    SystemTime(crate::Timestamp),
    String(String),
    Guid(u128),
    Binary(Vec<u8>),
    /// Values of one type.
    Many(Vec<PropertyValue>),
}
