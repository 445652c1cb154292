use std::net::SocketAddr;

use async_trait::async_trait;
use futures::future::join_all;
use wm_core::traits::{Answer, DnsName, LookupError, RecordType, Resolver};

use super::answer::{Reading, Trail};
use super::stub::Stub;
use super::wire::Wire;

/// Asks a domain's own name servers, which know a change before anybody else (DOM-4). Names outside
/// the domain's zone, such as included SPF records, are left to the stub.
pub struct Authoritative<W> {
    stub: Stub<W>,
    zone: DnsName,
    servers: Vec<SocketAddr>,
    port: u16,
}

/// How an [`Authoritative`] resolver asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthoritativeOptions {
    /// The port of name servers; 53 by default.
    pub port: u16,
}

impl Default for AuthoritativeOptions {
    fn default() -> Self {
        Self { port: 53 }
    }
}

/// The levels that are searched for the zone of a domain, from the domain up.
const MAX_LEVELS: usize = 8;

/// The addresses of one zone's servers that are tried.
const MAX_SERVERS: usize = 6;

/// The delegations that are followed for one name.
const MAX_REFERRALS: usize = 4;

impl<W: Wire> Authoritative<W> {
    /// Finds the zone that holds a domain, and its servers: two round trips.
    ///
    /// # Errors
    /// When the zone or its servers' addresses cannot be found.
    pub async fn for_domain(
        stub: Stub<W>,
        domain: &DnsName,
        options: AuthoritativeOptions,
    ) -> Result<Self, LookupError> {
        let above = |name: &DnsName| name.parent().filter(|parent| !parent.is_root());
        let levels: Vec<DnsName> = std::iter::successors(Some(domain.clone()), above)
            .take(MAX_LEVELS)
            .collect();
        let answers = join_all(levels.iter().map(|name| stub.lookup(name, RecordType::Ns))).await;
        for (name, answer) in levels.into_iter().zip(answers) {
            // The deepest zone counts; if a level cannot be seen, it may be hidden there.
            let answer = answer?;
            if !answer.records().is_empty() && answer.aliases().is_empty() {
                let hosts: Vec<DnsName> = answer.names().cloned().collect();
                let servers = addresses(&stub, &hosts, options.port).await?;
                return Ok(Self {
                    stub,
                    zone: name,
                    servers,
                    port: options.port,
                });
            }
        }
        Err(LookupError::NoServers(domain.clone()))
    }

    /// The zone that holds the domain.
    #[must_use]
    pub const fn zone(&self) -> &DnsName {
        &self.zone
    }

    /// Its servers.
    #[must_use]
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    fn is_in_zone(&self, name: &DnsName) -> bool {
        *name == self.zone || name.is_below(&self.zone)
    }
}

#[async_trait]
impl<W: Wire> Resolver for Authoritative<W> {
    async fn lookup(&self, name: &DnsName, record_type: RecordType) -> Result<Answer, LookupError> {
        let mut trail = Trail::new(name.clone());
        let mut delegated: Option<Vec<SocketAddr>> = None;
        for _ in 0..=MAX_REFERRALS {
            let reading = if self.is_in_zone(trail.end()) {
                let servers = delegated.as_ref().unwrap_or(&self.servers);
                let response = self
                    .stub
                    .ask(servers, trail.end(), record_type, false)
                    .await?;
                trail.read(record_type, &response, false)?
            } else {
                let answer = self.stub.lookup(trail.end(), record_type).await?;
                Reading::Answer(trail.continue_with(answer)?)
            };
            match reading {
                Reading::Answer(answer) => return Ok(answer),
                Reading::Lame => return Err(LookupError::Lame(name.clone())),
                Reading::Elsewhere(next) => (trail, delegated) = (next, None),
                Reading::Referral {
                    trail: same,
                    servers,
                } => {
                    delegated = Some(addresses(&self.stub, &servers, self.port).await?);
                    trail = same;
                }
            }
        }
        Err(LookupError::Aliases(name.clone()))
    }
}

async fn addresses<W: Wire>(
    stub: &Stub<W>,
    hosts: &[DnsName],
    port: u16,
) -> Result<Vec<SocketAddr>, LookupError> {
    let mut failure = None;
    let mut found = Vec::new();
    for answer in join_all(
        hosts
            .iter()
            .take(MAX_SERVERS)
            .map(|host| stub.addresses(host)),
    )
    .await
    {
        match answer {
            Ok(addresses) => found.extend(
                addresses
                    .into_iter()
                    .map(|address| SocketAddr::new(address, port)),
            ),
            Err(error) => failure = Some(error),
        }
    }
    found.truncate(MAX_SERVERS);
    match (found.is_empty(), failure, hosts.first()) {
        (false, ..) => Ok(found),
        (true, Some(failure), _) => Err(failure),
        (true, None, host) => Err(LookupError::NoServers(
            host.cloned().unwrap_or_else(DnsName::root),
        )),
    }
}
