use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use wm_core::traits::{Answer, DnsName, LookupError};

use super::{DomainSpec, Mechanism, Qualifier, Spf, SpfError};

/// The lookups that the evaluation of one record may cost (RFC 7208 §4.6.4).
const MAX_LOOKUPS: usize = 10;

/// A record together with the records that it includes or redirects to, as far as they are known.
///
/// It does no lookups itself: [`lookups`](Self::lookups) says which TXT records it still needs,
/// [`supply`](Self::supply) takes them, until none is needed.
#[derive(Debug, Clone)]
pub struct Expansion {
    domain: DnsName,
    root: Spf,
    fetched: BTreeMap<DnsName, Fetched>,
}

#[derive(Debug, Clone)]
enum Fetched {
    Record(Spf),
    Broken(SpfFault),
    Unknown(LookupError),
}

/// Whether a record lets a sender pass.
#[derive(Debug, Clone)]
pub enum SpfJudgement {
    /// It does, and is as strict to everybody else as required.
    Grants,
    /// It does not, for these reasons.
    Denies(Vec<SpfFault>),
    /// An included record could not be had, without which this cannot be said.
    Unknown(LookupError),
}

/// What is wrong with an SPF record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpfFault {
    /// The record is not well-formed.
    #[error("the SPF record is not well-formed: {0}")]
    Syntax(SpfError),
    /// A required mechanism, or one of the same meaning, is missing.
    #[error("the SPF record does not authorise {0}")]
    NotAuthorised(String),
    /// A required mechanism stands after `all`, where it is never tried.
    #[error("{0} stands after \"all\", where it is ignored")]
    AfterAll(String),
    /// Everybody passes.
    #[error("\"+all\" authorises everybody")]
    PermitsEveryone,
    /// Other senders are treated with more patience than required.
    #[error("other senders get \"{found}all\", required is \"{required}all\"")]
    Lax {
        /// What they get.
        found: Qualifier,
        /// What is required.
        required: Qualifier,
    },
    /// Evaluation costs more than ten lookups.
    #[error("the SPF record needs more than 10 DNS lookups")]
    TooManyLookups,
    /// A record includes itself.
    #[error("the SPF record of {0} includes itself")]
    Loop(DnsName),
    /// An included domain has no SPF record.
    #[error("{0} is included but has no SPF record")]
    NoRecord(DnsName),
    /// More than one SPF record.
    #[error("{0} has {1} SPF records, only one is allowed")]
    SeveralRecords(DnsName, usize),
    /// An included record is not well-formed.
    #[error("the included SPF record of {0} is not well-formed: {1}")]
    IncludedSyntax(DnsName, SpfError),
}

impl Expansion {
    /// The record of a domain, with nothing else known.
    #[must_use]
    pub const fn new(domain: DnsName, root: Spf) -> Self {
        Self {
            domain,
            root,
            fetched: BTreeMap::new(),
        }
    }

    /// The names whose TXT records are needed next; at most ten over the life of an expansion.
    #[must_use]
    pub fn lookups(&self) -> Vec<DnsName> {
        let mut needed = self.walk().needed;
        needed.sort();
        needed.dedup();
        // Each name costs at least one lookup, so that an eleventh is one too many.
        needed.truncate(MAX_LOOKUPS.saturating_sub(self.fetched.len()));
        needed
    }

    /// Takes the answer to a TXT lookup that [`lookups`](Self::lookups) asked for.
    pub fn supply(&mut self, name: DnsName, answer: &Result<Answer, LookupError>) {
        let fetched = match answer {
            Err(error) => Fetched::Unknown(error.clone()),
            Ok(answer) => match the_record(answer) {
                Ok(text) => match text.parse() {
                    Ok(record) => Fetched::Record(record),
                    Err(error) => Fetched::Broken(SpfFault::IncludedSyntax(name.clone(), error)),
                },
                Err(0) => Fetched::Broken(SpfFault::NoRecord(name.clone())),
                Err(many) => Fetched::Broken(SpfFault::SeveralRecords(name.clone(), many)),
            },
        };
        self.fetched.insert(name, fetched);
    }

