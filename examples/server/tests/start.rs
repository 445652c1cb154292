//! Starting and stopping: quick setup, endpoints, settings, the lock on the data directory.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::smtp::Smtp;
use common::{LISTENERS, Server, command, text};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_demo_with_alice_and_bob_and_says_how_to_log_in() {
    let server = Server::start();
    assert_eq!(server.setup.organization.alias, "demo");
    assert_eq!(server.setup.organization.domain, "demo.wm.localhost");
    assert!(server.setup.organization.id.starts_with("m-"));
    assert_eq!(server.user("alice").address, "alice@demo.wm.localhost");
    assert_eq!(server.user("bob").address, "bob@demo.wm.localhost");
    assert_eq!(mode(&server.data_dir().join("quick-setup.json")), 0o600);
    assert_eq!(server.endpoints(), LISTENERS);

    let printed = server.printed();
    for user in &server.setup.users {
        let rows = printed.lines().filter(|line| line.contains(&user.password));
        let [row] = rows.collect::<Vec<_>>()[..] else {
            panic!("{printed}");
        };
        assert!(row.contains(&user.address), "{row}");
    }
}

#[test]
fn nothing_in_the_data_directory_is_open_to_others_and_no_password_is_in_it() {
    let mut server = Server::start();
    let password = server.user("alice").password.clone();
    assert!(server.stop().success());
    let mut directories = vec![server.data_dir()];
    while let Some(directory) = directories.pop() {
        assert_eq!(mode(&directory) & 0o077, 0, "{}", directory.display());
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
            let content = fs::read(&path).unwrap();
            let found = content
                .windows(password.len())
                .any(|window| window == password.as_bytes());
            assert_eq!(
                found,
                path.ends_with("quick-setup.json"),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn options_choose_the_organization_and_its_users_once() {
    let mut server = Server::start_with(&[
        "--alias",
        "acme",
        "--user",
        "carol:Correct-Horse-9",
        "--engine",
        "redb",
    ]);
    assert_eq!(server.setup.organization.domain, "acme.wm.localhost");
    assert_eq!(server.setup.users.len(), 1);
    assert_eq!(server.user("carol").password, "Correct-Horse-9");

    let before = fs::read(server.data_dir().join("quick-setup.json")).unwrap();
    assert!(server.stop().success());
    server.restart();
    assert_eq!(
        fs::read(server.data_dir().join("quick-setup.json")).unwrap(),
        before
    );
    let mut smtp = Smtp::connect(server.endpoint("smtp")).unwrap();
    let reply = smtp
        .message("", &["carol@acme.wm.localhost"], b"Subject: again\r\n\r\n")
        .unwrap();
    assert_eq!(reply.code, 250, "{reply:?}");
}

#[test]
fn sigterm_and_ctrl_c_end_it_with_success_and_remove_the_endpoints() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        let mut idle = Smtp::connect(server.endpoint("smtp")).unwrap();
        server.signal(signal);
        let refused = idle.reply().unwrap();
        assert_eq!(refused.code, 421, "{refused:?}");
        assert!(server.stop().success());
        assert!(!server.data_dir().join("endpoints.json").exists());
        assert!(!server.data_dir().join("control.sock").exists());
    }
}

#[test]
fn a_message_being_sent_when_the_end_comes_is_taken_or_refused() {
    let mut server = Server::start();
    let alice = server.user("alice").address.clone();
    let mut smtp = Smtp::connect(server.endpoint("smtp")).unwrap();
    for command in ["MAIL FROM:<>", &format!("RCPT TO:<{alice}>")] {
        assert_eq!(smtp.command(command).unwrap().code, 250);
    }
    assert_eq!(smtp.command("DATA").unwrap().code, 354);
    smtp.send(b"Subject: late\r\n\r\n").unwrap();
    server.signal("TERM");
    // It may have said 421 and closed already.
    let _ = smtp.send(b"text\r\n.\r\n");
    let code = smtp.reply().unwrap().code;
    assert!(matches!(code, 250 | 421), "{code}");
    assert!(server.stop().success());
}

#[test]
fn a_second_server_on_the_same_data_directory_says_what_to_do_and_disturbs_nothing() {
    let mut server = Server::start();
    let second = command("serve", &server.data_dir())
        .args(["--smtp", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = text(&second);
    assert!(
        said.contains("in use") && said.contains("--data-dir"),
        "{said}"
    );

    assert!(server.data_dir().join("endpoints.json").exists());
    Smtp::connect(server.endpoint("smtp")).unwrap();
    assert!(server.stop().success());
}

#[test]
fn settings_come_from_a_file_too_and_an_unknown_key_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wm.toml");
    fs::write(
        &file,
        "alias = \"filed\"\nuser = [\"dave:Correct-Horse-9\"]\n",
    )
    .unwrap();
    let server = Server::start_with(&["--config", file.to_str().unwrap()]);
    assert_eq!(server.user("dave").address, "dave@filed.wm.localhost");

    fs::write(&file, "smtp = \"127.0.0.1:0\"\nsmpt = \"127.0.0.1:0\"\n").unwrap();
    let refused = command("serve", &dir.path().join("data"))
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert!(
        text(&refused).contains("line 2: unknown field `smpt`"),
        "{}",
        text(&refused)
    );
    assert!(!dir.path().join("data").exists());
}

#[test]
fn an_address_in_use_is_named_with_the_flag_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let mut serve = command("serve", &dir.path().join("data"));
    for listener in LISTENERS {
        serve
            .arg(format!("--{listener}"))
            .arg(if listener == "imap" {
                &address
            } else {
                "127.0.0.1:0"
            });
    }
    let refused = serve.output().unwrap();
    assert!(!refused.status.success());
    assert!(
        text(&refused).contains(&format!("cannot listen on {address}")),
        "{}",
        text(&refused)
    );
    assert!(text(&refused).contains("--imap"), "{}", text(&refused));
    assert!(!dir.path().join("data/endpoints.json").exists());
}
