//! `wm-server export`: mail as files that other programs read.

use std::collections::BTreeSet;
use std::path::{self, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wm_core::traits::{Directory, Resolution};
use wm_core::{EmailAddress, MailboxRef, OrganizationId};
use wm_store::Store;
use wm_store::directory::StoredDirectory;
use wm_store::export::{ExportFormat, ExportOptions, Selection};

use crate::check::Damage;
use crate::config::Options;
use crate::control::Client;
use crate::data_dir::DataDir;
use crate::progress;
use crate::services;

/// Works on a running server or, when none runs, on the data directory itself.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Where to: a directory that is empty or not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    #[command(flatten)]
    what: What,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What is to be exported, and how.
#[derive(Debug, Args, Serialize, Deserialize)]
pub(crate) struct What {
    /// How: a file for each message, or one for each folder
    #[arg(long, value_enum, default_value = "maildir")]
    format: Format,

    /// Only this organization's mail [default: everybody's]
    #[arg(long, value_name = "ALIAS", conflicts_with = "mailbox")]
    organization: Option<String>,

    /// Only the mailbox that receives mail for this address; repeatable
    #[arg(long, value_name = "ADDRESS")]
    mailbox: Vec<EmailAddress>,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Maildir,
    Mbox,
}

/// What an export came to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Exported {
    mailboxes: u64,
    items: u64,
    octets: u64,
    damaged: Vec<Damage>,
}

/// Writes what can be read; fails when something could not.
pub(crate) async fn run(command: Export, options: &Options) -> anyhow::Result<ExitCode> {
    let data_dir = DataDir::existing(options.data_dir())?;
    // A server that runs may do so in another directory.
    let into = path::absolute(&command.dir)?;
    let bar = progress::counter(command.json);
    let shown = bar.clone();
    let tell = move |done, of| {
        shown.set_length(of);
        shown.set_position(done);
    };
    let exported = match Client::connect(&data_dir).await? {
        Some(mut client) => client.export(command.what, into, tell).await?,
        None => {
            let store = services::open_existing(&data_dir, options)?;
            let directory = services::open_directory(&store).await.ok();
            export(&store, directory.as_ref(), command.what, into, tell).await?
        }
    };
    bar.finish_and_clear();

    if command.json {
        println!("{}", serde_json::to_string_pretty(&exported)?);
    } else {
        println!(
            "{} items of {} mailboxes, {}, written to {}",
            exported.items,
            exported.mailboxes,
            HumanBytes(exported.octets),
            command.dir.display()
        );
        for damage in &exported.damaged {
            println!("left out: {damage}");
        }
    }
    Ok(match exported.damaged.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Exports on a thread of its own, which may wait for the disk. It ends when this is given up.
pub(crate) async fn export(
    store: &Store,
    directory: Option<&StoredDirectory>,
    what: What,
    into: PathBuf,
    progress: impl Fn(u64, u64) + Send + Sync + 'static,
) -> anyhow::Result<Exported> {
    let options = what.options(directory).await?;
    let (wanted, given_up) = oneshot::channel::<()>();
    let (on, handle) = (store.clone(), Handle::current());
    let export = move || {
        handle.block_on(async {
            tokio::select! {
                report = on.export(&into, options, progress) => {
                    Some(report.with_context(|| format!("cannot export to {}", into.display())))
                }
                _ = given_up => None,
            }
        })
    };
    let report = tokio::task::spawn_blocking(export).await?;
    drop(wanted);
    let report = report.context("the export was given up")??;
    Ok(Exported {
        mailboxes: report.mailboxes,
        items: report.items,
        octets: report.octets,
        damaged: Damage::named(report.damaged, directory).await,
    })
}

impl What {
    async fn options(&self, directory: Option<&StoredDirectory>) -> anyhow::Result<ExportOptions> {
        let selection = if let Some(name) = &self.organization {
            Selection::Organization(organization(name, directory).await?)
        } else if self.mailbox.is_empty() {
            Selection::All
        } else {
            let mut mailboxes = BTreeSet::new();
            for address in &self.mailbox {
                mailboxes.insert(mailbox(address, directory).await?);
            }
            Selection::Mailboxes(mailboxes)
        };
        let format = match self.format {
            Format::Maildir => ExportFormat::Maildir,
            Format::Mbox => ExportFormat::Mbox,
        };
        Ok(ExportOptions::from(format).of(selection))
    }
}

/// The organization of this alias or id.
async fn organization(
    name: &str,
    directory: Option<&StoredDirectory>,
) -> anyhow::Result<OrganizationId> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let directory = directory.context(UNREADABLE)?;
    let organizations = directory.organizations().await?;
    let found = organizations
        .iter()
        .find(|it| it.alias.as_str().eq_ignore_ascii_case(name));
    Ok(found
        .with_context(|| format!("there is no organization {name}"))?
        .id)
}

async fn mailbox(
    address: &EmailAddress,
    directory: Option<&StoredDirectory>,
) -> anyhow::Result<MailboxRef> {
    match directory.context(UNREADABLE)?.resolve(address).await? {
        Resolution::User(user) => Ok(user.mailbox()),
        Resolution::Resource(resource) => Ok(MailboxRef {
            organization: resource.organization,
            mailbox: resource.id.into(),
        }),
        Resolution::Group(_) => bail!("{address} is a group, which has no mailbox"),
        _ => bail!("nobody receives mail for {address}"),
    }
}

const UNREADABLE: &str =
    "the directory cannot be read, so nobody can be found in it: export everything";
