use wm_core::traits::{Answer, DnsName, LookupError, Record, RecordData, RecordType};

use super::message::Response;

/// The aliases that are followed from one name.
const MAX_ALIASES: usize = 10;

/// The way from the name asked for, over aliases.
#[derive(Debug, Clone)]
pub(super) struct Trail {
    start: DnsName,
    aliases: Vec<DnsName>,
}

/// What a response says about the name at the end of a trail.
#[derive(Debug)]
pub(super) enum Reading {
    /// It is the answer.
    Answer(Answer),
    /// The trail has a new end, of which the response says nothing.
    Elsewhere(Trail),
    /// Another zone's servers have to be asked.
    Referral {
        /// What to ask them for.
        trail: Trail,
        /// The servers.
        servers: Vec<DnsName>,
    },
    /// The server knows nothing of the name.
    Lame,
}

impl Trail {
    pub(super) fn new(start: DnsName) -> Self {
        Self {
            start,
            aliases: Vec::new(),
        }
    }

    /// The name to ask for.
    pub(super) fn end(&self) -> &DnsName {
        self.aliases.last().unwrap_or(&self.start)
    }

    /// Reads a response with RCODE 0 or 3 to a question for this trail's end.
    pub(super) fn read(
        mut self,
        record_type: RecordType,
        response: &Response,
        recursive: bool,
    ) -> Result<Reading, LookupError> {
        let asked = self.end().clone();
        if record_type != RecordType::Cname {
            self.follow(&response.answers)?;
        }
        let end = self.end();
        let is_wanted =
            |record: &&Record| record.name == *end && record.data.record_type() == record_type;
        let records: Vec<Record> = response.answers.iter().filter(is_wanted).cloned().collect();
        let moved = *end != asked;
        if !records.is_empty() {
            return Ok(Reading::Answer(Answer::Records {
                aliases: self.aliases,
                records,
            }));
        }
        if moved && !self.is_denied_by(response) {
            return Ok(Reading::Elsewhere(self));
        }
        if let Some(zone) = self.delegation(response) {
            let of_zone = response
                .referral
                .iter()
                .filter(|record| record.name == zone);
            return Ok(Reading::Referral {
                trail: self,
                servers: of_zone.filter_map(ns).collect(),
            });
        }
        if !response.may_deny(recursive) {
            return Ok(Reading::Lame);
        }
        let aliases = self.aliases;
        Ok(Reading::Answer(match response.code {
            3 => Answer::NxDomain { aliases },
            _ => Answer::NoData { aliases },
        }))
    }

    /// This trail, continued by the answer of another resolver to a question for its end.
    pub(super) fn continue_with(mut self, answer: Answer) -> Result<Answer, LookupError> {
        self.aliases.extend_from_slice(answer.aliases());
        if self.aliases.len() > MAX_ALIASES {
            return Err(LookupError::Aliases(self.start));
        }
        let aliases = self.aliases;
        Ok(match answer {
            Answer::Records { records, .. } => Answer::Records { aliases, records },
            Answer::NoData { .. } => Answer::NoData { aliases },
            Answer::NxDomain { .. } => Answer::NxDomain { aliases },
        })
    }

    fn follow(&mut self, answers: &[Record]) -> Result<(), LookupError> {
        loop {
            let target = answers.iter().find_map(|record| match &record.data {
                RecordData::Cname(target) if record.name == *self.end() => Some(target),
                _ => None,
            });
            let Some(target) = target else { return Ok(()) };
            if self.aliases.len() >= MAX_ALIASES
                || *target == self.start
                || self.aliases.contains(target)
            {
                return Err(LookupError::Aliases(self.start.clone()));
            }
            self.aliases.push(target.clone());
        }
    }

    /// Whether the zone that says "no" is one that may speak for the trail's end.
    fn is_denied_by(&self, response: &Response) -> bool {
        response
            .zone
            .as_ref()
            .is_some_and(|zone| self.end() == zone || self.end().is_below(zone))
    }

    /// The zone that a response without answer delegates the trail's end to.
    fn delegation(&self, response: &Response) -> Option<DnsName> {
        if response.may_deny(true) || response.code != 0 || response.zone.is_some() {
            return None;
        }
        let mut zones = response.referral.iter().map(|record| &record.name);
        zones
            .find(|zone| *zone == self.end() || self.end().is_below(zone))
            .cloned()
    }
}

impl Response {
    /// Whether the server's "no" counts: it is one of the zone's own, or asks them for us.
    pub(super) const fn may_deny(&self, recursive: bool) -> bool {
        self.authoritative || (recursive && self.recursion_available)
    }
}

fn ns(record: &Record) -> Option<DnsName> {
    match &record.data {
        RecordData::Ns(name) => Some(name.clone()),
        _ => None,
    }
}
