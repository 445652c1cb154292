use std::time::Duration;

use serde::{Deserialize, Serialize};
use wm_core::Timestamp;

use super::Verdict;
use crate::records::RecordKind;

/// How long a record may be pending, or out of reach, before its verification has failed: changes
/// to the DNS may take that long to be seen everywhere (72 hours).
pub const VERIFICATION_PERIOD: Duration = Duration::from_secs(72 * 60 * 60);

/// The status of a record (DOM-3). Which statuses a record can have depends on its kind:
///
/// | | Verified | Pending | Missing | Failed | Inconsistent |
/// |---|---|---|---|---|---|
/// | ownership, DKIM | right | not there, or wrong, for less than 72 hours | – | for longer | – |
/// | all others | right | – | not there | – | wrong |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the guide's own names, explained above")]
pub enum RecordStatus {
    Verified,
    Pending,
    Missing,
    Failed,
    Inconsistent,
}

/// A record's status over time. Keep it between checks; [`advance`](Self::advance) makes the next.
///
/// Not being able to check (DOM-3a) changes no status, except that a record which can fail has failed
/// once it has not been confirmed for [`VERIFICATION_PERIOD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordState {
    /// The status; `None` while a record that is never pending has not been looked at successfully.
    pub status: Option<RecordStatus>,
    /// Since when it has not been confirmed; `None` when the last check confirmed it.
    pub unconfirmed_since: Option<Timestamp>,
    /// When a check last confirmed it.
    pub confirmed: Option<Timestamp>,
}

impl RecordKind {
    /// The statuses that a record of this kind can have.
    #[must_use]
    pub const fn statuses(self) -> [RecordStatus; 3] {
        match self {
            Self::Ownership | Self::Dkim => [
                RecordStatus::Verified,
                RecordStatus::Pending,
                RecordStatus::Failed,
            ],
            _ => [
                RecordStatus::Verified,
                RecordStatus::Missing,
                RecordStatus::Inconsistent,
            ],
        }
    }

    const fn can_fail(self) -> bool {
        matches!(self, Self::Ownership | Self::Dkim)
    }
}

impl RecordState {
    /// The state of a record that was first asked for at `now`.
    #[must_use]
    pub fn new(kind: RecordKind, now: Timestamp) -> Self {
        Self {
            status: kind.can_fail().then_some(RecordStatus::Pending),
            unconfirmed_since: Some(now),
            confirmed: None,
        }
    }

    /// The state after a check at `now`.
    #[must_use]
    pub fn advance(self, kind: RecordKind, verdict: &Verdict, now: Timestamp) -> Self {
        if matches!(verdict, Verdict::Right) {
            return Self {
                status: Some(RecordStatus::Verified),
                unconfirmed_since: None,
                confirmed: Some(now),
            };
        }
        let since = self.unconfirmed_since.unwrap_or(now);
        let status = match verdict {
            _ if kind.can_fail() && now.since(since) >= VERIFICATION_PERIOD => {
                Some(RecordStatus::Failed)
            }
            Verdict::Unknown(_) => self.status,
            // A failed verification stays failed until it succeeds.
            _ if kind.can_fail() && self.status == Some(RecordStatus::Failed) => self.status,
            _ if kind.can_fail() => Some(RecordStatus::Pending),
            Verdict::Absent => Some(RecordStatus::Missing),
            _ => Some(RecordStatus::Inconsistent),
        };
        Self {
            status,
            unconfirmed_since: Some(since),
            ..self
        }
    }

    /// Whether the domain may be treated as having the record: it is verified, or was and has been
    /// without for less than [`VERIFICATION_PERIOD`], so that a slip in a zone does not stop its mail
    /// at once.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        let is_fresh = self
            .unconfirmed_since
            .is_none_or(|since| now.since(since) < VERIFICATION_PERIOD);
        self.confirmed.is_some() && self.status != Some(RecordStatus::Failed) && is_fresh
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wm_core::traits::LookupError;

    use super::*;

    const KINDS: [RecordKind; 11] = [
        RecordKind::Ownership,
        RecordKind::Mx,
        RecordKind::Autodiscover,
        RecordKind::Dkim,
        RecordKind::Spf,
        RecordKind::Dmarc,
        RecordKind::MtaSts,
        RecordKind::TlsRpt,
        RecordKind::Autoconfig,
        RecordKind::Srv,
        RecordKind::Tlsa,
    ];

