//! Update messages and their answers, as octets (RFC 2136).

use std::collections::BTreeSet;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SRV, TLSA, TXT};
use hickory_proto::rr::{DNSClass, RData, Record as WireRecord, RecordType as WireType};
use wm_core::traits::{DnsName, Record, RecordData, RecordType};

use super::UpdateError;
use crate::resolver::message::{name_of, wire_type};

/// An update that adds records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addition<'a> {
    pub(super) zone: &'a DnsName,
    /// What is to be added.
    pub(super) records: &'a [Record],
    /// What the zone holds at their names; the server makes sure.
    pub(super) seen: &'a [Record],
}

impl Addition<'_> {
    /// The message.
    pub(super) fn encode(&self, id: u16) -> Result<Vec<u8>, UpdateError> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Update);
        let mut zone = Query::query(name_of(self.zone), WireType::SOA);
        zone.set_query_class(DNSClass::IN);
        message.add_query(zone);
        // An update has its prerequisites where a query's answer is, and its changes where the servers
        // of a zone are named (RFC 2136 §2).
        message.add_answers(self.prerequisites()?);
        for record in self.records {
            message.add_authority(wire(record)?);
        }
        let octets = message.to_vec().map_err(|_| UpdateError::TooLarge)?;
        // What does not fit is left out when it is written, and marked as cut.
        match octets.get(2) {
            Some(flags) if flags & 0x02 == 0 => Ok(octets),
            _ => Err(UpdateError::TooLarge),
        }
    }

    /// That the zone still holds what was seen, so that nothing is added beside something that nobody
    /// looked at (RFC 2136 §2.4).
    fn prerequisites(&self) -> Result<Vec<WireRecord>, UpdateError> {
        let mut conditions = Vec::new();
        let sets = self.records.iter();
        let sets: BTreeSet<_> = sets
            .map(|record| (&record.name, record.data.record_type()))
            .collect();
        for (name, record_type) in sets {
            if record_type == RecordType::Cname {
                // An alias stands alone: there is nothing at its name.
                conditions.push(none(name, WireType::ANY));
                continue;
            }
            // A server says nothing when it ignores a record beside an alias (RFC 2136 §3.4.2.2).
            conditions.push(none(name, WireType::CNAME));
            let of_set =
                |record: &&Record| record.name == *name && record.data.record_type() == record_type;
            let seen: Vec<_> = self.seen.iter().filter(of_set).collect();
            if seen.is_empty() {
                conditions.push(none(name, wire_type(record_type)));
            }
            for record in seen {
                let mut condition = wire(record)?;
                condition.ttl = 0;
                conditions.push(condition);
            }
        }
        Ok(conditions)
    }
}

/// Whether the server says that it did the update with this id.
pub(super) fn outcome(answer: &[u8], id: u16) -> Result<(), UpdateError> {
    let message = Message::from_vec(answer)
        .map_err(|error| UpdateError::Answer(format!("malformed DNS message: {error}")))?;
    let is_ours = message.id == id
        && message.message_type == MessageType::Response
        && message.op_code == OpCode::Update;
    if !is_ours {
        return Err(UpdateError::Answer("it belongs to another request".into()));
    }
    match UpdateError::of_code(u16::from(message.response_code)) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

/// "There is no record of this type", or of any (RFC 2136 §2.4.3, §2.4.5).
fn none(name: &DnsName, record_type: WireType) -> WireRecord {
    let mut condition = WireRecord::update0(name_of(name), 0, record_type);
    condition.dns_class = DNSClass::NONE;
    condition
}

fn wire(record: &Record) -> Result<WireRecord, UpdateError> {
    let data = match &record.data {
        RecordData::A(address) => RData::A(A(*address)),
        RecordData::Aaaa(address) => RData::AAAA(AAAA(*address)),
        RecordData::Cname(target) => RData::CNAME(CNAME(name_of(target))),
        RecordData::Mx {
            preference,
            exchange,
        } => RData::MX(MX::new(*preference, name_of(exchange))),
        RecordData::Ns(target) => RData::NS(NS(name_of(target))),
        RecordData::Ptr(target) => RData::PTR(PTR(name_of(target))),
        RecordData::Srv {
            priority,
            weight,
            port,
            target,
        } => RData::SRV(SRV::new(*priority, *weight, *port, name_of(target))),
        RecordData::Tlsa {
            usage,
            selector,
            matching,
            data,
        } => RData::TLSA(TLSA::new(
            (*usage).into(),
            (*selector).into(),
            (*matching).into(),
            data.clone(),
        )),
        RecordData::Txt(text) => RData::TXT(TXT::from_bytes(
            text.strings.iter().map(Vec::as_slice).collect(),
        )),
        // The enum may grow.
        other => return Err(UpdateError::Unsupported(other.record_type())),
    };
    Ok(WireRecord::from_rdata(
        name_of(&record.name),
        record.ttl,
        data,
    ))
}
