//! `export`, `import` and `repair`, and what they and `check` say of damage.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::smtp::Smtp;
use common::{Server, command, run, text};
use serde_json::Value;

#[test]
fn an_export_has_every_message_with_a_server_and_without_one() {
    let mut server = Server::start();
    deliver(&server, &["alice", "bob"], 3);
    let running = export(&server, "running", &[]);
    assert!(server.stop().success());
    let stopped = export(&server, "stopped", &[]);
    assert_eq!(running, stopped);
    assert_eq!(running.len(), 6);
    for content in &running {
        assert!(content.contains("Subject: message "), "{content}");
    }
    let items = fs::read_to_string(of_user(&server, "stopped", "alice").join("items.jsonl"));
    assert_eq!(items.unwrap().lines().count(), 3);
}

#[test]
fn an_export_is_of_the_mailbox_or_organization_asked_for() {
    let mut server = Server::start();
    deliver(&server, &["alice", "bob"], 2);
    let bob = server.user("bob").address.clone();
    assert_eq!(export(&server, "bob", &["--mailbox", &bob]).len(), 2);
    let organization = ["--organization", "demo"];
    assert_eq!(export(&server, "demo", &organization).len(), 4);

    for running in [true, false] {
        let nobody = ["--mailbox", "nobody@demo.wm.localhost"];
        let output = exporting(&server, "nobody", &nobody).output().unwrap();
        assert!(!output.status.success());
        assert!(
            text(&output).contains("nobody receives mail for"),
            "{}",
            text(&output)
        );
        let other = ["--organization", "other"];
        let output = exporting(&server, "other", &other).output().unwrap();
        assert!(
            text(&output).contains("there is no organization other"),
            "{}",
            text(&output)
        );
        // Over something else nothing is written.
        let output = exporting(&server, "bob", &[]).output().unwrap();
        assert!(text(&output).contains("is not empty"), "{}", text(&output));
        if running {
            assert!(server.stop().success());
        }
    }
}

#[test]
fn an_export_as_mbox_has_a_file_for_each_folder() {
    let server = Server::start();
    deliver(&server, &["alice"], 2);
    run(&mut exporting(&server, "mbox", &["--format", "mbox"]));
    let inbox = of_user(&server, "mbox", "alice").join("Inbox.mbox");
    let inbox = fs::read_to_string(inbox).unwrap();
    assert_eq!(inbox.matches("From MAILER-DAEMON ").count(), 2);
}

#[test]
fn a_flipped_byte_is_named_with_its_owner_and_everything_else_is_exported() {
    for running in [true, false] {
        let mut server = Server::start();
        deliver(&server, &["alice", "bob"], 3);
        assert!(server.stop().success());
        // In the middle of the second of six bodies, which lie one after the other.
        let segment = largest(&server.data_dir().join("store/bodies"));
        let mut octets = fs::read(&segment).unwrap();
        let at = octets.len() / 4;
        octets[at] ^= 1;
        fs::write(&segment, octets).unwrap();
        if running {
            server.restart();
        }

        let output = server.command("check").arg("--json").output().unwrap();
        assert!(!output.status.success());
        let report = json(&output);
        let damaged = report["damaged"].as_array().unwrap();
        assert_eq!(damaged.len(), 1, "{report}");
        let [mailbox, item, owner] =
            ["mailbox", "item", "owner"].map(|key| damaged[0][key].as_str().unwrap());
        assert!(owner.ends_with("@demo.wm.localhost"), "{report}");
        let said = server.command("check").output().unwrap();
        for name in [mailbox, item, owner] {
            assert!(text(&said).contains(name), "{}", text(&said));
        }

        let output = exporting(&server, "damaged", &[]).output().unwrap();
        assert!(!output.status.success(), "left out without a word");
        let exported = json(&output);
        assert_eq!(
            (&exported["items"], &exported["mailboxes"]),
            (&5.into(), &2.into())
        );
        assert_eq!(exported["damaged"][0]["item"], item);
        assert_eq!(exported["damaged"][0]["owner"], owner);
        let listed = fs::read(server.scratch("damaged").join("damaged.json")).unwrap();
        let listed: Value = serde_json::from_slice(&listed).unwrap();
        assert_eq!(listed[0]["item"].to_string(), item);
        assert_eq!(contents(&server.scratch("damaged")).len(), 5);
    }
}

