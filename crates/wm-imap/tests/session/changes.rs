//! Commands that change messages, and what other connections are told of it.

use futures::FutureExt;
use futures::executor::block_on;
use wm_core::model::FolderRole;

use crate::MESSAGE;
use crate::house::{Client, House};

/// Alice's inbox with this many messages.
fn inbox_of(count: usize) -> (House, Client) {
    let house = House::new();
    for n in 1..=count {
        house.deliver(
            FolderRole::Inbox,
            "",
            format!("X: {n}\r\n\r\ntext\r\n").as_bytes(),
        );
    }
    let client = house.inbox();
    (house, client)
}

#[test]
fn flags_are_set_added_and_removed() {
    let (_house, mut client) = inbox_of(2);
    for (command, expected) in [
        (
            "STORE 1 FLAGS (\\Seen $Label1)",
            "* 1 FETCH (UID 1 FLAGS (\\Seen $Label1))\r\n",
        ),
        (
            "STORE 1 +FLAGS (\\Flagged)",
            "* 1 FETCH (UID 1 FLAGS (\\Seen \\Flagged $Label1))\r\n",
        ),
        (
            "STORE 1 +FLAGS (\\Flagged)",
            "* 1 FETCH (UID 1 FLAGS (\\Seen \\Flagged $Label1))\r\n",
        ),
        (
            "UID STORE 1 -FLAGS \\Seen",
            "* 1 FETCH (UID 1 FLAGS (\\Flagged $Label1))\r\n",
        ),
        ("STORE 1 +FLAGS.SILENT ($Forwarded)", ""),
        (
            "FETCH 1 FLAGS",
            "* 1 FETCH (FLAGS (\\Flagged $Forwarded $Label1))\r\n",
        ),
        ("STORE 1:2 FLAGS.SILENT ()", ""),
        (
            "FETCH 1:2 FLAGS",
            "* 1 FETCH (FLAGS ())\r\n* 2 FETCH (FLAGS ())\r\n",
        ),
    ] {
        assert_eq!(client.ok(command), expected, "{command}");
    }
    client.ends("STORE 3 FLAGS ()", "t BAD");
    client.ok("UID STORE 3 FLAGS ()");
    client.ok("EXAMINE INBOX");
    client.ends("STORE 1 FLAGS (\\Seen)", "t NO The mailbox is read-only");
}

#[test]
fn others_are_told_of_changed_flags_and_the_one_who_changed_them_is_not_again() {
    let (house, mut one) = inbox_of(2);
    let mut other = house.inbox();
    one.ok("STORE 2 +FLAGS.SILENT (\\Seen)");
    assert_eq!(one.ok("NOOP"), "");
    assert_eq!(other.ok("NOOP"), "* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n");
    assert_eq!(other.ok("NOOP"), "");
    // A silent change on top of what one has not heard of is told after all.
    other.ok("STORE 2 +FLAGS.SILENT (\\Flagged)");
    assert_eq!(
        one.ok("STORE 2 +FLAGS.SILENT (\\Answered)"),
        "* 2 FETCH (UID 2 FLAGS (\\Seen \\Answered \\Flagged))\r\n"
    );
}

#[test]
fn deleted_messages_go_with_expunge_and_keep_their_number_for_others_until_it_may_be_told() {
    let (house, mut one) = inbox_of(4);
    let mut other = house.inbox();
    one.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)");
    let told = other.ok("NOOP");
    assert_eq!(told.lines().count(), 2);
    assert_eq!(one.ok("EXPUNGE"), "* 3 EXPUNGE\r\n* 1 EXPUNGE\r\n");
    // Not in these, which count on numbers.
    assert_eq!(other.ok("FETCH 2 UID"), "* 2 FETCH (UID 2)\r\n");
    other.ends("FETCH 1 UID", "t NO [EXPUNGEISSUED]");
    other.ends("STORE 1 +FLAGS (\\Seen)", "t NO [EXPUNGEISSUED]");
    assert_eq!(other.ok("SEARCH UNDELETED"), "* SEARCH 2 4\r\n");
    assert_eq!(other.ok("NOOP"), "* 3 EXPUNGE\r\n* 1 EXPUNGE\r\n");
    assert_eq!(
        other.ok("FETCH 1:* UID"),
        "* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 4)\r\n"
    );
}

#[test]
fn uid_expunge_takes_only_those_named() {
    let (_house, mut client) = inbox_of(3);
    client.ok("STORE 1:3 +FLAGS.SILENT (\\Deleted)");
    assert_eq!(client.ok("UID EXPUNGE 2,9"), "* 2 EXPUNGE\r\n");
    assert_eq!(
        client.ok("FETCH 1:* UID"),
        "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 3)\r\n"
    );
    client.ok("EXAMINE INBOX");
    client.ends("EXPUNGE", "t NO The mailbox is read-only");
    client.ok("CLOSE");
    assert!(client.ok("SELECT INBOX").contains("* 2 EXISTS"));
    assert_eq!(client.ok("CLOSE"), "", "silently");
    assert!(client.ok("SELECT INBOX").contains("* 0 EXISTS"));
}

#[test]
fn unselect_expunges_nothing() {
    let (_house, mut client) = inbox_of(1);
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    client.ok("UNSELECT");
    assert!(client.ok("SELECT INBOX").contains("* 1 EXISTS"));
}

