use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use wm_core::traits::DnsName;

/// An SPF record (RFC 7208 §4.5, §12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spf {
    /// Its directives, in the order in which they are tried.
    pub directives: Vec<Directive>,
    /// Whose record decides when no directive matches; ignored beside `all` (§6.1).
    pub redirect: Option<DomainSpec>,
    /// Where the explanation of a refusal is kept (§6.2).
    pub exp: Option<DomainSpec>,
}

/// A mechanism and the result it gives when it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The result.
    pub qualifier: Qualifier,
    /// What matches.
    pub mechanism: Mechanism,
}

/// The result of a directive that matches, from lax to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qualifier {
    /// `+`, also when nothing is written.
    Pass,
    /// `?`
    Neutral,
    /// `~`
    SoftFail,
    /// `-`
    Fail,
}

/// What a sender is compared with (RFC 7208 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mechanism {
    /// `all`: everybody.
    All,
    /// `include`: whoever passes the record of another domain.
    Include(DomainSpec),
    /// `a`: the addresses of a host, the domain itself where none is named.
    A {
        /// The host.
        host: Option<DomainSpec>,
        /// Prefix lengths for IPv4 and IPv6.
        prefix: (u8, u8),
    },
    /// `mx`: the addresses of a domain's mail exchangers.
    Mx {
        /// The domain.
        domain: Option<DomainSpec>,
        /// Prefix lengths for IPv4 and IPv6.
        prefix: (u8, u8),
    },
    /// `ptr`: hosts whose name lies in a domain; not to be used any more (§5.5).
    Ptr(Option<DomainSpec>),
    /// `ip4`: a network.
    Ip4(Ipv4Addr, u8),
    /// `ip6`: a network.
    Ip6(Ipv6Addr, u8),
    /// `exists`: anybody, if the name exists.
    Exists(DomainSpec),
}

/// A domain name that may hold macros (RFC 7208 §7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSpec(String);

/// A text that is not an SPF record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpfError {
    /// It does not begin with `v=spf1`.
    #[error("does not begin with v=spf1")]
    Version,
    /// A term is neither a known mechanism nor a modifier, or is written wrongly.
    #[error("{0:?} is not an SPF term")]
    Term(String),
    /// `redirect` or `exp` twice.
    #[error("{0:?} occurs twice")]
    Repeated(&'static str),
}

impl Spf {
    /// Whether a text claims to be an SPF record: `v=spf1` alone or before a space (RFC 7208 §4.5).
    #[must_use]
    pub fn is_spf(text: &str) -> bool {
        after_version(text).is_some()
    }

    /// What a sender gets that nothing else matches; `None` where another record decides that
    /// (`redirect`).
    #[must_use]
    pub fn default_result(&self) -> Option<Qualifier> {
        let all = self
            .directives
            .iter()
            .find(|directive| directive.mechanism == Mechanism::All);
        match (all, &self.redirect) {
            (Some(all), _) => Some(all.qualifier),
            (None, Some(_)) => None,
            (None, None) => Some(Qualifier::Neutral),
        }
    }

    /// The directives that are tried: those up to and including `all`.
    pub fn effective(&self) -> impl Iterator<Item = &Directive> {
        let end = self
            .directives
            .iter()
            .position(|directive| directive.mechanism == Mechanism::All);
        self.directives
            .iter()
            .take(end.map_or(usize::MAX, |end| end + 1))
    }

    /// This record with the directives of `other` that it lacks put in front of its own.
    #[must_use]
    pub fn merged_with(&self, other: &Self) -> Self {
        let mut merged = self.clone();
        let lacking = other.directives.iter().filter(|directive| {
            directive.mechanism != Mechanism::All && !self.directives.contains(directive)
        });
        merged.directives.splice(0..0, lacking.cloned());
        merged
    }
}

impl FromStr for Spf {
    type Err = SpfError;

    fn from_str(text: &str) -> Result<Self, SpfError> {
        let mut spf = Self {
            directives: Vec::new(),
            redirect: None,
            exp: None,
        };
        let terms = after_version(text).ok_or(SpfError::Version)?;
        for term in terms.split(' ').filter(|term| !term.is_empty()) {
            match term.split_once('=') {
                Some((name, value)) if is_modifier_name(name) => spf.modify(term, name, value)?,
                _ => spf.directives.push(term.parse()?),
            }
        }
        Ok(spf)
    }
}

impl Spf {
    fn modify(&mut self, term: &str, name: &str, value: &str) -> Result<(), SpfError> {
        let (slot, name) = match name.to_ascii_lowercase().as_str() {
            "redirect" => (&mut self.redirect, "redirect"),
            "exp" => (&mut self.exp, "exp"),
            // Unknown modifiers are ignored (§6).
            _ => return Ok(()),
        };
        let value = DomainSpec::parse(value).ok_or_else(|| SpfError::Term(term.into()))?;
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(SpfError::Repeated(name)),
        }
    }
}

impl FromStr for Directive {
    type Err = SpfError;

