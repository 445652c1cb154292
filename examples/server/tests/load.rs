//! Many messages at once: nothing lost, nothing twice, nothing altered, kill included; and what it
//! takes in memory. Sizes are those of every run; `.ci/full` sets the large ones.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::imap::{Entry, Mailbox};
use common::smtp::Smtp;
use common::{Server, run, size, tool};

const SESSIONS: usize = 64;

#[test]
fn what_smtp_source_sends_mbsync_copies_once_and_unaltered() {
    let messages = size("WM_LOAD_MESSAGES", 2_000);
    let server = Server::start();
    let Some(mut smtp_source) = tool("smtp-source") else {
        return;
    };
    run(smtp_source
        .args([
            "-s",
            &SESSIONS.to_string(),
            "-m",
            &messages.to_string(),
            "-l",
            "5120",
        ])
        .args([
            "-f",
            "sender@example.com",
            "-t",
            &server.user("alice").address,
        ])
        .arg(format!("inet:127.0.0.1:{}", server.port("smtp"))));

    let Some(copied) = Mailbox::new(&server, "alice").mbsync() else {
        return;
    };
    assert_eq!(copied.len(), messages);
    let mut ids = BTreeSet::new();
    let mut bodies = BTreeSet::new();
    for file in copied {
        let message = fs::read_to_string(file).unwrap();
        let (head, body) = message.split_once("\n\n").unwrap();
        let id = head
            .lines()
            .find(|line| line.starts_with("Message-Id: "))
            .unwrap();
        assert!(ids.insert(id.to_owned()), "{id} came twice");
        bodies.insert(body.to_owned());
    }
    // smtp-source sends the same text with every message.
    assert_eq!(bodies.len(), 1);
    assert!(bodies.first().unwrap().len() > 4_500);
}

#[test]
fn after_a_kill_every_acknowledged_message_is_there_once_and_no_uid_was_given_twice() {
    let messages = size("WM_KILL_MESSAGES", 600).max(1);
    let rounds = size("WM_KILL_ROUNDS", 2);
    let mut total = Campaign::default();
    // Listing a mailbox costs what is in it: after some rounds another store is begun.
    for first in (0..rounds).step_by(ROUNDS_OF_A_STORE) {
        let rounds = first..rounds.min(first + ROUNDS_OF_A_STORE);
        let Some(done) = kill_again_and_again(rounds, messages) else {
            return;
        };
        total.add(&done);
        println!("{total}");
    }
}

/// Kills of one store.
const ROUNDS_OF_A_STORE: usize = 20;

/// What a number of kills came to; nothing in it is a fault, those end it.
#[derive(Debug, Default)]
struct Campaign {
    kills: usize,
    acknowledged: usize,
    /// Messages that were durable when the kill took their acknowledgement.
    unacknowledged: usize,
    /// UIDs that were seen, each with one message.
    uids: usize,
}

impl Campaign {
    fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.acknowledged += other.acknowledged;
        self.unacknowledged += other.unacknowledged;
        self.uids += other.uids;
    }
}

impl std::fmt::Display for Campaign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} kills: {} acknowledged and there once, {} there without their acknowledgement, {} UIDs",
            self.kills, self.acknowledged, self.unacknowledged, self.uids
        )
    }
}

/// Kills a server on one growing store, in each round after another number of acknowledgements, at
/// most `messages`. `None` without Python.
fn kill_again_and_again(rounds: Range<usize>, messages: usize) -> Option<Campaign> {
    let mut server = Server::start();
    let mut acknowledged = BTreeSet::new();
    let mut seen = BTreeMap::new();
    let kills = rounds.len();
    let mut there = 0;
    for round in rounds {
        let enough = match round % 2 {
            0 => messages,
            // Early ones too, while sessions are being opened and the mailbox is being made.
            _ => 1 + round * 7919 % messages,
        };
        let (now_acknowledged, while_running) = send_until_killed(&mut server, round, enough);
        assert!(now_acknowledged.len() >= enough);
        acknowledged.extend(now_acknowledged);
        server.restart();
        let present = Mailbox::new(&server, "alice").list(ID)?;

        let ids: BTreeSet<_> = present.iter().map(|entry| &entry.header).collect();
        assert_eq!(ids.len(), present.len(), "a message is there twice");
        let lost: Vec<_> = acknowledged.iter().filter(|id| !ids.contains(id)).collect();
        assert!(
            lost.is_empty(),
            "{} of {} are lost: {lost:?}",
            lost.len(),
            acknowledged.len()
        );
        there = present.len();
        for Entry {
            uid,
            validity,
            header,
            ..
        } in while_running.into_iter().chain(present)
        {
            let other = seen
                .entry((validity, uid))
                .or_insert_with(|| header.clone());
            assert_eq!(*other, header, "UID {uid} was given to two messages");
        }
    }
    let report = run(server.command("check").arg("--json"));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["damaged"], serde_json::json!([]));
    assert_eq!(report["items"], there);
    Some(Campaign {
        kills,
        acknowledged: acknowledged.len(),
        unacknowledged: there - acknowledged.len(),
        uids: seen.len(),
    })
}

