use wm_core::traits::{Answer, DnsName, LookupError, RecordData, RecordType, Txt};

use super::{Evidence, RecordStatus};
use crate::dmarc::Dmarc;
use crate::mistake::{self, Mistake};
use crate::records::{RecordKind, RequiredRecord, RequiredRecords, value_text};
use crate::spf::{Expansion, Spf, SpfFault, SpfJudgement};

/// What the answers say of one required record.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Whether it is there and right.
    pub verdict: Verdict,
    /// The values found in its place, at most twenty, each at most 300 characters.
    pub found: Vec<String>,
    /// What is wrong, as far as it is recognised. A right record may have some too: a foreign MX that
    /// is only a fallback.
    pub mistakes: Vec<Mistake>,
}

/// Whether a record is there and right.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It is.
    Right,
    /// There is none.
    Absent,
    /// There is one with another value or meaning.
    Wrong,
    /// It could not be found out (DOM-3a).
    Unknown(LookupError),
}

impl Verdict {
    const fn is_right(&self) -> bool {
        matches!(self, Self::Right)
    }
}

impl RequiredRecord {
    /// Judges this record by the answers.
    #[must_use]
    pub fn judge(&self, required: &RequiredRecords, evidence: &Evidence) -> Judgement {
        let subject = Subject {
            record: self,
            required,
            evidence,
            apex: required.apex(),
        };
        let mut judgement = match &self.data {
            RecordData::Txt(text) => subject.judge_text(&text.text()),
            RecordData::Cname(target) => subject.judge_alias(target),
            RecordData::Mx {
                preference: _,
                exchange,
            } => subject.judge_mx(exchange),
            _ => subject.judge_exactly(),
        };
        if matches!(judgement.verdict, Verdict::Absent) {
            judgement.mistakes.extend(subject.misplaced());
        }
        judgement
    }

    /// The name this record gets from a provider that appends the domain to a name that holds it.
    pub(crate) fn doubled_name(&self, apex: &DnsName) -> Option<DnsName> {
        apex.child(self.name.as_str()).ok()
    }

    /// The name without its underscores, where it has some.
    pub(crate) fn name_without_underscore(&self) -> Option<DnsName> {
        let bare = self.name.as_str().replace("._", ".");
        bare.trim_start_matches('_')
            .parse()
            .ok()
            .filter(|name| *name != self.name)
    }
}

impl Judgement {
    /// What to do, in a sentence or two; `None` when there is nothing to do.
    #[must_use]
    pub fn hint(&self, record: &RequiredRecord, status: Option<RecordStatus>) -> Option<String> {
        let (name, value, kind) = (&record.name, record.value(), record.record_type());
        let mut sentences: Vec<String> = self
            .mistakes
            .iter()
            .map(|mistake| capitalised(&format!("{mistake}. {}", mistake.fix(record))))
            .collect();
        match &self.verdict {
            Verdict::Right => {}
            Verdict::Unknown(error) => {
                sentences.push(format!(
                    "Could not check: {error}. The last known status is kept; try again later."
                ));
            }
            _ if !sentences.is_empty() => {}
            Verdict::Absent => sentences.push(format!(
                "Add a {kind} record at {name} with the value: {value}"
            )),
            Verdict::Wrong => {
                sentences.push(format!("Change the {kind} record at {name} to: {value}"))
            }
        }
        if !self.verdict.is_right() && status == Some(RecordStatus::Pending) {
            sentences.push("Changes to the DNS can take up to 72 hours to be seen.".into());
        }
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }

