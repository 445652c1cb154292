//! IMAP connections: the driver of `wm-imap` over this process's sockets, certificate and log.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{Instrument, debug, error, info, info_span};
use wm_core::traits::Clock;
use wm_imap::driver::serve;
use wm_imap::session::{Config, Note, Services, Session};

use crate::shutdown::Shutdown;
use crate::source::SystemClock;
use crate::tls::{Begin, handshake};

/// What the connections of a listener share.
#[derive(Clone)]
pub(crate) struct ImapService {
    pub(crate) services: Services,
    pub(crate) config: Arc<Config>,
    pub(crate) tls: TlsAcceptor,
    pub(crate) begin: Begin,
    pub(crate) shutdown: Shutdown,
}

/// What a client over the limit of connections is told.
pub(crate) const TOO_MANY: &[u8] = b"* BYE Too many connections; try again later\r\n";

impl ImapService {
    /// Serves a connection to its end.
    pub(crate) async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let span = info_span!("imap", %peer);
        match self.converse(stream, peer).instrument(span.clone()).await {
            Ok(()) => debug!(parent: &span, "closed"),
            Err(error) => debug!(parent: &span, %error, "ended"),
        }
    }

    async fn converse(self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let Self {
            services,
            config,
            tls,
            begin,
            shutdown,
        } = self;
        let (clock, shutdown) = (SystemClock, shutdown.requested());
        let session = |tls| Session::new(config, services, peer.ip().to_string(), tls, clock.now());
        match begin {
            Begin::Clear => {
                let starttls = |stream| handshake(tls, stream);
                serve(stream, session(false), &clock, starttls, shutdown, log).await
            }
            Begin::Tls => {
                let stream = handshake(tls, stream).await?;
                // STARTTLS is not offered within TLS.
                let starttls = |stream| ready(Ok::<TlsStream<TcpStream>, _>(stream));
                serve(stream, session(true), &clock, starttls, shutdown, log).await
            }
        }
    }
}

fn log(note: Note) {
    match note {
        Note::Authenticated(principal) => info!(user = %principal.address, "logged in"),
        Note::AuthenticationFailed { name } => info!(?name, "log-in failed"),
        Note::Failed { cause } => {
            error!(
                cause = format!("{:#}", anyhow::Error::from_boxed(cause)),
                "failed"
            );
        }
        other => debug!(?other),
    }
}
