//! A connection over streams of tokio's, in simulated time.

use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use wm_smtp::driver::serve;
use wm_smtp::server::Role;

use crate::fakes::{Accepting, People};
use crate::{MESSAGE, connection};

/// Serves one client, who gets the other end of the stream.
fn serve_one(
    spool: &Arc<Accepting>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> (BufReader<DuplexStream>, JoinHandle<io::Result<()>>) {
    let (client, server) = duplex(8192);
    let connection = connection(Role::Mx, People::new(), spool, false);
    // What stands for TLS changes every octet.
    let starttls = |stream: DuplexStream| async move {
        let (plain, secret) = duplex(8192);
        tokio::spawn(async move { scramble(stream, secret).await });
        Ok(plain)
    };
    let served = tokio::spawn(serve(server, connection, starttls, shutdown, |_| {}));
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

async fn reply(client: &mut BufReader<DuplexStream>) -> String {
    loop {
        let mut line = String::new();
        client.read_line(&mut line).await.unwrap();
        if line.as_bytes().get(3) != Some(&b'-') {
            return line.trim_end().to_owned();
        }
    }
}

async fn say(client: &mut BufReader<DuplexStream>, text: &str) -> String {
    client.write_all(text.as_bytes()).await.unwrap();
    reply(client).await
}

const ENVELOPE: &str =
    "EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<alice@demo.example>\r\nDATA\r\n";

#[tokio::test(start_paused = true)]
async fn a_pipelining_client_is_served_to_its_end() {
    let spool = Arc::default();
    let (mut client, served) = serve_one(&spool, pending());
    assert!(reply(&mut client).await.starts_with("220"));
    client
        .write_all(format!("{ENVELOPE}{MESSAGE}.\r\nQUIT\r\n").as_bytes())
        .await
        .unwrap();
    let mut codes = Vec::new();
    for _ in 0..6 {
        codes.push(reply(&mut client).await[..3].to_owned());
    }
    assert_eq!(codes, ["250", "250", "250", "354", "250", "221"]);
    served.await.unwrap().unwrap();
    assert!(spool.delivered()[0].2.ends_with(MESSAGE));
    assert_eq!(reply(&mut client).await, "", "closed");
}

#[tokio::test(start_paused = true)]
async fn starttls_goes_on_over_the_new_stream() {
    let spool = Arc::default();
    let (mut client, served) = serve_one(&spool, pending());
    reply(&mut client).await;
    assert!(
        say(&mut client, "STARTTLS\r\nNOOP\r\n")
            .await
            .starts_with("220 2.0.0")
    );

    let (here, there) = duplex(8192);
    tokio::spawn(scramble(client.into_inner(), there));
    let mut client = BufReader::new(here);
    assert!(
        say(&mut client, "EHLO client.example\r\n")
            .await
            .starts_with("250 SMTPUTF8")
    );
    assert!(
        say(&mut client, "STARTTLS\r\n")
            .await
            .starts_with("503 5.5.1")
    );
    assert!(say(&mut client, "QUIT\r\n").await.starts_with("221"));
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_left_after_five_minutes() {
    let begun = Instant::now();
    let (mut client, served) = serve_one(&Arc::default(), pending());
    reply(&mut client).await;
    assert!(reply(&mut client).await.starts_with("421 4.4.2"));
    served.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_left() {
    let (mut client, served) = serve_one(&Arc::default(), pending());
    let asking = "HELP\r\n".repeat(5000);
    drop(timeout(Duration::from_secs(1), client.write_all(asking.as_bytes())).await);
    let error = served.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_slowed_down_to_the_speed_of_storage() {
    let spool = Arc::new(Accepting {
        stalled: true,
        ..Accepting::default()
    });
    let (mut client, served) = serve_one(&spool, pending());
    client.write_all(ENVELOPE.as_bytes()).await.unwrap();
    let mut sent = 0;
    while let Ok(Ok(())) = timeout(Duration::from_secs(1), client.write_all(&[b'x'; 1024])).await {
        sent += 1024;
    }
    assert!(sent <= 8192 + 64 * 1024, "{sent}");
    served.abort();
}

#[tokio::test(start_paused = true)]
async fn a_message_being_sent_survives_the_shutdown() {
    let spool = Arc::default();
    let (stop, stopped) = oneshot::channel();
    let (mut client, served) = serve_one(&spool, async { stopped.await.unwrap() });
    reply(&mut client).await;
    client.write_all(ENVELOPE.as_bytes()).await.unwrap();
    for _ in 0..4 {
        reply(&mut client).await;
    }
    stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        say(&mut client, &format!("{MESSAGE}.\r\n"))
            .await
            .starts_with("250 2.0.0")
    );
    assert!(reply(&mut client).await.starts_with("421 4.3.2"));
    served.await.unwrap().unwrap();
    assert_eq!(spool.delivered().len(), 1);
}
