//! The socket through which the other subcommands reach the running server.
//!
//! It lies in the data directory, where only its owner can connect to it. A connection carries
//! requests and answers one after the other, each a line of JSON; the octets of a message follow
//! its request.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::BytesMut;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::warn;
use wm_core::{AcceptId, EmailAddress};

use crate::check::Report;
use crate::data_dir::{DataDir, remove};
use crate::domain::{DomainAnswer, DomainRequest};
use crate::export::{self, Exported, What};
use crate::listen::AFTER_FAILURE;
use crate::services::Services;
use crate::shutdown::{GRACE, Shutdown};

/// What can be asked of a server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    /// Deliver the `size` octets that follow.
    Deliver { to: EmailAddress, size: u64 },
    /// Verify the store.
    Check,
    /// Write mail to files; how far it is is told on the way.
    Export { what: What, into: PathBuf },
    /// Do something with domains.
    Domain(DomainRequest),
}

/// What a server says to it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Accepted(AcceptId),
    /// As an SMTP reply.
    Refused(String),
    Report(Report),
    /// So much is done, of so much; another answer follows.
    Progress(u64, u64),
    Exported(Exported),
    /// It could not be done, in words.
    Failed(String),
    Domain(DomainAnswer),
}

/// What became of a message: its id, or why it was refused, as an SMTP reply.
pub(crate) type Delivered = Result<AcceptId, String>;

/// The server's end.
#[derive(Debug)]
pub(crate) struct Control {
    socket: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Opens the socket. The caller holds the lock on the store, so that a socket found there is one
    /// that a killed server left behind.
    pub(crate) fn bind(data_dir: &DataDir) -> anyhow::Result<Self> {
        let path = data_dir.control_socket();
        let bind = || -> io::Result<UnixListener> {
            remove(&path)?;
            let socket = UnixListener::bind(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            Ok(socket)
        };
        let socket = bind().with_context(|| {
            format!(
                "cannot open the socket {}, whose path may have 107 bytes",
                path.display()
            )
        })?;
        Ok(Self { socket, path })
    }

    /// Serves until the shutdown, finishes what has begun, and removes the socket.
    pub(crate) async fn run(self, services: Arc<Services>, shutdown: Shutdown) {
        let mut connections = JoinSet::new();
        let mut requested = pin!(shutdown.clone().requested());
        loop {
            tokio::select! {
                () = &mut requested => break,
                Some(_) = connections.join_next() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, _)) => {
                        let serving = serve(stream, services.clone(), shutdown.clone());
                        connections.spawn(serving);
                    }
                    Err(error) => {
                        warn!(%error, "could not accept a control connection");
                        sleep(AFTER_FAILURE).await;
                    }
                },
            }
        }
        if let Err(error) = remove(&self.path) {
            warn!(%error, "could not remove the control socket");
        }
        // Those that do not end in time are dropped with the set.
        let _ = timeout(GRACE, async {
            while connections.join_next().await.is_some() {}
        })
        .await;
    }
}

/// The other subcommands' end.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the server that runs on the data directory; `None` when none does.
    pub(crate) async fn connect(data_dir: &DataDir) -> anyhow::Result<Option<Self>> {
        let path = data_dir.control_socket();
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Some(Self {
                stream: BufReader::new(stream),
            })),
            // A killed server leaves its socket behind, at which nobody listens.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error)
                .with_context(|| format!("cannot reach the running server at {}", path.display())),
        }
    }

    /// Delivers a message.
    pub(crate) async fn deliver(
        &mut self,
        to: &EmailAddress,
        message: &[u8],
    ) -> anyhow::Result<Delivered> {
        let request = Request::Deliver {
            to: to.clone(),
            size: message.len() as u64,
        };
        match self.ask(&request, message).await? {
            Answer::Accepted(id) => Ok(Ok(id)),
            Answer::Refused(reply) => Ok(Err(reply)),
            other => unexpected(other),
        }
    }

    /// Verifies the store.
    pub(crate) async fn check(&mut self) -> anyhow::Result<Report> {
        match self.ask(&Request::Check, &[]).await? {
            Answer::Report(report) => Ok(report),
            other => unexpected(other),
        }
    }

    /// Has the server write mail to files.
    pub(crate) async fn export(
        &mut self,
        what: What,
        into: PathBuf,
        progress: impl Fn(u64, u64),
    ) -> anyhow::Result<Exported> {
        let mut answer = self.ask(&Request::Export { what, into }, &[]).await?;
        loop {
            match answer {
                Answer::Progress(done, of) => progress(done, of),
                Answer::Exported(exported) => return Ok(exported),
                Answer::Failed(why) => bail!("{why}"),
                other => return unexpected(other),
            }
            answer = self.answer().await?;
        }
    }

    /// Does something with domains.
    pub(crate) async fn domain(&mut self, request: DomainRequest) -> anyhow::Result<DomainAnswer> {
        match self.ask(&Request::Domain(request), &[]).await? {
            Answer::Domain(answer) => Ok(answer),
            other => unexpected(other),
        }
    }

    async fn ask(&mut self, request: &Request, message: &[u8]) -> anyhow::Result<Answer> {
        write_line(&mut self.stream, request).await?;
        self.stream.write_all(message).await?;
        self.stream.flush().await?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        let answer = read_line(&mut self.stream).await?;
        answer.context("the server ended before it answered")
    }
}

