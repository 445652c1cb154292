//! Serving a [`Session`] over any stream of tokio's (feature `tokio`).

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use wm_core::traits::Clock;

use crate::session::{Event, Note, Session};

/// How long a client may leave a piece of a response unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Octets read at once: commands, and messages. A connection holds this much of what it receives.
const COMMAND_BUFFER: usize = 4 * 1024;
const BODY_BUFFER: usize = 64 * 1024;

/// Serves a session to its end.
///
/// `starttls` makes the handshake of STARTTLS; it is called at most once, and never for a session that has TLS from
/// the start. `shutdown` completes when the server stops: the client is sent away with BYE when what it has asked
/// for has been answered; a message that it is sending is not waited for. `note` hears what happens.
///
/// Nothing is read from the client while it does not take what it has asked for, and no more is read from the store
/// than it takes.
///
/// ```no_run
/// # use std::{io, sync::Arc};
/// # use tokio::net::{TcpListener, TcpStream};
/// # use wm_core::traits::Clock;
/// use wm_imap::driver::serve;
/// use wm_imap::session::{Config, Services, Session};
///
/// async fn accept(
///     listener: TcpListener,
///     services: Services,
///     config: Arc<Config>,
///     clock: Arc<dyn Clock>,
///     handshake: impl AsyncFnOnce(TcpStream) -> io::Result<TcpStream>,
///     shutdown: impl Future<Output = ()>,
/// ) -> io::Result<()> {
///     let (stream, peer) = listener.accept().await?;
///     let session = Session::new(config, services, peer.to_string(), false, clock.now());
///     let note = |note| println!("{peer}: {note:?}");
///     serve(stream, session, &*clock, handshake, shutdown, note).await
/// }
/// ```
///
/// # Errors
/// When the stream fails, the handshake fails, or the client does not read. What was not answered by then may or
/// may not have been done; a message that was not wholly received is gone.
pub async fn serve<S, T>(
    mut stream: S,
    mut session: Session,
    clock: &(impl Clock + ?Sized),
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
    match converse(&mut stream, &mut session, clock, &mut shutdown, &mut note).await? {
        Ended::Closed => Ok(()),
        Ended::StartTls => {
            let deadline = deadline(&session, clock);
            let mut stream = timeout_at(deadline, starttls(stream)).await??;
            session.tls_established();
            converse(&mut stream, &mut session, clock, &mut shutdown, &mut note)
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
    session: &mut Session,
    clock: &(impl Clock + ?Sized),
    shutdown: &mut Shutdown<'_, impl Future<Output = ()>>,
    note: &mut impl FnMut(Note),
) -> io::Result<Ended> {
    let mut buffer = BytesMut::new();
    loop {
        match session.poll(clock.now()).await {
            Some(Event::Send(octets)) => {
                let sent = async {
                    stream.write_all(&octets).await?;
                    stream.flush().await
                };
                timeout(WRITE_TIMEOUT, sent).await??;
            }
            Some(Event::Note(happened)) => note(happened),
            Some(Event::StartTls) => return Ok(Ended::StartTls),
            Some(Event::Close) => {
                // The client may have gone first.
                drop(timeout(WRITE_TIMEOUT, stream.shutdown()).await);
                return Ok(Ended::Closed);
            }
            None => {
                if buffer.capacity() < COMMAND_BUFFER {
                    buffer.reserve(match session.in_message() {
                        true => BODY_BUFFER,
                        false => COMMAND_BUFFER,
                    });
                }
                let deadline = deadline(session, clock);
                tokio::select! {
                    biased;
                    () = shutdown.signal.as_mut(), if !shutdown.heard => {
                        shutdown.heard = true;
                        session.shut_down();
                    }
                    read = timeout_at(deadline, stream.read_buf(&mut buffer)) => match read {
                        // A client that has gone without LOGOUT.
                        Ok(Ok(0)) => return Ok(Ended::Closed),
                        Ok(Ok(_)) => session.receive(buffer.split().freeze()),
                        Ok(Err(error)) => return Err(error),
                        // The deadline: the session knows.
                        Err(_) => {}
                    },
                    () = session.changed() => {}
                }
            }
        }
    }
}

fn deadline(session: &Session, clock: &(impl Clock + ?Sized)) -> Instant {
    let now = Instant::now();
    let left = session.deadline().since(clock.now());
    // At least a moment later, so that a clock that is set back does not keep the loop busy.
    now.checked_add(left.max(Duration::from_millis(1)))
        .unwrap_or(now)
}
