//! A session over streams of tokio's, in simulated time.

use std::future::{Future, pending};
use std::io;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wm_core::Timestamp;
use wm_core::model::FolderRole;
use wm_imap::driver::serve;

use crate::MESSAGE;
use crate::house::{House, NOW, PASSWORD};

/// Serves one client, who gets the other end of the stream.
fn serve_one(
    house: &House,
    tls: bool,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> (BufReader<DuplexStream>, JoinHandle<io::Result<()>>) {
    let (client, server) = duplex(8192);
    let session = house.session(tls);
    let started = Instant::now();
    let clock = move || -> Timestamp { NOW.plus(started.elapsed()) };
    // What stands for TLS changes every octet.
    let starttls = |stream: DuplexStream| async move {
        let (plain, secret) = duplex(8192);
        tokio::spawn(scramble(stream, secret));
        Ok(plain)
    };
    let served =
        tokio::spawn(
            async move { serve(server, session, &clock, starttls, shutdown, |_| {}).await },
        );
    (BufReader::new(client), served)
}

async fn scramble(outside: DuplexStream, inside: DuplexStream) {
    use tokio::io::{AsyncReadExt, split};
    let (mut outside_in, mut outside_out) = split(outside);
    let (mut inside_in, mut inside_out) = split(inside);
    let inwards = async {
        while let Ok(octet) = outside_in.read_u8().await {
            inside_out.write_u8(octet ^ 0x80).await.unwrap();
        }
    };
    let outwards = async {
        while let Ok(octet) = inside_in.read_u8().await {
            outside_out.write_u8(octet ^ 0x80).await.unwrap();
        }
    };
    tokio::join!(inwards, outwards);
}

async fn line(client: &mut BufReader<DuplexStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).await.unwrap();
    line
}

/// Gives a command and reads to its tagged response, which is answered.
async fn say(client: &mut BufReader<DuplexStream>, command: &str) -> String {
    client
        .write_all(format!("t {command}\r\n").as_bytes())
        .await
        .unwrap();
    loop {
        let line = line(client).await;
        if line.is_empty() || line.starts_with("t ") {
            return line;
        }
    }
}

#[tokio::test]
async fn a_pipelining_client_is_served_to_its_end() {
    let house = House::new();
    house.deliver(FolderRole::Inbox, "", MESSAGE.as_bytes());
    let (mut client, served) = serve_one(&house, true, pending());
    assert!(line(&mut client).await.starts_with("* OK "));
    let commands =
        format!("a LOGIN alice \"{PASSWORD}\"\r\nb SELECT INBOX\r\nc FETCH 1 UID\r\nd LOGOUT\r\n");
    client.write_all(commands.as_bytes()).await.unwrap();
    let mut tagged = Vec::new();
    loop {
        match line(&mut client).await {
            end if end.is_empty() => break,
            untagged if untagged.starts_with("* ") => {}
            line => tagged.push(line[..4].to_owned()),
        }
    }
    assert_eq!(tagged, ["a OK", "b OK", "c OK", "d OK"]);
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn starttls_goes_on_over_the_new_stream() {
    let house = House::new();
    let (mut client, served) = serve_one(&house, false, pending());
    line(&mut client).await;
    assert!(say(&mut client, "STARTTLS").await.starts_with("t OK "));
    let (plain, secret) = duplex(8192);
    tokio::spawn(scramble(client.into_inner(), secret));
    let mut client = BufReader::new(plain);
    let login = format!("LOGIN alice \"{PASSWORD}\"");
    assert!(say(&mut client, &login).await.starts_with("t OK "));
    assert!(say(&mut client, "LOGOUT").await.starts_with("t OK "));
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn news_reach_an_idle_client_by_themselves() {
    let house = House::new();
    let (mut client, _served) = serve_one(&house, true, pending());
    line(&mut client).await;
    say(&mut client, &format!("LOGIN alice \"{PASSWORD}\"")).await;
    say(&mut client, "SELECT INBOX").await;
    client.write_all(b"t IDLE\r\n").await.unwrap();
    assert_eq!(line(&mut client).await, "+ idling\r\n");
    house.deliver(FolderRole::Inbox, "", MESSAGE.as_bytes());
    assert_eq!(line(&mut client).await, "* 1 EXISTS\r\n");
    client.write_all(b"DONE\r\n").await.unwrap();
    assert_eq!(line(&mut client).await, "t OK IDLE completed\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_sent_away() {
    let house = House::new();
    let begun = Instant::now();
    let (mut client, served) = serve_one(&house, true, pending());
    line(&mut client).await;
    assert_eq!(line(&mut client).await, "* BYE Silent for too long\r\n");
    assert_eq!(begun.elapsed().as_secs(), 180);
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_left() {
    let house = House::new();
    let (client, served) = serve_one(&house, true, pending());
    let mut client = client.into_inner();
    // More answers than the stream holds, none of them read.
    let commands = "t CAPABILITY\r\n".repeat(100);
    client.write_all(commands.as_bytes()).await.unwrap();
    let error = served.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_client_is_told_when_the_server_stops() {
    let house = House::new();
    let (stop, stopped) = oneshot::channel::<()>();
    let (mut client, served) = serve_one(&house, true, async { drop(stopped.await) });
    line(&mut client).await;
    stop.send(()).unwrap();
    assert_eq!(line(&mut client).await, "* BYE Shutting down\r\n");
    assert_eq!(line(&mut client).await, "", "closed");
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_goes_without_a_word_is_no_error() {
    let house = House::new();
    let (mut client, served) = serve_one(&house, true, pending());
    line(&mut client).await;
    drop(client);
    served.await.unwrap().unwrap();
}
