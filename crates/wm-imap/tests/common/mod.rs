//! Message collections that come with packages.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The messages of the mail-parser crate and of CPython's test suite, with LF and with CRLF line ends. A collection
/// that is not there is named.
pub(crate) fn messages() -> Vec<(PathBuf, Vec<u8>)> {
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
        .find_map(|l| l.strip_prefix("host: ").map(str::to_owned))?;
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
