//! Quick setup (ORG-3): what the first start makes, so that there is somebody to send mail to.

use std::fmt::{self, Write};
use std::fs;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use wm_core::model::{EntityId, Names, OrganizationAlias, UserRole};
use wm_core::traits::{
    AuditEvent, AuditOutcome, Clock, DirectoryAdmin, DirectoryChange, IdSource, NewOrganization,
    NewUser,
};
use wm_core::{AccountId, DomainName, EmailAddress, OrganizationId, Secret, UserId};

use crate::config::Options;
use crate::data_dir::{DataDir, write_json};
use crate::source::{SystemClock, SystemRandom};

/// An organization with its users: the content of `quick-setup.json`. `Display` shows it as a table,
/// passwords included; there is no `Debug`.
#[derive(Serialize, Deserialize)]
pub(crate) struct QuickSetup {
    organization: SetupOrganization,
    users: Vec<SetupUser>,
}

#[derive(Serialize, Deserialize)]
struct SetupOrganization {
    id: OrganizationId,
    alias: OrganizationAlias,
    domain: DomainName,
}

#[derive(Serialize, Deserialize)]
struct SetupUser {
    name: String,
    address: EmailAddress,
    password: String,
}

/// What setup works with.
pub(crate) struct Setup<'a> {
    pub(crate) data_dir: &'a DataDir,
    pub(crate) directory: &'a dyn DirectoryAdmin,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) ids: &'a dyn IdSource,
}

impl Setup<'_> {
    /// Makes what the options ask for when there is no organization yet. The plan is on disk before
    /// anything is made, so that a start cut short is completed by the next one.
    pub(crate) async fn at_first_start(
        &self,
        options: &Options,
    ) -> anyhow::Result<Option<QuickSetup>> {
        let plan_file = self.data_dir.quick_setup_plan();
        let plan = match fs::read(&plan_file) {
            Ok(plan) => serde_json::from_slice(&plan)
                .with_context(|| format!("{} is damaged: remove it", plan_file.display()))?,
            Err(_) if self.directory.organizations().await?.is_empty() => {
                let plan = QuickSetup::plan(options, self.ids)?;
                write_json(&plan_file, &plan)?;
                plan
            }
            Err(_) => {
                if options.alias.is_some() || !options.user.is_empty() {
                    warn!("there is an organization already: --alias and --user have no effect");
                }
                return Ok(None);
            }
        };
        self.carry_out(&plan).await?;
        fs::rename(&plan_file, self.data_dir.quick_setup())
            .with_context(|| format!("cannot rename {}", plan_file.display()))?;
        info!(organization = %plan.organization.alias, "quick setup is done");
        Ok(Some(plan))
    }

    /// Makes what is not there yet.
    async fn carry_out(&self, plan: &QuickSetup) -> anyhow::Result<()> {
        let organization = plan.organization.id;
        if self.directory.organization(organization).await?.is_none() {
            let new = NewOrganization {
                id: organization,
                account: ACCOUNT,
                alias: plan.organization.alias.clone(),
                test_domain: plan.organization.domain.clone(),
                at: self.clock.now(),
            };
            let audit = self.audit(plan, "CreateOrganization");
            self.directory.create_organization(new, audit).await?;
        }
        let present = self.directory.users(organization).await?;
        for user in &plan.users {
            let known = present.iter().find(|other| other.name == user.name);
            let id = match known {
                Some(known) if known.state.is_enabled() => continue,
                Some(known) => known.id,
                None => self.create_user(plan, user).await?,
            };
            let enable = DirectoryChange::Enable(EntityId::User(id), user.address.clone());
            self.change(plan, enable, "RegisterToWorkMail").await?;
        }
        Ok(())
    }

    async fn create_user(&self, plan: &QuickSetup, user: &SetupUser) -> anyhow::Result<UserId> {
        let id = UserId::from_u128(self.ids.fresh());
        let new = NewUser {
            id,
            name: user.name.clone(),
            names: Names {
                display: user.name.clone(),
                ..Names::default()
            },
            role: UserRole::User,
            password: Some(Secret::new(user.password.clone())),
            at: self.clock.now(),
        };
        self.change(plan, DirectoryChange::CreateUser(new), "CreateUser")
            .await
            .with_context(|| format!("cannot make the user {}", user.name))?;
        Ok(id)
    }

    async fn change(
        &self,
        plan: &QuickSetup,
        change: DirectoryChange,
        name: &str,
    ) -> anyhow::Result<()> {
        let audit = self.audit(plan, name);
        Ok(self
            .directory
            .change(plan.organization.id, change, audit)
            .await?)
    }

    fn audit(&self, plan: &QuickSetup, name: &str) -> AuditEvent {
        event(self.clock, self.ids, ACCOUNT, plan.organization.id, name)
    }
}

/// What the audit log says of something that the server does of itself, now.
pub(crate) fn audit(account: AccountId, organization: OrganizationId, name: &str) -> AuditEvent {
    event(&SystemClock, &SystemRandom, account, organization, name)
}

fn event(
    clock: &dyn Clock,
    ids: &dyn IdSource,
    account: AccountId,
    organization: OrganizationId,
    name: &str,
) -> AuditEvent {
    AuditEvent {
        id: ids.fresh(),
        at: clock.now(),
        identity: "system".into(),
        name: name.into(),
        account,
        organization: Some(organization),
        source_address: String::new(),
        user_agent: concat!("wm-server/", env!("CARGO_PKG_VERSION")).into(),
        request_id: format!("{:032x}", ids.fresh()),
        parameters: "{}".into(),
        outcome: AuditOutcome::Done(String::new()),
    }
}

