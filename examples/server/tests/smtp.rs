//! Receiving and submission, by clients not written here; and the codes that the limits answer with.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;

use common::smtp::Smtp;
use common::{Server, python, run, text, tool};

#[test]
fn swaks_delivers_with_starttls_and_with_chunking_off_or_on() {
    let Some(mut swaks) = tool("swaks") else {
        return;
    };
    let server = Server::start();
    let said = run(swaks
        .args([
            "--server",
            &server.endpoint("smtp").to_string(),
            "--tls",
            "--from",
            "sender@example.com",
        ])
        .args([
            "--to",
            &server.user("alice").address,
            "--header",
            "Subject: swaks",
            "--body",
            "Hello",
        ]));
    assert!(
        said.contains("<~  250") || said.contains("<~ 250"),
        "{said}"
    );
}

#[test]
fn swaks_submits_after_authentication_and_is_refused_without() {
    let Some(mut swaks) = tool("swaks") else {
        return;
    };
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    for (listener, tls, mechanism) in [
        ("submission", "--tls", "PLAIN"),
        ("submissions", "--tlsc", "LOGIN"),
    ] {
        let said = run(tool("swaks")
            .unwrap()
            .args([
                "--server",
                &server.endpoint(listener).to_string(),
                tls,
                "--auth",
                mechanism,
            ])
            .args([
                "--auth-user",
                &alice.address,
                "--auth-password",
                &alice.password,
            ])
            .args(["--from", &alice.address, "--to", &bob.address]));
        assert!(said.contains("235"), "{said}");
    }
    let refused = swaks
        .args([
            "--server",
            &server.endpoint("submission").to_string(),
            "--tls",
        ])
        .args(["--from", &alice.address, "--to", &bob.address])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert!(text(&refused).contains("530"), "{}", text(&refused));
}

#[test]
fn curl_delivers_a_message_of_its_own_making() {
    let Some(mut curl) = tool("curl") else { return };
    let server = Server::start();
    let message = server.scratch("message");
    std::fs::write(&message, "Subject: curl\r\n\r\n.\r\n..\r\nend\r\n").unwrap();
    run(curl
        .args(["--silent", "--show-error", "--ssl-reqd", "--cacert"])
        .arg(server.certificate())
        .arg(format!(
            "smtp://localhost:{}/client.example",
            server.port("smtp")
        ))
        .args([
            "--resolve",
            &format!("localhost:{}:127.0.0.1", server.port("smtp")),
        ])
        .args([
            "--mail-from",
            "curl@example.com",
            "--mail-rcpt",
            &server.user("bob").address,
        ])
        .arg("--upload-file")
        .arg(&message));
}

#[test]
fn smtplib_submits_and_learns_nothing_from_a_wrong_password() {
    let Some(mut script) = python("smtplib_session.py") else {
        return;
    };
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    run(script
        .args(["localhost", &server.port("submission")])
        .arg(server.certificate())
        .args([&alice.address, &bob.address])
        .env("WM_PASSWORD", &alice.password));
}

#[test]
fn an_unknown_user_and_an_unknown_domain_have_codes_of_their_own() {
    let server = Server::start();
    let mut smtp = Smtp::connect(server.endpoint("smtp")).unwrap();
    assert_eq!(
        smtp.command("MAIL FROM:<sender@example.com>").unwrap().code,
        250
    );
    let reply = smtp.command("RCPT TO:<nobody@demo.wm.localhost>").unwrap();
    assert_eq!(reply.code, 550);
    assert!(reply.text.starts_with("5.1.1 "), "{reply:?}");
    let reply = smtp.command("RCPT TO:<alice@example.org>").unwrap();
    assert_eq!(reply.code, 550);
    assert!(reply.text.starts_with("5.7.1 "), "{reply:?}");
    assert_eq!(
        smtp.command("RCPT TO:<alice@demo.wm.localhost>")
            .unwrap()
            .code,
        250
    );
}

