//! Whatever a DNS service answers is read or refused: a primary name server, with a key and without,
//! and Route 53. With a key, nothing that was not signed with it is believed. The first octet chooses
//! the service; a DNS message gets the id of the request and the flag of a response, without which
//! nothing of it would be read.
#![no_main]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use libfuzzer_sys::fuzz_target;
use wm_core::traits::{DnsName, Record, RecordData, Txt};
use wm_core::{Secret, Timestamp};
use wm_dns::http::{HttpClient, HttpError, Request, Response};
use wm_dns::provider::DnsProvider;
use wm_dns::provider::rfc2136::{Link, Rfc2136, TsigAlgorithm, TsigKey};
use wm_dns::provider::route53::{Credentials, Route53};
use wm_dns::resolver::{Accept, Wire, WireError};

/// Answers everything with the same octets.
#[derive(Clone)]
struct Answering(Vec<u8>);

#[async_trait]
impl Wire for Answering {
    async fn datagram(
        &self,
        _: SocketAddr,
        _: &[u8],
        _: Duration,
        _: &Accept<'_>,
    ) -> Result<Vec<u8>, WireError> {
        Err(WireError::Timeout)
    }

    async fn stream(
        &self,
        _: SocketAddr,
        request: &[u8],
        _: Duration,
    ) -> Result<Vec<u8>, WireError> {
        let mut answer = self.0.clone();
        if let ([a, b, flags, ..], [id_a, id_b, ..]) = (answer.as_mut_slice(), request) {
            (*a, *b) = (*id_a, *id_b);
            *flags |= 0x80;
        }
        Ok(answer)
    }
}

#[async_trait]
impl HttpClient for Answering {
    async fn send(&self, _: Request<Vec<u8>>, _: usize) -> Result<Response<Vec<u8>>, HttpError> {
        let (status, body) = match self.0.split_first() {
            Some((choice, body)) if choice & 1 == 1 => (400, body),
            Some((_, body)) => (200, body),
            None => (200, &[][..]),
        };
        let mut response = Response::new(body.to_vec());
        *response.status_mut() = status.try_into().expect("a status");
        Ok(response)
    }
}

fn link(answer: &[u8], key: Option<TsigKey>) -> Link<Answering> {
    Link {
        wire: Answering(answer.to_vec()),
        server: ([192, 0, 2, 1], 53).into(),
        key,
        timeout: Duration::ZERO,
        clock: Arc::new(|| Timestamp::from_seconds(1_700_000_000)),
        ids: Arc::new(Same),
    }
}

struct Same;

impl wm_core::traits::IdSource for Same {
    fn fresh(&self) -> u128 {
        0x1234 << 112
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, answer)) = input.split_first() else {
        return;
    };
    let domain: DnsName = "example.com".parse().expect("a name");
    let record = Record {
        name: domain.clone(),
        ttl: 60,
        data: RecordData::Txt(Txt::new("new")),
    };
    match choice % 3 {
        0 => {
            let Ok(provider) = block_on(Rfc2136::for_domain(link(answer, None), &domain)) else {
                return;
            };
            assert!(*provider.zone() == domain || domain.is_below(provider.zone()));
            let records = block_on(provider.records(std::slice::from_ref(&domain)));
            for record in records.unwrap_or_default() {
                assert_eq!(record.name, domain);
            }
            // An answer to a question is none to an update.
            assert!(block_on(provider.add(&[record], &[])).is_err());
        }
        1 => {
            let key = TsigKey::new(
                "key.example".parse().expect("a name"),
                TsigAlgorithm::HmacSha256,
                Secret::new(vec![7; 32]),
            );
            let found = block_on(Rfc2136::for_domain(link(answer, Some(key)), &domain));
            assert!(found.is_err());
        }
        _ => {
            let credentials = Credentials {
                access_key_id: "AKIDEXAMPLE".into(),
                secret_access_key: "secret".into(),
                session_token: None,
            };
            let provider = Route53::new(
                Arc::new(Answering(answer.to_vec())),
                Arc::new(|| Timestamp::from_seconds(1_700_000_000)),
                credentials,
                "Z1",
            );
            let provider = provider.expect("an id");
            if let Ok(records) = block_on(provider.records(std::slice::from_ref(&domain))) {
                for record in &records {
                    assert_eq!(record.name, domain);
                    assert!(wm_dns::export::zone_line(record).lines().count() == 1);
                }
            }
            if let Err(error) = block_on(provider.add(&[record], &[])) {
                assert!(!error.to_string().contains('\x1b'));
            }
        }
    }
});
