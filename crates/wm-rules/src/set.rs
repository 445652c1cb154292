use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use wm_core::Limits;

use crate::{
    Direction, InboundAction, InboundRule, Matcher, OutboundAction, OutboundRule, Precedence, Rule,
};

/// The rules of one organization, checked: the ids are unique, every rule has patterns, no limit is exceeded.
///
/// It is made from a [`Draft`], or read by serde from a rule file, to which the default [`Limits`] apply.
/// The order of the rules has no meaning. Clones share the rules.
///
/// ```
/// use wm_rules::{Draft, RuleSet};
///
/// let rules: RuleSet = serde_json::from_str(r#"{
///     "inbound": [
///         {"id": "r1", "name": "Lottery", "sender_patterns": ["*lottery.example"], "action": "Drop"},
///         {"id": "r2", "sender_patterns": ["*"], "action": {"RunLambda": {"target": "archive"}}}
///     ]
/// }"#)?;
///
/// // A change is applied entirely or refused with everything that is wrong with it.
/// let mut draft = Draft::from(&rules);
/// draft.inbound[1].sender_patterns.clear();
/// draft.inbound[1].id = "r1".into();
/// let violations = draft.check(&wm_core::Limits::default()).unwrap_err();
/// assert_eq!(
///     violations.to_string(),
///     "inbound rule \"r1\" has no sender patterns\nthere is more than one inbound rule \"r1\"",
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Draft")]
pub struct RuleSet {
    #[serde(serialize_with = "as_slice")]
    inbound: Arc<[InboundRule]>,
    #[serde(serialize_with = "as_slice")]
    outbound: Arc<[OutboundRule]>,
}

/// Rules as they are written down, before they are checked.
///
/// ```
/// # use wm_rules::Draft;
/// let draft: Draft = toml::from_str(r#"
///     [[outbound]]
///     id = "o1"
///     name = "Partner mail goes through the partner's gateway"
///     sender_patterns = ["*"]
///     recipient_patterns = ["partner.example"]
///     action = { RouteToSmtpGateway = { gateway = "partner" } }
/// "#)?;
/// assert_eq!(draft.outbound.len(), 1);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Draft {
    /// The inbound rules.
    pub inbound: Vec<InboundRule>,
    /// The outbound rules.
    pub outbound: Vec<OutboundRule>,
}

/// Everything that is wrong with a [`Draft`], which is refused for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Violations(Vec<Violation>);

/// One reason why a [`Draft`] is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A rule has an empty id.
    #[error("{direction} rule number {position} has no id")]
    NoId {
        /// Which list the rule is in.
        direction: Direction,
        /// Its place in the list, from 1.
        position: usize,
    },
    /// Rules of one direction share an id.
    #[error("there is more than one {direction} rule {id:?}")]
    DuplicateId {
        /// Which list the rules are in.
        direction: Direction,
        /// Their id.
        id: String,
    },
    /// The action names no gateway or hook.
    #[error("{direction} rule {id:?} has an action without a name of its gateway or hook")]
    NoTarget {
        /// Which list the rule is in.
        direction: Direction,
        /// Its id.
        id: String,
    },
    /// A name or id has a control character, which must not get into logs and header fields.
    #[error("{direction} rule {id:?} has a control character in its {field}")]
    ControlCharacter {
        /// Which list the rule is in.
        direction: Direction,
        /// Its id.
        id: String,
        /// Where the character is: `id`, `name` or `action`.
        field: &'static str,
    },
    /// A rule has no sender patterns, or an outbound rule no recipient patterns.
    #[error("{direction} rule {id:?} has no {side} patterns")]
    NoPatterns {
        /// Which list the rule is in.
        direction: Direction,
        /// Its id.
        id: String,
        /// Which patterns it lacks.
        side: Side,
    },
    /// A rule has too many patterns on one side (FLW-8).
    #[error("{direction} rule {id:?} has {count} {side} patterns, the limit is {limit}")]
    TooManyInRule {
        /// Which list the rule is in.
        direction: Direction,
        /// Its id.
        id: String,
        /// Which patterns there are too many of.
        side: Side,
        /// How many it has.
        count: usize,
        /// How many it may have.
        limit: usize,
    },
    /// All rules together have too many patterns on one side, inbound and outbound counted together (FLW-8).
    #[error("the rules have {count} {side} patterns, the limit is {limit}")]
    TooMany {
        /// Which patterns there are too many of.
        side: Side,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// The two ends of a message that patterns speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The Sender or From header.
    Sender,
    /// The recipient of the envelope.
    Recipient,
}

impl RuleSet {
    /// The patterns of one side that a rule set can hold whatever the configured limits are.
    pub const MAX_PATTERNS: usize = 1 << 24;

    /// The inbound rules.
    pub fn inbound(&self) -> &[InboundRule] {
        &self.inbound
    }

    /// The outbound rules.
    pub fn outbound(&self) -> &[OutboundRule] {
        &self.outbound
    }

    /// A changed copy of the rules, or everything that is wrong with the change.
    ///
    /// ```
    /// # use wm_core::Limits;
    /// # use wm_rules::RuleSet;
    /// # let rules = RuleSet::default();
    /// let rules = rules.change(&Limits::default(), |draft| draft.inbound.retain(|rule| rule.id != "r1"))?;
    /// # Ok::<(), wm_rules::Violations>(())
    /// ```
    ///
    /// # Errors
    /// As [`Draft::check`].
    pub fn change(
        &self,
        limits: &Limits,
        change: impl FnOnce(&mut Draft),
    ) -> Result<Self, Violations> {
        let mut draft = Draft::from(self);
        change(&mut draft);
        draft.check(limits)
    }

