//! The command line.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use rustix::fs::Mode;
use tracing_subscriber::EnvFilter;
use wm_core::EmailAddress;

use crate::config::Options;
use crate::domain::{self, Domain};
use crate::export::{self, Export};
use crate::import::{self, Import};
use crate::repair::{self, Repair};
use crate::{check, deliver, serve};

/// A mail server for one machine: SMTP in, IMAP out, everything in one data directory.
///
/// Without a command it serves. The first start on an empty data directory makes an organization, users
/// and a certificate, and says how to log in.
#[derive(Debug, Parser)]
#[command(name = "wm-server", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    options: Options,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or ctrl-c (the default)
    Serve(Box<Options>),
    /// Deliver messages from files, as if they had come by SMTP
    Deliver(Deliver),
    /// Verify the data directory; changes nothing
    Check(Check),
    /// Write mail to files: Maildirs or mbox files, with everything else as JSON
    Export(Export),
    /// Put mail that was exported to Maildirs back
    Import(Import),
    /// Make the store whole again when its engine is damaged
    Repair(Repair),
    /// The DNS records of a mail domain
    #[command(subcommand)]
    Domain(Domain),
}

/// Works on a running server or, when none runs, on the data directory itself.
#[derive(Debug, Args)]
pub(crate) struct Deliver {
    /// Message files, mbox files or Maildir folders
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Who receives them
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: EmailAddress,

    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Works on a running server or, when none runs, on the data directory itself.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Does what the command line says.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    // Mail is private: nothing this process makes is open to others.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let Cli { options, command } = Cli::parse();
    let (options, command) = match command {
        Some(Command::Serve(more)) => (more.or(options), None),
        other => (options, other),
    };
    anyhow::ensure!(
        command.is_none() || options.is_general(),
        "of the flags before a command only --data-dir, --config and --log go with it"
    );
    let options = options.with_file()?;
    log(options.log())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Some(Command::Deliver(deliver)) => deliver::run(deliver, &options).await,
            Some(Command::Check(check)) => check::run(&check, &options).await,
            Some(Command::Export(command)) => export::run(command, &options).await,
            Some(Command::Import(command)) => import::run(&command, &options).await,
            Some(Command::Repair(command)) => repair::run(&command, &options).await,
            Some(Command::Domain(command)) => domain::run(&command, &options).await,
            _ => serve::run(&options).await,
        }
    })
}

fn log(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| {
        format!(
            "--log {filter:?} is neither a level (error, warn, info, debug, trace) nor a filter"
        )
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_data_directory_may_stand_before_or_after_the_command() {
        for words in [
            ["--data-dir", "/d", "check"],
            ["check", "--data-dir", "/d"],
            ["serve", "--data-dir", "/d"],
            ["--data-dir", "/d", "serve"],
        ] {
            let cli = Cli::try_parse_from(["wm-server"].iter().chain(&words)).unwrap();
            let options = match cli.command {
                Some(Command::Serve(more)) => more.or(cli.options),
                _ => cli.options,
            };
            assert_eq!(options.data_dir, Some("/d".into()), "{words:?}");
        }
    }
}
