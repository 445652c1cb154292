//! The engine agrees with the model on every rule set of up to three rules with one pattern a side, where the patterns are the
//! four forms over names of two labels, with all actions.
//!
//! Ids that are exchanged between rules of different kinds of action cannot matter, so usually one of such rule sets is run; and
//! outbound, three rules only with two of the actions. `WM_RULES_EXHAUSTIVE=1` runs all of them, best in release mode.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code
)]

mod model;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use model::{Address, Domain, Form, Specificity, Word};
use wm_core::{EmailAddress, Limits};
use wm_rules::{Draft, InboundRule, Matcher, OutboundRule, Rule};

/// A rule by its numbers in the universe. Its id is its place in the rule set.
#[derive(Clone, Copy)]
struct Small {
    sender: usize,
    recipient: usize,
    action: usize,
}

/// Patterns, and addresses of every kind that they tell apart.
struct Universe {
    patterns: Vec<Form>,
    addresses: Vec<EmailAddress>,
    /// The specificity of each pattern for each address.
    table: Vec<Vec<Option<Specificity>>>,
}

const fn word(text: &'static str) -> Word {
    Word {
        written: text,
        normal: text,
    }
}

impl Universe {
    /// The patterns are `x@name`, `name` and `*name` for each name, and `*`.
    /// The addresses have the names, subdomains of them, and an unrelated domain.
    fn new(names: &[&[&'static str]]) -> Self {
        let domain = |labels: &[&'static str]| Domain(labels.iter().map(|it| word(it)).collect());
        let address = |local, domain: Domain| Address {
            local: word(local),
            domain,
        };
        let mut patterns = vec![Form::Star];
        let mut addresses = vec![address("x", domain(&["d"]))];
        for name in names {
            let below = [&["c"], *name].concat();
            patterns.push(Form::Address(address("x", domain(name))));
            patterns.push(Form::Domain(domain(name)));
            patterns.push(Form::Wildcard(domain(name)));
            addresses.push(address("x", domain(name)));
            addresses.push(address("y", domain(name)));
            addresses.push(address("x", domain(&below)));
        }
        let specificities = |pattern| {
            addresses
                .iter()
                .map(|it| model::specificity(std::slice::from_ref(pattern), it))
                .collect()
        };
        let table = patterns.iter().map(specificities).collect();
        Self {
            addresses: model::addresses(&addresses),
            patterns,
            table,
        }
    }

    /// The place of the rule that applies by the model, and the header. Messages are given by numbers of addresses.
    fn decide(
        &self,
        rules: &[Small],
        order: &[usize],
        sender: Option<usize>,
        from: &[usize],
        recipient: Option<usize>,
    ) -> Option<(usize, Option<model::ModelHeader>)> {
        let places = [0, 1, 2];
        let matched = |pattern: usize, address: usize| self.table[pattern][address];
        let decided = model::decide(
            &places[..rules.len()],
            (sender.is_some(), |&place| {
                matched(rules[place].sender, sender?)
            }),
            (!from.is_empty(), |&place| {
                from.iter()
                    .filter_map(|&it| matched(rules[place].sender, it))
                    .max()
            }),
            |&place| recipient.map_or(Some((0, 0)), |it| matched(rules[place].recipient, it)),
            |&place| self.patterns[rules[place].sender] == Form::Star,
            |&place| {
                (
                    order
                        .iter()
                        .position(|&action| action == rules[place].action),
                    place,
                )
            },
        );
        decided.map(|(&place, header)| (place, header))
    }
}

/// Calls `check` with every sequence of one to three rules that `wanted` wants, on all processors.
fn for_all_sets(
    rules: &[Small],
    wanted: impl Fn(&[Small]) -> bool + Sync,
    check: impl Fn(&[Small]) + Sync,
) -> u64 {
    let (next, count) = (AtomicUsize::new(0), AtomicU64::new(0));
    let run = |set: &[Small]| {
        if wanted(set) {
            check(set);
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(&first) = rules.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(&[first]);
                    for &second in rules {
                        run(&[first, second]);
                        rules.iter().for_each(|&third| run(&[first, second, third]));
                    }
                }
            });
        }
    });
    count.into_inner()
}

/// Whether the whole universe is to be run, which takes long.
fn everything() -> bool {
    static EVERYTHING: LazyLock<bool> =
        LazyLock::new(|| std::env::var_os("WM_RULES_EXHAUSTIVE").is_some());
    *EVERYTHING
}

/// One of the rule sets that differ only in which kind of action has which id.
fn sorted(set: &[Small]) -> bool {
    set.is_sorted_by_key(|rule| rule.action)
}

fn compile(inbound: Vec<InboundRule>, outbound: Vec<OutboundRule>) -> Matcher {
    Draft { inbound, outbound }
        .check(&Limits::default())
        .unwrap()
        .compile()
}

