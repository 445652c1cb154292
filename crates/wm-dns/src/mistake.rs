use std::fmt;

use wm_core::traits::{DnsName, Txt};

use crate::records::{RecordKind, RequiredRecord};
use crate::spf::SpfFault;

/// A mistake that people make when they enter records, recognised by undoing it: where the value or
/// name is right once the mistake is undone, that was the mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistake {
    /// The provider appended the domain to a name that already held it.
    DoubledDomain {
        /// Where the record is.
        at: DnsName,
    },
    /// The underscore in front of a label was left out.
    MissingUnderscore {
        /// Where the record is.
        at: DnsName,
    },
    /// The record is at another name of the domain.
    WrongName {
        /// Where the record is.
        at: DnsName,
    },
    /// Quotation marks are part of the value.
    QuotesPastedIn,
    /// Spaces are part of the value.
    StraySpaces,
    /// The dot that ends a full name in a zone file is part of the value.
    TrailingDot,
    /// The value was taken for a name below the domain, for want of a dot at its end.
    RelativeTarget {
        /// What it became.
        found: DnsName,
    },
    /// The preference is part of the host name.
    PreferenceInHost,
    /// One text was cut in several that do not make the whole again.
    SplitStrings,
    /// The host is that of another region.
    WrongRegion {
        /// The region found.
        found: String,
        /// The region required.
        required: String,
    },
    /// The name points to another host.
    WrongHost {
        /// The host found.
        found: DnsName,
    },
    /// Addresses where an alias is required.
    NotAnAlias,
    /// The domain itself is an alias, which leaves no room for its own records.
    CnameAtApex {
        /// What it is an alias of.
        target: DnsName,
    },
    /// Another server takes mail for the domain too.
    ForeignMx {
        /// The server.
        host: DnsName,
        /// Whether mail goes there first, or as often as here.
        first: bool,
    },
    /// The domain says that it takes no mail (RFC 7505).
    NullMx,
    /// More than one record where one is allowed.
    SeveralRecords {
        /// How many.
        count: usize,
    },
    /// The SPF record is not well-formed or means something else.
    Spf(SpfFault),
    /// The DMARC record is not well-formed.
    Dmarc(crate::dmarc::DmarcError),
    /// The DMARC policy is laxer than required.
    LaxDmarc,
    /// Another key.
    WrongKey,
}

