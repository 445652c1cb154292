//! SMTP connections: the driver of `wm-smtp` over this process's sockets, certificate and log.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{Instrument, debug, error, info, info_span};
use wm_smtp::driver::serve;
use wm_smtp::flow::{Connection, MailFlow, Note};
use wm_smtp::server::Config;

use crate::shutdown::Shutdown;
use crate::tls::{Begin, handshake};

/// What the connections of a listener share.
#[derive(Clone)]
pub(crate) struct SmtpService {
    pub(crate) flow: Arc<MailFlow>,
    pub(crate) config: Arc<Config>,
    pub(crate) tls: TlsAcceptor,
    pub(crate) begin: Begin,
    pub(crate) shutdown: Shutdown,
}

/// What a client over the limit of connections is told.
pub(crate) const TOO_MANY: &[u8] = b"421 4.3.2 Too many connections; try again later\r\n";

impl SmtpService {
    /// Serves a connection to its end.
    pub(crate) async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let span = info_span!("smtp", %peer);
        match self.converse(stream, peer).instrument(span.clone()).await {
            Ok(()) => debug!(parent: &span, "closed"),
            Err(error) => debug!(parent: &span, %error, "ended"),
        }
    }

    async fn converse(self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let Self {
            flow,
            config,
            tls,
            begin,
            shutdown,
        } = self;
        let shutdown = shutdown.requested();
        let connection = |tls| Connection::new(flow, config, peer.ip(), tls, Instant::now());
        match begin {
            Begin::Clear => {
                let starttls = |stream| handshake(tls, stream);
                serve(stream, connection(false), starttls, shutdown, log).await
            }
            Begin::Tls => {
                let stream = handshake(tls, stream).await?;
                // STARTTLS is not offered within TLS.
                let starttls = |stream| ready(Ok::<TlsStream<TcpStream>, _>(stream));
                serve(stream, connection(true), starttls, shutdown, log).await
            }
        }
    }
}

fn log(note: Note) {
    match note {
        Note::Accepted(receipt) => info!(
            id = %receipt.id,
            from = %receipt.reverse_path,
            mailboxes = receipt.mailboxes,
            size = receipt.size,
            "accepted"
        ),
        Note::Refused(reply) => info!(%reply, "refused"),
        Note::Failed { reply, cause } => {
            error!(%reply, cause = format!("{:#}", anyhow::Error::from_boxed(cause)), "failed");
        }
        Note::Authenticated(principal) => info!(user = %principal.address, "logged in"),
        Note::AuthenticationFailed { name } => info!(?name, "log-in failed"),
        other => debug!(?other),
    }
}
