//! What the listeners and subcommands work on: store, directory and mail flow of a data directory.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use wm_core::EmailAddress;
use wm_core::access::Mailboxes;
use wm_core::traits::ReversePath;
use wm_smtp::codec::ForwardPath;
use wm_smtp::flow::{MailFlow, Refusal, Transaction};
use wm_smtp::trace::Hop;
use wm_store::directory::{DirectoryOptions, StoredDirectory};
use wm_store::engine::{Engine, EngineError, EngineOptions, Redb, Sled, SyncPolicy};
use wm_store::segment;
use wm_store::{Store, StoreParts};

use crate::check::Report;
use crate::config::{EngineKind, Options};
use crate::control::{Client, Delivered};
use crate::data_dir::DataDir;
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
        let path = data_dir.store();
        require_master_key(&path)?;
        let sync = if options.unsafe_no_sync {
            SyncPolicy::Off
        } else {
            SyncPolicy::Durable
        };
        let engine = open_engine(&path.join("engine"), options.engine, sync)?;
        let mut parts = StoreParts::in_directory(&path, engine)
            .with_context(|| format!("cannot open the store in {}", path.display()))?;
        if sync == SyncPolicy::Off {
            parts.bodies = Arc::new(segment::Directory::open(path.join("bodies"))?.without_sync());
        }
        let store = Store::open(parts)
            .with_context(|| format!("cannot open the store in {}", path.display()))?;
        let directory = StoredDirectory::open(&store, DirectoryOptions::default()).await?;
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

    /// Verifies the store. `progress` is told how many octets are done, of how many.
    pub(crate) async fn check(
        &self,
        progress: impl Fn(u64, u64) + Send + Sync + 'static,
    ) -> anyhow::Result<Report> {
        Ok(self.store.check(progress).await?.into())
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
        anyhow::ensure!(
            data_dir.store().is_dir(),
            "there is no store in {}: the first start of the server makes one",
            data_dir.path().display()
        );
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

    pub(crate) async fn check(
        &mut self,
        progress: impl Fn(u64, u64) + Send + Sync + 'static,
    ) -> anyhow::Result<Report> {
        match self {
            Self::Running(client) => client.check().await,
            Self::Opened(services) => services.check(progress).await,
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
fn require_master_key(store: &Path) -> anyhow::Result<()> {
    let has_keys = fs::read_dir(store.join("keys")).is_ok_and(|mut keys| keys.next().is_some());
    let master = store.join("master.key");
    anyhow::ensure!(
        !has_keys || master.exists(),
        "{} is missing, and without it nothing in the store can be read: bring it back from a backup",
        master.display()
    );
    Ok(())
}

/// Opens the engine that is there; where there is none, the one chosen, or the default.
fn open_engine(
    path: &Path,
    chosen: Option<EngineKind>,
    sync: SyncPolicy,
) -> anyhow::Result<Arc<dyn Engine>> {
    let options = EngineOptions::default().with_sync(sync);
    let open = |kind| -> Result<Arc<dyn Engine>, EngineError> {
        Ok(match kind {
            EngineKind::Sled => Arc::new(Sled::open(path, options)?),
            EngineKind::Redb => Arc::new(Redb::open(path, options)?),
        })
    };
    let opened = match open(chosen.unwrap_or_default()) {
        Err(EngineError::OtherEngine { ref found, .. }) if chosen.is_none() && found == "sled" => {
            open(EngineKind::Sled)
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
