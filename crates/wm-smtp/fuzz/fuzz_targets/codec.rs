//! Any line parses or is refused, and what parses is written as a line that parses to the same. Any
//! stream decodes to what the rule of RFC 5321 §4.5.2 says.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use wm_smtp::codec::{BareNewline, BodyDecoder, BodyEncoder, Command, Decoded};

fuzz_target!(|input: &[u8]| {
    command(input);
    body(input);
});

fn command(line: &[u8]) {
    let Ok(command) = Command::parse(line) else { return };
    let mut wire = BytesMut::new();
    command.write(&mut wire);
    let line = wire.strip_suffix(b"\r\n").expect("a line");
    let mut again = BytesMut::new();
    Command::parse(line).expect("what is written parses").write(&mut again);
    assert_eq!(wire, again);
}

fn body(stream: &[u8]) {
    let framed = [b"\r\n", stream].concat();
    let end = framed.windows(5).position(|window| window == b"\r\n.\r\n");
    let (message, refused) = decode(stream, BareNewline::Reject);
    assert_eq!(refused.is_some(), end.is_some());
    let (normalized, _) = decode(stream, BareNewline::Normalize);
    if refused == Some(false) {
        assert_eq!(message, normalized);
        let mut wire = Vec::new();
        let mut encoder = BodyEncoder::default();
        let mut rest = Bytes::from(message.clone());
        while let Some(slice) = encoder.encode(&mut rest) {
            wire.extend_from_slice(&slice);
        }
        wire.extend_from_slice(encoder.finish());
        assert_eq!(decode(&wire, BareNewline::Reject), (message, Some(false)));
    }
}

fn decode(stream: &[u8], policy: BareNewline) -> (Vec<u8>, Option<bool>) {
    let mut decoder = BodyDecoder::dot_stuffed(policy);
    let mut input = Bytes::copy_from_slice(stream);
    let mut message = Vec::new();
    loop {
        match decoder.decode(&mut input) {
            Some(Decoded::Chunk(octets)) => message.extend_from_slice(&octets),
            Some(Decoded::End { refused }) => return (message, Some(refused)),
            None => return (message, None),
        }
    }
}