async fn serve(stream: UnixStream, services: Arc<Services>, shutdown: Shutdown) {
    let mut stream = BufReader::new(stream);
    let mut requested = pin!(shutdown.requested());
    loop {
        let request = tokio::select! {
            () = &mut requested => return,
            request = read_line(&mut stream) => request,
        };
        let answered = match request {
            Ok(Some(request)) => answer(request, &mut stream, &services).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = answered {
            warn!(%error, "a control connection failed");
            return;
        }
    }
}

async fn answer(
    request: Request,
    stream: &mut BufReader<UnixStream>,
    services: &Services,
) -> anyhow::Result<()> {
    let answer = match request {
        Request::Deliver { to, size } => {
            let mut delivery = services.delivery(&to).await;
            let mut left = stream.take(size);
            loop {
                let mut piece = BytesMut::with_capacity(PIECE);
                if left.read_buf(&mut piece).await? == 0 {
                    break;
                }
                delivery.write(piece.freeze()).await;
            }
            anyhow::ensure!(left.limit() == 0, "a message ended early");
            match delivery.finish().await {
                Ok(id) => Answer::Accepted(id),
                Err(reply) => Answer::Refused(reply),
            }
        }
        Request::Check => Answer::Report(services.check().await?),
        Request::Export { what, into } => match export(what, into, stream, services).await? {
            Ok(exported) => Answer::Exported(exported),
            Err(error) => Answer::Failed(format!("{error:#}")),
        },
        Request::Domain(request) => Answer::Domain(services.domain(request).await),
    };
    write_line(stream, &answer).await
}

/// Exports, and tells how far it is. The inner error is for whoever asked; the outer one means that
/// nobody is there any more, which ends the export.
async fn export(
    what: What,
    into: PathBuf,
    stream: &mut BufReader<UnixStream>,
    services: &Services,
) -> anyhow::Result<anyhow::Result<Exported>> {
    let (tell, mut told) = watch::channel((0, 0));
    let tell = move |done, of| {
        tell.send_replace((done, of));
    };
    let directory = Some(&*services.directory);
    let mut export = pin!(export::export(&services.store, directory, what, into, tell));
    loop {
        tokio::select! {
            exported = &mut export => return Ok(exported),
            Ok(()) = told.changed() => {
                let (done, of) = *told.borrow_and_update();
                write_line(stream, &Answer::Progress(done, of)).await?;
            }
        }
    }
}

async fn write_line(
    stream: &mut BufReader<UnixStream>,
    value: &impl Serialize,
) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(stream.write_all(&line).await?)
}

/// Reads a line; `None` at the end.
async fn read_line<V: DeserializeOwned>(
    stream: &mut BufReader<UnixStream>,
) -> anyhow::Result<Option<V>> {
    let mut line = String::new();
    if stream.take(LINE).read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}

fn unexpected<V>(answer: Answer) -> anyhow::Result<V> {
    bail!("the server answered {answer:?}, which is no answer to that")
}

/// Octets of a line, at most.
const LINE: u64 = 16 << 20;

/// Octets of a message read at once.
const PIECE: usize = 64 << 10;
