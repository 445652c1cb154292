//! Serving a [`Connection`] over any stream of tokio's (feature `tokio`).

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::flow::{Action, Connection, Note};

/// How long a client may leave a reply unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Octets read at once: commands, and messages. A connection holds this much of what it receives.
const COMMAND_BUFFER: usize = 4 * 1024;
const BODY_BUFFER: usize = 64 * 1024;

/// Serves a connection to its end.
///
/// `starttls` makes the handshake of STARTTLS; it is called at most once, and never for a connection
/// that has TLS from the start. `shutdown` completes when the server stops: the client is told with
/// 421 between two commands, or behind the message it is sending. `note` hears what happens.
///
/// ```no_run
/// # use std::{io, sync::Arc, time::Instant};
/// # use tokio::net::{TcpListener, TcpStream};
/// use wm_smtp::driver::serve;
/// use wm_smtp::flow::{Connection, MailFlow};
/// use wm_smtp::server::Config;
///
/// async fn accept(
///     listener: TcpListener,
///     flow: Arc<MailFlow>,
///     config: Arc<Config>,
///     handshake: impl AsyncFnOnce(TcpStream) -> io::Result<TcpStream>,
///     shutdown: impl Future<Output = ()>,
/// ) -> io::Result<()> {
///     let (stream, peer) = listener.accept().await?;
///     let connection = Connection::new(flow, config, peer.ip(), false, Instant::now());
///     let note = |note| println!("{peer}: {note:?}");
///     serve(stream, connection, handshake, shutdown, note).await
/// }
/// ```
///
/// # Errors
/// When the stream fails, the handshake fails, or the client does not read. What was not accepted by
/// then is gone, and the client knows that it was not accepted.
pub async fn serve<S, T>(
    mut stream: S,
    mut connection: Connection,
    starttls: impl AsyncFnOnce(S) -> io::Result<T>,
    shutdown: impl Future<Output = ()>,
    mut note: impl FnMut(Note),
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut shutdown = Shutdown {
        signal: pin!(shutdown),
        heard: false,
    };
    match converse(&mut stream, &mut connection, &mut shutdown, &mut note).await? {
        Ended::Closed => Ok(()),
        Ended::StartTls => {
            let deadline = connection
                .deadline()
                .map_or_else(Instant::now, Instant::from_std);
            let mut stream = timeout_at(deadline, starttls(stream)).await??;
            connection.tls_established();
            converse(&mut stream, &mut connection, &mut shutdown, &mut note)
                .await
                .map(drop)
        }
    }
}

enum Ended {
    Closed,
    StartTls,
}

struct Shutdown<'a, F> {
    signal: Pin<&'a mut F>,
    heard: bool,
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    connection: &mut Connection,
    shutdown: &mut Shutdown<'_, impl Future<Output = ()>>,
    note: &mut impl FnMut(Note),
) -> io::Result<Ended> {
    let mut buffer = BytesMut::new();
    loop {
        match connection.next(Instant::now().into_std()).await {
            Some(Action::Send(reply)) => {
                let sent = async {
                    stream.write_all(&reply).await?;
                    stream.flush().await
                };
                timeout(WRITE_TIMEOUT, sent).await??;
            }
            Some(Action::Note(happened)) => note(happened),
            Some(Action::StartTls) => return Ok(Ended::StartTls),
            Some(Action::Close) => {
                // The client may have gone first.
                drop(timeout(WRITE_TIMEOUT, stream.shutdown()).await);
                return Ok(Ended::Closed);
            }
            None => {
                if buffer.capacity() < COMMAND_BUFFER {
                    buffer.reserve(if connection.in_body() {
                        BODY_BUFFER
                    } else {
                        COMMAND_BUFFER
                    });
                }
                let deadline = connection
                    .deadline()
                    .map_or_else(Instant::now, Instant::from_std);
                tokio::select! {
                    biased;
                    () = shutdown.signal.as_mut(), if !shutdown.heard => {
                        shutdown.heard = true;
                        connection.shut_down();
                    }
                    read = timeout_at(deadline, stream.read_buf(&mut buffer)) => match read {
                        Ok(Ok(0)) => connection.receive_end(),
                        Ok(Ok(_)) => connection.receive(buffer.split().freeze()),
                        Ok(Err(error)) => return Err(error),
                        // The deadline: the connection knows.
                        Err(_) => {}
                    },
                }
            }
        }
    }
}
