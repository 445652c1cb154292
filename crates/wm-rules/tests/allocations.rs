//! A decision allocates nothing, inbound or outbound, whatever the number of rules.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use allocation_counter::measure;
use wm_core::EmailAddress;
use wm_rules::{InboundAction, OutboundAction, RuleSet};

fn rules() -> RuleSet {
    let mut patterns: Vec<String> = (0..240).map(|n| format!("*d{n}.example")).collect();
    patterns.extend(["user@d1.example", "d2.example", "*"].map(String::from));
    serde_json::from_value(serde_json::json!({
        "inbound": [{"id": "i", "sender_patterns": patterns, "action": "Drop"}],
        "outbound": [
            {"id": "o", "sender_patterns": patterns, "recipient_patterns": patterns, "action": "Drop"},
        ],
    }))
    .unwrap()
}

fn addresses() -> Vec<EmailAddress> {
    let texts = [
        "user@d1.example",
        "x@d2.example",
        "x@a.b.c.d3.example",
        "x@elsewhere.example",
    ];
    texts.map(|it| it.parse().unwrap()).to_vec()
}

#[test]
fn an_inbound_decision_allocates_nothing() {
    let (matcher, addresses) = (rules().compile(), addresses());
    for sender in addresses.iter().map(Some).chain([None]) {
        let counted = measure(|| {
            let decision = matcher.evaluate_inbound(sender, &addresses);
            assert_eq!(black_box(decision.action()), &InboundAction::Drop);
            assert!(decision.rule().is_some());
        });
        assert_eq!(counted.count_total, 0, "{sender:?}");
    }
}

#[test]
fn an_outbound_decision_for_one_recipient_allocates_nothing() {
    let (matcher, addresses) = (rules().compile(), addresses());
    for sender in addresses.iter().map(Some).chain([None]) {
        for recipient in &addresses {
            let counted = measure(|| {
                for (_, decision) in matcher.evaluate_outbound(sender, &addresses, [recipient]) {
                    assert_eq!(black_box(decision.action()), &OutboundAction::Drop);
                }
            });
            assert_eq!(counted.count_total, 0, "{sender:?} to {recipient}");
        }
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(black_box(Box::new(1)))).count_total, 1);
}
