//! Records as text: for zone files, for programs, and for people who paste them into a form.

use std::fmt::Write;

use wm_core::traits::{DnsName, Record, RecordData, RecordType, Txt};

use crate::records::{RequiredRecords, Severity, value_text};
use crate::report::{Report, ReportLine};
use crate::verify::RecordStatus;

/// The records as lines of a zone file (RFC 1035 §5.1), names in full, each with a comment.
///
/// ```
/// use wm_dns::{DomainSettings, RequiredRecords, export};
///
/// let settings = DomainSettings::new("example.com".parse()?, "mail.example.net".parse()?, "fmxqxT/icOYx4aA=");
/// let zone = export::zone_text(&RequiredRecords::for_domain(&settings)?);
/// assert!(zone.contains("\nexample.com. 3600 IN MX 10 mail.example.net.\n"));
/// assert!(zone.contains("\n_amazonses.example.com. 3600 IN TXT \"fmxqxT/icOYx4aA=\"\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn zone_text(required: &RequiredRecords) -> String {
    let mut text = format!("; DNS records of the mail domain {}\n", required.domain());
    let mut kind = None;
    for record in required {
        if kind.replace(record.kind) != Some(record.kind) {
            let _ = writeln!(text, "; {}: {}", record.kind, record.why());
        }
        let line = Record {
            name: record.name.clone(),
            ttl: record.ttl,
            data: record.data.clone(),
        };
        let _ = writeln!(text, "{}", zone_line(&line));
    }
    text
}

/// One record as a line of a zone file, names in full.
#[must_use]
pub fn zone_line(record: &Record) -> String {
    let data = match &record.data {
        RecordData::Cname(name) | RecordData::Ns(name) | RecordData::Ptr(name) => dotted(name),
        RecordData::Mx {
            preference,
            exchange,
        } => format!("{preference} {}", dotted(exchange)),
        RecordData::Srv {
            priority,
            weight,
            port,
            target,
        } => {
            format!("{priority} {weight} {port} {}", dotted(target))
        }
        RecordData::Txt(txt) => quoted(txt),
        other => value_text(other),
    };
    format!(
        "{} {} IN {} {data}",
        dotted(&record.name),
        record.ttl,
        record.data.record_type()
    )
}

/// The records as JSON, in the form of [`Report`].
#[must_use]
pub fn json(report: &Report) -> String {
    // Strings, numbers and lists only: nothing that serde_json could refuse.
    serde_json::to_string(report).unwrap_or_default()
}

/// How a provider's form wants names and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Names without the domain, `@` for the domain itself; values as they are.
    Relative,
    /// Names in full, without a dot at the end; values as they are.
    Absolute,
    /// As in a zone file: everything in full with a dot at the end, texts in quotes.
    Zone,
}

impl Style {
    /// Providers whose habit is known.
    pub const PROVIDERS: [(&'static str, Self); 9] = [
        ("Azure DNS", Self::Relative),
        ("BIND, NSD, Knot", Self::Zone),
        ("Cloudflare", Self::Relative),
        ("DigitalOcean", Self::Relative),
        ("GoDaddy", Self::Relative),
        ("Google Cloud DNS", Self::Zone),
        ("Namecheap", Self::Relative),
        ("PowerDNS", Self::Absolute),
        ("Route 53 (API, CLI)", Self::Zone),
    ];

    /// A name as it is entered in a zone.
    #[must_use]
    pub fn name(self, name: &DnsName, zone: &DnsName) -> String {
        match self {
            Self::Relative if name == zone => "@".into(),
            Self::Relative => {
                let relative = name
                    .as_str()
                    .strip_suffix(zone.as_str())
                    .and_then(|name| name.strip_suffix('.'));
                relative
                    .filter(|_| name.is_below(zone))
                    .map_or_else(|| dotted(name), str::to_owned)
            }
            Self::Absolute => name.to_string(),
            Self::Zone => dotted(name),
        }
    }

    /// A value as it is entered.
    #[must_use]
    pub fn value(self, line: &ReportLine) -> String {
        match (self, line.record_type) {
            (Self::Zone, RecordType::Txt) => quoted(&Txt::new(&line.value)),
            (Self::Zone, RecordType::Cname | RecordType::Mx | RecordType::Srv) => {
                format!("{}.", line.value)
            }
            _ => line.value.clone(),
        }
    }

    /// The records as a table for people, with what to do below each. `paint` may colour a status.
    #[must_use]
    pub fn table(
        self,
        report: &Report,
        paint: &dyn Fn(Option<RecordStatus>, &str) -> String,
    ) -> String {
        let Ok(zone) = report.domain.parse::<DnsName>() else {
            return String::new();
        };
        let names: Vec<String> = report
            .records
            .iter()
            .map(|line| self.name(&line.name, &zone))
            .collect();
        let width = names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or_default()
            .max("NAME".len());
        let mut text = format!(
            "{:<10} {:<13} {:<5} {:<width$} VALUE\n",
            "RECORD", "STATUS", "TYPE", "NAME"
        );
        for (line, name) in report.records.iter().zip(names) {
            let status = paint(line.status, &format!("{:<13}", status_text(line)));
            let value = self.value(line);
            let _ = writeln!(
                text,
                "{:<10} {status} {:<5} {name:<width$} {value}",
                line.kind, line.record_type
            );
            for found in line
                .found
                .iter()
                .filter(|_| line.status != Some(RecordStatus::Verified))
            {
                let _ = writeln!(text, "{:>10} {found}", "found:");
            }
            if let Some(hint) = &line.hint {
                let _ = writeln!(text, "{:>10} {hint}", "→");
            }
        }
        text
    }
}

fn status_text(line: &ReportLine) -> &'static str {
    match line.status {
        Some(RecordStatus::Verified) => "verified",
        Some(RecordStatus::Pending) => "pending",
        Some(RecordStatus::Missing) => "missing",
        Some(RecordStatus::Failed) => "failed",
        Some(RecordStatus::Inconsistent) => "inconsistent",
        None if line.could_not_check.is_some() => "not checked",
        None if line.severity == Severity::Recommended => "recommended",
        None => "required",
    }
}

