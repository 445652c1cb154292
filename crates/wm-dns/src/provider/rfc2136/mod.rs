//! Dynamic update (RFC 2136), signed with TSIG (RFC 8945): what BIND, Knot, PowerDNS and others take.
//! Feature `rfc2136`.

mod message;
mod tsig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use wm_core::traits::{Clock, DnsName, IdSource, Record, RecordType};

use super::{DnsProvider, ProviderError};
use crate::resolver::{Query, Response, Wire, WireError};
use message::Addition;

pub use tsig::{ParseTsigAlgorithmError, Rejection, TsigAlgorithm, TsigFault, TsigKey};

/// A zone's primary server, asked and changed over streams. Questions are signed too: a server may show
/// another zone to those who have a key.
pub struct Rfc2136<W> {
    link: Link<W>,
    zone: DnsName,
}

/// How to reach a primary server, and with what right.
#[derive(Clone)]
pub struct Link<W> {
    /// What carries messages.
    pub wire: W,
    /// The server.
    pub server: SocketAddr,
    /// The key; `None` for a server that goes by addresses alone.
    pub key: Option<TsigKey>,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// The time, for signatures.
    pub clock: Arc<dyn Clock>,
    /// Ids of messages.
    pub ids: Arc<dyn IdSource>,
}

/// Why a zone could not be read or updated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// No answer, or no connection. Whether an update was done is not known.
    #[error("no answer from the name server: {0}")]
    Wire(#[from] WireError),
    /// The answer is not one to this request.
    #[error("unusable answer: {0}")]
    Answer(String),
    /// The signature of the answer is not right, or the server does not accept ours.
    #[error("the answer does not count: {0}")]
    Tsig(TsigFault),
    /// The server does not accept the request's signature.
    #[error("{0}")]
    Rejected(Rejection),
    /// YXDOMAIN, YXRRSET, NXRRSET: the zone holds something else than was seen.
    #[error("{0}")]
    Changed(&'static str),
    /// REFUSED.
    #[error("the name server does not allow it to this key or address (REFUSED)")]
    Denied,
    /// NOTAUTH.
    #[error("the name server is not the primary of the zone (NOTAUTH)")]
    NotPrimary,
    /// NOTZONE.
    #[error("a record does not belong to the zone (NOTZONE)")]
    NotInZone,
    /// NOTIMP.
    #[error("the name server does not know dynamic update (NOTIMP)")]
    NotImplemented,
    /// FORMERR.
    #[error("the name server does not understand the request (FORMERR)")]
    Format,
    /// SERVFAIL.
    #[error("the name server failed (SERVFAIL)")]
    ServerFailure,
    /// Another RCODE.
    #[error("the name server answered with RCODE {0}")]
    Code(u16),
    /// The server has no zone that holds the name.
    #[error("the name server has no zone that holds {0}")]
    NoZone(DnsName),
    /// Part of the zone is kept by other servers.
    #[error("{0} is delegated to other name servers")]
    Delegated(DnsName),
    /// The update does not fit in a message.
    #[error("the update does not fit in a message")]
    TooLarge,
    /// A record type that cannot be written.
    #[error("records of type {0} cannot be added")]
    Unsupported(RecordType),
}

/// The types whose records are read: those that can be required, and those that stand in the way of an
/// alias. An alias comes with the answer to every question.
const TYPES: [RecordType; 6] = [
    RecordType::Txt,
    RecordType::Mx,
    RecordType::Srv,
    RecordType::Tlsa,
    RecordType::A,
    RecordType::Aaaa,
];

impl<W: Wire> Rfc2136<W> {
    /// Finds the zone that holds a domain on a server.
    ///
    /// # Errors
    /// When the server has none, or gives no answer.
    pub async fn for_domain(link: Link<W>, domain: &DnsName) -> Result<Self, UpdateError> {
        let response = link.ask(domain, RecordType::Ns).await?;
        if !response.authoritative {
            return Err(UpdateError::NoZone(domain.clone()));
        }
        // A zone has NS records at its own name; below it, the SOA record comes with the "no".
        let zone = match response.zone {
            Some(zone) if zone == *domain || domain.is_below(&zone) => zone,
            Some(_) => return Err(UpdateError::NoZone(domain.clone())),
            None => domain.clone(),
        };
        Ok(Self { link, zone })
    }

    /// The zone.
    #[must_use]
    pub const fn zone(&self) -> &DnsName {
        &self.zone
    }

    /// Everything at a name itself: not what a wildcard above it stands in with, which is neither in the
    /// way of a record nor there in the sense of a prerequisite (RFC 4592).
    async fn at(&self, name: &DnsName) -> Result<Vec<Record>, UpdateError> {
        let mut found = Vec::new();
        for record_type in TYPES {
            let nothing = !self.ask(name, record_type, &mut found).await?;
            let alias = found
                .iter()
                .any(|it| it.data.record_type() == RecordType::Cname);
            if nothing || alias {
                break;
            }
        }
        let above = std::iter::successors(name.parent(), DnsName::parent);
        let above = above.take_while(|it| *it == self.zone || it.is_below(&self.zone));
        for wildcard in above.filter_map(|it| it.child("*").ok()) {
            let mut types: Vec<RecordType> = found.iter().map(|it| it.data.record_type()).collect();
            types.dedup();
            let mut stand_ins = Vec::new();
            for record_type in types {
                self.ask(&wildcard, record_type, &mut stand_ins).await?;
            }
            found.retain(|record| stand_ins.iter().all(|it| it.data != record.data));
        }
        Ok(found)
    }

    /// Adds the records of one type at a name, or its alias, to those found. Answers whether the name
    /// exists.
    async fn ask(
        &self,
        name: &DnsName,
        record_type: RecordType,
        found: &mut Vec<Record>,
    ) -> Result<bool, UpdateError> {
        let response = self.link.ask(name, record_type).await?;
        if !response.authoritative {
            return Err(UpdateError::Delegated(name.clone()));
        }
        let wanted = [record_type, RecordType::Cname];
        let at_name = response
            .answers
            .into_iter()
            .filter(|record| record.name == *name && wanted.contains(&record.data.record_type()));
        let before = found.len();
        found.extend(at_name);
        // An alias exists whatever becomes of its target.
        Ok(response.code != 3 || found.len() > before)
    }

    async fn update(&self, records: &[Record], seen: &[Record]) -> Result<(), UpdateError> {
        let id = u16::try_from(self.link.ids.fresh() >> 112).unwrap_or_default();
        let addition = Addition {
            zone: &self.zone,
            records,
            seen,
        };
        let answer = self.link.exchange(&addition.encode(id)?).await?;
        message::outcome(&answer, id)
    }
}

impl<W: Wire> Link<W> {
    /// Asks a question of which the server is to know the answer itself.
    async fn ask(&self, name: &DnsName, record_type: RecordType) -> Result<Response, UpdateError> {
        let query = Query::new(name, record_type, self.ids.fresh(), false, false);
        let answer = self.exchange(&query.encode(false)).await?;
        let response = query
            .decode(&answer)
            .map_err(|refused| UpdateError::Answer(refused.to_string()))?;
        match response.code {
            0 | 3 if response.truncated => Err(UpdateError::Answer("it was cut".into())),
            0 | 3 => Ok(response),
            code => Err(UpdateError::of_code(code).unwrap_or(UpdateError::Code(code))),
        }
    }

    /// Sends a message, signed where there is a key; the answer without its signature.
    async fn exchange(&self, request: &[u8]) -> Result<Vec<u8>, UpdateError> {
        let Some(key) = &self.key else {
            return Ok(self.wire.stream(self.server, request, self.timeout).await?);
        };
        let signed = key
            .sign(request, self.clock.now())
            .map_err(UpdateError::Tsig)?;
        let answer = self
            .wire
            .stream(self.server, &signed.octets, self.timeout)
            .await?;
        match key.verify(&answer, &signed, self.clock.now()) {
            Ok(message) => Ok(message),
            Err(TsigFault::Rejected(rejection)) => Err(UpdateError::Rejected(rejection)),
            // A server that does not get as far as the signature signs nothing; nor does somebody else,
            // which is why only a "no" is believed.
            Err(TsigFault::Unsigned) => Err(unsigned(&answer)),
            Err(fault) => Err(UpdateError::Tsig(fault)),
        }
    }
}

fn unsigned(answer: &[u8]) -> UpdateError {
    let code = answer.get(3).map_or(0, |flags| u16::from(flags & 0xf));
    UpdateError::of_code(code).unwrap_or(UpdateError::Tsig(TsigFault::Unsigned))
}

impl UpdateError {
    /// What an RCODE says (RFC 2136 §2.2); `None` for success.
    const fn of_code(code: u16) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::Format,
            2 => Self::ServerFailure,
            4 => Self::NotImplemented,
            5 => Self::Denied,
            6 => Self::Changed("a name that was free is in use (YXDOMAIN)"),
            7 => Self::Changed("a record has been added (YXRRSET)"),
            8 => Self::Changed("records that were there are others now (NXRRSET)"),
            9 => Self::NotPrimary,
            10 => Self::NotInZone,
            code => Self::Code(code),
        })
    }
}

impl From<UpdateError> for ProviderError {
    fn from(error: UpdateError) -> Self {
        let text = error.to_string();
        match error {
            UpdateError::Wire(_) => Self::Unreachable(text),
            UpdateError::Rejected(_) | UpdateError::Denied => Self::Denied(text),
            UpdateError::Changed(_) => Self::Changed(text),
            _ => Self::Refused(text),
        }
    }
}

#[async_trait]
impl<W: Wire> DnsProvider for Rfc2136<W> {
    async fn records(&self, names: &[DnsName]) -> Result<Vec<Record>, ProviderError> {
        let found = try_join_all(names.iter().map(|name| self.at(name))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn add(&self, records: &[Record], seen: &[Record]) -> Result<(), ProviderError> {
        Ok(self.update(records, seen).await?)
    }
}
