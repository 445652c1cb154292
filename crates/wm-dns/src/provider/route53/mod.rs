//! Amazon Route 53, over any [`HttpClient`]. Feature `route53`.
//!
//! Route 53 changes sets of records (all those of one name and type) and not records. A set that is not
//! there is created. To a set that is there a record is added by one batch, which is done entirely or
//! not at all, that deletes the set exactly as it was seen and creates it again with its own records and
//! the new ones: Route 53 refuses the batch when the set is another one by then. (Its `UPSERT` would
//! overwrite what somebody added in the meantime.) The set's TTL stays.

mod sign;
mod value;
mod xml;

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Request, StatusCode, Uri};
use wm_core::traits::{Clock, DnsName, Record, RecordType};

use super::{DnsProvider, ProviderError};
use crate::http::HttpClient;
use sign::Scope;
use xml::{Action, Page, Set};

pub use sign::Credentials;

/// A hosted zone.
pub struct Route53 {
    client: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    credentials: Credentials,
    endpoint: String,
    zone: String,
}

/// Why there is no [`Route53`] of a zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Route53Error {
    /// Ids are up to 32 letters and digits.
    #[error("{0:?} is not the id of a hosted zone")]
    ZoneId(String),
    /// The endpoint is not `http` or `https` with a host, or has a path.
    #[error("{0:?} is not an endpoint")]
    Endpoint(String),
}

/// Where the service is.
const ENDPOINT: &str = "https://route53.amazonaws.com";

/// The service is one for all regions and signs as this one.
const SCOPE: Scope<'_> = Scope {
    region: "us-east-1",
    service: "route53",
};

/// Sets on a page, at most as many as the service gives.
const PAGE: usize = 300;

/// Pages read: a hosted zone has 10,000 sets unless its owner asked for more.
const MAX_PAGES: usize = 100;

/// Octets of a page: a set has at most 32,000 characters, few have more than a hundred.
const MAX_BODY: usize = 16 << 20;

impl Route53 {
    /// The hosted zone with this id, such as `Z0123456789ABCDEFGHIJ`.
    ///
    /// # Errors
    /// When that is no id.
    pub fn new(
        client: Arc<dyn HttpClient>,
        clock: Arc<dyn Clock>,
        credentials: Credentials,
        zone: &str,
    ) -> Result<Self, Route53Error> {
        let id = zone.strip_prefix("/hostedzone/").unwrap_or(zone);
        let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_id {
            return Err(Route53Error::ZoneId(zone.to_owned()));
        }
        Ok(Self {
            client,
            clock,
            credentials,
            endpoint: ENDPOINT.to_owned(),
            zone: id.to_owned(),
        })
    }

    /// The same at another endpoint, such as a stand-in for tests: `http://127.0.0.1:5000`.
    ///
    /// # Errors
    /// When that is no endpoint.
    pub fn at(mut self, endpoint: &str) -> Result<Self, Route53Error> {
        let uri: Option<Uri> = endpoint.parse().ok();
        let is_endpoint = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some()
                && matches!(uri.path(), "" | "/")
                && uri.query().is_none()
        });
        if !is_endpoint {
            return Err(Route53Error::Endpoint(endpoint.to_owned()));
        }
        self.endpoint = endpoint.trim_end_matches('/').to_owned();
        Ok(self)
    }

    /// The sets at a name and below it. Names are listed by their labels from right to left, so that
    /// these follow each other.
    async fn sets_below(&self, top: &DnsName) -> Result<Vec<xml::ListedSet>, ProviderError> {
        let mut found = Vec::new();
        let mut query = format!("name={}", in_query(&value::name_text(top)));
        for _ in 0..MAX_PAGES {
            let target = format!(
                "/2013-04-01/hostedzone/{}/rrset?maxitems={PAGE}&{query}",
                self.zone
            );
            let body = self.send(Method::GET, &target, String::new()).await?;
            let Page { sets, next } = xml::page(&body).map_err(unusable)?;
            for set in sets {
                let name = value::name(&set.set.name)
                    .ok_or_else(|| unusable(format!("the name {:?}", set.set.name)))?;
                if name != *top && !name.is_below(top) {
                    return Ok(found);
                }
                found.push(set);
            }
            let Some((name, record_type, identifier)) = next else {
                return Ok(found);
            };
            query = format!("name={}&type={}", in_query(&name), in_query(&record_type));
            if let Some(identifier) = identifier {
                query.push_str(&format!("&identifier={}", in_query(&identifier)));
            }
        }
        Err(unusable("the listing does not end".into()))
    }

    /// Sends a request; the body of the answer, when that says that it was done.
    async fn send(
        &self,
        method: Method,
        target: &str,
        body: String,
    ) -> Result<String, ProviderError> {
        let unsendable = |error: &dyn std::fmt::Display| ProviderError::Refused(error.to_string());
        let uri: Uri = format!("{}{target}", self.endpoint)
            .parse()
            .map_err(|error| unsendable(&error))?;
        let host = uri.authority().map_or("", |it| it.as_str()).to_owned();
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", host);
        if !body.is_empty() {
            request = request.header("content-type", "application/xml");
        }
        let mut request = request
            .body(body.into_bytes())
            .map_err(|error| unsendable(&error))?;
        sign::sign(&mut request, &self.credentials, SCOPE, self.clock.now())
            .map_err(|error| unsendable(&error))?;
        let answer = self
            .client
            .send(request, MAX_BODY)
            .await
            .map_err(|error| ProviderError::Unreachable(error.to_string()))?;
        let status = answer.status();
        let body = String::from_utf8(answer.into_body())
            .map_err(|_| unusable("it is not UTF-8".into()))?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(refusal(status, &body))
    }
}

