//! The rules as the requirements state them, decided by looking at every rule. It shares nothing with the engine: patterns and
//! addresses are labels and words of a small universe, and the engine is given their spellings.

use std::fmt;

/// A spelling for people, and the normalised one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    pub written: &'static str,
    pub normal: &'static str,
}

/// Labels from left to right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(pub Vec<Word>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub local: Word,
    pub domain: Domain,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    Address(Address),
    Domain(Domain),
    Wildcard(Domain),
    Star,
}

#[derive(Debug, Clone)]
pub struct ModelRule {
    pub id: String,
    pub senders: Vec<Form>,
    /// `None` for an inbound rule.
    pub recipients: Option<Vec<Form>>,
    /// The action's place in the order of FLW-1 or FLW-2.
    pub action: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelHeader {
    Sender,
    From,
}

pub const INBOUND_ORDER: [usize; 6] = [0, 1, 2, 3, 4, 5];
pub const OUTBOUND_ORDER: [usize; 5] = [0, 1, 2, 3, 4];
/// Drop, Bounce to sender, Route to SMTP gateway, Default, Run Lambda.
pub const OUTBOUND_RESTRICTIVE_ORDER: [usize; 5] = [1, 2, 3, 0, 4];

/// FLW-5: the rule that applies, and the header by which it does.
///
/// The closures say how specific a rule is for the message's headers and its recipient, if it matches them; `has_star` says
/// whether it has the sender pattern `*`, and `precedence` which rule comes first in the order of FLW-7.
pub fn decide<R, K: Ord>(
    rules: &[R],
    (has_sender, by_sender): (bool, impl Fn(&R) -> Option<Specificity>),
    (has_from, by_from): (bool, impl Fn(&R) -> Option<Specificity>),
    by_recipient: impl Fn(&R) -> Option<Specificity>,
    has_star: impl Fn(&R) -> bool,
    precedence: impl Fn(&R) -> K,
) -> Option<(&R, Option<ModelHeader>)> {
    if !has_sender && !has_from {
        // Only when neither header yields an address do `*` patterns, and only they, match.
        let both = |rule: &R| has_star(rule).then_some((0, 0)).zip(by_recipient(rule));
        return best(rules, both, precedence).map(|rule| (rule, None));
    }
    // The Sender is tried first; From is tried when there is no Sender or no rule matches it.
    if has_sender
        && let Some(rule) = best(
            rules,
            |rule| by_sender(rule).zip(by_recipient(rule)),
            &precedence,
        )
    {
        return Some((rule, Some(ModelHeader::Sender)));
    }
    if has_from
        && let Some(rule) = best(
            rules,
            |rule| by_from(rule).zip(by_recipient(rule)),
            &precedence,
        )
    {
        return Some((rule, Some(ModelHeader::From)));
    }
    None
}

/// FLW-6: of the rules that match, those that no other one is more specific than. FLW-7: the first of them.
fn best<R, K: Ord>(
    rules: &[R],
    specificity: impl Fn(&R) -> Option<(Specificity, Specificity)>,
    precedence: impl Fn(&R) -> K,
) -> Option<&R> {
    // At least as specific in both sender and recipient and more so in one.
    let more_specific = |a: (Specificity, Specificity), b: (Specificity, Specificity)| {
        a.0 >= b.0 && a.1 >= b.1 && (a.0 > b.0 || a.1 > b.1)
    };
    let is_beaten = |b| {
        rules
            .iter()
            .filter_map(&specificity)
            .any(|a| more_specific(a, b))
    };
    let unbeaten = rules
        .iter()
        .filter(|rule| specificity(rule).is_some_and(|it| !is_beaten(it)));
    unbeaten.min_by_key(|rule| precedence(rule))
}

/// The form, 3 for an address and 0 for the star, and the length of a wildcard's domain.
pub type Specificity = (u8, usize);

/// The decision for rules of this model.
pub fn decide_forms<'a>(
    rules: &'a [ModelRule],
    order: &[usize],
    sender: Option<&Address>,
    from: &[Address],
    recipient: Option<&Address>,
) -> Option<(&'a ModelRule, Option<ModelHeader>)> {
    decide(
        rules,
        (sender.is_some(), |rule| specificity(&rule.senders, sender?)),
        // Of several From addresses the one with the most specific match counts.
        (!from.is_empty(), |rule| {
            from.iter()
                .filter_map(|it| specificity(&rule.senders, it))
                .max()
        }),
        |rule| match (&rule.recipients, recipient) {
            (Some(patterns), Some(recipient)) => specificity(patterns, recipient),
            // Inbound rules have no recipient pattern.
            _ => Some((0, 0)),
        },
        |rule| rule.senders.contains(&Form::Star),
        |rule| {
            (
                order.iter().position(|&action| action == rule.action),
                rule.id.clone(),
            )
        },
    )
}