    fn hour(hour: u64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000).plus(Duration::from_secs(hour * 3600))
    }

    /// The statuses a record of this kind goes through, checked at these hours.
    fn run(kind: RecordKind, checks: &[(u64, Verdict)]) -> Vec<Option<RecordStatus>> {
        let mut state = RecordState::new(kind, hour(0));
        let step = |(at, verdict): &(u64, Verdict)| {
            state = state.advance(kind, verdict, hour(*at));
            state.status
        };
        checks.iter().map(step).collect()
    }

    fn unknown() -> Verdict {
        Verdict::Unknown(LookupError::Timeout)
    }

    #[test]
    fn every_cell_of_the_table_is_reached() {
        use RecordStatus::{Failed, Inconsistent, Missing, Pending, Verified};
        for kind in KINDS {
            let reached = run(
                kind,
                &[
                    (1, Verdict::Right),
                    (2, Verdict::Absent),
                    (3, Verdict::Wrong),
                    (75, Verdict::Wrong),
                ],
            );
            let expected = match kind {
                RecordKind::Ownership | RecordKind::Dkim => [Verified, Pending, Pending, Failed],
                _ => [Verified, Missing, Inconsistent, Inconsistent],
            };
            assert_eq!(reached, expected.map(Some), "{kind}");
        }
    }

    #[test]
    fn pending_fails_after_72_hours_and_not_before() {
        use RecordStatus::{Failed, Pending, Verified};
        let checks = [
            (71, Verdict::Absent),
            (72, Verdict::Absent),
            (73, unknown()),
            (99, Verdict::Right),
        ];
        let expected = [Pending, Failed, Failed, Verified].map(Some);
        assert_eq!(run(RecordKind::Ownership, &checks), expected);
    }

    #[test]
    fn a_verified_record_that_disappears_has_72_hours_from_when_that_was_first_seen() {
        use RecordStatus::{Failed, Pending, Verified};
        let checks = [
            (1, Verdict::Right),
            (500, Verdict::Absent),
            (571, Verdict::Wrong),
            (572, Verdict::Absent),
            (573, Verdict::Absent),
        ];
        let expected = [Verified, Pending, Pending, Failed, Failed].map(Some);
        assert_eq!(run(RecordKind::Dkim, &checks), expected);
    }

    #[test]
    fn not_being_able_to_check_keeps_the_status_until_it_fails_where_it_can() {
        use RecordStatus::{Failed, Missing, Verified};
        let checks = [
            (1, Verdict::Right),
            (10, unknown()),
            (81, unknown()),
            (82, unknown()),
        ];
        assert_eq!(
            run(RecordKind::Ownership, &checks),
            [Verified, Verified, Verified, Failed].map(Some)
        );
        let checks = [(1, unknown()), (2, Verdict::Absent), (99, unknown())];
        assert_eq!(
            run(RecordKind::Mx, &checks),
            [None, Some(Missing), Some(Missing)]
        );
    }

    #[test]
    fn a_lost_record_stays_in_force_for_72_hours() {
        let kind = RecordKind::Ownership;
        let new = RecordState::new(kind, hour(0));
        assert!(!new.is_in_force(hour(0)));
        let lost =
            new.advance(kind, &Verdict::Right, hour(1))
                .advance(kind, &Verdict::Absent, hour(2));
        assert!(lost.is_in_force(hour(73)));
        assert!(!lost.is_in_force(hour(74)));
        assert!(
            !lost
                .advance(kind, &Verdict::Absent, hour(74))
                .is_in_force(hour(74))
        );
    }

    proptest! {
        #[test]
        fn no_history_leads_out_of_the_table(
            kind in prop::sample::select(KINDS.to_vec()),
            history in prop::collection::vec((0u64..100, 0u8..4), 0..20),
        ) {
            let mut state = RecordState::new(kind, hour(0));
            let mut at = 0;
            for (pause, verdict) in history {
                at += pause;
                let verdict = [Verdict::Right, Verdict::Absent, Verdict::Wrong, unknown()][usize::from(verdict)].clone();
                state = state.advance(kind, &verdict, hour(at));
                prop_assert!(state.status.is_none_or(|status| kind.statuses().contains(&status)));
                prop_assert_eq!(state.status == Some(RecordStatus::Verified) && state.unconfirmed_since.is_none(), matches!(verdict, Verdict::Right));
            }
        }
    }
}