#[test]
fn a_damaged_engine_is_refused_with_the_way_out_and_a_repair_brings_back_every_message() {
    for engine in ["redb", "sled"] {
        let mut server = Server::start_with(&["--engine", engine]);
        deliver(&server, &["alice", "bob"], 8);
        let before = export(&server, "before", &[]);
        assert_eq!(before.len(), 16);
        assert!(server.stop().success());
        overwrite_pages(&server.data_dir().join("store/engine"));

        // sled writes to its own files whenever it is opened; what a repair reads stays as it is.
        let of_sled = (engine == "sled").then(|| server.data_dir().join("store/engine"));
        let snapshot = || Snapshot::of(&server.data_dir(), of_sled.as_deref());
        let data = snapshot();
        for subcommand in ["serve", "check", "export"] {
            let mut refused = command(subcommand, &server.data_dir());
            if subcommand == "export" {
                refused.arg(server.scratch("refused"));
            }
            let output = refused.output().unwrap();
            assert!(!output.status.success(), "{engine} {subcommand}");
            let said = text(&output);
            assert!(
                said.contains("damaged engine data"),
                "{engine} {subcommand}: {said}"
            );
            assert!(
                said.contains("wm-server repair --data-dir"),
                "{engine} {subcommand}: {said}"
            );
            assert_eq!(snapshot(), data, "{engine} {subcommand}");
        }

        let repaired = run(server.command("repair").arg("--json"));
        let repaired: Value = serde_json::from_str(&repaired).unwrap();
        assert_eq!(repaired["items"], 16, "{engine}");
        assert_eq!(repaired["damaged"], serde_json::json!([]));
        assert_eq!(repaired["remade"], serde_json::json!([]));
        let kept = repaired["kept"].as_str().unwrap();
        assert!(Path::new(kept).is_dir(), "{engine}: {kept}");

        // The users are there too, and mail goes on.
        server.restart();
        assert_eq!(export(&server, "after", &[]), before, "{engine}");
        deliver(&server, &["alice"], 1);
        if let Some(listed) = common::imap::Mailbox::new(&server, "alice").list("Subject") {
            assert_eq!(listed.len(), 9);
            let uids: BTreeSet<_> = listed.iter().map(|entry| entry.uid).collect();
            assert_eq!(uids.len(), 9);
        }
    }
}

#[test]
fn an_engine_that_is_gone_is_made_anew_by_a_repair() {
    let mut server = Server::start_with(&["--engine", "sled"]);
    deliver(&server, &["alice"], 2);
    assert!(server.stop().success());
    let engine = server.data_dir().join("store/engine");
    fs::remove_dir_all(&engine).unwrap();
    let repaired = run(server
        .command("repair")
        .args(["--json", "--engine", "sled"]));
    let repaired: Value = serde_json::from_str(&repaired).unwrap();
    assert_eq!(
        (&repaired["items"], &repaired["kept"]),
        (&2.into(), &Value::Null)
    );
    let format = fs::read_to_string(engine.join("FORMAT")).unwrap();
    assert!(format.starts_with("sled "), "{format}");
    server.restart();
    assert_eq!(export(&server, "after", &[]).len(), 2);
}

#[test]
fn a_store_in_use_is_neither_repaired_nor_imported_into() {
    let server = Server::start();
    deliver(&server, &["alice"], 1);
    export(&server, "export", &[]);
    let mut import = server.command("import");
    import.arg(server.scratch("export"));
    for refused in [&mut server.command("repair"), &mut import] {
        let output = refused.output().unwrap();
        assert!(!output.status.success());
        assert!(
            text(&output).contains("a server is at work on"),
            "{}",
            text(&output)
        );
    }
    deliver(&server, &["alice"], 1);
}

