//! `wm-server check`: is everything in the data directory what it should be?

use std::process::ExitCode;

use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};
use wm_store::CheckReport;

use crate::cli::Check;
use crate::config::Options;
use crate::data_dir::DataDir;
use crate::progress;
use crate::services::Reached;

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
struct Damage {
    organization: Option<String>,
    mailbox: Option<String>,
    item: Option<String>,
    what: String,
}

impl From<CheckReport> for Report {
    fn from(report: CheckReport) -> Self {
        let damaged = report.findings.into_iter().map(|finding| Damage {
            organization: finding.organization.map(|id| id.to_string()),
            mailbox: finding.mailbox.map(|it| it.mailbox.to_string()),
            item: finding.item.map(|id| id.to_string()),
            what: finding.what,
        });
        Self {
            items: report.items,
            bodies: report.bodies,
            octets: report.octets,
            torn: report.torn,
            damaged: damaged.collect(),
        }
    }
}

/// Reads everything once; fails when something is damaged.
pub(crate) async fn run(command: &Check, options: &Options) -> anyhow::Result<ExitCode> {
    let data_dir = DataDir::existing(options.data_dir())?;
    let mut store = Reached::reach(&data_dir, options).await?;
    let bar = progress::bar(0, command.json);
    let shown = bar.clone();
    let report = store.check(move |done, of| {
        shown.set_length(of);
        shown.set_position(done);
    });
    let report = report.await?;
    bar.finish_and_clear();
    store.close()?;

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
        let owner = [&damage.organization, &damage.mailbox, &damage.item];
        let owner: Vec<&str> = owner.into_iter().flatten().map(String::as_str).collect();
        match owner.is_empty() {
            true => println!("damaged: {}", damage.what),
            false => println!("damaged: {}: {}", owner.join(" / "), damage.what),
        }
    }
    match report.damaged.len() {
        0 => println!("nothing is damaged"),
        count => println!("{count} damaged"),
    }
}
