//! `wm-server check`: is everything in the data directory what it should be?

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::process::ExitCode;

use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};
use wm_core::traits::Directory;
use wm_core::{MailboxId, OrganizationId};
use wm_store::directory::StoredDirectory;
use wm_store::{CheckReport, Finding};

use crate::cli::Check;
use crate::config::Options;
use crate::control::Client;
use crate::data_dir::DataDir;
use crate::progress;
use crate::services;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    items: u64,
    bodies: u64,
    octets: u64,
    /// Octets that are no whole record; what power cuts leave of writes that nothing refers to.
    torn: u64,
    damaged: Vec<Damage>,
}

/// Something that is damaged, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Damage {
    organization: Option<String>,
    mailbox: Option<String>,
    /// The address of who has the mailbox, or the name without one.
    owner: Option<String>,
    item: Option<String>,
    what: String,
}

impl Report {
    /// What a check came to, with people's addresses where they can be had.
    pub(crate) async fn new(report: CheckReport, directory: Option<&StoredDirectory>) -> Self {
        Self {
            items: report.items,
            bodies: report.bodies,
            octets: report.octets,
            torn: report.torn,
            damaged: Damage::named(report.findings, directory).await,
        }
    }
}

impl Damage {
    /// What was found, with people's addresses where they can be had.
    pub(crate) async fn named(
        findings: Vec<Finding>,
        directory: Option<&StoredDirectory>,
    ) -> Vec<Self> {
        let mut owners = HashMap::new();
        let mut damages = Vec::new();
        for finding in findings {
            let owner = match (finding.mailbox, directory) {
                (Some(mailbox), Some(directory)) => {
                    if let Entry::Vacant(vacant) = owners.entry(mailbox.organization) {
                        vacant.insert(people(directory, mailbox.organization).await);
                    }
                    let known = owners.get(&mailbox.organization);
                    known.and_then(|known| known.get(&mailbox.mailbox).cloned())
                }
                _ => None,
            };
            damages.push(Self {
                organization: finding.organization.map(|id| id.to_string()),
                mailbox: finding.mailbox.map(|it| it.mailbox.to_string()),
                owner,
                item: finding.item.map(|id| id.to_string()),
                what: finding.what,
            });
        }
        damages
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = [
            ("organization", &self.organization),
            ("mailbox", &self.mailbox),
            ("of", &self.owner),
            ("item", &self.item),
        ];
        for (what, name) in owner {
            if let Some(name) = name {
                write!(f, "{what} {name}, ")?;
            }
        }
        f.write_str(&self.what)
    }
}

/// The addresses of who has which mailbox.
async fn people(
    directory: &StoredDirectory,
    organization: OrganizationId,
) -> HashMap<MailboxId, String> {
    let users = directory.users(organization).await.unwrap_or_default();
    let users = users
        .into_iter()
        .map(|user| (user.id.into(), user.primary, user.name));
    let resources = directory.resources(organization).await.unwrap_or_default();
    let resources = resources
        .into_iter()
        .map(|it| (it.id.into(), it.primary, it.name));
    users
        .chain(resources)
        .map(|(mailbox, primary, name)| (mailbox, primary.map_or(name, |it| it.to_string())))
        .collect()
}

/// Reads everything once; fails when something is damaged.
pub(crate) async fn run(command: &Check, options: &Options) -> anyhow::Result<ExitCode> {
    let data_dir = DataDir::existing(options.data_dir())?;
    let bar = progress::bar(0, command.json);
    let shown = bar.clone();
    let tell = move |done, of| {
        shown.set_length(of);
        shown.set_position(done);
    };
    let report = match Client::connect(&data_dir).await? {
        Some(mut client) => client.check().await?,
        None => {
            // The store alone, so that damage in the directory is reported as any other.
            let store = services::open_existing(&data_dir, options)?;
            let found = store.check(tell).await?;
            let directory = services::open_directory(&store).await.ok();
            Report::new(found, directory.as_ref()).await
        }
    };
    bar.finish_and_clear();

    if command.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(match report.damaged.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn print(report: &Report) {
    println!(
        "{} items, {} bodies, {}",
        report.items,
        report.bodies,
        HumanBytes(report.octets)
    );
    for damage in &report.damaged {
        println!("damaged: {damage}");
    }
    match report.damaged.len() {
        0 => println!("nothing is damaged"),
        count => println!("{count} damaged"),
    }
}
