//! Resolvers over a simulated link: what a check costs, and answers that are not to be trusted.

use std::sync::{Arc, Mutex};

use wm_core::traits::{Answer, DnsName, LookupError, RecordType, Resolver};
use wm_dns::resolver::{Authoritative, AuthoritativeOptions, Stub, StubOptions};
use wm_dns::{Check, Conclusion, DomainState, MAX_QUESTIONS, Report};

use crate::link::{Counter, Link, ROUND_TRIP};
use crate::scenarios::{OTHERS, SCENARIOS, required};
use crate::zone::Zone;

fn link(domain: &str, zone: &str) -> Link {
    let others: String = OTHERS.iter().map(|(_, text)| *text).collect();
    let zone = Zone::parse(&format!("$TTL 60\n{zone}{others}"), domain);
    Link {
        zone,
        ..Link::default()
    }
}

fn stub(link: &Link) -> Stub<Link> {
    let ids = Arc::new(Counter(Mutex::new(7)));
    Stub::new(
        link.clone(),
        ids,
        StubOptions::new(vec!["192.0.2.53:53".parse().unwrap()]),
    )
}

async fn lookup(link: &Link, name: &str) -> Result<Answer, LookupError> {
    stub(link)
        .lookup(&name.parse().unwrap(), RecordType::Txt)
        .await
}

const ONE: &str = "a.test. IN TXT \"one\"\n";

/// The conclusion, the queries beside included SPF records, and the round trips, of one scenario.
async fn cost(name: &str, own_servers: bool) -> (Conclusion, usize, f64) {
    let scenario = SCENARIOS
        .iter()
        .find(|scenario| scenario.name == name)
        .unwrap();
    let domain = scenario.domain();
    let servers = format!("{domain}. IN NS ns.{domain}.\nns.{domain}. IN A 192.0.2.1\n");
    let link = link(&domain, &format!("{}{servers}", scenario.zone()));
    let apex: DnsName = domain.parse().unwrap();
    let check = Check::new(required(&domain));
    let begin = tokio::time::Instant::now();
    let (findings, before) = if own_servers {
        let options = AuthoritativeOptions::default();
        let resolver = Authoritative::for_domain(stub(&link), &apex, options)
            .await
            .unwrap();
        let before = link.asked.lock().unwrap().len();
        (check.run(&resolver).await, before)
    } else {
        (check.run(&stub(&link)).await, 0)
    };
    let trips = begin.elapsed().as_secs_f64() / ROUND_TRIP.as_secs_f64();
    let asked = link.asked.lock().unwrap();
    let own = asked[before..]
        .iter()
        .filter(|asked| asked.contains(&domain))
        .count();
    let now = wm_core::Timestamp::from_seconds(1_700_000_000);
    let state = DomainState::default().advance(&findings, now);
    (Report::of_check(&findings, &state).conclusion(), own, trips)
}

#[tokio::test(start_paused = true)]
async fn a_check_costs_at_most_twelve_queries_and_few_round_trips() {
    for (name, conclusion) in [
        ("good", Conclusion::Verified),
        ("empty", Conclusion::NotVerified),
        ("doubled", Conclusion::NotVerified),
    ] {
        for (own_servers, most) in [(false, 3.0), (true, 5.0)] {
            let (found, queries, trips) = cost(name, own_servers).await;
            println!("{name}, own servers {own_servers}: {queries} queries, {trips} round trips");
            assert_eq!(found, conclusion, "{name}");
            assert!(queries <= MAX_QUESTIONS, "{name}: {queries} queries");
            assert!(trips < most, "{name}: {trips} round trips");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_answer_to_this_question_counts() {
    let mut link = link("a.test", ONE);
    link.forge = Some(|right| {
        let mut other_id = right.clone();
        other_id[0] ^= 1;
        let mut other_question = right.clone();
        other_question[13] ^= 1;
        let mut a_query = right.clone();
        a_query[2] &= 0x7f;
        vec![
            vec![],
            other_id,
            other_question,
            a_query,
            vec![0; 4000],
            right,
        ]
    });
    assert_eq!(lookup(&link, "a.test").await.unwrap().records().len(), 1);
    link.forge = Some(|mut right| {
        right[0] ^= 1;
        vec![right]
    });
    assert!(matches!(
        lookup(&link, "a.test").await,
        Err(LookupError::Timeout)
    ));
}

#[tokio::test(start_paused = true)]
async fn malformed_answers_are_an_outcome_of_their_own() {
    let mut link = link("a.test", ONE);
    // The owner name of the answer points to itself.
    link.forge = Some(|mut right| {
        let at = 12 + "\x01a\x04test\0".len() + 4;
        right[at..at + 2].copy_from_slice(&[0xc0, u8::try_from(at).unwrap()]);
        vec![right]
    });
    assert!(matches!(
        lookup(&link, "a.test").await,
        Err(LookupError::Malformed(_))
    ));
    link.forge = Some(|mut right| {
        right.truncate(right.len() / 2 + 10);
        vec![right]
    });
    assert!(matches!(
        lookup(&link, "a.test").await,
        Err(LookupError::Malformed(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn what_was_cut_is_asked_for_again_over_a_stream() {
    let flood = |count: usize| -> String {
        (0..count)
            .map(|i| format!("a.test. IN TXT \"{i}\"\n"))
            .collect()
    };
    let some = link("a.test", &flood(2_000));
    assert_eq!(
        lookup(&some, "a.test").await.unwrap().records().len(),
        2_000
    );
    // More than a message holds: what is missing could be what is looked for.
    let many = link("a.test", &flood(10_000));
    assert!(matches!(
        lookup(&many, "a.test").await,
        Err(LookupError::Malformed(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn aliases_that_loop_are_not_followed_for_ever() {
    let link = link(
        "a.test",
        "a.test. IN CNAME b.test.\nb.test. IN CNAME a.test.\n",
    );
    let found = lookup(&link, "a.test").await;
    assert!(matches!(found, Err(LookupError::Aliases(_))), "{found:?}");
}
