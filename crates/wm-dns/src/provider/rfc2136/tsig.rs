//! Messages signed with a key that both sides have (TSIG, RFC 8945).

use std::fmt;
use std::str::FromStr;

use hickory_proto::op::{Header, Message};
use hickory_proto::rr::rdata::tsig::{self, TSIG, TsigError};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};
use wm_core::traits::DnsName;
use wm_core::{Secret, Timestamp};

use crate::resolver::message::name_of;

/// The seconds by which the clocks of client and server may differ, as RFC 8945 §10 recommends.
const FUDGE: u16 = 300;

/// Where a message's header has the number of its additional records (RFC 1035 §4.1.1).
const ADDITIONAL: std::ops::Range<usize> = 10..12;

/// A key shared with a name server.
#[derive(Debug, Clone)]
pub struct TsigKey {
    name: DnsName,
    algorithm: TsigAlgorithm,
    secret: Secret<Vec<u8>>,
}

/// How messages are signed (RFC 8945 §6): the algorithms that are not known to be weak, in full length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TsigAlgorithm {
    /// `hmac-sha256`
    HmacSha256,
    /// `hmac-sha384`
    HmacSha384,
    /// `hmac-sha512`
    HmacSha512,
}

/// A text that names no algorithm supported here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of hmac-sha256, hmac-sha384 and hmac-sha512")]
pub struct ParseTsigAlgorithmError(String);

/// Why a message does not count as signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TsigFault {
    /// It is no DNS message, or its signature is not at its end.
    #[error("malformed: {0}")]
    Malformed(String),
    /// It has no signature.
    #[error("it is not signed")]
    Unsigned,
    /// It is signed with another key or algorithm.
    #[error("it is signed with another key")]
    OtherKey,
    /// The signature is wrong: the message was changed, or the secret is another.
    #[error("its signature is wrong")]
    Signature,
    /// It was signed at another time than now.
    #[error("it was signed {0} seconds ago")]
    Time(i64),
    /// The server did not accept the request's signature. Only [`Rejection::Time`] is signed itself.
    #[error("{0}")]
    Rejected(Rejection),
}

/// Why a server does not accept a signature (RFC 8945 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// BADSIG.
    #[error("the secret is not the one that the server has for the key (BADSIG)")]
    Signature,
    /// BADKEY.
    #[error("the server does not have the key, or has it for another algorithm (BADKEY)")]
    Key,
    /// BADTIME.
    #[error("the server's clock is {0} seconds ahead (BADTIME)")]
    Time(i64),
    /// BADTRUNC, or one that is not known.
    #[error("TSIG error {0}")]
    Other(u16),
}

/// A signed message.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    /// The message.
    pub(super) octets: Vec<u8>,
    /// Its signature, which the answer's covers.
    mac: Vec<u8>,
}

