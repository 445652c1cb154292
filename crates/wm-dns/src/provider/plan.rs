use std::collections::BTreeSet;
use std::fmt;

use wm_core::traits::{Answer, DnsName, Record, RecordData, RecordType};

use crate::export::zone_line;
use crate::records::{RecordKind, RequiredRecord, RequiredRecords};
use crate::verify::{Evidence, Judgement, Question, RecordStatus, Verdict};

/// What is to be done so that a zone has a domain's records. Made again after it was carried out, it
/// has nothing to add. `Display` shows it as a diff: `+` is added, `=` stays, `!` is left to people.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The records to be added.
    pub add: Vec<Record>,
    /// The required records that the zone has, in these words or in others that mean the same.
    pub keep: Vec<RequiredRecord>,
    /// The required records that cannot be added because of what is there.
    pub conflict: Vec<Conflict>,
    /// What the zone held when the plan was made. It is carried out only where that is still so.
    pub seen: Vec<Record>,
}

/// A required record that cannot be added: something that somebody else wrote would have to go first.
#[derive(Debug, Clone)]
pub struct Conflict {
    /// The record.
    pub record: RequiredRecord,
    /// What is in its way.
    pub present: Vec<Record>,
    /// What to do about it.
    pub hint: String,
}

impl Plan {
    /// The plan for a zone that holds `present` at [`names`](Self::names); other records are ignored.
    /// An SPF record that names others is kept if it is right provided that they are: a
    /// [`Check`](crate::Check) follows them.
    #[must_use]
    pub fn new(required: &RequiredRecords, present: &[Record]) -> Self {
        let evidence = evidence(required, present);
        let mut plan = Self {
            seen: present.to_vec(),
            ..Self::default()
        };
        for record in required {
            let judgement = record.judge(required, &evidence);
            let obstacles = obstacles(record, present, &judgement);
            if obstacles.is_empty() && matches!(judgement.verdict, Verdict::Right) {
                plan.keep.push(record.clone());
            } else if obstacles.is_empty() {
                plan.add.push(Record {
                    name: record.name.clone(),
                    ttl: record.ttl,
                    data: record.data.clone(),
                });
            } else {
                let hint = judgement.hint(record, Some(RecordStatus::Inconsistent));
                plan.conflict.push(Conflict {
                    record: record.clone(),
                    present: obstacles,
                    hint: hint.unwrap_or_default(),
                });
            }
        }
        plan
    }

    /// The names at which a plan has to know everything.
    #[must_use]
    pub fn names(required: &RequiredRecords) -> Vec<DnsName> {
        let names = required.iter().map(|record| record.name.clone());
        let names: BTreeSet<DnsName> = names.chain([required.apex()]).collect();
        names.into_iter().collect()
    }

    /// Whether the zone has everything.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.add.is_empty() && self.conflict.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for record in &self.keep {
            writeln!(
                f,
                "= {} {} {}",
                record.name,
                record.record_type(),
                record.value()
            )?;
        }
        for record in &self.add {
            writeln!(f, "+ {}", zone_line(record))?;
        }
        for conflict in &self.conflict {
            let record = &conflict.record;
            writeln!(
                f,
                "! {} {} {}",
                record.name,
                record.record_type(),
                record.value()
            )?;
            for present in &conflict.present {
                writeln!(f, "    present: {}", zone_line(present))?;
            }
            writeln!(f, "    {}", conflict.hint)?;
        }
        Ok(())
    }
}

/// What the zone would answer to the questions of a check.
fn evidence(required: &RequiredRecords, present: &[Record]) -> Evidence {
    let mut evidence = Evidence::default();
    let questions = required
        .iter()
        .map(|record| Question::new(record.name.clone(), record.record_type()));
    for question in questions.chain([Question::new(required.apex(), RecordType::Txt)]) {
        let at_name = |record: &&Record| record.name == question.name;
        let records: Vec<Record> = present
            .iter()
            .filter(at_name)
            .filter(|record| record.data.record_type() == question.record_type)
            .cloned()
            .collect();
        let aliases = Vec::new();
        let answer = match records.is_empty() {
            true if present.iter().any(|record| at_name(&record)) => Answer::NoData { aliases },
            true => Answer::NxDomain { aliases },
            false => Answer::Records { aliases, records },
        };
        evidence.insert(question, Ok(answer));
    }
    evidence
}

