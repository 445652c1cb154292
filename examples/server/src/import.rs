//! `wm-server import`: mail that was exported, back into a store.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};
use wm_core::model::{
    EntityId, EntityState, MailDomain, Organization, OrganizationState, Resource, User,
};
use wm_core::traits::{
    Clock, Directory, DirectoryAdmin, DirectoryChange, DirectoryError, IdSource, NewOrganization,
    NewResource, NewUser, Resolution, UserUpdate,
};
use wm_core::{EmailAddress, MailboxId, MailboxRef, OrganizationId, Secret};

use crate::config::Options;
use crate::control::Client;
use crate::data_dir::DataDir;
use crate::progress;
use crate::services::Services;
use crate::setup;
use crate::source::{SystemClock, SystemRandom};

/// Works when no server runs on the data directory. A mailbox goes to whoever has its id or, failing that,
/// one of its addresses or its user name. What is there already is not put in again.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// What `export` wrote
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Make organizations, users and resources that do not exist; users get new passwords, which are
    /// printed
    #[arg(long)]
    create_users: bool,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What an import came to.
#[derive(Default, Serialize)]
struct Imported {
    mailboxes: Vec<ImportedMailbox>,
    /// Users that were made, and their passwords.
    created: Vec<Created>,
    /// What was not put in, and why.
    left_out: Vec<LeftOut>,
}

#[derive(Serialize)]
struct ImportedMailbox {
    name: String,
    items: u64,
    octets: u64,
    /// Items that were there already.
    present: u64,
}

#[derive(Serialize)]
struct Created {
    name: String,
    address: Option<EmailAddress>,
    password: String,
}

#[derive(Serialize)]
struct LeftOut {
    what: String,
    why: String,
}

/// `directory.json` of an export, as far as it is put back.
#[derive(Deserialize)]
struct Exported {
    organization: Option<Organization>,
    domains: Vec<MailDomain>,
    users: Vec<User>,
    resources: Vec<Resource>,
}

/// Whose mailbox it was, from `mailbox.json`.
#[derive(Deserialize)]
struct Whose {
    mailbox: MailboxId,
}

