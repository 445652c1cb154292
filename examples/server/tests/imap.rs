//! Reading, by clients not written here.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;

use std::fs;

use common::imap::Mailbox;
use common::smtp::Smtp;
use common::{Server, python, run};

fn deliver(server: &Server, message: &str) {
    let mut smtp = Smtp::connect(server.endpoint("smtp")).unwrap();
    let to = server.user("alice").address.clone();
    let reply = smtp
        .message("sender@example.com", &[&to], message.as_bytes())
        .unwrap();
    assert_eq!(reply.code, 250, "{reply:?}");
}

#[test]
fn imaplib_reads_flags_searches_appends_and_expunges() {
    let Some(mut script) = python("imaplib_session.py") else {
        return;
    };
    let server = Server::start();
    deliver(
        &server,
        "From: s@example.com\r\nSubject: Hello\r\n\r\nHello, world.\r\n",
    );
    let alice = server.user("alice");
    run(script
        .args(["localhost", &server.port("imap")])
        .arg(server.certificate())
        .arg(&alice.address)
        .env("WM_PASSWORD", &alice.password));
}

#[test]
fn mbsync_copies_what_came_by_smtp_once() {
    let server = Server::start();
    for number in 1..=5 {
        deliver(
            &server,
            &format!("Message-ID: <{number}@example.com>\r\nSubject: {number}\r\n\r\n{number}\r\n"),
        );
    }
    let mailbox = Mailbox::new(&server, "alice");
    let Some(copied) = mailbox.mbsync() else {
        return;
    };
    assert_eq!(copied.len(), 5);
    // A second run finds nothing new.
    assert_eq!(mailbox.mbsync().unwrap(), copied);

    deliver(&server, "Message-ID: <6@example.com>\r\n\r\n6\r\n");
    let more = mailbox.mbsync().unwrap();
    assert_eq!(more.len(), 6);
    let text =
        fs::read_to_string(more.iter().find(|file| !copied.contains(file)).unwrap()).unwrap();
    assert!(text.contains("Message-ID: <6@example.com>\n"), "{text}");
}

#[test]
fn uids_rise_and_survive_a_restart() {
    let mut server = Server::start();
    for number in 1..=3 {
        deliver(
            &server,
            &format!("Message-ID: <{number}@example.com>\r\n\r\n{number}\r\n"),
        );
    }
    let Some(before) = Mailbox::new(&server, "alice").list("Message-ID") else {
        return;
    };
    assert!(server.stop().success());
    server.restart();
    deliver(&server, "Message-ID: <4@example.com>\r\n\r\n4\r\n");
    let after = Mailbox::new(&server, "alice").list("Message-ID").unwrap();
    assert_eq!(after[..3], before);
    assert_eq!(after.len(), 4);
    assert!(
        after.windows(2).all(|pair| pair[0].uid < pair[1].uid),
        "{after:?}"
    );
}