/// The records beside which a required one cannot stand.
fn obstacles(record: &RequiredRecord, present: &[Record], judgement: &Judgement) -> Vec<Record> {
    let is_alias = |data: &RecordData| matches!(data, RecordData::Cname(_));
    let is_right = matches!(judgement.verdict, Verdict::Right);
    // Values of these stand side by side; each of the others contradicts a second one of its kind.
    let stands_beside_others = matches!(
        record.kind,
        RecordKind::Ownership | RecordKind::Srv | RecordKind::Tlsa
    );
    let is_contradicted = matches!(judgement.verdict, Verdict::Wrong) && !stands_beside_others;
    let is_in_the_way = |other: &&Record| {
        if other.name != record.name || is_right {
            return false;
        }
        // An alias stands alone at its name (RFC 2181 §10.1).
        let alias = is_alias(&other.data) || is_alias(&record.data);
        alias || (is_contradicted && speaks_of_the_same(record, other))
    };
    let mut obstacles: Vec<Record> = present.iter().filter(is_in_the_way).cloned().collect();
    if obstacles.is_empty() && is_contradicted {
        // Whatever it is that was judged to be wrong, it is of this name and type.
        let of_type = |other: &&Record| {
            other.name == record.name && other.data.record_type() == record.record_type()
        };
        obstacles = present.iter().filter(of_type).cloned().collect();
    }
    obstacles
}

