//! Any octets have a structure whose parts lie inside each other and whose ranges lie inside the message, the same in
//! whatever pieces it arrives, and a summary within its bounds. The first octet is the size of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wm_core::content::{
    Kind, Parameterised, Scanner, Structure, Tokens, conversation, decode_text,
};

fuzz_target!(|input: &[u8]| {
    let [size, message @ ..] = input else { return };
    let structure = Structure::of(message);
    let mut scanner = Scanner::new();
    message
        .chunks(usize::from(*size) + 1)
        .for_each(|piece| scanner.feed(piece));
    assert_eq!(scanner.finish(), structure);
    assert_eq!(structure.root().header().start, 0);
    assert_eq!(structure.root().body().end, message.len() as u64);
    ranges(message, &structure);
    summary(&structure);
});

fn ranges(message: &[u8], structure: &Structure) {
    for part in structure.parts() {
        let (header, body) = (part.header(), part.body());
        assert!(header.start <= header.end && header.end == body.start && body.start <= body.end);
        let octets = &message[body.start as usize..body.end as usize];
        let breaks = octets.iter().filter(|&&octet| octet == b'\n').count();
        assert_eq!(part.lines(), breaks as u64);
        let mut at = body.start;
        for child in part.children() {
            assert!(child.header().start >= at && child.body().end <= body.end);
            at = child.body().end;
        }
        assert_eq!(part.children().next().is_some(), part.kind() != Kind::Leaf);
        for field in part.head().fields() {
            let value = field.unfolded();
            let parsed = Parameterised::parse(&value);
            drop(parsed.decoded("name"));
            drop(field.decoded());
            assert!(Tokens::new(&value).count() <= value.len());
        }
        drop(decode_text(part.head(), octets));
    }
}

fn summary(structure: &Structure) {
    std::hint::black_box(conversation(structure.root().head()));
    let summary = structure.summary();
    for (text, limit) in [
        (&summary.subject, 255),
        (&summary.from, 255),
        (&summary.to, 512),
        (&summary.preview, 255),
    ] {
        assert!(text.chars().count() <= limit);
        assert!(!text.contains(char::is_control));
    }
}