#[test]
fn messages_are_copied_and_moved_with_their_flags() {
    let (_house, mut client) = inbox_of(4);
    client.ok("STORE 1:3 +FLAGS.SILENT (\\Flagged $Label1)");
    let validity = client.ok("STATUS Archive (UIDVALIDITY)");
    let validity = validity
        .trim_end()
        .trim_end_matches(')')
        .rsplit(' ')
        .next()
        .unwrap()
        .to_owned();
    client.ends(
        "COPY 1,3 Archive",
        &format!("t OK [COPYUID {validity} 1,3 1:2] "),
    );
    let moved = client.ok("UID MOVE 2:3 Archive");
    assert_eq!(
        moved,
        format!("* OK [COPYUID {validity} 2:3 3:4] Moved\r\n* 3 EXPUNGE\r\n* 2 EXPUNGE\r\n")
    );
    client.ends("COPY 1 nothing", "t NO [TRYCREATE]");
    client.ends("MOVE 1 nothing", "t NO [TRYCREATE]");
    assert_eq!(client.ok("UID COPY 99 Archive"), "");
    assert!(client.ok("SELECT Archive").contains("* 4 EXISTS"));
    assert_eq!(
        client.ok("FETCH 4 FLAGS"),
        "* 4 FETCH (FLAGS (\\Flagged $Label1))\r\n"
    );
    // A copy into the selected mailbox shows at once.
    assert!(client.ok("COPY 1 Archive").starts_with("* 5 EXISTS\r\n"));
}

#[test]
fn a_message_is_appended_with_its_flags_and_date() {
    let (_house, mut client) = inbox_of(0);
    assert_eq!(
        client.send("t APPEND INBOX (\\Seen $Label1) \"17-Jul-1996 02:44:25 -0700\" {18}\r\n"),
        "+ Ready for literal data\r\n"
    );
    assert_eq!(client.send("Subject: x\r\n"), "");
    let heard = client.send("\r\none\n\r\n");
    assert!(
        heard.starts_with("* 1 EXISTS\r\nt OK [APPENDUID "),
        "{heard}"
    );
    assert_eq!(
        client.ok("FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)"),
        "* 1 FETCH (FLAGS (\\Seen $Label1) INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE 18)\r\n"
    );
    assert!(
        client
            .ok("FETCH 1 ENVELOPE")
            .contains("ENVELOPE (NIL \"x\" ")
    );
}

#[test]
fn a_message_that_is_not_taken_is_refused_before_it_is_sent() {
    let (mut house, _) = inbox_of(0);
    house.config.message_size = 100;
    let mut client = house.inbox();
    for (command, refusal) in [
        ("APPEND INBOX {101}", "t NO [TOOBIG]"),
        ("APPEND nothing {5}", "t NO [TRYCREATE]"),
        ("APPEND &APw {5}", "t NO [CANNOT]"),
    ] {
        client.ends(command, refusal);
        // The same for a client that does not wait.
        let size = if command.contains("101") { 101 } else { 5 };
        let command = command.replace('}', "+}");
        let heard = client.send(format!("t {command}\r\n{}\r\nu NOOP\r\n", "x".repeat(size)));
        assert!(
            heard.starts_with(refusal) && heard.contains("\r\nu OK "),
            "{heard}"
        );
    }
    let heard = client.send("t APPEND INBOX {3+}\r\nabc junk\r\nu NOOP\r\n");
    assert!(heard.starts_with("t BAD Unexpected octets"), "{heard}");
    assert!(heard.ends_with("u OK NOOP completed\r\n"), "{heard}");
    assert!(
        client.ok("SELECT INBOX").contains("* 0 EXISTS"),
        "nothing was stored"
    );
}

#[test]
fn an_idle_client_is_told_what_happens() {
    let (house, mut client) = inbox_of(1);
    assert_eq!(client.send("t IDLE\r\n"), "+ idling\r\n");
    assert!(
        client.session.changed().now_or_never().is_none(),
        "nothing has happened"
    );

    house.deliver(FolderRole::Inbox, "", MESSAGE.as_bytes());
    block_on(client.session.changed());
    assert_eq!(client.hear(), "* 2 EXISTS\r\n");

    let mut other = house.inbox();
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    block_on(client.session.changed());
    assert_eq!(client.hear(), "* 1 FETCH (UID 1 FLAGS (\\Deleted))\r\n");
    other.ok("EXPUNGE");
    block_on(client.session.changed());
    assert_eq!(client.hear(), "* 1 EXPUNGE\r\n");

    assert_eq!(client.send("done\r\n"), "t OK IDLE completed\r\n");
    client.send("t IDLE\r\n");
    assert_eq!(client.send("NOOP\r\n"), "t BAD Expected DONE\r\n");
    client.ok("NOOP");
}

#[test]
fn a_client_is_told_nothing_it_did_not_ask_for() {
    let (house, mut client) = inbox_of(0);
    house.deliver(FolderRole::Inbox, "", MESSAGE.as_bytes());
    assert!(client.session.changed().now_or_never().is_none());
    assert_eq!(client.hear(), "");
    assert_eq!(client.ok("NOOP"), "* 1 EXISTS\r\n");
}