#[test]
fn an_import_into_nothing_makes_the_store_that_was_exported() {
    let mut server = Server::start();
    deliver(&server, &["alice", "bob"], 3);
    let before = export(&server, "export", &[]);
    assert!(server.stop().success());
    let into = server.scratch("new");
    let import = |create: bool| {
        let mut import = command("import", &into);
        import.arg(server.scratch("export")).arg("--json");
        if create {
            import.arg("--create-users");
        }
        import
    };

    let output = import(false).output().unwrap();
    assert!(
        text(&output).contains("there is no data directory"),
        "{}",
        text(&output)
    );
    let imported: Value = serde_json::from_str(&run(&mut import(true))).unwrap();
    assert_eq!(imported["left_out"], serde_json::json!([]));
    let created = imported["created"].as_array().unwrap();
    assert_eq!(created.len(), 2);
    for mailbox in imported["mailboxes"].as_array().unwrap() {
        assert_eq!(
            (&mailbox["items"], &mailbox["present"]),
            (&3.into(), &0.into())
        );
    }
    // Again: nothing twice.
    let again: Value = serde_json::from_str(&run(&mut import(false))).unwrap();
    for mailbox in again["mailboxes"].as_array().unwrap() {
        assert_eq!(
            (&mailbox["items"], &mailbox["present"]),
            (&0.into(), &3.into())
        );
    }
    let mut check = command("check", &into);
    assert!(run(&mut check).starts_with("6 items"));
    let mut export = command("export", &into);
    run(export.arg(server.scratch("again")));
    assert_eq!(contents(&server.scratch("again")), before);

    // Who was made can log in with the password that was printed.
    fs::rename(server.data_dir(), server.scratch("old")).unwrap();
    fs::rename(&into, server.data_dir()).unwrap();
    for user in &mut server.setup.users {
        let made = created
            .iter()
            .find(|it| it["name"] == user.name.as_str())
            .unwrap();
        user.password = made["password"].as_str().unwrap().to_owned();
    }
    server.restart();
    if let Some(listed) = common::imap::Mailbox::new(&server, "bob").list("Subject") {
        assert_eq!(listed.len(), 3);
    }
}

#[test]
fn what_belongs_to_nobody_here_is_left_out_and_named() {
    let mut server = Server::start();
    deliver(&server, &["alice", "bob"], 1);
    export(&server, "export", &[]);
    // Another installation, whose organization has the same alias and of whose users one is the same.
    let mut other = Server::start_with(&["--user", "alice:Tr0ub4dor&3"]);
    assert!(other.stop().success());
    let mut import = other.command("import");
    let output = import
        .arg(server.scratch("export"))
        .arg("--json")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let imported = json(&output);
    assert_eq!(imported["mailboxes"][0]["name"], "alice");
    assert_eq!(imported["mailboxes"].as_array().unwrap().len(), 1);
    assert_eq!(imported["left_out"][0]["what"], "bob");
    assert!(
        imported["left_out"][0]["why"]
            .as_str()
            .unwrap()
            .contains("--create-users")
    );
    assert!(server.stop().success());
}

