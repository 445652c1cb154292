use serde::Serialize;
use wm_core::traits::{DnsName, RecordType};

use crate::check::{DomainState, Findings};
use crate::mistake::Mistake;
use crate::probe::Probe;
use crate::records::{RecordKind, RequiredRecord, RequiredRecords, Severity};
use crate::verify::{Judgement, RecordStatus, Verdict};

/// What is to be told of a domain's records, as a table ([`Style::table`](crate::export::Style::table))
/// or in JSON:
///
/// ```json
/// {"domain": "example.com", "records": [{"kind": "mx", "name": "example.com", "type": "MX",
///  "value": "10 mail.example.net", "status": "missing", "found": [], "hint": "Add …", …}]}
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The domain, as A-labels.
    pub domain: String,
    /// Its records, required ones first.
    pub records: Vec<ReportLine>,
    /// What the AutoDiscover endpoints answered, if they were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autodiscover: Option<Probe>,
}

/// What is to be told of one record.
#[derive(Debug, Clone, Serialize)]
pub struct ReportLine {
    /// What it is for.
    pub kind: RecordKind,
    /// Its full name, without the dot at the end.
    pub name: DnsName,
    /// Its type.
    #[serde(rename = "type")]
    pub record_type: RecordType,
    /// Its value.
    pub value: String,
    /// How long resolvers should keep it, in seconds.
    pub ttl: u32,
    /// What it costs to do without.
    pub severity: Severity,
    /// Why it matters.
    pub why: &'static str,
    /// Its status; `null` before the first successful check of a record that is never pending.
    pub status: Option<RecordStatus>,
    /// What is in its place.
    pub found: Vec<String>,
    /// The names of the mistakes recognised.
    pub mistakes: Vec<&'static str>,
    /// What to do; `null` when there is nothing to do.
    pub hint: Option<String>,
    /// Why it could not be checked this time (DOM-3a).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub could_not_check: Option<String>,
}

/// The result of a check in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Every required record is verified.
    Verified,
    /// A required record was looked at and is not verified.
    NotVerified,
    /// Nothing is known to be wrong, but a required record could not be checked.
    CouldNotCheck,
}

impl Report {
    /// The records alone, not checked.
    #[must_use]
    pub fn of_records(required: &RequiredRecords) -> Self {
        let lines = required.iter().map(ReportLine::unchecked).collect();
        Self {
            domain: required.domain().to_string(),
            records: lines,
            autodiscover: None,
        }
    }

    /// What a check has found, with the states that it led to.
    #[must_use]
    pub fn of_check(findings: &Findings, state: &DomainState) -> Self {
        let line = |(record, judgement): &(RequiredRecord, Judgement)| {
            let status = state.record(record).and_then(|state| state.status);
            ReportLine {
                status,
                found: judgement.found.clone(),
                mistakes: judgement.mistakes.iter().map(Mistake::name).collect(),
                hint: judgement.hint(record, status),
                could_not_check: match &judgement.verdict {
                    Verdict::Unknown(error) => Some(error.to_string()),
                    _ => None,
                },
                ..ReportLine::unchecked(record)
            }
        };
        let lines = findings.records.iter().map(line).collect();
        Self {
            domain: findings.domain().to_string(),
            records: lines,
            autodiscover: None,
        }
    }

    /// The result. Recommended records do not count.
    #[must_use]
    pub fn conclusion(&self) -> Conclusion {
        let required = || {
            self.records
                .iter()
                .filter(|line| line.severity != Severity::Recommended)
        };
        let is_open = |line: &ReportLine| line.could_not_check.is_some();
        if required().any(|line| !is_open(line) && line.status != Some(RecordStatus::Verified)) {
            Conclusion::NotVerified
        } else if required().any(is_open) {
            Conclusion::CouldNotCheck
        } else {
            Conclusion::Verified
        }
    }
}

impl ReportLine {
    fn unchecked(record: &RequiredRecord) -> Self {
        Self {
            kind: record.kind,
            name: record.name.clone(),
            record_type: record.record_type(),
            value: record.value(),
            ttl: record.ttl,
            severity: record.severity(),
            why: record.why(),
            status: None,
            found: Vec::new(),
            mistakes: Vec::new(),
            hint: None,
            could_not_check: None,
        }
    }
}

impl Conclusion {
    /// The exit code of a program that checks: 0, 2 or 3.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::NotVerified => 2,
            Self::CouldNotCheck => 3,
        }
    }
}
