//! A session comes to the same whatever pieces its input arrives in, and never lets replies pile up.
//! The first octet chooses the settings, the second the size of the pieces.
#![no_main]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use wm_core::Limits;
use wm_smtp::codec::{BareNewline, EnhancedCode, Reply, ReplyCode};
use wm_smtp::server::{Config, Event, Role, Session};

fuzz_target!(|input: &[u8]| {
    let [settings, size, stream @ ..] = input else { return };
    // What is behind STARTTLS is discarded with the piece it came in.
    if !stream.to_ascii_uppercase().windows(8).any(|window| window == b"STARTTLS") {
        let pieces = stream.chunks(usize::from(*size) + 1);
        assert_eq!(converse(*settings, [stream]), converse(*settings, pieces));
    }
    converse(*settings, [stream]);
});

fn converse<'a>(settings: u8, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<String>) {
    let now = Instant::now();
    let limits = Limits { message_size: 200, recipients_per_message: 3, ..Limits::default() };
    let role = if settings & 1 == 0 { Role::Mx } else { Role::Submission };
    let config = Config {
        bare_newline: match settings & 2 {
            0 => BareNewline::Reject,
            _ => BareNewline::Normalize,
        },
        cleartext_auth: settings & 4 != 0,
        command_line: 64,
        auth_line: 128,
        ..Config::new("mx.example.org".parse().expect("a name"), role, &limits)
    };
    let mut session = Session::new(Arc::new(config), false, now);
    let (mut sent, mut seen, mut message) = (Vec::new(), Vec::new(), Vec::new());
    let mut listen = |session: &mut Session| {
        while let Some(event) = session.poll(now) {
            match event {
                Event::Send(reply) => {
                    assert!(reply.len() < 8192);
                    sent.extend_from_slice(&reply);
                }
                Event::Body(octets) => {
                    message.extend_from_slice(&octets);
                    assert!(message.len() <= 200);
                }
                Event::EndOfData => {
                    seen.push(format!("message {}", message.escape_ascii()));
                    message.clear();
                    session.accept();
                }
                Event::Reset => {
                    seen.push("reset".into());
                    message.clear();
                }
                Event::StartTls => session.tls_established(),
                Event::Close => seen.push("close".into()),
                Event::Recipient(rcpt) if rcpt.to_string().contains('x') => session.refuse(
                    Reply::new(ReplyCode::MAILBOX_UNAVAILABLE, EnhancedCode::new(1, 1), "no"),
                ),
                question => {
                    seen.push(format!("{question:?}"));
                    session.accept();
                }
            }
        }
    };
    listen(&mut session);
    for piece in pieces {
        session.receive(Bytes::copy_from_slice(piece));
        listen(&mut session);
    }
    session.receive_end();
    listen(&mut session);
    (sent, seen)
}
