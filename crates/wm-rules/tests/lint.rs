//! What the linter says of rules is what the matcher does (FLW-6, FLW-7).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code
)]

mod model;

use std::collections::HashSet;

use model::{Address, Domain, Form, ModelRule, Word};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use wm_core::EmailAddress;
use wm_rules::{
    Decision, Direction, Explanation, InboundAction, Lint, LintKind, Matcher, OutboundAction,
    Outcome, Pattern, Precedence, Rule, RuleSet, Side, lint,
};

fn lines(rules: &str, precedence: Precedence) -> Vec<String> {
    let rules: RuleSet = serde_json::from_str(rules).unwrap();
    let lints = lint(&rules, precedence);
    let json = serde_json::to_string(&lints).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Lint>>(&json).unwrap(), lints);
    lints.iter().map(ToString::to_string).collect()
}

#[test]
fn a_rule_with_the_patterns_of_stronger_ones_never_applies() {
    let rules = r#"{"inbound": [
        {"id": "a", "sender_patterns": ["a.example", "*b.example"], "action": "DeliverToJunk"},
        {"id": "b", "sender_patterns": ["A.example"], "action": "Drop"},
        {"id": "c", "sender_patterns": ["*.b.example"], "action": "Bounce"}
    ]}"#;
    assert_eq!(
        lines(rules, Precedence::Listed),
        [
            "inbound rule \"a\" never applies: rule \"b\" decides, for example about mail from someone@a.example"
        ]
    );
}

#[test]
fn a_pattern_that_another_rule_has_too_never_applies() {
    let rules = r#"{"inbound": [
        {"id": "a", "sender_patterns": ["a.example"], "action": "Drop"},
        {"id": "b", "sender_patterns": ["a.example", "b.example"], "action": "Drop"}
    ], "outbound": [
        {"id": "c", "sender_patterns": ["*"], "recipient_patterns": ["*", "x@a.example"], "action": "Drop"},
        {"id": "d", "sender_patterns": ["*"], "recipient_patterns": ["x@a.example"], "action": "BounceToSender"},
        {"id": "e", "sender_patterns": ["*"], "recipient_patterns": ["x@a.example"], "action": "Default"}
    ]}"#;
    assert_eq!(
        lines(rules, Precedence::Restrictive),
        [
            "inbound rule \"b\" never applies by its sender pattern a.example: rule \"a\" decides, \
             for example about mail from someone@a.example",
            "outbound rule \"d\" never applies: rule \"c\" decides, \
             for example about mail from someone@elsewhere.example to x@a.example",
            "outbound rule \"e\" never applies: rule \"c\" decides, \
             for example about mail from someone@elsewhere.example to x@a.example",
        ]
    );
    // In the guide's order Default comes first.
    let never: Vec<_> = lines(rules, Precedence::Listed);
    assert!(never[1].starts_with(
        "outbound rule \"c\" never applies by its recipient pattern x@a.example: rule \"e\""
    ));
    assert!(never[2].starts_with("outbound rule \"d\" never applies: rule \"e\""));
    assert_eq!(never.len(), 3);
}

#[test]
fn a_pattern_twice_in_a_rule_is_one_too_many() {
    let rules = r#"{"inbound": [
        {"id": "a", "sender_patterns": ["*B\u00fccher.example", "x@a.example", "*.xn--bcher-kva.example"], "action": "Drop"}
    ]}"#;
    assert_eq!(
        lines(rules, Precedence::Listed),
        ["inbound rule \"a\" has the sender pattern *xn--bcher-kva.example more than once"]
    );
}

#[test]
fn an_exception_that_a_more_specific_drop_overrides_is_shown() {
    let rules = r#"{"inbound": [
        {"id": "all", "sender_patterns": ["*"], "action": "Default"},
        {"id": "block", "sender_patterns": ["*example"], "action": "Bounce"},
        {"id": "except", "sender_patterns": ["*a.example"], "action": "NeverDeliverToJunk"},
        {"id": "narrow", "sender_patterns": ["b.a.example"], "action": "Drop"}
    ], "outbound": [
        {"id": "except", "sender_patterns": ["*"], "recipient_patterns": ["*a.example"], "action": "Default"},
        {"id": "narrow", "sender_patterns": ["x@c.example"], "recipient_patterns": ["a.example"], "action": "Drop"}
    ]}"#;
    assert_eq!(
        lines(rules, Precedence::Listed),
        [
            "inbound rule \"except\" is an exception that the more specific rule \"narrow\" overrides, \
             for example about mail from someone@b.a.example",
            "outbound rule \"except\" is an exception that the more specific rule \"narrow\" overrides, \
             for example about mail from x@c.example to someone@a.example",
        ]
    );
}

