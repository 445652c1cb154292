//! Whatever servers answer, a check of a domain ends, in bounded work, with a judgement on every record;
//! and what a server did not answer is never taken for missing.
//!
//! The input is a sequence of answers, each with its length in front (two octets): flags (two octets),
//! the numbers of records in three sections (an octet each), and the records. The header and the
//! question are put in front of them. When there are no more, servers are silent.
#![no_main]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use libfuzzer_sys::fuzz_target;
use wm_core::Timestamp;
use wm_core::traits::IdSource;
use wm_dns::export::Style;
use wm_dns::resolver::{Accept, Stub, StubOptions, Wire, WireError};
use wm_dns::verify::{RecordStatus, Verdict};
use wm_dns::{Check, DomainSettings, DomainState, Report, RequiredRecords};

/// Requests of one check, at most: 12 questions and the 10 lookups of SPF, each asked in two attempts,
/// over aliases (10), with and without EDNS, and over a stream.
const MAX_REQUESTS: u64 = (12 + 10) * 2 * 11 * 2 * 2;

struct Answers {
    input: Mutex<Vec<u8>>,
    requests: Arc<AtomicU64>,
}

impl Answers {
    fn next(&self, request: &[u8]) -> Result<Vec<u8>, WireError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut input = self.input.lock().expect("one thread");
        let [
            high,
            low,
            flags_high,
            flags_low,
            answers,
            authorities,
            additional,
            ..,
        ] = input[..]
        else {
            return Err(WireError::Timeout);
        };
        let end = (7 + usize::from(u16::from_be_bytes([high, low]))).min(input.len());
        let records: Vec<u8> = input.drain(..end).skip(7).collect();
        let counts = [0, 1, 0, answers, 0, authorities, 0, additional];
        let mut message = request[..2].to_vec();
        message.extend([flags_high | 0x80, flags_low]);
        message.extend(counts);
        message.extend(question(request));
        message.extend(records);
        Ok(message)
    }
}

/// The question section of a request.
fn question(request: &[u8]) -> &[u8] {
    let mut at = 12;
    while request[at] != 0 {
        at += 1 + usize::from(request[at]);
    }
    &request[12..at + 5]
}

#[async_trait]
impl Wire for Answers {
    async fn datagram(
        &self,
        _: SocketAddr,
        request: &[u8],
        _: Duration,
        accept: &Accept<'_>,
    ) -> Result<Vec<u8>, WireError> {
        let answer = self.next(request)?;
        if accept(&answer) {
            Ok(answer)
        } else {
            Err(WireError::Timeout)
        }
    }

    async fn stream(
        &self,
        _: SocketAddr,
        request: &[u8],
        _: Duration,
    ) -> Result<Vec<u8>, WireError> {
        self.next(request)
    }
}

struct Ids(AtomicU64);

impl IdSource for Ids {
    fn fresh(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)) << 112
    }
}

fuzz_target!(|input: &[u8]| {
    let tokens = ["one", "two", "three"];
    let settings = DomainSettings::of_region(
        "example.com".parse().expect("a domain"),
        "eu-west-1",
        "token=",
        tokens,
    );
    let required = RequiredRecords::for_domain(&settings.expect("settings")).expect("records");
    let requests = Arc::new(AtomicU64::new(0));
    let wire = Answers {
        input: Mutex::new(input.to_vec()),
        requests: requests.clone(),
    };
    let mut options = StubOptions::new(vec![([127, 0, 0, 1], 53).into()]);
    options.mixed_case = false;
    let stub = Stub::new(wire, Arc::new(Ids(AtomicU64::new(1))), options);

    let findings = block_on(Check::new(required.clone()).run(&stub));
    assert!(requests.load(Ordering::Relaxed) <= MAX_REQUESTS);
    assert_eq!(findings.records.len(), required.iter().count());
    let state = DomainState::default().advance(&findings, Timestamp::from_millis(0));
    for (record, judgement) in &findings.records {
        let status = state.record(record).expect("a state").status;
        match judgement.verdict {
            Verdict::Right => assert_eq!(status, Some(RecordStatus::Verified)),
            Verdict::Unknown(_) => {
                assert!(matches!(status, None | Some(RecordStatus::Pending)));
            }
            _ => assert_ne!(status, Some(RecordStatus::Verified)),
        }
        if input.is_empty() {
            assert!(matches!(judgement.verdict, Verdict::Unknown(_)));
        }
    }
    let report = Report::of_check(&findings, &state);
    let table = Style::Relative.table(&report, &|_, text| text.to_owned());
    assert!(table.lines().count() > findings.records.len());
    assert!(!wm_dns::export::json(&report).is_empty());
});
