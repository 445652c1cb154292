//! Properties of the session that hold for every input.

use proptest::prelude::*;
use wm_smtp::server::{Config, Role};

use crate::support::{Peer, config};

/// Lines a client might send, and a few it should not.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        &b"EHLO client.example\r\n"[..],
        b"HELO client.example\r\n",
        b"MAIL FROM:<a@example.com>\r\n",
        b"MAIL FROM:<> SIZE=5000\r\n",
        b"RCPT TO:<b@example.org>\r\n",
        b"RCPT TO:<unknown@example.org>\r\n",
        b"DATA\r\n",
        b"hello\r\n",
        b"..\r\n",
        b".\r\n",
        b"\r\n",
        b"BDAT 7\r\n",
        b"BDAT 3 LAST\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"AUTH LOGIN\r\n",
        b"YWxpY2U=\r\n",
        b"c2VjcmV0\r\n",
        b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n",
        b"*\r\n",
        b"QUIT\r\n",
        b"\n.\r\n",
        b"\r",
    ]);
    let fixed = fixed.prop_map(<[u8]>::to_vec);
    let text = (0..700usize).prop_map(|len| [vec![b'x'; len], b"\r\n".to_vec()].concat());
    let noise = prop::collection::vec(any::<u8>(), 0..30);
    prop_oneof![20 => fixed, 1 => text, 1 => noise]
}

fn settings() -> impl Strategy<Value = (Config, bool)> {
    (any::<bool>(), any::<bool>()).prop_map(|(mx, tls)| {
        let role = if mx { Role::Mx } else { Role::Submission };
        (
            Config {
                errors: 1000,
                ..config(role)
            },
            tls,
        )
    })
}

/// Everything a conversation came to.
fn outcome(mut peer: Peer, replies: String) -> (String, Vec<String>, Vec<Vec<u8>>, bool) {
    peer.session.receive_end();
    let rest = peer.listen();
    (replies + &rest, peer.seen, peer.messages, peer.closed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_conversation_is_the_same_in_whatever_pieces_it_arrives(
        (config, tls) in settings(),
        lines in prop::collection::vec(line(), 0..25),
        mut at in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let stream = lines.concat();
        let mut whole = Peer::new(config.clone(), tls);
        let replies = whole.say(&stream);

        let mut ends: Vec<usize> = at.drain(..).map(|at| at.index(stream.len() + 1)).collect();
        ends.extend([0, stream.len()]);
        ends.sort_unstable();
        let mut pieces = Peer::new(config, tls);
        let mut heard = String::new();
        for piece in ends.windows(2) {
            heard += &pieces.say(&stream[piece[0]..piece[1]]);
        }
        prop_assert_eq!(outcome(whole, replies), outcome(pieces, heard));
    }

    /// PIPELINING (RFC 2920): all at once, or each line after the reply to the one before.
    #[test]
    fn a_pipelined_conversation_is_the_one_step_by_step(
        (config, tls) in settings(),
        lines in prop::collection::vec(line(), 0..25),
    ) {
        let mut at_once = Peer::new(config.clone(), tls);
        let replies = at_once.say(&lines.concat());
        let mut stepwise = Peer::new(config, tls);
        let mut heard = stepwise.listen();
        for line in lines {
            heard += &stepwise.say(&line);
        }
        prop_assert_eq!(outcome(at_once, replies), outcome(stepwise, heard));
    }
}