impl Mistake {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DoubledDomain { .. } => "doubled-domain",
            Self::MissingUnderscore { .. } => "missing-underscore",
            Self::WrongName { .. } => "wrong-name",
            Self::QuotesPastedIn => "quotes-pasted-in",
            Self::StraySpaces => "stray-spaces",
            Self::TrailingDot => "trailing-dot",
            Self::RelativeTarget { .. } => "relative-target",
            Self::PreferenceInHost => "preference-in-host",
            Self::SplitStrings => "split-strings",
            Self::WrongRegion { .. } => "wrong-region",
            Self::WrongHost { .. } => "wrong-host",
            Self::NotAnAlias => "not-an-alias",
            Self::CnameAtApex { .. } => "cname-at-apex",
            Self::ForeignMx { .. } => "foreign-mx",
            Self::NullMx => "null-mx",
            Self::SeveralRecords { .. } => "several-records",
            Self::Spf(SpfFault::TooManyLookups) => "spf-too-many-lookups",
            Self::Spf(_) => "spf",
            Self::Dmarc(_) => "dmarc",
            Self::LaxDmarc => "dmarc-lax",
            Self::WrongKey => "wrong-key",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self, record: &RequiredRecord) -> String {
        let (name, value) = (&record.name, record.value());
        match self {
            Self::DoubledDomain { .. } => {
                format!("Enter the name without the domain, or with a dot at its end: \"{name}.\".")
            }
            Self::MissingUnderscore { .. } if record.kind == RecordKind::Ownership => {
                format!("Rename it to \"{name}\"; if your provider allows no underscore, put the value at the domain itself.")
            }
            Self::MissingUnderscore { .. } | Self::WrongName { .. } => format!("Move it to \"{name}\"."),
            Self::QuotesPastedIn => format!("Enter the value without quotation marks: {value}"),
            Self::StraySpaces => format!("Enter the value without spaces around or inside it: {value}"),
            Self::TrailingDot => format!("Enter the value without the dot at its end: {value}"),
            Self::RelativeTarget { .. } => format!("Put a dot at the end of the value: \"{value}.\"."),
            Self::PreferenceInHost => "Enter the preference in its own field, and only the host name as the host.".into(),
            Self::SplitStrings => {
                format!("Enter the value as one text, in one record (strings of one record are joined without a space): {value}")
            }
            Self::WrongRegion { .. } | Self::WrongHost { .. } | Self::WrongKey => format!("Change the value to: {value}"),
            Self::NotAnAlias => format!("Replace the address records with a CNAME to {value}, unless they lead there."),
            Self::CnameAtApex { .. } => {
                "Remove the CNAME; use your provider's ALIAS or ANAME, or address records, for the web site.".into()
            }
            Self::ForeignMx { host, first: true } => {
                format!("Remove the MX record for {host} once all mailboxes are here, or give it a higher preference number.")
            }
            Self::ForeignMx { host, first: false } => {
                format!("Mail may still be delivered to {host}; remove that MX record if it is not meant to take mail.")
            }
            Self::NullMx => "Remove the MX record whose host is \".\".".into(),
            Self::SeveralRecords { .. } => "Merge them into one record and remove the others.".into(),
            Self::Spf(fault) => match fault {
                SpfFault::NotAuthorised(mechanism) => format!("Add \"{mechanism}\" before the \"all\" of the record."),
                SpfFault::AfterAll(mechanism) => format!("Move \"{mechanism}\" in front of \"all\"."),
                SpfFault::PermitsEveryone | SpfFault::Lax { .. } => "End the record with \"~all\" or \"-all\".".into(),
                SpfFault::TooManyLookups => "Remove includes that are not needed, or write networks as ip4 and ip6.".into(),
                SpfFault::Loop(domain) | SpfFault::NoRecord(domain) => format!("Remove \"include:{domain}\"."),
                SpfFault::SeveralRecords(..) => "Merge them into one record.".into(),
                SpfFault::Syntax(_) => format!("Correct it, for example to: {value}"),
                SpfFault::IncludedSyntax(domain, _) => {
                    format!("Remove \"include:{domain}\", or ask its owner to correct the record.")
                }
            },
            Self::Dmarc(_) | Self::LaxDmarc => format!("Change the value to: {value}"),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoubledDomain { at } => {
                write!(f, "the domain was appended twice: the record is at {at}")
            }
            Self::MissingUnderscore { at } => {
                write!(f, "the underscore is missing: the record is at {at}")
            }
            Self::WrongName { at } => write!(f, "the record is at {at}"),
            Self::QuotesPastedIn => f.write_str("quotation marks were pasted into the value"),
            Self::StraySpaces => f.write_str("the value holds spaces that do not belong to it"),
            Self::TrailingDot => f.write_str("a dot was pasted in at the end of the value"),
            Self::RelativeTarget { found } => write!(
                f,
                "the domain was appended to the value: it points to {found}"
            ),
            Self::PreferenceInHost => f.write_str("the preference was pasted into the host name"),
            Self::SplitStrings => {
                f.write_str("the value was split into texts that do not join to the right one")
            }
            Self::WrongRegion { found, required } => {
                write!(f, "it points to region {found}, required is {required}")
            }
            Self::WrongHost { found } => write!(f, "it points to {found}"),
            Self::NotAnAlias => f.write_str("the name has addresses instead of an alias"),
            Self::CnameAtApex { target } => {
                write!(
                    f,
                    "the domain itself is an alias (CNAME) of {target}, which hides its own records"
                )
            }
            Self::ForeignMx { host, first: true } => {
                write!(f, "mail is delivered to {host}, which is another server")
            }
            Self::ForeignMx { host, first: false } => {
                write!(f, "{host}, another server, is named as a fallback")
            }
            Self::NullMx => f.write_str("the domain declares that it takes no mail (null MX)"),
            Self::SeveralRecords { count } => {
                write!(f, "there are {count} such records, only one is allowed")
            }
            Self::Spf(fault) => fault.fmt(f),
            Self::Dmarc(error) => write!(f, "the DMARC record is not well-formed: {error}"),
            Self::LaxDmarc => f.write_str("the DMARC policy is laxer than required"),
            Self::WrongKey => f.write_str("the record holds another key"),
        }
    }
}

