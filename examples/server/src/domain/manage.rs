//! `domain add`, `remove`, `default` and `list`: on a running server or, when none runs, on the data
//! directory itself.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use wm_core::model::OrganizationAlias;
use wm_core::{DomainName, EmailAddress};

use super::directory::{DomainRequest, ListedDomain};
use crate::config::Options;
use crate::data_dir::DataDir;
use crate::services::Reached;

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[arg(value_name = "DOMAIN")]
    domain: DomainName,

    /// The organization [default: the only one]
    #[arg(long, value_name = "ALIAS")]
    organization: Option<OrganizationAlias>,

    /// Who gets mail for postmaster and abuse in the domain, which every domain should have
    #[arg(long, value_name = "ADDRESS")]
    postmaster: Option<EmailAddress>,

    /// Add more domains than the 100 of a setup, up to 1,000
    #[arg(long)]
    beyond_setup: bool,

    /// Print the domain as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[arg(value_name = "DOMAIN")]
    domain: DomainName,

    /// Take away the aliases postmaster and abuse with it
    #[arg(long)]
    role_addresses: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Default {
    #[arg(value_name = "DOMAIN")]
    domain: DomainName,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this organization
    #[arg(long, value_name = "ALIAS")]
    organization: Option<OrganizationAlias>,

    /// Print the domains as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn add(command: &Add, options: &Options) -> anyhow::Result<ExitCode> {
    let request = DomainRequest::Add {
        domain: command.domain.clone(),
        organization: command.organization.clone(),
        postmaster: command.postmaster.clone(),
        beyond_setup: command.beyond_setup,
    };
    let domains = ask(request, options).await?;
    if command.json {
        println!("{}", serde_json::to_string_pretty(&domains)?);
        return Ok(ExitCode::SUCCESS);
    }
    for line in &domains {
        let domain = &line.domain;
        println!("{domain} belongs to {}", line.organization);
        if !line.verified {
            println!(
                "Mail for it is taken from outside once its ownership is proved: publish what \
                 \"wm-server domain records {domain}\" prints, then \"wm-server domain check {domain}\""
            );
        }
        if !line.missing_addresses.is_empty() {
            println!(
                "Nobody gets mail for {} yet: \"wm-server domain add {domain} --postmaster ADDRESS\" \
                 gives it to somebody",
                joined(&line.missing_addresses)
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn remove(command: &Remove, options: &Options) -> anyhow::Result<ExitCode> {
    let request = DomainRequest::Remove {
        domain: command.domain.clone(),
        role_addresses: command.role_addresses,
    };
    ask(request, options).await?;
    println!("{} is removed", command.domain);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn make_default(command: &Default, options: &Options) -> anyhow::Result<ExitCode> {
    let request = DomainRequest::Default {
        domain: command.domain.clone(),
    };
    for line in ask(request, options).await? {
        println!(
            "{} is the default domain of {}",
            line.domain, line.organization
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn list(command: &List, options: &Options) -> anyhow::Result<ExitCode> {
    let request = DomainRequest::List {
        organization: command.organization.clone(),
    };
    let domains = ask(request, options).await?;
    if command.json {
        println!("{}", serde_json::to_string_pretty(&domains)?);
    } else {
        print!("{}", table(&domains));
    }
    Ok(ExitCode::SUCCESS)
}

/// Notes whether a domain's ownership is proved, where there is a directory that has the domain.
/// Answers whether that is news.
pub(super) async fn note(
    domain: &DomainName,
    verified: bool,
    options: &Options,
) -> anyhow::Result<bool> {
    let data_dir = DataDir::existing(options.data_dir())?;
    if !data_dir.store().is_dir() {
        return Ok(false);
    }
    let request = DomainRequest::Verified {
        domain: domain.clone(),
        verified,
    };
    Ok(!ask(request, options).await?.is_empty())
}

async fn ask(request: DomainRequest, options: &Options) -> anyhow::Result<Vec<ListedDomain>> {
    let data_dir = DataDir::existing(options.data_dir())?;
    let mut server = Reached::reach(&data_dir, options).await?;
    let answer = server.domain(request).await;
    server.close()?;
    match answer? {
        Ok(domains) => Ok(domains),
        Err(why) => bail!("{why}"),
    }
}

fn table(domains: &[ListedDomain]) -> String {
    let widths = domains
        .iter()
        .map(|line| line.domain.to_string().chars().count());
    let width = widths.max().unwrap_or_default().max("DOMAIN".len());
    let mut text = format!(
        "{:<width$} {:<12} {:<9} ORGANIZATION\n",
        "DOMAIN", "OWNERSHIP", ""
    );
    for line in domains {
        let ownership = if line.verified {
            "verified"
        } else {
            "not verified"
        };
        let kind = match (line.default, line.test) {
            (true, _) => "default",
            (false, true) => "test",
            (false, false) => "",
        };
        let domain = line.domain.to_string();
        text.push_str(&format!(
            "{domain:<width$} {ownership:<12} {kind:<9} {}\n",
            line.organization
        ));
    }
    text
}

fn joined(addresses: &[EmailAddress]) -> String {
    let texts: Vec<String> = addresses.iter().map(EmailAddress::to_string).collect();
    texts.join(" and ")
}
