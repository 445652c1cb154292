//! `domain` on the directory of a server, and against a name server on loopback that is scripted. Real
//! ones are in `name_servers`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use common::{Server, domain, run, text};
use serde_json::Value;

/// Records by name and type, as octets of the wire (RFC 1035 §3.2).
type Zone = BTreeMap<(String, u16), Vec<Vec<u8>>>;

/// An authoritative name server with one zone.
struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    /// Whether it answers SERVFAIL to everything.
    is_broken: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::new()));
        let is_broken = Arc::new(AtomicBool::new(false));
        let (serving, broken) = (zone.clone(), is_broken.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).unwrap();
                // An empty datagram ends the server.
                if length == 0 {
                    return;
                }
                let answer = answer(
                    &buffer[..length],
                    &serving.lock().unwrap(),
                    broken.load(Ordering::SeqCst),
                );
                socket.send_to(&answer, peer).unwrap();
            }
        });
        Self {
            address,
            zone,
            is_broken,
            thread: Some(thread),
        }
    }

    /// Serves what the output of `domain records --json` asks for.
    fn publish(&self, report: &Value) {
        let mut zone = self.zone.lock().unwrap();
        for record in report["records"].as_array().unwrap() {
            let value = record["value"].as_str().unwrap();
            let (record_type, data) = match record["type"].as_str().unwrap() {
                "CNAME" => (5, name(value)),
                "MX" => {
                    let (preference, host) = value.split_once(' ').unwrap();
                    let preference: u16 = preference.parse().unwrap();
                    (15, [&preference.to_be_bytes()[..], &name(host)].concat())
                }
                "TXT" => (16, string(value)),
                other => panic!("{other} records are not served"),
            };
            let owner = record["name"].as_str().unwrap().to_owned();
            zone.entry((owner, record_type)).or_default().push(data);
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .send_to(&[], self.address)
            .unwrap();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn answer(query: &[u8], zone: &Zone, is_broken: bool) -> Vec<u8> {
    let mut at = 12;
    let mut labels = Vec::new();
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        at = end;
    }
    let record_type = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let owner = labels.join(".");
    let records = zone.get(&(owner.clone(), record_type));
    let records: &[Vec<u8>] = records.map_or(&[], Vec::as_slice);
    let below = format!(".{owner}");
    let exists = zone
        .keys()
        .any(|(name, _)| *name == owner || name.ends_with(&below));
    let (code, records) = match (is_broken, exists) {
        (true, _) => (2, &[][..]),
        (false, true) => (0, records),
        (false, false) => (3, &[][..]),
    };
    let mut message = query[..2].to_vec();
    // A response, authoritative.
    message.extend([
        0x84,
        code,
        0,
        1,
        0,
        u8::try_from(records.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    message.extend(&query[12..at + 5]);
    for data in records {
        // The name of the question, class IN, 60 seconds.
        message.extend([0xc0, 12]);
        message.extend(record_type.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60]);
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend(data);
    }
    message
}

fn string(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn name(text: &str) -> Vec<u8> {
    let labels: Vec<Vec<u8>> = text.split('.').map(string).collect();
    [labels.concat(), vec![0]].concat()
}

fn check(data_dir: &Path, server: &NameServer) -> (Option<i32>, Value) {
    let mut command = domain(data_dir, "check");
    command.args(["--json", "--resolver", &server.address.to_string()]);
    let output = command.output().unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
    (output.status.code(), report)
}

/// `KIND STATUS` of each record.
fn statuses(report: &Value) -> Vec<String> {
    let records = report["records"].as_array().unwrap();
    let status = |record: &Value| {
        let word = |field: &str| record[field].as_str().unwrap_or("-").to_owned();
        format!("{} {}", word("kind"), word("status"))
    };
    records.iter().map(status).collect()
}

fn records(data_dir: &Path) -> Value {
    serde_json::from_str(&run(domain(data_dir, "records").arg("--json"))).unwrap()
}

#[test]
fn a_domain_that_has_what_records_printed_is_verified() {
    let (dir, server) = (tempfile::tempdir().unwrap(), NameServer::start());
    let report = records(dir.path());
    assert_eq!(report, records(dir.path()), "the token stays the same");
    server.publish(&report);
    let (code, report) = check(dir.path(), &server);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["domain"], "example.com");
    let expected = ["ownership", "mx", "autodiscover", "spf", "dmarc"];
    assert_eq!(
        statuses(&report),
        expected.map(|kind| format!("{kind} verified"))
    );

    let mut command = domain(dir.path(), "check");
    let table = run(command.args(["--resolver", &server.address.to_string()]));
    assert!(table.contains(" verified "), "{table}");
    assert!(
        !table.contains('\x1b'),
        "no colours where there is no terminal: {table}"
    );
}

#[test]
fn what_is_missing_or_wrong_is_named_and_the_exit_code_is_2() {
    let (dir, server) = (tempfile::tempdir().unwrap(), NameServer::start());
    let foreign = [&[0, 10][..], &name("mx.elsewhere.example")].concat();
    let mut zone = server.zone.lock().unwrap();
    zone.insert(("example.com".into(), 15), vec![foreign]);
    zone.insert(
        ("_dmarc.example.com".into(), 16),
        vec![string("v=DMARC1; p=quarantine")],
    );
    drop(zone);
    let (code, report) = check(dir.path(), &server);
    assert_eq!(code, Some(2), "{report}");
    let expected = [
        "ownership pending",
        "mx inconsistent",
        "autodiscover missing",
        "spf missing",
        "dmarc verified",
    ];
    assert_eq!(statuses(&report), expected);
    let mx = &report["records"][1];
    assert_eq!(mx["name"], "example.com");
    assert_eq!(mx["type"], "MX");
    assert_eq!(mx["value"], "10 mail.example.net");
    assert_eq!(mx["found"], serde_json::json!(["10 mx.elsewhere.example"]));
    assert!(
        mx["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
        "{mx}"
    );
    assert!(report["records"][4]["hint"].is_null());
}

#[test]
fn a_name_server_that_fails_is_exit_code_3_and_changes_no_status() {
    let (dir, server) = (tempfile::tempdir().unwrap(), NameServer::start());
    server.publish(&records(dir.path()));
    assert_eq!(check(dir.path(), &server).0, Some(0));
    server.is_broken.store(true, Ordering::SeqCst);
    let (code, report) = check(dir.path(), &server);
    assert_eq!(code, Some(3), "{report}");
    for record in report["records"].as_array().unwrap() {
        assert_eq!(record["status"], "verified", "{record}");
        assert_eq!(
            record["could_not_check"],
            "the name server failed (SERVFAIL)"
        );
    }
}

#[test]
fn a_token_given_is_used_and_nothing_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    let output: Output = domain(&absent, "records").output().unwrap();
    assert!(!output.status.success());
    assert!(
        text(&output).contains("there is no data directory"),
        "{}",
        text(&output)
    );

    let zone = run(domain(&absent, "records").args(["--ownership-token", "token=", "--zone"]));
    assert!(
        zone.contains("\n_amazonses.example.com. 3600 IN TXT \"token=\"\n"),
        "{zone}"
    );
    assert!(!absent.exists());
}

/// `domain ACTION NAME` on a server's data directory.
fn on(server: &Server, words: &[&str]) -> Output {
    let mut command = server.command("domain");
    command.args(words).output().unwrap()
}

fn said(output: &Output, succeeds: bool) -> String {
    assert_eq!(output.status.success(), succeeds, "{}", text(output));
    text(output)
}

/// `NAME verified default` of each domain.
fn listed(server: &Server) -> Vec<String> {
    let output = on(server, &["list", "--json"]);
    let list: Value = serde_json::from_str(&said(&output, true)).unwrap();
    let line = |domain: &Value| {
        let word = |field: &str| domain[field].as_bool().unwrap();
        let mut line = domain["domain"].as_str().unwrap().to_owned();
        for (field, is_so) in [("verified", word("verified")), ("default", word("default"))] {
            if is_so {
                line.push(' ');
                line.push_str(field);
            }
        }
        line
    };
    list.as_array().unwrap().iter().map(line).collect()
}

fn deliver(server: &Server, to: &str) -> Value {
    let file = server.scratch("message.eml");
    std::fs::write(&file, "Subject: hello\n\nHello\n").unwrap();
    let mut command = server.command("deliver");
    let output = command.arg(&file).args(["--to", to, "--json"]).output();
    serde_json::from_slice(&output.unwrap().stdout).unwrap()
}

#[test]
fn domains_are_added_chosen_and_removed_with_and_without_a_running_server() {
    let mut server = Server::start();
    let offer = said(&on(&server, &["add", "example.com"]), true);
    for word in [
        "belongs to demo",
        "ownership",
        "postmaster@example.com and abuse@example.com",
    ] {
        assert!(offer.contains(word), "{offer}");
    }
    said(&on(&server, &["default", "example.com"]), true);
    assert_eq!(
        listed(&server),
        ["demo.wm.localhost verified", "example.com default"]
    );
    let refused = said(&on(&server, &["remove", "example.com"]), false);
    assert!(refused.contains("default domain"), "{refused}");

    assert!(server.stop().success());
    said(&on(&server, &["default", "demo.wm.localhost"]), true);
    let alice = server.user("alice").address.clone();
    let given = on(&server, &["add", "example.com", "--postmaster", &alice]);
    assert!(!said(&given, true).contains("Nobody"));
    let refused = said(&on(&server, &["remove", "example.com"]), false);
    assert!(refused.contains("addresses in use"), "{refused}");
    server.restart();
    assert_eq!(
        listed(&server),
        ["demo.wm.localhost verified default", "example.com"]
    );
    said(
        &on(&server, &["remove", "example.com", "--role-addresses"]),
        true,
    );
    assert_eq!(listed(&server), ["demo.wm.localhost verified default"]);
}

#[test]
fn mail_for_a_domain_is_taken_from_outside_once_its_ownership_was_seen() {
    let (server, names) = (Server::start(), NameServer::start());
    let alice = server.user("alice").address.clone();
    said(
        &on(&server, &["add", "example.com", "--postmaster", &alice]),
        true,
    );
    let before = deliver(&server, "postmaster@example.com");
    let reason = before["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("550 5.7.1 "), "{reason}");

    let (code, _) = check(&server.data_dir(), &names);
    assert_eq!(code, Some(2));
    assert!(deliver(&server, "postmaster@example.com")["delivered"] == 0);

    names.publish(&records(&server.data_dir()));
    let (code, report) = check(&server.data_dir(), &names);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(listed(&server)[1], "example.com verified");
    assert_eq!(deliver(&server, "postmaster@example.com")["delivered"], 1);

    // A token of the command line proves nothing to the directory.
    let mut other = domain(&server.data_dir(), "check");
    let resolver = names.address.to_string();
    other.args(["--ownership-token", "other", "--resolver", &resolver]);
    assert_eq!(other.output().unwrap().status.code(), Some(2));
    assert_eq!(listed(&server)[1], "example.com verified");

    // The record is lost: for 72 hours that may be a mishap.
    names.zone.lock().unwrap().clear();
    check(&server.data_dir(), &names);
    assert_eq!(listed(&server)[1], "example.com verified");
    age(&server.data_dir(), 73);
    let (_, report) = check(&server.data_dir(), &names);
    assert_eq!(statuses(&report)[0], "ownership failed");
    assert_eq!(listed(&server)[1], "example.com");
    assert_eq!(deliver(&server, "postmaster@example.com")["delivered"], 0);
}

/// Makes what is remembered of the domain older by so many hours.
fn age(data_dir: &Path, hours: i64) {
    let file = data_dir.join("domains/example.com.json");
    let mut memory: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for record in memory["state"]["records"].as_array_mut().unwrap() {
        let since = &mut record[2]["unconfirmed_since"];
        if let Some(at) = since.as_i64() {
            *since = (at - hours * 3_600_000).into();
        }
    }
    std::fs::write(&file, memory.to_string()).unwrap();
}
