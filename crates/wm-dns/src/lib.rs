//! The DNS records that a mail domain needs: what they are, whether they are there, what is wrong
//! with them, and how to get them there.
//!
//! - [`RequiredRecords`] are made from [`DomainSettings`], and printed by [`export`].
//! - A [`Check`] says what to ask, takes the answers, and judges by meaning. [`resolver`] has what asks;
//!   [`verify`] has the statuses and how they change with time; a [`Report`] has it all in words.
//! - A [`provider::Plan`] says what a zone lacks; a [`provider::DnsProvider`] adds it, and removes
//!   nothing.
//! - [`probe`] tries the AutoDiscover service behind the records.
//!
//! What judges and what makes and reads messages is pure: it is handed answers, octets and the time.
//! The rest is written against small traits: [`resolver::Wire`] carries DNS messages,
//! [`http::HttpClient`] sends requests.
//!
//! | feature | adds |
//! |---|---|
//! | (none) | everything above, over those traits |
//! | `tokio` | `resolver::TokioWire`: DNS messages over sockets |
//! | `rfc2136` | `provider::rfc2136`: dynamic update, signed with TSIG (RFC 2136, RFC 8945) |
//! | `route53` | `provider::route53`: Amazon Route 53, signed with Signature Version 4 |
//!
//! ```
//! use wm_dns::provider::Plan;
//! use wm_dns::{DomainSettings, RequiredRecords};
//!
//! let settings = DomainSettings::new("example.com".parse()?, "mail.example.net".parse()?, "fmxqxT/icOYx4aA=");
//! let required = RequiredRecords::for_domain(&settings)?;
//! // Of a zone that holds nothing at these names.
//! let plan = Plan::new(&required, &[]);
//! assert_eq!(plan.add.len(), 5);
//! assert!(plan.to_string().contains("+ example.com. 3600 IN MX 10 mail.example.net.\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
