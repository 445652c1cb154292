//! What the listeners and subcommands work on: store, directory and mail flow of a data directory.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use wm_core::access::Mailboxes;
use wm_core::traits::ReversePath;
use wm_core::{EmailAddress, Limits};
use wm_smtp::codec::ForwardPath;
use wm_smtp::flow::{MailFlow, Refusal, Transaction};
use wm_smtp::trace::Hop;
use wm_store::directory::{DirectoryOptions, StoredDirectory};
use wm_store::engine::{Engine, EngineError, EngineOptions, Redb, Sled, SyncPolicy};
use wm_store::segment;
use wm_store::{OpenError, Store, StoreParts};

use crate::check::Report;
use crate::config::{EngineKind, Options};
use crate::control::{Client, Delivered};
use crate::data_dir::DataDir;
use crate::domain::{DomainAnswer, DomainRequest, Domains};
use crate::source::{SystemClock, SystemRandom};

/// The services of an open data directory.
pub(crate) struct Services {
    pub(crate) store: Arc<Store>,
    pub(crate) directory: Arc<StoredDirectory>,
    pub(crate) flow: Arc<MailFlow>,
    mailboxes: Mailboxes,
    hop: Hop,
}

impl Services {
    /// Opens the store in the data directory, or makes one.
    pub(crate) async fn open(data_dir: &DataDir, options: &Options) -> anyhow::Result<Self> {
        let store = open_store(data_dir, options)?;
        let directory = open_directory(&store).await?;
        let (store, directory) = (Arc::new(store), Arc::new(directory));
        let host = options.hostname()?;
        let flow = MailFlow::new(
            directory.clone(),
            store.clone(),
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
            host.clone(),
        );
        Ok(Self {
            mailboxes: Mailboxes::new(store.clone(), directory.clone()),
            flow: Arc::new(flow),
            hop: Hop {
                client: host.as_ascii().parse()?,
                peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
                protocol: "ESMTP",
            },
            store,
            directory,
        })
    }

    /// What IMAP sessions work with.
    pub(crate) fn imap(&self) -> wm_imap::session::Services {
        wm_imap::session::Services {
            directory: self.directory.clone(),
            mailboxes: self.mailboxes.clone(),
            ids: Arc::new(SystemRandom),
        }
    }

    /// Begins to deliver a message on the way that mail from outside takes.
    pub(crate) async fn delivery(&self, to: &EmailAddress) -> Delivery {
        let begin = async {
            let hop = self.hop.clone();
            let mut transaction = self.flow.begin(hop, None, ReversePath::NULL).await?;
            let path = ForwardPath::Mailbox(to.clone());
            transaction.recipient(&path).await?;
            Ok(transaction)
        };
        Delivery(begin.await)
    }

    /// Verifies the store.
    pub(crate) async fn check(&self) -> anyhow::Result<Report> {
        let report = self.store.check(|_, _| {}).await?;
        Ok(Report::new(report, Some(&self.directory)).await)
    }

    /// Does something with the organizations' domains.
    pub(crate) async fn domain(&self, request: DomainRequest) -> DomainAnswer {
        let domains = Domains {
            directory: &*self.directory,
            clock: &SystemClock,
            ids: &SystemRandom,
            limits: &Limits::default(),
        };
        domains.answer(request).await
    }

    /// The end of a run: says so when the store has stopped acknowledging on the way.
    pub(crate) fn close(&self) -> anyhow::Result<()> {
        match self.store.failure() {
            Some(failure) => bail!("the store stopped acknowledging: {failure}"),
            None => Ok(()),
        }
    }
}

/// A message on its way in. What went wrong is told at the end, so that whoever sends it need not
/// stop in the middle.
pub(crate) struct Delivery(Result<Transaction, Refusal>);

impl Delivery {
    /// Adds octets of the message.
    pub(crate) async fn write(&mut self, octets: Bytes) {
        if let Ok(transaction) = &mut self.0 {
            transaction.body(octets).await;
        }
    }

    /// Ends the message; durable when this answers its id.
    pub(crate) async fn finish(self) -> Delivered {
        let accepted = match self.0 {
            Ok(transaction) => transaction.accept().await,
            Err(refusal) => Err(refusal),
        };
        match accepted {
            Ok(receipt) => Ok(receipt.id),
            Err(refusal) => Err(refusal.to_string()),
        }
    }
}

/// A data directory, through the server that runs on it or, when none does, opened here.
pub(crate) enum Reached {
    Running(Client),
    Opened(Box<Services>),
}

impl Reached {
    pub(crate) async fn reach(data_dir: &DataDir, options: &Options) -> anyhow::Result<Self> {
        if let Some(client) = Client::connect(data_dir).await? {
            return Ok(Self::Running(client));
        }
        data_dir.existing_store()?;
        let services = Services::open(data_dir, options).await?;
        Ok(Self::Opened(Box::new(services)))
    }