    fn from_str(term: &str) -> Result<Self, SpfError> {
        let error = || SpfError::Term(term.to_owned());
        let (qualifier, mechanism) = match term.split_at_checked(1) {
            Some(("+", rest)) => (Qualifier::Pass, rest),
            Some(("?", rest)) => (Qualifier::Neutral, rest),
            Some(("~", rest)) => (Qualifier::SoftFail, rest),
            Some(("-", rest)) => (Qualifier::Fail, rest),
            _ => (Qualifier::Pass, term),
        };
        Ok(Self {
            qualifier,
            mechanism: Mechanism::parse(mechanism).ok_or_else(error)?,
        })
    }
}

impl Mechanism {
    fn parse(text: &str) -> Option<Self> {
        let end = text.find([':', '/']).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end)?;
        let argument = rest.strip_prefix(':');
        match name.to_ascii_lowercase().as_str() {
            "all" => rest.is_empty().then_some(Self::All),
            "include" => Some(Self::Include(DomainSpec::parse(argument?)?)),
            "exists" => Some(Self::Exists(DomainSpec::parse(argument?)?)),
            "ptr" => match (rest, argument) {
                ("", _) => Some(Self::Ptr(None)),
                (_, domain) => Some(Self::Ptr(Some(DomainSpec::parse(domain?)?))),
            },
            "a" => host_and_prefix(rest).map(|(host, prefix)| Self::A { host, prefix }),
            "mx" => host_and_prefix(rest).map(|(domain, prefix)| Self::Mx { domain, prefix }),
            "ip4" => network(argument?, 32).map(|(address, length)| Self::Ip4(address, length)),
            "ip6" => network(argument?, 128).map(|(address, length)| Self::Ip6(address, length)),
            _ => None,
        }
    }

    /// Whether finding out if it matches costs a DNS lookup (RFC 7208 §4.6.4).
    #[must_use]
    pub const fn costs_lookup(&self) -> bool {
        !matches!(self, Self::All | Self::Ip4(..) | Self::Ip6(..))
    }
}

impl DomainSpec {
    fn parse(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|octet| octet.is_ascii_graphic());
        if text.is_empty() || !visible || !macros_are_well_formed(text) {
            return None;
        }
        // §7.1: it ends in a top label or in a macro, so that `include:localhost` is no domain.
        let name = text.strip_suffix('.').unwrap_or(text);
        let ends_well = match name.rsplit_once('.') {
            _ if name.ends_with('}') => true,
            Some((_, top)) => is_top_label(top),
            None => false,
        };
        ends_well.then(|| Self(text.to_owned()))
    }

    /// The name, when it holds no macro.
    #[must_use]
    pub fn name(&self) -> Option<DnsName> {
        if self.0.contains('%') {
            None
        } else {
            self.0.parse().ok()
        }
    }
}

impl From<&DnsName> for DomainSpec {
    fn from(name: &DnsName) -> Self {
        Self(name.to_string())
    }
}

impl fmt::Display for Spf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("v=spf1")?;
        for directive in &self.directives {
            write!(f, " {directive}")?;
        }
        for (name, value) in [("redirect", &self.redirect), ("exp", &self.exp)] {
            if let Some(value) = value {
                write!(f, " {name}={value}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.qualifier != Qualifier::Pass {
            self.qualifier.fmt(f)?;
        }
        self.mechanism.fmt(f)
    }
}

impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "+",
            Self::Neutral => "?",
            Self::SoftFail => "~",
            Self::Fail => "-",
        })
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_host = |f: &mut fmt::Formatter<'_>, name, host: &Option<DomainSpec>| match host {
            Some(host) => write!(f, "{name}:{host}"),
            None => f.write_str(name),
        };
        match self {
            Self::All => f.write_str("all"),
            Self::Include(domain) => write!(f, "include:{domain}"),
            Self::Exists(domain) => write!(f, "exists:{domain}"),
            Self::Ptr(domain) => with_host(f, "ptr", domain),
            Self::Ip4(address, 32) => write!(f, "ip4:{address}"),
            Self::Ip4(address, length) => write!(f, "ip4:{address}/{length}"),
            Self::Ip6(address, 128) => write!(f, "ip6:{address}"),
            Self::Ip6(address, length) => write!(f, "ip6:{address}/{length}"),
            Self::A { host, prefix }
            | Self::Mx {
                domain: host,
                prefix,
            } => {
                with_host(
                    f,
                    if matches!(self, Self::A { .. }) {
                        "a"
                    } else {
                        "mx"
                    },
                    host,
                )?;
                if prefix.0 != 32 {
                    write!(f, "/{}", prefix.0)?;
                }
                if prefix.1 != 128 {
                    write!(f, "//{}", prefix.1)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for DomainSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn after_version(text: &str) -> Option<&str> {
    let (version, rest) = text.split_at_checked("v=spf1".len())?;
    let separate = rest.is_empty() || rest.starts_with(' ');
    (version.eq_ignore_ascii_case("v=spf1") && separate).then_some(rest)
}

fn is_modifier_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_top_label(label: &str) -> bool {
    label
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.bytes().all(|b| b.is_ascii_digit())
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// `%%`, `%_`, `%-`, or `%{` letter, digits, `r`, delimiters `}` (RFC 7208 §7.1).
fn macros_are_well_formed(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        rest = if let Some(after) = after.strip_prefix(['%', '_', '-']) {
            after
        } else {
            let Some((body, after)) = after
                .strip_prefix('{')
                .and_then(|body| body.split_once('}'))
            else {
                return false;
            };
            let Some(transform) = body.strip_prefix(|c: char| "slodiphcrtvSLODIPHCRTV".contains(c))
            else {
                return false;
            };
            let delimiters = transform.trim_start_matches(|c: char| c.is_ascii_digit());
            let delimiters = delimiters.strip_prefix(['r', 'R']).unwrap_or(delimiters);
            if !delimiters.chars().all(|c| ".-+,/_=".contains(c)) {
                return false;
            }
            after
        };
    }
    true
}

/// `[":" domain] ["/" length] ["//" length]` (RFC 7208 §5.3).
fn host_and_prefix(rest: &str) -> Option<(Option<DomainSpec>, (u8, u8))> {
    let (host, lengths) = rest.split_at_checked(prefix_start(rest))?;
    let host = match host {
        "" => None,
        host => Some(DomainSpec::parse(host.strip_prefix(':')?)?),
    };
    let (v4, v6) = match lengths.split_once("//") {
        Some((v4, v6)) => (v4, Some(v6)),
        None => (lengths, None),
    };
    let v4 = match v4 {
        "" => 32,
        v4 => length(v4.strip_prefix('/')?, 32)?,
    };
    let v6 = match v6 {
        None => 128,
        Some(v6) => length(v6, 128)?,
    };
    Some((host, (v4, v6)))
}

/// Where the prefix lengths begin; a slash inside a macro is a delimiter of the macro.
fn prefix_start(rest: &str) -> usize {
    let after_macros = rest.rfind('}').map_or(0, |end| end + 1);
    let slash = rest.get(after_macros..).and_then(|tail| tail.find('/'));
    slash.map_or(rest.len(), |at| after_macros + at)
}

fn network<A: FromStr>(text: &str, longest: u8) -> Option<(A, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, length(prefix, longest)?),
        None => (text, longest),
    };
    Some((address.parse().ok()?, prefix))
}

fn length(digits: &str, longest: u8) -> Option<u8> {
    let plain = digits == "0" || !digits.starts_with(['0', '+']);
    digits
        .parse()
        .ok()
        .filter(|&length| plain && length <= longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spf(text: &str) -> Spf {
        text.parse().unwrap()
    }

    #[test]
    fn every_term_of_the_grammar_is_read_and_written_back() {
        for text in [
            "v=spf1",
            "v=spf1 a mx:mail.example.com/24//64 a:%{d}/16 ptr ptr:example.com -all",
            "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 exists:%{ir}.%{l1r+-}.%{d} ?all",
            "v=spf1 include:_spf.example.com ~include:b.example redirect=c.example exp=e.%{d2}",
        ] {
            assert_eq!(spf(text).to_string(), text);
        }
        assert_eq!(
            spf("V=SPF1  +A  unknown=x -ALL").to_string(),
            "v=spf1 a -all"
        );
    }

    #[test]
    fn what_the_grammar_does_not_have_is_an_error() {
        for term in [
            "al",
            "all:x.example",
            "all/8",
            "include",
            "include:",
            "include:localhost",
            "a:",
            "a/33",
            "a/08",
            "a//129",
            "ip4:192.0.2",
            "ip4:192.0.2.1/33",
            "ip4",
            "ip6:192.0.2.1",
            "mx/",
            "exists",
            "--all",
            "include:a.example/24",
            "a:%{x}.example",
            "a:%{d",
            "a:100%.example",
            "redirect=",
            "include:a.123",
            "include:a.example,",
            "“ip4:192.0.2.1”",
            "/24",
            ":x",
        ] {
            assert_eq!(
                format!("v=spf1 {term}").parse::<Spf>(),
                Err(SpfError::Term(term.into())),
                "{term}"
            );
        }
        assert_eq!("v=spf10 all".parse::<Spf>(), Err(SpfError::Version));
        assert_eq!(
            "v=spf1 exp=a.b exp=a.c".parse::<Spf>(),
            Err(SpfError::Repeated("exp"))
        );
    }

    #[test]
    fn what_follows_all_is_not_tried() {
        let record = spf("v=spf1 a ~all include:late.example");
        assert_eq!(record.effective().count(), 2);
        assert_eq!(record.default_result(), Some(Qualifier::SoftFail));
        assert_eq!(spf("v=spf1 a").default_result(), Some(Qualifier::Neutral));
        assert_eq!(spf("v=spf1 redirect=a.example").default_result(), None);
    }

    #[test]
    fn merging_keeps_what_is_there() {
        let present = spf("v=spf1 ip4:192.0.2.1 -all");
        let merged = present.merged_with(&spf("v=spf1 include:mail.example ~all"));
        assert_eq!(
            merged.to_string(),
            "v=spf1 include:mail.example ip4:192.0.2.1 -all"
        );
        assert_eq!(
            merged.merged_with(&spf("v=spf1 include:mail.example ~all")),
            merged
        );
    }
}
