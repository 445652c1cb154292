//! Dynamic update against a scripted primary server: what it is sent, and what its answers mean. Real
//! servers are in `real_servers`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Record as WireRecord, RecordType as WireType};
use wm_core::Timestamp;
use wm_core::traits::{Clock, DnsName, Record, RecordData, Txt};
use wm_dns::provider::rfc2136::{Link, Rfc2136, TsigAlgorithm, TsigKey, UpdateError};
use wm_dns::provider::{DnsProvider, Plan, ProviderError};
use wm_dns::resolver::{Accept, Wire, WireError};
use wm_dns::{DomainSettings, RequiredRecords};

use crate::link::{Counter, Link as Servers};
use crate::zone::Zone;

/// Answers questions from a zone, and every update with one code.
#[derive(Clone, Default)]
struct Primary {
    servers: Servers,
    code: ResponseCode,
    is_deaf: bool,
    /// Changes the answer to an update.
    forge: Option<fn(&mut Message)>,
    updates: Arc<Mutex<Vec<Message>>>,
}

#[async_trait]
impl Wire for Primary {
    async fn datagram(
        &self,
        _: SocketAddr,
        _: &[u8],
        _: Duration,
        _: &Accept<'_>,
    ) -> Result<Vec<u8>, WireError> {
        panic!("updates go over streams")
    }

    async fn stream(
        &self,
        _: SocketAddr,
        request: &[u8],
        _: Duration,
    ) -> Result<Vec<u8>, WireError> {
        if self.is_deaf {
            return Err(WireError::Timeout);
        }
        let message = Message::from_vec(request).unwrap();
        if message.op_code == OpCode::Query {
            return Ok(self.servers.answer(request).1);
        }
        let mut answer = Message::new(message.id, MessageType::Response, OpCode::Update);
        answer.metadata.response_code = self.code;
        if let Some(forge) = self.forge {
            forge(&mut answer);
        }
        self.updates.lock().unwrap().push(message);
        Ok(answer.to_vec().unwrap())
    }
}

impl Primary {
    fn serving(zone: &str) -> Self {
        let zone = format!("$TTL 60\nexample.com. IN NS ns.example.com.\n{zone}");
        let servers = Servers {
            zone: Zone::parse(&zone, "example.com"),
            ..Servers::default()
        };
        Self {
            servers,
            ..Self::default()
        }
    }

    fn provider(&self, key: Option<TsigKey>) -> Result<Rfc2136<Self>, UpdateError> {
        let link = Link {
            wire: self.clone(),
            server: "192.0.2.1:53".parse().unwrap(),
            key,
            timeout: Duration::from_secs(1),
            clock: Arc::new(|| Timestamp::from_seconds(1_700_000_000)) as Arc<dyn Clock>,
            ids: Arc::new(Counter(Mutex::new(1))),
        };
        block_on(Rfc2136::for_domain(link, &"example.com".parse().unwrap()))
    }
}

fn required() -> RequiredRecords {
    let (domain, host) = (
        "example.com".parse().unwrap(),
        "mail.example.net".parse().unwrap(),
    );
    RequiredRecords::for_domain(&DomainSettings::new(domain, host, "token=")).unwrap()
}

