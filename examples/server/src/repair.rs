//! `wm-server repair`: a new engine in place of a damaged one.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use wm_store::directory::StoredDirectory;
use wm_store::engine::SyncPolicy;
use wm_store::repair::{self, RepairReport, Step};

use crate::check::Damage;
use crate::config::{EngineKind, Options};
use crate::control::Client;
use crate::data_dir::DataDir;
use crate::progress;
use crate::services;

/// Works when no server runs on the data directory. Brings back every message and who it belongs to, from
/// the journal, the bodies and what is left of the engine, which is kept. Clients synchronise afresh.
#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// The engine to make, where nothing says which there was
    #[arg(long, value_enum, value_name = "ENGINE")]
    engine: Option<EngineKind>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What a repair came to.
#[derive(Debug, Serialize)]
struct Repaired {
    items: u64,
    /// Whether everything is as it was last.
    exact: bool,
    salvaged: u64,
    /// What has lost its name, permissions and quota.
    remade: Vec<Remade>,
    kept: Option<String>,
    damaged: Vec<Damage>,
}

#[derive(Debug, Serialize)]
struct Remade {
    organization: String,
    mailbox: String,
    folder: Option<String>,
}

/// Repairs; fails when something stays damaged or has lost its name.
pub(crate) async fn run(command: &Repair, options: &Options) -> anyhow::Result<ExitCode> {
    let data_dir = DataDir::existing(options.data_dir())?;
    let store = data_dir.existing_store()?;
    anyhow::ensure!(
        Client::connect(&data_dir).await?.is_none(),
        "a server is at work on {}: end it first",
        data_dir.path().display()
    );
    services::require_master_key(&store)?;
    let kind = services::engine_of(&store)
        .or(command.engine)
        .unwrap_or_default();

    let bar = progress::counter(command.json);
    let shown = bar.clone();
    let tell = move |step, done, of| {
        shown.set_message(match step {
            Step::Records => "records",
            Step::Bodies => "bodies",
            Step::Indexes => "indexes",
            _ => "check",
        });
        shown.set_length(of);
        shown.set_position(done);
    };
    let open = |path: PathBuf| services::open_kind(kind, &path, SyncPolicy::Durable);
    let report = repair::in_directory(&store, open, tell)
        .await
        .with_context(|| format!("cannot repair the store in {}", store.display()))?;
    bar.finish_and_clear();
    let whole = report.check.findings.is_empty() && report.remade.is_empty();

    let opened = services::open_existing(&data_dir, options)?;
    let directory = services::open_directory(&opened).await.ok();
    let repaired = Repaired::new(report, directory.as_ref()).await;
    if command.json {
        println!("{}", serde_json::to_string_pretty(&repaired)?);
    } else {
        print(&repaired);
    }
    Ok(match whole {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

impl Repaired {
    async fn new(report: RepairReport, directory: Option<&StoredDirectory>) -> Self {
        let remade = report.remade.into_iter().map(|(mailbox, folder)| Remade {
            organization: mailbox.organization.to_string(),
            mailbox: mailbox.mailbox.to_string(),
            folder: folder.map(|folder| folder.to_string()),
        });
        Self {
            items: report.items,
            exact: report.exact,
            salvaged: report.salvaged,
            remade: remade.collect(),
            kept: report.kept.map(|path| path.display().to_string()),
            damaged: Damage::named(report.check.findings, directory).await,
        }
    }
}

fn print(repaired: &Repaired) {
    println!("{} items are there", repaired.items);
    match repaired.exact {
        true => println!("everything is as it was last"),
        false => println!(
            "what was changed last may be as it was before, what was deleted last may be back"
        ),
    }
    if let Some(kept) = &repaired.kept {
        println!("the old engine is kept in {kept}: remove it when you are content");
    }
    for remade in &repaired.remade {
        let folder = remade.folder.as_ref();
        let what = folder.map_or_else(|| "it".into(), |folder| format!("its folder {folder}"));
        println!(
            "mailbox {} / {}: {what} has its items, but no longer its name and permissions",
            remade.organization, remade.mailbox
        );
    }
    for damage in &repaired.damaged {
        println!("damaged: {damage}");
    }
}
