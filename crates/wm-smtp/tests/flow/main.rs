//! What becomes of mail: who may send it, who gets it, and what a client is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

#[cfg(feature = "tokio")]
mod driver;
mod fakes;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use fakes::{ALICE, Accepting, BOB, Counting, DAVE, DEMO, NOW, People, TEAM, address};
use futures::executor::block_on;
use wm_core::model::MailboxRights;
use wm_core::{Limits, MailboxRef};
use wm_smtp::flow::{Action, Connection, MailFlow, Note};
use wm_smtp::server::{Config, Role};

/// A connection to a server with this directory and spool.
fn connection(role: Role, people: People, spool: &Arc<Accepting>, tls: bool) -> Connection {
    let host: wm_core::DomainName = "mx.demo.example".parse().unwrap();
    let flow = MailFlow::new(
        Arc::new(people),
        Arc::clone(spool) as Arc<_>,
        Arc::new(|| NOW),
        Arc::new(Counting::default()),
        host.clone(),
    )
    .with_postmaster(address("bob@demo.example"));
    let config = Arc::new(Config::new(host, role, &Limits::default()));
    let peer = [192, 0, 2, 7].into();
    Connection::new(Arc::new(flow), config, peer, tls, Instant::now())
}

/// The client's side of one.
struct Client {
    connection: Connection,
    notes: Vec<Note>,
}

impl Client {
    fn new(role: Role, people: People, spool: &Arc<Accepting>) -> Self {
        let connection = connection(role, people, spool, true);
        let mut client = Self {
            connection,
            notes: Vec::new(),
        };
        client.say("EHLO client.example");
        client
    }

    /// Sends a line and gives the last line of what comes back.
    fn say(&mut self, line: &str) -> String {
        self.send(&format!("{line}\r\n"))
    }

    fn send(&mut self, text: &str) -> String {
        self.connection
            .receive(Bytes::copy_from_slice(text.as_bytes()));
        let mut heard = Vec::new();
        while let Some(action) = block_on(self.connection.next(Instant::now())) {
            match action {
                Action::Send(bytes) => heard.extend_from_slice(&bytes),
                Action::Note(note) => self.notes.push(note),
                other => panic!("{other:?}"),
            }
        }
        String::from_utf8(heard)
            .unwrap()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned()
    }

    /// Logs in as alice.
    fn log_in(&mut self) {
        assert!(
            self.say("AUTH PLAIN AGFsaWNlAHNlY3JldA==")
                .starts_with("235")
        );
    }

    /// Sends a message and gives the reply to it.
    fn deliver(&mut self, from: &str, to: &[&str], message: &str) -> String {
        assert!(
            self.say(&format!("MAIL FROM:<{from}>"))
                .starts_with("250 2.1.0")
        );
        for to in to {
            assert!(
                self.say(&format!("RCPT TO:<{to}>"))
                    .starts_with("250 2.1.5"),
                "{to}"
            );
        }
        assert!(self.say("DATA").starts_with("354"));
        self.send(&format!("{message}.\r\n"))
    }
}

fn mailbox(user: wm_core::UserId) -> MailboxRef {
    MailboxRef {
        organization: DEMO,
        mailbox: user.into(),
    }
}

const MESSAGE: &str = "From: X <x@remote.example>\r\nSubject: hello\r\n\r\nHow are you?\r\n";

#[test]
fn a_message_is_in_the_mailbox_with_its_trace_before_it_is_acknowledged() {
    let spool = Arc::default();
    let mut client = Client::new(Role::Mx, People::new(), &spool);
    let reply = client.deliver("x@remote.example", &["alice@demo.example"], MESSAGE);
    assert_eq!(
        reply,
        "250 2.0.0 Accepted as a-00000000000000000000000000000001"
    );
    let trace = "Return-Path: <x@remote.example>\r\n\
        Received: from client.example ([192.0.2.7])\r\n\
        \tby mx.demo.example with ESMTPS id a-00000000000000000000000000000001\r\n\
        \tfor <alice@demo.example>; Fri, 15 Jan 2027 08:00:00 +0000\r\n";
    assert_eq!(
        spool.delivered(),
        [(
            mailbox(ALICE),
            address("alice@demo.example"),
            format!("{trace}{MESSAGE}")
        )]
    );
    let summary = spool.accepted.lock().unwrap()[0].deliveries[0]
        .item
        .content
        .summary
        .clone();
    assert_eq!(
        (summary.subject.as_str(), summary.preview.as_str()),
        ("hello", "How are you?")
    );
    assert!(
        matches!(&client.notes[..], [Note::Accepted(receipt)] if receipt.size == MESSAGE.len() as u64)
    );
}

