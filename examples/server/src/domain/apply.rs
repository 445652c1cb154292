//! `domain apply`: what a domain lacks is added to its zone by dynamic update, after it was shown.

use std::fs;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Serialize;
use wm_core::Secret;
use wm_core::traits::DnsName;
use wm_dns::export::zone_line;
use wm_dns::provider::rfc2136::{Link, Rfc2136, TsigAlgorithm, TsigKey};
use wm_dns::provider::{Plan, ProviderError};
use wm_dns::resolver::TokioWire;
use wm_dns::{Conclusion, RequiredRecord, RequiredRecords};

use super::wanted::{Remembered, Wanted};
use crate::config::Options;
use crate::source::{SystemClock, SystemRandom};

#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    wanted: Wanted,

    /// The primary name server of the domain's zone, which takes dynamic updates (RFC 2136)
    #[arg(long, value_name = "ADDRESS:PORT")]
    rfc2136: SocketAddr,

    /// The name of the key that updates are signed with (TSIG) [default: updates are not signed]
    #[arg(long, value_name = "NAME")]
    tsig_name: Option<DnsName>,

    /// A file with the key's secret in base 64 [default: the variable WM_TSIG_SECRET]
    #[arg(long, value_name = "FILE", requires = "tsig_name")]
    tsig_secret_file: Option<PathBuf>,

    /// How updates are signed: hmac-sha256, hmac-sha384 or hmac-sha512
    #[arg(
        long,
        value_name = "NAME",
        default_value = "hmac-sha256",
        requires = "tsig_name"
    )]
    tsig_algorithm: TsigAlgorithm,

    /// Add without asking
    #[arg(long)]
    yes: bool,

    /// Show what would be added, and add nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Print the result as JSON; asks nothing, so that --yes or --dry-run has to say what to do
    #[arg(long)]
    json: bool,
}

/// What was done, as `--json` prints it. Records are lines of a zone file.
#[derive(Debug, Serialize)]
struct Outcome {
    domain: String,
    zone: String,
    /// What the zone lacked.
    add: Vec<String>,
    /// Whether that has been added.
    applied: bool,
    /// What it has already.
    keep: Vec<String>,
    /// What cannot be added because of what is there.
    conflict: Vec<Obstacle>,
    /// Why nothing was added, when that was tried.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Obstacle {
    record: String,
    present: Vec<String>,
    hint: String,
}

/// Variable with a secret, which would be seen by everybody on a command line.
const SECRET: &str = "WM_TSIG_SECRET";

/// How long a name server has for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn apply(command: &Apply, options: &Options) -> anyhow::Result<ExitCode> {
    let may_ask = !command.json && std::io::stdin().is_terminal();
    ensure!(
        command.yes || command.dry_run || may_ask,
        "--yes says that records may be added, --dry-run that they are only to be shown"
    );
    let remembered = Remembered::load(&command.wanted, options)?;
    let required = command.wanted.records(&remembered, options)?;
    let link = command.link()?;
    match command.add(link, &required).await {
        Ok(code) => Ok(code),
        Err(error) => {
            let conclusion = match error {
                ProviderError::Unreachable(_) => Conclusion::CouldNotCheck,
                _ => Conclusion::NotVerified,
            };
            if command.json {
                let mut outcome = Outcome::new(&required, "", &Plan::default());
                outcome.error = Some(error.to_string());
                println!("{}", serde_json::to_string_pretty(&outcome)?);
            } else {
                eprintln!("wm-server: {error}");
            }
            Ok(ExitCode::from(conclusion.exit_code()))
        }
    }
}

