//! Email flow rules: what happens to a message because of who sent it and whom it is for.
//!
//! Pure and synchronous: no I/O, no clock, no randomness. Rules are read ([`RuleSet`], by serde from JSON or TOML),
//! compiled ([`Matcher`]) and asked ([`Decision`]).
//!
//! ```
//! use wm_rules::{InboundAction, RuleSet};
//!
//! let rules: RuleSet = serde_json::from_str(r#"{"inbound": [
//!     {"id": "r1", "sender_patterns": ["*lottery.example"], "action": "Drop"},
//!     {"id": "r2", "sender_patterns": ["press@lottery.example"], "action": "Default"}
//! ]}"#)?;
//! let matcher = rules.compile();
//! let (press, news) = ("press@lottery.example".parse()?, "news@a.lottery.example".parse()?);
//! assert_eq!(matcher.evaluate_inbound(Some(&press), &[]).action(), &InboundAction::Default);
//! assert_eq!(matcher.evaluate_inbound(Some(&news), &[]).action(), &InboundAction::Drop);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The model
//! 1. **Header** (FLW-5): the Sender header is tried first; From when there is no Sender or no rule matches by it. Of
//!    several From addresses the one with the most specific match counts. When neither yields an address, `*` alone
//!    matches. Outbound, the recipient has to match too, and each recipient is decided on its own.
//! 2. **Specificity** (FLW-6): the most specific matching rule wins. A rule is as specific as its best matching pattern;
//!    outbound it has to be at least as specific in both sender and recipient and more so in one.
//! 3. **Action** (FLW-7): among rules that do not beat each other, the action that stands first in the table below.
//! 4. **Id** (FLW-7): what is still tied goes to the smallest id by code point. The order of rules has no meaning.
//!
//! | specificity | pattern | matches |
//! |---|---|---|
//! | highest | `user@example.com` | that address |
//! | | `example.com` | that domain, no subdomain |
//! | | `*example.com` | that domain and its subdomains; the longer suffix is more specific |
//! | lowest | `*` | everything |
//!
//! | precedence | inbound | outbound, [`Precedence::Listed`] | outbound, [`Precedence::Restrictive`] |
//! |---|---|---|---|
//! | 1 | Drop | Default | Drop |
//! | 2 | Bounce | Drop | Bounce to sender |
//! | 3 | Deliver to junk folder | Bounce to sender | Route to SMTP gateway |
//! | 4 | Default | Route to SMTP gateway | Default |
//! | 5 | Never deliver to junk folder | Run Lambda | Run Lambda |
//! | 6 | Run Lambda | | |
//!
//! No rule means the default action. Run Lambda means the default action plus the hook. [`Decision::explain`] tells
//! which rules matched and why all but one lost (FLW-10), [`lint`] which
//! rules never apply. A change of rules is a new [`Matcher`] (FLW-9).

mod action;
mod decision;
mod explain;
mod index;
mod lint;
mod matcher;
mod pattern;
mod rule;
mod set;
mod table;

pub use action::{Action, InboundAction, OutboundAction, Precedence};
pub use decision::{Decision, Header, InboundDecision, OutboundDecision};
pub use explain::{Explanation, Match, Outcome};
pub use lint::{Lint, LintKind, lint};
pub use matcher::Matcher;
pub use pattern::{Pattern, PatternError, PatternErrorKind, Specificity};
pub use rule::{Direction, InboundRule, OutboundRule, Rule};
pub use set::{Draft, RuleSet, Side, Violation, Violations};
