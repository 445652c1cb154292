use std::fmt;

use serde::{Deserialize, Serialize};
use wm_core::traits::{DnsName, ParseDnsNameError, RecordData, RecordType, Txt};
use wm_core::{DomainName, EmailAddress};

use crate::settings::{Dkim, DomainSettings};

/// The records that a domain needs so that a mail service works for it (DOM-2).
///
/// ```
/// use wm_dns::{DomainSettings, RecordKind, RequiredRecords};
///
/// let settings = DomainSettings::new("example.com".parse()?, "mail.example.net".parse()?, "fmxqxT/icOYx4aA=");
/// let required = RequiredRecords::for_domain(&settings)?;
/// let mx = required.iter().find(|record| record.kind == RecordKind::Mx).unwrap();
/// assert_eq!((mx.name.as_str(), mx.value().as_str()), ("example.com", "10 mail.example.net"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredRecords {
    domain: DomainName,
    records: Vec<RequiredRecord>,
}

/// One record of a domain's set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredRecord {
    /// What it is for.
    pub kind: RecordKind,
    /// Its full name.
    pub name: DnsName,
    /// Its value.
    pub data: RecordData,
    /// How long resolvers should keep it, in seconds.
    pub ttl: u32,
}

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RecordKind {
    /// The token that proves ownership.
    Ownership,
    /// Where mail for the domain goes.
    Mx,
    /// Where clients find their settings.
    Autodiscover,
    /// A key that signs the domain's mail.
    Dkim,
    /// Who may send for the domain.
    Spf,
    /// What becomes of mail that is neither signed nor sent by those.
    Dmarc,
    /// That mail is to be sent over verified TLS.
    MtaSts,
    /// Where failures of that are reported.
    TlsRpt,
    /// Where Thunderbird finds its settings.
    Autoconfig,
    /// Where a client finds a service.
    Srv,
    /// The mail exchanger's key.
    Tlsa,
}

/// What it costs to do without a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The domain receives no mail.
    Essential,
    /// Mail is received, but clients must be set up by hand or sent mail is distrusted.
    Important,
    /// Everything works; this makes it safer or more convenient.
    Recommended,
}

/// Settings from which no records can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A label, or the name that it makes together with the domain, is no DNS name.
    #[error("{label:?} below the domain is not a DNS name: {source}")]
    Name {
        /// The label or labels.
        label: String,
        /// What is wrong.
        source: ParseDnsNameError,
    },
    /// The ownership token is empty, too long or not visible ASCII.
    #[error(
        "an ownership token is 1 to 255 visible ASCII characters other than quotes and backslashes"
    )]
    Token,
    /// A DKIM key's algorithm or base 64 text holds other characters than it may.
    #[error("the DKIM key of selector {0:?} is not base 64")]
    Key(String),
    /// More than three DKIM keys.
    #[error("{0} DKIM keys, the limit is 3")]
    TooManyKeys(usize),
    /// An MTA-STS policy id is not 1 to 32 letters and digits (RFC 8461 §3.1).
    #[error("{0:?} is not an MTA-STS policy id")]
    PolicyId(String),
}

impl RequiredRecords {
    /// The records for a domain, required ones first.
    ///
    /// # Errors
    /// When a setting cannot be written as a record.
    pub fn for_domain(settings: &DomainSettings) -> Result<Self, SettingsError> {
        let mut builder = Builder {
            apex: DnsName::from(&settings.domain),
            ttl: settings.ttl,
            records: Vec::new(),
        };
        builder.required(settings)?;
        builder.recommended(settings)?;
        Ok(Self {
            domain: settings.domain.clone(),
            records: builder.records,
        })
    }

    /// The domain.
    #[must_use]
    pub const fn domain(&self) -> &DomainName {
        &self.domain
    }

    /// The domain as a DNS name.
    #[must_use]
    pub fn apex(&self) -> DnsName {
        DnsName::from(&self.domain)
    }

