//! Runs the real `wm-server` on free ports, and the tools that drive it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "shared by test files that each use a part"
)]

pub mod imap;
pub mod smtp;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;

/// A running server on a data directory of its own.
pub struct Server {
    child: Child,
    pub dir: TempDir,
    args: Vec<String>,
    endpoints: BTreeMap<String, SocketAddr>,
    pub setup: QuickSetup,
}

#[derive(Debug, Clone, Deserialize)]
pub struct QuickSetup {
    pub organization: Organization,
    pub users: Vec<User>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Organization {
    pub id: String,
    pub alias: String,
    pub domain: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct User {
    pub name: String,
    pub address: String,
    pub password: String,
}

/// The listeners there are.
pub const LISTENERS: [&str; 5] = ["imap", "imaps", "smtp", "submission", "submissions"];

impl Server {
    /// A first start with default options.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A first start with further options.
    pub fn start_with(args: &[&str]) -> Self {
        let dir = TempDir::with_prefix("wm-").unwrap();
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        let child = spawn(&dir, &args);
        let mut server = Self {
            child,
            dir,
            args,
            endpoints: BTreeMap::new(),
            setup: QuickSetup {
                organization: Organization {
                    id: String::new(),
                    alias: String::new(),
                    domain: String::new(),
                },
                users: Vec::new(),
            },
        };
        server.wait_until_ready();
        let setup = fs::read(server.data_dir().join("quick-setup.json")).unwrap();
        server.setup = serde_json::from_slice(&setup).unwrap();
        server
    }

    pub fn data_dir(&self) -> PathBuf {
        data_dir(&self.dir)
    }

    /// The address of the listener that this flag chooses.
    pub fn endpoint(&self, flag: &str) -> SocketAddr {
        self.endpoints[flag]
    }

    pub fn port(&self, flag: &str) -> String {
        self.endpoint(flag).port().to_string()
    }

    pub fn endpoints(&self) -> Vec<&str> {
        self.endpoints.keys().map(String::as_str).collect()
    }

    pub fn user(&self, name: &str) -> &User {
        self.setup
            .users
            .iter()
            .find(|user| user.name == name)
            .unwrap()
    }

    pub fn certificate(&self) -> PathBuf {
        self.data_dir().join("tls-certificate.pem")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A file for the test, outside the data directory.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the server has printed: its table and its log.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.scratch(PRINTED)).unwrap()
    }

    /// Ends the server as a service manager does.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().unwrap()
    }

    /// Ends the server as a power cut does, as far as the process is concerned.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// Starts again on the same data directory; ports change.
    pub fn restart(&mut self) {
        // A server that was killed leaves it behind.
        let _ = fs::remove_file(self.data_dir().join("endpoints.json"));
        self.child = spawn(&self.dir, &self.args);
        self.wait_until_ready();
    }

    /// The most memory the server has had resident, in octets.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    /// A subcommand on this data directory.
    pub fn command(&self, subcommand: &str) -> Command {
        command(subcommand, &self.data_dir())
    }

    fn wait_until_ready(&mut self) {
        let file = self.data_dir().join("endpoints.json");
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(text) = fs::read(&file) {
                self.endpoints = serde_json::from_slice(&text).unwrap();
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("wm-server ended with {status}:\n{}", self.printed());
            }
            assert!(
                Instant::now() < deadline,
                "wm-server is not ready:\n{}",
                self.printed()
            );
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- wm-server printed:\n{}", self.printed());
        }
    }
}

/// `wm-server SUBCOMMAND --data-dir DIR`.
pub fn command(subcommand: &str, data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wm-server"));
    command.arg(subcommand).arg("--data-dir").arg(data_dir);
    command.stdin(Stdio::null());
    command
}

/// An external tool. `None`, with the reason printed, when the machine does not have it; in CI that
/// is a failure.
pub fn tool(name: &str) -> Option<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    let Some(found) = found else {
        absent(name);
        return None;
    };
    let mut command = Command::new(found);
    command.stdin(Stdio::null());
    Some(command)
}

/// Says that something a test needs is absent; in CI that is a failure.
pub fn absent(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is absent");
    eprintln!("skipped: {what} is absent; .ci/tools installs it");
}

/// A script of `tests/python`.
pub fn python(script: &str) -> Option<Command> {
    let mut command = tool("python3")?;
    command.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/python")
            .join(script),
    );
    Some(command)
}

/// Runs to the end and answers what was printed; a failure of the command is one of the test.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}",
        output.status,
        text(&output)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Everything a command printed.
pub fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text))
        .concat()
}

/// How large a load is: the environment's value, or the one for every run.
pub fn size(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |value| value.parse().expect(variable))
}

/// Where a server's output goes, beside its data directory.
const PRINTED: &str = "printed";

fn spawn(dir: &TempDir, args: &[String]) -> Child {
    let printed = File::options()
        .create(true)
        .append(true)
        .open(dir.path().join(PRINTED))
        .unwrap();
    let mut command = command("serve", &data_dir(dir));
    for listener in LISTENERS {
        command.args([&format!("--{listener}"), "127.0.0.1:0"]);
    }
    command.args(args);
    command.stdout(printed.try_clone().unwrap()).stderr(printed);
    command.spawn().unwrap()
}

fn data_dir(dir: &TempDir) -> PathBuf {
    dir.path().join("data")
}

/// `wm-server domain COMMAND example.com` on a data directory, with nobody to answer questions.
pub fn domain(data_dir: &Path, command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_wm-server"));
    program
        .args([
            "domain",
            command,
            "example.com",
            "--host",
            "mail.example.net",
        ])
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::null())
        .env_remove("WM_TSIG_SECRET");
    program
}