    /// Whether the record lets pass whomever `required` lets pass, and is at least as strict to the
    /// rest. `exchangers` are the hosts behind `mx`. Includes that have not been supplied are taken
    /// to be well-formed and to let nobody pass.
    #[must_use]
    pub fn judge(&self, required: &Spf, exchangers: &[DnsName]) -> SpfJudgement {
        let walk = self.walk();
        let mut faults = walk.faults;
        let needs_more = self.fetched.len() >= MAX_LOOKUPS && !walk.needed.is_empty();
        if needs_more && !faults.contains(&SpfFault::TooManyLookups) {
            faults.push(SpfFault::TooManyLookups);
        }
        for directive in &required.directives {
            let wanted = Wanted {
                mechanism: &directive.mechanism,
                domain: &self.domain,
                exchangers,
            };
            if directive.mechanism == Mechanism::All || self.lets_pass(&wanted) {
                continue;
            }
            let mut ignored = self
                .root
                .directives
                .iter()
                .skip(self.root.effective().count());
            let comes_late =
                ignored.any(|found| wanted.is_covered_by(&found.mechanism, &self.domain));
            let text = directive.mechanism.to_string();
            faults.push(if comes_late {
                SpfFault::AfterAll(text)
            } else {
                SpfFault::NotAuthorised(text)
            });
        }
        let required = required.default_result().unwrap_or(Qualifier::Neutral);
        match walk.default_result {
            Some(Qualifier::Pass) => faults.push(SpfFault::PermitsEveryone),
            Some(found) if found < required => faults.push(SpfFault::Lax { found, required }),
            _ => {}
        }
        match walk.unknown {
            _ if faults
                .iter()
                .any(|fault| !matches!(fault, SpfFault::NotAuthorised(_))) =>
            {
                SpfJudgement::Denies(faults)
            }
            Some(error) => SpfJudgement::Unknown(error),
            None if faults.is_empty() => SpfJudgement::Grants,
            None => SpfJudgement::Denies(faults),
        }
    }

    fn walk(&self) -> Walk {
        let mut walk = Walk::default();
        walk.default_result = self.walk_record(&self.root, &mut vec![&self.domain], &mut walk);
        walk
    }

    /// Goes through everything that an evaluation may have to look at; answers the default result.
    fn walk_record<'a>(
        &'a self,
        record: &'a Spf,
        path: &mut Vec<&'a DnsName>,
        walk: &mut Walk,
    ) -> Option<Qualifier> {
        for directive in record.effective() {
            if !directive.mechanism.costs_lookup() {
                continue;
            }
            if !walk.may_look_up() {
                return None;
            }
            if let Mechanism::Include(domain) = &directive.mechanism {
                self.walk_into(domain, path, walk);
            }
        }
        match (record.default_result(), &record.redirect) {
            (None, Some(domain)) if walk.may_look_up() => self.walk_into(domain, path, walk),
            (result, _) => result,
        }
    }

    fn walk_into<'a>(
        &'a self,
        domain: &DomainSpec,
        path: &mut Vec<&'a DnsName>,
        walk: &mut Walk,
    ) -> Option<Qualifier> {
        // A macro depends on the message.
        let name = domain.name()?;
        if path.contains(&&name) {
            walk.faults.push(SpfFault::Loop(name));
            return None;
        }
        let Some((name, fetched)) = self.fetched.get_key_value(&name) else {
            walk.needed.push(name);
            return None;
        };
        match fetched {
            Fetched::Record(record) => {
                path.push(name);
                let result = self.walk_record(record, path, walk);
                path.pop();
                return result;
            }
            Fetched::Broken(fault) if !walk.faults.contains(fault) => {
                walk.faults.push(fault.clone())
            }
            Fetched::Broken(_) => {}
            Fetched::Unknown(error) => walk.unknown = Some(error.clone()),
        }
        None
    }

    fn lets_pass(&self, wanted: &Wanted<'_>) -> bool {
        self.record_lets_pass(&self.root, &self.domain, wanted, &mut 0)
    }

    fn record_lets_pass(
        &self,
        record: &Spf,
        domain: &DnsName,
        wanted: &Wanted<'_>,
        steps: &mut usize,
    ) -> bool {
        for directive in record.effective() {
            if wanted.is_covered_by(&directive.mechanism, domain) {
                return directive.qualifier == Qualifier::Pass;
            }
            if let (Mechanism::Include(domain), Qualifier::Pass) =
                (&directive.mechanism, directive.qualifier)
                && self.target_lets_pass(domain, wanted, steps)
            {
                return true;
            }
        }
        match (record.default_result(), &record.redirect) {
            (None, Some(domain)) => {
                wanted.is_covered_by(&Mechanism::Include(domain.clone()), &self.domain)
                    || self.target_lets_pass(domain, wanted, steps)
            }
            _ => false,
        }
    }

    fn target_lets_pass(
        &self,
        domain: &DomainSpec,
        wanted: &Wanted<'_>,
        steps: &mut usize,
    ) -> bool {
        *steps += 1;
        let target = domain.name().filter(|_| *steps <= MAX_LOOKUPS);
        match target
            .as_ref()
            .and_then(|name| self.fetched.get_key_value(name))
        {
            Some((name, Fetched::Record(record))) => {
                self.record_lets_pass(record, name, wanted, steps)
            }
            _ => false,
        }
    }
}

