//! From the greeting to being logged in, and out.

use std::time::Duration;

use wm_imap::session::Note;

use crate::house::{House, NOW, PASSWORD};

/// `\0alice\0Zebra crossing 1`
const PLAIN: &str = "AGFsaWNlAFplYnJhIGNyb3NzaW5nIDE=";

#[test]
fn the_greeting_tells_the_capabilities() {
    let house = House::new();
    let greeting = |tls| {
        let mut session = house.session(tls);
        match futures::executor::block_on(session.poll(NOW)) {
            Some(wm_imap::session::Event::Send(octets)) => {
                String::from_utf8(octets.to_vec()).unwrap()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        greeting(false),
        "* OK [CAPABILITY IMAP4REV1 SASL-IR LOGINDISABLED STARTTLS ID IDLE LITERAL+ NAMESPACE UIDPLUS MOVE \
         UNSELECT CHILDREN SPECIAL-USE] IMAP4rev1 ready\r\n"
    );
    assert!(greeting(true).contains("SASL-IR AUTH=PLAIN ID "));
}

#[test]
fn passwords_are_not_taken_in_clear_unless_configured() {
    let mut house = House::new();
    let mut client = house.connect(false);
    for command in [
        format!("LOGIN alice \"{PASSWORD}\""),
        format!("AUTHENTICATE PLAIN {PLAIN}"),
        "AUTHENTICATE PLAIN".to_owned(),
    ] {
        client.ends(&command, "t NO [PRIVACYREQUIRED]");
    }
    house.config.cleartext_auth = true;
    let mut client = house.connect(false);
    assert!(client.ok("CAPABILITY").contains(" AUTH=PLAIN STARTTLS"));
    client.ok(&format!("LOGIN alice \"{PASSWORD}\""));
}

#[test]
fn what_is_sent_behind_starttls_is_discarded() {
    let house = House::new();
    let mut client = house.connect(false);
    let heard = client.send("a STARTTLS\r\nb CAPABILITY\r\nc NOOP\r\n");
    assert_eq!(heard, "a OK Begin TLS\r\n");
    // The same when half of a command has come.
    let capability = client.ok("CAPABILITY");
    assert!(capability.contains("AUTH=PLAIN") && !capability.contains("STARTTLS"));
    client.ends("STARTTLS", "t BAD");
    client.ok(&format!("LOGIN alice \"{PASSWORD}\""));
}

#[test]
fn starttls_may_be_switched_off() {
    let mut house = House::new();
    house.config.starttls = false;
    let mut client = house.connect(false);
    assert!(!client.ok("CAPABILITY").contains("STARTTLS"));
    client.ends("STARTTLS", "t BAD");
}

#[test]
fn a_user_logs_in_by_login_and_by_plain() {
    let house = House::new();
    for name in ["alice", "Alice@acme.wm.localhost", "{5}"] {
        let mut client = house.connect(true);
        let heard = match name {
            "{5}" => {
                assert_eq!(
                    client.send("t LOGIN {5}\r\n"),
                    "+ Ready for literal data\r\n"
                );
                client.send(format!("alice \"{PASSWORD}\"\r\n"))
            }
            name => client.say(&format!("LOGIN {name} \"{PASSWORD}\"")),
        };
        assert!(
            heard.starts_with("t OK [CAPABILITY IMAP4REV1 ID "),
            "{heard}"
        );
        assert!(
            matches!(&client.notes[..], [Note::Authenticated(who)] if who.address.to_string().starts_with("alice@"))
        );
    }
    let mut client = house.connect(true);
    client.ok(&format!("AUTHENTICATE PLAIN {PLAIN}"));

    let mut client = house.connect(true);
    assert_eq!(client.send("t authenticate plain\r\n"), "+ \r\n");
    assert!(client.send(format!("{PLAIN}\r\n")).starts_with("t OK "));
    client.ends("LOGIN alice x", "t BAD");
    client.ends("AUTHENTICATE PLAIN", "t BAD");
}

#[test]
fn a_log_in_that_is_given_up_or_malformed_is_bad() {
    let house = House::new();
    let mut client = house.connect(true);
    for line in ["*\r\n", "!\r\n", "AGFsaWNl\r\n"] {
        assert_eq!(client.send("t AUTHENTICATE PLAIN\r\n"), "+ \r\n");
        assert!(client.send(line).starts_with("t BAD "), "{line}");
    }
    client.ends("AUTHENTICATE CRAM-MD5", "t NO [CANNOT]");
    assert!(!client.closed, "none of these was a wrong password");
}

#[test]
fn who_a_wrong_password_was_for_does_not_show_and_the_third_closes() {
    let house = House::new();
    let mut client = house.connect(true);
    let known = client.say("LOGIN alice wrong");
    let unknown = client.say("LOGIN nobody wrong");
    assert_eq!(known, unknown);
    assert_eq!(
        known,
        "t NO [AUTHENTICATIONFAILED] Wrong user name or password\r\n"
    );
    let last = client.say("LOGIN alice wrong");
    assert!(last.ends_with("* BYE Too many failed log-ins\r\n"));
    assert!(client.closed);
    assert!(matches!(&client.notes[1], Note::AuthenticationFailed { name } if name == "nobody"));
}

#[test]
fn commands_are_refused_in_states_that_are_not_theirs() {
    let house = House::new();
    let mut client = house.connect(true);
    for command in [
        "SELECT INBOX",
        "LIST \"\" *",
        "NAMESPACE",
        "IDLE",
        "FETCH 1 FLAGS",
        "EXPUNGE",
        "UID EXPUNGE 1",
        "CLOSE",
        "CHECK",
    ] {
        client.ends(command, "t BAD Log in first");
    }
    assert!(
        client
            .send("t APPEND INBOX {5}\r\n")
            .starts_with("t BAD Log in first")
    );
    client.ok("NOOP");
    client.ok("ID NIL");
    let mut client = house.alice();
    for command in [
        "FETCH 1 FLAGS",
        "UID FETCH 1 FLAGS",
        "STORE 1 FLAGS ()",
        "SEARCH ALL",
        "COPY 1 Archive",
        "MOVE 1 Archive",
        "EXPUNGE",
        "UID EXPUNGE 1",
        "CLOSE",
        "CHECK",
        "UNSELECT",
    ] {
        client.ends(command, "t BAD No mailbox is selected");
    }
    client.ends("STARTTLS", "t BAD");
}

#[test]
fn logout_says_goodbye_first() {
    let house = House::new();
    let mut client = house.connect(true);
    assert_eq!(
        client.send("t LOGOUT\r\nu NOOP\r\n"),
        "* BYE Logging out\r\nt OK LOGOUT completed\r\n"
    );
    assert!(client.closed);
}

#[test]
fn what_is_no_command_is_bad_and_too_much_of_it_closes() {
    let house = House::new();
    let mut client = house.connect(true);
    for bad in [
        "t XYZZY",
        "t NOOP x",
        "t",
        "t FETCH x FLAGS",
        "t ENABLE CONDSTORE",
    ] {
        assert!(
            client.send(format!("{bad}\r\n")).starts_with("t BAD "),
            "{bad}"
        );
    }
    assert!(client.send("\r\n").starts_with("* BAD "));
    client.ok("NOOP");
    let heard = client.send("GET / HTTP/1.1\r\n".repeat(100));
    assert_eq!(heard.matches("GET BAD ").count(), 20);
    assert!(heard.ends_with("* BYE Too many bad commands\r\n"));
    assert!(client.closed);
}

#[test]
fn a_line_or_literal_that_is_too_long_is_refused_and_the_next_command_read() {
    let house = House::new();
    let mut client = house.connect(true);
    let line = format!("t LOGIN {} x\r\nu NOOP\r\n", "a".repeat(70_000));
    assert_eq!(
        client.send(line),
        "t BAD [LIMIT] Too long\r\nu OK NOOP completed\r\n"
    );
    assert_eq!(
        client.send("t LOGIN {70000}\r\n"),
        "t BAD [LIMIT] Too long\r\n"
    );
    let literal = format!(
        "t LOGIN {{70000+}}\r\n{} x\r\nu NOOP\r\n",
        "a".repeat(70_000)
    );
    assert_eq!(
        client.send(literal),
        "t BAD [LIMIT] Too long\r\nu OK NOOP completed\r\n"
    );
}

#[test]
fn a_silent_client_is_sent_away() {
    let house = House::new();
    let mut client = house.connect(true);
    assert_eq!(
        client.session.deadline(),
        NOW.plus(Duration::from_secs(180))
    );
    // Talking without logging in does not help.
    client.now = NOW.plus(Duration::from_secs(179));
    client.ok("NOOP");
    client.now = client.session.deadline();
    assert_eq!(client.hear(), "* BYE Silent for too long\r\n");
    assert!(client.closed);

    let mut client = house.alice();
    client.now = NOW.plus(Duration::from_secs(1799));
    client.ok("NOOP");
    client.now = NOW.plus(Duration::from_secs(3598));
    assert_eq!(client.hear(), "");
    client.now = client.session.deadline();
    assert_eq!(client.hear(), "* BYE Silent for too long\r\n");
    assert!(client.closed);
}

#[test]
fn a_server_that_stops_says_so_after_what_it_was_doing() {
    let house = House::new();
    let mut client = house.alice();
    client.session.receive("t NOOP\r\n");
    client.session.shut_down();
    let heard = client.hear();
    assert!(heard.ends_with("* BYE Shutting down\r\n"), "{heard}");
    assert!(client.closed);
}
