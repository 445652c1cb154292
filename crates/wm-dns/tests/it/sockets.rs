//! Answers that are not to be trusted, over real sockets: what the system lets through, what is late,
//! forged, cut, too long or never ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use wm_core::traits::{Answer, IdSource, LookupError, RecordType, Resolver};
use wm_dns::resolver::{MAX_MESSAGE, PAYLOAD, Stub, StubOptions, TokioWire};

use crate::link::{Link, cut};
use crate::zone::Zone;

/// Ids that differ in every bit from one query to the next.
struct Alternating(std::sync::atomic::AtomicBool);

impl IdSource for Alternating {
    fn fresh(&self) -> u128 {
        let next = self.0.fetch_xor(true, std::sync::atomic::Ordering::Relaxed);
        if next {
            u128::MAX / 3
        } else {
            u128::MAX / 3 * 2
        }
    }
}

/// Sockets for both ways on one port of loopback.
async fn sockets() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let stream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = stream.local_addr().unwrap();
        if let Ok(datagrams) = UdpSocket::bind(address).await {
            return (datagrams, stream, address);
        }
    }
}

fn stub(server: SocketAddr, attempts: u32) -> Stub<TokioWire> {
    let options = StubOptions {
        // Long enough for what is to arrive; only what is never answered waits for its end.
        timeout: Duration::from_millis(1_500),
        attempts,
        ..StubOptions::new(vec![server])
    };
    Stub::new(TokioWire, Arc::new(Alternating(false.into())), options)
}

async fn lookup(server: SocketAddr, attempts: u32) -> Result<Answer, LookupError> {
    let name = "a.test".parse().unwrap();
    stub(server, attempts).lookup(&name, RecordType::Txt).await
}

/// The one text found.
fn text(found: &Result<Answer, LookupError>) -> String {
    match found {
        Ok(answer) => answer.texts().map(|text| text.text()).collect(),
        Err(error) => panic!("{error}"),
    }
}

/// The answer to a query, with this text.
fn answer(query: &[u8], text: &str) -> Vec<u8> {
    let zone = format!("$TTL 60\na.test. IN TXT \"{text}\"\n");
    answer_from(query, &zone)
}

fn answer_from(query: &[u8], zone: &str) -> Vec<u8> {
    let link = Link {
        zone: Zone::parse(zone, "a.test"),
        ..Link::default()
    };
    link.answer(query).1
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 2_000];
    let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
    buffer.truncate(length);
    (buffer, peer)
}

/// Answers one query with what `forge` makes of it, the right answer last.
fn answering(socket: UdpSocket, forge: fn(&[u8]) -> Vec<Vec<u8>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (query, peer) = receive(&socket).await;
        for forged in forge(&query) {
            socket.send_to(&forged, peer).await.unwrap();
        }
        let right = answer(&query, "right");
        socket.send_to(&right, peer).await.unwrap();
    })
}

#[tokio::test]
async fn forged_ids_questions_and_directions_are_passed_over() {
    let (datagrams, _stream, address) = sockets().await;
    let server = answering(datagrams, |query| {
        let forged = answer(query, "forged");
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut forged = forged.clone();
            change(&mut forged);
            forged
        };
        let question_end = 12 + "\x01a\x04test\0".len();
        vec![
            Vec::new(),
            vec![0],
            changed(&|it| it[0] ^= 0x80),
            changed(&|it| it[1] ^= 0x01),
            // A query instead of an answer; another operation.
            changed(&|it| it[2] &= 0x7f),
            changed(&|it| it[2] |= 0x28),
            // No question; another name, type, and spelling.
            changed(&|it| {
                it.truncate(12);
                it[4..].fill(0);
            }),
            changed(&|it| it[13] = b'b'),
            changed(&|it| it[question_end + 1] = 15),
            changed(&|it| it[13] ^= 0x20),
        ]
    });
    assert_eq!(text(&lookup(address, 1).await), "right");
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_from_another_port_does_not_arrive() {
    let (datagrams, _stream, address) = sockets().await;
    let server = tokio::spawn(async move {
        let (query, peer) = receive(&datagrams).await;
        // With the right id and question, but not from the server's port.
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let forged = answer(&query, "forged");
        stranger.send_to(&forged, peer).await.unwrap();
        let right = answer(&query, "right");
        datagrams.send_to(&right, peer).await.unwrap();
    });
    assert_eq!(text(&lookup(address, 1).await), "right");
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_comes_late_answers_nothing() {
    let (datagrams, _stream, address) = sockets().await;
    let server = tokio::spawn(async move {
        // The first question is answered only when the second has been asked, from another port and
        // with another id: to where it was asked, and to where it is waited for now.
        let (first, before) = receive(&datagrams).await;
        let (second, now) = receive(&datagrams).await;
        assert_ne!(before, now, "each question has a port of its own");
        assert_ne!(first[..2], second[..2], "and an id of its own");
        let late = answer(&first, "late");
        datagrams.send_to(&late, before).await.unwrap();
        datagrams.send_to(&late, now).await.unwrap();
        let right = answer(&second, "right");
        datagrams.send_to(&right, now).await.unwrap();
    });
    assert_eq!(text(&lookup(address, 2).await), "right");
    server.await.unwrap();
}

#[tokio::test]
async fn a_datagram_longer_than_was_allowed_is_no_answer() {
    let (datagrams, _stream, address) = sockets().await;
    let server = answering(datagrams, |query| {
        let long = format!("$TTL 60\n{}", flood(200));
        let long = answer_from(query, &long);
        assert!(long.len() > usize::from(PAYLOAD));
        let mut exactly_one_more = answer(query, "forged");
        exactly_one_more.resize(usize::from(PAYLOAD) + 1, 0);
        vec![long, exactly_one_more]
    });
    assert_eq!(text(&lookup(address, 1).await), "right");
    server.await.unwrap();
}

#[tokio::test]
async fn nobody_there_and_silence_are_told_apart() {
    let (datagrams, stream, address) = sockets().await;
    let found = lookup(address, 1).await;
    assert!(matches!(found, Err(LookupError::Timeout)), "{found:?}");
    drop((datagrams, stream));
    let found = lookup(address, 1).await;
    assert!(
        matches!(found, Err(LookupError::Unreachable(_))),
        "{found:?}"
    );
}

fn flood(count: usize) -> String {
    (0..count)
        .map(|i| format!("a.test. IN TXT \"{i}\"\n"))
        .collect()
}

/// Cuts every datagram, and does on each stream what `serve` does.
async fn cutting<F, S>(serve: F) -> (SocketAddr, JoinHandle<()>)
where
    F: Fn(TcpStream, Vec<u8>) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let (datagrams, listener, address) = sockets().await;
    let server = tokio::spawn(async move {
        // An answer that is of no use is asked for again, without EDNS.
        loop {
            let (query, peer) = receive(&datagrams).await;
            let short = cut(&answer(&query, "cut"));
            datagrams.send_to(&short, peer).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut query = vec![0; usize::from(length)];
            stream.read_exact(&mut query).await.unwrap();
            serve(stream, query).await;
        }
    });
    (address, server)
}

