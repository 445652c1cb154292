use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use wm_core::EmailAddress;

use crate::decision::Message;
use crate::{Action, Header, Pattern, Precedence, Rule, Specificity};

/// Why a message gets its action: every rule that matches, and why all but one lost (FLW-10).
///
/// This is the "Test configuration" of the reference system with its reasons, and what an operator reads when mail went
/// missing: as a value, by serde, or as text by [`Display`](fmt::Display).
///
/// ```
/// # use wm_rules::RuleSet;
/// let rules: RuleSet = serde_json::from_str(r#"{"inbound": [
///     {"id": "r1", "name": "Lottery", "sender_patterns": ["*lottery.example"], "action": "Drop"},
///     {"id": "r2", "name": "Press", "sender_patterns": ["press@lottery.example"], "action": "Default"},
///     {"id": "r3", "name": "Archive", "sender_patterns": ["*"], "action": {"RunLambda": {"target": "archive"}}}
/// ]}"#)?;
/// let matcher = rules.compile();
/// let sender = "press@lottery.example".parse()?;
/// assert_eq!(
///     matcher.evaluate_inbound(Some(&sender), &[]).explain().to_string(),
///     "\
/// Default
///   applies: rule \"r2\" (Press): Default, Sender press@lottery.example matches press@lottery.example
///   loses: rule \"r1\" (Lottery): Drop, Sender press@lottery.example matches *lottery.example; \
///      rule \"r2\" is more specific
///   loses: rule \"r3\" (Archive): Run Lambda archive, Sender press@lottery.example matches *; \
///      rule \"r2\" is more specific",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation<A> {
    /// What happens.
    pub action: A,
    /// The order of actions that held.
    pub precedence: Precedence,
    /// The rules that match: the one that applies, if there is one, then those that lost, the closest first.
    pub matches: Vec<Match<A>>,
}

/// A rule that matches a message.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Match<A> {
    /// The rule's id.
    pub rule: String,
    /// The rule's name.
    pub name: String,
    /// The rule's action.
    pub action: A,
    /// The header by which it matches, `None` if the message has none.
    pub header: Option<Header>,
    /// The address in that header.
    pub address: Option<EmailAddress>,
    /// The most specific of its patterns that match that address.
    pub sender_pattern: Pattern,
    /// The most specific of its patterns that match the recipient; inbound rules have none.
    pub recipient_pattern: Option<Pattern>,
    /// Whether it applies.
    pub outcome: Outcome,
}

/// What became of a rule that matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Outcome {
    /// It decides.
    Applies,
    /// Another rule is at least as specific in sender and recipient and more so in one (FLW-6).
    LessSpecific {
        /// The id of that rule.
        than: String,
    },
    /// The rule that applies is neither more nor less specific, and has an action that takes precedence (FLW-7).
    WeakerAction {
        /// The id of that rule.
        than: String,
    },
    /// The rule that applies is neither more nor less specific, and has the same kind of action and a smaller id (FLW-7).
    LargerId {
        /// The id of that rule.
        than: String,
    },
    /// It matches by the From header only, and another rule matches by the Sender header, which is tried first (FLW-5).
    SenderFirst {
        /// The id of the rule that applies.
        than: String,
    },
}

impl<A: Action> Explanation<A> {
    /// Looks at all rules one by one, so that it depends on no index.
    pub(crate) fn new<R: Rule<Action = A>>(
        rules: &[R],
        precedence: Precedence,
        message: Message<'_>,
    ) -> Self {
        let candidates: Vec<_> = rules
            .iter()
            .filter_map(|rule| Candidate::new(rule, message, precedence))
            .collect();
        let deciding = candidates.iter().filter_map(|it| it.header).min();

        // The best rule of each specificity, and of those the ones that no other beats.
        let mut bests = BTreeMap::new();
        for candidate in candidates.iter().filter(|it| it.header == deciding) {
            let best = bests.entry(candidate.specificity()).or_insert(candidate);
            if candidate.precedence() < best.precedence() {
                *best = candidate;
            }
        }
        let better = |than: Specificities| {
            let beating = bests
                .values()
                .copied()
                .filter(move |it| beats(it.specificity(), than));
            beating.min_by_key(|it| it.precedence())
        };
        let unbeaten = bests
            .values()
            .copied()
            .filter(|it| better(it.specificity()).is_none());
        let Some(winner) = unbeaten.min_by_key(|it| it.precedence()) else {
            let action = A::DEFAULT.clone();
            return Self {
                action,
                precedence,
                matches: Vec::new(),
            };
        };
        let outcome = |it: &Candidate<'_, R>| {
            let than = winner.rule.id().to_owned();
            if it.header != deciding {
                Outcome::SenderFirst { than }
            } else if beats(winner.specificity(), it.specificity()) {
                Outcome::LessSpecific { than }
            } else if let Some(better) = better(it.specificity()) {
                Outcome::LessSpecific {
                    than: better.rule.id().to_owned(),
                }
            } else if it.rank != winner.rank {
                Outcome::WeakerAction { than }
            } else if it.rule.id() != winner.rule.id() {
                Outcome::LargerId { than }
            } else {
                Outcome::Applies
            }
        };
        let mut outcomes: Vec<_> = candidates.iter().map(|it| (it, outcome(it))).collect();
        outcomes.sort_by_key(|(it, outcome)| {
            (outcome.place(), Reverse(it.specificity()), it.precedence())
        });
        Self {
            action: winner.rule.action().clone(),
            precedence,
            matches: outcomes
                .into_iter()
                .map(|(it, outcome)| it.with(outcome))
                .collect(),
        }
    }

    /// The rule that applies.
    pub fn winner(&self) -> Option<&Match<A>> {
        self.matches.first()
    }
}

