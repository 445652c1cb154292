use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use wm_core::EmailAddress;

use crate::explain::Candidate;
use crate::index::Rank;
use crate::matcher::Ranked;
use crate::{Action, Explanation, InboundRule, OutboundRule, Pattern, Rule};

/// What happens to a message that comes in, and by which rule.
pub type InboundDecision<'a> = Decision<'a, InboundRule>;

/// What happens to a message that goes out to one recipient, and by which rule.
pub type OutboundDecision<'a> = Decision<'a, OutboundRule>;

/// What happens to a message, and by which rule. It borrows from the [`Matcher`](crate::Matcher) and the message.
///
/// [`Display`](fmt::Display) writes one line for a log or a trace header; serde writes `action`, `rule`, `name`, `header`,
/// `sender_pattern` and `recipient_pattern`, null where there is none. [`explain`](Self::explain) tells the whole story.
pub struct Decision<'a, R> {
    ranked: &'a Ranked<R>,
    message: Message<'a>,
    rank: Option<Rank>,
    header: Option<Header>,
}

/// The header whose address made a rule match (FLW-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Header {
    /// RFC 5322 §3.6.2 `Sender`: who sent the message, if that is not the author.
    Sender,
    /// RFC 5322 §3.6.2 `From`: the author.
    From,
}

impl<'a, R: Rule> Decision<'a, R> {
    pub(crate) fn new(
        ranked: &'a Ranked<R>,
        message: Message<'a>,
        rank: Option<Rank>,
        header: Option<Header>,
    ) -> Self {
        Self {
            ranked,
            message,
            rank,
            header,
        }
    }

    /// What happens. Without a rule it is the default action.
    pub fn action(&self) -> &'a R::Action {
        let action = self.rank.and_then(|rank| self.ranked.action(rank));
        action.unwrap_or(R::Action::DEFAULT)
    }

    /// The rule that decided, or `None` if none applies.
    pub fn rule(&self) -> Option<&'a R> {
        self.ranked.rule(self.rank?)
    }

    /// The header by which the rule matched. `None` if no rule applies, or if the message has neither header and the
    /// rule matches every address.
    pub fn header(&self) -> Option<Header> {
        self.header
    }

    /// The rule's pattern that matched the sender, the most specific one if there are several. This looks at the
    /// patterns of the rule one by one.
    pub fn sender_pattern(&self) -> Option<&'a Pattern> {
        Some(self.candidate()?.sender_pattern)
    }

    /// The rule's pattern that matched the recipient, the most specific one if there are several. Inbound rules have
    /// none. This looks at the patterns of the rule one by one.
    pub fn recipient_pattern(&self) -> Option<&'a Pattern> {
        self.candidate()?.recipient_pattern
    }

    /// Every rule that matches the message, and why all but one lost (FLW-10). This looks at every pattern of every rule.
    pub fn explain(&self) -> Explanation<R::Action> {
        Explanation::new(&self.ranked.rules, self.ranked.precedence, self.message)
    }

    fn candidate(&self) -> Option<Candidate<'a, R>> {
        Candidate::new(self.rule()?, self.message, self.ranked.precedence)
    }
}

impl<R> Clone for Decision<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Decision<'_, R> {}

impl<R: Rule> fmt::Debug for Decision<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision")
            .field("action", self.action())
            .field("rule", &self.rule().map(Rule::id))
            .field("header", &self.header())
            .field("sender_pattern", &self.sender_pattern())
            .field("recipient_pattern", &self.recipient_pattern())
            .finish()
    }
}

/// For example `Drop: rule "r1" (Lottery), Sender matches *lottery.example`.
impl<R: Rule> fmt::Display for Decision<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.action())?;
        let Some(rule) = self.rule() else {
            return f.write_str("no rule applies");
        };
        write!(f, "rule {:?}", rule.id())?;
        if !rule.name().is_empty() {
            write!(f, " ({})", rule.name())?;
        }
        match (self.header(), self.sender_pattern()) {
            (Some(header), Some(pattern)) => write!(f, ", {header} matches {pattern}")?,
            _ => f.write_str(", no sender")?,
        }
        match self.recipient_pattern() {
            Some(pattern) => write!(f, ", recipient matches {pattern}"),
            None => Ok(()),
        }
    }
}

impl<R: Rule> Serialize for Decision<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Decision", 6)?;
        fields.serialize_field("action", self.action())?;
        fields.serialize_field("rule", &self.rule().map(Rule::id))?;
        fields.serialize_field("name", &self.rule().map(Rule::name))?;
        fields.serialize_field("header", &self.header())?;
        fields.serialize_field("sender_pattern", &self.sender_pattern())?;
        fields.serialize_field("recipient_pattern", &self.recipient_pattern())?;
        fields.end()
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sender => "Sender",
            Self::From => "From",
        })
    }
}

/// What is known of the message that is decided about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) sender: Option<&'a EmailAddress>,
    pub(crate) from: &'a [EmailAddress],
    pub(crate) recipient: Option<&'a EmailAddress>,
}