    /// The records, required ones first.
    pub fn iter(&self) -> std::slice::Iter<'_, RequiredRecord> {
        self.records.iter()
    }

    /// The same without the recommended ones.
    #[must_use]
    pub fn without_recommended(mut self) -> Self {
        self.records
            .retain(|record| record.severity() != Severity::Recommended);
        self
    }

    /// The addresses that every domain should have (RFC 2142), to be offered when it is added (DOM-8).
    #[must_use]
    pub fn suggested_aliases(domain: &DomainName) -> Vec<EmailAddress> {
        ["postmaster", "abuse"]
            .iter()
            .filter_map(|local| format!("{local}@{domain}").parse().ok())
            .collect()
    }
}

impl<'a> IntoIterator for &'a RequiredRecords {
    type Item = &'a RequiredRecord;
    type IntoIter = std::slice::Iter<'a, RequiredRecord>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl RequiredRecord {
    /// Its type.
    #[must_use]
    pub const fn record_type(&self) -> RecordType {
        self.data.record_type()
    }

    /// Its value as people write it: names without the dot at the end, texts without quotes.
    #[must_use]
    pub fn value(&self) -> String {
        value_text(&self.data)
    }

    /// What it costs to do without.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self.kind {
            RecordKind::Ownership | RecordKind::Mx => Severity::Essential,
            RecordKind::Autodiscover | RecordKind::Dkim | RecordKind::Spf | RecordKind::Dmarc => {
                Severity::Important
            }
            _ => Severity::Recommended,
        }
    }

    /// Why it matters, in a sentence.
    #[must_use]
    pub const fn why(&self) -> &'static str {
        match self.kind {
            RecordKind::Ownership => {
                "Proves that the domain is yours; no mail is accepted before that."
            }
            RecordKind::Mx => "Tells other servers where to deliver the domain's mail.",
            RecordKind::Autodiscover => {
                "Lets Outlook and phones set themselves up from address and password."
            }
            RecordKind::Dkim => {
                "Publishes the key that signs the domain's mail, so that receivers can trust it."
            }
            RecordKind::Spf => {
                "Names the servers that may send for the domain, so that its mail is not taken for spam."
            }
            RecordKind::Dmarc => {
                "Tells receivers what to do with mail that only pretends to come from the domain."
            }
            RecordKind::MtaSts => {
                "Keeps others from reading mail on its way by switching off encryption."
            }
            RecordKind::TlsRpt => "Has other servers report when they could not deliver over TLS.",
            RecordKind::Autoconfig => "Lets Thunderbird set itself up from address and password.",
            RecordKind::Srv => {
                "Lets clients find the service without being told its host and port."
            }
            RecordKind::Tlsa => {
                "Binds the mail server's key to its name, for servers that verify it with DNSSEC."
            }
        }
    }
}

impl RecordKind {
    /// Its name in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ownership => "ownership",
            Self::Mx => "mx",
            Self::Autodiscover => "autodiscover",
            Self::Dkim => "dkim",
            Self::Spf => "spf",
            Self::Dmarc => "dmarc",
            Self::MtaSts => "mta-sts",
            Self::TlsRpt => "tls-rpt",
            Self::Autoconfig => "autoconfig",
            Self::Srv => "srv",
            Self::Tlsa => "tlsa",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The value of a record as people write it.
pub(crate) fn value_text(data: &RecordData) -> String {
    match data {
        RecordData::A(address) => address.to_string(),
        RecordData::Aaaa(address) => address.to_string(),
        RecordData::Cname(name) | RecordData::Ns(name) | RecordData::Ptr(name) => name.to_string(),
        RecordData::Mx {
            preference,
            exchange,
        } => format!("{preference} {exchange}"),
        RecordData::Srv {
            priority,
            weight,
            port,
            target,
        } => format!("{priority} {weight} {port} {target}"),
        RecordData::Tlsa {
            usage,
            selector,
            matching,
            data,
        } => {
            let hex: String = data.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("{usage} {selector} {matching} {hex}")
        }
        RecordData::Txt(txt) => txt.text().into_owned(),
        other => other.record_type().to_string(),
    }
}

struct Builder {
    apex: DnsName,
    ttl: u32,
    records: Vec<RequiredRecord>,
}

impl Builder {
    fn required(&mut self, settings: &DomainSettings) -> Result<(), SettingsError> {
        let token = &settings.ownership_token;
        let is_visible = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'"' | b'\\');
        if token.is_empty() || token.len() > 255 || !token.bytes().all(is_visible) {
            return Err(SettingsError::Token);
        }
        self.text(RecordKind::Ownership, &settings.ownership_label, token)?;
        let mx = RecordData::Mx {
            preference: settings.preference,
            exchange: settings.exchanger.clone(),
        };
        self.push(RecordKind::Mx, self.apex.clone(), mx);
        self.alias(
            RecordKind::Autodiscover,
            "autodiscover",
            &settings.autodiscover,
        )?;
        match &settings.dkim {
            Dkim::Delegated(aliases) => {
                for alias in aliases {
                    self.alias(
                        RecordKind::Dkim,
                        &format!("{}._domainkey", alias.selector),
                        &alias.target,
                    )?;
                }
            }
            Dkim::Keys(keys) if keys.len() > 3 => {
                return Err(SettingsError::TooManyKeys(keys.len()));
            }
            Dkim::Keys(keys) => {
                for key in keys {
                    let base64 =
                        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
                    let named = key
                        .algorithm
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-');
                    if key.public_key.is_empty() || !key.public_key.bytes().all(base64) || !named {
                        return Err(SettingsError::Key(key.selector.clone()));
                    }
                    self.text(
                        RecordKind::Dkim,
                        &format!("{}._domainkey", key.selector),
                        &key.record_text(),
                    )?;
                }
            }
        }
        let spf = Txt::new(&settings.spf.to_string());
        self.push(RecordKind::Spf, self.apex.clone(), RecordData::Txt(spf));
        self.text(RecordKind::Dmarc, "_dmarc", &settings.dmarc.to_string())
    }

