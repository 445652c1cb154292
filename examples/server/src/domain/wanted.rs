//! Which records a domain is to have, and what is remembered of it between commands.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};
use wm_core::DomainName;
use wm_core::traits::{DnsName, IdSource};
use wm_dns::spf::Spf;
use wm_dns::{DomainSettings, DomainState, RequiredRecords};

use crate::config::Options;
use crate::data_dir::{DataDir, write_json};
use crate::source::SystemRandom;

/// What the records are to say.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// The mail domain
    #[arg(value_name = "DOMAIN")]
    pub(super) domain: DomainName,

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
pub(super) struct Memory {
    ownership_token: String,
    pub(super) state: DomainState,
}

/// A [`Memory`], and the file that keeps it; none when the command line gave the token.
pub(super) struct Remembered {
    pub(super) memory: Memory,
    file: Option<PathBuf>,
}

impl Wanted {
    pub(super) fn records(
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
    pub(super) fn load(wanted: &Wanted, options: &Options) -> anyhow::Result<Self> {
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

    /// Whether it is kept: not when the command line gave the token.
    pub(super) const fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn save(&self) -> anyhow::Result<()> {
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