const IDS: [&str; 3] = ["r0", "r1", "r2"];

#[test]
fn every_small_inbound_rule_set_decides_as_the_model() {
    let universe = Universe::new(&[&["a"], &["b", "a"], &["b"]]);
    let patterns = model::patterns(&universe.patterns);
    let rules: Vec<_> = (0..patterns.len())
        .flat_map(|sender| {
            (0..6).map(move |action| Small {
                sender,
                recipient: 0,
                action,
            })
        })
        .collect();
    let check = |set: &[Small]| {
        let rules = set.iter().zip(IDS).map(|(rule, id)| InboundRule {
            id: id.into(),
            name: String::new(),
            sender_patterns: vec![patterns[rule.sender].clone()],
            action: model::inbound_action(rule.action),
        });
        let matcher = compile(rules.collect(), Vec::new());
        let all = 0..universe.addresses.len();
        let senders = || std::iter::once(None).chain(all.clone().map(Some));
        // No From, each one, and some pairs.
        let froms = std::iter::once(vec![])
            .chain(all.clone().map(|n| vec![n]))
            .chain(all.clone().map(|n| vec![n, n / 2]));
        for from in froms {
            let addresses: Vec<_> = from
                .iter()
                .map(|&n| universe.addresses[n].clone())
                .collect();
            for sender in senders() {
                let decision =
                    matcher.evaluate_inbound(sender.map(|n| &universe.addresses[n]), &addresses);
                let decided = decision.rule().map(|rule| (rule.id(), decision.header()));
                let expected = universe.decide(set, &model::INBOUND_ORDER, sender, &from, None);
                let expected = expected.map(|(place, header)| (IDS[place], model::header(header)));
                assert_eq!(decided, expected, "{:?} {sender:?} {from:?}", matcher);
            }
        }
    };
    let count = for_all_sets(&rules, |set| everything() || sorted(set), check);
    let expected = match everything() {
        true => 60 + 60 * 60 + 60 * 60 * 60,
        false => 6 * 10 + 21 * 10 * 10 + 56 * 10 * 10 * 10,
    };
    assert_eq!(count, expected);
    println!("{count} inbound rule sets");
}

#[test]
fn every_small_outbound_rule_set_decides_as_the_model() {
    let universe = Universe::new(&[&["a"], &["b", "a"]]);
    let patterns = model::patterns(&universe.patterns);
    let pairs = (0..patterns.len())
        .flat_map(|sender| (0..patterns.len()).map(move |recipient| (sender, recipient)));
    let rules: Vec<_> = pairs
        .flat_map(|(sender, recipient)| {
            (0..5).map(move |action| Small {
                sender,
                recipient,
                action,
            })
        })
        .collect();
    let all = 0..universe.addresses.len();
    let check = |set: &[Small]| {
        let rules = set.iter().zip(IDS).map(|(rule, id)| OutboundRule {
            id: id.into(),
            name: String::new(),
            sender_patterns: vec![patterns[rule.sender].clone()],
            recipient_patterns: vec![patterns[rule.recipient].clone()],
            action: model::outbound_action(rule.action),
        });
        let matcher = compile(Vec::new(), rules.collect());
        let check = |sender: Option<usize>, from: &[usize], addresses: &[EmailAddress]| {
            let decisions = matcher.evaluate_outbound(
                sender.map(|n| &universe.addresses[n]),
                addresses,
                &universe.addresses,
            );
            for (recipient, (_, decision)) in decisions.enumerate() {
                let decided = decision.rule().map(|rule| (rule.id(), decision.header()));
                let expected =
                    universe.decide(set, &model::OUTBOUND_ORDER, sender, from, Some(recipient));
                let expected = expected.map(|(place, header)| (IDS[place], model::header(header)));
                assert_eq!(
                    decided, expected,
                    "{matcher:?} {sender:?} {from:?} {recipient}"
                );
            }
        };
        check(None, &[], &[]);
        for n in all.clone() {
            // Each address as Sender, beside another one in From; and in From beside another.
            let other = (n + 2) % all.len();
            check(Some(n), &[other], &universe.addresses[other..=other]);
            if n > 0 {
                check(None, &[n - 1, n], &universe.addresses[n - 1..=n]);
            }
        }
    };
    let few = |set: &[Small]| set.len() < 3 || set.iter().all(|rule| rule.action < 2);
    let count = for_all_sets(
        &rules,
        |set| everything() || (sorted(set) && few(set)),
        check,
    );
    let expected = match everything() {
        true => 245 + 245 * 245 + 245 * 245 * 245,
        false => 5 * 49 + 15 * 49 * 49 + 4 * 49 * 49 * 49,
    };
    assert_eq!(count, expected);
    println!("{count} outbound rule sets");
}
