//! The DNS records that a mail domain needs: what they are, whether they are there, what is wrong
//! with them, and how to get them there.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod check;
pub mod dmarc;
pub mod export;
pub mod http;
mod mistake;
pub mod probe;
pub mod provider;
mod records;
mod report;
pub mod resolver;
mod settings;
pub mod spf;
pub mod verify;

pub use check::{Check, DomainState, Findings, MAX_QUESTIONS};
pub use mistake::Mistake;
pub use records::{RecordKind, RequiredRecord, RequiredRecords, SettingsError, Severity};
pub use report::{Conclusion, Report, ReportLine};
pub use settings::{Dkim, DkimAlias, DkimKey, DomainSettings, Recommended, Service};
