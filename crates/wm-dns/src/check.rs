use std::collections::BTreeSet;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use wm_core::traits::{Answer, DnsName, LookupError, RecordType, Resolver};
use wm_core::{DomainName, Timestamp};

use crate::mistake::Mistake;
use crate::records::{RecordKind, RequiredRecord, RequiredRecords};
use crate::spf::{Expansion, Spf};
use crate::verify::{Evidence, Judgement, Question, RecordState, Verdict};

/// The questions that checking a domain's required records costs at most, beside the expansion of
/// its SPF record.
pub const MAX_QUESTIONS: usize = 12;

/// A check under way. It does no lookups itself: [`questions`](Self::questions) says what to ask,
/// [`answer`](Self::answer) takes what was answered, [`finish`](Self::finish) judges. The questions of
/// one round do not depend on each other. [`run`](Self::run) does it all with a [`Resolver`].
///
/// There are two rounds, plus one for each level of SPF includes: first the records themselves, then,
/// for what is missing, the places where it ends up by mistake.
#[derive(Debug)]
pub struct Check {
    required: RequiredRecords,
    evidence: Evidence,
    asked: BTreeSet<Question>,
    first_round: Vec<Question>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    FirstRound,
    FollowUp,
}

/// What a check has found.
#[derive(Debug, Clone)]
pub struct Findings {
    domain: DomainName,
    /// Each required record with the judgement on it.
    pub records: Vec<(RequiredRecord, Judgement)>,
}

/// The states of a domain's records, to be kept between checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainState {
    records: Vec<(RecordKind, DnsName, RecordState)>,
}

impl Check {
    /// A check of these records.
    #[must_use]
    pub fn new(required: RequiredRecords) -> Self {
        let apex = required.apex();
        let mut first_round: Vec<Question> = required
            .iter()
            .map(|record| Question::new(record.name.clone(), record.record_type()))
            .collect();
        first_round.push(Question::new(apex.clone(), RecordType::Txt));
        // If anything at all lies below the doubled domain, it exists (RFC 8020).
        first_round.extend(doubled(&apex).map(|name| Question::new(name, RecordType::Mx)));
        first_round.sort();
        first_round.dedup();
        Self {
            required,
            evidence: Evidence::default(),
            asked: BTreeSet::new(),
            first_round,
            stage: Stage::New,
        }
    }

    /// What to ask now. Each question is given out once; when there are none and every answer has
    /// been taken, the check is done.
    pub fn questions(&mut self) -> Vec<Question> {
        let mut questions = match self.stage {
            Stage::New => {
                self.stage = Stage::FirstRound;
                self.first_round.clone()
            }
            Stage::FirstRound
                if self
                    .first_round
                    .iter()
                    .all(|question| self.evidence.contains(question)) =>
            {
                self.stage = Stage::FollowUp;
                self.follow_up()
            }
            Stage::FirstRound | Stage::FollowUp => Vec::new(),
        };
        questions.extend(self.includes());
        questions.retain(|question| self.asked.insert(question.clone()));
        questions
    }

    /// Takes an answer.
    pub fn answer(&mut self, question: Question, answer: Result<Answer, LookupError>) {
        let apex = self.required.apex();
        if question.record_type == RecordType::Txt {
            if question.name == apex {
                self.evidence.spf = answer
                    .as_ref()
                    .ok()
                    .and_then(the_spf_record)
                    .map(|spf| Expansion::new(apex, spf));
            } else if let Some(spf) = &mut self.evidence.spf {
                spf.supply(question.name.clone(), &answer);
            }
        }
        self.evidence.insert(question, answer);
    }

    /// Judges the records by the answers taken.
    #[must_use]
    pub fn finish(self) -> Findings {
        let judge = |record: &RequiredRecord| {
            (record.clone(), record.judge(&self.required, &self.evidence))
        };
        let mut records: Vec<(RequiredRecord, Judgement)> =
            self.required.iter().map(judge).collect();
        self.infer_doubled(&mut records);
        Findings {
            domain: self.required.domain().clone(),
            records,
        }
    }

    /// Checks with a resolver, asking everything that can be asked at one time at one time.
    pub async fn run(mut self, resolver: &dyn Resolver) -> Findings {
        let mut lookups = FuturesUnordered::new();
        loop {
            for question in self.questions() {
                lookups.push(async move {
                    let answer = resolver.lookup(&question.name, question.record_type).await;
                    (question, answer)
                });
            }
            match lookups.next().await {
                Some((question, answer)) => self.answer(question, answer),
                None => return self.finish(),
            }
        }
    }

    fn includes(&mut self) -> Vec<Question> {
        let Some(mut spf) = self.evidence.spf.take() else {
            return Vec::new();
        };
        let mut open = Vec::new();
        loop {
            let names = spf.lookups();
            let (known, unknown): (Vec<DnsName>, Vec<DnsName>) = names
                .into_iter()
                .partition(|name| self.evidence.get(name, RecordType::Txt).is_some());
            open.extend(
                unknown
                    .into_iter()
                    .map(|name| Question::new(name, RecordType::Txt)),
            );
            // A name that is included and was asked for on its own account is not asked for again.
            for name in &known {
                if let Some(answer) = self.evidence.get(name, RecordType::Txt) {
                    spf.supply(name.clone(), answer);
                }
            }
            if known.is_empty() {
                self.evidence.spf = Some(spf);
                return open;
            }
        }
    }

