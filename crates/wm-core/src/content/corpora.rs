//! The message collections of the mail-parser crate and of CPython's test suite.

use std::ops::Range;

use mail_parser::{Message, MessageParser, PartType};

use super::{Kind, Scanner, Structure, summarize};

#[path = "../../tests/corpora/mod.rs"]
mod samples;

use samples::messages;

#[test]
fn every_part_lies_within_its_parent_and_after_its_sibling() {
    for (path, message) in messages() {
        let structure = Structure::of(&message);
        let root = structure.root();
        assert_eq!(
            (root.header().start, root.body().end),
            (0, message.len() as u64),
            "{path:?}"
        );
        for part in structure.parts() {
            let mut at = part.body().start;
            for child in part.children() {
                assert!(
                    child.header().start >= at && child.body().end <= part.body().end,
                    "{path:?}"
                );
                at = child.body().end;
            }
            assert_eq!(
                part.kind() == Kind::Leaf,
                part.children().next().is_none(),
                "{path:?}"
            );
        }
        summarize(&message);
    }
}

#[test]
fn pieces_of_any_size_have_the_structure_of_the_whole() {
    for (path, message) in messages() {
        for size in [1, 7, 61] {
            let mut scanner = Scanner::new();
            message.chunks(size).for_each(|piece| scanner.feed(piece));
            assert_eq!(scanner.finish(), Structure::of(&message), "{path:?}");
        }
    }
}

/// Where the two deliberately differ: an encoded message is not taken apart, a delimiter stands at the beginning of
/// a line, one that nothing follows still begins a part.
const DIFFERENT: [&str; 3] = ["rfc/008.eml", "thirdparty/005.eml", "thirdparty/015.eml"];

#[test]
fn parts_of_well_formed_messages_are_those_mail_parser_finds() {
    for (path, message) in messages() {
        if !path.to_string_lossy().contains("/eml/")
            || path.to_string_lossy().contains("/malformed/")
            || DIFFERENT.iter().any(|name| path.ends_with(name))
        {
            continue;
        }
        let structure = Structure::of(&message);
        let mut ours: Vec<_> = structure
            .parts()
            .filter(|part| part.kind() == Kind::Leaf)
            .map(|p| p.body())
            .collect();
        let mut theirs = Vec::new();
        leaves(
            &MessageParser::default().parse(&message).unwrap(),
            &mut theirs,
        );
        ours.sort_by_key(|body| body.start);
        theirs.sort_by_key(|body| body.start);
        assert_eq!(ours, theirs, "{path:?}");
    }
}

fn leaves(message: &Message<'_>, found: &mut Vec<Range<u64>>) {
    for part in &message.parts {
        match &part.body {
            PartType::Multipart(_) => {}
            PartType::Message(inner) => leaves(inner, found),
            _ => found.push(u64::from(part.offset_body)..u64::from(part.offset_end)),
        }
    }
}