impl TsigKey {
    /// The key with this name, as the server knows it, and secret.
    #[must_use]
    pub const fn new(name: DnsName, algorithm: TsigAlgorithm, secret: Secret<Vec<u8>>) -> Self {
        Self {
            name,
            algorithm,
            secret,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &DnsName {
        &self.name
    }

    /// Signs a request (RFC 8945 §5.1).
    pub(super) fn sign(&self, message: &[u8], now: Timestamp) -> Result<Signed, TsigFault> {
        let header = Header::from_bytes(message).map_err(malformed)?;
        let (name, time) = (name_of(&self.name), seconds(now));
        let unsigned = TSIG::new(
            self.algorithm.of_record(),
            time,
            FUDGE,
            Vec::new(),
            header.metadata.id,
            None,
            Vec::new(),
        );
        let mut covered = message.to_vec();
        covered.extend(variables(&unsigned, &name)?);
        let mac = self.mac(&[&covered]);
        let record = tsig::make_tsig_record(name, unsigned.set_mac(mac.clone()));
        let mut octets = message.to_vec();
        // Nothing in it refers to a name before it, so that it may be made apart.
        octets.extend(record.to_bytes().map_err(malformed)?);
        set_additional(&mut octets, header.counts.additionals.saturating_add(1));
        Ok(Signed { octets, mac })
    }

    /// Verifies the answer to a request; the answer without its signature (RFC 8945 §5.3).
    pub(super) fn verify(
        &self,
        answer: &[u8],
        request: &Signed,
        now: Timestamp,
    ) -> Result<Vec<u8>, TsigFault> {
        let found = Found::at_the_end_of(answer)?;
        let is_ours = found.name == name_of(&self.name)
            && found.tsig.algorithm.to_name() == self.algorithm.of_record().to_name();
        match found.tsig.error {
            Some(TsigError::BadKey) => return Err(TsigFault::Rejected(Rejection::Key)),
            Some(TsigError::BadSig) => return Err(TsigFault::Rejected(Rejection::Signature)),
            _ if !is_ours => return Err(TsigFault::OtherKey),
            _ => {}
        }
        let length = u16::try_from(request.mac.len()).unwrap_or(u16::MAX);
        let variables = variables(&found.tsig, &found.name)?;
        let covered: [&[u8]; 4] = [
            &length.to_be_bytes(),
            &request.mac,
            &found.message,
            &variables,
        ];
        if !self.is_mac(&covered, &found.tsig.mac) {
            return Err(TsigFault::Signature);
        }
        match found.tsig.error {
            None => {}
            Some(TsigError::BadTime) => {
                let ahead = found.server_time().saturating_sub(now.as_seconds());
                return Err(TsigFault::Rejected(Rejection::Time(ahead)));
            }
            Some(error) => return Err(TsigFault::Rejected(Rejection::Other(error.into()))),
        }
        let signed = i64::try_from(found.tsig.time).unwrap_or(i64::MAX);
        let age = now.as_seconds().saturating_sub(signed);
        if age.unsigned_abs() > u64::from(found.tsig.fudge) {
            return Err(TsigFault::Time(age));
        }
        Ok(found.message)
    }

    fn mac(&self, covered: &[&[u8]]) -> Vec<u8> {
        match self.algorithm {
            TsigAlgorithm::HmacSha256 => finish(self.keyed::<Hmac<Sha256>>(covered)),
            TsigAlgorithm::HmacSha384 => finish(self.keyed::<Hmac<Sha384>>(covered)),
            TsigAlgorithm::HmacSha512 => finish(self.keyed::<Hmac<Sha512>>(covered)),
        }
    }

    /// Whether it is the signature, in full length, compared in constant time.
    fn is_mac(&self, covered: &[&[u8]], mac: &[u8]) -> bool {
        let verified = match self.algorithm {
            TsigAlgorithm::HmacSha256 => self
                .keyed::<Hmac<Sha256>>(covered)
                .map(|it| it.verify_slice(mac)),
            TsigAlgorithm::HmacSha384 => self
                .keyed::<Hmac<Sha384>>(covered)
                .map(|it| it.verify_slice(mac)),
            TsigAlgorithm::HmacSha512 => self
                .keyed::<Hmac<Sha512>>(covered)
                .map(|it| it.verify_slice(mac)),
        };
        matches!(verified, Some(Ok(())))
    }

    fn keyed<M: Mac + KeyInit>(&self, covered: &[&[u8]]) -> Option<M> {
        // HMAC takes keys of every length, so that there always is one.
        let mut mac = <M as KeyInit>::new_from_slice(self.secret.expose()).ok()?;
        covered.iter().for_each(|octets| mac.update(octets));
        Some(mac)
    }
}

fn finish<M: Mac>(mac: Option<M>) -> Vec<u8> {
    mac.map(|mac| mac.finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

/// A signature taken off a message.
struct Found {
    name: Name,
    tsig: TSIG,
    /// The message as it was before it was signed.
    message: Vec<u8>,
}

impl Found {
    fn at_the_end_of(octets: &[u8]) -> Result<Self, TsigFault> {
        let mut decoder = BinDecoder::new(octets);
        let header = Header::read(&mut decoder).map_err(malformed)?;
        let counts = header.counts;
        Message::read_queries(&mut decoder, counts.queries.into()).map_err(malformed)?;
        let others = [counts.answers, counts.authorities, counts.additionals];
        let others: usize = others.into_iter().map(usize::from).sum();
        if counts.additionals == 0 {
            return Err(TsigFault::Unsigned);
        }
        for _ in 1..others {
            Record::<RData>::read(&mut decoder).map_err(malformed)?;
        }
        let start = decoder.index();
        let record = Record::<RData>::read(&mut decoder).map_err(malformed)?;
        if record.record_type() != RecordType::TSIG {
            return Err(TsigFault::Unsigned);
        }
        let (RData::TSIG(tsig), true) = (record.data, decoder.is_empty()) else {
            return Err(TsigFault::Malformed(
                "the signature is not at the end".into(),
            ));
        };
        let mut message = octets.get(..start).unwrap_or_default().to_vec();
        set_additional(&mut message, counts.additionals - 1);
        if let Some(id) = message.get_mut(..2) {
            id.copy_from_slice(&tsig.oid.to_be_bytes());
        }
        Ok(Self {
            name: record.name,
            tsig,
            message,
        })
    }

    /// The server's clock, which it tells with BADTIME (RFC 8945 §5.2.3).
    fn server_time(&self) -> i64 {
        let other = self.tsig.other.iter().take(6);
        other.fold(0, |time, octet| time << 8 | i64::from(*octet))
    }
}

/// What a signature covers beside the message (RFC 8945 §4.3.3).
fn variables(tsig: &TSIG, name: &Name) -> Result<Vec<u8>, TsigFault> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    tsig.emit_tsig_for_mac(&mut encoder, name)
        .map_err(malformed)?;
    Ok(octets)
}

fn set_additional(message: &mut [u8], count: u16) {
    if let Some(field) = message.get_mut(ADDITIONAL) {
        field.copy_from_slice(&count.to_be_bytes());
    }
}

/// Seconds since 1970 in 48 bits.
fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.as_seconds()).unwrap_or_default() & 0xffff_ffff_ffff
}

fn malformed(error: impl fmt::Display) -> TsigFault {
    TsigFault::Malformed(error.to_string())
}

impl TsigAlgorithm {
    const ALL: [Self; 3] = [Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    const fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }

    const fn of_record(self) -> tsig::TsigAlgorithm {
        match self {
            Self::HmacSha256 => tsig::TsigAlgorithm::HmacSha256,
            Self::HmacSha384 => tsig::TsigAlgorithm::HmacSha384,
            Self::HmacSha512 => tsig::TsigAlgorithm::HmacSha512,
        }
    }
}

impl fmt::Display for TsigAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TsigAlgorithm {
    type Err = ParseTsigAlgorithmError;

    fn from_str(text: &str) -> Result<Self, ParseTsigAlgorithmError> {
        let mut known = Self::ALL.into_iter();
        known
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| ParseTsigAlgorithmError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question, the same signed, its answer, and its rejection by a server whose clock is 4,000
    /// seconds ahead, in hexadecimal, as dnspython 2 makes them at `NOW`.
    const QUESTION: &str = "123400000001000000000000076578616d706c6503636f6d0000020001";
    const SIGNED: [(TsigAlgorithm, &str, &str, &str); 2] = [
        (
            TsigAlgorithm::HmacSha256,
            "123400000001000000000001076578616d706c6503636f6d000002000106757064617465076578616d706c65036e65740000fa00ff00000000003d0b686d61632d7368613235360000006553f100012c00205938e24861245844b2f0c93b56de1e42e887a9f78c9b2e53b18682d0b61262de123400000000",
            "123484000001000100000001076578616d706c6503636f6d0000020001c00c000200010000003c0005026e73c00c06757064617465076578616d706c65036e65740000fa00ff00000000003d0b686d61632d7368613235360000006553f105012c002048cdeeef10991a963880cfc7c4c6a31566c0609ee0bc67c89472a5166e8d9118123400000000",
            "123480090001000000000001076578616d706c6503636f6d000002000106757064617465076578616d706c65036e65740000fa00ff0000000000430b686d61632d7368613235360000006553f100012c002059d07f3d071cd8664de3919fa1e3e0f5b57a3ea5a1d78c908d715d966fde2dd01234001200060000655400a0",
        ),
        (
            TsigAlgorithm::HmacSha512,
            "123400000001000000000001076578616d706c6503636f6d000002000106757064617465076578616d706c65036e65740000fa00ff00000000005d0b686d61632d7368613531320000006553f100012c00402289607193450a458bdd40b2b85a7e64760832e2ea68292f8b85694afaeb4b9446a3ec76c0d5598c5e9b52a0a7002f61b32011715f71ddafd9809d616cfe932d123400000000",
            "123484000001000100000001076578616d706c6503636f6d0000020001c00c000200010000003c0005026e73c00c06757064617465076578616d706c65036e65740000fa00ff00000000005d0b686d61632d7368613531320000006553f105012c00402b6e7bf4c5968c19bfda34ee6235130a83ba5ec27912c3b1356ed2fe40bced52e2d6e8601357e039d94d583fa14ad04cefb95f0119f65afa57a1378fac6ab69d123400000000",
            "123480090001000000000001076578616d706c6503636f6d000002000106757064617465076578616d706c65036e65740000fa00ff0000000000630b686d61632d7368613531320000006553f100012c004074df57cf00ee9ba85182822166af11ab8b4a3aa5fdd5faa1604137ddac7574a09d506c5d26096c03765650e54f81328a7c92a26151dc30217f26077f19cce8d21234001200060000655400a0",
        ),
    ];
    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn octets(hexadecimal: &str) -> Vec<u8> {
        let pairs = hexadecimal.as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn key(algorithm: TsigAlgorithm) -> TsigKey {
        let secret = Secret::new((0..32).collect());
        TsigKey::new("update.example.net".parse().unwrap(), algorithm, secret)
    }

    #[test]
    fn signatures_are_those_of_another_implementation() {
        for (algorithm, request, answer, _) in SIGNED {
            let key = key(algorithm);
            let signed = key.sign(&octets(QUESTION), NOW).unwrap();
            assert_eq!(signed.octets, octets(request), "{algorithm}");
            let message = key.verify(&octets(answer), &signed, NOW).unwrap();
            assert_eq!(message.len(), 46, "the signature is taken off");
            assert_eq!(Message::from_vec(&message).unwrap().answers.len(), 1);
        }
    }

    #[test]
    fn an_answer_with_any_bit_changed_does_not_count() {
        for (algorithm, _, answer, _) in SIGNED {
            let key = key(algorithm);
            let signed = key.sign(&octets(QUESTION), NOW).unwrap();
            let right = key.verify(&octets(answer), &signed, NOW).unwrap();
            for bit in 0..answer.len() * 4 {
                let mut changed = octets(answer);
                changed[bit / 8] ^= 1 << (bit % 8);
                if let Ok(message) = key.verify(&changed, &signed, NOW) {
                    // What is not covered, such as the TTL of the signature, is not believed either.
                    assert_eq!(message, right, "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn an_answer_to_another_request_or_of_another_key_or_time_does_not_count() {
        let (algorithm, _, answer, _) = SIGNED[0];
        let (key, answer) = (key(algorithm), octets(answer));
        let sign = |at: Timestamp| key.sign(&octets(QUESTION), at).unwrap();
        let other_request = sign(Timestamp::from_seconds(1_700_000_001));
        let fault = |key: &TsigKey, request: &Signed, now: i64| {
            let now = Timestamp::from_seconds(now);
            key.verify(&answer, request, now).unwrap_err()
        };
        assert_eq!(
            fault(&key, &other_request, 1_700_000_001),
            TsigFault::Signature
        );
        // It was signed at …005.
        assert!(
            key.verify(&answer, &sign(NOW), Timestamp::from_seconds(1_700_000_305))
                .is_ok()
        );
        assert_eq!(fault(&key, &sign(NOW), 1_700_000_306), TsigFault::Time(301));
        assert_eq!(
            fault(&key, &sign(NOW), 1_699_999_704),
            TsigFault::Time(-301)
        );
        let named = |name: &str, algorithm| {
            TsigKey::new(name.parse().unwrap(), algorithm, key.secret.clone())
        };
        let other_name = named("other.example.net", algorithm);
        let other_algorithm = named("update.example.net", TsigAlgorithm::HmacSha384);
        for other in [&other_name, &other_algorithm] {
            assert_eq!(fault(other, &sign(NOW), 1_700_000_000), TsigFault::OtherKey);
        }
        let mut other_secret = key.clone();
        other_secret.secret = Secret::new(vec![7]);
        let request = other_secret.sign(&octets(QUESTION), NOW).unwrap();
        assert_eq!(
            fault(&other_secret, &request, 1_700_000_000),
            TsigFault::Signature
        );
        let unsigned = key.verify(&octets(QUESTION), &sign(NOW), NOW);
        assert_eq!(unsigned, Err(TsigFault::Unsigned));
    }

    #[test]
    fn a_server_with_another_time_is_told_from_one_with_another_key() {
        for (algorithm, _, _, bad_time) in SIGNED {
            let key = key(algorithm);
            let signed = key.sign(&octets(QUESTION), NOW).unwrap();
            let rejected = |answer: &[u8]| key.verify(answer, &signed, NOW).unwrap_err();
            assert_eq!(
                rejected(&octets(bad_time)),
                TsigFault::Rejected(Rejection::Time(4_000))
            );
            // The same as BADKEY, which nobody can sign.
            let mut bad_key = octets(bad_time);
            let error = bad_key.len() - 10..bad_key.len() - 8;
            bad_key[error].copy_from_slice(&17_u16.to_be_bytes());
            assert_eq!(rejected(&bad_key), TsigFault::Rejected(Rejection::Key));
        }
    }

    #[test]
    fn algorithms_have_the_names_of_key_files() {
        for algorithm in TsigAlgorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        assert!("hmac-md5".parse::<TsigAlgorithm>().is_err());
    }
}