/// FLW-6: address > domain > wildcard (longer suffix over shorter) > star; a rule is as specific as its best matching pattern.
pub fn specificity(patterns: &[Form], address: &Address) -> Option<Specificity> {
    let of_match = |pattern: &Form| match pattern {
        Form::Address(this) if this.is(address) => Some((3, 0)),
        Form::Domain(domain) if domain.normal() == address.domain.normal() => Some((2, 0)),
        Form::Wildcard(domain) if address.domain.ends_with(domain) => {
            Some((1, domain.normal().len()))
        }
        Form::Star => Some((0, 0)),
        _ => None,
    };
    patterns.iter().filter_map(of_match).max()
}

impl Address {
    fn is(&self, other: &Self) -> bool {
        self.local.normal == other.local.normal && self.domain.normal() == other.domain.normal()
    }
}

impl Domain {
    pub fn normal(&self) -> String {
        let labels: Vec<_> = self.0.iter().map(|label| label.normal).collect();
        labels.join(".")
    }

    fn ends_with(&self, suffix: &Self) -> bool {
        let normal = |labels: &[Word]| labels.iter().map(|label| label.normal).collect::<Vec<_>>();
        normal(&self.0).ends_with(&normal(&suffix.0))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self.0.iter().map(|label| label.written).collect();
        f.write_str(&labels.join("."))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local.written, self.domain)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Domain(domain) => write!(f, "{domain}"),
            Self::Wildcard(domain) => write!(f, "*{domain}"),
            Self::Star => f.write_str("*"),
        }
    }
}

// What follows gives the rules of the model to the engine.

use wm_core::{EmailAddress, Limits};
use wm_rules::{
    Draft, Header, InboundAction, InboundRule, OutboundAction, OutboundRule, Pattern, RuleSet,
};

pub fn rule_set(inbound: &[ModelRule], outbound: &[ModelRule]) -> RuleSet {
    let draft = Draft {
        inbound: inbound.iter().map(inbound_rule).collect(),
        outbound: outbound.iter().map(outbound_rule).collect(),
    };
    draft.check(&Limits::default()).unwrap()
}

pub fn inbound_rule(rule: &ModelRule) -> InboundRule {
    InboundRule {
        id: rule.id.clone(),
        name: String::new(),
        sender_patterns: patterns(&rule.senders),
        action: inbound_action(rule.action),
    }
}

pub fn outbound_rule(rule: &ModelRule) -> OutboundRule {
    OutboundRule {
        id: rule.id.clone(),
        name: String::new(),
        sender_patterns: patterns(&rule.senders),
        recipient_patterns: patterns(rule.recipients.as_ref().unwrap()),
        action: outbound_action(rule.action),
    }
}

pub fn inbound_action(place: usize) -> InboundAction {
    match place {
        0 => InboundAction::Drop,
        1 => InboundAction::Bounce,
        2 => InboundAction::DeliverToJunk,
        3 => InboundAction::Default,
        4 => InboundAction::NeverDeliverToJunk,
        _ => InboundAction::RunLambda {
            target: "hook".into(),
        },
    }
}

pub fn outbound_action(place: usize) -> OutboundAction {
    match place {
        0 => OutboundAction::Default,
        1 => OutboundAction::Drop,
        2 => OutboundAction::BounceToSender,
        3 => OutboundAction::RouteToSmtpGateway {
            gateway: "gateway".into(),
        },
        _ => OutboundAction::RunLambda {
            target: "hook".into(),
        },
    }
}

pub fn header(header: Option<ModelHeader>) -> Option<Header> {
    header.map(|header| match header {
        ModelHeader::Sender => Header::Sender,
        ModelHeader::From => Header::From,
    })
}

pub fn patterns(forms: &[Form]) -> Vec<Pattern> {
    forms
        .iter()
        .map(|form| form.to_string().parse().unwrap())
        .collect()
}

pub fn address(address: &Address) -> EmailAddress {
    address.to_string().parse().unwrap()
}

pub fn addresses(addresses: &[Address]) -> Vec<EmailAddress> {
    addresses.iter().map(address).collect()
}
