//! The engine agrees with the model on random rules and messages.
//!
//! `WM_RULES_CASES=10000000 cargo test --release -p wm-rules --test agreement` runs more cases than the usual 100,000.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod model;

use model::{Address, Domain, Form, ModelRule, Word};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use wm_rules::{Decision, Header, Outcome, Pattern, Precedence, Rule};

const fn word(written: &'static str, normal: &'static str) -> Word {
    Word { written, normal }
}

/// Few labels, so that patterns overlap; several spellings of each; one is the end of another.
const LABELS: [Word; 9] = [
    word("a", "a"),
    word("A", "a"),
    word("ba", "ba"),
    word("b", "b"),
    word("example", "example"),
    word("bücher", "xn--bcher-kva"),
    word("BU\u{308}CHER", "xn--bcher-kva"),
    word("xn--Bcher-kva", "xn--bcher-kva"),
    word("例え", "xn--r8jz45g"),
];

const LOCAL_PARTS: [Word; 8] = [
    word("john", "john"),
    word("\"John\"", "john"),
    word("j.smith", "j.smith"),
    word("\"J\\.Smith\"", "j.smith"),
    word("\"j smith\"", "\"j smith\""),
    word("\"*\"", "*"),
    word("MÜLLER", "müller"),
    word("müller", "müller"),
];

fn domain() -> impl Strategy<Value = Domain> {
    prop::collection::vec(select(&LABELS[..]), 1..4).prop_map(Domain)
}

fn sample_address() -> impl Strategy<Value = Address> {
    (select(&LOCAL_PARTS[..]), domain()).prop_map(|(local, domain)| Address { local, domain })
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        2 => sample_address().prop_map(Form::Address),
        3 => domain().prop_map(Form::Domain),
        4 => domain().prop_map(Form::Wildcard),
        1 => Just(Form::Star),
    ]
}

/// A rule whose patterns are, in part, those of other rules: equal specificity is common.
fn rules(outbound: bool, actions: usize) -> impl Strategy<Value = Vec<ModelRule>> {
    let pool = prop::collection::vec(form(), 1..8);
    let chosen = || prop::collection::vec(any::<Index>(), 1..4);
    let rule = (any::<u8>(), chosen(), chosen(), 0..actions);
    (pool, prop::collection::vec(rule, 0..7)).prop_map(move |(pool, rules)| {
        let patterns = |chosen: &[Index]| chosen.iter().map(|it| it.get(&pool).clone()).collect();
        let numbered = rules.iter().enumerate();
        let rules = numbered.map(|(n, (prefix, senders, recipients, action))| ModelRule {
            // The order of ids is not the order of rules.
            id: format!("{prefix}-{n}"),
            senders: patterns(senders),
            recipients: outbound.then(|| patterns(recipients)),
            action: *action,
        });
        rules.collect()
    })
}

/// Addresses near the patterns: the same ones, in their domains, and below.
fn near(form: &Form, local: Word, label: Option<Word>) -> Address {
    match form {
        Form::Address(address) => address.clone(),
        Form::Domain(domain) | Form::Wildcard(domain) => {
            let labels = label.into_iter().chain(domain.0.iter().copied());
            Address {
                local,
                domain: Domain(labels.collect()),
            }
        }
        Form::Star => Address {
            local,
            domain: Domain(vec![LABELS[0]]),
        },
    }
}

type Seed = (Option<Index>, Index, Word, Option<Word>, Address);

fn seed() -> impl Strategy<Value = Seed> {
    let label = prop::option::of(select(&LABELS[..]));
    (
        prop::option::weighted(0.8, any::<Index>()),
        any::<Index>(),
        select(&LOCAL_PARTS[..]),
        label,
        sample_address(),
    )
}

fn grow(seed: Seed, rules: &[ModelRule], side: impl Fn(&ModelRule) -> &[Form]) -> Address {
    let (rule, pattern, local, label, far) = seed;
    match rule {
        Some(rule) if !rules.is_empty() => near(pattern.get(side(rule.get(rules))), local, label),
        _ => far,
    }
}

type Case = (Vec<ModelRule>, Option<Address>, Vec<Address>, Vec<Address>);

