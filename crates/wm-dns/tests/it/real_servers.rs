//! Every scenario, served by BIND and by NSD, asked in both ways; and dynamic update of BIND.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wm_core::Timestamp;
use wm_core::traits::{DnsName, LookupError, RecordType, Resolver};
use wm_dns::resolver::{Authoritative, AuthoritativeOptions, Stub, StubOptions, TokioWire};
use wm_dns::verify::{RecordStatus, Verdict};
use wm_dns::{Check, DomainState, Findings, RecordKind, Severity};

use crate::link::Counter;
use crate::name_server::{NameServer, ZoneFile, program};
use crate::scenarios::{ALIAS, ALIAS_ZONE, OTHERS, SCENARIOS, required};

/// The servers there are, with every zone.
fn servers(zones: &[ZoneFile]) -> Vec<(&'static str, NameServer)> {
    let bind = NameServer::bind(zones, None).map(|server| ("BIND", server));
    let nsd = NameServer::nsd(zones).map(|server| ("NSD", server));
    [bind, nsd].into_iter().flatten().collect()
}

fn scenario_zones() -> Vec<ZoneFile> {
    let scenarios = SCENARIOS
        .iter()
        .map(|scenario| ZoneFile::new(&scenario.domain(), &scenario.zone()));
    let others = OTHERS
        .iter()
        .map(|(name, records)| ZoneFile::new(name, records));
    let alias = ZoneFile::new(ALIAS.1, ALIAS_ZONE);
    scenarios.chain(others).chain([alias]).collect()
}

fn stub(server: &NameServer) -> Stub<TokioWire> {
    let options = StubOptions {
        timeout: Duration::from_secs(10),
        ..StubOptions::new(vec![server.address])
    };
    Stub::new(TokioWire, Arc::new(Counter(Mutex::new(3))), options)
}

/// What a check finds through the server, and what it finds by way of the zone's own servers.
async fn check_both_ways(server: &NameServer, domain: &str) -> [Findings; 2] {
    let apex: DnsName = domain.parse().unwrap();
    let options = AuthoritativeOptions {
        port: server.address.port(),
    };
    let own = Authoritative::for_domain(stub(server), &apex, options);
    let own = own.await.unwrap();
    assert_eq!(own.servers(), [server.address]);
    [
        Check::new(required(domain)).run(&stub(server)).await,
        Check::new(required(domain)).run(&own).await,
    ]
}

const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

#[tokio::test]
async fn every_mistake_is_recognised_and_every_status_reached_with_real_servers() {
    for (name, server) in servers(&scenario_zones()) {
        let mut reached = BTreeSet::new();
        for scenario in SCENARIOS {
            for findings in check_both_ways(&server, &scenario.domain()).await {
                scenario.verify(&findings, name);
                let at_once = DomainState::default().advance(&findings, START);
                let later = at_once.advance(&findings, START.plus(Duration::from_secs(72 * 3600)));
                for (record, _) in &findings.records {
                    for state in [&at_once, &later] {
                        let status = state.record(record).and_then(|state| state.status);
                        reached.insert(format!("{} {:?}", record.kind, status.unwrap()));
                    }
                }
            }
        }
        assert_eq!(reached, table(), "{name}");
    }
}

/// The guide's table (DOM-3).
fn table() -> BTreeSet<String> {
    use RecordStatus::{Failed, Inconsistent, Missing, Pending, Verified};
    let kinds = required("example.com");
    let kinds = kinds
        .iter()
        .filter(|it| it.severity() != Severity::Recommended);
    let cells = kinds.flat_map(|record| {
        let statuses = match record.kind {
            RecordKind::Ownership | RecordKind::Dkim => [Verified, Pending, Failed],
            _ => [Verified, Missing, Inconsistent],
        };
        statuses.map(|status| format!("{} {status:?}", record.kind))
    });
    cells.collect()
}

