//! Commands about mailboxes as wholes.

use wm_core::model::FolderRole;

use crate::MESSAGE;
use crate::house::House;

#[test]
fn the_folders_for_mail_are_listed_with_what_they_are_for() {
    let house = House::new();
    let mut client = house.alice();
    let expected = [
        r#"* LIST (\HasNoChildren) "/" INBOX"#,
        r#"* LIST (\HasNoChildren \Drafts) "/" Drafts"#,
        r#"* LIST (\HasNoChildren \Sent) "/" "Sent Items""#,
        r#"* LIST (\HasNoChildren \Trash) "/" "Deleted Items""#,
        r#"* LIST (\HasNoChildren \Junk) "/" "Junk E-mail""#,
        r#"* LIST (\HasNoChildren) "/" Outbox"#,
        r#"* LIST (\HasNoChildren \Archive) "/" Archive"#,
    ];
    let listed = client.ok("LIST \"\" *");
    let mut listed: Vec<&str> = listed.lines().collect();
    let mut expected = expected.to_vec();
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    assert_eq!(
        client.ok("LIST \"\" \"\""),
        "* LIST (\\Noselect) \"/\" \"\"\r\n"
    );
    assert_eq!(client.ok("LIST \"\" inbox").lines().count(), 1);
    assert_eq!(client.ok("LIST \"\" nothing"), "");
    assert_eq!(
        client.ok("NAMESPACE"),
        "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"
    );
}

#[test]
fn folders_are_made_with_those_above_them_renamed_and_deleted() {
    let house = House::new();
    let mut client = house.alice();
    client.ok("CREATE Projekte/Entw&APw-rfe");
    client.ends("CREATE Projekte", "t NO [ALREADYEXISTS]");
    let listed = client.ok("LIST Projekte *");
    assert!(
        listed.contains("(\\HasChildren) \"/\" Projekte\r\n"),
        "{listed}"
    );
    assert!(
        listed.contains("(\\HasNoChildren) \"/\" Projekte/Entw&APw-rfe\r\n"),
        "{listed}"
    );
    assert_eq!(client.ok("LIST \"\" Projekte/%").lines().count(), 1);

    client.ends("DELETE Projekte", "t NO [HASCHILDREN]");
    client.ok("RENAME Projekte Alt/2025");
    assert!(
        client
            .ok("LIST \"\" *")
            .contains(" Alt/2025/Entw&APw-rfe\r\n")
    );
    client.ok("DELETE Alt/2025/Entw&APw-rfe");
    client.ends("DELETE Alt/2025/Entw&APw-rfe", "t NO [NONEXISTENT]");
    for (command, refusal) in [
        ("DELETE INBOX", "t NO [CANNOT]"),
        ("RENAME INBOX x", "t NO [CANNOT]"),
        ("RENAME nothing x", "t NO [NONEXISTENT]"),
        ("RENAME Alt inbox", "t NO [ALREADYEXISTS]"),
        ("CREATE inbox", "t NO [ALREADYEXISTS]"),
        ("CREATE a//b", "t NO [CANNOT]"),
        ("CREATE \"\"", "t NO [CANNOT]"),
        ("CREATE &APw", "t NO [CANNOT]"),
        ("SELECT nothing", "t NO [NONEXISTENT]"),
        ("STATUS nothing (MESSAGES)", "t NO [NONEXISTENT]"),
        ("SELECT Calendar", "t NO [NONEXISTENT]"),
    ] {
        client.ends(command, refusal);
    }
}

#[test]
fn subscriptions_are_listed_and_stand_in_for_what_is_below_a_percent_sign() {
    let house = House::new();
    let mut client = house.alice();
    client.ok("CREATE a/b");
    client.ok("UNSUBSCRIBE a");
    client.ok("SUBSCRIBE a/b");
    assert_eq!(
        client.ok("LSUB \"\" a*"),
        "* LSUB (\\HasNoChildren) \"/\" a/b\r\n"
    );
    assert_eq!(client.ok("LSUB \"\" a%"), "* LSUB (\\Noselect) \"/\" a\r\n");
    client.ok("UNSUBSCRIBE a/b");
    assert_eq!(client.ok("LSUB \"\" a*"), "");
}

