//! Every message has an ENVELOPE and a BODYSTRUCTURE that a client can read, and no section lies outside it.
#![no_main]

use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use imap_codec::encode::Encoder;
use imap_codec::imap_types::fetch::{MessageDataItem, Part as PartNumber, Section};
use imap_codec::imap_types::response::{Data, Response};
use libfuzzer_sys::fuzz_target;
use wm_core::content::{Part, Structure};
use wm_imap::message::{Cut, body_structure, envelope};

/// Levels of parts that imap-codec's own decoder follows.
const DECODED_DEPTH: usize = 3;

fuzz_target!(|message: &[u8]| {
    let structure = Structure::of(message);
    let root = structure.root();
    read_back(MessageDataItem::Envelope(envelope(root.head())));
    if depth(root) <= DECODED_DEPTH {
        read_back(MessageDataItem::Body(body_structure(root, false)));
        read_back(MessageDataItem::BodyStructure(body_structure(root, true)));
    }
    let number = |numbers: [u32; 2]| {
        let numbers = numbers.map(|n| n.try_into().expect("not zero")).to_vec();
        PartNumber(numbers.try_into().expect("not empty"))
    };
    for section in [
        Section::Part(number([1, 1])),
        Section::Mime(number([2, 1])),
        Section::Header(Some(number([1, 2]))),
        Section::Text(Some(number([1, 1]))),
        Section::Header(None),
        Section::Text(None),
    ] {
        let cut = Cut::of(Some(&section), &structure, message.len() as u64);
        for cut in [cut.clone(), cut.clone().partial(3, 5), cut.partial(u32::MAX, u32::MAX)] {
            if let Cut::Range(range) = cut {
                assert!(range.start <= range.end && range.end <= message.len() as u64);
            }
        }
    }
});

fn read_back(item: MessageDataItem<'_>) {
    let data = Data::fetch(1, vec![item.clone()]).expect("an item");
    let wire = ResponseCodec::default().encode(&Response::Data(data)).dump();
    match ResponseCodec::default().decode(&wire) {
        Ok((b"", Response::Data(Data::Fetch { items, .. }))) => assert_eq!(items.as_ref(), [item]),
        other => panic!("{other:?}: {}", wire.escape_ascii()),
    }
}

fn depth(part: Part<'_>) -> usize {
    let children = part.children().chain(part.message());
    1 + children.map(depth).max().unwrap_or(0)
}
