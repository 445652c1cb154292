//! Email flow rules: how long a decision takes, beside the two obvious ways of doing without an index.
//!
//! `cargo bench -p wm-benches --bench rules`. Every benchmark goes through many addresses in random order, so that with
//! large rule sets the caches are as cold as they are in a server. What that costs depends on the machine: the last
//! lines tell a decision in reads from memory that wait for one another.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use regex::RegexSet;
use wm_core::{EmailAddress, Limits};
use wm_rules::{Draft, InboundAction, InboundRule, OutboundAction, OutboundRule, Pattern, RuleSet};

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = inbound, outbound, alternatives, parse, compile, memory, reads
}
criterion_main!(benches);

const SIZES: [usize; 4] = [10, 1_000, 100_000, 1_000_000];

fn inbound(c: &mut Criterion) {
    let mut group = c.benchmark_group("inbound");
    for size in SIZES {
        let patterns = patterns(size);
        let matcher = inbound_rules(&patterns).compile();
        for (name, addresses) in [("hit", hits(&patterns)), ("miss", misses(size))] {
            let mut next = cycle(&addresses);
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.iter(|| {
                    let address = next();
                    black_box(matcher.evaluate_inbound(Some(address), &[]).action());
                });
            });
        }
    }
}

fn outbound(c: &mut Criterion) {
    let mut group = c.benchmark_group("outbound");
    for size in SIZES {
        let patterns = patterns(size);
        let matcher = outbound_rules(&patterns).compile();
        let addresses = mixed(&patterns);
        let sender: EmailAddress = "ann@mail.example.com".parse().unwrap();
        for recipients in [1, 500] {
            let mut chunks = addresses.chunks_exact(recipients).cycle();
            group.throughput(Throughput::Elements(recipients as u64));
            group.bench_function(
                BenchmarkId::new(format!("{recipients} recipients"), size),
                |b| {
                    b.iter(|| {
                        for (_, decision) in
                            matcher.evaluate_outbound(Some(&sender), &[], chunks.next().unwrap())
                        {
                            black_box(decision.action());
                        }
                    });
                },
            );
        }
    }
}

/// The same question, which patterns match, answered by a scan and by the `regex` crate.
fn alternatives(c: &mut Criterion) {
    let mut group = c.benchmark_group("alternatives");
    for size in [10, 1_000, 100_000] {
        let patterns = patterns(size);
        let addresses = mixed(&patterns);
        let mut next = cycle(&addresses);
        group.bench_function(BenchmarkId::new("scan", size), |b| {
            b.iter(|| {
                let address = next();
                let matching = patterns.iter().filter(|pattern| pattern.matches(address));
                black_box(matching.max_by_key(|pattern| pattern.specificity()));
            });
        });
    }
    // The automaton for more patterns exceeds the size limit of the crate, or takes minutes to build.
    for size in [10, 1_000] {
        let patterns = patterns(size);
        let set = RegexSet::new(patterns.iter().map(regex)).unwrap();
        let texts: Vec<String> = mixed(&patterns).iter().map(ToString::to_string).collect();
        let mut next = cycle(&texts);
        group.bench_function(BenchmarkId::new("RegexSet", size), |b| {
            b.iter(|| {
                let matching = set.matches(next());
                black_box(matching.iter().max_by_key(|&n| patterns[n].specificity()));
            });
        });
    }
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, text) in [
        ("lower case", "firstname.lastname@mail.example.com"),
        ("mixed case", "Firstname.Lastname@Mail.Example.COM"),
        ("quoted", "\"Firstname Lastname\"@mail.example.com"),
        ("internationalised", "grüße@mail.bücher.example"),
    ] {
        group.bench_function(BenchmarkId::new("address", name), |b| {
            b.iter(|| black_box(text).parse::<EmailAddress>().unwrap());
        });
    }
    group.bench_function(BenchmarkId::new("pattern", "wildcard"), |b| {
        b.iter(|| black_box("*mail.example.com").parse::<Pattern>().unwrap());
    });
}

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    for size in SIZES {
        let (inbound, outbound) = (
            inbound_rules(&patterns(size)),
            outbound_rules(&patterns(size)),
        );
        group.throughput(Throughput::Elements(size as u64));
        for (name, rules) in [("inbound", inbound), ("outbound", outbound)] {
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.iter_batched(|| (), |()| rules.compile(), BatchSize::PerIteration);
            });
        }
    }
}

/// Not a time: octets for each pattern, of the matcher and of the rules it was made from.
fn memory(_: &mut Criterion) {
    for size in SIZES {
        let patterns = patterns(size);
        let mut rules = None;
        let held = allocation_counter::measure(|| rules = Some(inbound_rules(&patterns)));
        let rules = rules.unwrap();
        let mut matcher = None;
        let added = allocation_counter::measure(|| matcher = Some(rules.compile()));
        println!(
            "memory/{size}: matcher {} octets per pattern, rules {}; while compiling {}",
            added.bytes_current / size as i64,
            held.bytes_current / size as i64,
            added.bytes_max / size as u64,
        );
    }
}

/// Inbound decisions, and beside them reads of which each tells where the next is, of as much memory as the patterns take.
fn reads(_: &mut Criterion) {
    for size in [100_000, 1_000_000] {
        let patterns = patterns(size);
        let rules = inbound_rules(&patterns);
        let mut matcher = None;
        let held = allocation_counter::measure(|| matcher = Some(rules.compile())).bytes_current;
        let matcher = matcher.unwrap();
        let decide = |addresses: &[EmailAddress]| {
            let mut next = cycle(addresses);
            nanoseconds(|| {
                black_box(matcher.evaluate_inbound(Some(next()), &[]).action());
            })
        };
        let (hit, miss) = (decide(&hits(&patterns)), decide(&misses(size)));
        let lines = chain(held as usize / size_of::<Line>());
        let mut at = 0;
        let read = nanoseconds(|| at = lines[black_box(at)].next);
        println!(
            "reads/{size}: {read:.0} ns each, of {} MB; a hit takes {:.1} of them, a miss {:.1}",
            held / 1_000_000,
            hit / read,
            miss / read
        );
    }
}