/// `NAME CLASS TYPE DATA`, sorted.
fn lines(records: &[WireRecord]) -> Vec<String> {
    let line = |record: &WireRecord| {
        let data = match record.dns_class {
            DNSClass::IN => record.data.to_string(),
            _ => String::new(),
        };
        let line = format!(
            "{} {} {} {data}",
            record.name,
            record.dns_class,
            record.record_type()
        );
        line.trim_end().to_owned()
    };
    let mut lines: Vec<String> = records.iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn an_update_holds_only_while_the_zone_is_as_it_was_seen() {
    let primary = Primary::serving("example.com. IN TXT \"site-verification=1\"\n");
    let provider = primary.provider(None).unwrap();
    let plan = block_on(Plan::with(&provider, &required())).unwrap();
    block_on(plan.apply(&provider)).unwrap();
    let updates = primary.updates.lock().unwrap();
    let [update] = updates.as_slice() else {
        panic!("{} updates instead of one", updates.len());
    };
    let zone = &update.queries[0];
    assert_eq!(
        (zone.name().to_string().as_str(), zone.query_type()),
        ("example.com.", WireType::SOA)
    );
    assert_eq!(
        lines(&update.answers),
        [
            "_amazonses.example.com. NONE CNAME",
            "_amazonses.example.com. NONE TXT",
            "_dmarc.example.com. NONE CNAME",
            "_dmarc.example.com. NONE TXT",
            "autodiscover.example.com. NONE ANY",
            "example.com. IN TXT site-verification=1",
            "example.com. NONE CNAME",
            "example.com. NONE CNAME",
            "example.com. NONE MX",
        ]
    );
    assert_eq!(
        lines(&update.authorities),
        [
            "_amazonses.example.com. IN TXT token=",
            "_dmarc.example.com. IN TXT v=DMARC1; p=quarantine",
            "autodiscover.example.com. IN CNAME mail.example.net.",
            "example.com. IN MX 10 mail.example.net.",
            "example.com. IN TXT v=spf1 mx ~all",
        ]
    );
    assert!(update.authorities.iter().all(|record| record.ttl == 3600));
    assert!(update.answers.iter().all(|record| record.ttl == 0));
}

#[test]
fn every_answer_of_a_server_is_told_apart() {
    let add = |code, forge| {
        let primary = Primary {
            code,
            forge,
            ..Primary::serving("")
        };
        let provider = primary.provider(None).unwrap();
        let plan = block_on(Plan::with(&provider, &required())).unwrap();
        block_on(plan.apply(&provider))
    };
    use ResponseCode as Code;
    for (code, name) in [
        (Code::FormErr, "FORMERR"),
        (Code::ServFail, "SERVFAIL"),
        (Code::NotImp, "NOTIMP"),
        (Code::NotAuth, "NOTAUTH"),
        (Code::NotZone, "NOTZONE"),
        (Code::NXDomain, "RCODE 3"),
    ] {
        match add(code, None) {
            Err(ProviderError::Refused(text)) => assert!(text.contains(name), "{text}"),
            other => panic!("{code}: {other:?}"),
        }
    }
    for (code, name) in [
        (Code::YXDomain, "YXDOMAIN"),
        (Code::YXRRSet, "YXRRSET"),
        (Code::NXRRSet, "NXRRSET"),
    ] {
        match add(code, None) {
            Err(ProviderError::Changed(text)) => assert!(text.contains(name), "{text}"),
            other => panic!("{code}: {other:?}"),
        }
    }
    match add(Code::Refused, None) {
        Err(ProviderError::Denied(text)) => assert!(text.contains("REFUSED"), "{text}"),
        other => panic!("{other:?}"),
    }
    let of_another: [fn(&mut Message); 3] = [
        |answer| answer.metadata.id ^= 1,
        |answer| answer.metadata.message_type = MessageType::Query,
        |answer| answer.metadata.op_code = OpCode::Query,
    ];
    for forge in of_another {
        let found = add(Code::NoError, Some(forge));
        assert!(matches!(found, Err(ProviderError::Refused(_))), "{found:?}");
    }
}

#[test]
fn with_a_key_an_unsigned_yes_is_no_answer_and_silence_is_unreachable() {
    let key = TsigKey::new(
        "update.example.net".parse().unwrap(),
        TsigAlgorithm::HmacSha256,
        wm_core::Secret::new(vec![1; 32]),
    );
    let primary = Primary::serving("");
    let found = primary.provider(Some(key)).map(|_| ()).unwrap_err();
    assert_eq!(
        found.to_string(),
        "the answer does not count: it is not signed"
    );

    let provider = Primary {
        is_deaf: true,
        ..primary
    }
    .provider(None);
    let error = provider.map(|_| ()).unwrap_err();
    assert!(matches!(
        ProviderError::from(error),
        ProviderError::Unreachable(_)
    ));
}

#[test]
fn what_does_not_fit_in_a_message_is_not_sent() {
    let primary = Primary::serving("");
    let provider = primary.provider(None).unwrap();
    let name: DnsName = "example.com".parse().unwrap();
    let text = |i: usize| Record {
        name: name.clone(),
        ttl: 60,
        data: RecordData::Txt(Txt::new(&format!("{i:0200}"))),
    };
    let many: Vec<Record> = (0..400).map(text).collect();
    let found = block_on(provider.add(&many, &[]));
    assert!(
        matches!(&found, Err(ProviderError::Refused(text)) if text.contains("does not fit")),
        "{found:?}"
    );
    assert!(primary.updates.lock().unwrap().is_empty());
}
