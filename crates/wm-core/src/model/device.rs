use serde::{Deserialize, Serialize};

use crate::{Timestamp, UserId};

/// A phone or tablet that has connected by ActiveSync (EAS-4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The `DeviceId` it sends, at most 32 letters and digits; compared ignoring case.
    pub id: String,
    /// Its user.
    pub user: UserId,
    /// The `DeviceType` it sends.
    pub kind: String,
    /// Model, as the device reports it.
    pub model: String,
    /// Operating system, as the device reports it.
    pub os: String,
    /// Its User-Agent.
    pub user_agent: String,
    /// Where it stands.
    pub state: DeviceState,
    /// When it first connected.
    pub first_seen: Timestamp,
    /// When it last synchronised.
    pub last_sync: Timestamp,
}

/// The states of a device (EAS-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceState {
    /// New, or the policy has changed since it was acknowledged.
    ProvisioningRequired,
    /// The present policy is acknowledged.
    ProvisioningSucceeded,
    /// It is to erase itself when it next connects.
    WipeRequired,
    /// It has confirmed that it erased itself.
    WipeSucceeded,
}

/// What moves a device from state to state (EAS-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceEvent {
    /// It connects.
    Connected,
    /// The organization's policy has changed.
    PolicyChanged,
    /// It acknowledges the policy.
    PolicyAcknowledged,
    /// An administrator asks for a wipe.
    WipeRequested,
    /// It acknowledges the wipe.
    WipeAcknowledged,
}

impl DeviceState {
    /// The state after `event`. What does not fit the present state changes nothing: a device that
    /// is to be wiped cannot acknowledge its way out, and one that returns wiped but not removed is
    /// wiped again. (Removal deletes the record; a removed device is new.)
    #[must_use]
    pub const fn after(self, event: DeviceEvent) -> Self {
        use DeviceEvent as E;
        match (self, event) {
            (_, E::WipeRequested) | (Self::WipeSucceeded, E::Connected) => Self::WipeRequired,
            (Self::WipeRequired, E::WipeAcknowledged) => Self::WipeSucceeded,
            (Self::ProvisioningRequired, E::PolicyAcknowledged) => Self::ProvisioningSucceeded,
            (Self::ProvisioningSucceeded, E::PolicyChanged) => Self::ProvisioningRequired,
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transition_of_eas_3_and_no_other() {
        use DeviceEvent as E;
        use DeviceState as S;
        let table = [
            //                       Connected       PolicyChanged           PolicyAcknowledged       WipeRequested   WipeAcknowledged
            (
                S::ProvisioningRequired,
                [
                    S::ProvisioningRequired,
                    S::ProvisioningRequired,
                    S::ProvisioningSucceeded,
                    S::WipeRequired,
                    S::ProvisioningRequired,
                ],
            ),
            (
                S::ProvisioningSucceeded,
                [
                    S::ProvisioningSucceeded,
                    S::ProvisioningRequired,
                    S::ProvisioningSucceeded,
                    S::WipeRequired,
                    S::ProvisioningSucceeded,
                ],
            ),
            (
                S::WipeRequired,
                [
                    S::WipeRequired,
                    S::WipeRequired,
                    S::WipeRequired,
                    S::WipeRequired,
                    S::WipeSucceeded,
                ],
            ),
            (
                S::WipeSucceeded,
                [
                    S::WipeRequired,
                    S::WipeSucceeded,
                    S::WipeSucceeded,
                    S::WipeRequired,
                    S::WipeSucceeded,
                ],
            ),
        ];
        let events = [
            E::Connected,
            E::PolicyChanged,
            E::PolicyAcknowledged,
            E::WipeRequested,
            E::WipeAcknowledged,
        ];
        for (from, expected) in table {
            assert_eq!(
                events.map(|event| from.after(event)),
                expected,
                "from {from:?}"
            );
        }
    }
}