/// One line for the action, then one for each rule.
impl<A: Action> fmt::Display for Explanation<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.action)?;
        if self.matches.is_empty() {
            f.write_str("\n  no rule matches")?;
        }
        self.matches.iter().try_for_each(|it| write!(f, "\n  {it}"))
    }
}

impl<A: Action> fmt::Display for Match<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.outcome {
            Outcome::Applies => "applies",
            _ => "loses",
        };
        write!(f, "{verb}: rule {:?}", self.rule)?;
        if !self.name.is_empty() {
            write!(f, " ({})", self.name)?;
        }
        write!(f, ": {}, ", self.action)?;
        match (self.header, &self.address) {
            (Some(header), Some(address)) => {
                write!(f, "{header} {address} matches {}", self.sender_pattern)?
            }
            _ => write!(f, "no sender matches {}", self.sender_pattern)?,
        }
        if let Some(pattern) = &self.recipient_pattern {
            write!(f, ", recipient matches {pattern}")?;
        }
        match &self.outcome {
            Outcome::Applies => Ok(()),
            Outcome::LessSpecific { than } => write!(f, "; rule {than:?} is more specific"),
            Outcome::WeakerAction { than } => {
                write!(f, "; the action of rule {than:?} takes precedence")
            }
            Outcome::LargerId { than } => write!(f, "; rule {than:?} has the smaller id"),
            Outcome::SenderFirst { than } => write!(f, "; rule {than:?} matches the Sender header"),
        }
    }
}

impl Outcome {
    /// The place among the lines of an explanation.
    fn place(&self) -> u8 {
        match self {
            Self::Applies => 0,
            Self::LargerId { .. } | Self::WeakerAction { .. } => 1,
            Self::LessSpecific { .. } => 2,
            Self::SenderFirst { .. } => 3,
        }
    }
}

/// A rule that matches, and the most specific patterns by which it does.
pub(crate) struct Candidate<'a, R> {
    rule: &'a R,
    rank: u8,
    header: Option<Header>,
    address: Option<&'a EmailAddress>,
    pub(crate) sender_pattern: &'a Pattern,
    pub(crate) recipient_pattern: Option<&'a Pattern>,
}

/// How specific a rule is in sender and recipient.
type Specificities = (Specificity, Option<Specificity>);

/// FLW-6: at least as specific in both, and more so in one.
fn beats(a: Specificities, b: Specificities) -> bool {
    a.0 >= b.0 && a.1 >= b.1 && a != b
}

impl<'a, R: Rule> Candidate<'a, R> {
    pub(crate) fn new(rule: &'a R, message: Message<'a>, precedence: Precedence) -> Option<Self> {
        let senders = rule.sender_patterns();
        let matching = |address: &'a EmailAddress| {
            let pattern = most_specific(senders.iter().filter(|pattern| pattern.matches(address)))?;
            Some((Some(address), pattern))
        };
        let sender = || Some((Some(Header::Sender), message.sender.and_then(matching)?));
        let from = || {
            let matches = message.from.iter().filter_map(matching);
            Some((
                Some(Header::From),
                matches.max_by_key(|(_, pattern)| pattern.specificity())?,
            ))
        };
        let (header, (address, sender_pattern)) = match (message.sender, message.from) {
            (None, []) => (
                None,
                (
                    None,
                    senders.iter().find(|pattern| **pattern == Pattern::Star)?,
                ),
            ),
            _ => sender().or_else(from)?,
        };
        let recipient_pattern = match (rule.recipient_patterns(), message.recipient) {
            (Some(patterns), Some(recipient)) => Some(most_specific(
                patterns.iter().filter(|pattern| pattern.matches(recipient)),
            )?),
            _ => None,
        };
        let rank = rule.action().rank(precedence);
        Some(Self {
            rule,
            rank,
            header,
            address,
            sender_pattern,
            recipient_pattern,
        })
    }

    fn specificity(&self) -> Specificities {
        (
            self.sender_pattern.specificity(),
            self.recipient_pattern.map(Pattern::specificity),
        )
    }

    /// FLW-7: among rules that do not beat each other the smallest wins.
    fn precedence(&self) -> (u8, &'a str) {
        (self.rank, self.rule.id())
    }

    fn with(&self, outcome: Outcome) -> Match<R::Action> {
        Match {
            rule: self.rule.id().to_owned(),
            name: self.rule.name().to_owned(),
            action: self.rule.action().clone(),
            header: self.header,
            address: self.address.cloned(),
            sender_pattern: self.sender_pattern.clone(),
            recipient_pattern: self.recipient_pattern.cloned(),
            outcome,
        }
    }
}

fn most_specific<'a>(patterns: impl Iterator<Item = &'a Pattern>) -> Option<&'a Pattern> {
    patterns.max_by_key(|pattern| pattern.specificity())
}