#[test]
fn rules_that_all_apply_are_passed_in_silence() {
    let rules = r#"{"inbound": [
        {"id": "a", "sender_patterns": ["*"], "action": "Drop"},
        {"id": "b", "sender_patterns": ["*a.example"], "action": "Default"},
        {"id": "c", "sender_patterns": ["a.example", "x@a.example"], "action": {"RunLambda": {"target": "t"}}}
    ]}"#;
    assert!(lines(rules, Precedence::Listed).is_empty());
    assert!(lines("{}", Precedence::Listed).is_empty());
}

#[test]
fn examples_avoid_other_patterns_and_names_too_long_for_one_are_left_alone() {
    let rules = r#"{"inbound": [
        {"id": "a", "sender_patterns": ["*", "*example", "mail.example", "someone@mail1.example", "*elsewhere.example1"],
         "action": "Drop"},
        {"id": "b", "sender_patterns": ["*", "*example"], "action": "Default"}
    ]}"#;
    let rules: RuleSet = serde_json::from_str(rules).unwrap();
    let lints = lint(&rules, Precedence::Listed);
    assert_eq!(lints[0].rule, "b");
    assert_eq!(lints[0].kind, LintKind::NeverApplies);
    assert!(
        ["someone@elsewhere.example2", "someone@mail2.example"]
            .contains(&&*lints[0].sender.to_string())
    );

    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", &label[..61]);
    let pattern: Pattern = longest.parse().unwrap();
    let rules = format!(
        r#"{{"inbound": [{{"id": "a", "sender_patterns": ["{pattern}"], "action": "Drop"}},
            {{"id": "b", "sender_patterns": ["{pattern}"], "action": "Default"}}]}}"#
    );
    // An address has at most 254 octets.
    assert!(format!("x@{longest}").parse::<EmailAddress>().is_err());
    assert!(lines(&rules, Precedence::Listed).is_empty());
}

const fn word(text: &'static str) -> Word {
    Word {
        written: text,
        normal: text,
    }
}

fn names() -> [Domain; 3] {
    [&["a"][..], &["b", "a"], &["b"]]
        .map(|labels| Domain(labels.iter().map(|it| word(it)).collect()))
}

fn at(local: &'static str, domain: &Domain) -> Address {
    Address {
        local: word(local),
        domain: domain.clone(),
    }
}

fn forms() -> Vec<Form> {
    let of_name = |name: &Domain| {
        [
            Form::Address(at("x", name)),
            Form::Domain(name.clone()),
            Form::Wildcard(name.clone()),
        ]
    };
    names()
        .iter()
        .flat_map(of_name)
        .chain([Form::Star])
        .collect()
}

/// Addresses of every kind that the patterns tell apart.
fn universe() -> Vec<EmailAddress> {
    let below = |name: &Domain| Domain([&[word("c")], &name.0[..]].concat());
    let of_name = |name: &Domain| [at("x", name), at("y", name), at("x", &below(name))];
    let unrelated = at("x", &Domain(vec![word("d")]));
    let addresses: Vec<_> = names()
        .iter()
        .flat_map(of_name)
        .chain([unrelated])
        .collect();
    model::addresses(&addresses)
}

fn rules(outbound: bool, actions: usize) -> impl Strategy<Value = Vec<ModelRule>> {
    let some = |most| prop::collection::vec(select(forms()), 1..most);
    let rule = (any::<Index>(), some(4), some(3), 0..actions);
    prop::collection::vec(rule, 1..6).prop_map(move |rules| {
        let numbered = rules.into_iter().enumerate();
        let rules = numbered.map(|(n, (prefix, senders, recipients, action))| ModelRule {
            id: format!("{}-{n}", prefix.index(9)),
            senders,
            recipients: outbound.then_some(recipients),
            action,
        });
        rules.collect()
    })
}

/// Rules that decide some message of the universe, each with the patterns by which it does.
#[derive(Default)]
struct Effective {
    rules: HashSet<String>,
    patterns: HashSet<(String, Side, Pattern)>,
}

impl Effective {
    fn add<R: Rule>(&mut self, decision: &Decision<'_, R>) {
        let Some(rule) = decision.rule() else { return };
        let id = rule.id().to_owned();
        let sides = [
            (Side::Sender, decision.sender_pattern()),
            (Side::Recipient, decision.recipient_pattern()),
        ];
        for (side, pattern) in sides {
            self.patterns
                .extend(pattern.map(|it| (id.clone(), side, it.clone())));
        }
        self.rules.insert(id);
    }
}

