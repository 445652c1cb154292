//! What the structure, the summary and the decoded text of hostile messages cost: `cargo run --release -p wm-core --features content
//! --example structure_cost`.
//!
//! Each shape is measured at a quarter, a half and the whole of the largest message (25 MiB): where the time doubles with
//! the size, it is linear.

use std::hint::black_box;
use std::time::Instant;

use wm_core::Limits;
use wm_core::content::{Scanner, conversation, decode_text};

fn main() {
    let whole = Limits::default().message_size as usize;
    println!(
        "{:<44}{:>10}{:>10}{:>10}",
        "milliseconds for MiB",
        whole >> 22,
        whole >> 21,
        whole >> 20
    );
    for (name, prefix, repeated, suffix) in shapes() {
        print!("{name:<44}");
        for size in [whole / 4, whole / 2, whole] {
            let room = size.saturating_sub(prefix.len() + suffix.len());
            let times = room / repeated.len();
            let message = [
                prefix.as_bytes(),
                repeated.repeat(times).as_bytes(),
                suffix.as_bytes(),
            ]
            .concat();
            print!("{:>10.1}", cost(&message));
        }
        println!();
    }
}

/// Milliseconds for one message that arrives in pieces of 64 KiB.
fn cost(message: &[u8]) -> f64 {
    let begun = Instant::now();
    let mut scanner = Scanner::new();
    message
        .chunks(64 * 1024)
        .for_each(|piece| scanner.feed(piece));
    let structure = scanner.finish();
    let root = structure.root();
    let body = message
        .get(root.body().start as usize..)
        .unwrap_or_default();
    black_box(structure.summary());
    black_box(conversation(root.head()));
    black_box(decode_text(root.head(), body));
    begun.elapsed().as_secs_f64() * 1000.0
}

/// Name, beginning, what is repeated, end.
fn shapes() -> Vec<(&'static str, String, String, String)> {
    let shape = |name, prefix: &str, repeated: &str| {
        (name, prefix.to_owned(), repeated.to_owned(), String::new())
    };
    let multipart =
        |boundary: &str| format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n");
    let stem = "x".repeat(200);
    let nest = |boundary: &dyn Fn(usize) -> String| -> String {
        (0..64)
            .map(|n| format!("{}--{}\r\n", multipart(&boundary(n)), boundary(n)))
            .collect()
    };
    let deep = nest(&|n| format!("{stem}{n}"));
    vec![
        shape(
            "text in short lines",
            "Subject: x\r\n\r\n",
            "0123456789\r\n",
        ),
        shape("empty lines", "Subject: x\r\n\r\n", "\r\n"),
        shape("bare line feeds", "\n", "\n"),
        shape("one line", "Subject: x\r\n\r\n", "0123456789"),
        shape("a million parts", &multipart("b"), "--b\r\n\r\n"),
        shape(
            "a million parts with fields",
            &multipart("b"),
            "--b\r\nContent-Type: text/html; charset=x\r\n\r\ny\r\n",
        ),
        shape(
            "nested messages",
            "",
            "Content-Type: message/rfc822\r\n\r\n",
        ),
        shape(
            "nested multiparts",
            "",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n",
        ),
        shape(
            "64 boundaries, lines that are almost one",
            &deep,
            &format!("--{stem}\r\n"),
        ),
        shape("64 boundaries, dashes", &deep, "--\r\n"),
        shape("one header field, one line", "", "Subject: x "),
        shape("one header field, folded", "Subject: x\r\n", " y\r\n"),
        shape("many header fields", "", "A: 1\r\n"),
        shape("lines that are no fields", "", "no field\r\n"),
        shape(
            "Received fields",
            "",
            "Received: from a by b; Sat, 1 Jan 2000 00:00:00 +0000\r\n",
        ),
        shape(
            "subject of encoded words",
            "Subject:",
            " =?utf-8?q?=C3=A4?=\r\n",
        ),
        shape("subject of broken encoded words", "Subject:", " =?utf-8?b?"),
        shape("subject of broken encoded words, short", "Subject: ", "=?"),
        shape(
            "subject of broken encoded words, folded",
            "Subject:",
            " =?utf-8?q?x\r\n",
        ),
        shape("open comments in To", "To: ", "("),
        shape("open angles in To", "To: ", "<"),
        shape("open quotes in To", "To: ", "\""),
        shape("commas in To", "To: ", ","),
        shape("groups in To", "To: ", "a:;"),
        shape("recipients", "To: a@b", ", a@b"),
        shape(
            "names of encoded words in To",
            "To: a@b",
            ", =?utf-8?q?x?= <a@b>",
        ),
        shape("references", "References:", " <a@b>\r\n"),
        shape("open references", "References: ", "<"),
        shape("dates", "Date: ", "Sat, 1 Jan 2000 "),
        shape("parameters", "Content-Type: text/plain", "; a=b"),
        shape(
            "parameters without semicolons",
            "Content-Type: text/plain ",
            "a=b ",
        ),
        shape(
            "parameters without names",
            "Content-Type: text/plain ",
            "=b ",
        ),
        shape(
            "continued parameters",
            "Content-Type: multipart/mixed",
            "; boundary*1=b",
        ),
        shape(
            "comments in Content-Type",
            "Content-Type: text/plain ",
            "(x)",
        ),
        shape(
            "open comments in Content-Type",
            "Content-Type: text/plain; a=b ",
            "(x) y ",
        ),
        shape(
            "escapes in a boundary",
            "Content-Type: multipart/mixed; boundary=\"",
            "\\\\",
        ),
        shape("open tags of HTML", "Content-Type: text/html\r\n\r\n", "<"),
        shape("entities of HTML", "Content-Type: text/html\r\n\r\n", "&"),
        shape(
            "broken base64",
            "Content-Transfer-Encoding: base64\r\n\r\n",
            "=\r\n",
        ),
        shape(
            "broken quoted-printable",
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
            "=",
        ),
    ]
}