/// Whether another record of the same name has the same purpose: texts say theirs in their first tag.
fn speaks_of_the_same(record: &RequiredRecord, other: &Record) -> bool {
    match (&record.data, &other.data) {
        (RecordData::Txt(ours), RecordData::Txt(theirs)) => {
            let version = |text: &str| {
                let word = text.split([' ', ';']).next().unwrap_or_default();
                word.trim().to_ascii_lowercase()
            };
            version(&ours.text()) == version(&theirs.text())
        }
        (ours, theirs) => ours.record_type() == theirs.record_type(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use futures::executor::block_on;
    use wm_core::traits::Txt;

    use super::super::{DnsProvider, ProviderError};
    use super::*;
    use crate::{Dkim, DkimKey, DomainSettings, Service};

    /// A zone in memory that counts its changes.
    #[derive(Default)]
    struct Zone {
        records: Mutex<Vec<Record>>,
        changes: Mutex<usize>,
    }

    #[async_trait]
    impl DnsProvider for Zone {
        async fn records(&self, names: &[DnsName]) -> Result<Vec<Record>, ProviderError> {
            let records = self.records.lock().unwrap();
            let wanted = records.iter().filter(|record| names.contains(&record.name));
            Ok(wanted.cloned().collect())
        }

        async fn add(&self, records: &[Record], _: &[Record]) -> Result<(), ProviderError> {
            self.records.lock().unwrap().extend_from_slice(records);
            *self.changes.lock().unwrap() += 1;
            Ok(())
        }
    }

    fn record(name: &str, data: RecordData) -> Record {
        let name = name.parse().unwrap();
        Record {
            name,
            ttl: 60,
            data,
        }
    }

    fn text(name: &str, text: &str) -> Record {
        record(name, RecordData::Txt(Txt::new(text)))
    }

    fn alias(name: &str, target: &str) -> Record {
        record(name, RecordData::Cname(target.parse().unwrap()))
    }

    fn exchanger(host: &str) -> Record {
        let exchange = host.parse().unwrap();
        record(
            "example.com",
            RecordData::Mx {
                preference: 10,
                exchange,
            },
        )
    }

    fn required() -> RequiredRecords {
        let (domain, host) = (
            "example.com".parse().unwrap(),
            "mail.example.net".parse().unwrap(),
        );
        let mut settings = DomainSettings::new(domain, host, "token=");
        settings.dkim = Dkim::Keys(vec![DkimKey {
            selector: "s1".into(),
            algorithm: "ed25519".into(),
            public_key: "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".into(),
        }]);
        settings.recommended.tls_reports = Some("tls@example.com".parse().unwrap());
        settings.recommended.services = vec![Service {
            name: "imaps".into(),
            host: "mail.example.net".parse().unwrap(),
            port: 993,
        }];
        RequiredRecords::for_domain(&settings).unwrap()
    }

    fn kinds(plan: &Plan) -> Vec<RecordKind> {
        plan.conflict
            .iter()
            .map(|conflict| conflict.record.kind)
            .collect()
    }

    #[test]
    fn an_empty_zone_gets_everything_once() {
        let (zone, required) = (Zone::default(), required());
        let plan = block_on(Plan::with(&zone, &required)).unwrap();
        assert_eq!(plan.add.len(), required.iter().count());
        assert!(plan.keep.is_empty() && plan.conflict.is_empty() && !plan.is_done());
        block_on(plan.apply(&zone)).unwrap();

        let again = block_on(Plan::with(&zone, &required)).unwrap();
        assert!(again.is_done(), "{again}");
        assert_eq!(again.keep.len(), required.iter().count());
        block_on(again.apply(&zone)).unwrap();
        assert_eq!(
            *zone.changes.lock().unwrap(),
            1,
            "nothing to do asks nothing"
        );
    }

    #[test]
    fn what_is_there_stays_as_it_is_after_every_plan() {
        let present = vec![
            text("example.com", "site-verification=1"),
            text("example.com", "v=spf1 ip4:192.0.2.1 -all"),
            text("_amazonses.example.com", "token of another region"),
            exchanger("mx.elsewhere.example"),
            alias("autodiscover.example.com", "autodiscover.elsewhere.example"),
        ];
        let zone = Zone::default();
        zone.records.lock().unwrap().clone_from(&present);
        let plan = block_on(Plan::with(&zone, &required())).unwrap();
        block_on(plan.apply(&zone)).unwrap();
        assert!(zone.records.lock().unwrap().starts_with(&present));
        assert_eq!(
            kinds(&plan),
            [RecordKind::Mx, RecordKind::Autodiscover, RecordKind::Spf]
        );
        let again = block_on(Plan::with(&zone, &required())).unwrap();
        assert!(again.add.is_empty());
        assert_eq!(kinds(&again), kinds(&plan));
    }

    #[test]
    fn a_second_spf_or_dmarc_record_is_never_added() {
        let present = [
            text("example.com", "v=spf1 -all"),
            text("_dmarc.example.com", "v=DMARC1; p=none"),
        ];
        let plan = Plan::new(&required(), &present);
        assert_eq!(kinds(&plan), [RecordKind::Spf, RecordKind::Dmarc], "{plan}");
        for (conflict, present) in plan.conflict.iter().zip(&present) {
            assert_eq!(conflict.present, std::slice::from_ref(present));
            assert!(!conflict.hint.is_empty());
        }
    }

    #[test]
    fn other_words_of_the_same_meaning_are_kept() {
        let present = [text("example.com", "v=spf1 a mx -all")];
        let plan = Plan::new(&required(), &present);
        assert!(
            plan.keep.iter().any(|it| it.kind == RecordKind::Spf),
            "{plan}"
        );
    }

    #[test]
    fn tokens_and_services_stand_beside_others() {
        let other = RecordData::Srv {
            priority: 5,
            weight: 0,
            port: 993,
            target: "old.example.net".parse().unwrap(),
        };
        let present = [
            text("_amazonses.example.com", "other"),
            record("_imaps._tcp.example.com", other),
        ];
        let plan = Plan::new(&required(), &present);
        assert!(plan.conflict.is_empty(), "{plan}");
        assert_eq!(plan.add.len(), required().iter().count());
    }

    #[test]
    fn nothing_is_put_beside_an_alias_and_no_alias_beside_anything() {
        let present = [
            alias("_dmarc.example.com", "policy.example.net"),
            text("autodiscover.example.com", "anything"),
        ];
        let plan = Plan::new(&required(), &present);
        assert_eq!(
            kinds(&plan),
            [RecordKind::Autodiscover, RecordKind::Dmarc],
            "{plan}"
        );
        assert_eq!(plan.conflict[0].present, [present[1].clone()]);
    }

    #[test]
    fn it_is_shown_as_a_diff() {
        let present = [
            text("_amazonses.example.com", "token="),
            exchanger("mx.elsewhere.example"),
        ];
        let shown = Plan::new(&required(), &present).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "= _amazonses.example.com TXT token=");
        assert!(lines.contains(&"+ autodiscover.example.com. 3600 IN CNAME mail.example.net."));
        let at = lines.iter().position(|line| line.starts_with('!')).unwrap();
        assert_eq!(lines[at], "! example.com MX 10 mail.example.net");
        assert_eq!(
            lines[at + 1],
            "    present: example.com. 60 IN MX 10 mx.elsewhere.example."
        );
        assert!(!lines[at + 2].trim().is_empty());
    }
}
