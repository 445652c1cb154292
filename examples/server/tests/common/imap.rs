//! A mailbox as Python's imaplib and mbsync see it.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Server, python, run, tool};

/// Somebody's inbox.
pub struct Mailbox<'a> {
    server: &'a Server,
    user: &'a str,
}

/// A message in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    pub uid: u32,
    pub validity: u32,
    pub size: usize,
    /// The value of the header field asked for.
    #[serde(default)]
    pub header: String,
    #[serde(default)]
    pub envelope: String,
    #[serde(default)]
    pub bodystructure: String,
}

impl<'a> Mailbox<'a> {
    pub fn new(server: &'a Server, user: &'a str) -> Self {
        Self { server, user }
    }

    /// Every message with one header field, by UID. `None` without Python.
    pub fn list(&self, header: &str) -> Option<Vec<Entry>> {
        self.dump(&["headers", header])
    }

    /// Every message with its octets, by UID. `None` without Python.
    pub fn contents(&self) -> Option<Vec<(Entry, Vec<u8>)>> {
        let dir = self.server.scratch(&format!("contents-{}", self.user));
        let entries = self.dump(&["content", dir.to_str().unwrap()])?;
        let read = entries.into_iter().map(|entry| {
            let octets = fs::read(dir.join(entry.uid.to_string())).unwrap();
            (entry, octets)
        });
        Some(read.collect())
    }

    /// Copies the inbox into a Maildir by mbsync; answers its files. `None` without mbsync.
    pub fn mbsync(&self) -> Option<Vec<PathBuf>> {
        let user = self.server.user(self.user);
        let dir = self.server.scratch(&format!("maildir-{}", self.user));
        fs::create_dir_all(&dir).unwrap();
        let config = self.server.scratch(&format!("mbsyncrc-{}", self.user));
        let text = [
            "IMAPAccount wm".into(),
            "Host localhost".into(),
            format!("Port {}", self.server.port("imaps")),
            format!("User {}", user.address),
            format!("Pass {}", user.password),
            "SSLType IMAPS".into(),
            format!("CertificateFile {}", self.server.certificate().display()),
            String::new(),
            "IMAPStore far".into(),
            "Account wm".into(),
            String::new(),
            "MaildirStore near".into(),
            format!("Inbox {}/inbox", dir.display()),
            format!("Path {}/", dir.display()),
            String::new(),
            "Channel inbox".into(),
            "Far :far:".into(),
            "Near :near:".into(),
            "Patterns INBOX".into(),
            "Create Near".into(),
            "Sync Pull".into(),
            "SyncState *".into(),
            String::new(),
        ];
        fs::write(&config, text.join("\n")).unwrap();
        run(tool("mbsync")?
            .arg("--quiet")
            .arg("--config")
            .arg(&config)
            .arg("inbox"));
        let mut files: Vec<_> = ["cur", "new"]
            .iter()
            .flat_map(|folder| fs::read_dir(dir.join("inbox").join(folder)).unwrap())
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        Some(files)
    }

    fn dump(&self, what: &[&str]) -> Option<Vec<Entry>> {
        let user = self.server.user(self.user);
        let lines = run(python("imap_dump.py")?
            .args(["localhost", &self.server.port("imaps")])
            .arg(self.server.certificate())
            .args([&user.address, "INBOX"])
            .args(what)
            .env("WM_PASSWORD", &user.password));
        Some(
            lines
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        )
    }
}
