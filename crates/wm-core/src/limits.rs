//! Every limit, by name, with the reference system's value as default (LIM-1 … LIM-3).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits a service works under. Start from [`Limits::default`] and change what differs:
///
/// ```
/// use wm_core::Limits;
///
/// let limits = Limits { recipients_per_message: 100, ..Limits::default() };
/// assert_eq!(limits.message_size, 26_214_400);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Octets of one message, in and out (LIM-3): 25 MiB.
    pub message_size: u64,
    /// Recipients of one message (LIM-3).
    pub recipients_per_message: usize,
    /// Octets of one mailbox (LIM-1): 50 GiB.
    pub mailbox_size: u64,
    /// Users of one organization (LIM-1).
    pub users_per_organization: usize,
    /// Domains of one organization that setup adds (DOM-1).
    pub domains_through_setup: usize,
    /// Domains of one organization, at most (DOM-1).
    pub domains_per_organization: usize,
    /// Aliases of one user (USR-4).
    pub aliases_per_user: usize,
    /// Organizations of the installation (ORG-6).
    pub organizations: usize,
    /// External recipients per account and day (LIM-2).
    pub external_recipients_per_account: u64,
    /// External recipients per user and day (LIM-2).
    pub external_recipients_per_user: u64,
    /// Recipients per day of mail sent from a test domain (LIM-2).
    pub test_domain_recipients: u64,
    /// Sender patterns of one flow rule (FLW-8).
    pub patterns_per_rule: usize,
    /// Recipient patterns of one outbound flow rule. The reference system names no limit.
    pub recipient_patterns_per_rule: usize,
    /// Sender patterns of one organization's flow rules together (FLW-8).
    pub patterns_per_organization: usize,
    /// Push subscriptions per mailbox (EWS-2).
    pub push_subscriptions: usize,
    /// How long a disabled mailbox is kept (USR-3): 30 days.
    pub mailbox_retention: Duration,
    /// How long mailboxes remember events and what left a folder; whoever comes back later synchronises
    /// afresh. The reference system names no limit.
    pub change_history: Duration,
    /// Octets that whole-message analysis may hold at one time: 128 MiB.
    pub analysis_memory: u64,
    /// Groups a nested expansion descends into, one inside the other (GRP-2).
    pub group_depth: usize,
    /// Members an expansion yields at most (GRP-2).
    pub group_members: usize,
    /// Folders of one mailbox.
    pub folders_per_mailbox: usize,
    /// Characters of a folder's name.
    pub folder_name_length: usize,
    /// Keywords and categories of one item, each.
    pub labels_per_item: usize,
    /// Operations of one changeset.
    pub operations_per_changeset: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            message_size: 26_214_400,
            recipients_per_message: 500,
            mailbox_size: 50 << 30,
            users_per_organization: 1_000,
            domains_through_setup: 100,
            domains_per_organization: 1_000,
            aliases_per_user: 100,
            organizations: 100,
            external_recipients_per_account: 100_000,
            external_recipients_per_user: 10_000,
            test_domain_recipients: 200,
            patterns_per_rule: 250,
            recipient_patterns_per_rule: 1_000,
            patterns_per_organization: 1_000,
            push_subscriptions: 3,
            mailbox_retention: DAY * 30,
            change_history: DAY * 30,
            analysis_memory: 128 << 20,
            group_depth: 50,
            group_members: 10_000,
            folders_per_mailbox: 10_000,
            folder_name_length: 255,
            labels_per_item: 100,
            operations_per_changeset: 1_000,
        }
    }
}