/// Sends from [`SESSIONS`] connections, and kills the server when `messages` are acknowledged; in every
/// fifth round once IMAP has listed the mailbox after that. Answers what was acknowledged, and what IMAP
/// showed before the kill.
fn send_until_killed(
    server: &mut Server,
    round: usize,
    messages: usize,
) -> (BTreeSet<String>, Vec<Entry>) {
    let acknowledged = Mutex::new(BTreeSet::new());
    let count = AtomicUsize::new(0);
    let killed = AtomicBool::new(false);
    let seen = Mutex::new(Vec::new());
    let (address, to) = (
        server.endpoint("smtp"),
        server.user("alice").address.clone(),
    );
    let pid = server.pid().to_string();
    thread::scope(|scope| {
        for session in 0..SESSIONS {
            let (acknowledged, count, to) = (&acknowledged, &count, &to);
            scope.spawn(move || {
                let Ok(mut smtp) = Smtp::connect(address) else {
                    return;
                };
                for number in 0.. {
                    let id = format!("{round}.{session}.{number}");
                    let message = format!(
                        "{ID}: {id}\r\n\r\n{}",
                        "0123456789 text of a message\r\n".repeat(170)
                    );
                    match smtp.message("sender@example.com", &[to], message.as_bytes()) {
                        Ok(reply) if reply.code == 250 => {
                            acknowledged.lock().unwrap().insert(id);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(reply) => panic!("{reply:?}"),
                        Err(_) => return,
                    }
                }
            });
        }
        let mailbox = Mailbox::new(server, "alice");
        let (seen, killed, count) = (&seen, &killed, &count);
        scope.spawn(move || {
            while count.load(Ordering::Relaxed) < messages {
                thread::sleep(Duration::from_millis(1));
            }
            if round.is_multiple_of(5)
                && let Some(entries) = mailbox.list(ID)
            {
                *seen.lock().unwrap() = entries;
            }
            run(std::process::Command::new("kill").args(["-s", "KILL", &pid]));
            killed.store(true, Ordering::Relaxed);
        });
    });
    assert!(killed.into_inner());
    server.kill();
    (
        acknowledged.into_inner().unwrap(),
        seen.into_inner().unwrap(),
    )
}

/// The header field that tells messages apart.
const ID: &str = "X-Load-Id";

#[test]
fn large_messages_at_once_stay_under_400_megabytes() {
    let sessions = size("WM_LARGE_SESSIONS", 8);
    let server = Server::start();
    let (address, to) = (
        server.endpoint("smtp"),
        server.user("alice").address.clone(),
    );
    let line = [b"x".repeat(998), b"\r\n".to_vec()].concat();
    let message = [b"Subject: large\r\n\r\n".to_vec(), line.repeat(26_000)].concat();
    let barrier = std::sync::Barrier::new(sessions);
    thread::scope(|scope| {
        for _ in 0..sessions {
            scope.spawn(|| {
                let mut smtp = Smtp::connect(address).unwrap();
                for command in ["MAIL FROM:<>", &format!("RCPT TO:<{to}>"), "DATA"] {
                    assert!(smtp.command(command).unwrap().code < 400);
                }
                barrier.wait();
                smtp.send(&message).unwrap();
                smtp.send(b".\r\n").unwrap();
                let reply = smtp.reply().unwrap();
                assert_eq!(reply.code, 250, "{reply:?}");
            });
        }
    });
    let peak = server.peak_memory();
    println!(
        "{sessions} messages of {} octets at once: at most {} MiB resident",
        message.len(),
        peak >> 20
    );
    assert!(peak < 400_000_000, "{} MiB", peak >> 20);
    if let Some(mailbox) = Mailbox::new(&server, "alice").list("Subject") {
        assert_eq!(mailbox.len(), sessions);
        assert!(mailbox.iter().all(|entry| entry.size > message.len()));
    }
}

#[test]
fn a_commit_group_costs_at_most_two_syncs() {
    let Some(mut strace) = tool("strace") else {
        return;
    };
    let server = Server::start();
    let alice = server.user("alice").address.clone();
    let mut smtp = Smtp::connect(server.endpoint("smtp")).unwrap();
    let mut deliver = |number: usize| {
        let message = format!("Subject: {number}\r\n\r\n{}", "text\r\n".repeat(500));
        assert_eq!(
            smtp.message("", &[&alice], message.as_bytes())
                .unwrap()
                .code,
            250
        );
    };
    // The first delivery makes the mailbox.
    deliver(0);
    let trace = server.scratch("trace");
    let mut tracing = strace
        .args([
            "-f",
            "-e",
            "trace=fsync,fdatasync,sync_file_range,msync,syncfs",
            "-o",
        ])
        .arg(&trace)
        .args(["-p", &server.pid().to_string()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut attached = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(tracing.stderr.take().unwrap()),
        &mut attached,
    )
    .unwrap();
    assert!(attached.contains("attached"), "{attached}");
    // One client waits for each acknowledgement: every message is a group of its own.
    let messages = 100;
    (1..=messages).for_each(&mut deliver);
    run(std::process::Command::new("kill").args(["-s", "INT", &tracing.id().to_string()]));
    tracing.wait().unwrap();
    let trace = fs::read_to_string(trace).unwrap();
    let count = |call: &str| trace.lines().filter(|line| line.contains(call)).count();
    let syncs = count("fsync(") + count("fdatasync(");
    println!("{messages} commits of one message: {syncs} syncs\n{trace:.2000}");
    assert!(syncs >= messages, "acknowledged without a sync");
    assert!(
        syncs <= 2 * messages,
        "{syncs} syncs for {messages} commits"
    );
}
