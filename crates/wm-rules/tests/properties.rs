//! What changes of the rules do to decisions, and which changes are refused (FLW-6, FLW-8).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code
)]

mod model;

use model::{Address, Domain, Form, ModelRule, Word};
use proptest::prelude::*;
use proptest::sample::select;
use wm_core::{EmailAddress, Limits};
use wm_rules::{
    Direction, Draft, Header, InboundAction, InboundRule, Matcher, OutboundAction, OutboundRule,
    Precedence, Rule, RuleSet, Side, Violation,
};

const fn word(text: &'static str) -> Word {
    Word {
        written: text,
        normal: text,
    }
}

const LABELS: [Word; 3] = [word("a"), word("b"), word("c")];

fn domain() -> impl Strategy<Value = Domain> {
    prop::collection::vec(select(&LABELS[..]), 1..4).prop_map(Domain)
}

fn address() -> impl Strategy<Value = Address> {
    (select(vec![word("x"), word("y")]), domain())
        .prop_map(|(local, domain)| Address { local, domain })
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        2 => address().prop_map(Form::Address),
        3 => domain().prop_map(Form::Domain),
        4 => domain().prop_map(Form::Wildcard),
        1 => Just(Form::Star),
    ]
}

fn rule(actions: usize) -> impl Strategy<Value = ModelRule> {
    let some = || prop::collection::vec(form(), 1..4);
    (some(), some(), 0..actions).prop_map(|(senders, recipients, action)| ModelRule {
        id: String::new(),
        senders,
        recipients: Some(recipients),
        action,
    })
}

/// Rules for both directions: the actions are those that both have numbers for.
fn rules() -> impl Strategy<Value = Vec<ModelRule>> {
    let rules = prop::collection::vec((rule(5), any::<u8>()), 0..7);
    rules.prop_map(|rules| {
        let numbered = rules.into_iter().enumerate();
        let named = numbered.map(|(n, (rule, prefix))| ModelRule {
            id: format!("{prefix}-{n}"),
            ..rule
        });
        named.collect()
    })
}

type Message = (Option<Address>, Vec<Address>, Vec<Address>);

fn message() -> impl Strategy<Value = Message> {
    let some = |least| prop::collection::vec(address(), least..4);
    (prop::option::of(address()), some(0), some(1))
}

/// The rule and header for the message as one that comes in, then for each recipient as one that goes out.
fn decide(matcher: &Matcher, message: &Message) -> Vec<Option<(String, Option<Header>)>> {
    let sender = message.0.as_ref().map(model::address);
    let (from, recipients) = (model::addresses(&message.1), model::addresses(&message.2));
    let inbound = matcher.evaluate_inbound(sender.as_ref(), &from);
    let mut decided = vec![
        inbound
            .rule()
            .map(|it| (it.id().to_owned(), inbound.header())),
    ];
    let outbound = matcher.evaluate_outbound(sender.as_ref(), &from, &recipients);
    decided
        .extend(outbound.map(|(_, it)| it.rule().map(|rule| (rule.id().to_owned(), it.header()))));
    decided
}

fn compile(rules: &[ModelRule], precedence: Precedence) -> Matcher {
    model::rule_set(rules, rules).compile_with(precedence)
}

const PRECEDENCES: [Precedence; 2] = [Precedence::Listed, Precedence::Restrictive];

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_rules_and_patterns_has_no_meaning(
        (rules, shuffled) in rules().prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        message in message(),
    ) {
        let mut turned = shuffled;
        for rule in &mut turned {
            rule.senders.reverse();
            rule.recipients.as_mut().unwrap().reverse();
        }
        for precedence in PRECEDENCES {
            prop_assert_eq!(
                decide(&compile(&rules, precedence), &message),
                decide(&compile(&turned, precedence), &message)
            );
        }
    }

    #[test]
    fn a_rule_that_matches_nothing_of_a_message_changes_nothing(
        rules in rules(), message in message(), actions in 0..5_usize, id in "[a-z0-9]{1,3}",
    ) {
        // Neither address of the universe ends in this label.
        let nowhere = |label| Domain(vec![word(label), word("nowhere")]);
        let more = ModelRule {
            id,
            senders: vec![Form::Domain(nowhere("a")), Form::Wildcard(nowhere("b"))],
            recipients: Some(vec![Form::Star]),
            action: actions,
        };
        let with = [&rules[..], &[more]].concat();
        for precedence in PRECEDENCES {
            prop_assert_eq!(
                decide(&compile(&rules, precedence), &message),
                decide(&compile(&with, precedence), &message)
            );
        }
    }

    #[test]
    fn a_more_specific_rule_changes_decisions_only_for_what_it_covers(
        rules in rules(), message in message(), rule in rule(5), narrow in address(),
    ) {
        // An address is more specific than whatever else there is, unless a rule has the same one.
        let taken = |forms: &[Form]| forms.contains(&Form::Address(narrow.clone()));
        prop_assume!(!rules.iter().any(|it| taken(&it.senders)));
        let more = ModelRule {
            id: "more".into(),
            senders: vec![Form::Address(narrow.clone())],
            recipients: Some(vec![Form::Star]),
            ..rule
        };
        let with = [&rules[..], &[more]].concat();
        let (sender, from, _) = &message;
        for precedence in PRECEDENCES {
            let (before, after) = (
                decide(&compile(&rules, precedence), &message),
                decide(&compile(&with, precedence), &message),
            );
            // FLW-5: From counts when no rule matches the Sender.
            let by_sender = before[0].as_ref().is_some_and(|it| it.1 == Some(Header::Sender));
            let header = match sender.as_ref() == Some(&narrow) {
                true => Some(Header::Sender),
                false => (!by_sender && from.contains(&narrow)).then_some(Header::From),
            };
            match header {
                // Of several From addresses another may be as specific.
                Some(Header::From) if from.len() > 1 => {}
                Some(header) => prop_assert_eq!(&after[0], &Some(("more".to_owned(), Some(header)))),
                None => prop_assert_eq!(&after[0], &before[0]),
            }
            if sender.as_ref() != Some(&narrow) && !from.contains(&narrow) {
                prop_assert_eq!(after, before);
            }
        }
    }
}

