//! What an SMTP client sees (RFC 5321 and its extensions).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod properties;
mod support;

use std::time::Duration;

use support::{Peer, codes, config};
use wm_smtp::codec::{BareNewline, EnhancedCode, Reply, ReplyCode};
use wm_smtp::server::{Config, Event, Role};

const ENVELOPE: &[u8] = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<bob@example.org>\r\n";

fn mx() -> Peer {
    Peer::greeted(config(Role::Mx), false)
}

fn submission() -> Peer {
    Peer::greeted(config(Role::Submission), true)
}

#[test]
fn a_message_goes_through_command_by_command() {
    let mut peer = Peer::new(config(Role::Mx), false);
    assert_eq!(peer.listen(), "220 mx.example.org ESMTP\r\n");
    assert_eq!(
        peer.say(b"EHLO client.example\r\n"),
        "250-mx.example.org greets client.example\r\n250-SIZE 1000\r\n250-PIPELINING\r\n\
         250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n250 STARTTLS\r\n"
    );
    assert_eq!(
        peer.say(b"MAIL FROM:<a@example.com> SIZE=20\r\n"),
        "250 2.1.0 Sender OK\r\n"
    );
    assert_eq!(
        peer.say(b"RCPT TO:<bob@example.org>\r\n"),
        "250 2.1.5 Recipient OK\r\n"
    );
    assert_eq!(codes(&peer.say(b"DATA\r\n")), ["354"]);
    assert_eq!(
        peer.say(b"Subject: x\r\n\r\n..\r\n.\r\n"),
        "250 2.0.0 Accepted\r\n"
    );
    assert_eq!(peer.messages, [b"Subject: x\r\n\r\n.\r\n"]);
    assert_eq!(peer.say(b"QUIT\r\n"), "221 2.0.0 Closing connection\r\n");
    assert!(peer.closed);
}

#[test]
fn bdat_chunks_make_one_message() {
    let mut peer = mx();
    peer.say(ENVELOPE);
    let replies = peer.say(b"BDAT 4\r\na\r\n.BDAT 3\r\n\r\nbBDAT 2 LAST\r\n\r\nNOOP\r\n");
    assert_eq!(codes(&replies), ["250 2.0.0"; 4]);
    assert!(replies.starts_with("250 2.0.0 4 octets received\r\n"));
    assert_eq!(peer.messages, [b"a\r\n.\r\nb\r\n"]);
}

#[test]
fn an_empty_last_chunk_ends_the_message() {
    let mut peer = mx();
    peer.say(ENVELOPE);
    assert_eq!(
        codes(&peer.say(b"BDAT 3\r\na\r\nBDAT 0 LAST\r\n")),
        ["250 2.0.0"; 2]
    );
    assert_eq!(peer.messages, [b"a\r\n"]);
}

#[test]
fn only_bdat_and_rset_follow_bdat() {
    let mut peer = mx();
    peer.say(ENVELOPE);
    peer.say(b"BDAT 1\r\nx");
    let replies =
        peer.say(b"DATA\r\nRCPT TO:<c@example.org>\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\n");
    assert_eq!(
        codes(&replies),
        [
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "250 2.0.0",
            "250 2.1.0"
        ]
    );
}

