//! Listening: connections are accepted, counted, and waited for at the end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::shutdown::{GRACE, Shutdown};

/// A socket that accepts connections for one service.
#[derive(Debug)]
pub(crate) struct Listener {
    name: &'static str,
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Begins to listen. `name` is that of the flag which chose the address.
    pub(crate) async fn bind(name: &'static str, address: SocketAddr) -> anyhow::Result<Self> {
        let bound = async {
            let socket = TcpListener::bind(address).await?;
            let address = socket.local_addr()?;
            io::Result::Ok(Self {
                name,
                socket,
                address,
            })
        };
        bound.await.with_context(|| {
            format!("cannot listen on {address}; choose another address with --{name}")
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The address in use, its port never 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until the shutdown, `limit` of them at a time; those beyond get `refusal`
    /// and are closed. Then waits for the connections that are open, and cuts them off after
    /// [`GRACE`].
    pub(crate) async fn run<C>(
        self,
        limit: usize,
        refusal: &'static [u8],
        shutdown: Shutdown,
        serve: impl Fn(TcpStream, SocketAddr) -> C,
    ) where
        C: Future<Output = ()> + Send + 'static,
    {
        let Self { name, socket, .. } = self;
        let mut connections = JoinSet::new();
        let mut requested = pin!(shutdown.requested());
        loop {
            tokio::select! {
                () = &mut requested => break,
                Some(ended) = connections.join_next() => report_panic(name, ended),
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) if connections.len() < limit => {
                        connections.spawn(serve(stream, peer));
                    }
                    Ok((stream, peer)) => {
                        warn!(listener = name, %peer, limit, "too many connections; refused one");
                        // Best effort: whoever does not read it sees the connection closed.
                        let _ = stream.try_write(refusal);
                    }
                    Err(error) => {
                        warn!(listener = name, %error, "could not accept a connection");
                        sleep(AFTER_FAILURE).await;
                    }
                },
            }
        }
        drop(socket);
        let ended = timeout(GRACE, async {
            while let Some(ended) = connections.join_next().await {
                report_panic(name, ended);
            }
        });
        if ended.await.is_err() {
            info!(
                listener = name,
                connections = connections.len(),
                "cut off what was still open"
            );
            connections.shutdown().await;
        }
    }
}

/// The pause after a failed accept, such as for want of file descriptors.
pub(crate) const AFTER_FAILURE: Duration = Duration::from_millis(100);

fn report_panic(name: &str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(listener = name, %error, "a connection ended in a panic");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn connections_over_the_limit_are_refused_and_a_free_place_is_given_again() {
        let listener = Listener::bind("smtp", "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = listener.address();
        let (trigger, shutdown) = Shutdown::new();
        let server =
            tokio::spawn(
                listener.run(1, b"421 full\r\n", shutdown, |mut stream, _| async move {
                    stream.write_all(b"220 ready\r\n").await.unwrap();
                    let _ = stream.read(&mut [0]).await;
                }),
            );
        let greeting = || async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut line = [0; 3];
            stream.read_exact(&mut line).await.unwrap();
            (line, stream)
        };
        let (line, first) = greeting().await;
        assert_eq!(&line, b"220");
        let (line, _) = greeting().await;
        assert_eq!(&line, b"421");
        drop(first);
        while &greeting().await.0 != b"220" {}
        trigger.pull();
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_end_is_cut_off() {
        let listener = Listener::bind("smtp", "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let stream = TcpStream::connect(listener.address()).await.unwrap();
        let (trigger, shutdown) = Shutdown::new();
        let (entered, serving) = tokio::sync::oneshot::channel();
        let entered = std::sync::Mutex::new(Some(entered));
        let server = tokio::spawn(listener.run(9, b"", shutdown, move |stream, _| {
            entered.lock().unwrap().take().unwrap().send(()).unwrap();
            async move {
                let _stream = stream;
                std::future::pending::<()>().await;
            }
        }));
        serving.await.unwrap();
        trigger.pull();
        server.await.unwrap();
        drop(stream);
    }
}