#[test]
fn jobs_are_done_at_the_start_and_now_and_then_and_stop_with_the_server() {
    let args = ["--jobs-interval", "1", "--log", "wm_server=debug"];
    let mut server = Server::start_with(&args);
    deliver(&server, &["alice"], 1);
    assert!(server.stop().success());
    // Without its journal the store could not be rebuilt; cleaning up mends that.
    let journal = server.data_dir().join("store/journal");
    fs::remove_dir_all(&journal).unwrap();
    let rounds = |server: &Server| server.printed().matches("jobs done").count();
    let before = rounds(&server);
    server.restart();
    wait_until(|| rounds(&server) >= before + 2);
    let is_checkpoint = |file: &PathBuf| file.extension().is_some_and(|it| it == "wmc");
    assert!(files(&journal).iter().any(is_checkpoint));
    assert!(
        !server.printed().contains("a job failed"),
        "{}",
        server.printed()
    );
    assert!(server.stop().success());

    fs::remove_dir_all(server.data_dir().join("store/engine")).unwrap();
    let repaired = run(server.command("repair").arg("--json"));
    let repaired: Value = serde_json::from_str(&repaired).unwrap();
    assert_eq!(repaired["items"], 1);
}

fn wait_until(happened: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !happened() {
        assert!(Instant::now() < deadline, "it does not happen");
        sleep(Duration::from_millis(50));
    }
}

/// Sends `count` messages to each of the users.
fn deliver(server: &Server, users: &[&str], count: usize) {
    let mut smtp = Smtp::connect(server.endpoint("smtp")).unwrap();
    for number in 0..count {
        for user in users {
            let message = format!(
                "Message-ID: <{number}.{user}@example.com>\r\nSubject: message {number}\r\n\r\n{}",
                format!("{number} to {user}\r\n").repeat(300)
            );
            let to = server.user(user).address.clone();
            let reply = smtp.message("sender@example.com", &[&to], message.as_bytes());
            assert_eq!(reply.unwrap().code, 250);
        }
    }
}

fn exporting(server: &Server, into: &str, args: &[&str]) -> Command {
    let mut export = server.command("export");
    export.arg(server.scratch(into)).args(args).arg("--json");
    export
}

/// Exports, and answers the contents of all messages.
fn export(server: &Server, into: &str, args: &[&str]) -> BTreeSet<String> {
    let exported = run(&mut exporting(server, into, args));
    let exported: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(exported["damaged"], serde_json::json!([]));
    let contents = contents(&server.scratch(into));
    assert_eq!(exported["items"], contents.len());
    contents
}

/// The messages in the Maildirs below a directory.
fn contents(path: &Path) -> BTreeSet<String> {
    let mut contents = BTreeSet::new();
    for file in files(path) {
        if file.parent().unwrap().ends_with("cur") {
            contents.insert(fs::read_to_string(file).unwrap());
        }
    }
    contents
}

fn of_user(server: &Server, export: &str, user: &str) -> PathBuf {
    let organization = &server.setup.organization.id;
    server.scratch(export).join(organization).join(user)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(output)))
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.file_name().unwrap() != "control.sock" => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

fn largest(path: &Path) -> PathBuf {
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    files(path).into_iter().max_by_key(size).unwrap()
}

/// Overwrites parts of the engine's largest file, where it has something.
fn overwrite_pages(engine: &Path) {
    let file = largest(engine);
    let mut octets = fs::read(&file).unwrap();
    let used: Vec<_> = (0..octets.len() / 512)
        .filter(|page| {
            octets[page * 512..(page + 1) * 512]
                .iter()
                .any(|it| *it != 0)
        })
        .collect();
    // All but the beginning, by which the engine knows its file.
    for page in used.iter().skip(8).step_by(3) {
        octets[page * 512..page * 512 + 256].fill(0xa5);
    }
    fs::write(file, octets).unwrap();
}

/// All files of a directory but those below another.
#[derive(PartialEq, Debug)]
struct Snapshot(Vec<(PathBuf, usize, u64)>);

impl Snapshot {
    fn of(path: &Path, without: Option<&Path>) -> Self {
        let sum = |octets: &[u8]| {
            octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, octet| {
                (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
            })
        };
        let without = |file: &PathBuf| without.is_none_or(|path| !file.starts_with(path));
        let files = files(path).into_iter().filter(without).map(|file| {
            let octets = fs::read(&file).unwrap();
            (file, octets.len(), sum(&octets))
        });
        Self(files.collect())
    }
}