/// Ends a server; fails when it failed.
async fn end(server: JoinHandle<()>) {
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
}

async fn write(stream: &mut TcpStream, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap();
    stream.write_u16(length).await.unwrap();
    // In pieces, as streams come.
    for piece in message.chunks(1_000) {
        stream.write_all(piece).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_cut_comes_over_a_stream_as_far_as_it_fits() {
    let (address, server) = cutting(|mut stream, query| async move {
        let whole = answer_from(&query, &format!("$TTL 60\n{}", flood(2_000)));
        write(&mut stream, &whole).await;
    })
    .await;
    assert_eq!(lookup(address, 1).await.unwrap().records().len(), 2_000);
    end(server).await;

    // 10,000 texts do not fit in a message: what is missing could be what is looked for.
    let (address, server) = cutting(|mut stream, query| async move {
        let part = answer_from(&query, &format!("$TTL 60\n{}", flood(10_000)));
        assert!(part.len() <= MAX_MESSAGE && Message::from_vec(&part).unwrap().truncation);
        write(&mut stream, &part).await;
    })
    .await;
    let found = lookup(address, 1).await;
    assert!(matches!(found, Err(LookupError::Malformed(_))), "{found:?}");
    end(server).await;
}

#[tokio::test]
async fn a_stream_with_another_answer_is_not_believed() {
    for change in [
        (|it: &mut Vec<u8>| it[0] ^= 1) as fn(&mut Vec<u8>),
        |it| it[13] = b'b',
        |it| it[2] &= 0x7f,
        |it| it.truncate(20),
        |it| it.clear(),
        // The owner of the answer points to itself.
        |it| {
            let at = 12 + "\x01a\x04test\0".len() + 4;
            it[at..at + 2].copy_from_slice(&[0xc0, u8::try_from(at).unwrap()]);
        },
    ] {
        let (address, server) = cutting(move |mut stream, query| async move {
            let mut forged = answer(&query, "forged");
            change(&mut forged);
            write(&mut stream, &forged).await;
        })
        .await;
        let found = lookup(address, 1).await;
        assert!(matches!(found, Err(LookupError::Malformed(_))), "{found:?}");
        end(server).await;
    }
}

#[tokio::test]
async fn a_stream_that_ends_early_or_never_is_an_outcome() {
    let (address, server) = cutting(|mut stream, _| async move {
        stream.write_u16(u16::MAX).await.unwrap();
        stream.write_all(&[0; 100]).await.unwrap();
    })
    .await;
    let found = lookup(address, 1).await;
    assert!(
        matches!(found, Err(LookupError::Unreachable(_))),
        "{found:?}"
    );
    end(server).await;

    let (address, server) = cutting(|mut stream, _| async move {
        stream.write_u16(u16::MAX).await.unwrap();
        stream.write_all(&[0; 100]).await.unwrap();
        // Until the other side gives up.
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or_default(), 0);
    })
    .await;
    let found = lookup(address, 1).await;
    assert!(matches!(found, Err(LookupError::Timeout)), "{found:?}");
    end(server).await;
}

#[tokio::test]
async fn a_server_that_leads_round_in_circles_is_left() {
    let (datagrams, _stream, address) = sockets().await;
    let server = tokio::spawn(async move {
        // Each answer names another alias, for ever.
        for number in 0.. {
            let (query, peer) = receive(&datagrams).await;
            let name = Message::from_vec(&query).unwrap().queries[0].name().clone();
            let zone = format!("$TTL 60\n{name} IN CNAME next{number}.test.\n");
            let mut answer = Message::from_vec(&answer_from(&query, &zone)).unwrap();
            // It does not say what becomes of the alias, which is in another zone.
            answer.authorities.clear();
            answer.metadata.response_code = ResponseCode::NoError;
            let answer = answer.to_vec().unwrap();
            datagrams.send_to(&answer, peer).await.unwrap();
        }
    });
    let found = lookup(address, 1).await;
    assert!(matches!(found, Err(LookupError::Aliases(_))), "{found:?}");
    end(server).await;
}