fn inbound(id: &str, patterns: usize) -> InboundRule {
    InboundRule {
        id: id.into(),
        name: String::new(),
        sender_patterns: (0..patterns)
            .map(|n| format!("d{n}.example").parse().unwrap())
            .collect(),
        action: InboundAction::Drop,
    }
}

fn outbound(id: &str, patterns: usize) -> OutboundRule {
    OutboundRule {
        id: id.into(),
        name: String::new(),
        sender_patterns: inbound(id, patterns).sender_patterns,
        recipient_patterns: vec!["*".parse().unwrap()],
        action: OutboundAction::Drop,
    }
}

#[test]
fn rules_may_have_250_sender_patterns_each_and_1000_together() {
    let draft = Draft {
        inbound: ["a", "b", "c"].map(|id| inbound(id, 250)).into(),
        outbound: vec![outbound("a", 250)],
    };
    let rules = draft.check(&Limits::default()).unwrap();

    let one_more = rules.change(&Limits::default(), |draft| {
        draft.outbound.push(outbound("b", 1))
    });
    let violations: Vec<_> = one_more.unwrap_err().into_iter().collect();
    let side = Side::Sender;
    assert_eq!(
        violations,
        [Violation::TooMany {
            side,
            count: 1_001,
            limit: 1_000
        }]
    );

    // What takes another one's place is no more.
    let instead = rules.change(&Limits::default(), |draft| {
        draft.inbound.pop();
        draft.outbound.push(outbound("b", 250));
    });
    assert_eq!(instead.unwrap().outbound().len(), 2);
}

#[test]
fn a_change_is_refused_whole_with_everything_that_is_wrong() {
    let before = Draft {
        inbound: vec![inbound("a", 1)],
        outbound: Vec::new(),
    };
    let rules = before.check(&Limits::default()).unwrap();
    let (unchanged, sender): (RuleSet, EmailAddress) =
        (rules.clone(), "x@d0.example".parse().unwrap());

    let change = rules.change(&Limits::default(), |draft| {
        draft.inbound[0].action = InboundAction::Bounce;
        draft.inbound.push(inbound("a", 251));
        draft.inbound.push(inbound("", 0));
        draft
            .outbound
            .extend(["b", "c", "d"].map(|id| outbound(id, 300)));
    });
    let violations: Vec<_> = change.unwrap_err().into_iter().collect();
    let too_many = |direction, id: &str, count| Violation::TooManyInRule {
        direction,
        id: id.into(),
        side: Side::Sender,
        count,
        limit: 250,
    };
    let expected = [
        Violation::DuplicateId {
            direction: Direction::Inbound,
            id: "a".into(),
        },
        Violation::NoId {
            direction: Direction::Inbound,
            position: 3,
        },
        Violation::NoPatterns {
            direction: Direction::Inbound,
            id: String::new(),
            side: Side::Sender,
        },
        too_many(Direction::Inbound, "a", 251),
        too_many(Direction::Outbound, "b", 300),
        too_many(Direction::Outbound, "c", 300),
        too_many(Direction::Outbound, "d", 300),
        Violation::TooMany {
            side: Side::Sender,
            count: 1_152,
            limit: 1_000,
        },
    ];
    assert!(
        expected.iter().all(|it| violations.contains(it)),
        "{violations:?}"
    );
    assert_eq!(violations.len(), expected.len(), "{violations:?}");

    assert_eq!(rules, unchanged);
    assert_eq!(
        rules
            .compile()
            .evaluate_inbound(Some(&sender), &[])
            .action(),
        &InboundAction::Drop
    );
}
