//! What durability costs: messages that `wm-server` acknowledges per second at 64 sessions, beside
//! what the disk can sync and what the same server does when nothing is synced.
//!
//! The acceptance criterion: the durable rate is at least 40 % of the smaller of 64 times the disk's
//! fdatasync rate and the server's own rate without syncing. Fails when it is not.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[path = "../../examples/server/tests/common/smtp.rs"]
#[allow(dead_code, unreachable_pub)]
mod smtp;

use smtp::Smtp;

const SESSIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(10);
const REQUIRED: f64 = 0.4;

fn main() -> ExitCode {
    let server = server_binary();
    let sync_rate = sync_rate();
    let durable = delivery_rate(&server, &[]);
    let unsynced = delivery_rate(&server, &["--unsafe-no-sync"]);
    let bound = unsynced.min(SESSIONS as f64 * sync_rate);
    let ratio = durable / bound;
    println!("durable deliveries at {SESSIONS} sessions   {durable:>8.0} /s");
    println!(
        "fdatasync of the disk, times {SESSIONS}     {:>8.0} /s",
        SESSIONS as f64 * sync_rate
    );
    println!("deliveries with syncing disabled      {unsynced:>8.0} /s");
    println!(
        "durable, of the smaller of the two    {:>8.0} % (at least {:.0} %)",
        ratio * 100.0,
        REQUIRED * 100.0
    );
    if ratio >= REQUIRED {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Appends of 4 KiB that the disk confirms one by one, per second.
fn sync_rate() -> f64 {
    let dir = scratch();
    let mut file = File::create(dir.path().join("synced")).unwrap();
    let (begun, mut syncs) = (Instant::now(), 0_u32);
    while begun.elapsed() < Duration::from_secs(5) {
        file.write_all(&[0; 4096]).unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    f64::from(syncs) / begun.elapsed().as_secs_f64()
}

/// Messages of 5 KB acknowledged per second, by a server of its own.
fn delivery_rate(binary: &Path, args: &[&str]) -> f64 {
    let server = Server::start(binary, args);
    let message = format!(
        "Subject: measured\r\n\r\n{}",
        "0123456789 text of a message\r\n".repeat(170)
    );
    let (acknowledged, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| {
                let mut smtp = Smtp::connect(server.smtp).unwrap();
                while !ended.load(Ordering::Relaxed) {
                    let to = ["alice@demo.wm.localhost"];
                    let reply = smtp
                        .message("sender@example.com", &to, message.as_bytes())
                        .unwrap();
                    assert_eq!(reply.code, 250, "{reply:?}");
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(WARM_UP);
        let (begun, before) = (Instant::now(), acknowledged.load(Ordering::Relaxed));
        thread::sleep(MEASURED);
        let count = acknowledged.load(Ordering::Relaxed) - before;
        ended.store(true, Ordering::Relaxed);
        count as f64 / begun.elapsed().as_secs_f64()
    })
}

struct Server {
    child: Child,
    smtp: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start(binary: &Path, args: &[&str]) -> Self {
        let dir = scratch();
        let mut command = Command::new(binary);
        command
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .args(["--log", "warn"])
            .args(args);
        for listener in [
            "smtp",
            "submission",
            "submissions",
            "imap",
            "imaps",
            "https",
            "http",
        ] {
            command.args([&format!("--{listener}"), "127.0.0.1:0"]);
        }
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let endpoints = dir.path().join("data/endpoints.json");
        let text = loop {
            match fs::read(&endpoints) {
                Ok(text) => break text,
                Err(_) => assert!(child.try_wait().unwrap().is_none(), "wm-server ended"),
            }
            thread::sleep(Duration::from_millis(20));
        };
        let endpoints: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let smtp = endpoints["smtp"].as_str().unwrap().parse().unwrap();
        Self {
            child,
            smtp,
            _dir: dir,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The release build of the server.
fn server_binary() -> PathBuf {
    let output = Command::new(std::env::var_os("CARGO").unwrap())
        .args([
            "build",
            "--release",
            "--package",
            "wm-server",
            "--message-format",
            "json",
        ])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let messages = String::from_utf8(output.stdout).unwrap();
    let mut messages = messages
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let built = messages.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    built.expect("cargo names the executable")
}

/// A folder on the disk that is measured: in the target directory, as /tmp may be memory.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}
