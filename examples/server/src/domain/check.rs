//! `domain records` and `domain check`.

use std::fs;
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use clap::Args;
use tracing::warn;
use wm_core::traits::{Answer, Clock, DnsName, LookupError, RecordType, Resolver};
use wm_dns::export::{self, Style};
use wm_dns::resolver::{Authoritative, AuthoritativeOptions, Stub, StubOptions, TokioWire};
use wm_dns::verify::RecordStatus;
use wm_dns::{Check, Report};

use super::manage;
use super::wanted::{Remembered, Wanted};
use crate::config::Options;
use crate::source::{SystemClock, SystemRandom};

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

pub(super) fn records(command: &Records, options: &Options) -> anyhow::Result<ExitCode> {
    let remembered = Remembered::load(&command.wanted, options)?;
    let required = command.wanted.records(&remembered, options)?;
    if command.zone {
        print!("{}", export::zone_text(&required));
    } else {
        show(&Report::of_records(&required), command.json);
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks, and notes in the directory whether the domain's ownership is proved: mail for it is taken
/// from outside from then on, and no longer once the record has been gone for 72 hours (DOM-7).
pub(super) async fn check(command: &CheckRecords, options: &Options) -> anyhow::Result<ExitCode> {
    let mut remembered = Remembered::load(&command.wanted, options)?;
    let required = command.wanted.records(&remembered, options)?;
    let resolver = resolver(command.resolver, &required.apex()).await?;
    let findings = Check::new(required).run(resolver.as_ref()).await;
    let now = SystemClock.now();
    let state = remembered.memory.state.advance(&findings, now);
    remembered.memory.state = state;
    remembered.save()?;
    let state = &remembered.memory.state;
    let report = Report::of_check(&findings, state);
    show(&report, command.json);
    if remembered.is_kept() {
        let (domain, owned) = (&command.wanted.domain, state.is_owned(now));
        match manage::note(domain, owned, options).await {
            Ok(true) if owned => {
                eprintln!("{domain} is verified: mail for it is taken from outside")
            }
            Ok(true) => {
                eprintln!("{domain} is not verified: mail for it is not taken from outside")
            }
            Ok(false) => {}
            // What was found out holds nevertheless.
            Err(error) => warn!("the directory does not know of this check: {error:#}"),
        }
    }
    Ok(ExitCode::from(report.conclusion().exit_code()))
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
