//! Any rule file is read or refused. What is read is written as a file that reads to the same, and decides about any
//! address as its explanation says, in either precedence.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wm_core::EmailAddress;
use wm_rules::{Decision, Pattern, Precedence, Rule, RuleSet};

fuzz_target!(|file: &str| {
    let Ok(rules) = serde_json::from_str::<RuleSet>(file) else {
        return;
    };
    let json = serde_json::to_string(&rules).expect("rules are JSON");
    assert_eq!(
        serde_json::from_str::<RuleSet>(&json).expect("what is written reads"),
        rules
    );

    let mut addresses: Vec<EmailAddress> = vec!["x@elsewhere.example".parse().expect("an address")];
    addresses.extend(rules.inbound().iter().flat_map(near));
    addresses.extend(rules.outbound().iter().flat_map(near));
    addresses.truncate(8);
    for precedence in [Precedence::Listed, Precedence::Restrictive] {
        let matcher = rules.compile_with(precedence);
        for sender in addresses.iter().map(Some).chain([None]) {
            for from in [&[], addresses.get(..1).unwrap_or_default(), &addresses] {
                check(matcher.evaluate_inbound(sender, from));
                for (_, decision) in matcher.evaluate_outbound(sender, from, &addresses) {
                    check(decision);
                }
            }
        }
    }
});

/// An address that each pattern of the rule matches.
fn near<R: Rule>(rule: &R) -> impl Iterator<Item = EmailAddress> {
    let patterns = rule
        .sender_patterns()
        .iter()
        .chain(rule.recipient_patterns().unwrap_or_default());
    patterns.filter_map(|pattern| match pattern {
        Pattern::Address(address) => Some(address.clone()),
        Pattern::Domain(domain) => format!("x@{domain}").parse().ok(),
        Pattern::Wildcard(domain) => format!("x@a.{domain}").parse().ok(),
        Pattern::Star => None,
    })
}

fn check<R: Rule>(decision: Decision<'_, R>) {
    let explanation = decision.explain();
    assert_eq!(explanation.action, *decision.action());
    assert_eq!(
        explanation.winner().map(|it| &*it.rule),
        decision.rule().map(Rule::id)
    );
    assert_eq!(
        explanation.winner().and_then(|it| it.header),
        decision.header()
    );
    assert!(!decision.to_string().is_empty() && !explanation.to_string().is_empty());
}
