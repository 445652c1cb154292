//! ENVELOPE, BODYSTRUCTURE and sections of real and of specified messages.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../../wm-core/tests/corpora/mod.rs"]
mod corpora;

use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use imap_codec::encode::Encoder;
use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::fetch::{
    MacroOrMessageDataItemNames, MessageDataItem, MessageDataItemName,
};
use imap_codec::imap_types::response::{Data, Response};
use wm_core::content::Structure;
use wm_imap::codec::{Request, RequestBody};
use wm_imap::message::{Cut, body_structure, envelope};

fn fetch(items: Vec<MessageDataItem<'_>>) -> Vec<u8> {
    ResponseCodec::default()
        .encode(&Response::Data(Data::fetch(12, items).unwrap()))
        .dump()
}

/// The header of the message in RFC 3501 §8, with a body of the size it has there.
fn rfc_3501_message() -> Vec<u8> {
    let header = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n\
        From: Terry Gray <gray@cac.washington.edu>\r\n\
        Subject: IMAP4rev1 WG mtg summary and minutes\r\n\
        To: imap@cac.washington.edu\r\n\
        cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n\
        Message-Id: <B27397-0100000@cac.washington.edu>\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n";
    assert_eq!(header.len(), 342);
    let body = format!("{}{}", "x".repeat(3028 - 92 * 2), "\r\n".repeat(92));
    [header.as_bytes(), body.as_bytes()].concat()
}

#[test]
fn envelope_and_body_are_those_of_rfc_3501() {
    let message = rfc_3501_message();
    let structure = Structure::of(&message);
    let items = vec![
        MessageDataItem::Envelope(envelope(structure.root().head())),
        MessageDataItem::Body(body_structure(structure.root(), false)),
    ];
    let expected = "* 12 FETCH (ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \
        \"IMAP4rev1 WG mtg summary and minutes\" \
        ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
        ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
        ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
        ((NIL NIL \"imap\" \"cac.washington.edu\")) \
        ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \
        \"<B27397-0100000@cac.washington.edu>\") \
        BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92))\r\n";
    assert_eq!(String::from_utf8(fetch(items)).unwrap(), expected);
}

#[test]
fn the_two_part_message_of_rfc_9051_has_its_body_structure() {
    let text = |lines: usize, size: usize| {
        format!("{}{}", "\r\n".repeat(lines), "x".repeat(size - 2 * lines))
    };
    let message = format!(
        "Content-Type: multipart/MIXED; boundary=b\r\n\r\n--b\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n{}\
         \r\n--b\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII; NAME=\"cc.diff\"\r\n\
         Content-ID: <960723163407.20117h@cac.washington.edu>\r\nContent-Description: Compiler diff\r\n\
         Content-Transfer-Encoding: BASE64\r\n\r\n{}\r\n--b--\r\n",
        text(23, 1152),
        text(73, 4554)
    );
    let structure = Structure::of(message.as_bytes());
    let answer = fetch(vec![MessageDataItem::Body(body_structure(
        structure.root(),
        false,
    ))]);
    let expected = "* 12 FETCH (BODY ((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1152 23)\
        (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\" \"NAME\" \"cc.diff\") \
        \"<960723163407.20117h@cac.washington.edu>\" \"Compiler diff\" \"BASE64\" 4554 73) \"MIXED\"))\r\n";
    assert_eq!(String::from_utf8(answer).unwrap(), expected);
}

#[test]
fn every_message_has_an_envelope_and_a_body_structure_that_clients_can_read() {
    let (mut seen, mut too_deep) = (0, 0);
    for (path, message) in corpora::messages() {
        let structure = Structure::of(&message);
        for item in [
            MessageDataItem::Envelope(envelope(structure.root().head())),
            MessageDataItem::Body(body_structure(structure.root(), false)),
            MessageDataItem::BodyStructure(body_structure(structure.root(), true)),
        ] {
            let encoded = fetch(vec![item.clone()]);
            match ResponseCodec::default().decode(&encoded) {
                Ok((rest, Response::Data(Data::Fetch { items, .. }))) => {
                    assert!(rest.is_empty(), "{path:?}");
                    assert_eq!(items.as_ref(), [item], "{path:?}");
                }
                // imap-codec's own decoder stops at the fourth level of multiparts.
                _ if nesting(&structure) > 3 => too_deep += 1,
                other => panic!("{path:?}: {other:?}\n{}", String::from_utf8_lossy(&encoded)),
            }
        }
        seen += 1;
    }
    println!("{seen} messages; {too_deep} structures nested deeper than the decoder goes");
}

fn nesting(structure: &Structure) -> usize {
    fn depth(part: wm_core::content::Part<'_>) -> usize {
        1 + part.children().map(depth).max().unwrap_or(0)
    }
    depth(structure.root()) - 1
}

#[test]
fn sections_are_cut_to_the_octet() {
    let message = "Subject: outer\r\nX-A: 1\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\none\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntext\r\n\
        --b--\r\n";
    let outer_header = message.find("--b\r\n").unwrap();
    for (section, expected) in [
        ("BODY[]", Some(message)),
        ("BODY[]<8.5>", Some(" oute")),
        ("BODY[]<9999.5>", Some("")),
        ("BODY[HEADER]", Some(&message[..outer_header])),
        ("BODY[TEXT]", Some(&message[outer_header..])),
        ("BODY[HEADER.FIELDS (x-a to)]", Some("X-A: 1\r\n\r\n")),
        ("BODY[HEADER.FIELDS (x-a)]<2.3>", Some("A: ")),
        ("BODY[HEADER.FIELDS (nothing)]", Some("\r\n")),
        (
            "BODY[HEADER.FIELDS.NOT (x-a content-type)]",
            Some("Subject: outer\r\n\r\n"),
        ),
        ("BODY[1]", Some("one")),
        ("BODY[1.MIME]", Some("Content-Type: text/plain\r\n\r\n")),
        ("BODY[1.TEXT]", None),
        ("BODY[2]", Some("Subject: inner\r\n\r\ntext")),
        ("BODY[2.HEADER]", Some("Subject: inner\r\n\r\n")),
        ("BODY[2.TEXT]", Some("text")),
        ("BODY[2.1]", Some("text")),
        ("BODY[2.1.MIME]", Some("Subject: inner\r\n\r\n")),
        (
            "BODY[2.HEADER.FIELDS (SUBJECT)]",
            Some("Subject: inner\r\n\r\n"),
        ),
        ("BODY[3]", None),
    ] {
        assert_eq!(cut(message, section).as_deref(), expected, "{section}");
    }
}

fn cut(message: &str, item: &str) -> Option<String> {
    let command = format!("a FETCH 1 {item}\r\n");
    let Request {
        body:
            RequestBody::Imap(CommandBody::Fetch {
                macro_or_item_names,
                ..
            }),
        ..
    } = Request::parse(command.as_bytes()).unwrap()
    else {
        panic!("{item}")
    };
    let MacroOrMessageDataItemNames::MessageDataItemNames(items) = macro_or_item_names else {
        panic!("{item}")
    };
    let MessageDataItemName::BodyExt {
        section, partial, ..
    } = &items[0]
    else {
        panic!("{item}")
    };
    let whole = Cut::of(
        section.as_ref(),
        &Structure::of(message.as_bytes()),
        message.len() as u64,
    );
    match partial.map_or(whole.clone(), |(first, count)| {
        whole.partial(first, count.get())
    }) {
        Cut::Range(range) => Some(message[range.start as usize..range.end as usize].to_owned()),
        Cut::Octets(octets) => Some(String::from_utf8(octets).unwrap()),
        Cut::Missing => None,
    }
}
