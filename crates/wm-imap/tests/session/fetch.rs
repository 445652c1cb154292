//! FETCH: every message as it was sent, and everything that is said of it.

use std::time::Duration;

use futures::executor::block_on;
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::fetch::MessageDataItem;
use imap_codec::imap_types::response::{Data, Response};
use wm_core::model::FolderRole;
use wm_imap::session::Event;

use crate::house::{Client, House, NOW};
use crate::{MESSAGE, corpora};

const RETURN_PATH: &str = "Return-Path: <sender@example.org>\r\n";

/// The octets of the only literal that a FETCH of this item answers.
fn literal(client: &mut Client, command: &str) -> Vec<u8> {
    client
        .session
        .receive(format!("t {command}\r\n").into_bytes());
    let heard = client.hear_octets();
    let line = heard.iter().position(|&b| b == b'\n').unwrap() + 1;
    let head = String::from_utf8(heard[..line].to_vec()).unwrap();
    let size = head.trim_end().trim_end_matches('}');
    let size: usize = size[size.rfind('{').expect(&head) + 1..].parse().unwrap();
    let (octets, rest) = heard[line..].split_at(size);
    assert_eq!(rest, b")\r\nt OK FETCH completed\r\n", "{head}");
    octets.to_vec()
}

#[test]
fn every_message_is_fetched_byte_for_byte_with_envelope_and_body_structure() {
    let house = House::new();
    let mut client = house.inbox();
    let messages = corpora::messages();
    for (n, (path, message)) in messages.iter().enumerate() {
        // By delivery and by APPEND in turn.
        let number = n + 1;
        let whole = if n % 2 == 0 {
            house.deliver(FolderRole::Inbox, RETURN_PATH, message);
            client.ok("NOOP");
            [RETURN_PATH.as_bytes(), message].concat()
        } else {
            let answer = client.append("INBOX", message);
            assert!(answer.contains("t OK [APPENDUID "), "{answer}");
            message.clone()
        };
        assert_eq!(
            literal(&mut client, &format!("FETCH {number} BODY.PEEK[]")),
            whole,
            "{path:?}"
        );
        let (from, count) = (whole.len() / 3, whole.len() / 3 + 1);
        let part = literal(
            &mut client,
            &format!("FETCH {number} BODY.PEEK[]<{from}.{count}>"),
        );
        assert_eq!(part, whole[from..from + count], "{path:?}");
        let header = literal(&mut client, &format!("FETCH {number} BODY.PEEK[HEADER]"));
        let text = literal(&mut client, &format!("FETCH {number} BODY.PEEK[TEXT]"));
        assert_eq!([header, text].concat(), whole, "{path:?}");

        for item in ["ENVELOPE", "BODYSTRUCTURE", "RFC822.SIZE"] {
            client
                .session
                .receive(format!("t FETCH {number} ({item})\r\n"));
            let heard = client.hear_octets();
            assert!(heard.ends_with(b"\r\nt OK FETCH completed\r\n"), "{path:?}");
            match ResponseCodec::default().decode(&heard) {
                Ok((_, Response::Data(Data::Fetch { items, .. }))) => match &items.as_ref()[0] {
                    MessageDataItem::Rfc822Size(size) => assert_eq!(*size as usize, whole.len()),
                    MessageDataItem::Envelope(_) | MessageDataItem::BodyStructure(_) => {}
                    other => panic!("{path:?}: {other:?}"),
                },
                // Nested deeper than imap-codec's own decoder goes; tests/message.rs looks at those.
                other => assert_eq!(item, "BODYSTRUCTURE", "{path:?} {other:?}"),
            }
        }
    }
    println!("{} messages", messages.len());
}

#[test]
fn the_items_of_a_message_are_those_asked_for() {
    let house = House::new();
    house.deliver(FolderRole::Inbox, RETURN_PATH, MESSAGE.as_bytes());
    let mut client = house.inbox();
    let size = RETURN_PATH.len() + MESSAGE.len();
    let date = "INTERNALDATE \"15-Jan-2027 08:00:00 +0000\"";
    for (items, expected) in [
        ("UID", "UID 1".to_owned()),
        ("FLAGS", "FLAGS ()".to_owned()),
        ("(FLAGS UID)", "FLAGS () UID 1".to_owned()),
        ("INTERNALDATE", date.to_owned()),
        ("FAST", format!("FLAGS () {date} RFC822.SIZE {size}")),
        (
            "BODY.PEEK[1.MIME]<0.12>",
            "BODY[1.MIME]<0> {12}\r\nContent-Type".to_owned(),
        ),
        ("BODY.PEEK[2]", "BODY[2] {8}\r\nJVBERi0=".to_owned()),
        ("BODY.PEEK[3]", "BODY[3] NIL".to_owned()),
        (
            "BODY.PEEK[HEADER.FIELDS (Subject)]",
            "BODY[HEADER.FIELDS (Subject)] {40}\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n"
                .to_owned(),
        ),
    ] {
        assert_eq!(
            client.ok(&format!("FETCH 1 {items}")),
            format!("* 1 FETCH ({expected})\r\n")
        );
    }
    let all = client.ok("UID FETCH 1 ALL");
    assert!(
        all.starts_with("* 1 FETCH (UID 1 FLAGS () INTERNALDATE "),
        "{all}"
    );
    assert!(
        all.contains(
            " ENVELOPE (\"Tue, 01 Dec 2026 10:00:00 +0100\" \"=?utf-8?q?Gr=C3=BC=C3=9Fe?=\""
        ),
        "{all}"
    );
}

