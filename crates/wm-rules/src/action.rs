use std::fmt;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

/// What happens to a message that comes in (FLW-1). In serde, `"Drop"` or `{"RunLambda":{"target":"…"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum InboundAction {
    /// The message is ignored, and the sender not told.
    Drop,
    /// The message is not delivered, and the sender told by a bounce message.
    Bounce,
    /// The message goes to the junk folder, whatever the spam check says.
    DeliverToJunk,
    /// The message goes to the inbox, or to the junk folder if the spam check says so.
    #[default]
    Default,
    /// The message goes to the inbox, whatever the spam check says.
    NeverDeliverToJunk,
    /// As [`Default`](Self::Default), and the message is passed to an event hook (LMB-2).
    RunLambda {
        /// The name of the hook.
        target: String,
    },
}

/// What happens to a message that goes out to one recipient (FLW-2). In serde, `"Drop"` or
/// `{"RouteToSmtpGateway":{"gateway":"…"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum OutboundAction {
    /// The message is sent the normal way.
    #[default]
    Default,
    /// The message is not sent, and the sender not told.
    Drop,
    /// The message is not sent, and the sender told that the administrator blocked it.
    BounceToSender,
    /// The message is sent through an SMTP gateway and no other way (GWY-2).
    RouteToSmtpGateway {
        /// The name of the gateway.
        gateway: String,
    },
    /// As [`Default`](Self::Default), and the message is passed to an event hook (LMB-2).
    RunLambda {
        /// The name of the hook.
        target: String,
    },
}

/// Which action wins among rules of equal specificity (FLW-7).
///
/// The reference system's guide says that "the most restrictive action is applied", and that the order is the one in
/// which it lists the actions. For inbound rules both mean the same. For outbound rules the list begins with Default,
/// which restricts nothing, so that a rule which lets mail pass beats a rule which drops it.
///
/// What is still tied, such as two gateways, goes to the smallest rule id by code point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precedence {
    /// The order of the guide's lists, as the reference system documents it.
    /// Outbound: Default, Drop, Bounce to sender, Route to SMTP gateway, Run Lambda.
    #[default]
    Listed,
    /// The strictest action first, for those who want a block to hold whatever else is configured.
    /// Outbound: Drop, Bounce to sender, Route to SMTP gateway, Default, Run Lambda.
    Restrictive,
}

/// An action of either direction.
pub trait Action:
    Clone + fmt::Debug + fmt::Display + Eq + Hash + Serialize + 'static + private::Sealed
{
    /// What happens when no rule applies.
    const DEFAULT: &'static Self;

    /// The place in the order of precedence; the smallest wins.
    fn rank(&self, precedence: Precedence) -> u8;
}

impl Action for InboundAction {
    const DEFAULT: &'static Self = &Self::Default;

    fn rank(&self, _: Precedence) -> u8 {
        match self {
            Self::Drop => 0,
            Self::Bounce => 1,
            Self::DeliverToJunk => 2,
            Self::Default => 3,
            Self::NeverDeliverToJunk => 4,
            Self::RunLambda { .. } => 5,
        }
    }
}

impl Action for OutboundAction {
    const DEFAULT: &'static Self = &Self::Default;

    fn rank(&self, precedence: Precedence) -> u8 {
        match (self, precedence) {
            (Self::Default, Precedence::Listed) => 0,
            (Self::Drop, _) => 1,
            (Self::BounceToSender, _) => 2,
            (Self::RouteToSmtpGateway { .. }, _) => 3,
            (Self::Default, Precedence::Restrictive) => 4,
            (Self::RunLambda { .. }, _) => 5,
        }
    }
}

/// The guide's name of the action.
impl fmt::Display for InboundAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("Drop"),
            Self::Bounce => f.write_str("Bounce"),
            Self::DeliverToJunk => f.write_str("Deliver to junk folder"),
            Self::Default => f.write_str("Default"),
            Self::NeverDeliverToJunk => f.write_str("Never deliver to junk folder"),
            Self::RunLambda { target } => write!(f, "Run Lambda {target}"),
        }
    }
}

/// The guide's name of the action.
impl fmt::Display for OutboundAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            Self::Drop => f.write_str("Drop"),
            Self::BounceToSender => f.write_str("Bounce to sender"),
            Self::RouteToSmtpGateway { gateway } => write!(f, "Route to SMTP gateway {gateway}"),
            Self::RunLambda { target } => write!(f, "Run Lambda {target}"),
        }
    }
}

mod private {
    pub trait Sealed {}
    impl Sealed for super::InboundAction {}
    impl Sealed for super::OutboundAction {}
}
