//! The message collections of the mail-parser crate and of CPython's test suite.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use mail_parser::{Message, MessageParser, PartType};

use super::{Kind, Scanner, Structure, summarize};

/// Every message of both collections, with LF and with CRLF line ends. A collection that is not there is named.
fn messages() -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    match mail_parser_eml() {
        Some(eml) => ["rfc", "legacy", "malformed", "thirdparty"]
            .iter()
            .for_each(|class| {
                collect(&eml.join(class), ".eml", &mut found);
            }),
        None => println!("skipped: cargo metadata does not name the sources of mail-parser"),
    }
    let cpython = Path::new("/usr/lib/python3.11/test/test_email/data");
    if cpython.is_dir() {
        collect(cpython, ".txt", &mut found);
    } else {
        println!(
            "skipped: {} is missing (Debian libpython3.11-testsuite)",
            cpython.display()
        );
    }
    let crlf: Vec<_> = found
        .iter()
        .map(|(path, message)| (path.clone(), with_crlf(message)))
        .collect();
    found.extend(crlf);
    found
}

fn mail_parser_eml() -> Option<PathBuf> {
    let version = Command::new("rustc").arg("-vV").output().ok()?.stdout;
    let host = String::from_utf8(version)
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))?;
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--filter-platform",
            &host,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let package = metadata["packages"]
        .as_array()?
        .iter()
        .find(|package| package["name"] == "mail-parser")?;
    Some(
        Path::new(package["manifest_path"].as_str()?)
            .parent()?
            .join("resources/eml"),
    )
}

fn collect(folder: &Path, suffix: &str, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with(suffix) {
            let message = std::fs::read(&path).unwrap();
            found.push((path, message));
        }
    }
}

fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for line in message.split_inclusive(|&b| b == b'\n') {
        let text = line
            .strip_suffix(b"\n")
            .map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(text);
        out.extend_from_slice(if line.ends_with(b"\n") { b"\r\n" } else { b"" });
    }
    out
}

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
