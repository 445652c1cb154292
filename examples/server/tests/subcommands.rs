//! `deliver` and `check`, with a running server and without one.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;

use std::fs;

use common::imap::Mailbox;
use common::{Server, command, run, text};
use serde_json::Value;

const MBOX: &str = "From a@example.com Mon Jan  1 00:00:00 2024\nSubject: one\n\n>From the start\n\n\
                    From b@example.com Mon Jan  1 00:00:00 2024\nSubject: two\n\nTwo\n\n";

#[test]
fn deliver_takes_files_mbox_and_maildir_with_and_without_a_server() {
    let mut server = Server::start();
    let alice = server.user("alice").address.clone();
    let (file, mbox, maildir) = (
        server.scratch("file.eml"),
        server.scratch("mbox"),
        server.scratch("maildir"),
    );
    fs::write(&file, "Subject: file\n\nFile\n").unwrap();
    fs::write(&mbox, MBOX).unwrap();
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(folder)).unwrap();
    }
    fs::write(maildir.join("new/1"), "Subject: maildir\n\nMaildir\n").unwrap();

    let deliver = |server: &Server| {
        let printed = run(server
            .command("deliver")
            .args([&file, &mbox, &maildir])
            .args(["--to", &alice, "--json"]));
        let result: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(result["delivered"], 4, "{printed}");
        assert_eq!(result["refused"], Value::Array(Vec::new()), "{printed}");
    };
    deliver(&server);
    assert!(server.stop().success());
    deliver(&server);
    assert!(!server.data_dir().join("control.sock").exists());
    server.restart();

    let Some(contents) = Mailbox::new(&server, "alice").contents() else {
        return;
    };
    let ends = [
        "\r\nFile\r\n",
        "\r\nFrom the start\r\n",
        "\r\nTwo\r\n",
        "\r\nMaildir\r\n",
    ];
    assert_eq!(contents.len(), 8);
    for ((_, octets), end) in contents.iter().zip(ends.iter().cycle()) {
        assert!(
            octets.ends_with(end.as_bytes()),
            "{}",
            String::from_utf8_lossy(octets)
        );
    }
}

#[test]
fn deliver_says_which_message_was_refused_and_why() {
    let server = Server::start();
    let mbox = server.scratch("mbox");
    fs::write(&mbox, MBOX).unwrap();
    let output = server
        .command("deliver")
        .arg(&mbox)
        .args(["--to", "nobody@demo.wm.localhost", "--json"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["delivered"], 0);
    assert_eq!(result["refused"].as_array().unwrap().len(), 2);
    let refused = &result["refused"][1];
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .ends_with("mbox, message 2"),
        "{refused}"
    );
    assert!(
        refused["reason"]
            .as_str()
            .unwrap()
            .starts_with("550 5.1.1 "),
        "{refused}"
    );
}

#[test]
fn deliver_names_a_file_that_is_not_there_before_it_delivers_any() {
    let server = Server::start();
    let file = server.scratch("file.eml");
    fs::write(&file, "Subject: file\n\nFile\n").unwrap();
    let output = server
        .command("deliver")
        .args([&file, &server.scratch("absent.eml")])
        .args(["--to", "alice@demo.wm.localhost"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("absent.eml"), "{}", text(&output));
    if let Some(present) = Mailbox::new(&server, "alice").list("Subject") {
        assert!(present.is_empty());
    }
}

#[test]
fn check_finds_nothing_wrong_with_a_store_in_use_and_at_rest() {
    let mut server = Server::start();
    let file = server.scratch("file.eml");
    fs::write(&file, "Subject: file\n\nFile\n").unwrap();
    run(server
        .command("deliver")
        .arg(&file)
        .args(["--to", "alice@demo.wm.localhost"]));

    let sound = |server: &Server| {
        let printed = run(server.command("check").arg("--json"));
        let report: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(report["damaged"], Value::Array(Vec::new()), "{printed}");
    };
    sound(&server);
    assert!(server.stop().success());
    sound(&server);
}

#[test]
fn a_subcommand_on_no_data_directory_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let output = command("check", &dir.path().join("absent"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(
        text(&output).contains("there is no data directory"),
        "{}",
        text(&output)
    );
    assert!(!dir.path().join("absent").exists());
}

#[test]
fn a_store_without_its_master_key_is_refused_and_no_other_key_is_made() {
    let mut server = Server::start();
    assert!(server.stop().success());
    let key = server.data_dir().join("store/master.key");
    fs::remove_file(&key).unwrap();
    for subcommand in ["check", "serve"] {
        let output = command(subcommand, &server.data_dir()).output().unwrap();
        assert!(!output.status.success());
        assert!(
            text(&output).contains("master.key is missing"),
            "{subcommand}: {}",
            text(&output)
        );
        assert!(!key.exists(), "{subcommand}");
    }
}
