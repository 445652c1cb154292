//! `wm-server domain`: the DNS records that a mail domain needs, and whether it has them.

use std::fs;
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use wm_core::DomainName;
use wm_core::traits::{Answer, Clock, DnsName, IdSource, LookupError, RecordType, Resolver};
use wm_dns::export::{self, Style};
use wm_dns::resolver::{Authoritative, AuthoritativeOptions, Stub, StubOptions, TokioWire};
use wm_dns::spf::Spf;
use wm_dns::verify::RecordStatus;
use wm_dns::{Check, DomainSettings, DomainState, Report, RequiredRecords};

use crate::config::Options;
use crate::data_dir::{DataDir, write_json};
use crate::source::{SystemClock, SystemRandom};

#[derive(Debug, Subcommand)]
pub(crate) enum Domain {
    /// Print the records that a domain needs
    Records(Records),
    /// Look whether a domain has them: exits with 0 when it has, 2 when something is missing or
    /// wrong, 3 when that could not be found out
    Check(CheckRecords),
}

#[derive(Debug, Args)]
pub(crate) struct Records {
    #[command(flatten)]
    wanted: Wanted,

    /// Print lines for a zone file
    #[arg(long, conflicts_with = "json")]
    zone: bool,

    /// Print the records as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckRecords {
    #[command(flatten)]
    wanted: Wanted,

    /// The name server to ask [default: the domain's own, found through those of /etc/resolv.conf]
    #[arg(long, value_name = "ADDRESS:PORT")]
    resolver: Option<SocketAddr>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What the records are to say.
#[derive(Debug, Args)]
struct Wanted {
    /// The mail domain
    #[arg(value_name = "DOMAIN")]
    domain: DomainName,

    /// The host that takes the domain's mail and answers AutoDiscover [default: the settings' hostname]
    #[arg(long, value_name = "NAME")]
    host: Option<DomainName>,

    /// Who may send for the domain [default: v=spf1 mx ~all]
    #[arg(long, value_name = "RECORD")]
    spf: Option<Spf>,

    /// The token that proves ownership [default: one kept in the data directory, with the results of
    /// earlier checks]
    #[arg(long, value_name = "TEXT")]
    ownership_token: Option<String>,
}

/// What is remembered of a domain between commands.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    ownership_token: String,
    state: DomainState,
}

/// A [`Memory`], and the file that keeps it; none when the command line gave the token.
struct Remembered {
    memory: Memory,
    file: Option<PathBuf>,
}

/// Does what a command says.
pub(crate) async fn run(command: &Domain, options: &Options) -> anyhow::Result<ExitCode> {
    match command {
        Domain::Records(command) => {
            let remembered = Remembered::load(&command.wanted, options)?;
            let required = command.wanted.records(&remembered, options)?;
            if command.zone {
                print!("{}", export::zone_text(&required));
            } else {
                show(&Report::of_records(&required), command.json);
            }
            Ok(ExitCode::SUCCESS)
        }
        Domain::Check(command) => check(command, options).await,
    }
}

async fn check(command: &CheckRecords, options: &Options) -> anyhow::Result<ExitCode> {
    let mut remembered = Remembered::load(&command.wanted, options)?;
    let required = command.wanted.records(&remembered, options)?;
    let resolver = resolver(command.resolver, &required.apex()).await?;
    let findings = Check::new(required).run(resolver.as_ref()).await;
    remembered.memory.state = remembered
        .memory
        .state
        .advance(&findings, SystemClock.now());
    remembered.save()?;
    let report = Report::of_check(&findings, &remembered.memory.state);
    show(&report, command.json);
    Ok(ExitCode::from(report.conclusion().exit_code()))
}

impl Wanted {
    fn records(
        &self,
        remembered: &Remembered,
        options: &Options,
    ) -> anyhow::Result<RequiredRecords> {
        let host = self
            .host
            .as_ref()
            .or(options.hostname.as_ref())
            .context("--host has to say which host takes the domain's mail")?;
        let mut settings = DomainSettings::new(
            self.domain.clone(),
            DnsName::from(host),
            &remembered.memory.ownership_token,
        );
        if let Some(spf) = &self.spf {
            settings.spf = spf.clone();
        }
        Ok(RequiredRecords::for_domain(&settings)?)
    }
}

