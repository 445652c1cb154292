use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wm_core::traits::{Answer, DnsName, IdSource, LookupError, RecordType, Resolver};

use super::answer::{Reading, Trail};
use super::message::{PAYLOAD, Query, Response};
use super::wire::{Wire, WireError};

/// Leaves the work to recursive name servers (RFC 1034 §5.3.1).
///
/// It asks over UDP with EDNS, again over a stream when the answer was cut, again without EDNS when
/// the server does not know that, and the servers in turn until one answers.
pub struct Stub<W> {
    wire: W,
    ids: Arc<dyn IdSource>,
    options: StubOptions,
}

/// What a [`Stub`] asks whom, and how long it waits.
#[derive(Debug, Clone)]
pub struct StubOptions {
    /// The servers, in the order in which they are tried; without any, every lookup fails.
    pub servers: Vec<SocketAddr>,
    /// How long to wait for one answer; 2 seconds by default.
    pub timeout: Duration,
    /// How often each server is asked; twice by default.
    pub attempts: u32,
    /// Whether names are sent in mixed case, which a forger would have to guess; yes by default. The
    /// last attempt is in lower case, for servers that do not repeat a question as it was asked.
    pub mixed_case: bool,
}

impl StubOptions {
    /// The defaults, with these servers.
    #[must_use]
    pub const fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            timeout: Duration::from_secs(2),
            attempts: 2,
            mixed_case: true,
        }
    }
}

impl<W: Wire> Stub<W> {
    /// A stub.
    #[must_use]
    pub const fn new(wire: W, ids: Arc<dyn IdSource>, options: StubOptions) -> Self {
        Self { wire, ids, options }
    }

    /// Asks servers in turn until one of them answers with RCODE 0 or 3 and knows
    /// something.
    pub(super) async fn ask(
        &self,
        servers: &[SocketAddr],
        name: &DnsName,
        record_type: RecordType,
        recursion: bool,
    ) -> Result<Response, LookupError> {
        let is_lame = |response: &Response| {
            response.answers.is_empty()
                && response.referral.is_empty()
                && !response.may_deny(recursion)
        };
        let mut failure = LookupError::NoServers(name.clone());
        for attempt in 1..=self.options.attempts {
            let mixed_case =
                self.options.mixed_case && (attempt < self.options.attempts || attempt == 1);
            for server in servers {
                let query = Query::new(name, record_type, self.ids.fresh(), recursion, mixed_case);
                match self.exchange(*server, &query).await {
                    Ok(response) if matches!(response.code, 0 | 3) && !is_lame(&response) => {
                        return Ok(response);
                    }
                    Ok(response) if matches!(response.code, 0 | 3) => {
                        failure = LookupError::Lame(name.clone())
                    }
                    Ok(response) if response.code == 2 => failure = LookupError::ServerFailure,
                    Ok(response) => failure = LookupError::Refused(response.code),
                    Err(error) => failure = error,
                }
            }
        }
        Err(failure)
    }

    async fn exchange(&self, server: SocketAddr, query: &Query) -> Result<Response, LookupError> {
        /// RCODEs of a server that does not know EDNS (RFC 6891 §7): FORMERR, NOTIMP; and BADVERS.
        const WITHOUT_EDNS: [u16; 3] = [1, 4, 16];
        let response = self.exchange_once(server, query, true).await;
        match response {
            Ok(response) if !WITHOUT_EDNS.contains(&response.code) => Ok(response),
            // A plain server may also stumble over the OPT record when it writes its answer.
            Ok(_) | Err(LookupError::Malformed(_)) => {
                self.exchange_once(server, query, false).await
            }
            Err(error) => Err(error),
        }
    }

    async fn exchange_once(
        &self,
        server: SocketAddr,
        query: &Query,
        edns: bool,
    ) -> Result<Response, LookupError> {
        let request = query.encode(edns);
        let accept = |datagram: &[u8]| {
            datagram.len() <= usize::from(PAYLOAD) && query.is_answered_by(datagram)
        };
        let datagram = self
            .wire
            .datagram(server, &request, self.options.timeout, &accept)
            .await?;
        // What was cut may be cut in the middle of a record.
        if !is_truncated(&datagram) {
            return Ok(query.decode(&datagram)?);
        }
        let message = self
            .wire
            .stream(server, &request, self.options.timeout)
            .await?;
        let response = query.decode(&message)?;
        if response.truncated {
            // What is missing could be what is looked for.
            return Err(LookupError::Malformed(
                "the records do not fit in a message".into(),
            ));
        }
        Ok(response)
    }
}

#[async_trait]
impl<W: Wire> Resolver for Stub<W> {
    async fn lookup(&self, name: &DnsName, record_type: RecordType) -> Result<Answer, LookupError> {
        let mut trail = Trail::new(name.clone());
        loop {
            let response = self
                .ask(&self.options.servers, trail.end(), record_type, true)
                .await?;
            match trail.read(record_type, &response, true)? {
                Reading::Answer(answer) => return Ok(answer),
                Reading::Elsewhere(next) => trail = next,
                // A server that does not recurse is of no help with other zones' names.
                Reading::Referral { trail, .. } => {
                    return Err(LookupError::Lame(trail.end().clone()));
                }
                Reading::Lame => return Err(LookupError::Lame(name.clone())),
            }
        }
    }
}

/// The TC flag (RFC 1035 §4.1.1).
fn is_truncated(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

impl From<WireError> for LookupError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Timeout => Self::Timeout,
            WireError::Io(error) => Self::Unreachable(Arc::new(error)),
        }
    }
}
