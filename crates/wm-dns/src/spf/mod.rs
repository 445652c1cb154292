//! SPF records (RFC 7208): their grammar, and what they mean for a sender that has to be allowed.
//!
//! ```
//! use wm_dns::spf::{Mechanism, Spf};
//!
//! let record: Spf = "v=spf1 ip4:192.0.2.0/24 include:mail.example ~all".parse()?;
//! assert_eq!(record.directives.len(), 3);
//! assert_eq!(record.directives[2].mechanism, Mechanism::All);
//! # Ok::<(), wm_dns::spf::SpfError>(())
//! ```

mod expansion;
mod record;

pub use expansion::{Expansion, SpfFault, SpfJudgement};
pub use record::{Directive, DomainSpec, Mechanism, Qualifier, Spf, SpfError};