/// The mistake that, undone, makes one of the texts right.
pub(crate) fn in_texts(texts: &[&Txt], is_right: impl Fn(&str) -> bool) -> Option<Mistake> {
    /// A zone with more texts than this under one name has other troubles.
    const MOST: usize = 16;
    let texts: Vec<&Txt> = texts.iter().copied().take(MOST).collect();
    texts
        .iter()
        .find_map(|txt| in_text(txt, &is_right))
        .or_else(|| {
            let pairs = texts
                .iter()
                .flat_map(|first| texts.iter().map(move |second| (first, second)));
            let mut joined = pairs
                .filter(|(first, second)| !std::ptr::eq(**first, **second))
                .flat_map(|(first, second)| {
                    ["", " "].map(|between| format!("{}{between}{}", first.text(), second.text()))
                });
            joined
                .any(|text| is_right(&text))
                .then_some(Mistake::SplitStrings)
        })
}

fn in_text(txt: &Txt, is_right: &impl Fn(&str) -> bool) -> Option<Mistake> {
    let text = txt.text();
    let unquoted = unquote(&text);
    if unquoted.as_deref().is_some_and(is_right) {
        return Some(Mistake::QuotesPastedIn);
    }
    // What is right as it stands holds no mistake: something else is wrong, such as a second record.
    if is_right(&text) {
        return None;
    }
    if is_right(text.trim()) {
        return Some(Mistake::StraySpaces);
    }
    if text.trim_end().strip_suffix('.').is_some_and(is_right) {
        return Some(Mistake::TrailingDot);
    }
    let strings = || {
        txt.strings
            .iter()
            .map(|string| String::from_utf8_lossy(string))
    };
    if strings().count() > 1 {
        let spaced = strings().collect::<Vec<_>>().join(" ");
        let trimmed: String = strings().map(|string| string.trim().to_owned()).collect();
        if is_right(&spaced) || is_right(&trimmed) {
            return Some(Mistake::SplitStrings);
        }
    }
    let closed_up: String = text.split_whitespace().collect();
    is_right(&closed_up).then_some(Mistake::StraySpaces)
}

/// The text within quotation marks, straight or typographic, with `" "` inside taken for the joint of
/// two strings.
fn unquote(text: &str) -> Option<String> {
    let is_quote = |c: char| matches!(c, '"' | '\'' | '“' | '”' | '„' | '‘' | '’' | '`');
    let text = text.trim().replace("\\\"", "\"");
    let inner = text.strip_prefix(is_quote)?;
    let inner = inner.strip_suffix(is_quote).unwrap_or(inner);
    Some(inner.replace("\" \"", "").replace("\"\"", ""))
}

/// What is wrong with a target that is not `required`, in a record of `apex`.
pub(crate) fn in_target(found: &DnsName, required: &DnsName, apex: &DnsName) -> Mistake {
    let appended = found
        .as_str()
        .strip_prefix(required.as_str())
        .and_then(|rest| rest.strip_prefix('.'));
    if appended
        .and_then(|zone| zone.parse().ok())
        .is_some_and(|zone: DnsName| zone == *apex || apex.is_below(&zone))
    {
        return Mistake::RelativeTarget {
            found: found.clone(),
        };
    }
    let text =
        String::from_utf8_lossy(&found.labels().collect::<Vec<_>>().join(&b'.')).into_owned();
    if text
        .strip_suffix('.')
        .is_some_and(|text| text == required.as_str())
    {
        return Mistake::TrailingDot;
    }
    let host = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if host.len() < text.len()
        && host
            .strip_prefix(' ')
            .is_some_and(|host| host.trim() == required.as_str())
    {
        return Mistake::PreferenceInHost;
    }
    match different_region(found, required) {
        Some((found, required)) => Mistake::WrongRegion { found, required },
        None => Mistake::WrongHost {
            found: found.clone(),
        },
    }
}

