//! What can be set, on the command line or in a file, and what it comes down to.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Deserializer};
use wm_core::model::OrganizationAlias;
use wm_core::{DomainName, Secret};

/// The flags of the server. The same names are the keys of the `--config` file; what the command
/// line says comes first, then the file, then the default.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Options {
    /// Where everything is kept [default: ./wm-data]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,

    /// Settings as TOML: every flag by its name, such as smtp = "127.0.0.1:2525"
    #[arg(long, value_name = "FILE", global = true)]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,

    /// What to log to standard error: a level, or levels by module [default: info]
    #[arg(long, value_name = "LEVEL", global = true, env = "WM_LOG")]
    pub(crate) log: Option<String>,

    /// SMTP from other servers, with STARTTLS [default: 127.0.0.1:2525]
    #[arg(long, value_name = "ADDRESS", help_heading = "Listeners")]
    pub(crate) smtp: Option<SocketAddr>,

    /// Submission by users, with STARTTLS [default: 127.0.0.1:2587]
    #[arg(long, value_name = "ADDRESS", help_heading = "Listeners")]
    pub(crate) submission: Option<SocketAddr>,

    /// Submission by users, TLS from the start [default: 127.0.0.1:2465]
    #[arg(long, value_name = "ADDRESS", help_heading = "Listeners")]
    pub(crate) submissions: Option<SocketAddr>,

    /// IMAP with STARTTLS [default: 127.0.0.1:2143]
    #[arg(long, value_name = "ADDRESS", help_heading = "Listeners")]
    pub(crate) imap: Option<SocketAddr>,

    /// IMAP, TLS from the start [default: 127.0.0.1:2993]
    #[arg(long, value_name = "ADDRESS", help_heading = "Listeners")]
    pub(crate) imaps: Option<SocketAddr>,

    /// Web services; not opened yet [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS", help_heading = "Listeners")]
    pub(crate) https: Option<SocketAddr>,

    /// AutoDiscover's redirect; not opened yet [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", help_heading = "Listeners")]
    pub(crate) http: Option<SocketAddr>,

    /// Connections that one listener serves at a time [default: 1024]
    #[arg(long, value_name = "COUNT", help_heading = "Listeners")]
    pub(crate) connections: Option<usize>,

    /// The server's name in greetings, trace headers and its certificate [default: localhost]
    #[arg(long, value_name = "NAME", help_heading = "Listeners")]
    pub(crate) hostname: Option<DomainName>,

    /// Seconds between two rounds of jobs: retention, cleaning up, compaction [default: 3600]
    #[arg(long, value_name = "SECONDS", help_heading = "Jobs", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) jobs_interval: Option<u64>,

    /// The organization's alias [default: demo]
    #[arg(long, value_name = "ALIAS", help_heading = "First start")]
    pub(crate) alias: Option<OrganizationAlias>,

    /// A user and the password; repeatable [default: alice and bob, passwords generated]
    #[arg(long, value_name = "NAME:PASSWORD", help_heading = "First start")]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) user: Vec<UserOption>,

    /// The storage engine of a new data directory [default: redb]
    #[arg(long, value_enum, value_name = "ENGINE", help_heading = "First start")]
    pub(crate) engine: Option<EngineKind>,

    /// Acknowledge before anything is on disk. Mail is lost when power goes; for measuring only
    #[arg(long, hide = true)]
    pub(crate) unsafe_no_sync: bool,
}

/// An embedded storage engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EngineKind {
    #[default]
    Redb,
    Sled,
}

/// A user to be made at the first start.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct UserOption {
    pub(crate) name: String,
    pub(crate) password: Secret<String>,
}

impl Options {
    /// These options, completed from the file they name.
    pub(crate) fn with_file(self) -> anyhow::Result<Self> {
        let Some(path) = &self.config else {
            return Ok(self);
        };
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the settings in {}", path.display()))?;
        // The error shows the line, which may hold a password.
        let file = toml::from_str(&text)
            .map_err(|error| anyhow::anyhow!("{}: {}", path.display(), explain(&error, &text)))?;
        Ok(self.or(file))
    }