#[tokio::test]
async fn a_domain_that_is_an_alias_is_told_so_by_real_servers() {
    for (name, server) in servers(&scenario_zones()) {
        for findings in check_both_ways(&server, ALIAS.0).await {
            for kind in [RecordKind::Mx, RecordKind::Spf] {
                let of_kind = findings.records.iter().find(|(it, _)| it.kind == kind);
                let (_, judgement) = of_kind.unwrap();
                let mistakes: Vec<&str> = judgement
                    .mistakes
                    .iter()
                    .map(wm_dns::Mistake::name)
                    .collect();
                assert_eq!(mistakes, ["cname-at-apex"], "{name}: {kind}");
                assert!(
                    matches!(judgement.verdict, Verdict::Wrong),
                    "{name}: {kind}"
                );
            }
        }
    }
}

#[tokio::test]
async fn long_answers_loops_and_strange_zones_of_real_servers_are_outcomes() {
    let texts = |count: usize| -> String {
        (0..count)
            .map(|i| format!("texts.odd.test. IN TXT \"{i}\"\n"))
            .collect()
    };
    let strings = format!("strings.odd.test. IN TXT {}\n", "\"x\" ".repeat(10_000));
    let loops = "loop.odd.test. IN CNAME back.odd.test.\nback.odd.test. IN CNAME loop.odd.test.\n";
    for (count, fits) in [(2_000, true), (10_000, false)] {
        let zone = || ZoneFile::new("odd.test", &(texts(count) + &strings + loops));
        // BIND serves no set that does not fit in a message.
        let bind = fits.then(|| NameServer::bind(&[zone()], None)).flatten();
        let nsd = NameServer::nsd(&[zone()]);
        for (name, server) in [("BIND", bind), ("NSD", nsd)] {
            let Some(server) = server else { continue };
            let ask = async |host: &str| {
                let host = host.parse().unwrap();
                stub(&server).lookup(&host, RecordType::Txt).await
            };
            match ask("texts.odd.test").await {
                Ok(answer) if fits => assert_eq!(answer.records().len(), count, "{name}"),
                Err(LookupError::Malformed(_) | LookupError::ServerFailure) if !fits => {}
                other => panic!("{name}: {count} texts: {:?}", other.map(|_| ())),
            }
            let found = ask("strings.odd.test").await.unwrap();
            let text = found.texts().next().unwrap();
            assert_eq!(text.strings.len(), 10_000, "{name}: of one text");
            let found = ask("loop.odd.test").await;
            // BIND answers SERVFAIL.
            assert!(
                matches!(
                    found,
                    Err(LookupError::Aliases(_) | LookupError::ServerFailure)
                ),
                "{name}: {found:?}"
            );
            let found = ask("elsewhere.test").await;
            assert!(
                matches!(found, Err(LookupError::Refused(5))),
                "{name}: {found:?}"
            );
        }
    }
}

#[test]
fn exported_zones_are_read_by_the_checkers_of_bind_and_nsd() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("good.zone");
    let good = SCENARIOS.iter().find(|it| it.name == "good").unwrap();
    let zone = ZoneFile::new(&good.domain(), &good.zone());
    std::fs::write(&file, &zone.text).unwrap();
    for checker in ["named-checkzone", "nsd-checkzone"] {
        let Some(checker) = program(checker) else {
            continue;
        };
        let output = std::process::Command::new(checker)
            .arg(&zone.name)
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
    }
}

#[cfg(feature = "rfc2136")]
mod update {
    use wm_core::Secret;
    use wm_core::traits::{Clock, Record, RecordData, Txt};
    use wm_dns::provider::rfc2136::{Link, Rfc2136, TsigAlgorithm, TsigKey};
    use wm_dns::provider::{DnsProvider, Plan, ProviderError};

    use super::*;
    use crate::name_server::Key;

    const KEYS: [(TsigAlgorithm, Key); 3] = [
        (TsigAlgorithm::HmacSha256, key("hmac-sha256")),
        (TsigAlgorithm::HmacSha384, key("hmac-sha384")),
        (TsigAlgorithm::HmacSha512, key("hmac-sha512")),
    ];