/// The regions of two names that differ in nothing else.
fn different_region(found: &DnsName, required: &DnsName) -> Option<(String, String)> {
    let split = |name: &DnsName| {
        name.as_str()
            .split('.')
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (found, required) = (split(found), split(required));
    let mut different = found
        .iter()
        .zip(&required)
        .filter(|(found, required)| found != required);
    let (one, other) = different.next().filter(|_| found.len() == required.len())?;
    (different.next().is_none() && is_region(one) && is_region(other))
        .then(|| (one.clone(), other.clone()))
}

/// `us-east-1`, `us-gov-west-1`.
fn is_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match parts.as_slice() {
        [area, middle @ .., number] => {
            area.len() == 2
                && is_word(area)
                && !middle.is_empty()
                && middle.iter().all(|part| is_word(part))
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "fmxqxT/icOYx4aA/bEUrDPMeax9/s3frblS+niixmqk=";

    fn txt(strings: &[&str]) -> Txt {
        Txt {
            strings: strings
                .iter()
                .map(|string| string.as_bytes().to_vec())
                .collect(),
        }
    }

    fn in_token(texts: &[Txt]) -> Option<Mistake> {
        in_texts(&texts.iter().collect::<Vec<_>>(), |text| text == TOKEN)
    }

    #[test]
    fn a_text_that_is_right_once_the_mistake_is_undone_names_the_mistake() {
        let (first, second) = TOKEN.split_at(20);
        for (strings, mistake) in [
            (vec![format!("\"{TOKEN}\"")], Mistake::QuotesPastedIn),
            (vec![format!("“{TOKEN}”")], Mistake::QuotesPastedIn),
            (vec![format!("\\\"{TOKEN}\\\"")], Mistake::QuotesPastedIn),
            (
                vec![format!("\"{first}\" \"{second}\"")],
                Mistake::QuotesPastedIn,
            ),
            (vec![format!(" {TOKEN}")], Mistake::StraySpaces),
            (vec![format!("{first} {second}")], Mistake::StraySpaces),
            (vec![format!("{TOKEN}.")], Mistake::TrailingDot),
            (
                vec![format!("{first} "), second.to_owned()],
                Mistake::SplitStrings,
            ),
        ] {
            let strings: Vec<&str> = strings.iter().map(String::as_str).collect();
            assert_eq!(in_token(&[txt(&strings)]), Some(mistake), "{strings:?}");
        }
        assert_eq!(
            in_token(&[txt(&[second]), txt(&["other"]), txt(&[first])]),
            Some(Mistake::SplitStrings)
        );
        assert_eq!(in_token(&[txt(&["something else"])]), None);
    }

    #[test]
    fn a_target_that_is_right_once_the_mistake_is_undone_names_the_mistake() {
        let apex = "mail.example.com".parse().unwrap();
        let required: DnsName = "inbound-smtp.us-east-1.amazonaws.com".parse().unwrap();
        let mistake = |found: &str| in_target(&found.parse().unwrap(), &required, &apex);
        for zone in ["mail.example.com", "example.com"] {
            let found = format!("{required}.{zone}");
            assert_eq!(
                mistake(&found),
                Mistake::RelativeTarget {
                    found: found.parse().unwrap()
                }
            );
        }
        assert_eq!(
            mistake(r"inbound-smtp.us-east-1.amazonaws.com\."),
            Mistake::TrailingDot
        );
        assert_eq!(
            mistake(r"10\032inbound-smtp.us-east-1.amazonaws.com"),
            Mistake::PreferenceInHost
        );
        assert_eq!(
            mistake("inbound-smtp.us-gov-west-1.amazonaws.com"),
            Mistake::WrongRegion {
                found: "us-gov-west-1".into(),
                required: "us-east-1".into()
            }
        );
        for other in [
            "inbound-smtp.us-east.amazonaws.com",
            "mx.other.example",
            "smtp.eu-west-1.amazonaws.com",
        ] {
            assert_eq!(
                mistake(other),
                Mistake::WrongHost {
                    found: other.parse().unwrap()
                }
            );
        }
    }
}
