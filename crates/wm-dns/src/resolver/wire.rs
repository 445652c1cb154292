use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;

/// Whether a datagram is the one waited for.
pub type Accept<'a> = dyn Fn(&[u8]) -> bool + Send + Sync + 'a;

/// Carries DNS messages. An implementation knows sockets and time, and nothing of DNS.
#[async_trait]
pub trait Wire: Send + Sync {
    /// Sends a datagram from a port of its own, chosen at random, and answers the first datagram from
    /// `server` that `accept` accepts; others are dropped.
    ///
    /// # Errors
    /// [`WireError::Timeout`] when none came in time.
    async fn datagram(
        &self,
        server: SocketAddr,
        request: &[u8],
        timeout: Duration,
        accept: &Accept<'_>,
    ) -> Result<Vec<u8>, WireError>;

    /// Sends a message over a stream, with its length in front of it (RFC 7766 §8), and answers the
    /// next message.
    ///
    /// # Errors
    /// [`WireError::Timeout`] when it did not come in time, connection included.
    async fn stream(
        &self,
        server: SocketAddr,
        request: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, WireError>;
}

/// A message that got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Nothing came in time.
    #[error("no answer in time")]
    Timeout,
    /// The system reports an error, such as a refused connection.
    #[error(transparent)]
    Io(#[from] io::Error),
}