#[async_trait]
impl DnsProvider for Route53 {
    /// Aliases of Route 53's own kind are left out where they are of a type that stands beside the
    /// required ones; where they are of one that is required, what they stand for is not known, and
    /// neither is it of sets with a routing policy.
    async fn records(&self, names: &[DnsName]) -> Result<Vec<Record>, ProviderError> {
        let Some(top) = common(names) else {
            return Ok(Vec::new());
        };
        let mut records = Vec::new();
        for listed in self.sets_below(&top).await? {
            let set = listed.set;
            let name = value::name(&set.name).filter(|name| names.contains(name));
            let (Some(name), Some(record_type)) = (name, record_type(&set.record_type)) else {
                continue;
            };
            if listed.is_special {
                if matches!(record_type, RecordType::A | RecordType::Aaaa) {
                    continue;
                }
                return Err(ProviderError::Refused(format!(
                    "the {record_type} records of {name} are an alias or have a routing policy: \
                     what they say is not known"
                )));
            }
            for text in &set.values {
                let record = value::record(&name, record_type, set.ttl, text)
                    .ok_or_else(|| unusable(format!("{name} {record_type} {text:?}")))?;
                records.push(record);
            }
        }
        Ok(records)
    }

    async fn add(&self, records: &[Record], seen: &[Record]) -> Result<(), ProviderError> {
        let changes = changes(records, seen)?;
        let target = format!("/2013-04-01/hostedzone/{}/rrset/", self.zone);
        let body = xml::change_request(&changes);
        let answer = self.send(Method::POST, &target, body).await?;
        if xml::is_change_info(&answer) {
            Ok(())
        } else {
            Err(unusable("it does not say that the change was made".into()))
        }
    }
}

/// The batch that adds records to sets as they were seen.
fn changes(records: &[Record], seen: &[Record]) -> Result<Vec<(Action, Set)>, ProviderError> {
    let mut sets: Vec<(&DnsName, RecordType)> = Vec::new();
    for record in records {
        let set = (&record.name, record.data.record_type());
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    let mut changes = Vec::new();
    for (name, record_type) in sets {
        let of_set =
            |record: &&Record| record.name == *name && record.data.record_type() == record_type;
        let present: Vec<&Record> = seen.iter().filter(of_set).collect();
        let new: Vec<&Record> = records.iter().filter(of_set).collect();
        let ttl = present.iter().chain(&new).next().map_or(0, |it| it.ttl);
        let set = |records: &[&Record]| -> Result<Set, ProviderError> {
            let values = records.iter().map(|it| {
                value::value_text(&it.data).ok_or_else(|| {
                    ProviderError::Refused(format!("records of type {record_type} cannot be added"))
                })
            });
            Ok(Set {
                name: value::name_text(name),
                record_type: record_type.to_string(),
                ttl,
                values: values.collect::<Result<_, _>>()?,
            })
        };
        if !present.is_empty() {
            changes.push((Action::Delete, set(&present)?));
        }
        let all: Vec<&Record> = present.iter().chain(&new).copied().collect();
        changes.push((Action::Create, set(&all)?));
    }
    Ok(changes)
}

/// The deepest name that is above all of these, or one of them.
fn common(names: &[DnsName]) -> Option<DnsName> {
    let mut top = names.first()?.clone();
    while !names.iter().all(|name| *name == top || name.is_below(&top)) {
        top = top.parent()?;
    }
    Some(top)
}

fn record_type(text: &str) -> Option<RecordType> {
    Some(match text {
        "A" => RecordType::A,
        "AAAA" => RecordType::Aaaa,
        "CNAME" => RecordType::Cname,
        "MX" => RecordType::Mx,
        "SRV" => RecordType::Srv,
        "TLSA" => RecordType::Tlsa,
        "TXT" => RecordType::Txt,
        _ => return None,
    })
}

/// A parameter of a query (RFC 3986 §2.3).
fn in_query(text: &str) -> String {
    let mut escaped = String::new();
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(octet));
            }
            _ => escaped.push_str(&format!("%{octet:02X}")),
        }
    }
    escaped
}

fn unusable(what: String) -> ProviderError {
    ProviderError::Refused(format!("unusable answer: {what}"))
}

/// What an answer other than 200 says.
fn refusal(status: StatusCode, body: &str) -> ProviderError {
    let Some(fault) = xml::fault(body) else {
        let text = format!("HTTP status {status}");
        return match status {
            status if status.is_server_error() => ProviderError::Unreachable(text),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProviderError::Denied(text),
            _ => ProviderError::Refused(text),
        };
    };
    // Texts of the service are for people; nothing in them is to command a terminal.
    let message: String = fault
        .message
        .chars()
        .filter(|character| !character.is_control())
        .take(1_000)
        .collect();
    let text = format!("{}: {message}", fault.code);
    // A batch is refused for several reasons with one code; its words tell them apart.
    let is_overtaken = [
        "but it already exists",
        "but it was not found",
        "do not match the current values",
    ];
    let is_overtaken = is_overtaken.iter().any(|words| message.contains(words));
    match fault.code.as_str() {
        "InvalidChangeBatch" if is_overtaken => ProviderError::Changed(text),
        "Throttling" | "PriorRequestNotComplete" | "ServiceUnavailable" => {
            ProviderError::Unreachable(text)
        }
        _ if status.is_server_error() => ProviderError::Unreachable(text),
        _ if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            ProviderError::Denied(text)
        }
        _ => ProviderError::Refused(text),
    }
}
