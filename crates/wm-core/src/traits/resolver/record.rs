use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::DnsName;

/// The record types a mail system asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum RecordType {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Alias.
    Cname,
    /// Mail exchanger.
    Mx,
    /// Name server.
    Ns,
    /// Host name of an address.
    Ptr,
    /// Service (RFC 2782).
    Srv,
    /// Certificate association (RFC 6698).
    Tlsa,
    /// Text.
    Txt,
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Srv => "SRV",
            Self::Tlsa => "TLSA",
            Self::Txt => "TXT",
        })
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The name that has it.
    pub name: DnsName,
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: RecordData,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RecordData {
    /// IPv4 address.
    A(Ipv4Addr),
    /// IPv6 address.
    Aaaa(Ipv6Addr),
    /// Alias.
    Cname(DnsName),
    /// Mail exchanger.
    Mx {
        /// The smallest is tried first.
        preference: u16,
        /// The host; the root says that no mail is taken (RFC 7505).
        exchange: DnsName,
    },
    /// Name server.
    Ns(DnsName),
    /// Host name of an address.
    Ptr(DnsName),
    /// Service.
    Srv {
        /// The smallest is tried first.
        priority: u16,
        /// Share among those of one priority.
        weight: u16,
        /// Port.
        port: u16,
        /// The host; the root says that there is no such service.
        target: DnsName,
    },
    /// Certificate association.
    Tlsa {
        /// Certificate usage.
        usage: u8,
        /// What of the certificate is matched.
        selector: u8,
        /// How it is presented.
        matching: u8,
        /// The data to match.
        data: Vec<u8>,
    },
    /// Text.
    Txt(Txt),
}

impl RecordData {
    /// Its type.
    #[must_use]
    pub const fn record_type(&self) -> RecordType {
        match self {
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::Aaaa,
            Self::Cname(_) => RecordType::Cname,
            Self::Mx { .. } => RecordType::Mx,
            Self::Ns(_) => RecordType::Ns,
            Self::Ptr(_) => RecordType::Ptr,
            Self::Srv { .. } => RecordType::Srv,
            Self::Tlsa { .. } => RecordType::Tlsa,
            Self::Txt(_) => RecordType::Txt,
        }
    }
}

/// The character strings of a TXT record. How a text is cut into strings means nothing (RFC 7208
/// §3.3, RFC 6376 §3.6.2.2), except to whoever looks for the mistake in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Txt {
    /// The strings, each of at most 255 octets.
    pub strings: Vec<Vec<u8>>,
}

impl Txt {
    /// A text cut into strings of at most 255 octets.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut strings: Vec<Vec<u8>> = text.as_bytes().chunks(255).map(<[u8]>::to_vec).collect();
        if strings.is_empty() {
            strings.push(Vec::new());
        }
        Self { strings }
    }

    /// The strings joined with nothing between them.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        self.strings.concat()
    }

    /// The strings joined as text; what is not UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self.strings.as_slice() {
            [one] => String::from_utf8_lossy(one),
            many => Cow::Owned(String::from_utf8_lossy(&many.concat()).into_owned()),
        }
    }
}

/// What the DNS holds at a name. Each kind names the aliases that were followed: the targets of the
/// CNAME records from the name asked for, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Records of the type asked for, at least one.
    Records {
        /// Aliases followed.
        aliases: Vec<DnsName>,
        /// The records.
        records: Vec<Record>,
    },
    /// The name exists without such records (RFC 2308 §2.2).
    NoData {
        /// Aliases followed.
        aliases: Vec<DnsName>,
    },
    /// There is no such name (RFC 2308 §2.1).
    NxDomain {
        /// Aliases followed.
        aliases: Vec<DnsName>,
    },
}

impl Answer {
    /// Whether there is no such name.
    #[must_use]
    pub const fn is_nxdomain(&self) -> bool {
        matches!(self, Self::NxDomain { .. })
    }

    /// The aliases that were followed.
    #[must_use]
    pub fn aliases(&self) -> &[DnsName] {
        let (Self::Records { aliases, .. } | Self::NoData { aliases } | Self::NxDomain { aliases }) =
            self;
        aliases
    }

    /// The records; empty when there are none.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        match self {
            Self::Records { records, .. } => records,
            Self::NoData { .. } | Self::NxDomain { .. } => &[],
        }
    }

    /// The values of its TXT records.
    pub fn texts(&self) -> impl Iterator<Item = &Txt> {
        self.records()
            .iter()
            .filter_map(|record| match &record.data {
                RecordData::Txt(txt) => Some(txt),
                _ => None,
            })
    }

    /// Preference and host of its MX records, most preferred first.
    #[must_use]
    pub fn exchanges(&self) -> Vec<(u16, &DnsName)> {
        let mut exchanges: Vec<_> = self
            .records()
            .iter()
            .filter_map(|record| match &record.data {
                RecordData::Mx {
                    preference,
                    exchange,
                } => Some((*preference, exchange)),
                _ => None,
            })
            .collect();
        exchanges.sort_by_key(|(preference, _)| *preference);
        exchanges
    }

    /// The addresses of its A and AAAA records.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.records()
            .iter()
            .filter_map(|record| match record.data {
                RecordData::A(address) => Some(address.into()),
                RecordData::Aaaa(address) => Some(address.into()),
                _ => None,
            })
    }

    /// The names its CNAME, NS or PTR records point to.
    pub fn names(&self) -> impl Iterator<Item = &DnsName> {
        self.records()
            .iter()
            .filter_map(|record| match &record.data {
                RecordData::Cname(name) | RecordData::Ns(name) | RecordData::Ptr(name) => {
                    Some(name)
                }
                _ => None,
            })
    }
}
