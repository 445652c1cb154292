use std::collections::BTreeMap;

use wm_core::traits::{Answer, DnsName, LookupError, RecordType, Txt};

use crate::spf::Expansion;

/// A question to the DNS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The name.
    pub name: DnsName,
    /// The type of record.
    pub record_type: RecordType,
}

impl Question {
    /// A question.
    #[must_use]
    pub const fn new(name: DnsName, record_type: RecordType) -> Self {
        Self { name, record_type }
    }
}

/// The answers that a verification rests on.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    answers: BTreeMap<Question, Result<Answer, LookupError>>,
    /// The domain's SPF record with its includes; without it, includes count as well-formed.
    pub(crate) spf: Option<Expansion>,
}

impl Evidence {
    /// Adds an answer.
    pub fn insert(&mut self, question: Question, answer: Result<Answer, LookupError>) {
        self.answers.insert(question, answer);
    }

    /// The answer to a question, if it was asked.
    #[must_use]
    pub fn get(
        &self,
        name: &DnsName,
        record_type: RecordType,
    ) -> Option<&Result<Answer, LookupError>> {
        self.answers.get(&Question::new(name.clone(), record_type))
    }

    pub(crate) fn contains(&self, question: &Question) -> bool {
        self.answers.contains_key(question)
    }

    pub(crate) fn known(&self, name: &DnsName, record_type: RecordType) -> Option<&Answer> {
        self.get(name, record_type)?.as_ref().ok()
    }

    /// What is known of a question; one that was not asked has had no answer.
    pub(crate) fn require(
        &self,
        name: &DnsName,
        record_type: RecordType,
    ) -> Result<&Answer, LookupError> {
        self.get(name, record_type)
            .map_or(Err(LookupError::Timeout), |answer| {
                answer.as_ref().map_err(Clone::clone)
            })
    }

    pub(crate) fn texts(&self, name: &DnsName) -> Vec<&Txt> {
        self.known(name, RecordType::Txt)
            .map(|answer| answer.texts().collect())
            .unwrap_or_default()
    }
}
