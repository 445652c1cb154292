use serde::{Deserialize, Serialize};

use crate::{Action, InboundAction, OutboundAction, Pattern};

/// A rule about mail that comes in: whose, and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboundRule {
    /// Unique among the inbound rules; the last resort of precedence.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// The senders it speaks of; one match is enough.
    pub sender_patterns: Vec<Pattern>,
    /// What happens.
    pub action: InboundAction,
}

/// A rule about mail that goes out: whose, to whom, and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboundRule {
    /// Unique among the outbound rules; the last resort of precedence.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// The senders it speaks of; one match is enough.
    pub sender_patterns: Vec<Pattern>,
    /// The recipients it speaks of; one match is enough.
    pub recipient_patterns: Vec<Pattern>,
    /// What happens.
    pub action: OutboundAction,
}

/// A rule of either direction.
pub trait Rule: Clone + PartialEq + std::fmt::Debug + 'static + private::Sealed {
    /// Its kind of action.
    type Action: Action;
    /// Which direction it is about.
    const DIRECTION: Direction;

    /// Unique within its direction.
    fn id(&self) -> &str;
    /// For people.
    fn name(&self) -> &str;
    /// What happens.
    fn action(&self) -> &Self::Action;
    /// The senders it speaks of.
    fn sender_patterns(&self) -> &[Pattern];
    /// The recipients it speaks of; none for an inbound rule, which holds for every recipient.
    fn recipient_patterns(&self) -> Option<&[Pattern]>;
}

/// The direction of mail, seen from the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the organization's users.
    Inbound,
    /// From the organization's users.
    Outbound,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        })
    }
}

impl Rule for InboundRule {
    type Action = InboundAction;
    const DIRECTION: Direction = Direction::Inbound;

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn action(&self) -> &InboundAction {
        &self.action
    }

    fn sender_patterns(&self) -> &[Pattern] {
        &self.sender_patterns
    }

    fn recipient_patterns(&self) -> Option<&[Pattern]> {
        None
    }
}

impl Rule for OutboundRule {
    type Action = OutboundAction;
    const DIRECTION: Direction = Direction::Outbound;

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn action(&self) -> &OutboundAction {
        &self.action
    }

    fn sender_patterns(&self) -> &[Pattern] {
        &self.sender_patterns
    }

    fn recipient_patterns(&self) -> Option<&[Pattern]> {
        Some(&self.recipient_patterns)
    }
}

mod private {
    pub trait Sealed {}
    impl Sealed for super::InboundRule {}
    impl Sealed for super::OutboundRule {}
}
