//! `domain` against name servers that nobody here wrote: BIND and NSD read what `records --zone` prints
//! and serve it to `check`; BIND takes from `apply` what a domain lacks.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub
)]

mod common;
#[path = "../../../crates/wm-dns/tests/it/name_server.rs"]
mod name_server;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{domain, run, text};
use name_server::{Key, NameServer, ZoneFile, program};
use serde_json::Value;

const KEY: Key = Key {
    name: "update.example.net",
    algorithm: "hmac-sha512",
    secret: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
};

/// The exit code of `check`, and `KIND STATUS` of each record.
fn check(dir: &Path, server: &NameServer) -> (Option<i32>, Vec<String>) {
    let mut command = domain(dir, "check");
    command.args(["--json", "--resolver", &server.address.to_string()]);
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
    let records = report["records"].as_array().unwrap().iter();
    let status = |record: &Value| {
        let word = |field: &str| record[field].as_str().unwrap_or("-").to_owned();
        format!("{} {}", word("kind"), word("status"))
    };
    (output.status.code(), records.map(status).collect())
}

const KINDS: [&str; 5] = ["ownership", "mx", "autodiscover", "spf", "dmarc"];

fn all(status: &str) -> Vec<String> {
    KINDS.map(|kind| format!("{kind} {status}")).into()
}

/// `domain apply` with the key, whose secret is in a file.
fn apply(dir: &Path, server: &NameServer, words: &[&str]) -> Output {
    let secret = dir.join("secret");
    fs::write(&secret, format!("{}\n", KEY.secret)).unwrap();
    let mut command = domain(dir, "apply");
    command
        .args(["--rfc2136", &server.address.to_string()])
        .args(["--tsig-name", KEY.name, "--tsig-algorithm", KEY.algorithm])
        .arg("--tsig-secret-file")
        .arg(&secret)
        .args(words);
    command.output().unwrap()
}

#[test]
fn bind_and_nsd_read_and_serve_what_records_prints() {
    let dir = tempfile::tempdir().unwrap();
    let records = run(domain(dir.path(), "records").arg("--zone"));
    let zone = || ZoneFile::new("example.com", &records);
    let file = dir.path().join("good.zone");
    fs::write(&file, zone().text).unwrap();
    for checker in ["named-checkzone", "nsd-checkzone"] {
        if let Some(checker) = program(checker) {
            run(Command::new(checker).arg("example.com").arg(&file));
        }
    }
    let servers = [
        NameServer::bind(&[zone()], None),
        NameServer::nsd(&[zone()]),
    ];
    for server in servers.into_iter().flatten() {
        assert_eq!(check(dir.path(), &server), (Some(0), all("verified")));
    }
}

#[test]
fn what_a_broken_zone_lacks_is_found_and_a_server_that_refuses_says_nothing_of_it() {
    // No token, mail elsewhere, the domain doubled, two SPF records, no policy.
    let broken = "example.com. IN MX 10 mx.elsewhere.example.\n\
                  autodiscover.example.com.example.com. IN CNAME mail.example.net.\n\
                  example.com. IN TXT \"v=spf1 mx ~all\"\n\
                  example.com. IN TXT \"v=spf1 -all\"\n";
    let zones = || [ZoneFile::new("example.com", broken)];
    let other = || [ZoneFile::new("example.org", "")];
    let servers = [
        (
            NameServer::bind(&zones(), None),
            NameServer::bind(&other(), None),
        ),
        (NameServer::nsd(&zones()), NameServer::nsd(&other())),
    ];
    for (server, refusing) in servers {
        let (Some(server), Some(refusing)) = (server, refusing) else {
            continue;
        };
        let dir = tempfile::tempdir().unwrap();
        let expected = [
            "ownership pending",
            "mx inconsistent",
            "autodiscover missing",
            "spf inconsistent",
            "dmarc missing",
        ]
        .map(str::to_owned);
        assert_eq!(
            check(dir.path(), &server),
            (Some(2), expected.clone().into())
        );
        assert_eq!(
            check(dir.path(), &refusing),
            (Some(3), expected.into()),
            "the last known statuses are kept"
        );
    }
}

#[test]
fn one_command_takes_a_domain_from_all_missing_to_all_verified() {
    let zone = ZoneFile::new(
        "example.com",
        "example.com. IN TXT \"site-verification=1\"\n",
    );
    let Some(server) = NameServer::bind(&[zone], Some(KEY)) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (code, found) = check(dir.path(), &server);
    assert_eq!((code, found[1].as_str()), (Some(2), "mx missing"));

    let shown = apply(dir.path(), &server, &["--dry-run"]);
    assert_eq!(shown.status.code(), Some(2), "{}", text(&shown));
    let line = "+ example.com. 3600 IN MX 10 mail.example.net.";
    assert!(text(&shown).contains(line), "{}", text(&shown));
    assert_eq!(check(dir.path(), &server).0, Some(2), "nothing was added");

    let done = apply(dir.path(), &server, &["--yes"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    assert!(text(&done).contains("5 records added"), "{}", text(&done));
    assert_eq!(check(dir.path(), &server), (Some(0), all("verified")));

    let again = apply(dir.path(), &server, &["--yes", "--json"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    let outcome: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(outcome["zone"], "example.com");
    assert_eq!(outcome["keep"].as_array().unwrap().len(), 5);
    assert!(outcome["add"].as_array().unwrap().is_empty() && outcome["applied"] == false);
}

#[test]
fn what_is_in_the_way_stays_and_is_named() {
    let zone = ZoneFile::new(
        "example.com",
        "example.com. IN MX 5 mx.elsewhere.example.\n",
    );
    let Some(server) = NameServer::bind(&[zone], Some(KEY)) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for added in [4, 0] {
        let output = apply(dir.path(), &server, &["--yes", "--json"]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(outcome["add"].as_array().unwrap().len(), added, "{outcome}");
        let conflict = &outcome["conflict"][0];
        assert_eq!(
            conflict["present"][0],
            "example.com. 60 IN MX 5 mx.elsewhere.example."
        );
        assert!(!conflict["hint"].as_str().unwrap().is_empty());
    }
}

#[test]
fn apply_names_what_is_wrong_with_the_key_and_asks_before_it_adds() {
    let zone = ZoneFile::new("example.com", "");
    let Some(server) = NameServer::bind(&[zone], Some(KEY)) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let address = server.address.to_string();
    let command = |words: &[&str], secret: Option<&str>| {
        let mut command = domain(dir.path(), "apply");
        command.args(["--rfc2136", &address]).args(words);
        if let Some(secret) = secret {
            command.env("WM_TSIG_SECRET", secret);
        }
        command.output().unwrap()
    };
    let named = [
        "--yes",
        "--tsig-name",
        KEY.name,
        "--tsig-algorithm",
        KEY.algorithm,
    ];
    for (words, secret, code, word) in [
        (&named[..], Some("bm90IHRoZSBzZWNyZXQ="), 2, "BADSIG"),
        (&named[..3], Some(KEY.secret), 2, "BADKEY"),
        (&["--yes"][..], None, 2, "REFUSED"),
        (&named[..], None, 1, "WM_TSIG_SECRET"),
        (&named[..], Some("no base 64!"), 1, "base 64"),
        (&[][..], None, 1, "--yes"),
    ] {
        let output = command(words, secret);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(word), "{word}: {said}");
        assert!(secret.is_none_or(|secret| !said.contains(secret)), "{said}");
    }
    let done = command(&named, Some(KEY.secret));
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));

    drop(server);
    let output = command(&named, Some(KEY.secret));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
}
