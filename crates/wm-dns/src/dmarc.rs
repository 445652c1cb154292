//! DMARC records (RFC 7489 §6.3): their tags, and how strict they are.

use std::fmt;
use std::str::FromStr;

/// A DMARC record. Tags that do not bear on strictness are kept as written.
///
/// ```
/// use wm_dns::dmarc::{Dmarc, Policy};
///
/// let record: Dmarc = "v=DMARC1; p=quarantine; rua=mailto:dmarc@example.com".parse()?;
/// assert_eq!(record.policy, Policy::Quarantine);
/// assert!(record.is_as_strict_as(&Dmarc::new(Policy::Quarantine)));
/// # Ok::<(), wm_dns::dmarc::DmarcError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dmarc {
    /// `p`: what becomes of mail that fails.
    pub policy: Policy,
    /// `pct`: to what part of it, in percent.
    pub percent: u8,
    /// `t=y` (RFC 9989): the policy is only being tried out.
    pub testing: bool,
    /// The other tags, as name and value, in order.
    pub others: Vec<(String, String)>,
}

/// What a receiver is to do with mail that fails, from lax to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// Nothing.
    None,
    /// Treat it as suspicious.
    Quarantine,
    /// Refuse it.
    Reject,
}

/// A text that is not a DMARC record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DmarcError {
    /// It does not begin with `v=DMARC1`.
    #[error("does not begin with v=DMARC1")]
    Version,
    /// There is no `p` tag.
    #[error("the tag \"p\" is missing")]
    NoPolicy,
    /// A part is not `name=value`, or the value is not one of the tag's.
    #[error("{0:?} is not a DMARC tag")]
    Tag(String),
}

impl Dmarc {
    /// A record with this policy and nothing else.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            percent: 100,
            testing: false,
            others: Vec::new(),
        }
    }

    /// Whether a text claims to be a DMARC record (RFC 7489 §6.6.3).
    #[must_use]
    pub fn is_dmarc(text: &str) -> bool {
        after_version(text).is_some()
    }

    /// Whether mail that fails is treated at least as strictly as `other` demands.
    #[must_use]
    pub fn is_as_strict_as(&self, other: &Self) -> bool {
        self.strictness() >= other.strictness()
    }

    /// The policy that applies to all of the mail, and to what part the policy itself does: what
    /// `pct` leaves out gets the next laxer policy (RFC 7489 §6.6.4), and so does everything in a
    /// trial.
    const fn strictness(&self) -> (Policy, u8) {
        let laxer = match self.policy {
            Policy::Reject => Policy::Quarantine,
            Policy::Quarantine | Policy::None => Policy::None,
        };
        match (self.testing, self.percent) {
            (false, 100..) => (self.policy, 0),
            (false, percent) => (laxer, percent),
            (true, _) => (laxer, 0),
        }
    }
}

impl FromStr for Dmarc {
    type Err = DmarcError;

    fn from_str(text: &str) -> Result<Self, DmarcError> {
        let rest = after_version(text).ok_or(DmarcError::Version)?;
        let mut record = Self::new(Policy::None);
        let mut policy = None;
        for part in rest
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let error = || DmarcError::Tag(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(error)?;
            let (name, value) = (name.trim(), value.trim());
            match name.to_ascii_lowercase().as_str() {
                "p" => policy = Some(value.parse().map_err(|()| error())?),
                "pct" => {
                    record.percent = value
                        .parse()
                        .ok()
                        .filter(|percent| *percent <= 100)
                        .ok_or_else(error)?
                }
                "t" => record.testing = value.eq_ignore_ascii_case("y"),
                _ => record.others.push((name.to_owned(), value.to_owned())),
            }
        }
        record.policy = policy.ok_or(DmarcError::NoPolicy)?;
        Ok(record)
    }
}

impl FromStr for Policy {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "quarantine" => Ok(Self::Quarantine),
            "reject" => Ok(Self::Reject),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Dmarc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v=DMARC1; p={}", self.policy)?;
        if self.percent != 100 {
            write!(f, "; pct={}", self.percent)?;
        }
        if self.testing {
            f.write_str("; t=y")?;
        }
        self.others
            .iter()
            .try_for_each(|(name, value)| write!(f, "; {name}={value}"))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        })
    }
}

/// What follows `v=DMARC1`; white space is allowed around `=` and before the semicolon.
fn after_version(text: &str) -> Option<&str> {
    let (version, rest) = text.split_once(';').unwrap_or((text, ""));
    let (name, value) = version.split_once('=')?;
    (name.trim() == "v" && value.trim() == "DMARC1").then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dmarc(text: &str) -> Dmarc {
        text.parse().unwrap()
    }

    #[test]
    fn tags_may_come_in_any_order_and_spacing() {
        let record = dmarc(
            "v = DMARC1;pct=50 ; fo=1;P=Reject;rua=mailto:a@example.com,mailto:b@example.net;",
        );
        assert_eq!((record.policy, record.percent), (Policy::Reject, 50));
        assert_eq!(
            record.to_string(),
            "v=DMARC1; p=reject; pct=50; fo=1; rua=mailto:a@example.com,mailto:b@example.net"
        );
    }

    #[test]
    fn malformed_records_are_named() {
        assert_eq!(
            "v=dmarc1; p=none".parse::<Dmarc>(),
            Err(DmarcError::Version)
        );
        assert_eq!(
            "p=none; v=DMARC1".parse::<Dmarc>(),
            Err(DmarcError::Version)
        );
        assert_eq!(
            "v=DMARC1; rua=mailto:a@example.com".parse::<Dmarc>(),
            Err(DmarcError::NoPolicy)
        );
        assert_eq!(
            "v=DMARC1; p=monitor".parse::<Dmarc>(),
            Err(DmarcError::Tag("p=monitor".into()))
        );
        assert_eq!(
            "v=DMARC1; p=none pct=5; pct=101".parse::<Dmarc>(),
            Err(DmarcError::Tag("p=none pct=5".into()))
        );
        assert_eq!("v=DMARC1 p=none".parse::<Dmarc>(), Err(DmarcError::Version));
    }

    #[test]
    fn strictness_counts_policy_percentage_and_trial() {
        let by_strictness = [
            "v=DMARC1;p=none",
            "v=DMARC1;p=quarantine;pct=20",
            "v=DMARC1;p=quarantine;pct=80",
            "v=DMARC1;p=quarantine",
            "v=DMARC1;p=reject;pct=10",
            "v=DMARC1;p=reject",
        ];
        for (i, lax) in by_strictness.iter().enumerate() {
            for (j, strict) in by_strictness.iter().enumerate() {
                assert_eq!(
                    dmarc(strict).is_as_strict_as(&dmarc(lax)),
                    j >= i,
                    "{strict} / {lax}"
                );
            }
        }
        assert!(
            !dmarc("v=DMARC1;p=quarantine;t=y").is_as_strict_as(&dmarc("v=DMARC1;p=quarantine"))
        );
        assert!(dmarc("v=DMARC1;p=reject;t=y").is_as_strict_as(&dmarc("v=DMARC1;p=quarantine")));
    }
}
