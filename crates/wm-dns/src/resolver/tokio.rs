use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::{TcpStream, UdpSocket};
use ::tokio::time;
use async_trait::async_trait;

use super::message::PAYLOAD;
use super::wire::{Accept, Wire, WireError};

/// A [`Wire`] over sockets (feature `tokio`). Each datagram has a socket of its own, whose port the
/// system chooses at random, and which takes datagrams from that one server only.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioWire;

#[async_trait]
impl Wire for TokioWire {
    async fn datagram(
        &self,
        server: SocketAddr,
        request: &[u8],
        timeout: Duration,
        accept: &Accept<'_>,
    ) -> Result<Vec<u8>, WireError> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        within(timeout, async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(server).await?;
            socket.send(request).await?;
            // One octet more than an answer may have, so that a longer one is not taken for it.
            let mut buffer = vec![0; usize::from(PAYLOAD) + 1];
            loop {
                let length = socket.recv(&mut buffer).await?;
                let datagram = buffer.get(..length).unwrap_or_default();
                if accept(datagram) {
                    return Ok(datagram.to_vec());
                }
            }
        })
        .await
    }

    async fn stream(
        &self,
        server: SocketAddr,
        request: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, WireError> {
        within(timeout, async {
            let length = u16::try_from(request.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            let mut stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            stream
                .write_all(&[&length.to_be_bytes(), request].concat())
                .await?;
            let length = stream.read_u16().await?;
            let mut message = vec![0; usize::from(length)];
            stream.read_exact(&mut message).await?;
            Ok(message)
        })
        .await
    }
}

async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, WireError> {
    match time::timeout(timeout, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(WireError::Timeout),
    }
}