#[test]
fn a_refused_chunk_is_read_to_its_end() {
    let mut peer = mx();
    assert_eq!(
        codes(&peer.say(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")),
        ["503 5.5.1", "250 2.0.0"]
    );
    peer.say(b"MAIL FROM:<>\r\n");
    let replies = peer.say(b"BDAT 6 LAST\r\nQUIT\r\nRCPT TO:<b@example.org>\r\n");
    assert_eq!(codes(&replies), ["554 5.5.1", "503 5.5.1"]);
    assert!(!peer.closed);
}

#[test]
fn a_chunk_of_unreadable_size_ends_the_connection() {
    let mut peer = mx();
    peer.say(ENVELOPE);
    assert_eq!(
        codes(&peer.say(b"BDAT 99999999999999999999 LAST\r\nMAIL FROM:<>\r\n")),
        ["501 5.5.4"]
    );
    assert!(peer.closed);
}

/// What follows is a message, which would be taken for commands.
#[test]
fn a_chunk_announced_by_a_broken_line_ends_the_connection() {
    for (line, code) in [
        (&b"BDAT 26 LAST\n"[..], "500 5.5.2"),
        (b"bdat 26 \xff\r\n", "501 5.5.4"),
    ] {
        let mut peer = mx();
        peer.say(ENVELOPE);
        let stream = [line, b"MAIL FROM:<forged@a.b>\r\n"].concat();
        assert_eq!(codes(&peer.say(&stream)), [code]);
        assert!(peer.closed);
        assert!(!peer.seen.contains(&"from <forged@a.b>".to_owned()));
    }
}

#[test]
fn replies_do_not_pile_up() {
    let mut peer = mx();
    let replies = peer.say(&b"HELP\r\n".repeat(10_000));
    assert_eq!(codes(&replies).len(), 10_000);
    assert!(peer.largest_send < 8192, "{}", peer.largest_send);
}

#[test]
fn commands_out_of_order_are_refused() {
    let mut peer = Peer::new(config(Role::Mx), false);
    peer.listen();
    assert_eq!(
        codes(&peer.say(b"MAIL FROM:<>\r\nRCPT TO:<b@c.d>\r\nDATA\r\n")),
        ["503 5.5.1"; 3]
    );
    peer.say(b"HELO client.example\r\n");
    assert_eq!(
        codes(&peer.say(b"MAIL FROM:<>\r\nMAIL FROM:<>\r\n")),
        ["250 2.1.0", "503 5.5.1"]
    );
    assert_eq!(codes(&peer.say(b"DATA\r\n")), ["554 5.5.1"]);
    assert_eq!(
        codes(&peer.say(b"RCPT TO:<unknown@example.org>\r\nDATA\r\n")),
        ["550 5.1.1", "554 5.5.1"]
    );
}

#[test]
fn ehlo_and_rset_forget_the_transaction() {
    for forget in [
        &b"RSET\r\n"[..],
        b"EHLO client.example\r\n",
        b"HELO client.example\r\n",
    ] {
        let mut peer = mx();
        peer.say(ENVELOPE);
        peer.say(forget);
        assert_eq!(codes(&peer.say(b"DATA\r\n")), ["503 5.5.1"]);
        assert_eq!(peer.seen.last().unwrap(), "reset");
    }
}

#[test]
fn faults_have_their_codes() {
    for (command, code) in [
        (&b"GET / HTTP/1.1\r\n"[..], "500 5.5.1"),
        (b"NOOP \xff\r\n", "500 5.5.2"),
        (b"NOOP\n", "500 5.5.2"),
        (b"EHLO\r\n", "501 5.5.4"),
        (b"MAIL FROM:<a@@b>\r\n", "501 5.1.7"),
        (b"RCPT TO:<a@[192.0.2.1]>\r\n", "501 5.1.3"),
        (b"MAIL FROM:<> RET=HDRS\r\n", "555 5.5.4"),
        (b"MAIL FROM:<> SIZE=1001\r\n", "552 5.3.4"),
        (
            b"MAIL FROM:<gr\xc3\xbc\xc3\x9fe@example.com>\r\n",
            "553 5.6.7",
        ),
        (b"AUTH PLAIN\r\n", "502 5.5.1"),
        (b"AUTH GSSAPI\r\n", "504 5.5.4"),
        (b"VRFY bob\r\n", "252 2.0.0"),
        (b"EXPN staff\r\n", "252 2.0.0"),
        (b"HELP\r\n", "214 2.0.0"),
    ] {
        assert_eq!(
            codes(&mx().say(command)),
            [code],
            "{}",
            command.escape_ascii()
        );
    }
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_next_one_read() {
    let mut peer = mx();
    let line = [&[b'x'; 2047][..], b"\r\nNOOP\r\n"].concat();
    assert_eq!(codes(&peer.say(&line)), ["500 5.5.2", "250 2.0.0"]);
}

#[test]
fn an_internationalized_address_needs_smtputf8() {
    let mut peer = mx();
    peer.say("MAIL FROM:<grüße@example.com> SMTPUTF8\r\n".as_bytes());
    assert_eq!(
        codes(&peer.say("RCPT TO:<gruß@example.org>\r\n".as_bytes())),
        ["250 2.1.5"]
    );
    peer.say(b"RSET\r\nMAIL FROM:<a@example.com>\r\n");
    assert_eq!(
        codes(&peer.say("RCPT TO:<gruß@example.org>\r\n".as_bytes())),
        ["553 5.6.7"]
    );
}

#[test]
fn one_recipient_too_many_is_told_to_come_back() {
    let mut peer = mx();
    peer.say(b"MAIL FROM:<>\r\n");
    for n in 0..5 {
        assert_eq!(
            codes(&peer.say(format!("RCPT TO:<u{n}@c.d>\r\n").as_bytes())),
            ["250 2.1.5"]
        );
    }
    assert_eq!(
        codes(&peer.say(b"RCPT TO:<u5@c.d>\r\nDATA\r\n")),
        ["452 4.5.3", "354"]
    );
}

#[test]
fn a_message_of_the_size_announced_is_accepted_and_one_octet_more_is_not() {
    let line = [&[b'x'; 98][..], b"\r\n"].concat();
    for (octets, code) in [(1000, "250 2.0.0"), (1001, "552 5.3.4")] {
        let text = &[line.repeat(9), vec![b'x'; octets - 902], b"\r\n".to_vec()].concat()[..];
        assert_eq!(text.len(), octets);
        let mut peer = mx();
        peer.say(ENVELOPE);
        let data = [b"DATA\r\n", text, b".\r\nNOOP\r\n"].concat();
        assert_eq!(codes(&peer.say(&data)), ["354", code, "250 2.0.0"]);

        peer.say(ENVELOPE);
        let last = format!("BDAT {} LAST\r\n", octets - 900);
        let bdat = [b"BDAT 900\r\n", &text[..900], last.as_bytes(), &text[900..]].concat();
        assert_eq!(codes(&peer.say(&bdat)), ["250 2.0.0", code]);
        assert_eq!(peer.messages.len(), if octets == 1000 { 2 } else { 0 });
    }
}

#[test]
fn a_message_with_bare_line_feeds_is_read_to_its_end_and_refused() {
    let mut peer = mx();
    peer.say(ENVELOPE);
    let replies = peer.say(b"DATA\r\nhello\n.\r\nMAIL FROM:<forged@example.com>\r\n.\r\nNOOP\r\n");
    assert_eq!(codes(&replies), ["354", "550 5.6.11", "250 2.0.0"]);
    assert_eq!(
        (peer.messages.len(), peer.seen.last().unwrap().as_str()),
        (0, "reset")
    );

    peer.say(ENVELOPE);
    assert_eq!(codes(&peer.say(b"BDAT 3\r\na\nb")), ["550 5.6.11"]);
}

#[test]
fn a_message_both_too_big_and_broken_gets_one_answer_however_it_arrives() {
    for piece in [100, 5000] {
        let mut peer = mx();
        peer.say(ENVELOPE);
        let data = [b"DATA\r\n", &[b'x'; 2000][..], b"\n\r\n.\r\n"].concat();
        let replies: String = data.chunks(piece).map(|piece| peer.say(piece)).collect();
        assert_eq!(codes(&replies), ["354", "550 5.6.11"]);
    }
}

#[test]
fn a_message_with_bare_line_feeds_is_repaired_where_that_is_chosen() {
    let mut peer = Peer::greeted(
        Config {
            bare_newline: BareNewline::Normalize,
            ..config(Role::Mx)
        },
        false,
    );
    peer.say(b"MAIL FROM:<>\nRCPT TO:<b@example.org>\n");
    let replies = peer.say(b"DATA\nhello\n.\r\nworld\r\n.\r\nMAIL FROM:<>\r\n");
    assert_eq!(codes(&replies), ["354", "250 2.0.0", "250 2.1.0"]);
    assert_eq!(peer.messages, [b"hello\r\n.\r\nworld\r\n"]);
}

#[test]
fn submission_needs_authentication() {
    let mut peer = submission();
    assert_eq!(
        peer.say(b"MAIL FROM:<a@example.com>\r\n"),
        "530 5.7.0 Authentication required\r\n"
    );
    assert_eq!(
        codes(&peer.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n")),
        ["235 2.7.0"]
    );
    assert_eq!(peer.seen, ["auth alice"]);
    assert_eq!(
        codes(&peer.say(b"MAIL FROM:<a@example.com>\r\n")),
        ["250 2.1.0"]
    );
}

#[test]
fn authentication_needs_tls() {
    let mut peer = Peer::new(config(Role::Submission), false);
    let greeting = peer.say(b"EHLO client.example\r\n");
    assert!(!greeting.contains("AUTH"), "{greeting}");
    assert_eq!(
        codes(&peer.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n")),
        ["538 5.7.11"]
    );
    assert_eq!(
        codes(&peer.say(b"MAIL FROM:<a@example.com>\r\n")),
        ["530 5.7.0"]
    );
    assert_eq!(peer.seen, [""; 0]);

    let mut peer = Peer::new(
        Config {
            cleartext_auth: true,
            ..config(Role::Submission)
        },
        false,
    );
    assert!(
        peer.say(b"EHLO client.example\r\n")
            .contains("AUTH PLAIN LOGIN\r\n")
    );
    assert_eq!(
        codes(&peer.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n")),
        ["235 2.7.0"]
    );
}

#[test]
fn every_form_of_the_exchange_is_understood() {
    for exchange in [
        &["AUTH PLAIN AGFsaWNlAHNlY3JldA=="][..],
        &["AUTH PLAIN AGFsaWNlAHNlY3JldA"],
        &["AUTH PLAIN", "AGFsaWNlAHNlY3JldA=="],
        &["AUTH LOGIN", "YWxpY2U=", "c2VjcmV0"],
        &["AUTH LOGIN YWxpY2U=", "c2VjcmV0"],
        &["auth login", "YWxpY2U=", "c2VjcmV0"],
    ] {
        let mut peer = submission();
        let mut replies = String::new();
        for line in exchange {
            replies = peer.say(format!("{line}\r\n").as_bytes());
        }
        assert_eq!(codes(&replies), ["235 2.7.0"], "{exchange:?}");
        assert_eq!(peer.seen, ["auth alice"]);
    }
}

#[test]
fn login_prompts_as_clients_expect() {
    let mut peer = submission();
    assert_eq!(peer.say(b"AUTH LOGIN\r\n"), "334 VXNlcm5hbWU6\r\n");
    assert_eq!(peer.say(b"YWxpY2U=\r\n"), "334 UGFzc3dvcmQ6\r\n");
    assert_eq!(peer.say(b"*\r\n"), "501 5.7.0 Authentication cancelled\r\n");
    assert_eq!(peer.say(b"AUTH PLAIN\r\n"), "334 \r\n");
}

#[test]
fn a_broken_exchange_authenticates_nobody() {
    for (line, code) in [
        ("AUTH PLAIN =", "501 5.5.2"),
        ("AUTH PLAIN !!!!", "501 5.5.2"),
        ("AUTH PLAIN YWxpY2U=", "501 5.5.2"),
        ("AUTH PLAIN AAAAAA==", "501 5.5.2"), // four times NUL
        ("AUTH PLAIN AHgA", "501 5.5.2"),     // no password
        ("AUTH PLAIN AAB4", "501 5.5.2"),     // no name
        ("AUTH PLAIN AGFsaWNlAP8=", "501 5.5.2"),
        ("AUTH PLAIN AGFsaWNlAGE=", "535 5.7.8"),
    ] {
        let mut peer = submission();
        assert_eq!(
            codes(&peer.say(format!("{line}\r\n").as_bytes())),
            [code],
            "{line}"
        );
        assert_eq!(
            codes(&peer.say(b"MAIL FROM:<>\r\n")),
            ["530 5.7.0"],
            "{line}"
        );
    }
    let mut peer = submission();
    peer.say(b"AUTH PLAIN\r\n");
    let long = [&[b'A'; 13_000][..], b"\r\nNOOP\r\n"].concat();
    assert_eq!(codes(&peer.say(&long)), ["500 5.5.6", "250 2.0.0"]);
}

#[test]
fn three_wrong_passwords_end_the_connection() {
    let mut peer = submission();
    let wrong = b"AUTH PLAIN AGFsaWNlAGE=\r\n";
    assert_eq!(codes(&peer.say(wrong)), ["535 5.7.8"]);
    assert_eq!(codes(&peer.say(wrong)), ["535 5.7.8"]);
    assert_eq!(codes(&peer.say(wrong)), ["535 5.7.8", "421 4.7.0"]);
    assert!(peer.closed);
}

#[test]
fn nobody_authenticates_twice() {
    let mut peer = submission();
    peer.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
    assert_eq!(
        codes(&peer.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n")),
        ["503 5.5.1"]
    );
}

#[test]
fn what_is_pipelined_behind_starttls_is_discarded() {
    let mut peer = mx();
    let replies =
        peer.say(b"STARTTLS\r\nMAIL FROM:<injected@example.com>\r\nRCPT TO:<b@example.org>\r\n");
    assert_eq!(codes(&replies), ["220 2.0.0"]);
    assert_eq!(peer.seen, [""; 0]);
    // The client has to greet again: nothing it said before counts.
    assert_eq!(codes(&peer.say(b"MAIL FROM:<>\r\n")), ["503 5.5.1"]);
    let greeting = peer.say(b"EHLO client.example\r\n");
    assert!(!greeting.contains("STARTTLS"));
    assert_eq!(codes(&peer.say(b"STARTTLS\r\n")), ["503 5.5.1"]);
    assert_eq!(peer.session.protocol(false), "ESMTPS");
}

#[test]
fn starttls_where_it_is_not_offered_is_not_implemented() {
    let mut peer = Peer::new(
        Config {
            starttls: false,
            ..config(Role::Mx)
        },
        false,
    );
    assert!(!peer.say(b"EHLO client.example\r\n").contains("STARTTLS"));
    assert_eq!(codes(&peer.say(b"STARTTLS\r\n")), ["502 5.5.1"]);
}

#[test]
fn twenty_faults_end_the_connection() {
    let mut peer = mx();
    let replies = peer.say(&b"HELLO\r\n".repeat(100));
    assert_eq!(codes(&replies).len(), 21);
    assert_eq!(codes(&replies).last(), Some(&"421 4.7.0"));
    assert!(peer.closed);
}

#[test]
fn guessing_recipients_ends_the_connection() {
    let mut peer = mx();
    peer.say(b"MAIL FROM:<>\r\n");
    let replies = peer.say(&b"RCPT TO:<unknown@example.org>\r\n".repeat(101));
    assert_eq!(
        codes(&replies)
            .iter()
            .filter(|code| **code == "550 5.1.1")
            .count(),
        100
    );
    assert_eq!(codes(&replies).last(), Some(&"421 4.7.0"));
    assert_eq!(peer.seen.last().unwrap(), "reset");
}

#[test]
fn a_silent_client_is_told_and_left_after_five_minutes() {
    let mut peer = mx();
    assert_eq!(peer.wait(Duration::from_secs(299)), "");
    peer.say(b"NOOP\r\n");
    assert_eq!(peer.wait(Duration::from_secs(299)), "");
    // Half a command is no progress.
    peer.say(b"NOO");
    assert_eq!(codes(&peer.wait(Duration::from_secs(1))), ["421 4.4.2"]);
    assert!(peer.closed);
}

#[test]
fn a_handshake_has_five_minutes_of_its_own() {
    let mut peer = mx();
    peer.wait(Duration::from_secs(299));
    peer.session.receive("STARTTLS\r\n".into());
    while !matches!(peer.session.poll(peer.now).unwrap(), Event::StartTls) {}
    assert_eq!(
        peer.session.deadline(),
        Some(peer.now + Duration::from_secs(300))
    );
    assert_eq!(
        peer.wait(Duration::from_secs(300)),
        "",
        "no reply in the midst of a handshake"
    );
    assert!(peer.closed);
}

#[test]
fn a_message_may_take_long_as_long_as_it_comes() {
    // A message that will be refused is no different.
    for first in ["x\r\n", "x\n", "\r"] {
        let mut peer = mx();
        peer.say(ENVELOPE);
        peer.say(b"DATA\r\n");
        peer.say(first.as_bytes());
        for _ in 0..10 {
            assert_eq!(peer.wait(Duration::from_secs(299)), "");
            peer.say(b"x");
        }
        assert_eq!(codes(&peer.wait(Duration::from_secs(300))), ["421 4.4.2"]);
        assert_eq!(peer.seen.last().unwrap(), "reset");
    }
}

#[test]
fn a_message_cut_off_is_not_delivered() {
    let mut peer = mx();
    peer.say(ENVELOPE);
    peer.say(b"DATA\r\nhello\r\n.\r");
    peer.session.receive_end();
    peer.listen();
    assert!(peer.closed && peer.messages.is_empty());
    assert_eq!(peer.seen.last().unwrap(), "reset");
}

#[test]
fn shutting_down_lets_the_message_finish() {
    let mut peer = mx();
    peer.say(ENVELOPE);
    peer.say(b"DATA\r\nhello\r\n");
    peer.session.shut_down();
    assert_eq!(peer.listen(), "");
    assert_eq!(codes(&peer.say(b".\r\n")), ["250 2.0.0", "421 4.3.2"]);
    assert_eq!((peer.messages.len(), peer.closed), (1, true));

    let mut idle = mx();
    idle.session.shut_down();
    assert_eq!(codes(&idle.listen()), ["421 4.3.2"]);
}

#[test]
fn a_refusal_that_refuses_nothing_is_a_local_error() {
    let mut peer = mx();
    peer.session.receive("MAIL FROM:<>\r\n".into());
    peer.session.poll(peer.now);
    peer.session
        .refuse(Reply::new(ReplyCode::OK, EnhancedCode::new(0, 0), "fine"));
    assert_eq!(codes(&peer.listen()), ["451 4.3.0"]);
}
