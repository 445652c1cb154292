use serde::{Deserialize, Serialize};

use crate::{AccountId, Timestamp};

/// An account (ORG-0): owns organizations, access keys, audit and the per-account limits. A small
/// installation has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its twelve-digit number.
    pub id: AccountId,
    /// A name for people.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
}
