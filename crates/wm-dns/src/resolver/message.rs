use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as WireQuery, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType as WireType};
use wm_core::traits::{DnsName, LookupError, Record, RecordData, RecordType, Txt};

/// The octets of a datagram that a server may send (RFC 9715): more would be fragmented on the way.
pub const PAYLOAD: u16 = 1232;

/// The octets of a message over a stream.
pub const MAX_MESSAGE: usize = 65_535;

/// A query, which knows its own answer when it sees it.
#[derive(Debug, Clone)]
pub struct Query {
    id: u16,
    name: DnsName,
    /// As sent: its letters in mixed case are a secret that a forger has to guess
    /// (draft-vixie-dnsext-dns0x20).
    spelling: Name,
    exact_case: bool,
    record_type: RecordType,
    recursion: bool,
}

/// A well-formed answer to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// RCODE, with the upper bits of EDNS.
    pub code: u16,
    /// Whether it was cut to fit a datagram.
    pub truncated: bool,
    /// Whether the server is one of the zone's own.
    pub authoritative: bool,
    /// Whether the server asks others for its clients.
    pub recursion_available: bool,
    /// The records of its answer section, as far as their type is known here.
    pub answers: Vec<Record>,
    /// The NS records of its authority section.
    pub referral: Vec<Record>,
    /// The owner of the SOA record in its authority section: the zone that says "no".
    pub zone: Option<DnsName>,
}

/// Why a message is not taken for the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It does not belong to this query: forged, late, or of another client.
    #[error("the message does not answer this query")]
    Stray,
    /// It is no DNS message.
    #[error("malformed DNS message: {0}")]
    Malformed(String),
}

impl Query {
    /// A query. `entropy` makes its id and, if `mixed_case`, the case of its letters; it is not to be
    /// guessed and not to be used again.
    #[must_use]
    pub fn new(
        name: &DnsName,
        record_type: RecordType,
        entropy: u128,
        recursion: bool,
        mixed_case: bool,
    ) -> Self {
        // The id takes 16 bits; 112 letters take the others.
        let mut coins = (0..112).map(|bit| entropy >> bit & 1 == 1);
        let toss = |octet: &u8| match octet {
            b'a'..=b'z' if coins.next().unwrap_or(false) => octet.to_ascii_uppercase(),
            octet => *octet,
        };
        let spelling = if mixed_case {
            let mut toss = toss;
            wire_name(
                name.labels()
                    .map(|label| label.iter().map(&mut toss).collect()),
            )
        } else {
            wire_name(name.labels().map(std::borrow::Cow::into_owned))
        };
        let id = u16::try_from(entropy >> 112).unwrap_or_default();
        Self {
            id,
            name: name.clone(),
            spelling,
            exact_case: mixed_case,
            record_type,
            recursion,
        }
    }

    /// The name asked for.
    #[must_use]
    pub const fn name(&self) -> &DnsName {
        &self.name
    }

