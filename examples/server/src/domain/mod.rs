//! `wm-server domain`: an organization's mail domains, the DNS records that they need, whether they
//! have them, and how they get there.

mod apply;
mod check;
mod directory;
mod manage;
mod wanted;

use std::process::ExitCode;

use clap::Subcommand;

use crate::config::Options;

pub(crate) use directory::{DomainAnswer, DomainRequest, Domains};

#[derive(Debug, Subcommand)]
pub(crate) enum Domain {
    /// Give an organization a domain
    Add(manage::Add),
    /// Take a domain away; refused while an address in it is in use
    Remove(manage::Remove),
    /// Make a domain the one of new addresses; those that there are stay as they are
    Default(manage::Default),
    /// Print the domains
    List(manage::List),
    /// Print the records that a domain needs
    Records(check::Records),
    /// Look whether a domain has them: exits with 0 when it has, 2 when something is missing or
    /// wrong, 3 when that could not be found out
    Check(check::CheckRecords),
    /// Add to the DNS what a domain lacks, by dynamic update: exits with 0 when it has everything then,
    /// 2 when something is left to do, 3 when the name server gives no answer
    Apply(apply::Apply),
}

/// Does what a command says.
pub(crate) async fn run(command: &Domain, options: &Options) -> anyhow::Result<ExitCode> {
    match command {
        Domain::Add(command) => manage::add(command, options).await,
        Domain::Remove(command) => manage::remove(command, options).await,
        Domain::Default(command) => manage::make_default(command, options).await,
        Domain::List(command) => manage::list(command, options).await,
        Domain::Records(command) => check::records(command, options),
        Domain::Check(command) => check::check(command, options).await,
        Domain::Apply(command) => apply::apply(command, options).await,
    }
}