    pub(crate) async fn deliver(
        &mut self,
        to: &EmailAddress,
        message: &[u8],
    ) -> anyhow::Result<Delivered> {
        match self {
            Self::Running(client) => client.deliver(to, message).await,
            Self::Opened(services) => {
                let mut delivery = services.delivery(to).await;
                delivery.write(Bytes::copy_from_slice(message)).await;
                Ok(delivery.finish().await)
            }
        }
    }

    pub(crate) async fn domain(&mut self, request: DomainRequest) -> anyhow::Result<DomainAnswer> {
        match self {
            Self::Running(client) => client.domain(request).await,
            Self::Opened(services) => Ok(services.domain(request).await),
        }
    }

    pub(crate) fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Running(_) => Ok(()),
            Self::Opened(services) => services.close(),
        }
    }
}

/// Refuses a store whose keys are there and what wraps them is not: opening it would put a new master
/// key in the place where the old one has to be brought back.
pub(crate) fn require_master_key(store: &Path) -> anyhow::Result<()> {
    let has_keys = fs::read_dir(store.join("keys")).is_ok_and(|mut keys| keys.next().is_some());
    let master = store.join("master.key");
    anyhow::ensure!(
        !has_keys || master.exists(),
        "{} is missing, and without it nothing in the store can be read: bring it back from a backup",
        master.display()
    );
    Ok(())
}

/// Opens the store in a data directory, or makes one.
fn open_store(data_dir: &DataDir, options: &Options) -> anyhow::Result<Store> {
    let path = data_dir.store();
    require_master_key(&path)?;
    let sync = if options.unsafe_no_sync {
        SyncPolicy::Off
    } else {
        SyncPolicy::Durable
    };
    let open = || {
        let engine = open_engine(&path.join("engine"), options.engine, sync)?;
        let mut parts = StoreParts::in_directory(&path, engine)?;
        if sync == SyncPolicy::Off {
            parts.bodies = Arc::new(segment::Directory::open(path.join("bodies"))?.without_sync());
        }
        Ok(Store::open(parts)?)
    };
    open().map_err(|error: anyhow::Error| {
        let what = format!("cannot open the store in {}", path.display());
        match is_damage(&error) {
            true => error.context(format!(
                "{what}: `wm-server repair --data-dir {}` makes a new engine from the \
                 journal and the bodies, and keeps the damaged one",
                data_dir.path().display()
            )),
            false => error.context(what),
        }
    })
}

/// Opens the store in a data directory that has one.
pub(crate) fn open_existing(data_dir: &DataDir, options: &Options) -> anyhow::Result<Store> {
    data_dir.existing_store()?;
    open_store(data_dir, options)
}

/// Opens the directory in a store.
pub(crate) async fn open_directory(store: &Store) -> anyhow::Result<StoredDirectory> {
    Ok(StoredDirectory::open(store, DirectoryOptions::default()).await?)
}

/// Whether the engine's own files are not what was written to them.
fn is_damage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let open = match cause.downcast_ref() {
            Some(OpenError::Engine(error)) => Some(error),
            _ => None,
        };
        let engine = open.or_else(|| cause.downcast_ref());
        matches!(engine, Some(EngineError::Corrupt { .. }))
    })
}

/// Opens the engine that is there; where there is none, the one chosen, or the default.
fn open_engine(
    path: &Path,
    chosen: Option<EngineKind>,
    sync: SyncPolicy,
) -> anyhow::Result<Arc<dyn Engine>> {
    let opened = match open_kind(chosen.unwrap_or_default(), path, sync) {
        Err(EngineError::OtherEngine { ref found, .. }) if chosen.is_none() && found == "sled" => {
            open_kind(EngineKind::Sled, path, sync)
        }
        opened => opened,
    };
    match opened {
        Err(error @ EngineError::InUse { .. }) => Err(error).context(
            "another server, or another command, is at work on this data directory; end it, or \
             name another directory with --data-dir",
        ),
        opened => opened.with_context(|| format!("cannot open the engine in {}", path.display())),
    }
}

/// Opens an engine of this kind, or makes one.
pub(crate) fn open_kind(
    kind: EngineKind,
    path: &Path,
    sync: SyncPolicy,
) -> Result<Arc<dyn Engine>, EngineError> {
    let options = EngineOptions::default().with_sync(sync);
    Ok(match kind {
        EngineKind::Sled => Arc::new(Sled::open(path, options)?),
        EngineKind::Redb => Arc::new(Redb::open(path, options)?),
    })
}

/// Which engine a store has, or had: as the engine's directory says, or one that a repair has kept or
/// was making.
pub(crate) fn engine_of(store: &Path) -> Option<EngineKind> {
    let mut names: Vec<_> = fs::read_dir(store)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("engine"))
        .collect();
    // `engine` itself comes first.
    names.sort();
    names.iter().find_map(|name| {
        let format = fs::read_to_string(store.join(name).join("FORMAT")).ok()?;
        match format.split_once(' ')?.0 {
            "redb" => Some(EngineKind::Redb),
            "sled" => Some(EngineKind::Sled),
            _ => None,
        }
    })
}