/// Senders and From addresses: one or the other, both, two in From, none.
fn headers() -> Vec<(Option<EmailAddress>, Vec<EmailAddress>)> {
    let all = universe();
    let mut headers = vec![(None, Vec::new())];
    for (n, address) in all.iter().enumerate() {
        let other = &all[(n + 3) % all.len()];
        headers.push((Some(address.clone()), Vec::new()));
        headers.push((Some(address.clone()), vec![other.clone()]));
        headers.push((None, vec![other.clone(), address.clone()]));
    }
    headers
}

fn effective(matcher: &Matcher, direction: Direction) -> Effective {
    let (all, mut effective) = (universe(), Effective::default());
    for (sender, from) in headers() {
        match direction {
            Direction::Inbound => effective.add(&matcher.evaluate_inbound(sender.as_ref(), &from)),
            Direction::Outbound => {
                for (_, decision) in matcher.evaluate_outbound(sender.as_ref(), &from, &all) {
                    effective.add(&decision);
                }
            }
        }
    }
    effective
}

/// What the matcher says about the example: the rules that match, the winner first, and whether the winner blocks.
fn explained(matcher: &Matcher, lint: &Lint) -> (Vec<(String, Outcome)>, bool) {
    fn matches<A>(explanation: Explanation<A>) -> Vec<(String, Outcome)> {
        explanation
            .matches
            .into_iter()
            .map(|it| (it.rule, it.outcome))
            .collect()
    }
    match lint.direction {
        Direction::Inbound => {
            let decision = matcher.evaluate_inbound(Some(&lint.sender), &[]);
            let blocks = matches!(
                decision.action(),
                InboundAction::Drop | InboundAction::Bounce
            );
            (matches(decision.explain()), blocks)
        }
        Direction::Outbound => {
            let mut decisions = matcher.evaluate_outbound(Some(&lint.sender), &[], &lint.recipient);
            let (_, decision) = decisions.next().unwrap();
            let blocks = matches!(
                decision.action(),
                OutboundAction::Drop | OutboundAction::BounceToSender
            );
            (matches(decision.explain()), blocks)
        }
    }
}

fn check(
    rules: &[ModelRule],
    set: &RuleSet,
    direction: Direction,
    precedence: Precedence,
) -> Result<(), TestCaseError> {
    let matcher = set.compile_with(precedence);
    let effective = effective(&matcher, direction);
    let lints = lint(set, precedence);
    let (mut dead, mut useless) = (HashSet::new(), HashSet::new());
    for it in &lints {
        prop_assert_eq!(it.direction, direction);
        let (matches, blocks) = explained(&matcher, it);
        prop_assert_eq!(&matches[0].0, &it.winner, "{}", it);
        let outcome = matches
            .iter()
            .find(|(rule, _)| *rule == it.rule)
            .map(|(_, outcome)| outcome);
        prop_assert!(outcome.is_some(), "{} is not about the rule", it);
        match &it.kind {
            LintKind::NeverApplies => {
                prop_assert_ne!(&it.winner, &it.rule);
                dead.insert(it.rule.clone());
            }
            LintKind::PatternNeverApplies { side, pattern } => {
                prop_assert_ne!(&it.winner, &it.rule);
                useless.insert((it.rule.clone(), *side, pattern.clone()));
            }
            LintKind::DuplicatePattern { .. } => {}
            LintKind::ExceptionOverridden => {
                prop_assert!(blocks);
                prop_assert_eq!(
                    outcome,
                    Some(&Outcome::LessSpecific {
                        than: it.winner.clone()
                    })
                );
            }
            other => panic!("unknown kind {other:?}"),
        }
    }
    // Dead is what never wins, and nothing else.
    for rule in rules {
        prop_assert_ne!(
            dead.contains(&rule.id),
            effective.rules.contains(&rule.id),
            "{} in {:?}",
            &rule.id,
            lints
        );
        let senders = model::patterns(&rule.senders)
            .into_iter()
            .map(|it| (Side::Sender, it));
        let recipients = rule
            .recipients
            .as_deref()
            .map(model::patterns)
            .unwrap_or_default();
        for (side, pattern) in senders.chain(recipients.into_iter().map(|it| (Side::Recipient, it)))
        {
            let it = (rule.id.clone(), side, pattern);
            let never = dead.contains(&rule.id) || useless.contains(&it);
            prop_assert_ne!(
                never,
                effective.patterns.contains(&it),
                "{:?} in {:?}",
                it,
                lints
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn inbound_rules_are_called_dead_exactly_if_they_never_win(rules in rules(false, 6)) {
        check(&rules, &model::rule_set(&rules, &[]), Direction::Inbound, Precedence::Listed)?;
    }

    #[test]
    fn outbound_rules_are_called_dead_exactly_if_they_never_win(rules in rules(true, 5)) {
        for precedence in [Precedence::Listed, Precedence::Restrictive] {
            check(&rules, &model::rule_set(&[], &rules), Direction::Outbound, precedence)?;
        }
    }
}
