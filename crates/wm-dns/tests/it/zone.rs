//! A zone in memory, read from zone-file text by a parser that is not ours, as a resolver and as the
//! content of simulated servers.

use std::collections::BTreeMap;
use std::str::FromStr;

use async_trait::async_trait;
use hickory_proto::rr::{Name, RecordType as WireType};
use hickory_proto::serialize::txt::Parser;
use wm_core::traits::{
    Answer, DnsName, LookupError, Record, RecordData, RecordType, Resolver, Txt,
};

/// Stands for a space in a name while it is parsed.
const SPACE: &str = "-space-";

/// Records by owner name, with the names that exist because something lies below them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zone {
    names: BTreeMap<DnsName, Vec<Record>>,
}

impl Zone {
    pub(crate) fn parse(text: &str, origin: &str) -> Self {
        let origin = Name::from_str(&format!("{origin}.")).unwrap();
        // The parser refuses a space in a name, however it is written.
        let readable = text.replace(r"\032", SPACE);
        let (_, sets) = Parser::new(readable, None, Some(origin))
            .parse()
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut zone = Self::default();
        for record in sets.values().flat_map(|set| set.records_without_rrsigs()) {
            zone.add(translate(record));
        }
        zone
    }

    pub(crate) fn add(&mut self, record: Record) {
        let mut above = record.name.parent();
        self.names
            .entry(record.name.clone())
            .or_default()
            .push(record);
        while let Some(name) = above {
            above = name.parent();
            self.names.entry(name).or_default();
        }
    }

    /// Everything at a name; `None` when it does not exist.
    pub(crate) fn at(&self, name: &DnsName) -> Option<&[Record]> {
        self.names.get(name).map(Vec::as_slice)
    }

    pub(crate) fn answer(&self, name: &DnsName, record_type: RecordType) -> Answer {
        let mut aliases = Vec::new();
        let mut at = name.clone();
        loop {
            let Some(records) = self.at(&at) else {
                return Answer::NxDomain { aliases };
            };
            let wanted: Vec<Record> = records
                .iter()
                .filter(|r| r.data.record_type() == record_type)
                .cloned()
                .collect();
            if !wanted.is_empty() {
                return Answer::Records {
                    aliases,
                    records: wanted,
                };
            }
            match records.first().map(|record| &record.data) {
                // A server may go round a loop a few times before it notices.
                Some(RecordData::Cname(target)) if aliases.len() < 20 => {
                    aliases.push(target.clone())
                }
                _ => return Answer::NoData { aliases },
            }
            at = aliases.last().unwrap().clone();
        }
    }
}

#[async_trait]
impl Resolver for Zone {
    async fn lookup(&self, name: &DnsName, record_type: RecordType) -> Result<Answer, LookupError> {
        Ok(self.answer(name, record_type))
    }
}

fn translate(record: &hickory_proto::rr::Record) -> Record {
    use hickory_proto::rr::RData;
    let name = |name: &Name| {
        let labels = name
            .iter()
            .map(|label| String::from_utf8_lossy(label).replace(SPACE, " "));
        DnsName::from_labels(labels).unwrap()
    };
    let data = match &record.data {
        RData::A(a) => RecordData::A(a.0),
        RData::CNAME(target) => RecordData::Cname(name(&target.0)),
        RData::NS(target) => RecordData::Ns(name(&target.0)),
        RData::MX(mx) => RecordData::Mx {
            preference: mx.preference,
            exchange: name(&mx.exchange),
        },
        RData::TXT(txt) => RecordData::Txt(Txt {
            strings: txt.txt_data.iter().map(|s| s.to_vec()).collect(),
        }),
        RData::SRV(srv) => RecordData::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: name(&srv.target),
        },
        RData::TLSA(tlsa) => RecordData::Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        },
        other => panic!("no record of type {:?} in test zones", other.record_type()),
    };
    assert_ne!(record.record_type(), WireType::SOA);
    Record {
        name: name(&record.name),
        ttl: record.ttl,
        data,
    }
}
