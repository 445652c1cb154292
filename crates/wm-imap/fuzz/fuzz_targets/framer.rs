//! Frames come to the same whatever pieces the input arrives in, none is longer than it may be, and every command
//! parses or is refused. The first octet chooses what is accepted, the second the size of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wm_imap::codec::{Frame, Framer, Request};

/// More than the framer keeps of a command that it passes over.
const MAX_COMMAND: usize = 300;

fuzz_target!(|input: &[u8]| {
    let [settings, size, stream @ ..] = input else {
        return;
    };
    let whole = frames(*settings, [stream]);
    let pieces = stream.chunks(usize::from(*size) + 1);
    assert_eq!(whole, frames(*settings, pieces));
});

fn frames<'a>(settings: u8, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut framer = Framer::new(MAX_COMMAND);
    let mut seen: Vec<String> = Vec::new();
    let (mut message, mut announced) = (Vec::new(), 0);
    for mut piece in pieces {
        while let Some(frame) = framer.next(&mut piece) {
            match frame {
                Frame::Command(command) => {
                    assert!(command.len() <= MAX_COMMAND);
                    let request = Request::parse(&command);
                    seen.push(format!("{} {request:?}", command.escape_ascii()));
                    if command.ends_with(b"IDLE\r\n") {
                        framer.expect_line();
                    }
                }
                Frame::Append { command, size, .. } => {
                    assert!(command.len() <= MAX_COMMAND + b"{0}\r\n\r\n".len());
                    Request::parse(&command).expect("checked before it was reported");
                    seen.push(format!("append {} {size}", command.escape_ascii()));
                    announced = size;
                    match settings & 1 {
                        0 => framer.accept(),
                        _ => framer.refuse(),
                    }
                }
                Frame::Piece(octets) => message.extend_from_slice(octets),
                Frame::AppendEnd { well_formed } => {
                    assert_eq!(message.len() as u64, announced);
                    seen.push(format!("{} {well_formed}", message.escape_ascii()));
                    message.clear();
                }
                Frame::Line(line) => {
                    assert!(line.len() <= MAX_COMMAND);
                    seen.push(format!("line {}", line.escape_ascii()));
                }
                Frame::Oversized { beginning } => {
                    assert!(beginning.len() <= MAX_COMMAND);
                    seen.push(format!("oversized {}", beginning.escape_ascii()));
                }
                Frame::Continue => seen.push("continue".into()),
                other => panic!("{other:?}"),
            }
        }
        assert!(piece.is_empty(), "the framer wants more, but left some");
    }
    seen
}
