//! Simulated servers behind a simulated link: time passes only as round trips.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, NS, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record as WireRecord, RecordType as WireType};
use wm_core::traits::{Answer, DnsName, IdSource, RecordData, RecordType};
use wm_dns::resolver::{Accept, PAYLOAD, Wire, WireError};

use crate::zone::Zone;

pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(50);

/// Makes what arrives out of the right answer.
pub(crate) type Forge = fn(Vec<u8>) -> Vec<Vec<u8>>;

/// A link to servers that all answer from one zone.
#[derive(Clone, Default)]
pub(crate) struct Link {
    pub(crate) zone: Zone,
    /// The names asked for over datagrams, in order.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// What comes instead of the right answer.
    pub(crate) forge: Option<Forge>,
}

/// Different for each query, and known to the test.
pub(crate) struct Counter(pub(crate) Mutex<u128>);

impl IdSource for Counter {
    fn fresh(&self) -> u128 {
        let mut next = self.0.lock().unwrap();
        *next =
            next.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645) + 0x5851_f42d_4c95_7f2d;
        *next
    }
}

#[async_trait]
impl Wire for Link {
    async fn datagram(
        &self,
        _: SocketAddr,
        request: &[u8],
        timeout: Duration,
        accept: &Accept<'_>,
    ) -> Result<Vec<u8>, WireError> {
        tokio::time::sleep(ROUND_TRIP).await;
        let (name, answer) = self.answer(request);
        self.asked.lock().unwrap().push(name);
        let answer = if answer.len() > usize::from(PAYLOAD) {
            cut(&answer)
        } else {
            answer
        };
        let arrivals = self
            .forge
            .map_or_else(|| vec![answer.clone()], |forge| forge(answer.clone()));
        match arrivals.into_iter().find(|datagram| accept(datagram)) {
            Some(datagram) => Ok(datagram),
            None => {
                tokio::time::sleep(timeout).await;
                Err(WireError::Timeout)
            }
        }
    }

    async fn stream(
        &self,
        _: SocketAddr,
        request: &[u8],
        _: Duration,
    ) -> Result<Vec<u8>, WireError> {
        tokio::time::sleep(ROUND_TRIP * 2).await;
        Ok(self.answer(request).1)
    }
}

impl Link {
    pub(crate) fn answer(&self, request: &[u8]) -> (String, Vec<u8>) {
        let query = Message::from_vec(request).unwrap();
        let question = query.queries[0].clone();
        let name = DnsName::from_labels(question.name().iter()).unwrap();
        let record_type = match question.query_type() {
            WireType::A => RecordType::A,
            WireType::AAAA => RecordType::Aaaa,
            WireType::CNAME => RecordType::Cname,
            WireType::MX => RecordType::Mx,
            WireType::NS => RecordType::Ns,
            _ => RecordType::Txt,
        };
        let answer = self.zone.answer(&name, record_type);
        let mut message = Message::new(query.id, MessageType::Response, query.op_code);
        message.metadata.authoritative = true;
        message.metadata.recursion_available = true;
        message.add_query(question);
        let mut owner = name.clone();
        for alias in answer.aliases() {
            message.add_answer(wire(&owner, &RecordData::Cname(alias.clone())));
            owner = alias.clone();
        }
        for record in answer.records() {
            message.add_answer(wire(&record.name, &record.data));
        }
        if answer.records().is_empty() {
            let soa = SOA::new(Name::root(), Name::root(), 1, 2, 3, 4, 5);
            message.add_authority(WireRecord::from_rdata(Name::root(), 60, RData::SOA(soa)));
        }
        if matches!(answer, Answer::NxDomain { .. }) {
            message.metadata.response_code = ResponseCode::NXDomain;
        }
        (format!("{name} {record_type}"), message.to_vec().unwrap())
    }
}

/// The header and question, with the TC flag.
pub(crate) fn cut(answer: &[u8]) -> Vec<u8> {
    let whole = Message::from_vec(answer).unwrap();
    let mut message = Message::new(whole.id, MessageType::Response, whole.op_code);
    message.metadata.truncation = true;
    message.add_query(whole.queries[0].clone());
    message.to_vec().unwrap()
}

fn wire_name(name: &DnsName) -> Name {
    Name::from_labels(name.labels().collect::<Vec<_>>().iter().map(AsRef::as_ref)).unwrap()
}

fn wire(name: &DnsName, data: &RecordData) -> WireRecord {
    let data = match data {
        RecordData::A(address) => RData::A(A(*address)),
        RecordData::Cname(target) => RData::CNAME(CNAME(wire_name(target))),
        RecordData::Ns(target) => RData::NS(NS(wire_name(target))),
        RecordData::Mx {
            preference,
            exchange,
        } => RData::MX(MX::new(*preference, wire_name(exchange))),
        RecordData::Txt(txt) => RData::TXT(TXT::from_bytes(
            txt.strings.iter().map(Vec::as_slice).collect(),
        )),
        other => panic!("{other:?} is not served"),
    };
    WireRecord::from_rdata(wire_name(name), 60, data)
}
