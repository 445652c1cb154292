//! Zones as people publish them, right and wrong, with what is to be said of them. The same ones are
//! put before the judgement in memory and before real name servers.

use wm_core::Timestamp;
use wm_dns::verify::RecordStatus::{self, Inconsistent, Missing, Pending, Verified};
use wm_dns::{DomainSettings, DomainState, Findings, RecordKind, RequiredRecords, export};

pub(crate) const TOKEN: &str = "fmxqxT/icOYx4aA/bEUrDPMeax9/s3frblS+niixmqk=";

/// A domain whose zone is right except for what is replaced.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Lines instead of those of a kind; `{d}` stands for the domain.
    pub(crate) instead: &'static [(RecordKind, &'static [&'static str])],
    /// Status and mistakes of the kinds that are not simply verified.
    pub(crate) expected: &'static [(RecordKind, RecordStatus, &'static [&'static str])],
}

use RecordKind::{Autodiscover, Dkim, Dmarc, Mx, Ownership, Spf};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "good",
        instead: &[],
        expected: &[],
    },
    Scenario {
        name: "empty",
        instead: &[
            (Ownership, &[]),
            (Mx, &[]),
            (Autodiscover, &[]),
            (Dkim, &[]),
            (Spf, &[]),
            (Dmarc, &[]),
        ],
        expected: &[
            (Ownership, Pending, &[]),
            (Mx, Missing, &[]),
            (Autodiscover, Missing, &[]),
            (Dkim, Pending, &[]),
            (Spf, Missing, &[]),
            (Dmarc, Missing, &[]),
        ],
    },
    Scenario {
        name: "other-words",
        instead: &[
            (
                Ownership,
                &[
                    "_amazonses.{d}. IN TXT \"of another region\"",
                    "_amazonses.{d}. IN TXT \"fmxqxT/icOYx4aA/bEUrDPMeax9/s3frblS+niixmqk=\"",
                ],
            ),
            (Mx, &["{d}. IN MX 1 Inbound-SMTP.us-east-1.AmazonAWS.com."]),
            (
                Spf,
                &[
                    "{d}. IN TXT \"v=spf1 ip4:192.0.2.1 inc\" \"lude:suite.test -all\"",
                    "{d}. IN TXT \"unrelated\"",
                ],
            ),
            (
                Dmarc,
                &["_dmarc.{d}. IN TXT \"v=DMARC1;p=reject;rua=mailto:d@{d}\""],
            ),
        ],
        expected: &[],
    },
    Scenario {
        name: "bare",
        instead: &[(
            Ownership,
            &["{d}. IN TXT \"fmxqxT/icOYx4aA/bEUrDPMeax9/s3frblS+niixmqk=\""],
        )],
        expected: &[],
    },
    Scenario {
        name: "bare-prefixed",
        instead: &[(
            Ownership,
            &["{d}. IN TXT \"amazonses:fmxqxT/icOYx4aA/bEUrDPMeax9/s3frblS+niixmqk=\""],
        )],
        expected: &[],
    },
    Scenario {
        name: "doubled",
        instead: &[
            (
                Ownership,
                &["_amazonses.{d}.{d}. IN TXT \"fmxqxT/icOYx4aA/bEUrDPMeax9/s3frblS+niixmqk=\""],
            ),
            (
                Mx,
                &["{d}.{d}. IN MX 10 inbound-smtp.us-east-1.amazonaws.com."],
            ),
            (
                Autodiscover,
                &["autodiscover.{d}.{d}. IN CNAME autodiscover.mail.us-east-1.awsapps.com."],
            ),
            (
                Dkim,
                &[
                    "one._domainkey.{d}.{d}. IN CNAME one.dkim.amazonses.com.",
                    "two._domainkey.{d}.{d}. IN CNAME two.dkim.amazonses.com.",
                    "three._domainkey.{d}.{d}. IN CNAME three.dkim.amazonses.com.",
                ],
            ),
            (
                Spf,
                &["{d}.{d}. IN TXT \"v=spf1 include:amazonses.com ~all\""],
            ),
            (
                Dmarc,
                &["_dmarc.{d}.{d}. IN TXT \"v=DMARC1; p=quarantine\""],
            ),
        ],
        expected: &[
            (Ownership, Pending, &["doubled-domain"]),
            (Mx, Missing, &["doubled-domain"]),
            (Autodiscover, Missing, &["doubled-domain"]),
            (Dkim, Pending, &["doubled-domain"]),
            (Spf, Missing, &["doubled-domain"]),
            (Dmarc, Missing, &["doubled-domain"]),
        ],
    },
    Scenario {
        name: "doubled-one",
        instead: &[(
            Autodiscover,
            &["autodiscover.{d}.{d}. IN CNAME autodiscover.mail.us-east-1.awsapps.com."],
        )],
        expected: &[(Autodiscover, Missing, &["doubled-domain"])],
    },
    Scenario {
        name: "no-underscore",
        instead: &[
            (
                Ownership,
                &["amazonses.{d}. IN TXT \"fmxqxT/icOYx4aA/bEUrDPMeax9/s3frblS+niixmqk=\""],
            ),
            (
                Dkim,
                &["one.domainkey.{d}. IN CNAME one.dkim.amazonses.com."],
            ),
            (Dmarc, &["dmarc.{d}. IN TXT \"v=DMARC1; p=quarantine\""]),
        ],
        expected: &[
            (Ownership, Pending, &["missing-underscore"]),
            (Dkim, Pending, &["missing-underscore"]),
            (Dmarc, Missing, &["missing-underscore"]),
        ],
    },
    Scenario {
        name: "quotes",
        instead: &[
            (
                Ownership,
                &[r#"_amazonses.{d}. IN TXT "\"fmxqxT/icOYx4aA/bEUrDPMeax9/s3frblS+niixmqk=\"""#],
            ),
            (
                Spf,
                &[r#"{d}. IN TXT "\"v=spf1 include:amazonses.com ~all\"""#],
            ),
            (
                Dmarc,
                &[r#"_dmarc.{d}. IN TXT "\"v=DMARC1; p=quarantine\"""#],
            ),
        ],
        expected: &[
            (Ownership, Pending, &["quotes-pasted-in"]),
            (Spf, Inconsistent, &["quotes-pasted-in"]),
            (Dmarc, Inconsistent, &["quotes-pasted-in"]),
        ],
    },
    Scenario {
        name: "region",
        instead: &[
            (Mx, &["{d}. IN MX 10 inbound-smtp.eu-west-1.amazonaws.com."]),
            (
                Autodiscover,
                &["autodiscover.{d}. IN CNAME autodiscover.mail.us-west-2.awsapps.com."],
            ),
        ],
        expected: &[
            (Mx, Inconsistent, &["wrong-region"]),
            (Autodiscover, Inconsistent, &["wrong-region"]),
        ],
    },
    Scenario {
        name: "host",
        instead: &[
            (Mx, &["{d}. IN MX 10 mx.other.test."]),
            (
                Autodiscover,
                &["autodiscover.{d}. IN CNAME autodiscover.outlook.test."],
            ),
            (
                Dkim,
                &[
                    "one._domainkey.{d}. IN CNAME two.dkim.amazonses.com.",
                    "two._domainkey.{d}. IN CNAME two.dkim.amazonses.com.",
                    "three._domainkey.{d}. IN CNAME three.dkim.amazonses.com.",
                ],
            ),
        ],
        expected: &[
            (Mx, Inconsistent, &["foreign-mx"]),
            (Autodiscover, Inconsistent, &["wrong-host"]),
            (Dkim, Pending, &["wrong-host"]),
        ],
    },
    Scenario {
        name: "dots",
        instead: &[
            (
                Ownership,
                &["_amazonses.{d}. IN TXT \"fmxqxT/icOYx4aA/bEUrDPMeax9/s3frblS+niixmqk=.\""],
            ),
            (
                Mx,
                &[r"{d}. IN MX 10 inbound-smtp.us-east-1.amazonaws.com\.."],
            ),
            (
                Autodiscover,
                &[r"autodiscover.{d}. IN CNAME autodiscover.mail.us-east-1.awsapps.com\.."],
            ),
        ],
        expected: &[
            (Ownership, Pending, &["trailing-dot"]),
            (Mx, Inconsistent, &["trailing-dot"]),
            (Autodiscover, Inconsistent, &["trailing-dot"]),
        ],
    },
    Scenario {
        name: "relative",
        instead: &[
            (
                Mx,
                &["{d}. IN MX 10 inbound-smtp.us-east-1.amazonaws.com.{d}."],
            ),
            (
                Autodiscover,
                &["autodiscover.{d}. IN CNAME autodiscover.mail.us-east-1.awsapps.com.{d}."],
            ),
            (
                Dkim,
                &[
                    "one._domainkey.{d}. IN CNAME one.dkim.amazonses.com.{d}.",
                    "two._domainkey.{d}. IN CNAME two.dkim.amazonses.com.{d}.",
                    "three._domainkey.{d}. IN CNAME three.dkim.amazonses.com.{d}.",
                ],
            ),
        ],
        expected: &[
            (Mx, Inconsistent, &["relative-target"]),
            (Autodiscover, Inconsistent, &["relative-target"]),
            (Dkim, Pending, &["relative-target"]),
        ],
    },
    Scenario {
        name: "split",
        instead: &[
            (
                Ownership,
                &[
                    "_amazonses.{d}. IN TXT \"fmxqxT/icOYx4aA/bEUr\"",
                    "_amazonses.{d}. IN TXT \"DPMeax9/s3frblS+niixmqk=\"",
                ],
            ),
            (
                Spf,
                &["{d}. IN TXT \"v=spf1 ip4:192.0.2.1\" \"include:amazonses.com ~all\""],
            ),
            (
                Dmarc,
                &[
                    "_dmarc.{d}. IN TXT \"v=DMARC1;\"",
                    "_dmarc.{d}. IN TXT \"p=quarantine\"",
                ],
            ),
        ],
        expected: &[
            (Ownership, Pending, &["split-strings"]),
            (Spf, Inconsistent, &["split-strings"]),
            (Dmarc, Inconsistent, &["split-strings"]),
        ],
    },
    Scenario {
        name: "spaces",
        instead: &[
            (
                Ownership,
                &["_amazonses.{d}. IN TXT \" fmxqxT/icOYx4aA/bEUrDPMeax9/s3frblS+niixmqk= \""],
            ),
            (
                Mx,
                &[r"{d}. IN MX 10 10\032inbound-smtp.us-east-1.amazonaws.com."],
            ),
        ],
        expected: &[
            (Ownership, Pending, &["stray-spaces"]),
            (Mx, Inconsistent, &["preference-in-host"]),
        ],
    },
    Scenario {
        name: "mx-fallback",
        instead: &[(
            Mx,
            &[
                "{d}. IN MX 10 inbound-smtp.us-east-1.amazonaws.com.",
                "{d}. IN MX 20 mx.other.test.",
            ],
        )],
        expected: &[(Mx, Verified, &["foreign-mx"])],
    },
    Scenario {
        name: "mx-shared",
        instead: &[(
            Mx,
            &[
                "{d}. IN MX 10 inbound-smtp.us-east-1.amazonaws.com.",
                "{d}. IN MX 10 mx.other.test.",
            ],
        )],
        expected: &[(Mx, Inconsistent, &["foreign-mx"])],
    },
    Scenario {
        name: "mx-null",
        instead: &[(Mx, &["{d}. IN MX 0 ."])],
        expected: &[(Mx, Inconsistent, &["null-mx"])],
    },
    Scenario {
        name: "address",
        instead: &[(Autodiscover, &["autodiscover.{d}. IN A 192.0.2.7"])],
        expected: &[(Autodiscover, Inconsistent, &["not-an-alias"])],
    },
    Scenario {
        name: "spf-lacking",
        instead: &[(Spf, &["{d}. IN TXT \"v=spf1 mx -all\""])],
        expected: &[(Spf, Inconsistent, &["spf"])],
    },
    Scenario {
        name: "spf-open",
        instead: &[(Spf, &["{d}. IN TXT \"v=spf1 include:amazonses.com +all\""])],
        expected: &[(Spf, Inconsistent, &["spf"])],
    },
    Scenario {
        name: "spf-redirect",
        instead: &[(Spf, &["{d}. IN TXT \"v=spf1 redirect=suite.test\""])],
        expected: &[],
    },
    Scenario {
        name: "spf-twice",
        instead: &[(
            Spf,
            &[
                "{d}. IN TXT \"v=spf1 mx -all\"",
                "{d}. IN TXT \"v=spf1 include:amazonses.com ~all\"",
            ],
        )],
        expected: &[(Spf, Inconsistent, &["several-records"])],
    },
    Scenario {
        name: "spf-deep",
        instead: &[(
            Spf,
            &["{d}. IN TXT \"v=spf1 include:amazonses.com include:deep.test ~all\""],
        )],
        expected: &[(Spf, Inconsistent, &["spf-too-many-lookups"])],
    },
    Scenario {
        name: "spf-broken",
        instead: &[(
            Spf,
            &["{d}. IN TXT \"v=spf1 include:amazonses.com include:nothing.test ~all\""],
        )],
        expected: &[(Spf, Inconsistent, &["spf"])],
    },
    Scenario {
        name: "dmarc-lax",
        instead: &[(Dmarc, &["_dmarc.{d}. IN TXT \"v=DMARC1; p=none\""])],
        expected: &[(Dmarc, Inconsistent, &["dmarc-lax"])],
    },
    Scenario {
        name: "dmarc-broken",
        instead: &[(
            Dmarc,
            &["_dmarc.{d}. IN TXT \"v=DMARC1; rua=mailto:a@b.test\""],
        )],
        expected: &[(Dmarc, Inconsistent, &["dmarc"])],
    },
    Scenario {
        name: "dmarc-apex",
        instead: &[(Dmarc, &["{d}. IN TXT \"v=DMARC1; p=quarantine\""])],
        expected: &[(Dmarc, Missing, &["wrong-name"])],
    },
    Scenario {
        name: "wildcard",
        instead: &[
            (Ownership, &["*.{d}. IN TXT \"v=wildcard\""]),
            (Dmarc, &["*.{d}. IN A 192.0.2.1"]),
            (Autodiscover, &[]),
        ],
        expected: &[
            (Ownership, Pending, &[]),
            (Dmarc, Missing, &[]),
            (Autodiscover, Inconsistent, &["not-an-alias"]),
        ],
    },
];

/// What is said of a domain that is itself an alias, in the zone `parent.test`.
pub(crate) const ALIAS: (&str, &str) = ("alias.parent.test", "parent.test");
pub(crate) const ALIAS_ZONE: &str =
    "alias.parent.test. IN CNAME web.parent.test.\nweb.parent.test. IN A 192.0.2.8\n";

/// The zones of others that the scenarios lead to.
pub(crate) const OTHERS: &[(&str, &str)] = &[
    (
        "amazonses.com",
        "amazonses.com. IN TXT \"v=spf1 ip4:199.255.192.0/22 -all\"\n",
    ),
    (
        "suite.test",
        "suite.test. IN TXT \"v=spf1 include:amazonses.com include:amazonses.com -all\"\n",
    ),
    (
        "deep.test",
        "deep.test. IN TXT \"v=spf1 a mx include:a.deep.test include:b.deep.test -all\"\n\
         a.deep.test. IN TXT \"v=spf1 a:x.test a:y.test mx:z.test -all\"\n\
         b.deep.test. IN TXT \"v=spf1 exists:%{i}.x.test ptr -all\"\n",
    ),
    ("nothing.test", "nothing.test. IN TXT \"no policy\"\n"),
];

pub(crate) fn required(domain: &str) -> RequiredRecords {
    let settings = DomainSettings::of_region(
        domain.parse().unwrap(),
        "us-east-1",
        TOKEN,
        ["one", "two", "three"],
    );
    RequiredRecords::for_domain(&settings.unwrap()).unwrap()
}

impl Scenario {
    pub(crate) fn domain(&self) -> String {
        format!("{}.test", self.name)
    }

    /// The zone's records, without SOA and NS.
    pub(crate) fn zone(&self) -> String {
        let domain = self.domain();
        let required = required(&domain);
        let all = export::zone_text(&required);
        let right = all.lines().filter(|line| !line.starts_with(';'));
        let kinds = required.iter().map(|record| record.kind);
        let kept = right
            .zip(kinds)
            .filter(|(_, kind)| self.instead.iter().all(|(other, _)| other != kind));
        let replaced = self
            .instead
            .iter()
            .flat_map(|(_, lines)| lines.iter().copied());
        let lines = kept
            .map(|(line, _)| line.to_owned())
            .chain(replaced.map(|line| line.replace("{d}", &domain)));
        lines.map(|line| line + "\n").collect()
    }

    /// Checks what was found; of several records of a kind, the first that is not verified counts.
    pub(crate) fn verify(&self, findings: &Findings, server: &str) {
        let now = Timestamp::from_seconds(1_700_000_000);
        let state = DomainState::default().advance(findings, now);
        for kind in [Ownership, Mx, Autodiscover, Dkim, Spf, Dmarc] {
            let expected = self
                .expected
                .iter()
                .find(|(expected, ..)| *expected == kind);
            let (status, mistakes) = expected
                .map_or((Verified, [].as_slice()), |(_, status, mistakes)| {
                    (*status, mistakes)
                });
            let of_kind = || {
                findings
                    .records
                    .iter()
                    .filter(|(record, _)| record.kind == kind)
            };
            let status_of = |record| state.record(record).and_then(|state| state.status);
            let (record, judgement) = of_kind()
                .find(|(record, _)| status_of(record) != Some(Verified))
                .or_else(|| of_kind().next())
                .unwrap();
            let named: Vec<&str> = judgement
                .mistakes
                .iter()
                .map(wm_dns::Mistake::name)
                .collect();
            let context = format!("{server}: {kind} of {}: {judgement:?}", self.name);
            assert_eq!(status_of(record), Some(status), "{context}");
            assert_eq!(named, mistakes, "{context}");
            let hint = judgement.hint(record, Some(status));
            assert_eq!(
                hint.is_none(),
                status == Verified && mistakes.is_empty(),
                "{context}"
            );
        }
    }
}