impl QuickSetup {
    fn plan(options: &Options, ids: &dyn IdSource) -> anyhow::Result<Self> {
        let alias = match &options.alias {
            Some(alias) => alias.clone(),
            None => DEFAULT_ALIAS.parse()?,
        };
        let domain: DomainName = format!("{alias}.{SUFFIX}").parse()?;
        let chosen = options.user.iter();
        let mut users: Vec<_> = chosen
            .map(|user| (user.name.clone(), user.password.expose().clone()))
            .collect();
        if users.is_empty() {
            users.extend(DEFAULT_USERS.map(|name| (name.into(), password(ids.fresh()))));
        }
        let users = users.into_iter().map(|(name, password)| {
            let address = format!("{name}@{domain}").parse()?;
            Ok(SetupUser {
                name,
                address,
                password,
            })
        });
        Ok(Self {
            users: users.collect::<anyhow::Result<_>>()?,
            organization: SetupOrganization {
                id: OrganizationId::from_u128(ids.fresh()),
                alias,
                domain,
            },
        })
    }
}

impl fmt::Display for QuickSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SetupOrganization { id, alias, domain } = &self.organization;
        writeln!(f, "Organization {alias} ({id}), mail domain {domain}\n")?;
        let width = |column: fn(&SetupUser) -> usize, title: &str| {
            self.users
                .iter()
                .map(column)
                .max()
                .unwrap_or(0)
                .max(title.len())
        };
        let name = width(|user| user.name.chars().count(), "User");
        let address = width(|user| user.address.to_string().chars().count(), "Address");
        writeln!(f, "  {:name$}  {:address$}  Password", "User", "Address")?;
        for user in &self.users {
            writeln!(
                f,
                "  {:name$}  {:address$}  {}",
                user.name,
                user.address.to_string(),
                user.password
            )?;
        }
        Ok(())
    }
}

/// The account that a small installation has (ORG-0).
const ACCOUNT: AccountId = match AccountId::from_u64(1) {
    Some(account) => account,
    None => unreachable!(),
};
const DEFAULT_ALIAS: &str = "demo";
const DEFAULT_USERS: [&str; 2] = ["alice", "bob"];

/// What the test domains of organizations end with. Names below `localhost` never leave the machine
/// (RFC 6761 §6.3).
const SUFFIX: &str = "wm.localhost";

/// A password that can be read out: five groups such as `Kw7m`, without characters that look alike;
/// more than 80 bits.
pub(crate) fn password(mut random: u128) -> String {
    const UPPER: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
    const LOWER: &[u8] = b"abcdefghijkmnpqrstuvwxyz";
    const DIGIT: &[u8] = b"23456789";
    let mut pick = |from: &[u8]| {
        let count = from.len() as u128;
        let index = usize::try_from(random % count).unwrap_or(0);
        random /= count;
        char::from(from.get(index).copied().unwrap_or(b'x'))
    };
    let mut password = String::new();
    for group in 0..5 {
        let dash = if group > 0 { "-" } else { "" };
        let _ = write!(
            password,
            "{dash}{}{}{}{}",
            pick(UPPER),
            pick(LOWER),
            pick(DIGIT),
            pick(LOWER)
        );
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(std::sync::atomic::AtomicU64);

    impl IdSource for Count {
        fn fresh(&self) -> u128 {
            u128::from(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        }
    }

    fn plan(options: &Options) -> QuickSetup {
        QuickSetup::plan(options, &Count(0x1234_5678_9abc.into())).unwrap()
    }

    #[test]
    fn without_options_it_is_demo_with_alice_and_bob() {
        let plan = plan(&Options::default());
        assert_eq!(plan.organization.domain.to_string(), "demo.wm.localhost");
        let addresses: Vec<_> = plan
            .users
            .iter()
            .map(|user| user.address.to_string())
            .collect();
        assert_eq!(
            addresses,
            ["alice@demo.wm.localhost", "bob@demo.wm.localhost"]
        );
        assert_ne!(plan.users[0].password, plan.users[1].password);
    }

    #[test]
    fn options_choose_alias_users_and_passwords() {
        let plan = plan(&Options {
            alias: Some("acme".parse().unwrap()),
            user: vec!["carol:Tr0ub4dor&3".parse().unwrap()],
            ..Options::default()
        });
        let json = serde_json::to_value(&plan).unwrap();
        assert_eq!(json["organization"]["alias"], "acme");
        assert_eq!(json["organization"]["domain"], "acme.wm.localhost");
        assert_eq!(
            json["users"],
            serde_json::json!([{ "name": "carol", "address": "carol@acme.wm.localhost", "password": "Tr0ub4dor&3" }])
        );
    }

    #[test]
    fn the_table_has_one_row_per_user() {
        let table = plan(&Options::default()).to_string();
        let rows: Vec<_> = table
            .lines()
            .skip(2)
            .map(|row| row.split_whitespace().count())
            .collect();
        assert_eq!(rows, [3, 3, 3]);
    }

    #[test]
    fn generated_passwords_have_five_groups_of_all_kinds_of_characters() {
        assert_eq!(password(0), "Aa2a-Aa2a-Aa2a-Aa2a-Aa2a");
        assert_ne!(password(u128::MAX), password(u128::MAX - 1));
    }
}