/// Imports; fails when something was left out.
pub(crate) async fn run(command: &Import, options: &Options) -> anyhow::Result<ExitCode> {
    let organizations = subdirectories(&command.dir)?;
    let data_dir = match command.create_users {
        true => DataDir::create(options.data_dir())?,
        false => {
            let data_dir = DataDir::existing(options.data_dir())?;
            data_dir.existing_store()?;
            data_dir
        }
    };
    anyhow::ensure!(
        Client::connect(&data_dir).await?.is_none(),
        "a server is at work on {}: end it first",
        data_dir.path().display()
    );
    let services = Services::open(&data_dir, options).await?;
    let mut importer = Importer {
        services: &services,
        create: command.create_users,
        quiet: command.json,
        imported: Imported::default(),
    };
    let mut found = false;
    for path in organizations {
        found |= importer.organization(&path).await?;
    }
    anyhow::ensure!(
        found,
        "{} has nothing that `export` wrote",
        command.dir.display()
    );
    let imported = importer.imported;
    // What was put in by many commits takes less once it is written anew.
    services.store.pack().await?;
    services.close()?;

    if command.json {
        println!("{}", serde_json::to_string_pretty(&imported)?);
    } else {
        print(&imported);
    }
    Ok(match imported.left_out.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

struct Importer<'a> {
    services: &'a Services,
    create: bool,
    quiet: bool,
    imported: Imported,
}

impl Importer<'_> {
    /// Puts in the mailboxes of one organization; answers whether there are any.
    async fn organization(&mut self, path: &Path) -> anyhow::Result<bool> {
        let mailboxes: Vec<_> = subdirectories(path)?
            .into_iter()
            .filter(|path| path.join("mailbox.json").is_file())
            .collect();
        let exported: Option<Exported> = match path.join("directory.json") {
            file if file.is_file() => Some(read_json(&file)?),
            _ => None,
        };
        let found = exported.is_some() || !mailboxes.is_empty();
        let into = match &exported {
            Some(exported) => self.organization_of(exported).await?,
            None => None,
        };
        let (Some(exported), Some(organization)) = (exported, into) else {
            for path in mailboxes {
                let why = "there is no such organization; --create-users makes it";
                self.leave_out(path.display(), why);
            }
            return Ok(found);
        };
        for path in mailboxes {
            let Whose { mailbox } = read_json(&path.join("mailbox.json"))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let owner = self.owner(organization, &exported, mailbox).await;
            match owner {
                Ok(mailbox) => {
                    let into = MailboxRef {
                        organization,
                        mailbox,
                    };
                    self.mailbox(&path, &name, into).await?;
                }
                Err(error) => self.leave_out(name, format!("{error:#}")),
            }
        }
        Ok(found)
    }

    /// The organization that the exported one is here: by id, else by alias, else made.
    async fn organization_of(
        &mut self,
        exported: &Exported,
    ) -> anyhow::Result<Option<OrganizationId>> {
        let Some(old) = &exported.organization else {
            return Ok(None);
        };
        let there = self.services.directory.organizations().await?;
        let mut living = there
            .iter()
            .filter(|it| it.state != OrganizationState::Deleted);
        if let Some(known) = living
            .clone()
            .find(|it| it.id == old.id)
            .or_else(|| living.find(|it| it.alias == old.alias))
        {
            return Ok(Some(known.id));
        }
        if !self.create {
            return Ok(None);
        }
        let new = NewOrganization {
            id: old.id,
            account: old.account,
            alias: old.alias.clone(),
            test_domain: old.test_domain.clone(),
            at: SystemClock.now(),
        };
        let audit = setup::audit(old.account, old.id, "CreateOrganization");
        let directory = &self.services.directory;
        directory.create_organization(new, audit).await?;
        for domain in exported.domains.iter().filter(|domain| !domain.test) {
            let name = domain.name.clone();
            self.change(old.id, DirectoryChange::AddDomain(name.clone()))
                .await?;
            let verified = DirectoryChange::SetDomainVerified(name, domain.verified);
            self.change(old.id, verified).await?;
        }
        let default = DirectoryChange::SetDefaultDomain(old.default_domain.clone());
        self.change(old.id, default).await?;
        Ok(Some(old.id))
    }

    /// The mailbox that an exported one is here.
    async fn owner(
        &mut self,
        organization: OrganizationId,
        exported: &Exported,
        mailbox: MailboxId,
    ) -> anyhow::Result<MailboxId> {
        let user = exported.users.iter().find(|it| mailbox == it.id.into());
        let resource = exported.resources.iter().find(|it| mailbox == it.id.into());
        let directory = self.services.directory.clone();
        if let Some(user) = user {
            if directory.user(organization, user.id).await?.is_some() {
                return Ok(mailbox);
            }
            let addresses: Vec<_> = user.addresses().collect();
            if let Some(found) = self.reached(organization, &addresses).await? {
                return Ok(found);
            }
            let users = directory.users(organization).await?;
            let named = users
                .iter()
                .find(|it| it.name.to_lowercase() == user.name.to_lowercase());
            if let Some(named) = named {
                return Ok(named.id.into());
            }
            anyhow::ensure!(
                self.create,
                "there is no such user; --create-users makes it"
            );
            self.create_user(organization, user).await?;
            return Ok(mailbox);
        }
        let resource = resource.context("the export does not say whose it is")?;
        if directory
            .resource(organization, resource.id)
            .await?
            .is_some()
        {
            return Ok(mailbox);
        }
        let addresses: Vec<_> = resource.primary.iter().chain(&resource.aliases).collect();
        if let Some(found) = self.reached(organization, &addresses).await? {
            return Ok(found);
        }
        anyhow::ensure!(
            self.create,
            "there is no such resource; --create-users makes it"
        );
        let new = NewResource {
            id: resource.id,
            name: resource.name.clone(),
            kind: resource.kind,
            description: resource.description.clone(),
            at: SystemClock.now(),
        };
        self.change(organization, DirectoryChange::CreateResource(new))
            .await?;
        let booking = DirectoryChange::SetBooking(resource.id, resource.booking);
        self.change(organization, booking).await?;
        let id = resource.id.into();
        self.enable(
            organization,
            id,
            resource.state,
            resource.primary.as_ref(),
            &resource.aliases,
        )
        .await?;
        Ok(mailbox)
    }

    /// The mailbox of this organization that one of the addresses reaches.
    async fn reached(
        &self,
        organization: OrganizationId,
        addresses: &[&EmailAddress],
    ) -> Result<Option<MailboxId>, DirectoryError> {
        for address in addresses {
            match self.services.directory.resolve(address).await? {
                Resolution::User(user) if user.organization == organization => {
                    return Ok(Some(user.id.into()));
                }
                Resolution::Resource(it) if it.organization == organization => {
                    return Ok(Some(it.id.into()));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    async fn create_user(
        &mut self,
        organization: OrganizationId,
        user: &User,
    ) -> anyhow::Result<()> {
        let password = setup::password(SystemRandom.fresh());
        let new = NewUser {
            id: user.id,
            name: user.name.clone(),
            names: user.names.clone(),
            role: user.role,
            password: Some(Secret::new(password.clone())),
            at: SystemClock.now(),
        };
        self.change(organization, DirectoryChange::CreateUser(new))
            .await?;
        self.imported.created.push(Created {
            name: user.name.clone(),
            address: user.primary.clone(),
            password,
        });
        let update = UserUpdate {
            names: None,
            contact: Some(user.contact.clone()),
            quota: Some(user.quota),
        };
        self.change(organization, DirectoryChange::UpdateUser(user.id, update))
            .await?;
        self.enable(
            organization,
            user.id.into(),
            user.state,
            user.primary.as_ref(),
            &user.aliases,
        )
        .await
    }

    /// Gives an entity that was enabled its addresses.
    async fn enable(
        &self,
        organization: OrganizationId,
        id: EntityId,
        state: EntityState,
        primary: Option<&EmailAddress>,
        aliases: &[EmailAddress],
    ) -> anyhow::Result<()> {
        let Some(primary) = primary.filter(|_| state.is_enabled()) else {
            return Ok(());
        };
        let enable = DirectoryChange::Enable(id, primary.clone());
        self.change(organization, enable).await?;
        for alias in aliases {
            let add = DirectoryChange::AddAlias(id, alias.clone());
            match self.change(organization, add).await {
                // That of the test domain it has already.
                Ok(()) | Err(DirectoryError::AddressInUse(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn change(
        &self,
        organization: OrganizationId,
        change: DirectoryChange,
    ) -> Result<(), DirectoryError> {
        let directory = &self.services.directory;
        let known = directory.organization(organization).await?;
        let known = known.ok_or(DirectoryError::NoSuchOrganization(organization))?;
        let audit = setup::audit(known.account, organization, "Import");
        directory.change(organization, change, audit).await
    }

    async fn mailbox(&mut self, path: &Path, name: &str, into: MailboxRef) -> anyhow::Result<()> {
        let bar = progress::counter(self.quiet);
        bar.set_message(name.to_owned());
        let shown = bar.clone();
        let tell = move |done, of| {
            shown.set_length(of);
            shown.set_position(done);
        };
        let report = self
            .services
            .store
            .import(path, into, SystemClock.now(), tell)
            .await;
        bar.finish_and_clear();
        let report = report.with_context(|| format!("cannot import {}", path.display()))?;
        for failure in report.failed {
            self.leave_out(path.join(failure.file).display(), failure.why);
        }
        self.imported.mailboxes.push(ImportedMailbox {
            name: name.to_owned(),
            items: report.items,
            octets: report.octets,
            present: report.present,
        });
        Ok(())
    }

    fn leave_out(&mut self, what: impl ToString, why: impl Into<String>) {
        self.imported.left_out.push(LeftOut {
            what: what.to_string(),
            why: why.into(),
        });
    }
}

fn print(imported: &Imported) {
    for mailbox in &imported.mailboxes {
        println!(
            "{}: {} items, {}, put in; {} were there",
            mailbox.name,
            mailbox.items,
            HumanBytes(mailbox.octets),
            mailbox.present
        );
    }
    for Created {
        name,
        address,
        password,
    } in &imported.created
    {
        let address = address
            .as_ref()
            .map_or("no address".into(), EmailAddress::to_string);
        println!("made user {name}, {address}, password {password}");
    }
    for LeftOut { what, why } in &imported.left_out {
        println!("left out: {what}: {why}");
    }
}

/// The directories in a directory, by name.
fn subdirectories(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let list = || {
        let entries = fs::read_dir(path)?.collect::<std::io::Result<Vec<_>>>()?;
        Ok::<_, std::io::Error>(entries.into_iter().map(|entry| entry.path()))
    };
    let entries = list().with_context(|| format!("cannot read {}", path.display()))?;
    let mut found: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    Ok(found)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let read = || Ok::<_, anyhow::Error>(serde_json::from_slice(&fs::read(path)?)?);
    read().with_context(|| format!("cannot read {}", path.display()))
}