#[derive(Debug, Default)]
struct Walk {
    lookups: usize,
    needed: Vec<DnsName>,
    faults: Vec<SpfFault>,
    unknown: Option<LookupError>,
    default_result: Option<Qualifier>,
}

impl Walk {
    fn may_look_up(&mut self) -> bool {
        self.lookups += 1;
        if self.lookups == MAX_LOOKUPS + 1 {
            self.faults.push(SpfFault::TooManyLookups);
        }
        self.lookups <= MAX_LOOKUPS
    }
}

/// Senders that have to pass.
struct Wanted<'a> {
    mechanism: &'a Mechanism,
    domain: &'a DnsName,
    exchangers: &'a [DnsName],
}

impl Wanted<'_> {
    /// Whether a mechanism in the record of `domain` matches all of them, as far as that can be told
    /// without looking up addresses.
    fn is_covered_by(&self, found: &Mechanism, domain: &DnsName) -> bool {
        let host = |spec: &Option<DomainSpec>, domain: &DnsName| match spec {
            Some(spec) => spec.name(),
            None => Some(domain.clone()),
        };
        let is_wider =
            |found: &(u8, u8), wanted: &(u8, u8)| found.0 <= wanted.0 && found.1 <= wanted.1;
        match (found, self.mechanism) {
            (Mechanism::All, _) => true,
            (Mechanism::Include(found), Mechanism::Include(wanted)) => {
                match (found.name(), wanted.name()) {
                    (Some(found), Some(wanted)) => found == wanted,
                    _ => found == wanted,
                }
            }
            (Mechanism::Ip4(found, length), Mechanism::Ip4(wanted, longer)) => {
                length <= longer && network_v4(*found, *length) == network_v4(*wanted, *length)
            }
            (Mechanism::Ip6(found, length), Mechanism::Ip6(wanted, longer)) => {
                length <= longer && network_v6(*found, *length) == network_v6(*wanted, *length)
            }
            (
                Mechanism::A {
                    host: found,
                    prefix,
                },
                Mechanism::A {
                    host: wanted,
                    prefix: longer,
                },
            )
            | (
                Mechanism::Mx {
                    domain: found,
                    prefix,
                },
                Mechanism::Mx {
                    domain: wanted,
                    prefix: longer,
                },
            ) => is_wider(prefix, longer) && host(found, domain) == host(wanted, self.domain),
            (
                Mechanism::Mx {
                    domain: found,
                    prefix,
                },
                Mechanism::A {
                    host: wanted,
                    prefix: longer,
                },
            ) => {
                is_wider(prefix, longer)
                    && host(found, domain).as_ref() == Some(self.domain)
                    && host(wanted, self.domain)
                        .is_some_and(|wanted| self.exchangers.contains(&wanted))
            }
            (
                Mechanism::A {
                    host: found,
                    prefix,
                },
                Mechanism::Mx {
                    domain: wanted,
                    prefix: longer,
                },
            ) => {
                is_wider(prefix, longer)
                    && host(wanted, self.domain).as_ref() == Some(self.domain)
                    && !self.exchangers.is_empty()
                    && host(found, domain)
                        .is_some_and(|found| self.exchangers.iter().all(|host| *host == found))
            }
            (found, wanted) => found == wanted,
        }
    }
}

