//! Who has which keys of the engine.
//!
//! A key is the organization (16 bytes, big-endian), the [`Space`] (one byte) and what the subject
//! makes of the rest.

use wm_core::{OrganizationId, Timestamp};

/// Stands where an organization would for what belongs to the installation as a whole: the list of
/// organizations, their domains, audit events. It has keys of its own.
pub(crate) const INSTALLATION: OrganizationId = OrganizationId::from_u128(0);

/// The part of an owner's keys that one subject has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Space {
    /// Audit events.
    Audit = b'a',
    /// Bodies by name.
    Bodies = b'b',
    /// Directory and configuration.
    Directory = b'd',
    /// The number of the last group of commits, the installation's: see [`journal`](crate::journal).
    Journal = b'j',
    /// The fingerprint of the key set.
    Keys = b'k',
    /// Mailboxes.
    Mailboxes = b'm',
    /// Mailboxes and folders that are being deleted, the installation's.
    Purge = b'p',
    /// Protocol state by mailbox.
    State = b's',
    /// Protocol state by expiry, the installation's.
    StateExpiry = b't',
    /// The spool.
    Spool = b'q',
    /// The layout's version, the installation's.
    Version = b'v',
}

impl Space {
    /// What the keys of `owner` in this space begin with.
    pub(crate) fn prefix(self, owner: OrganizationId) -> Vec<u8> {
        let mut prefix = owner.as_u128().to_be_bytes().to_vec();
        prefix.push(self as u8);
        prefix
    }
}

/// A time as keys hold it: sorts as the time does, before the epoch too.
pub(crate) fn time(at: Timestamp) -> [u8; 8] {
    (at.as_millis() ^ i64::MIN).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_times_do() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX].map(|at| time(Timestamp::from_millis(at)));
        assert!(times.is_sorted());
    }
}
