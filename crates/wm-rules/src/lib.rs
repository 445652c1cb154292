//! Email flow rules.

mod action;
mod decision;
mod explain;
mod index;
mod matcher;
mod pattern;
mod rule;
mod set;

pub use action::{Action, InboundAction, OutboundAction, Precedence};
pub use decision::{Decision, Header, InboundDecision, OutboundDecision};
pub use explain::{Explanation, Match, Outcome};
pub use matcher::Matcher;
pub use pattern::{Pattern, PatternError, PatternErrorKind, Specificity};
pub use rule::{Direction, InboundRule, OutboundRule, Rule};
pub use set::{Draft, RuleSet, Side, Violation, Violations};
