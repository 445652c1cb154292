//! Any packet is an answer to a query, malformed or a stray, and what is taken for an answer keeps the
//! limits of the wire. The first octet chooses the query; the packet gets its id and the flag of a
//! response, without which nothing of it would be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wm_core::traits::{DnsName, RecordType};
use wm_dns::resolver::{Query, Refused};

const TYPES: [RecordType; 8] = [
    RecordType::A,
    RecordType::Aaaa,
    RecordType::Cname,
    RecordType::Mx,
    RecordType::Ns,
    RecordType::Srv,
    RecordType::Tlsa,
    RecordType::Txt,
];

const ID: u16 = 0x1234;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, packet)) = input.split_first() else {
        return;
    };
    let name: DnsName = "example.com".parse().expect("a name");
    let record_type = TYPES[usize::from(choice & 7)];
    let mixed_case = choice & 8 != 0;
    let query = Query::new(
        &name,
        record_type,
        u128::from(ID) << 112 | 0b1011,
        true,
        mixed_case,
    );

    if packet.get(..2) != Some(&ID.to_be_bytes()) {
        assert_eq!(query.decode(packet), Err(Refused::Stray));
    }
    let mut packet = packet.to_vec();
    if let [a, b, flags, ..] = packet.as_mut_slice() {
        [*a, *b] = ID.to_be_bytes();
        *flags |= 0x80;
    }
    let decoded = query.decode(&packet);
    assert_eq!(
        query.is_answered_by(&packet),
        decoded != Err(Refused::Stray)
    );
    let Ok(response) = decoded else { return };
    assert!(response.code < 1 << 12);
    // A record has ten octets beside its name, which takes one at least.
    let records = response.answers.len() + response.referral.len();
    assert!(records * 11 + 12 <= packet.len());
    for record in response.answers.iter().chain(&response.referral) {
        let again: DnsName = record
            .name
            .to_string()
            .parse()
            .expect("what is written parses");
        assert_eq!(again, record.name);
        // However the server writes it, it can be shown and exported.
        assert!(wm_dns::export::zone_line(record).lines().count() == 1);
    }
});