    /// Prepares the rules for evaluation, with the default [`Precedence`].
    pub fn compile(&self) -> Matcher {
        self.compile_with(Precedence::default())
    }

    /// Prepares the rules for evaluation.
    pub fn compile_with(&self, precedence: Precedence) -> Matcher {
        Matcher::new(self, precedence)
    }

    pub(crate) fn shared_inbound(&self) -> Arc<[InboundRule]> {
        Arc::clone(&self.inbound)
    }

    pub(crate) fn shared_outbound(&self) -> Arc<[OutboundRule]> {
        Arc::clone(&self.outbound)
    }
}

impl Draft {
    /// Checks the rules as a whole.
    ///
    /// Of the limits, `patterns_per_rule` and `patterns_per_organization` hold for sender patterns, as in the guide
    /// (FLW-8), and `recipient_patterns_per_rule` for recipient patterns, of which the guide says nothing.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first thing.
    pub fn check(self, limits: &Limits) -> Result<RuleSet, Violations> {
        let mut checks = Checks::new(limits);
        checks.rules(&self.inbound, |action| match action {
            InboundAction::RunLambda { target } => Some(target),
            _ => None,
        });
        checks.rules(&self.outbound, |action| match action {
            OutboundAction::RunLambda { target } => Some(target),
            OutboundAction::RouteToSmtpGateway { gateway } => Some(gateway),
            _ => None,
        });
        let violations = checks.finish();
        if !violations.is_empty() {
            return Err(Violations(violations));
        }
        Ok(RuleSet {
            inbound: self.inbound.into(),
            outbound: self.outbound.into(),
        })
    }
}

impl From<&RuleSet> for Draft {
    fn from(rules: &RuleSet) -> Self {
        Self {
            inbound: rules.inbound.to_vec(),
            outbound: rules.outbound.to_vec(),
        }
    }
}

impl TryFrom<Draft> for RuleSet {
    type Error = Violations;

    fn try_from(draft: Draft) -> Result<Self, Violations> {
        draft.check(&Limits::default())
    }
}

impl Violations {
    /// Each of them, at least one.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.0.iter()
    }
}

impl IntoIterator for Violations {
    type Item = Violation;
    type IntoIter = std::vec::IntoIter<Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = std::slice::Iter<'a, Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// One line each.
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, violation) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "\n" };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sender => "sender",
            Self::Recipient => "recipient",
        })
    }
}

struct Checks<'a> {
    limits: &'a Limits,
    sender_patterns: usize,
    recipient_patterns: usize,
    violations: Vec<Violation>,
}

impl<'a> Checks<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            sender_patterns: 0,
            recipient_patterns: 0,
            violations: Vec::new(),
        }
    }

    fn rules<R: Rule>(&mut self, rules: &[R], target: impl Fn(&R::Action) -> Option<&String>) {
        let direction = R::DIRECTION;
        for (index, rule) in rules.iter().enumerate() {
            if rule.id().is_empty() {
                let position = index + 1;
                self.violations.push(Violation::NoId {
                    direction,
                    position,
                });
            }
            let target = target(rule.action());
            if target.is_some_and(String::is_empty) {
                let id = rule.id().to_owned();
                self.violations.push(Violation::NoTarget { direction, id });
            }
            let action = target.map_or("", String::as_str);
            for (field, text) in [("id", rule.id()), ("name", rule.name()), ("action", action)] {
                if text.contains(char::is_control) {
                    let id = rule.id().to_owned();
                    self.violations.push(Violation::ControlCharacter {
                        direction,
                        id,
                        field,
                    });
                }
            }
            let senders = rule.sender_patterns().len();
            self.sender_patterns += senders;
            self.patterns(rule, Side::Sender, senders, self.limits.patterns_per_rule);
            if let Some(patterns) = rule.recipient_patterns() {
                self.recipient_patterns += patterns.len();
                let limit = self.limits.recipient_patterns_per_rule;
                self.patterns(rule, Side::Recipient, patterns.len(), limit);
            }
        }
        self.ids(rules);
    }

    fn patterns<R: Rule>(&mut self, rule: &R, side: Side, count: usize, limit: usize) {
        let (direction, id) = (R::DIRECTION, rule.id().to_owned());
        if count == 0 {
            self.violations.push(Violation::NoPatterns {
                direction,
                id,
                side,
            });
        } else if count > limit {
            self.violations.push(Violation::TooManyInRule {
                direction,
                id,
                side,
                count,
                limit,
            });
        }
    }

    fn ids<R: Rule>(&mut self, rules: &[R]) {
        let mut seen = HashSet::new();
        let mut reported = HashSet::new();
        for id in rules.iter().map(Rule::id).filter(|id| !id.is_empty()) {
            if !seen.insert(id) && reported.insert(id) {
                let (direction, id) = (R::DIRECTION, id.to_owned());
                self.violations
                    .push(Violation::DuplicateId { direction, id });
            }
        }
    }

    fn finish(mut self) -> Vec<Violation> {
        let sender_limit = self
            .limits
            .patterns_per_organization
            .min(RuleSet::MAX_PATTERNS);
        for (side, count, limit) in [
            (Side::Sender, self.sender_patterns, sender_limit),
            (
                Side::Recipient,
                self.recipient_patterns,
                RuleSet::MAX_PATTERNS,
            ),
        ] {
            if count > limit {
                self.violations
                    .push(Violation::TooMany { side, count, limit });
            }
        }
        self.violations
    }
}

fn as_slice<T: Serialize, S: Serializer>(
    rules: &Arc<[T]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    rules.as_ref().serialize(serializer)
}