fn case(outbound: bool, actions: usize) -> impl Strategy<Value = Case> {
    let sender = prop::option::of(seed());
    let (from, recipients) = (
        prop::collection::vec(seed(), 0..4),
        prop::collection::vec(seed(), 1..4),
    );
    (rules(outbound, actions), sender, from, recipients).prop_map(
        |(rules, sender, from, recipients)| {
            let of_sender = |seed| grow(seed, &rules, |rule| &rule.senders);
            let of_recipient = |seed| {
                grow(seed, &rules, |rule| {
                    rule.recipients.as_deref().unwrap_or(&rule.senders)
                })
            };
            let sender = sender.map(of_sender);
            let from = from.into_iter().map(of_sender).collect();
            let recipients = recipients.into_iter().map(of_recipient).collect();
            (rules, sender, from, recipients)
        },
    )
}

/// The rule that decided and the header, after checking that the patterns and the explanation fit.
fn verdict<R: Rule>(
    decision: Decision<'_, R>,
) -> Result<Option<(String, Option<Header>)>, TestCaseError> {
    let explanation = decision.explain();
    prop_assert_eq!(&explanation.action, decision.action());

    // The explanation looks at all patterns, the decision at an index.
    let explained = explanation.winner();
    prop_assert_eq!(decision.rule().map(Rule::id), explained.map(|it| &*it.rule));
    prop_assert_eq!(decision.header(), explained.and_then(|it| it.header));
    let specificity = |pattern: &Pattern| pattern.specificity();
    prop_assert_eq!(
        decision.sender_pattern().map(specificity),
        explained.map(|it| it.sender_pattern.specificity())
    );
    prop_assert_eq!(
        decision.recipient_pattern(),
        explained.and_then(|it| it.recipient_pattern.as_ref())
    );
    if let (Some(rule), Some(pattern)) = (decision.rule(), decision.sender_pattern()) {
        prop_assert!(rule.sender_patterns().contains(pattern));
    }

    // The first one applies, and each of the others names a rule that matches too.
    for (n, it) in explanation.matches.iter().enumerate() {
        let than = match &it.outcome {
            Outcome::Applies => None,
            Outcome::LessSpecific { than } | Outcome::SenderFirst { than } => Some(than),
            Outcome::WeakerAction { than } | Outcome::LargerId { than } => Some(than),
            other => panic!("unknown outcome {other:?}"),
        };
        prop_assert_eq!(than.is_none(), n == 0);
        prop_assert!(
            than.is_none_or(|than| explanation.matches.iter().any(|other| other.rule == *than))
        );
    }
    Ok(decision
        .rule()
        .map(|rule| (rule.id().to_owned(), decision.header())))
}

fn expected(
    rules: &[ModelRule],
    order: &[usize],
    sender: &Option<Address>,
    from: &[Address],
    recipient: Option<&Address>,
) -> Option<(String, Option<Header>)> {
    let decided = model::decide_forms(rules, order, sender.as_ref(), from, recipient);
    decided.map(|(rule, header)| (rule.id.clone(), model::header(header)))
}

fn cases() -> u32 {
    let cases =
        std::env::var("WM_RULES_CASES").map(|it| it.parse().expect("WM_RULES_CASES is a number"));
    cases.unwrap_or(100_000)
}

proptest! {
    // Half of the cases each.
    #![proptest_config(ProptestConfig { cases: cases() / 2, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn inbound_decisions_are_those_of_the_model((rules, sender, from, _) in case(false, 6)) {
        let expected = expected(&rules, &model::INBOUND_ORDER, &sender, &from, None);
        let (sender, from) = (sender.as_ref().map(model::address), model::addresses(&from));
        for precedence in [Precedence::Listed, Precedence::Restrictive] {
            let matcher = model::rule_set(&rules, &[]).compile_with(precedence);
            prop_assert_eq!(verdict(matcher.evaluate_inbound(sender.as_ref(), &from))?, expected.clone());
        }
    }

    #[test]
    fn outbound_decisions_are_those_of_the_model((rules, sender, from, recipients) in case(true, 5)) {
        for (precedence, order) in [
            (Precedence::Listed, model::OUTBOUND_ORDER),
            (Precedence::Restrictive, model::OUTBOUND_RESTRICTIVE_ORDER),
        ] {
            let expected = recipients.iter().map(|it| expected(&rules, &order, &sender, &from, Some(it)));
            let (sender, from) = (sender.as_ref().map(model::address), model::addresses(&from));
            let addresses = model::addresses(&recipients);
            let matcher = model::rule_set(&[], &rules).compile_with(precedence);
            let decisions = matcher.evaluate_outbound(sender.as_ref(), &from, &addresses);
            for ((recipient, decision), expected) in decisions.zip(expected) {
                prop_assert_eq!(verdict(decision)?, expected, "for {}", recipient);
            }
        }
    }
}