/// The name with the dot that ends a full name.
fn dotted(name: &DnsName) -> String {
    if name.is_root() {
        name.to_string()
    } else {
        format!("{name}.")
    }
}

/// The strings of a text, each in quotes.
fn quoted(txt: &Txt) -> String {
    let strings: Vec<String> = txt
        .strings
        .iter()
        .map(|string| quoted_string(string))
        .collect();
    strings.join(" ")
}

fn quoted_string(octets: &[u8]) -> String {
    let mut text = String::from('"');
    for &octet in octets {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(octet)]),
            0x20..=0x7e => text.push(char::from(octet)),
            _ => {
                let _ = write!(text, "\\{octet:03}");
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DomainSettings;

    fn report() -> Report {
        let settings = DomainSettings::of_region(
            "example.com".parse().unwrap(),
            "eu-west-1",
            "token=",
            ["one", "two", "three"],
        );
        Report::of_records(&RequiredRecords::for_domain(&settings.unwrap()).unwrap())
    }

    #[test]
    fn names_and_values_follow_the_habit_of_the_provider() {
        let (zone, report) = ("example.com".parse().unwrap(), report());
        let shown = |style: Style, at: usize| {
            let line = &report.records[at];
            format!(
                "{} {} {}",
                style.name(&line.name, &zone),
                line.record_type,
                style.value(line)
            )
        };
        assert_eq!(shown(Style::Relative, 0), "_amazonses TXT token=");
        assert_eq!(
            shown(Style::Relative, 1),
            "@ MX 10 inbound-smtp.eu-west-1.amazonaws.com"
        );
        assert_eq!(
            shown(Style::Absolute, 3),
            "one._domainkey.example.com CNAME one.dkim.amazonses.com"
        );
        assert_eq!(
            shown(Style::Zone, 1),
            "example.com. MX 10 inbound-smtp.eu-west-1.amazonaws.com."
        );
        assert_eq!(
            shown(Style::Zone, 6),
            "example.com. TXT \"v=spf1 include:amazonses.com ~all\""
        );
    }

    #[test]
    fn a_name_outside_the_zone_is_never_shortened() {
        let zone = "example.com".parse().unwrap();
        assert_eq!(
            Style::Relative.name(&"notexample.com".parse().unwrap(), &zone),
            "notexample.com."
        );
    }

    #[test]
    fn json_has_the_documented_fields() {
        let json: serde_json::Value = serde_json::from_str(&json(&report())).unwrap();
        assert_eq!(json["domain"], "example.com");
        let kinds: Vec<&str> = json["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["kind"].as_str().unwrap())
            .collect();
        assert_eq!(
            kinds,
            [
                "ownership",
                "mx",
                "autodiscover",
                "dkim",
                "dkim",
                "dkim",
                "spf",
                "dmarc"
            ]
        );
        let mx = &json["records"][1];
        assert_eq!(
            (mx["name"].as_str(), mx["type"].as_str()),
            (Some("example.com"), Some("MX"))
        );
        assert_eq!(mx["value"], "10 inbound-smtp.eu-west-1.amazonaws.com");
        assert!(
            mx["status"].is_null()
                && mx["hint"].is_null()
                && mx["found"].as_array().unwrap().is_empty()
        );
    }

    #[test]
    fn texts_are_quoted_octet_by_octet() {
        let text = Txt {
            strings: vec![b"a\"b\\c\x07".to_vec(), "é".as_bytes().to_vec()],
        };
        assert_eq!(quoted(&text), r#""a\"b\\c\007" "\195\169""#);
    }
}