    /// Where to look for what is missing. The budget may not allow to look everywhere: the records
    /// without which nothing works come first.
    fn follow_up(&self) -> Vec<Question> {
        let apex = self.required.apex();
        let absent = |kind: RecordKind| {
            let of_kind = self
                .required
                .iter()
                .filter(move |record| record.kind == kind);
            of_kind
                .filter(|record| {
                    matches!(
                        record.judge(&self.required, &self.evidence).verdict,
                        Verdict::Absent
                    )
                })
                .take(1)
        };
        let mut questions: Vec<Question> = absent(RecordKind::Autodiscover)
            .filter(|record| {
                self.evidence
                    .known(&record.name, RecordType::Cname)
                    .is_some_and(|answer| !answer.is_nxdomain())
            })
            .map(|record| Question::new(record.name.clone(), RecordType::A))
            .collect();
        if self.something_is_doubled() {
            let kinds = [
                RecordKind::Ownership,
                RecordKind::Dkim,
                RecordKind::Dmarc,
                RecordKind::Autodiscover,
                RecordKind::Spf,
            ];
            questions.extend(kinds.into_iter().flat_map(absent).filter_map(|record| {
                Some(Question::new(
                    record.doubled_name(&apex)?,
                    record.record_type(),
                ))
            }));
        }
        let kinds = [RecordKind::Ownership, RecordKind::Dkim, RecordKind::Dmarc];
        questions.extend(kinds.into_iter().flat_map(absent).filter_map(|record| {
            Some(Question::new(
                record.name_without_underscore()?,
                record.record_type(),
            ))
        }));
        questions.truncate(MAX_QUESTIONS.saturating_sub(self.first_round.len()).max(3));
        questions
    }

    fn something_is_doubled(&self) -> bool {
        let apex = self.required.apex();
        let answer = doubled(&apex).and_then(|name| self.evidence.known(&name, RecordType::Mx));
        answer.is_some_and(|answer| !answer.is_nxdomain())
    }

    /// Where the provider has been seen to double the domain, it did so for what was not looked for too.
    fn infer_doubled(&self, records: &mut [(RequiredRecord, Judgement)]) {
        let is_doubled = |mistake: &Mistake| matches!(mistake, Mistake::DoubledDomain { .. });
        if !records
            .iter()
            .any(|(_, judgement)| judgement.mistakes.iter().any(is_doubled))
        {
            return;
        }
        let apex = self.required.apex();
        for (record, judgement) in records {
            let Some(at) = record.doubled_name(&apex) else {
                continue;
            };
            let is_open =
                matches!(judgement.verdict, Verdict::Absent) && judgement.mistakes.is_empty();
            if is_open && self.evidence.get(&at, record.record_type()).is_none() {
                judgement.mistakes.push(Mistake::DoubledDomain { at });
            }
        }
    }
}

impl Findings {
    /// The domain.
    #[must_use]
    pub const fn domain(&self) -> &DomainName {
        &self.domain
    }
}

impl DomainState {
    /// The state of one record.
    #[must_use]
    pub fn record(&self, record: &RequiredRecord) -> Option<&RecordState> {
        let entry = self
            .records
            .iter()
            .find(|(kind, name, _)| *kind == record.kind && *name == record.name);
        entry.map(|(_, _, state)| state)
    }

    /// The states after a check at `now`. Records that the check does not know are forgotten; new ones
    /// begin as of `now`.
    #[must_use]
    pub fn advance(&self, findings: &Findings, now: Timestamp) -> Self {
        let step = |(record, judgement): &(RequiredRecord, Judgement)| {
            let state = self
                .record(record)
                .copied()
                .unwrap_or_else(|| RecordState::new(record.kind, now));
            (
                record.kind,
                record.name.clone(),
                state.advance(record.kind, &judgement.verdict, now),
            )
        };
        Self {
            records: findings.records.iter().map(step).collect(),
        }
    }

    /// Whether ownership of the domain has been proved, so that mail for it may be taken (DOM-7).
    #[must_use]
    pub fn is_owned(&self, now: Timestamp) -> bool {
        self.records
            .iter()
            .any(|(kind, _, state)| *kind == RecordKind::Ownership && state.is_in_force(now))
    }
}

fn the_spf_record(answer: &Answer) -> Option<Spf> {
    let mut records = answer
        .texts()
        .map(|txt| txt.text())
        .filter(|text| Spf::is_spf(text));
    let record = records.next()?;
    records.next().is_none().then(|| record.parse().ok())?
}

/// `example.com.example.com`.
fn doubled(apex: &DnsName) -> Option<DnsName> {
    apex.child(apex.as_str()).ok()
}
