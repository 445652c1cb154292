//! `wm-server serve`: everything together, from the first socket to the last message.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};
use wm_core::traits::Directory;
use wm_core::{DomainName, Limits};
use wm_imap::session::Config as ImapConfig;
use wm_smtp::server::{Config as SmtpConfig, Role};

use crate::config::Options;
use crate::control::Control;
use crate::data_dir::{DataDir, remove, write_json};
use crate::imap::{self, ImapService};
use crate::jobs;
use crate::listen::Listener;
use crate::services::Services;
use crate::setup::Setup;
use crate::shutdown::{Shutdown, Signals};
use crate::smtp::{self, SmtpService};
use crate::source::{SystemClock, SystemRandom};
use crate::tls::{self, Begin};

/// Serves until a signal ends it.
pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    raise_file_limit();
    // Before anything says that the server is ready: from then on a signal ends it in good order.
    let signals = Signals::listen().context("cannot wait for signals")?;
    tls::install_provider();
    let data_dir = DataDir::create(options.data_dir())?;
    let services = Arc::new(Services::open(&data_dir, options).await?);
    // The store's lock is held: whatever a killed server left behind is nobody's.
    remove(&data_dir.endpoints())?;

    let listeners = Listeners::bind(options).await?;
    let control = Control::bind(&data_dir)?;
    let setup = Setup {
        data_dir: &data_dir,
        directory: &*services.directory,
        clock: &SystemClock,
        ids: &SystemRandom,
    };
    if let Some(made) = setup.at_first_start(options).await? {
        println!(
            "{made}\nThis is shown once; it is kept in {}\n",
            data_dir.quick_setup().display()
        );
    }
    let host = options.hostname()?;
    let acceptor = tls::acceptor(&data_dir, &names(&host, &services).await?)?;

    write_json(&data_dir.endpoints(), &listeners.endpoints())?;
    let (trigger, shutdown) = Shutdown::new();
    let mut serving = listeners.serve(&services, &host, &acceptor, options, &shutdown);
    serving.spawn(control.run(services.clone(), shutdown.clone()));
    let every = Duration::from_secs(options.jobs_interval.unwrap_or(jobs::EVERY).max(1));
    serving.spawn(jobs::run(services.clone(), every, shutdown));
    info!(data_dir = %data_dir.path().display(), "ready; ctrl-c or SIGTERM ends it");

    let signal = signals.received().await;
    info!(signal, "shutting down");
    remove(&data_dir.endpoints())?;
    trigger.pull();
    while let Some(ended) = serving.join_next().await {
        ended?;
    }
    services.close()?;
    info!("shut down");
    Ok(ExitCode::SUCCESS)
}

struct Listeners {
    smtp: Vec<(Listener, Role, Begin)>,
    imap: Vec<(Listener, Begin)>,
}

impl Listeners {
    /// Those whose protocol exists.
    async fn bind(options: &Options) -> anyhow::Result<Self> {
        let at = |chosen: Option<SocketAddr>, port| {
            chosen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let smtp = Listener::bind("smtp", at(options.smtp, 2525)).await?;
        let submission = Listener::bind("submission", at(options.submission, 2587)).await?;
        let submissions = Listener::bind("submissions", at(options.submissions, 2465)).await?;
        let imap = Listener::bind("imap", at(options.imap, 2143)).await?;
        let imaps = Listener::bind("imaps", at(options.imaps, 2993)).await?;
        Ok(Self {
            imap: vec![(imap, Begin::Clear), (imaps, Begin::Tls)],
            smtp: vec![
                (smtp, Role::Mx, Begin::Clear),
                (submission, Role::Submission, Begin::Clear),
                (submissions, Role::Submission, Begin::Tls),
            ],
        })
    }

    /// The addresses in use, by the names of the flags.
    fn endpoints(&self) -> BTreeMap<&'static str, SocketAddr> {
        let smtp = self.smtp.iter().map(|(listener, ..)| listener);
        let imap = self.imap.iter().map(|(listener, _)| listener);
        smtp.chain(imap)
            .map(|listener| (listener.name(), listener.address()))
            .collect()
    }

    fn serve(
        self,
        services: &Services,
        host: &DomainName,
        tls: &TlsAcceptor,
        options: &Options,
        shutdown: &Shutdown,
    ) -> JoinSet<()> {
        let limits = Limits::default();
        let connections = options.connections.unwrap_or(1024);
        let mut serving = JoinSet::new();
        for (listener, role, begin) in self.smtp {
            info!(address = %listener.address(), "{}", listener.name());
            let service = SmtpService {
                flow: services.flow.clone(),
                config: Arc::new(SmtpConfig::new(host.clone(), role, &limits)),
                tls: tls.clone(),
                begin,
                shutdown: shutdown.clone(),
            };
            let serve = move |stream, peer| service.clone().serve(stream, peer);
            serving.spawn(listener.run(connections, smtp::TOO_MANY, shutdown.clone(), serve));
        }
        for (listener, begin) in self.imap {
            info!(address = %listener.address(), "{}", listener.name());
            let service = ImapService {
                services: services.imap(),
                config: Arc::new(ImapConfig::new(&limits)),
                tls: tls.clone(),
                begin,
                shutdown: shutdown.clone(),
            };
            let serve = move |stream, peer| service.clone().serve(stream, peer);
            serving.spawn(listener.run(connections, imap::TOO_MANY, shutdown.clone(), serve));
        }
        serving
    }
}

/// What a self-signed certificate is for: the server's name, and the mail domains.
async fn names(host: &DomainName, services: &Services) -> anyhow::Result<Vec<String>> {
    let mut names = vec!["localhost".to_owned(), host.to_string()];
    for organization in services.directory.organizations().await? {
        names.push(organization.test_domain.to_string());
    }
    names.dedup();
    Ok(names)
}

/// Allows as many open files as the system lets this process have: a connection is one.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "could not raise the limit of open files");
    }
}
