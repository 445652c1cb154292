use wm_core::traits::DnsName;
use wm_core::{DomainName, EmailAddress};

use crate::dmarc::{Dmarc, Policy};
use crate::spf::{Directive, DomainSpec, Mechanism, Qualifier, Spf};

/// What a mail service asks of a domain. Start from [`DomainSettings::new`] and change what differs.
///
/// ```
/// use wm_dns::DomainSettings;
///
/// let mut settings = DomainSettings::new("example.com".parse()?, "mail.example.net".parse()?, "fmxqxT/icOYx4aA=");
/// settings.spf = "v=spf1 include:spf.example.net ~all".parse()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct DomainSettings {
    /// The mail domain.
    pub domain: DomainName,
    /// The label below which the ownership token is published; `_amazonses` by default. The token is
    /// also accepted at the domain itself (DOM-2).
    pub ownership_label: String,
    /// The text that proves ownership: visible ASCII characters, at most 255.
    pub ownership_token: String,
    /// The host that takes mail for the domain.
    pub exchanger: DnsName,
    /// Its preference; 10 by default.
    pub preference: u16,
    /// The host that answers AutoDiscover requests.
    pub autodiscover: DnsName,
    /// How outgoing mail is signed; not at all by default.
    pub dkim: Dkim,
    /// The senders to be authorised; by default the mail exchangers, `v=spf1 mx ~all`.
    pub spf: Spf,
    /// The policy to be published; by default `p=quarantine`.
    pub dmarc: Dmarc,
    /// Records that make the service more convenient or safer; none by default.
    pub recommended: Recommended,
    /// How long resolvers may keep the records, in seconds; 3600 by default, as the guide advises.
    pub ttl: u32,
}

/// How outgoing mail of the domain is signed (RFC 6376).
#[derive(Debug, Clone)]
pub enum Dkim {
    /// By a service that keeps the keys: each selector is an alias of the service's record. Three,
    /// so that keys can be rotated.
    Delegated([DkimAlias; 3]),
    /// By this server: at most three keys.
    Keys(Vec<DkimKey>),
}

/// A selector that is an alias of a signing service's key.
#[derive(Debug, Clone)]
pub struct DkimAlias {
    /// The label below `_domainkey`.
    pub selector: String,
    /// The name where the service publishes the key.
    pub target: DnsName,
}

/// A public key of this server.
#[derive(Debug, Clone)]
pub struct DkimKey {
    /// The label below `_domainkey`.
    pub selector: String,
    /// `rsa` or `ed25519`.
    pub algorithm: String,
    /// The key in base 64, as in the `p` tag.
    pub public_key: String,
}

/// Records that are not required.
#[derive(Debug, Clone, Default)]
pub struct Recommended {
    /// MTA-STS (RFC 8461): the id of the present policy and the host that serves it.
    pub mta_sts: Option<(String, DnsName)>,
    /// Where reports on TLS failures are sent (RFC 8460).
    pub tls_reports: Option<EmailAddress>,
    /// The host that answers Thunderbird's `autoconfig` requests.
    pub autoconfig: Option<DnsName>,
    /// Services that clients look for (RFC 6186, RFC 8314, RFC 6764).
    pub services: Vec<Service>,
    /// SHA-256 digests of the mail exchanger's public keys (DANE, RFC 7672). They are published below
    /// the exchanger's name, and asked for only where that lies in the domain.
    pub key_digests: Vec<[u8; 32]>,
}

/// A service that clients find by an SRV record.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name without the underscore: `imaps`, `submissions`, `caldavs`.
    pub name: String,
    /// The host.
    pub host: DnsName,
    /// The port.
    pub port: u16,
}

/// The label under which the reference system looks for the ownership token.
pub(crate) const OWNERSHIP_LABEL: &str = "_amazonses";

impl DomainSettings {
    /// The settings of a service that has one host for everything.
    #[must_use]
    pub fn new(domain: DomainName, host: DnsName, ownership_token: &str) -> Self {
        Self {
            domain,
            ownership_label: OWNERSHIP_LABEL.to_owned(),
            ownership_token: ownership_token.to_owned(),
            exchanger: host.clone(),
            preference: 10,
            autodiscover: host,
            dkim: Dkim::Keys(Vec::new()),
            spf: Spf::allowing(Mechanism::Mx {
                domain: None,
                prefix: (32, 128),
            }),
            dmarc: Dmarc::new(Policy::Quarantine),
            recommended: Recommended::default(),
            ttl: 3600,
        }
    }

    /// The settings of the reference system in a region, such as `us-east-1`, where the three DKIM
    /// selectors are `tokens`.
    ///
    /// # Errors
    /// When `region` is no label.
    pub fn of_region(
        domain: DomainName,
        region: &str,
        ownership_token: &str,
        tokens: [&str; 3],
    ) -> Result<Self, wm_core::traits::ParseDnsNameError> {
        let [a, b, c] = tokens.map(|token| {
            let target = format!("{token}.dkim.amazonses.com").parse()?;
            Ok(DkimAlias {
                selector: token.to_owned(),
                target,
            })
        });
        let amazonses: DnsName = "amazonses.com".parse()?;
        Ok(Self {
            autodiscover: format!("autodiscover.mail.{region}.awsapps.com").parse()?,
            dkim: Dkim::Delegated([a?, b?, c?]),
            spf: Spf::allowing(Mechanism::Include(DomainSpec::from(&amazonses))),
            ..Self::new(
                domain,
                format!("inbound-smtp.{region}.amazonaws.com").parse()?,
                ownership_token,
            )
        })
    }
}

impl Spf {
    /// The record that lets one kind of sender pass and asks for suspicion of all others.
    #[must_use]
    pub fn allowing(mechanism: Mechanism) -> Self {
        Self {
            directives: vec![
                Directive {
                    qualifier: Qualifier::Pass,
                    mechanism,
                },
                Directive {
                    qualifier: Qualifier::SoftFail,
                    mechanism: Mechanism::All,
                },
            ],
            redirect: None,
            exp: None,
        }
    }
}

impl DkimKey {
    /// The text of the key record (RFC 6376 §3.6.1).
    #[must_use]
    pub fn record_text(&self) -> String {
        format!("v=DKIM1; k={}; p={}", self.algorithm, self.public_key)
    }
}