/// The one SPF record among the texts of an answer, or how many there are.
fn the_record(answer: &Answer) -> Result<String, usize> {
    let mut records = answer
        .texts()
        .map(|txt| txt.text())
        .filter(|text| Spf::is_spf(text));
    match (records.next(), records.count()) {
        (Some(text), 0) => Ok(text.into_owned()),
        (None, _) => Err(0),
        (Some(_), others) => Err(others + 1),
    }
}

fn network_v4(address: Ipv4Addr, length: u8) -> u32 {
    address.to_bits()
        & u32::MAX
            .checked_shl(32 - u32::from(length.min(32)))
            .unwrap_or(0)
}

fn network_v6(address: Ipv6Addr, length: u8) -> u128 {
    address.to_bits()
        & u128::MAX
            .checked_shl(128 - u32::from(length.min(128)))
            .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use wm_core::traits::{Record, RecordData, Txt};

    use super::*;

    fn name(text: &str) -> DnsName {
        text.parse().unwrap()
    }

    fn answer(texts: &[&str]) -> Result<Answer, LookupError> {
        let record = |text: &&str| Record {
            name: name("x.example"),
            ttl: 60,
            data: RecordData::Txt(Txt::new(text)),
        };
        Ok(Answer::Records {
            aliases: vec![],
            records: texts.iter().map(record).collect(),
        })
    }

    /// Expands `example.com`'s record with the given zone; answers it and the number of lookups.
    fn expand(root: &str, zone: &[(&str, &str)]) -> (Expansion, usize) {
        let mut expansion = Expansion::new(name("example.com"), root.parse().unwrap());
        let mut lookups = 0;
        loop {
            let needed = expansion.lookups();
            if needed.is_empty() {
                return (expansion, lookups);
            }
            for needed in needed {
                lookups += 1;
                let texts: Vec<&str> = zone
                    .iter()
                    .filter(|(at, _)| name(at) == needed)
                    .map(|(_, text)| *text)
                    .collect();
                expansion.supply(
                    needed,
                    &if texts.is_empty() {
                        Ok(Answer::NxDomain { aliases: vec![] })
                    } else {
                        answer(&texts)
                    },
                );
            }
        }
    }

    fn faults(required: &str, root: &str, zone: &[(&str, &str)]) -> Vec<SpfFault> {
        match expand(root, zone)
            .0
            .judge(&required.parse().unwrap(), &[name("mx.example.net")])
        {
            SpfJudgement::Grants => vec![],
            SpfJudgement::Denies(faults) => faults,
            SpfJudgement::Unknown(error) => panic!("{error}"),
        }
    }

    const REQUIRED: &str = "v=spf1 include:mail.example ~all";
    const MAIL: (&str, &str) = ("mail.example", "v=spf1 ip4:192.0.2.0/24 -all");

    #[test]
    fn other_words_for_the_same_meaning_are_accepted() {
        for root in [
            "v=spf1 include:mail.example ~all",
            "v=spf1 ip4:203.0.113.7 a +include:MAIL.example. -all",
            "v=spf1 redirect=mail.example",
            "v=spf1 include:all.example -all",
            "v=spf1 redirect=all.example",
        ] {
            let zone = [
                MAIL,
                (
                    "all.example",
                    "v=spf1 include:mail.example include:mail.example -all",
                ),
            ];
            assert_eq!(faults(REQUIRED, root, &zone), [], "{root}");
        }
        for (required, root) in [
            ("v=spf1 ip4:192.0.2.5 -all", "v=spf1 ip4:192.0.2.0/24 -all"),
            (
                "v=spf1 ip6:2001:db8::5 -all",
                "v=spf1 ip6:2001:db8::/32 -all",
            ),
            ("v=spf1 a:mx.example.net ~all", "v=spf1 mx ~all"),
            ("v=spf1 mx ~all", "v=spf1 a:mx.example.net -all"),
            ("v=spf1 mx ~all", "v=spf1 mx:example.com ~all"),
        ] {
            assert_eq!(faults(required, root, &[]), [], "{root}");
        }
    }

    #[test]
    fn what_does_not_let_the_sender_pass_is_said() {
        let lacking = || SpfFault::NotAuthorised("include:mail.example".into());
        let zone = [MAIL];
        assert_eq!(faults(REQUIRED, "v=spf1 a -all", &zone), [lacking()]);
        assert_eq!(
            faults(REQUIRED, "v=spf1 ?include:mail.example -all", &zone),
            [lacking()]
        );
        assert_eq!(
            faults(REQUIRED, "v=spf1 -all include:mail.example", &zone),
            [SpfFault::AfterAll("include:mail.example".into())]
        );
        assert_eq!(
            faults(REQUIRED, "v=spf1 include:mail.example +all", &zone),
            [SpfFault::PermitsEveryone]
        );
        assert_eq!(
            faults(REQUIRED, "v=spf1 include:mail.example", &zone),
            [SpfFault::Lax {
                found: Qualifier::Neutral,
                required: Qualifier::SoftFail
            }]
        );
        assert_eq!(
            faults(
                "v=spf1 ip4:192.0.2.0/24 -all",
                "v=spf1 -ip4:192.0.0.0/16 ip4:192.0.2.0/24 -all",
                &[]
            ),
            [SpfFault::NotAuthorised("ip4:192.0.2.0/24".into())]
        );
    }

    #[test]
    fn broken_includes_break_the_whole() {
        assert_eq!(
            faults(REQUIRED, "v=spf1 include:mail.example ~all", &[]),
            [SpfFault::NoRecord(name("mail.example"))]
        );
        assert_eq!(
            faults(REQUIRED, "v=spf1 include:mail.example ~all", &[MAIL, MAIL]),
            [SpfFault::SeveralRecords(name("mail.example"), 2)]
        );
        assert_eq!(
            faults(
                REQUIRED,
                "v=spf1 include:mail.example ~all",
                &[("mail.example", "v=spf1 ipv4:1.2.3.4")]
            ),
            [SpfFault::IncludedSyntax(
                name("mail.example"),
                SpfError::Term("ipv4:1.2.3.4".into())
            )]
        );
        assert_eq!(
            faults(
                REQUIRED,
                "v=spf1 include:mail.example ~all",
                &[("mail.example", "v=spf1 include:example.com")]
            ),
            [SpfFault::Loop(name("example.com"))]
        );
    }

    #[test]
    fn an_include_that_cannot_be_had_leaves_the_question_open() {
        let mut expansion = Expansion::new(name("example.com"), REQUIRED.parse().unwrap());
        expansion.supply(name("mail.example"), &Err(LookupError::Timeout));
        let judgement = expansion.judge(&REQUIRED.parse().unwrap(), &[]);
        assert!(matches!(
            judgement,
            SpfJudgement::Unknown(LookupError::Timeout)
        ));
    }

    #[test]
    fn ten_lookups_are_allowed_and_no_more_are_made() {
        let zone: Vec<(String, String)> = (0..12)
            .map(|i| {
                (
                    format!("n{i}.example"),
                    format!("v=spf1 include:n{}.example -all", i + 1),
                )
            })
            .chain([
                ("n12.example".into(), MAIL.1.into()),
                (MAIL.0.into(), MAIL.1.into()),
            ])
            .collect();
        let zone: Vec<(&str, &str)> = zone
            .iter()
            .map(|(at, text)| (at.as_str(), text.as_str()))
            .collect();

        // mail.example, then n4 … n12: ten.
        let just = "v=spf1 include:mail.example include:n4.example ~all";
        assert_eq!(faults(REQUIRED, just, &zone), []);
        assert_eq!(expand(just, &zone).1, 10);

        let over = "v=spf1 include:mail.example include:n3.example ~all";
        assert_eq!(faults(REQUIRED, over, &zone), [SpfFault::TooManyLookups]);
        assert_eq!(expand(over, &zone).1, 10);
        assert_eq!(
            faults(
                REQUIRED,
                &format!("v=spf1 include:mail.example{} ~all", " a".repeat(10)),
                &zone
            ),
            [SpfFault::TooManyLookups]
        );
    }

    #[test]
    fn records_that_include_each_other_without_end_are_walked_in_bounded_time() {
        let all: String = (0..10).map(|i| format!(" include:n{i}.example")).collect();
        let names: Vec<String> = (0..10).map(|i| format!("n{i}.example")).collect();
        let text = format!("v=spf1{all} -all");
        let zone: Vec<(&str, &str)> = names
            .iter()
            .map(|at| (at.as_str(), text.as_str()))
            .collect();
        assert!(faults(REQUIRED, &text, &zone).contains(&SpfFault::TooManyLookups));
    }
}