#[test]
fn each_mailbox_gets_one_copy_whatever_addresses_reach_it() {
    let spool = Arc::default();
    let mut client = Client::new(Role::Mx, People::new(), &spool);
    let to = [
        "robert@demo.example",
        "team@demo.example",
        "bob@demo.example",
        "Postmaster",
    ];
    client.deliver("", &to, MESSAGE);
    let delivered: Vec<_> = spool
        .delivered()
        .into_iter()
        .map(|(to, by, _)| (to, by))
        .collect();
    assert_eq!(
        delivered,
        [
            (mailbox(ALICE), address("team@demo.example")),
            (mailbox(BOB), address("robert@demo.example")),
        ]
    );
}

#[test]
fn no_copy_names_another_recipient() {
    let spool = Arc::default();
    let mut client = Client::new(Role::Mx, People::new(), &spool);
    client.deliver("", &["alice@demo.example", "bob@demo.example"], MESSAGE);
    for (_, to, message) in spool.delivered() {
        let names = |name: &str| message.contains(name);
        assert_eq!(
            (names("<alice@"), names("<bob@")),
            match to == address("bob@demo.example") {
                true => (false, true),
                false => (true, false),
            }
        );
    }
}

#[test]
fn organizations_keep_bodies_of_their_own() {
    let spool = Arc::default();
    let mut client = Client::new(Role::Mx, People::new(), &spool);
    let to = [
        "dave@other.example",
        "alice@demo.example",
        "bob@demo.example",
    ];
    client.deliver("", &to, MESSAGE);
    assert_eq!(
        (spool.delivered().len(), spool.bodies.lock().unwrap().len()),
        (3, 2)
    );
}

#[test]
fn recipients_who_cannot_be_reached_are_refused() {
    let mut client = Client::new(Role::Mx, People::new(), &Arc::default());
    client.say("MAIL FROM:<x@remote.example>");
    for (to, reply) in [
        (
            "zoe@demo.example",
            "550 5.1.1 <zoe@demo.example>: No such user here",
        ),
        (
            "carol@demo.example",
            "550 5.1.1 <carol@demo.example>: No such user here",
        ),
        (
            "nobody@demo.example",
            "550 5.2.4 <nobody@demo.example>: The group has no members who receive mail",
        ),
        (
            "x@remote.example",
            "550 5.7.1 <x@remote.example>: Relaying denied: the domain is not served here",
        ),
        (
            "alice@new.example",
            "550 5.7.1 <alice@new.example>: The ownership of the domain is not verified",
        ),
        (
            "eve@closed.example",
            "450 4.3.2 <eve@closed.example>: The organization is not in service",
        ),
    ] {
        assert_eq!(client.say(&format!("RCPT TO:<{to}>")), reply);
    }
    assert!(client.say("DATA").starts_with("554 5.5.1"));
}

#[test]
fn users_may_write_to_an_unverified_domain_of_theirs_and_nowhere_else() {
    let mut client = Client::new(Role::Submission, People::new(), &Arc::default());
    client.log_in();
    client.say("MAIL FROM:<alice@demo.example>");
    assert!(client.say("RCPT TO:<alice@new.example>").starts_with("250"));
    assert_eq!(
        client.say("RCPT TO:<x@remote.example>"),
        "550 5.7.1 <x@remote.example>: Relaying to other domains is not available yet"
    );
}

#[test]
fn wrong_password_unknown_user_disabled_user_and_foreign_identity_are_one_answer() {
    let mut replies = Vec::new();
    for credentials in [
        "AGFsaWNlAHdyb25n",         // alice, wrong
        "AHpvZQBzZWNyZXQ=",         // zoe, secret
        "AGNhcm9sAHNlY3JldA==",     // carol, secret
        "Ym9iAGFsaWNlAHNlY3JldA==", // alice as bob, secret
    ] {
        let mut client = Client::new(Role::Submission, People::new(), &Arc::default());
        replies.push(client.say(&format!("AUTH PLAIN {credentials}")));
        assert!(matches!(
            &client.notes[..],
            [Note::AuthenticationFailed { .. }]
        ));
        assert!(client.say("MAIL FROM:<>").starts_with("530"));
    }
    assert_eq!(replies, ["535 5.7.8 Authentication credentials invalid"; 4]);
}