#[test]
fn a_message_announced_or_found_over_the_limit_is_refused() {
    let server = Server::start();
    let mut smtp = Smtp::connect_only(server.endpoint("smtp")).unwrap();
    smtp.reply().unwrap();
    let extensions = smtp.command("EHLO client.example").unwrap();
    assert!(
        extensions.text.lines().any(|line| line == "SIZE 26214400"),
        "{extensions:?}"
    );

    let reply = smtp
        .command("MAIL FROM:<a@example.com> SIZE=26214401")
        .unwrap();
    assert_eq!(reply.code, 552);
    assert!(reply.text.starts_with("5.3.4 "), "{reply:?}");
    assert_eq!(
        smtp.command("MAIL FROM:<a@example.com> SIZE=26214400")
            .unwrap()
            .code,
        250
    );
    assert_eq!(smtp.command("RSET").unwrap().code, 250);

    let line = [b"x".repeat(998), b"\r\n".to_vec()].concat();
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    while message.len() <= 26_214_400 {
        message.extend_from_slice(&line);
    }
    let reply = smtp
        .message("a@example.com", &["alice@demo.wm.localhost"], &message)
        .unwrap();
    assert_eq!(reply.code, 552);
    assert!(reply.text.starts_with("5.3.4 "), "{reply:?}");
    // The connection goes on, and what fits exactly is taken.
    message.truncate(26_214_400 - 2);
    message.extend_from_slice(b"\r\n");
    let reply = smtp
        .message("a@example.com", &["alice@demo.wm.localhost"], &message)
        .unwrap();
    assert_eq!(reply.code, 250, "{reply:?}");
}

#[test]
fn the_501st_recipient_is_put_off_and_the_message_goes_to_the_others() {
    let server = Server::start();
    let mut smtp = Smtp::connect(server.endpoint("smtp")).unwrap();
    assert_eq!(smtp.command("MAIL FROM:<a@example.com>").unwrap().code, 250);
    let to_alice = "RCPT TO:<alice@demo.wm.localhost>";
    for number in 1..=500 {
        assert_eq!(
            smtp.command(to_alice).unwrap().code,
            250,
            "recipient {number}"
        );
    }
    let reply = smtp.command(to_alice).unwrap();
    assert_eq!(reply.code, 452);
    assert!(reply.text.starts_with("4.5.3 "), "{reply:?}");
    assert_eq!(smtp.command("DATA").unwrap().code, 354);
    smtp.send(b"Subject: many\r\n\r\n.\r\n").unwrap();
    assert_eq!(smtp.reply().unwrap().code, 250);
}

#[test]
fn what_is_pipelined_behind_starttls_is_discarded() {
    let server = Server::start();
    let mut smtp = Smtp::connect(server.endpoint("smtp")).unwrap();
    smtp.send(b"STARTTLS\r\nMAIL FROM:<injected@example.com>\r\n")
        .unwrap();
    assert_eq!(smtp.reply().unwrap().code, 220);
    // The next thing on the wire would be a handshake; the injected command is not answered.
    smtp.send(b"NOOP\r\n").unwrap();
    assert!(smtp.reply().is_err());
}

#[test]
fn a_bare_line_feed_never_ends_a_message() {
    let server = Server::start();
    let mut smtp = Smtp::connect(server.endpoint("smtp")).unwrap();
    for command in [
        "MAIL FROM:<a@example.com>",
        "RCPT TO:<alice@demo.wm.localhost>",
    ] {
        assert_eq!(smtp.command(command).unwrap().code, 250);
    }
    assert_eq!(smtp.command("DATA").unwrap().code, 354);
    smtp.send(b"Subject: outer\r\n\r\ntext\n.\nMAIL FROM:<smuggled@example.com>\r\n.\r\n")
        .unwrap();
    let reply = smtp.reply().unwrap();
    assert_eq!(reply.code / 100, 5, "{reply:?}");
    assert_eq!(smtp.command("NOOP").unwrap().code, 250);
}