    /// The message.
    #[must_use]
    pub fn encode(&self, edns: bool) -> Vec<u8> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = self.recursion;
        message.add_query(WireQuery::query(
            self.spelling.clone(),
            wire_type(self.record_type),
        ));
        if edns {
            let mut options = Edns::new();
            options.set_max_payload(PAYLOAD).set_version(0);
            message.set_edns(options);
        }
        // One question always fits.
        message.to_vec().unwrap_or_default()
    }

    /// Whether a message claims to be the answer: cheap, for dropping what is not.
    #[must_use]
    pub fn is_answered_by(&self, message: &[u8]) -> bool {
        !matches!(self.decode(message), Err(Refused::Stray))
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// When it does not belong to this query or is malformed.
    pub fn decode(&self, octets: &[u8]) -> Result<Response, Refused> {
        let is_ours = octets.len() <= MAX_MESSAGE
            && octets.get(..2) == Some(self.id.to_be_bytes().as_slice())
            && octets.get(2).is_some_and(|flags| flags & 0x80 != 0);
        if !is_ours {
            return Err(Refused::Stray);
        }
        let message =
            Message::from_vec(octets).map_err(|error| Refused::Malformed(error.to_string()))?;
        self.check_question(&message)?;
        let edns_code = message
            .edns
            .as_ref()
            .map_or(0, |edns| u16::from(edns.rcode_high()) << 4);
        let code = u16::from(message.response_code) & 0xf | edns_code;
        let soa = message
            .authorities
            .iter()
            .find(|record| record.record_type() == WireType::SOA);
        Ok(Response {
            code,
            truncated: message.truncation,
            authoritative: message.authoritative,
            recursion_available: message.recursion_available,
            zone: soa.and_then(|record| dns_name(&record.name)),
            answers: message.answers.iter().filter_map(record).collect(),
            referral: message
                .authorities
                .iter()
                .filter_map(record)
                .filter(is_ns)
                .collect(),
        })
    }

    fn check_question(&self, message: &Message) -> Result<(), Refused> {
        if message.op_code != OpCode::Query {
            return Err(Refused::Stray);
        }
        match message.queries.as_slice() {
            // A server that understands nothing else of the query does not repeat its question.
            [] if matches!(
                message.response_code,
                ResponseCode::FormErr | ResponseCode::NotImp
            ) =>
            {
                Ok(())
            }
            [question] => {
                let same_name = if self.exact_case {
                    question.name().eq_case(&self.spelling)
                } else {
                    *question.name() == self.spelling
                };
                let same_type = question.query_type() == wire_type(self.record_type);
                if same_name && same_type {
                    Ok(())
                } else {
                    Err(Refused::Stray)
                }
            }
            _ => Err(Refused::Stray),
        }
    }
}

impl From<Refused> for LookupError {
    fn from(refused: Refused) -> Self {
        Self::Malformed(refused.to_string())
    }
}

pub(crate) fn wire_type(record_type: RecordType) -> WireType {
    match record_type {
        RecordType::A => WireType::A,
        RecordType::Aaaa => WireType::AAAA,
        RecordType::Cname => WireType::CNAME,
        RecordType::Mx => WireType::MX,
        RecordType::Ns => WireType::NS,
        RecordType::Ptr => WireType::PTR,
        RecordType::Srv => WireType::SRV,
        RecordType::Tlsa => WireType::TLSA,
        // The enum may grow; until it is listed here, a new type is asked for as text.
        _ => WireType::TXT,
    }
}

pub(crate) fn dns_name(name: &Name) -> Option<DnsName> {
    DnsName::from_labels(name.iter()).ok()
}

/// A name as octets of a message.
#[cfg(feature = "rfc2136")]
pub(crate) fn name_of(name: &DnsName) -> Name {
    wire_name(name.labels().map(std::borrow::Cow::into_owned))
}

fn wire_name(labels: impl Iterator<Item = Vec<u8>>) -> Name {
    // A `DnsName` keeps the limits of the wire.
    Name::from_labels(labels.collect::<Vec<_>>().iter().map(Vec::as_slice))
        .unwrap_or_else(|_| Name::root())
}

pub(crate) fn record(record: &hickory_proto::rr::Record) -> Option<Record> {
    let data = match &record.data {
        RData::A(a) => RecordData::A(a.0),
        RData::AAAA(aaaa) => RecordData::Aaaa(aaaa.0),
        RData::CNAME(cname) => RecordData::Cname(dns_name(&cname.0)?),
        RData::MX(mx) => RecordData::Mx {
            preference: mx.preference,
            exchange: dns_name(&mx.exchange)?,
        },
        RData::NS(ns) => RecordData::Ns(dns_name(&ns.0)?),
        RData::PTR(ptr) => RecordData::Ptr(dns_name(&ptr.0)?),
        RData::SRV(srv) => RecordData::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: dns_name(&srv.target)?,
        },
        RData::TLSA(tlsa) => RecordData::Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        },
        RData::TXT(txt) => RecordData::Txt(Txt {
            strings: txt.txt_data.iter().map(|string| string.to_vec()).collect(),
        }),
        _ => return None,
    };
    Some(Record {
        name: dns_name(&record.name)?,
        ttl: record.ttl,
        data,
    })
}

fn is_ns(record: &Record) -> bool {
    record.data.record_type() == RecordType::Ns
}