#[test]
fn a_sender_needs_a_right_to_the_address() {
    for (rights, from, head, reply) in [
        // Her own, by any address.
        (
            "",
            "alice@demo.example",
            "From: alice@new.example\r\n",
            "250 2.0.0",
        ),
        (
            "",
            "",
            "From: alice@demo.example\r\nSender: alice@new.example\r\n",
            "250 2.0.0",
        ),
        // Another's, without a grant.
        ("", "bob@demo.example", "", "550 5.7.1"),
        ("", "x@remote.example", "", "550 5.7.1"),
        (
            "",
            "alice@demo.example",
            "From: bob@demo.example\r\n",
            "550 5.7.1",
        ),
        (
            "",
            "alice@demo.example",
            "From: dave@other.example\r\n",
            "550 5.7.1",
        ),
        (
            "",
            "alice@demo.example",
            "From: alice@demo.example, bob@demo.example\r\n",
            "550 5.7.1",
        ),
        (
            "",
            "alice@demo.example",
            "From: alice@demo.example\r\nSender: bob@demo.example\r\n",
            "550 5.7.1",
        ),
        // Send As.
        (
            "as",
            "bob@demo.example",
            "From: bob@demo.example\r\nSender: bob@demo.example\r\n",
            "250 2.0.0",
        ),
        (
            "as",
            "bob@demo.example",
            "From: robert@demo.example\r\n",
            "250 2.0.0",
        ),
        // Send On Behalf: the sender shows.
        (
            "behalf",
            "bob@demo.example",
            "From: bob@demo.example\r\nSender: alice@demo.example\r\n",
            "250 2.0.0",
        ),
        (
            "behalf",
            "bob@demo.example",
            "From: bob@demo.example\r\nSender: bob@demo.example\r\n",
            "550 5.7.1",
        ),
        // No author at all.
        ("as", "alice@demo.example", "Subject: x\r\n", "550 5.6.0"),
        (
            "as",
            "alice@demo.example",
            "From: alice@demo.example\r\nFrom: alice@demo.example\r\n",
            "550 5.6.0",
        ),
    ] {
        let held = MailboxRights {
            send_as: rights == "as",
            send_on_behalf: rights == "behalf",
            full_access: true,
        };
        let people = People {
            rights: vec![(ALICE, BOB.into(), held)],
            ..People::new()
        };
        let mut client = Client::new(Role::Submission, people, &Arc::default());
        client.log_in();
        let mail = client.say(&format!("MAIL FROM:<{from}>"));
        let answer = match mail.starts_with("250") {
            true => {
                client.say("RCPT TO:<alice@demo.example>");
                client.say("DATA");
                client.send(&format!("{head}\r\nhello\r\n.\r\n"))
            }
            false => mail,
        };
        assert!(
            answer.starts_with(reply),
            "{rights} {from} {head}: {answer}"
        );
    }
}

#[test]
fn a_right_to_one_address_is_none_to_another() {
    let send_as = MailboxRights {
        send_as: true,
        ..MailboxRights::NONE
    };
    let behalf = MailboxRights {
        send_on_behalf: true,
        ..MailboxRights::NONE
    };
    let rights = vec![
        (ALICE, TEAM.into(), send_as),
        (ALICE, BOB.into(), behalf),
        // No directory should say this; mail does not cross organizations even if one does.
        (ALICE, DAVE.into(), send_as),
    ];
    let people = People {
        rights,
        ..People::new()
    };
    let mut client = Client::new(Role::Submission, people, &Arc::default());
    client.log_in();
    for (head, reply) in [
        ("From: team@demo.example\r\n", "250 2.0.0"),
        (
            "From: bob@demo.example\r\nSender: team@demo.example\r\n",
            "550 5.7.1",
        ),
        ("From: dave@other.example\r\n", "550 5.7.1"),
    ] {
        let answer = client.deliver("", &["bob@demo.example"], &format!("{head}\r\nhello\r\n"));
        assert!(answer.starts_with(reply), "{head}: {answer}");
    }
}

#[test]
fn mail_on_behalf_names_its_sender_even_if_the_client_does_not() {
    let held = MailboxRights {
        send_on_behalf: true,
        ..MailboxRights::NONE
    };
    let people = People {
        rights: vec![(ALICE, BOB.into(), held)],
        ..People::new()
    };
    let spool = Arc::default();
    let mut client = Client::new(Role::Submission, people, &spool);
    client.log_in();
    client.deliver(
        "bob@demo.example",
        &["bob@demo.example"],
        "From: bob@demo.example\r\n\r\nhi\r\n",
    );
    let (.., message) = spool.delivered().remove(0);
    assert!(
        message.contains("+0000\r\nSender: alice@demo.example\r\nFrom: bob@"),
        "{message}"
    );
    assert!(message.contains("with ESMTPSA id"));
}