    fn recommended(&mut self, settings: &DomainSettings) -> Result<(), SettingsError> {
        let recommended = &settings.recommended;
        if let Some((id, host)) = &recommended.mta_sts {
            if id.is_empty() || id.len() > 32 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(SettingsError::PolicyId(id.clone()));
            }
            self.text(RecordKind::MtaSts, "_mta-sts", &format!("v=STSv1; id={id}"))?;
            self.alias(RecordKind::MtaSts, "mta-sts", host)?;
        }
        if let Some(address) = &recommended.tls_reports {
            self.text(
                RecordKind::TlsRpt,
                "_smtp._tls",
                &format!("v=TLSRPTv1; rua=mailto:{address}"),
            )?;
        }
        if let Some(host) = &recommended.autoconfig {
            self.alias(RecordKind::Autoconfig, "autoconfig", host)?;
        }
        for service in &recommended.services {
            let data = RecordData::Srv {
                priority: 0,
                weight: 1,
                port: service.port,
                target: service.host.clone(),
            };
            let name = self.below(&format!("_{}._tcp", service.name))?;
            self.push(RecordKind::Srv, name, data);
        }
        let exchanger = &settings.exchanger;
        if *exchanger == self.apex || exchanger.is_below(&self.apex) {
            for digest in &recommended.key_digests {
                let data = RecordData::Tlsa {
                    usage: 3,
                    selector: 1,
                    matching: 1,
                    data: digest.to_vec(),
                };
                let name = below(exchanger, "_25._tcp")?;
                self.push(RecordKind::Tlsa, name, data);
            }
        }
        Ok(())
    }

    fn text(&mut self, kind: RecordKind, label: &str, text: &str) -> Result<(), SettingsError> {
        let name = self.below(label)?;
        self.push(kind, name, RecordData::Txt(Txt::new(text)));
        Ok(())
    }

    fn alias(
        &mut self,
        kind: RecordKind,
        label: &str,
        target: &DnsName,
    ) -> Result<(), SettingsError> {
        let name = self.below(label)?;
        self.push(kind, name, RecordData::Cname(target.clone()));
        Ok(())
    }

    fn push(&mut self, kind: RecordKind, name: DnsName, data: RecordData) {
        self.records.push(RequiredRecord {
            kind,
            name,
            data,
            ttl: self.ttl,
        });
    }

    fn below(&self, label: &str) -> Result<DnsName, SettingsError> {
        below(&self.apex, label)
    }
}

fn below(name: &DnsName, label: &str) -> Result<DnsName, SettingsError> {
    name.child(label).map_err(|source| SettingsError::Name {
        label: label.to_owned(),
        source,
    })
}
