//! Collections of real messages that come with packages, for the tests of every crate.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "shared by tests that do not use everything"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every message of both collections, with LF and with CRLF line ends.
pub fn messages() -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    if let Some(eml) = mail_parser() {
        for class in ["rfc", "legacy", "malformed", "thirdparty"] {
            collect(&eml.join(class), ".eml", &mut found);
        }
    }
    if let Some(data) = cpython() {
        collect(&data, ".txt", &mut found);
    }
    let crlf: Vec<_> = found
        .iter()
        .map(|(path, message)| (path.clone(), with_crlf(message)))
        .collect();
    found.extend(crlf);
    found
}

/// Where the messages of CPython's test suite are.
pub fn cpython() -> Option<PathBuf> {
    let data = Path::new("/usr/lib/python3.11/test/test_email/data");
    there(
        data,
        "CPython's test suite (Debian libpython3.11-testsuite)",
    )
}

/// Where the messages of the mail-parser crate are: in its sources, which cargo knows.
pub fn mail_parser() -> Option<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(["--filter-platform", &host()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let parser = packages
        .iter()
        .find(|package| package["name"] == "mail-parser");
    let manifest = parser.and_then(|parser| parser["manifest_path"].as_str());
    let sources = Path::new(manifest.unwrap_or_default()).parent();
    let eml = sources.unwrap_or(Path::new("")).join("resources/eml");
    there(&eml, "the sources of mail-parser")
}

fn there(folder: &Path, what: &str) -> Option<PathBuf> {
    if folder.is_dir() {
        return Some(folder.to_owned());
    }
    assert!(std::env::var_os("CI").is_none(), "missing: {what}");
    println!("skipped: {what} missing");
    None
}

fn host() -> String {
    let version = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap().to_owned()
}

fn collect(folder: &Path, suffix: &str, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with(suffix) {
            let message = fs::read(&path).unwrap();
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
