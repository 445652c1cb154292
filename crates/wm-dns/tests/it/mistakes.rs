//! Every scenario judged by answers from memory.

use futures::executor::block_on;
use wm_core::traits::LookupError;
use wm_dns::verify::{Evidence, Question, Verdict};
use wm_dns::{Check, Conclusion, DomainState, Findings, RecordKind, Report};

use crate::scenarios::{ALIAS, ALIAS_ZONE, OTHERS, SCENARIOS, Scenario, TOKEN, required};
use crate::zone::Zone;

fn check(domain: &str, zone: &str) -> Findings {
    let others: String = OTHERS.iter().map(|(_, text)| *text).collect();
    // The parser in use knows no wildcards.
    let zone = Zone::parse(&format!("$TTL 60\n{zone}{others}"), domain);
    block_on(Check::new(required(domain)).run(&zone))
}

fn scenario(name: &str) -> &'static Scenario {
    SCENARIOS
        .iter()
        .find(|scenario| scenario.name == name)
        .unwrap()
}

#[test]
fn every_mistake_is_recognised_and_named() {
    for scenario in SCENARIOS
        .iter()
        .filter(|scenario| scenario.name != "wildcard")
    {
        scenario.verify(&check(&scenario.domain(), &scenario.zone()), "memory");
    }
}

#[test]
fn a_domain_that_is_an_alias_is_told_so() {
    let findings = check(ALIAS.0, ALIAS_ZONE);
    for kind in [RecordKind::Mx, RecordKind::Spf] {
        let (_, judgement) = findings
            .records
            .iter()
            .find(|(record, _)| record.kind == kind)
            .unwrap();
        let names: Vec<&str> = judgement
            .mistakes
            .iter()
            .map(wm_dns::Mistake::name)
            .collect();
        assert_eq!(names, ["cname-at-apex"], "{kind}");
        assert!(matches!(judgement.verdict, Verdict::Wrong), "{kind}");
    }
}

#[test]
fn a_hint_names_the_mistake_and_the_fix() {
    let scenario = scenario("doubled");
    let findings = check(&scenario.domain(), &scenario.zone());
    let (record, judgement) = &findings.records[0];
    assert_eq!(
        judgement.hint(record, None).unwrap(),
        "The domain was appended twice: the record is at _amazonses.doubled.test.doubled.test. \
         Enter the name without the domain, or with a dot at its end: \"_amazonses.doubled.test.\"."
    );
}

#[test]
fn found_values_are_bounded_and_cannot_command_a_terminal() {
    let zone: String = (0..30)
        .map(|i| {
            format!(
                "_amazonses.many.test. IN TXT \"{i} \\027[2J{}\" \"{0}\"\n",
                "x".repeat(200)
            )
        })
        .collect();
    let findings = check("many.test", &zone);
    let found = &findings.records[0].1.found;
    assert_eq!(found.len(), 20);
    assert!(
        found
            .iter()
            .all(|value| value.chars().count() <= 301 && !value.contains('\x1b'))
    );
}

#[test]
fn ten_thousand_texts_are_judged() {
    let zone: String = (0..10_000)
        .map(|i| format!("_amazonses.flood.test. IN TXT \"{i}\"\n"))
        .collect();
    let findings = check(
        "flood.test",
        &format!("{zone}_amazonses.flood.test. IN TXT \"{TOKEN}\"\n"),
    );
    assert!(matches!(findings.records[0].1.verdict, Verdict::Right));
}

#[test]
fn what_could_not_be_checked_is_never_missing() {
    let records = required("example.test");
    let mut evidence = Evidence::default();
    for record in &records {
        let error = if record.kind == RecordKind::Mx {
            LookupError::ServerFailure
        } else {
            LookupError::Timeout
        };
        evidence.insert(
            Question::new(record.name.clone(), record.record_type()),
            Err(error),
        );
    }
    for record in &records {
        assert!(
            matches!(
                record.judge(&records, &evidence).verdict,
                Verdict::Unknown(_)
            ),
            "{}",
            record.kind
        );
    }
}

#[test]
fn the_conclusion_tells_wrong_from_unknown() {
    let now = wm_core::Timestamp::from_seconds(1_700_000_000);
    let conclude = |findings: &Findings| {
        Report::of_check(findings, &DomainState::default().advance(findings, now)).conclusion()
    };
    let zone_of = |name: &str| (scenario(name).domain(), scenario(name).zone());
    let (domain, zone) = zone_of("good");
    let mut findings = check(&domain, &zone);
    assert_eq!(
        (conclude(&findings), conclude(&findings).exit_code()),
        (Conclusion::Verified, 0)
    );
    findings.records[4].1.verdict = Verdict::Unknown(LookupError::Timeout);
    assert_eq!(
        (conclude(&findings), conclude(&findings).exit_code()),
        (Conclusion::CouldNotCheck, 3)
    );
    findings.records[1].1.verdict = Verdict::Absent;
    assert_eq!(
        (conclude(&findings), conclude(&findings).exit_code()),
        (Conclusion::NotVerified, 2)
    );
}
