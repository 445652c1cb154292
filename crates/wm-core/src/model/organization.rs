use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AccountId, DomainName, OrganizationId, Timestamp};

/// An organization, the unit of tenancy (ORG-1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// The account that owns it.
    pub account: AccountId,
    /// Its globally unique short name.
    pub alias: OrganizationAlias,
    /// Where it stands in its life.
    pub state: OrganizationState,
    /// The domain of new addresses; one of its domains.
    pub default_domain: DomainName,
    /// `<alias>.<suffix>`, the domain that works without any DNS set-up (ORG-3, USR-4a).
    pub test_domain: DomainName,
    /// Where its users come from.
    pub directory: DirectoryKind,
    /// When it was made.
    pub created: Timestamp,
}

/// Where an organization's users and groups come from (ORG-3, ORG-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DirectoryKind {
    /// Its own directory, made by quick setup: no nested groups.
    Own,
    /// An existing LDAP directory: read-only here, groups may nest.
    External,
}

/// A mail domain of an organization (DOM-1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailDomain {
    /// Its name.
    pub name: DomainName,
    /// The organization that has it; a domain belongs to one organization.
    pub organization: OrganizationId,
    /// Whether its ownership has been proved. Mail from outside is taken only then (DOM-7).
    pub verified: bool,
    /// Whether it is the organization's test domain, with the limits that go with that (LIM-2).
    pub test: bool,
}

/// A globally unique organization name: letters, digits and single hyphens, at most 62
/// characters, not starting with `d-`; kept in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrganizationAlias(String);

/// A text that is not an [`OrganizationAlias`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an organization alias: expected 1 to 62 letters, digits and single hyphens between \
     them, not starting with d-"
)]
pub struct ParseAliasError(String);

impl OrganizationAlias {
    /// The alias, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrganizationAlias {
    type Err = ParseAliasError;

    fn from_str(text: &str) -> Result<Self, ParseAliasError> {
        let alias = text.to_ascii_lowercase();
        let words = alias
            .split('-')
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()));
        if words && alias.len() <= 62 && !alias.starts_with("d-") {
            Ok(Self(alias))
        } else {
            Err(ParseAliasError(text.into()))
        }
    }
}

impl TryFrom<String> for OrganizationAlias {
    type Error = ParseAliasError;

    fn try_from(text: String) -> Result<Self, ParseAliasError> {
        text.parse()
    }
}

impl From<OrganizationAlias> for String {
    fn from(alias: OrganizationAlias) -> Self {
        alias.0
    }
}

impl fmt::Display for OrganizationAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The states of an organization (ORG-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the reference system's own names")]
pub enum OrganizationState {
    Requested,
    Creating,
    Validating,
    Active,
    Impaired,
    Inactive,
    Failed,
    Deleting,
    Deleted,
}

/// A change of state that ORG-2 does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an organization cannot go from {from:?} to {to:?}")]
pub struct IllegalTransition {
    /// The present state.
    pub from: OrganizationState,
    /// The state asked for.
    pub to: OrganizationState,
}

impl OrganizationState {
    /// Checks that this state may be followed by `to` and answers `to`.
    ///
    /// # Errors
    /// [`IllegalTransition`] when it may not.
    pub const fn become_state(self, to: Self) -> Result<Self, IllegalTransition> {
        use OrganizationState as S;
        let legal = match self {
            S::Requested => matches!(to, S::Creating | S::Failed),
            S::Creating => matches!(to, S::Validating | S::Active | S::Failed),
            S::Validating => matches!(to, S::Active | S::Failed),
            S::Active => matches!(to, S::Impaired | S::Inactive | S::Deleting),
            S::Impaired => matches!(to, S::Active | S::Inactive | S::Deleting),
            S::Inactive => matches!(to, S::Active | S::Deleting),
            S::Failed => matches!(to, S::Deleting),
            S::Deleting => matches!(to, S::Deleted),
            S::Deleted => false,
        };
        if legal {
            Ok(to)
        } else {
            Err(IllegalTransition { from: self, to })
        }
    }

    /// Whether mail is taken and people may log in.
    #[must_use]
    pub const fn serves(self) -> bool {
        matches!(self, Self::Active | Self::Impaired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_organization_stays_deleted() {
        use OrganizationState as S;
        for to in [
            S::Requested,
            S::Creating,
            S::Active,
            S::Deleting,
            S::Deleted,
        ] {
            assert_eq!(
                S::Deleted.become_state(to),
                Err(IllegalTransition {
                    from: S::Deleted,
                    to
                })
            );
        }
    }

    #[test]
    fn an_alias_is_kept_in_lower_case_and_checked() {
        let alias: OrganizationAlias = "Demo-2".parse().unwrap();
        assert_eq!(alias.as_str(), "demo-2");
        for wrong in [
            "",
            "d-demo",
            "-demo",
            "demo-",
            "a--b",
            "dé",
            &"a".repeat(63),
        ] {
            assert!(wrong.parse::<OrganizationAlias>().is_err(), "{wrong:?}");
        }
    }
}