#[test]
fn messages_are_named_by_number_or_uid() {
    let house = House::new();
    for n in 1..=5 {
        house.deliver(FolderRole::Inbox, "", format!("X: {n}\r\n\r\n").as_bytes());
    }
    let mut client = house.inbox();
    client.ok("STORE 2 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    let uids = |heard: String| -> Vec<String> {
        heard
            .lines()
            .map(|line| {
                line.trim_end_matches(')')
                    .rsplit(' ')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(uids(client.ok("FETCH 1:* UID")), ["1", "3", "4", "5"]);
    assert_eq!(uids(client.ok("FETCH 4:2,2,3 UID")), ["3", "4", "5"]);
    assert_eq!(uids(client.ok("FETCH * UID")), ["5"]);
    assert_eq!(uids(client.ok("UID FETCH 2:3,9 UID")), ["3"]);
    assert_eq!(
        uids(client.ok("UID FETCH 99:* UID")),
        ["5"],
        "* is the last, whatever stands before it"
    );
    assert_eq!(client.ok("UID FETCH 2 UID"), "");
    client.ends("FETCH 5 UID", "t BAD No message has such a number");
    // However often a set names them.
    let set = vec!["1:*"; 10_000].join(",");
    assert_eq!(uids(client.ok(&format!("FETCH {set} UID"))).len(), 4);
}

#[test]
fn reading_marks_a_message_seen_unless_it_is_only_peeked_at() {
    let house = House::new();
    for _ in 0..2 {
        house.deliver(FolderRole::Inbox, "", MESSAGE.as_bytes());
    }
    let mut client = house.inbox();
    client.ok("FETCH 1 BODY.PEEK[TEXT]");
    client.ok("FETCH 1 RFC822.HEADER");
    assert_eq!(client.ok("FETCH 1 FLAGS"), "* 1 FETCH (FLAGS ())\r\n");
    let heard = client.ok("FETCH 1 BODY[1]");
    assert!(
        heard.starts_with("* 1 FETCH (FLAGS (\\Seen) BODY[1] "),
        "{heard}"
    );
    assert!(
        client
            .ok("FETCH 1 BODY[1]")
            .starts_with("* 1 FETCH (BODY[1] "),
        "told once"
    );
    assert_eq!(client.ok("NOOP"), "");

    let mut client = house.alice();
    client.ends("EXAMINE INBOX", "t OK [READ-ONLY]");
    client.ok("FETCH 2 RFC822");
    assert_eq!(client.ok("FETCH 2 FLAGS"), "* 2 FETCH (FLAGS ())\r\n");
}

#[test]
fn a_large_message_is_passed_on_in_pieces_as_it_is_taken() {
    let house = House::new();
    let message = format!("Subject: large\r\n\r\n{}\r\n", "0123456789".repeat(800_000));
    let mut client = house.inbox();
    client.append("INBOX", message.as_bytes());
    client.session.receive("t FETCH 1 BODY.PEEK[]\r\n");
    let (mut heard, mut largest, mut pieces) = (0, 0, 0);
    while let Some(event) = block_on(client.session.poll(NOW)) {
        let Event::Send(octets) = event else {
            panic!("{event:?}")
        };
        heard += octets.len();
        largest = largest.max(octets.len());
        pieces += 1;
    }
    assert!(heard > message.len());
    assert!(largest <= 128 * 1024, "{largest} octets at once");
    assert!(pieces > 50, "{pieces}");
}

#[test]
fn a_client_that_reads_a_long_answer_slowly_is_not_silent() {
    let house = House::new();
    let mut client = house.inbox();
    client.append("INBOX", "0123456789".repeat(80_000).as_bytes());
    client.session.receive("t FETCH 1 BODY.PEEK[]\r\n");
    let mut now = NOW;
    while let Some(event) = block_on(client.session.poll(now)) {
        assert!(!matches!(event, Event::Close));
        now = now.plus(Duration::from_secs(600));
    }
    assert!(client.session.deadline() > now.minus(Duration::from_secs(600)));
}
