mod name;
mod record;

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
pub use name::{DnsName, ParseDnsNameError};
pub use record::{Answer, Record, RecordData, RecordType, Txt};

/// Asks the domain name system.
///
/// One method to implement. An answer says what the DNS holds, which includes "nothing"; an error
/// says that this could not be learnt, and is never to be taken for "nothing" (DOM-3a).
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The records of one type at a name, aliases followed (RFC 1034 §3.6.2) unless `record_type` is
    /// [`RecordType::Cname`].
    ///
    /// # Errors
    /// When no usable answer was had.
    async fn lookup(&self, name: &DnsName, record_type: RecordType) -> Result<Answer, LookupError>;

    /// The IPv4 and IPv6 addresses of a host, IPv6 first; empty when there are none.
    ///
    /// # Errors
    /// When no address was found and one of the two lookups failed.
    async fn addresses(&self, host: &DnsName) -> Result<Vec<IpAddr>, LookupError> {
        let (v6, v4) = futures::join!(
            self.lookup(host, RecordType::Aaaa),
            self.lookup(host, RecordType::A),
        );
        let found: Vec<IpAddr> = [&v6, &v4]
            .into_iter()
            .flatten()
            .flat_map(Answer::addresses)
            .collect();
        if found.is_empty() {
            v6?;
            v4?;
        }
        Ok(found)
    }
}

#[async_trait]
impl<R: Resolver + ?Sized> Resolver for Arc<R> {
    async fn lookup(&self, name: &DnsName, record_type: RecordType) -> Result<Answer, LookupError> {
        (**self).lookup(name, record_type).await
    }
}

/// Why a lookup gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No answer in time, after every retry.
    #[error("no answer in time")]
    Timeout,
    /// The server reports a failure of its own (RCODE 2): broken delegation, failed validation.
    #[error("the name server failed (SERVFAIL)")]
    ServerFailure,
    /// The server does not serve this name to us (RCODE 5), or answered with another error.
    #[error("the name server refused (RCODE {0})")]
    Refused(u16),
    /// The servers asked do not serve this name and ask nobody else.
    #[error("the name servers asked do not know {0}")]
    Lame(DnsName),
    /// The server cannot be reached.
    #[error("the name server cannot be reached")]
    Unreachable(#[source] Arc<dyn Error + Send + Sync>),
    /// The answer is not a well-formed DNS message, or contradicts the question.
    #[error("unusable answer: {0}")]
    Malformed(String),
    /// The chain of aliases loops or is too long.
    #[error("the aliases from {0} loop or are too many")]
    Aliases(DnsName),
    /// The zone's own name servers cannot be found.
    #[error("no name server is known for {0}")]
    NoServers(DnsName),
}

impl LookupError {
    /// Whether the same lookup may work later without anybody changing the zone.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        !matches!(self, Self::Aliases(_))
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    struct OnlyIpv4Works;

    #[async_trait]
    impl Resolver for OnlyIpv4Works {
        async fn lookup(
            &self,
            name: &DnsName,
            record_type: RecordType,
        ) -> Result<Answer, LookupError> {
            match (name.as_str(), record_type) {
                ("mail.example.com", RecordType::A) => Ok(Answer::Records {
                    aliases: vec![],
                    records: vec![Record {
                        name: name.clone(),
                        ttl: 300,
                        data: RecordData::A([192, 0, 2, 1].into()),
                    }],
                }),
                (_, RecordType::A) => Ok(Answer::NoData { aliases: vec![] }),
                _ => Err(LookupError::Timeout),
            }
        }
    }

    #[test]
    fn one_address_family_is_enough_but_none_is_not_the_same_as_unknown() {
        let addresses = |host: &str| block_on(OnlyIpv4Works.addresses(&host.parse().unwrap()));
        assert_eq!(
            addresses("mail.example.com").unwrap(),
            [IpAddr::from([192, 0, 2, 1])]
        );
        assert!(matches!(
            addresses("other.example.com"),
            Err(LookupError::Timeout)
        ));
    }
}