    fn unknown(error: LookupError) -> Self {
        Self {
            verdict: Verdict::Unknown(error),
            found: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    fn absent() -> Self {
        Self {
            verdict: Verdict::Absent,
            found: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    fn right(found: Vec<String>) -> Self {
        Self {
            verdict: Verdict::Right,
            found,
            mistakes: Vec::new(),
        }
    }

    fn wrong(found: Vec<String>, mistakes: impl IntoIterator<Item = Mistake>) -> Self {
        Self {
            verdict: Verdict::Wrong,
            found,
            mistakes: mistakes.into_iter().collect(),
        }
    }
}

/// A record under judgement.
struct Subject<'a> {
    record: &'a RequiredRecord,
    required: &'a RequiredRecords,
    evidence: &'a Evidence,
    apex: DnsName,
}

impl Subject<'_> {
    fn answer(&self) -> Result<&Answer, LookupError> {
        self.evidence
            .require(&self.record.name, self.record.record_type())
    }

    fn judge_text(&self, value: &str) -> Judgement {
        match self.record.kind {
            RecordKind::Ownership => self.judge_ownership(value),
            RecordKind::Spf => self.judge_spf(value),
            RecordKind::Dmarc => {
                self.judge_single(Dmarc::is_dmarc, |text| dmarc_mistake(value, text))
            }
            RecordKind::MtaSts => self.judge_single(
                |text| tags(text).is_some_and(|tags| has_tag(&tags, "v", "STSv1")),
                |text| (!includes_tags(text, value)).then_some(Mistake::WrongKey),
            ),
            RecordKind::TlsRpt => self.judge_single(
                |text| tags(text).is_some_and(|tags| has_tag(&tags, "v", "TLSRPTv1")),
                |text| (!includes_tags(text, value)).then_some(Mistake::WrongKey),
            ),
            _ => self.judge_single(
                |_| true,
                |text| (!is_key(text, value)).then_some(Mistake::WrongKey),
            ),
        }
    }

    /// A token that may stand among others, also at the domain itself, there also behind the label
    /// and a colon.
    fn judge_ownership(&self, token: &str) -> Judgement {
        let label = self.record.name.labels().next().unwrap_or_default();
        let prefixed = format!(
            "{}:{token}",
            String::from_utf8_lossy(&label).trim_start_matches('_')
        );
        let at_apex = |text: &str| {
            text == token || text.eq_ignore_ascii_case(&prefixed) && text.ends_with(token)
        };
        let texts = self.evidence.texts(&self.record.name);
        let found = shown(texts.iter().copied());
        if texts.iter().any(|txt| txt.text() == token) {
            return Judgement::right(found);
        }
        if let Some(txt) = self
            .evidence
            .texts(&self.apex)
            .into_iter()
            .find(|txt| at_apex(&txt.text()))
        {
            return Judgement::right(shown([txt]));
        }
        if let Err(error) = self
            .answer()
            .and(self.evidence.require(&self.apex, RecordType::Txt))
        {
            return Judgement::unknown(error);
        }
        if texts.is_empty() {
            return Judgement::absent();
        }
        Judgement::wrong(found, mistake::in_texts(&texts, |text| text == token))
    }

    /// A text that must be the only one of its sort.
    fn judge_single(
        &self,
        is_claim: impl Fn(&str) -> bool,
        fault: impl Fn(&str) -> Option<Mistake>,
    ) -> Judgement {
        let texts: Vec<&Txt> = match self.answer() {
            Err(error) => return Judgement::unknown(error),
            Ok(answer) => answer.texts().collect(),
        };
        let is_right = |text: &str| is_claim(text) && fault(text).is_none();
        let claims: Vec<&Txt> = texts
            .iter()
            .copied()
            .filter(|txt| is_claim(&txt.text()))
            .collect();
        let found = shown(claims.iter().copied());
        match claims.as_slice() {
            [] => match mistake::in_texts(&texts, is_right) {
                Some(mistake) => Judgement::wrong(shown(texts), [mistake]),
                None => Judgement::absent(),
            },
            [one] => match fault(&one.text()) {
                None => Judgement::right(found),
                Some(fault) => Judgement::wrong(
                    found,
                    [mistake::in_texts(&texts, is_right).unwrap_or(fault)],
                ),
            },
            many => Judgement::wrong(found, [Mistake::SeveralRecords { count: many.len() }]),
        }
    }

    fn judge_spf(&self, value: &str) -> Judgement {
        // What is required is made from settings and well-formed.
        let Ok(required) = value.parse::<Spf>() else {
            return Judgement::absent();
        };
        let judge = |expansion: &Expansion| expansion.judge(&required, &self.exchangers());
        let plain = |text: &str| match text.parse() {
            Err(error) => SpfJudgement::Denies(vec![SpfFault::Syntax(error)]),
            Ok(record) => judge(&Expansion::new(self.apex.clone(), record)),
        };
        if let Some(target) = self
            .answer()
            .ok()
            .and_then(|answer| answer.aliases().first())
        {
            let found = shown(
                self.evidence
                    .texts(&self.apex)
                    .into_iter()
                    .filter(|txt| Spf::is_spf(&txt.text())),
            );
            return Judgement::wrong(
                found,
                [Mistake::CnameAtApex {
                    target: target.clone(),
                }],
            );
        }
        let judgement = self.judge_single(Spf::is_spf, |text| match plain(text) {
            SpfJudgement::Grants | SpfJudgement::Unknown(_) => None,
            SpfJudgement::Denies(faults) => faults.into_iter().next().map(Mistake::Spf),
        });
        // One well-formed record: its includes decide.
        match self
            .evidence
            .spf
            .as_ref()
            .filter(|_| judgement.found.len() == 1)
            .map(judge)
        {
            Some(SpfJudgement::Grants) => Judgement::right(judgement.found),
            Some(SpfJudgement::Unknown(error)) => Judgement {
                found: judgement.found,
                ..Judgement::unknown(error)
            },
            Some(SpfJudgement::Denies(faults)) => {
                let recognised = judgement
                    .mistakes
                    .into_iter()
                    .filter(|mistake| !matches!(mistake, Mistake::Spf(_)));
                let mut mistakes: Vec<Mistake> = recognised.collect();
                if mistakes.is_empty() {
                    mistakes.extend(faults.into_iter().map(Mistake::Spf));
                }
                Judgement::wrong(judgement.found, mistakes)
            }
            None => judgement,
        }
    }

    fn exchangers(&self) -> Vec<DnsName> {
        let hosts = self
            .required
            .iter()
            .filter_map(|record| match &record.data {
                RecordData::Mx { exchange, .. } => Some(exchange.clone()),
                _ => None,
            });
        hosts.collect()
    }

    fn judge_alias(&self, target: &DnsName) -> Judgement {
        let name = &self.record.name;
        let answer = match self.answer() {
            Err(error) => return Judgement::unknown(error),
            Ok(answer) => answer,
        };
        let found: Vec<String> = answer.names().map(|name| shorten(name.as_str())).collect();
        match answer.names().next() {
            Some(found_target) if found_target == target => Judgement::right(found),
            Some(other) => Judgement::wrong(found, [mistake::in_target(other, target, &self.apex)]),
            None => {
                let addresses = self
                    .evidence
                    .known(name, RecordType::A)
                    .into_iter()
                    .flat_map(Answer::addresses);
                let found: Vec<String> = addresses
                    .take(SHOWN)
                    .map(|address| address.to_string())
                    .collect();
                if found.is_empty() {
                    Judgement::absent()
                } else {
                    Judgement::wrong(found, [Mistake::NotAnAlias])
                }
            }
        }
    }

    fn judge_mx(&self, host: &DnsName) -> Judgement {
        let answer = match self.answer() {
            Err(error) => return Judgement::unknown(error),
            Ok(answer) => answer,
        };
        let exchanges = answer.exchanges();
        let found: Vec<String> = exchanges
            .iter()
            .take(SHOWN)
            .map(|(preference, host)| shorten(&format!("{preference} {host}")))
            .collect();
        if let Some(target) = answer.aliases().first() {
            return Judgement::wrong(
                found,
                [Mistake::CnameAtApex {
                    target: target.clone(),
                }],
            );
        }
        let Some(best) = exchanges.iter().map(|(preference, _)| *preference).min() else {
            return Judgement::absent();
        };
        let ours = exchanges
            .iter()
            .find(|(_, exchange)| *exchange == host)
            .map(|(preference, _)| *preference);
        let foreign = exchanges
            .iter()
            .filter(|(_, exchange)| *exchange != host)
            .take(SHOWN);
        let mistakes: Vec<Mistake> = foreign
            .map(|(preference, exchange)| {
                if exchange.is_root() {
                    return Mistake::NullMx;
                }
                match mistake::in_target(exchange, host, &self.apex) {
                    Mistake::WrongHost { found } => Mistake::ForeignMx {
                        host: found,
                        first: ours.is_none_or(|ours| *preference <= ours),
                    },
                    mistake => mistake,
                }
            })
            .collect();
        let is_first = ours == Some(best)
            && exchanges
                .iter()
                .all(|(preference, exchange)| *exchange == host || Some(*preference) > ours);
        let verdict = if is_first {
            Verdict::Right
        } else {
            Verdict::Wrong
        };
        Judgement {
            verdict,
            found,
            mistakes,
        }
    }

    /// A record that has to be among those found.
    fn judge_exactly(&self) -> Judgement {
        let answer = match self.answer() {
            Err(error) => return Judgement::unknown(error),
            Ok(answer) => answer,
        };
        let records = answer.records();
        let found = records
            .iter()
            .take(SHOWN)
            .map(|record| shorten(&value_text(&record.data)))
            .collect();
        let is_right = |data: &RecordData| match (data, &self.record.data) {
            (
                RecordData::Srv { port, target, .. },
                RecordData::Srv {
                    port: required_port,
                    target: required_target,
                    ..
                },
            ) => port == required_port && target == required_target,
            (data, required) => data == required,
        };
        match records {
            [] => Judgement::absent(),
            records if records.iter().any(|record| is_right(&record.data)) => {
                Judgement::right(found)
            }
            records => {
                let targets =
                    records
                        .iter()
                        .filter_map(|record| match (&record.data, &self.record.data) {
                            (
                                RecordData::Srv { target, .. },
                                RecordData::Srv {
                                    target: required, ..
                                },
                            ) if target != required => {
                                Some(mistake::in_target(target, required, &self.apex))
                            }
                            _ => None,
                        });
                Judgement::wrong(found, targets.take(1))
            }
        }
    }

    /// The name at which the record is instead of its own.
    fn misplaced(&self) -> Option<Mistake> {
        let is_at = |name: &DnsName| {
            let elsewhere = RequiredRecord {
                name: name.clone(),
                ..self.record.clone()
            };
            // At another name the token's other place, the domain, does not count.
            let subject = Subject {
                record: &elsewhere,
                apex: name.clone(),
                ..*self
            };
            match &elsewhere.data {
                RecordData::Txt(txt) if elsewhere.kind == RecordKind::Ownership => self
                    .evidence
                    .texts(name)
                    .iter()
                    .any(|found| found.text() == txt.text()),
                RecordData::Txt(txt) if elsewhere.kind == RecordKind::Spf => self
                    .evidence
                    .texts(name)
                    .iter()
                    .any(|found| found.text() == txt.text() || Spf::is_spf(&found.text())),
                RecordData::Txt(txt) => subject.judge_text(&txt.text()).verdict.is_right(),
                RecordData::Cname(target) => subject.judge_alias(target).verdict.is_right(),
                RecordData::Mx { exchange, .. } => subject.judge_mx(exchange).verdict.is_right(),
                _ => false,
            }
        };
        if let Some(at) = self.record.doubled_name(&self.apex).filter(is_at) {
            return Some(Mistake::DoubledDomain { at });
        }
        if let Some(at) = self.record.name_without_underscore().filter(is_at) {
            return Some(Mistake::MissingUnderscore { at });
        }
        let at_apex = self.record.kind == RecordKind::Dmarc && is_at(&self.apex);
        at_apex.then(|| Mistake::WrongName {
            at: self.apex.clone(),
        })
    }
}

fn dmarc_mistake(required: &str, found: &str) -> Option<Mistake> {
    match (found.parse::<Dmarc>(), required.parse::<Dmarc>()) {
        (Err(error), _) => Some(Mistake::Dmarc(error)),
        (Ok(found), Ok(required)) if !found.is_as_strict_as(&required) => Some(Mistake::LaxDmarc),
        _ => None,
    }
}

/// `name=value` pairs between semicolons, white space around them ignored (RFC 6376 §3.2).
fn tags(text: &str) -> Option<Vec<(&str, String)>> {
    let parts = text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| {
            part.split_once('=')
                .map(|(name, value)| (name.trim(), value.split_whitespace().collect()))
        })
        .collect()
}

fn has_tag(tags: &[(&str, String)], name: &str, value: &str) -> bool {
    tags.iter()
        .any(|(tag, found)| *tag == name && found == value)
}

/// Whether a record has every tag of the required one; of a list of addresses, all of those.
fn includes_tags(text: &str, required: &str) -> bool {
    let (Some(found), Some(required)) = (tags(text), tags(required)) else {
        return false;
    };
    required.iter().all(|(name, value)| {
        found.iter().any(|(tag, found)| {
            tag == name && (found == value || found.split(',').any(|part| part == value))
        })
    })
}

/// Whether a DKIM key record holds the required key (RFC 6376 §3.6.1): `v` may be absent, `k` is
/// `rsa` when absent.
fn is_key(text: &str, required: &str) -> bool {
    let (Some(found), Some(required)) = (tags(text), tags(required)) else {
        return false;
    };
    required.iter().all(
        |(name, value)| match (found.iter().find(|(tag, _)| tag == name), *name) {
            (Some((_, found)), _) => found == value,
            (None, "v") => true,
            (None, "k") => value == "rsa",
            (None, _) => false,
        },
    )
}

/// The number of values that a judgement shows.
const SHOWN: usize = 20;

fn shown<'a>(texts: impl IntoIterator<Item = &'a Txt>) -> Vec<String> {
    texts
        .into_iter()
        .take(SHOWN)
        .map(|txt| shorten(&txt.text()))
        .collect()
}

/// Fit to be shown: cut, and without characters that would command a terminal.
fn shorten(text: &str) -> String {
    let mut chars = text.chars().map(|c| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    });
    let mut short: String = chars.by_ref().take(300).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