#[test]
fn a_message_that_storage_does_not_take_is_not_acknowledged() {
    let spool = Arc::new(Accepting {
        disk: Some(10),
        ..Accepting::default()
    });
    let mut client = Client::new(Role::Mx, People::new(), &spool);
    let reply = client.deliver("", &["alice@demo.example"], MESSAGE);
    assert_eq!(reply, "451 4.3.0 Local error in processing");
    assert!(spool.accepted.lock().unwrap().is_empty());
    assert!(matches!(&client.notes[..], [Note::Failed { .. }]));
}

/// A body that equals one which is about to be collected, at the moment of its last reference.
#[test]
fn a_message_whose_body_was_collected_meanwhile_stays_with_its_sender() {
    let spool = Arc::new(Accepting {
        collected: 1.into(),
        ..Accepting::default()
    });
    let mut client = Client::new(Role::Mx, People::new(), &spool);
    let to = ["alice@demo.example", "bob@demo.example"];
    let reply = client.deliver("x@remote.example", &to, MESSAGE);
    assert_eq!(reply, "451 4.3.0 Local error in processing");
    assert!(spool.accepted.lock().unwrap().is_empty());
    // The sender tries again, and everybody has it once.
    let reply = client.deliver("x@remote.example", &to, MESSAGE);
    assert!(reply.starts_with("250"), "{reply}");
    let mailboxes: Vec<_> = spool.delivered().into_iter().map(|it| it.0).collect();
    assert_eq!(mailboxes, [mailbox(ALICE), mailbox(BOB)]);
}

#[test]
fn a_full_mailbox_leaves_the_message_with_its_sender() {
    let spool = Arc::new(Accepting {
        full: Some(mailbox(BOB)),
        ..Accepting::default()
    });
    let mut client = Client::new(Role::Mx, People::new(), &spool);
    let reply = client.deliver("", &["alice@demo.example", "bob@demo.example"], MESSAGE);
    assert_eq!(reply, "452 4.2.2 <bob@demo.example>: The mailbox is full");
    assert!(spool.accepted.lock().unwrap().is_empty());
    assert!(
        client
            .deliver("", &["alice@demo.example"], MESSAGE)
            .starts_with("250")
    );
}

#[test]
fn a_directory_that_is_down_refuses_for_now() {
    let people = People {
        broken: true,
        ..People::new()
    };
    let mut client = Client::new(Role::Submission, people, &Arc::default());
    assert!(
        client
            .say("AUTH PLAIN AGFsaWNlAHNlY3JldA==")
            .starts_with("454 4.7.0")
    );
    let people = People {
        broken: true,
        ..People::new()
    };
    let mut client = Client::new(Role::Mx, people, &Arc::default());
    client.say("MAIL FROM:<>");
    assert!(
        client
            .say("RCPT TO:<alice@demo.example>")
            .starts_with("451 4.3.0")
    );
}

#[test]
fn a_message_that_goes_in_circles_is_stopped() {
    let mut client = Client::new(Role::Mx, People::new(), &Arc::default());
    let head = |hops| "Received: from here by here; now\r\n".repeat(hops);
    let to = ["alice@demo.example"];
    assert!(
        client
            .deliver("", &to, &format!("{}\r\nx\r\n", head(100)))
            .starts_with("250")
    );
    assert!(
        client
            .deliver("", &to, &format!("{}\r\nx\r\n", head(101)))
            .starts_with("554 5.4.6")
    );
}

#[test]
fn an_empty_message_is_a_message() {
    let spool = Arc::default();
    let mut client = Client::new(Role::Mx, People::new(), &spool);
    assert!(
        client
            .deliver("", &["alice@demo.example"], "")
            .starts_with("250")
    );
    assert!(spool.delivered()[0].2.ends_with("+0000\r\n"));
}

#[test]
fn nothing_of_an_abandoned_message_is_in_the_next_one() {
    let spool = Arc::default();
    let mut client = Client::new(Role::Mx, People::new(), &spool);
    client.say("MAIL FROM:<a@remote.example>");
    client.say("RCPT TO:<bob@demo.example>");
    client.send("BDAT 7\r\nBcc: me");
    assert_eq!(Arc::strong_count(&spool.bodies), 2);
    client.say("RSET");
    assert_eq!(Arc::strong_count(&spool.bodies), 1, "its body is dropped");
    client.deliver("x@remote.example", &["alice@demo.example"], MESSAGE);
    let delivered = spool.delivered();
    assert_eq!((delivered.len(), delivered[0].0), (1, mailbox(ALICE)));
    assert!(
        delivered[0]
            .2
            .starts_with("Return-Path: <x@remote.example>")
    );
    assert!(!delivered[0].2.contains("Bcc"));
}