    /// These options, and where one is not given, that of `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(other.data_dir),
            config: self.config.or(other.config),
            log: self.log.or(other.log),
            smtp: self.smtp.or(other.smtp),
            submission: self.submission.or(other.submission),
            submissions: self.submissions.or(other.submissions),
            imap: self.imap.or(other.imap),
            imaps: self.imaps.or(other.imaps),
            https: self.https.or(other.https),
            http: self.http.or(other.http),
            connections: self.connections.or(other.connections),
            hostname: self.hostname.or(other.hostname),
            jobs_interval: self.jobs_interval.or(other.jobs_interval),
            alias: self.alias.or(other.alias),
            user: if self.user.is_empty() {
                other.user
            } else {
                self.user
            },
            engine: self.engine.or(other.engine),
            unsafe_no_sync: self.unsafe_no_sync || other.unsafe_no_sync,
        }
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| "wm-data".into())
    }

    /// The server's name.
    pub(crate) fn hostname(&self) -> anyhow::Result<DomainName> {
        match &self.hostname {
            Some(name) => Ok(name.clone()),
            None => Ok("localhost".parse()?),
        }
    }

    /// What to log.
    pub(crate) fn log(&self) -> &str {
        self.log.as_deref().unwrap_or("info")
    }

    /// Whether nothing is set that only serving needs.
    pub(crate) fn is_general(&self) -> bool {
        let general = Self {
            data_dir: self.data_dir.clone(),
            config: self.config.clone(),
            log: self.log.clone(),
            ..Self::default()
        };
        *self == general
    }
}

impl FromStr for UserOption {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, password) = text.split_once(':').ok_or("expected NAME:PASSWORD")?;
        if name.is_empty() || password.is_empty() {
            return Err("expected NAME:PASSWORD, neither of them empty");
        }
        format!("{name}@localhost")
            .parse::<wm_core::EmailAddress>()
            .map_err(|_| "the name has to be one that can stand before the @ of an address")?;
        Ok(Self {
            name: name.into(),
            password: Secret::from(password),
        })
    }
}

impl TryFrom<String> for UserOption {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl PartialEq for UserOption {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.password.expose() == other.password.expose()
    }
}

impl fmt::Debug for UserOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.name)
    }
}

/// A user or a list of them. Refuses anything else without repeating it, as it may hold a password.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<UserOption>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected \"NAME:PASSWORD\" or a list of such")]
    enum OneOrMany {
        One(UserOption),
        Many(Vec<UserOption>),
    }

    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(user) => vec![user],
        OneOrMany::Many(users) => users,
    })
}

/// What is wrong and in which line, without showing the line.
fn explain(error: &toml::de::Error, text: &str) -> String {
    let line = error
        .span()
        .and_then(|span| text.get(..span.start))
        .map(|before| before.matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    fn parse(toml: &str) -> Result<Options, String> {
        toml::from_str(toml).map_err(|error: toml::de::Error| explain(&error, toml))
    }

    #[test]
    fn every_flag_but_config_is_a_key() {
        let flags = Options::augment_args(Command::new("flags"));
        for flag in flags.get_arguments().filter_map(|arg| arg.get_long()) {
            let error = parse(&format!("{flag} = {{}}")).unwrap_err();
            assert_eq!(
                error.contains("unknown field"),
                flag == "config",
                "{flag}: {error}"
            );
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = parse("imap = \"127.0.0.1:0\"\nsmpt = \"127.0.0.1:0\"\n").unwrap_err();
        assert!(error.starts_with("line 2: unknown field `smpt`"), "{error}");
    }

    #[test]
    fn the_command_line_comes_before_the_file() {
        let file =
            parse("smtp = \"127.0.0.1:1\"\nimap = \"127.0.0.1:2\"\nuser = [\"carol:pw\"]").unwrap();
        let flags = parse("smtp = \"127.0.0.1:3\"").unwrap();
        let both = flags.or(file);
        assert_eq!(both.smtp, Some("127.0.0.1:3".parse().unwrap()));
        assert_eq!(both.imap, Some("127.0.0.1:2".parse().unwrap()));
        assert_eq!(both.user.len(), 1);
    }

    #[test]
    fn a_user_option_needs_a_name_and_a_password() {
        let user: UserOption = "carol:a:b".parse().unwrap();
        assert_eq!(
            (user.name.as_str(), user.password.expose().as_str()),
            ("carol", "a:b")
        );
        for wrong in [
            "carol",
            "carol:",
            ":secret",
            "ca rol:secret",
            "carol@example.com:secret",
        ] {
            assert!(wrong.parse::<UserOption>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_message_shows_a_password() {
        assert!(
            !format!("{:?}", "carol:hunter2".parse::<UserOption>().unwrap()).contains("hunter2")
        );
        for toml in [
            "user = [\"carolhunter2\"]",
            "user = { carol = \"hunter2\" }",
            "user = [\"carol:hunter2\"] x",
        ] {
            let error = parse(toml).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
