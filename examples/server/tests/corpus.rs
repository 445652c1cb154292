//! Real and malformed messages: sent by SMTP, each accepted one comes back by IMAP byte for byte.
//! The samples are those of CPython's test suite and of the mail-parser crate.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;
#[path = "../../../crates/wm-core/tests/corpora/mod.rs"]
mod corpora;

use std::fs;
use std::path::{Path, PathBuf};

use common::Server;
use common::imap::Mailbox;
use common::smtp::Smtp;

#[test]
fn every_sample_of_cpython_comes_back_as_sent() {
    if let Some(folder) = corpora::cpython() {
        samples_come_back_as_sent(&folder, 40);
    }
}

#[test]
fn every_sample_of_mail_parser_comes_back_as_sent() {
    if let Some(folder) = corpora::mail_parser() {
        samples_come_back_as_sent(&folder, 100);
    }
}

/// Sends every message in and below a folder, of which at least `floor` have to be accepted.
fn samples_come_back_as_sent(folder: &Path, floor: usize) {
    let server = Server::start();
    let mut smtp = Smtp::connect(server.endpoint("smtp")).unwrap();
    let alice = server.user("alice").address.clone();
    let mut sent = Vec::new();
    for file in files(folder) {
        let message = with_crlf(&fs::read(&file).unwrap());
        let reply = smtp
            .message("sender@example.com", &[&alice], &message)
            .unwrap();
        match reply.code {
            250 => sent.push((file, message)),
            // What is refused is refused for what it is, and for good.
            code => assert_eq!(
                (code / 100, has_bare_cr(&message)),
                (5, true),
                "{}: {reply:?}",
                file.display()
            ),
        }
    }
    assert!(
        sent.len() >= floor,
        "only {} messages were accepted",
        sent.len()
    );

    let Some(received) = Mailbox::new(&server, "alice").contents() else {
        return;
    };
    assert_eq!(received.len(), sent.len());
    for ((file, message), (entry, octets)) in sent.iter().zip(&received) {
        let file = file.display();
        let (trace, content) = octets.split_at(octets.len() - message.len());
        assert!(content == message, "{file} was altered");
        let trace = str::from_utf8(trace).unwrap();
        assert!(
            trace.starts_with("Return-Path: <sender@example.com>\r\n"),
            "{file}: {trace}"
        );
        assert!(
            trace.contains("\r\nReceived: ") && trace.ends_with("\r\n"),
            "{file}: {trace}"
        );
        assert!(!trace.contains("\r\n\r\n"), "{file}: {trace}");
        assert_eq!(entry.size, octets.len(), "{file}");
        assert!(
            entry.envelope.contains("ENVELOPE ("),
            "{file}: {}",
            entry.envelope
        );
        assert!(
            entry.bodystructure.contains("BODYSTRUCTURE ("),
            "{file}: {}",
            entry.bodystructure
        );
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path
            .extension()
            .is_some_and(|kind| kind == "eml" || kind == "txt")
        {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The message as SMTP carries it: every line ends with CRLF, the last one too.
fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(text.len() + text.len() / 32);
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        message.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        message.extend_from_slice(b"\r\n");
    }
    message
}

fn has_bare_cr(message: &[u8]) -> bool {
    message
        .windows(2)
        .any(|pair| pair[0] == b'\r' && pair[1] != b'\n')
}
