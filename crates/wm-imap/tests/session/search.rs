//! SEARCH.

use wm_core::model::FolderRole;

use crate::MESSAGE;
use crate::house::{Client, House};

fn inbox() -> (House, Client) {
    let house = House::new();
    let old = "From: carol@example.org\r\nSubject: minutes\r\nX-Spam: no\r\n\
        Date: Mon, 02 Feb 2026 23:59:59 +0000\r\n\r\nAll agreed. ";
    house.deliver(FolderRole::Inbox, "", MESSAGE.as_bytes());
    house.deliver(FolderRole::Inbox, "", old.as_bytes());
    let mut client = house.inbox();
    client.send("t APPEND INBOX (\\Seen $Label1) \"01-Mar-2026 12:00:00 +0000\" {10+}\r\nX: y\r\n\r\nab\r\n");
    (house, client)
}

#[test]
fn every_key_finds_what_it_says() {
    let (_house, mut client) = inbox();
    client.ok("STORE 2 FLAGS.SILENT (\\Flagged)");
    for (keys, expected) in [
        ("ALL", "1 2 3"),
        ("2:*", "2 3"),
        ("UID 1,3", "1 3"),
        ("SEEN", "3"),
        ("UNSEEN", "1 2"),
        ("FLAGGED", "2"),
        ("UNFLAGGED UNSEEN", "1"),
        ("KEYWORD $label1", "3"),
        ("UNKEYWORD $Label1", "1 2"),
        ("NEW", ""),
        ("OLD", "1 2 3"),
        ("ON 1-Mar-2026", "3"),
        ("BEFORE 2-Mar-2026", "3"),
        ("SINCE 2-Mar-2026", "1 2"),
        ("SENTON 2-Feb-2026", "2"),
        ("SENTBEFORE 1-Jan-2026", ""),
        ("SENTSINCE 3-Feb-2026", "1"),
        ("SMALLER 11", "3"),
        ("LARGER 200", "1"),
        ("FROM carol", "2"),
        ("FROM CAROL@example", "2"),
        ("TO alice", "1"),
        ("SUBJECT minutes", "2"),
        ("HEADER X-Spam \"\"", "2"),
        ("HEADER X-Spam yes", ""),
        ("BODY agreed", "2"),
        ("BODY minutes", ""),
        ("TEXT minutes", "2"),
        ("NOT (SEEN)", "1 2"),
        ("OR SEEN FROM carol", "2 3"),
        ("(UNSEEN FROM bob) 1", "1"),
    ] {
        let found = client.ok(&format!("SEARCH {keys}"));
        assert_eq!(
            found.trim_end(),
            format!("* SEARCH {expected}").trim_end(),
            "{keys}"
        );
    }
    client.ok("STORE 1 FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    assert_eq!(client.ok("UID SEARCH SEEN"), "* SEARCH 3\r\n");
    assert_eq!(client.ok("SEARCH SEEN"), "* SEARCH 2\r\n");
}

#[test]
fn text_is_matched_decoded_and_ignoring_case() {
    let (_house, mut client) = inbox();
    // Quoted-printable, an encoded word, and a literal in UTF-8.
    assert_eq!(
        client.send("t SEARCH CHARSET UTF-8 BODY {6}\r\n"),
        "+ Ready for literal data\r\n"
    );
    assert_eq!(
        client.send("KÖNIG\r\n"),
        "* SEARCH 1\r\nt OK SEARCH completed\r\n"
    );
    client.send("t SEARCH CHARSET utf-8 SUBJECT {7}\r\n");
    assert_eq!(
        client.send("grüße\r\n"),
        "* SEARCH 1\r\nt OK SEARCH completed\r\n"
    );
    client.ends(
        "SEARCH CHARSET KOI8-R ALL",
        "t NO [BADCHARSET (US-ASCII UTF-8)]",
    );
    client.ends("SEARCH 9", "t BAD");
}