/// What a call takes: the median of five runs.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 1_000_000;
    let mut run = || {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    let mut runs: [f64; 5] = std::array::from_fn(|_| run());
    runs.sort_by(f64::total_cmp);
    runs[2]
}

/// A cache line.
#[derive(Clone, Default)]
#[repr(align(64))]
struct Line {
    next: usize,
}

/// Lines of which each leads to another, through all of them, in random order.
fn chain(lines: usize) -> Vec<Line> {
    let mut numbers = numbers();
    let mut order: Vec<usize> = (0..lines.max(2)).collect();
    for n in (1..order.len()).rev() {
        order.swap(n, numbers() % n);
    }
    let mut chain = vec![Line::default(); order.len()];
    for (n, &line) in order.iter().enumerate() {
        chain[line].next = order[(n + 1) % order.len()];
    }
    chain
}

/// Distinct patterns as in lists of senders: half of them domains, the rest wildcards and addresses.
fn patterns(size: usize) -> Vec<Pattern> {
    let pattern = |n: usize| {
        let (host, domain) = (n / 7, n / 3);
        let text = match n % 4 {
            0 | 1 => format!("host{n}.company{host}.example"),
            2 => format!("*company{n}.example.org"),
            _ => format!("firstname.lastname{n}@company{domain}.example.net"),
        };
        text.parse().unwrap()
    };
    (0..size).map(pattern).collect()
}

/// Rules of 250 patterns each, as the reference system allows.
fn inbound_rules(patterns: &[Pattern]) -> RuleSet {
    let rule = |(n, patterns): (usize, &[Pattern])| InboundRule {
        id: format!("rule-{n}"),
        name: String::new(),
        sender_patterns: patterns.to_vec(),
        action: if n % 2 == 0 {
            InboundAction::Drop
        } else {
            InboundAction::NeverDeliverToJunk
        },
    };
    let inbound = patterns.chunks(250).enumerate().map(rule).collect();
    Draft {
        inbound,
        outbound: Vec::new(),
    }
    .check(&limits())
    .unwrap()
}

/// The patterns as recipients, of everybody or of some senders.
fn outbound_rules(patterns: &[Pattern]) -> RuleSet {
    let rule = |(n, patterns): (usize, &[Pattern])| OutboundRule {
        id: format!("rule-{n}"),
        name: String::new(),
        sender_patterns: vec![
            ["*", "*example.com", "mail.example.com"][n % 3]
                .parse()
                .unwrap(),
        ],
        recipient_patterns: patterns.to_vec(),
        action: if n % 2 == 0 {
            OutboundAction::Drop
        } else {
            OutboundAction::BounceToSender
        },
    };
    let outbound = patterns.chunks(250).enumerate().map(rule).collect();
    Draft {
        inbound: Vec::new(),
        outbound,
    }
    .check(&limits())
    .unwrap()
}

fn limits() -> Limits {
    Limits {
        patterns_per_organization: RuleSet::MAX_PATTERNS,
        ..Limits::default()
    }
}

/// One address for each pattern, at most 100,000, in random order.
fn hits(patterns: &[Pattern]) -> Vec<EmailAddress> {
    let mut numbers = numbers();
    let address = |pattern: &Pattern| match pattern {
        Pattern::Address(address) => address.clone(),
        Pattern::Domain(domain) => format!("someone@{domain}").parse().unwrap(),
        Pattern::Wildcard(domain) => format!("someone@mail.{domain}").parse().unwrap(),
        Pattern::Star => "someone@example.com".parse().unwrap(),
    };
    let chosen = (0..patterns.len().min(100_000)).map(|_| &patterns[numbers() % patterns.len()]);
    chosen.map(address).collect()
}

fn misses(size: usize) -> Vec<EmailAddress> {
    let mut numbers = numbers();
    let address = |n: usize| {
        format!("someone{n}@mail.elsewhere{n}.example.org")
            .parse()
            .unwrap()
    };
    (0..size.min(100_000)).map(|_| address(numbers())).collect()
}

/// Hits and misses in turn, at least 1,000.
fn mixed(patterns: &[Pattern]) -> Vec<EmailAddress> {
    let pairs = hits(patterns)
        .into_iter()
        .zip(misses(patterns.len()))
        .flat_map(|(hit, miss)| [hit, miss]);
    let pairs: Vec<_> = pairs.collect();
    pairs
        .iter()
        .cycle()
        .take(pairs.len().max(1_000))
        .cloned()
        .collect()
}

/// Pseudo-random numbers, the same in every run (SplitMix64).
fn numbers() -> impl FnMut() -> usize {
    let mut state = 0_u64;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as usize
    }
}

fn cycle<'a, T>(items: &'a [T]) -> impl FnMut() -> &'a T {
    let mut items = items.iter().cycle();
    move || items.next().unwrap()
}

fn regex(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Address(address) => format!("^{}$", regex::escape(&address.to_string())),
        Pattern::Domain(domain) => format!("@{}$", regex::escape(domain.as_ascii())),
        Pattern::Wildcard(domain) => format!("[@.]{}$", regex::escape(domain.as_ascii())),
        Pattern::Star => "@".to_owned(),
    }
}