#[test]
fn status_counts_what_select_shows() {
    let house = House::new();
    for _ in 0..3 {
        house.deliver(FolderRole::Inbox, "", MESSAGE.as_bytes());
    }
    let mut client = house.alice();
    let status = client.ok("STATUS inbox (MESSAGES RECENT UIDNEXT UNSEEN UIDVALIDITY)");
    assert!(
        status.starts_with("* STATUS INBOX (MESSAGES 3 RECENT 0 UIDNEXT 4 UNSEEN 3 UIDVALIDITY "),
        "{status}"
    );
    let validity = status
        .trim_end()
        .trim_end_matches(')')
        .rsplit(' ')
        .next()
        .unwrap();
    let selected = client.ends("SELECT INBOX", "t OK [READ-WRITE]");
    let expected = format!(
        "* FLAGS (\\Seen \\Answered \\Flagged \\Draft \\Deleted $Forwarded)\r\n* 3 EXISTS\r\n* 0 RECENT\r\n\
         * OK [UNSEEN 1] First message not seen\r\n\
         * OK [PERMANENTFLAGS (\\Seen \\Answered \\Flagged \\Draft \\Deleted $Forwarded \\*)] Flags permitted\r\n\
         * OK [UIDVALIDITY {validity}] UIDs valid\r\n* OK [UIDNEXT 4] Predicted next UID\r\n"
    );
    assert_eq!(selected, expected);
    client.ends("STATUS INBOX (DELETED)", "t BAD");
    assert!(
        client
            .ends("EXAMINE INBOX", "t OK [READ-ONLY]")
            .contains("[PERMANENTFLAGS ()]")
    );
}

#[test]
fn select_tells_the_first_message_not_seen_if_it_is_near_an_end() {
    let house = House::new();
    let mut client = house.inbox();
    let mut unseen = |others: &str, expected: Option<u32>| {
        client.ok(others);
        let selected = client.ends("SELECT INBOX", "t OK [READ-WRITE]");
        let told = selected.lines().find(|line| line.contains("[UNSEEN "));
        let expected = expected.map(|n| format!("* OK [UNSEEN {n}] First message not seen"));
        assert_eq!(told, expected.as_deref(), "{others}");
    };
    unseen("NOOP", None);
    for _ in 0..1200 {
        house.deliver(FolderRole::Inbox, "", b"\r\n");
    }
    unseen("NOOP", Some(1));
    unseen("STORE 1:3 +FLAGS.SILENT (\\Seen)", Some(4));
    unseen("STORE 1:499 +FLAGS.SILENT (\\Seen)", Some(500));
    // Far from the beginning, and not all of them are near the end.
    unseen("STORE 1:600 +FLAGS.SILENT (\\Seen)", None);
    unseen(
        "STORE 601:1000,1002:1100 +FLAGS.SILENT (\\Seen)",
        Some(1001),
    );
    // Places are those of messages, not their UIDs.
    client.ok("STORE 1:10 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    let selected = client.ends("EXAMINE INBOX", "t OK [READ-ONLY]");
    assert!(selected.contains("* OK [UNSEEN 991] "), "{selected}");
    client.ok("SELECT INBOX");
    client.ok("STORE 1:* +FLAGS.SILENT (\\Seen)");
    let selected = client.ends("SELECT INBOX", "t OK [READ-WRITE]");
    assert!(!selected.contains("UNSEEN"), "{selected}");
}

#[test]
fn a_select_that_fails_leaves_nothing_selected() {
    let house = House::new();
    let mut client = house.inbox();
    client.ends("SELECT nothing", "t NO [NONEXISTENT]");
    client.ends("CHECK", "t BAD No mailbox is selected");
}

#[test]
fn who_deletes_the_selected_mailbox_goes_on_and_others_are_sent_away() {
    let house = House::new();
    let (mut one, mut other) = (house.alice(), house.alice());
    one.ok("CREATE x");
    one.ok("SELECT x");
    other.ok("SELECT x");
    one.ok("DELETE x");
    one.ends("CHECK", "t BAD No mailbox is selected");
    let heard = other.say("NOOP");
    assert!(
        heard.contains("* BYE The selected mailbox is gone\r\n"),
        "{heard}"
    );
    assert!(other.closed);
    // A new folder of the same name is another one.
    one.ok("CREATE x");
    one.append("x", MESSAGE.as_bytes());
    assert!(one.ok("SELECT x").contains("* 1 EXISTS"));
}