impl Remembered {
    /// What is remembered of the domain; a new token is remembered at once, because somebody is about
    /// to publish it.
    fn load(wanted: &Wanted, options: &Options) -> anyhow::Result<Self> {
        if let Some(token) = &wanted.ownership_token {
            return Ok(Self {
                memory: Memory::new(token.clone()),
                file: None,
            });
        }
        let folder = DataDir::existing(options.data_dir())?
            .path()
            .join("domains");
        let file = folder.join(format!("{}.json", wanted.domain.as_ascii()));
        match fs::read(&file) {
            Ok(text) => Ok(Self {
                memory: serde_json::from_slice(&text)
                    .with_context(|| format!("{} is damaged", file.display()))?,
                file: Some(file),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::create_dir_all(&folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
                let remembered = Self {
                    memory: Memory::new(format!("{:032x}", SystemRandom.fresh())),
                    file: Some(file),
                };
                remembered.save()?;
                Ok(remembered)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    fn save(&self) -> anyhow::Result<()> {
        match &self.file {
            Some(file) => write_json(file, &self.memory),
            None => Ok(()),
        }
    }
}

impl Memory {
    fn new(ownership_token: String) -> Self {
        Self {
            ownership_token,
            state: DomainState::default(),
        }
    }
}

/// Asks the server given or, without one, the domain's own. When those cannot be found, no record can
/// be checked, which is a result and not a failure of the command.
async fn resolver(
    server: Option<SocketAddr>,
    domain: &DnsName,
) -> anyhow::Result<Box<dyn Resolver>> {
    let servers = match server {
        Some(server) => vec![server],
        None => system_servers()?,
    };
    let stub = Stub::new(TokioWire, Arc::new(SystemRandom), StubOptions::new(servers));
    if server.is_some() {
        return Ok(Box::new(stub));
    }
    Ok(
        match Authoritative::for_domain(stub, domain, AuthoritativeOptions::default()).await {
            Ok(resolver) => Box::new(resolver),
            Err(error) => Box::new(Unreachable(error)),
        },
    )
}

/// A resolver for a domain whose name servers are out of reach.
struct Unreachable(LookupError);

#[async_trait]
impl Resolver for Unreachable {
    async fn lookup(&self, _: &DnsName, _: RecordType) -> Result<Answer, LookupError> {
        Err(self.0.clone())
    }
}

/// The name servers that this machine asks.
fn system_servers() -> anyhow::Result<Vec<SocketAddr>> {
    const FILE: &str = "/etc/resolv.conf";
    let text = fs::read_to_string(FILE)
        .with_context(|| format!("cannot read {FILE}; name a server with --resolver"))?;
    let servers = name_servers(&text);
    anyhow::ensure!(
        !servers.is_empty(),
        "{FILE} names no server; name one with --resolver"
    );
    Ok(servers)
}

/// The `nameserver` lines of a resolv.conf (resolv.conf(5)).
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words
            .next()
            .filter(|&word| word == "nameserver")
            .and(words.next())?;
        let address: IpAddr = address.parse().ok()?;
        Some(SocketAddr::new(address, 53))
    };
    text.lines().filter_map(server).collect()
}

fn show(report: &Report, json: bool) {
    if json {
        println!("{}", export::json(report));
        return;
    }
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let paint = |status: Option<RecordStatus>, text: &str| match (colour, status) {
        (true, Some(RecordStatus::Verified)) => format!("\x1b[32m{text}\x1b[0m"),
        (true, Some(RecordStatus::Pending) | None) => format!("\x1b[33m{text}\x1b[0m"),
        (true, Some(_)) => format!("\x1b[31m{text}\x1b[0m"),
        (false, _) => text.to_owned(),
    };
    print!("{}", Style::Absolute.table(report, &paint));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_a_resolv_conf_are_those_with_an_address() {
        let text = "# nameserver 192.0.2.9\nnameserver 192.0.2.1\nsearch example.com\n\
                    nameserver\t2001:db8::1\nnameserver somewhere\nnameserver\n";
        let expected: Vec<SocketAddr> = ["192.0.2.1:53", "[2001:db8::1]:53"]
            .map(|address| address.parse().unwrap())
            .into();
        assert_eq!(name_servers(text), expected);
    }
}