    /// Base 64 of the octets 0 to 31.
    const fn key(algorithm: &'static str) -> Key {
        Key {
            name: "update.example.net",
            algorithm,
            secret: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        }
    }

    fn link(server: &NameServer, algorithm: TsigAlgorithm) -> Link<TokioWire> {
        let secret = Secret::new((0..32).collect());
        let name = "update.example.net".parse().unwrap();
        Link {
            wire: TokioWire,
            server: server.address,
            key: Some(TsigKey::new(name, algorithm, secret)),
            timeout: Duration::from_secs(10),
            clock: Arc::new(system_time) as Arc<dyn Clock>,
            ids: Arc::new(Counter(Mutex::new(5))),
        }
    }

    fn system_time() -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp::from_seconds(since.unwrap().as_secs().try_into().unwrap())
    }

    async fn provider(link: Link<TokioWire>, domain: &str) -> Rfc2136<TokioWire> {
        let domain = domain.parse().unwrap();
        Rfc2136::for_domain(link, &domain).await.unwrap()
    }

    fn text(name: &str, value: &str) -> Record {
        Record {
            name: name.parse().unwrap(),
            ttl: 60,
            data: RecordData::Txt(Txt::new(value)),
        }
    }

    #[tokio::test]
    async fn an_update_takes_a_domain_from_all_missing_to_all_verified() {
        let other = "shop.new.test. IN A 192.0.2.1\nnew.test. IN TXT \"site-verification=1\"\n";
        let zones = [
            ZoneFile::new("amazonses.com", OTHERS[0].1),
            ZoneFile::new("new.test", other),
        ];
        for (algorithm, key) in KEYS {
            let Some(server) = NameServer::bind(&zones, Some(key)) else {
                return;
            };
            // A domain below the zone's own name, and that itself.
            for domain in ["mail.new.test", "new.test"] {
                let check = Check::new(required(domain)).run(&stub(&server)).await;
                let mut kinds = check.records.iter();
                assert!(kinds.all(|(_, it)| matches!(it.verdict, Verdict::Absent)));

                let provider = provider(link(&server, algorithm), domain).await;
                assert_eq!(provider.zone().as_str(), "new.test");
                let plan = Plan::with(&provider, &required(domain)).await.unwrap();
                plan.apply(&provider).await.unwrap();
                let again = Plan::with(&provider, &required(domain)).await.unwrap();
                assert!(again.is_done(), "{algorithm}: {again}");

                let check = Check::new(required(domain)).run(&stub(&server)).await;
                for (record, judgement) in &check.records {
                    let is_right = matches!(judgement.verdict, Verdict::Right);
                    assert!(is_right, "{algorithm}: {}: {judgement:?}", record.kind);
                }
            }
            let kept = provider(link(&server, algorithm), "new.test").await;
            let names = ["new.test", "shop.new.test"].map(|name| name.parse().unwrap());
            let kept = kept.records(&names).await.unwrap();
            let site = text("new.test", "site-verification=1").data;
            assert!(kept.iter().any(|record| record.data == site), "{kept:?}");
            assert!(
                kept.iter().any(|record| record.name == names[1]),
                "{kept:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_a_wildcard_stands_in_with_is_neither_there_nor_in_the_way() {
        let stand_ins = "*.new.test. IN TXT \"v=wildcard\"\n*.new.test. IN A 192.0.2.1\n";
        let aliases = "*.alias.test. IN CNAME web.alias.test.\nweb.alias.test. IN A 192.0.2.1\n";
        let zones = [
            ZoneFile::new("amazonses.com", OTHERS[0].1),
            ZoneFile::new("alias.test", aliases),
            ZoneFile::new("new.test", stand_ins),
        ];
        let (algorithm, key) = KEYS[0];
        let Some(server) = NameServer::bind(&zones, Some(key)) else {
            return;
        };
        for domain in ["new.test", "alias.test"] {
            let provider = provider(link(&server, algorithm), domain).await;
            let plan = Plan::with(&provider, &required(domain)).await.unwrap();
            assert!(plan.conflict.is_empty(), "{plan}");
            plan.apply(&provider).await.unwrap();
            let check = Check::new(required(domain)).run(&stub(&server)).await;
            for (record, judgement) in &check.records {
                let is_right = matches!(judgement.verdict, Verdict::Right);
                assert!(is_right, "{}: {judgement:?}", record.kind);
            }
        }
    }

    #[tokio::test]
    async fn what_was_changed_since_it_was_seen_is_not_touched() {
        let zone = ZoneFile::new("new.test", "autodiscover.new.test. IN A 192.0.2.1\n");
        let (algorithm, key) = KEYS[0];
        let Some(server) = NameServer::bind(&[zone], Some(key)) else {
            return;
        };
        let provider = provider(link(&server, algorithm), "new.test").await;
        let ours = text("new.test", "v=spf1 mx ~all");
        let theirs = text("new.test", "v=spf1 -all");
        // Somebody adds an SPF record after nothing was seen.
        provider
            .add(std::slice::from_ref(&theirs), &[])
            .await
            .unwrap();
        let add = async |record: &Record, seen: &[Record]| {
            let result = provider.add(std::slice::from_ref(record), seen).await;
            result.unwrap_err()
        };
        let alias = Record {
            name: "autodiscover.new.test".parse().unwrap(),
            ttl: 60,
            data: RecordData::Cname("mail.example.net".parse().unwrap()),
        };
        for (found, code) in [
            (add(&ours, &[]).await, "YXRRSET"),
            (
                add(&ours, &[text("new.test", "v=spf1 a -all")]).await,
                "NXRRSET",
            ),
            (add(&alias, &[]).await, "YXDOMAIN"),
        ] {
            assert!(
                matches!(&found, ProviderError::Changed(text) if text.contains(code)),
                "{found:?}"
            );
        }
        let outside = add(&text("example.org", "a"), &[]).await;
        assert!(
            matches!(&outside, ProviderError::Refused(text) if text.contains("NOTZONE")),
            "{outside:?}"
        );
        let names = ["new.test".parse().unwrap()];
        let held = provider.records(&names).await.unwrap();
        assert_eq!(held, [theirs]);
    }

    #[tokio::test]
    async fn a_wrong_key_secret_or_clock_is_named() {
        let zone = ZoneFile::new("new.test", "");
        let (algorithm, key) = KEYS[0];
        let Some(server) = NameServer::bind(&[zone], Some(key)) else {
            return;
        };
        let right = || link(&server, algorithm);
        let with_key = |name: &str, secret: u8| Link {
            key: Some(TsigKey::new(
                name.parse().unwrap(),
                algorithm,
                Secret::new(vec![secret; 32]),
            )),
            ..right()
        };
        let slow: Arc<dyn Clock> = Arc::new(|| system_time().minus(Duration::from_secs(4_000)));
        for (link, word) in [
            (with_key("update.example.net", 9), "BADSIG"),
            (with_key("other.example.net", 0), "BADKEY"),
            (
                Link {
                    clock: slow,
                    ..right()
                },
                "BADTIME",
            ),
        ] {
            let domain = "new.test".parse().unwrap();
            let found = Rfc2136::for_domain(link, &domain).await.map(|_| ());
            let found = ProviderError::from(found.unwrap_err());
            assert!(
                matches!(&found, ProviderError::Denied(text) if text.contains(word)),
                "{found:?}"
            );
        }
        // Without a key everybody may read, and nobody may write.
        let provider = provider(
            Link {
                key: None,
                ..right()
            },
            "new.test",
        )
        .await;
        let found = provider.add(&[text("new.test", "a")], &[]).await;
        assert!(
            matches!(&found, Err(ProviderError::Denied(text)) if text.contains("REFUSED")),
            "{found:?}"
        );
        let domain = "example.org".parse().unwrap();
        let found = Rfc2136::for_domain(right(), &domain).await.map(|_| ());
        let found = ProviderError::from(found.unwrap_err());
        assert!(matches!(&found, ProviderError::Denied(_)), "{found:?}");
    }
}