impl Apply {
    async fn add(
        &self,
        link: Link<TokioWire>,
        required: &RequiredRecords,
    ) -> Result<ExitCode, ProviderError> {
        let provider = Rfc2136::for_domain(link, &required.apex()).await?;
        let plan = Plan::with(&provider, required).await?;
        if !self.json {
            print!("{plan}");
        }
        let mut outcome = Outcome::new(required, provider.zone().as_str(), &plan);
        let is_wanted = !plan.add.is_empty() && !self.dry_run && (self.yes || self.ask(&plan));
        let mut left = plan;
        if is_wanted {
            left.apply(&provider).await?;
            // A server may say yes and ignore a record (RFC 2136 §3.4.2.2): what it has now counts.
            left = Plan::with(&provider, required).await?;
            outcome.applied = left.add.is_empty();
        }
        let conclusion = match left.is_done() {
            true => Conclusion::Verified,
            false => Conclusion::NotVerified,
        };
        if self.json {
            // Texts and lists only: nothing that serde_json could refuse.
            println!(
                "{}",
                serde_json::to_string_pretty(&outcome).unwrap_or_default()
            );
        } else {
            println!("{}", outcome.in_words(&left));
        }
        Ok(ExitCode::from(conclusion.exit_code()))
    }

    fn ask(&self, plan: &Plan) -> bool {
        let count = plan.add.len();
        print!("Add {count} records? [y/N] ");
        let mut answer = String::new();
        let read = std::io::stdout()
            .flush()
            .and_then(|()| std::io::stdin().read_line(&mut answer));
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    fn link(&self) -> anyhow::Result<Link<TokioWire>> {
        Ok(Link {
            wire: TokioWire,
            server: self.rfc2136,
            key: self.key()?,
            timeout: TIMEOUT,
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemRandom),
        })
    }

    fn key(&self) -> anyhow::Result<Option<TsigKey>> {
        let Some(name) = &self.tsig_name else {
            return Ok(None);
        };
        let (text, source) = match &self.tsig_secret_file {
            Some(file) => (
                fs::read_to_string(file)
                    .with_context(|| format!("cannot read {}", file.display()))?,
                file.display().to_string(),
            ),
            None => match std::env::var(SECRET) {
                Ok(text) => (text, SECRET.to_owned()),
                Err(_) => bail!("--tsig-secret-file or {SECRET} has to give the key's secret"),
            },
        };
        let text = Secret::new(text);
        let secret = STANDARD.decode(text.expose().trim());
        // The error would show parts of the secret.
        let secret = secret.ok().filter(|secret| !secret.is_empty());
        let secret = secret.with_context(|| format!("{source} holds no secret in base 64"))?;
        Ok(Some(TsigKey::new(
            name.clone(),
            self.tsig_algorithm,
            Secret::new(secret),
        )))
    }
}

impl Outcome {
    fn new(required: &RequiredRecords, zone: &str, plan: &Plan) -> Self {
        let line = |record: &RequiredRecord| {
            zone_line(&wm_core::traits::Record {
                name: record.name.clone(),
                ttl: record.ttl,
                data: record.data.clone(),
            })
        };
        let conflicts = plan.conflict.iter().map(|conflict| Obstacle {
            record: line(&conflict.record),
            present: conflict.present.iter().map(zone_line).collect(),
            hint: conflict.hint.clone(),
        });
        Self {
            domain: required.domain().to_string(),
            zone: zone.to_owned(),
            add: plan.add.iter().map(zone_line).collect(),
            applied: false,
            keep: plan.keep.iter().map(line).collect(),
            conflict: conflicts.collect(),
            error: None,
        }
    }

    fn in_words(&self, left: &Plan) -> String {
        let (missing, conflicts) = (left.add.len(), left.conflict.len());
        let added = match (self.applied, self.add.len()) {
            (true, 1) => "1 record added. ".to_owned(),
            (true, count) => format!("{count} records added. "),
            (false, _) => String::new(),
        };
        let rest = match (missing, conflicts) {
            (0, 0) => "The zone has every record.".to_owned(),
            (0, 1) => "1 record is in conflict with what is there.".to_owned(),
            (0, count) => format!("{count} records are in conflict with what is there."),
            (missing, 0) => format!("The zone lacks {missing} of them."),
            (missing, conflicts) => {
                format!("The zone lacks {missing} of them, and {conflicts} are in conflict.")
            }
        };
        added + &rest
    }
}
