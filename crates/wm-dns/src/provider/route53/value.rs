//! Names and values as Route 53 writes them: as in a zone file, but with escapes in octal.

use wm_core::traits::{DnsName, Record, RecordData, RecordType, Txt};

/// A name with the dot at its end.
pub(super) fn name_text(name: &DnsName) -> String {
    let label = |label: std::borrow::Cow<'_, [u8]>| {
        let mut text = String::new();
        for &octet in label.as_ref() {
            match octet {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(octet)),
                _ => text.push_str(&format!("\\{octet:03o}")),
            }
        }
        text + "."
    };
    if name.is_root() {
        return ".".into();
    }
    name.labels().map(label).collect()
}

/// A name; `None` when it is none.
pub(super) fn name(text: &str) -> Option<DnsName> {
    if text == "." {
        return Some(DnsName::root());
    }
    let mut labels = vec![Vec::new()];
    let mut rest = Octets::of(text);
    while let Some(octet) = rest.next()? {
        match (octet, labels.last_mut()) {
            (Octet::Plain(b'.'), _) => labels.push(Vec::new()),
            (Octet::Plain(octet) | Octet::Escaped(octet), Some(label)) => label.push(octet),
            (_, None) => return None,
        }
    }
    if labels.last().is_some_and(Vec::is_empty) {
        labels.pop();
    }
    DnsName::from_labels(labels).ok()
}

/// The value of a record; `None` for a type that cannot be written.
pub(super) fn value_text(data: &RecordData) -> Option<String> {
    Some(match data {
        RecordData::A(address) => address.to_string(),
        RecordData::Aaaa(address) => address.to_string(),
        RecordData::Cname(name) | RecordData::Ns(name) | RecordData::Ptr(name) => name_text(name),
        RecordData::Mx {
            preference,
            exchange,
        } => format!("{preference} {}", name_text(exchange)),
        RecordData::Srv {
            priority,
            weight,
            port,
            target,
        } => format!("{priority} {weight} {port} {}", name_text(target)),
        RecordData::Tlsa {
            usage,
            selector,
            matching,
            data,
        } => {
            let digits: String = data.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("{usage} {selector} {matching} {digits}")
        }
        RecordData::Txt(text) => {
            let strings: Vec<String> = text.strings.iter().map(|it| quoted(it)).collect();
            strings.join(" ")
        }
        _ => return None,
    })
}

/// The record that a value stands for; `None` when it is not well-formed.
pub(super) fn record(
    name: &DnsName,
    record_type: RecordType,
    ttl: u32,
    text: &str,
) -> Option<Record> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let target = |text: &str| self::name(text);
    let data = match (record_type, words.as_slice()) {
        (RecordType::Txt, _) => RecordData::Txt(strings(text)?),
        (RecordType::A, [address]) => RecordData::A(address.parse().ok()?),
        (RecordType::Aaaa, [address]) => RecordData::Aaaa(address.parse().ok()?),
        (RecordType::Cname, [name]) => RecordData::Cname(target(name)?),
        (RecordType::Ns, [name]) => RecordData::Ns(target(name)?),
        (RecordType::Ptr, [name]) => RecordData::Ptr(target(name)?),
        (RecordType::Mx, [preference, exchange]) => RecordData::Mx {
            preference: preference.parse().ok()?,
            exchange: target(exchange)?,
        },
        (RecordType::Srv, [priority, weight, port, host]) => RecordData::Srv {
            priority: priority.parse().ok()?,
            weight: weight.parse().ok()?,
            port: port.parse().ok()?,
            target: target(host)?,
        },
        (RecordType::Tlsa, [usage, selector, matching, digits @ ..]) => RecordData::Tlsa {
            usage: usage.parse().ok()?,
            selector: selector.parse().ok()?,
            matching: matching.parse().ok()?,
            data: octets(&digits.concat())?,
        },
        _ => return None,
    };
    Some(Record {
        name: name.clone(),
        ttl,
        data,
    })
}

fn quoted(octets: &[u8]) -> String {
    let mut text = String::from('"');
    for &octet in octets {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(octet)]),
            0x20..=0x7e => text.push(char::from(octet)),
            _ => text.push_str(&format!("\\{octet:03o}")),
        }
    }
    text + "\""
}

/// Strings in quotes; one without quotes is taken as it is.
fn strings(text: &str) -> Option<Txt> {
    let mut strings = Vec::new();
    let mut rest = Octets::of(text.trim());
    // The string under way, and whether it is in quotes.
    let mut open: Option<(Vec<u8>, bool)> = None;
    while let Some(octet) = rest.next()? {
        match (octet, open.take()) {
            (Octet::Plain(b'"'), None) => open = Some((Vec::new(), true)),
            (Octet::Plain(b'"'), Some((string, true))) => strings.push(string),
            (Octet::Plain(b' ' | b'\t'), None) => {}
            (Octet::Plain(b' ' | b'\t'), Some((string, false))) => strings.push(string),
            (Octet::Plain(octet) | Octet::Escaped(octet), under_way) => {
                let (mut string, in_quotes) = under_way.unwrap_or_default();
                string.push(octet);
                open = Some((string, in_quotes));
            }
        }
    }
    match open {
        Some((_, true)) => return None,
        Some((string, false)) => strings.push(string),
        None => {}
    }
    (!strings.is_empty()).then_some(Txt { strings })
}

fn octets(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect::<Option<_>>()?;
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

/// An octet of a text with escapes.
#[derive(Clone, Copy)]
enum Octet {
    Plain(u8),
    Escaped(u8),
}

struct Octets<'a>(std::slice::Iter<'a, u8>);

impl<'a> Octets<'a> {
    fn of(text: &'a str) -> Self {
        Self(text.as_bytes().iter())
    }

    /// The next octet, or that there is none; `None` for an escape that is none.
    #[allow(clippy::option_option)]
    fn next(&mut self) -> Option<Option<Octet>> {
        let Some(&octet) = self.0.next() else {
            return Some(None);
        };
        if octet != b'\\' {
            return Some(Some(Octet::Plain(octet)));
        }
        let first = *self.0.next()?;
        if !first.is_ascii_digit() {
            return Some(Some(Octet::Escaped(first)));
        }
        let (second, third) = (*self.0.next()?, *self.0.next()?);
        let value =
            [first, second, third]
                .into_iter()
                .try_fold(0u16, |value, digit| match digit {
                    b'0'..=b'7' => Some(value * 8 + u16::from(digit - b'0')),
                    _ => None,
                })?;
        Some(Some(Octet::Escaped(u8::try_from(value).ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_escaped_in_octal() {
        for (dns, text) in [
            ("_dmarc.example.com", "_dmarc.example.com."),
            ("*.example.com", r"\052.example.com."),
            (r"a\.b.example.com", r"a\056b.example.com."),
            (".", "."),
        ] {
            let dns: DnsName = dns.parse().unwrap();
            assert_eq!(name_text(&dns), text);
            assert_eq!(name(text), Some(dns), "{text}");
        }
        assert_eq!(name("example.com"), name("example.com."));
        for wrong in ["a..b.", r"\05", r"\400.", r"\089.", r"a\"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn values_are_read_as_the_console_lets_people_write_them() {
        let owner: DnsName = "example.com".parse().unwrap();
        let read = |record_type, text| record(&owner, record_type, 60, text).map(|it| it.data);
        let text = |strings: &[&str]| {
            let strings = strings.iter().map(|it| it.as_bytes().to_vec());
            Some(RecordData::Txt(Txt {
                strings: strings.collect(),
            }))
        };
        assert_eq!(
            read(RecordType::Txt, r#""v=spf1 " "-all""#),
            text(&["v=spf1 ", "-all"])
        );
        assert_eq!(read(RecordType::Txt, "bare"), text(&["bare"]));
        assert_eq!(read(RecordType::Txt, r#""""#), text(&[""]));
        assert_eq!(read(RecordType::Txt, r#""\"\\\303\251""#), text(&["\"\\é"]));
        for wrong in ["", "  ", "\"open", r#""\999""#] {
            assert_eq!(read(RecordType::Txt, wrong), None, "{wrong}");
        }
        assert!(read(RecordType::Mx, "10 mail.example.net.").is_some());
        assert!(read(RecordType::Tlsa, "3 1 1 0a0B 0c").is_some());
        for (record_type, wrong) in [
            (RecordType::Mx, "mail.example.net."),
            (RecordType::Mx, "70000 mail.example.net."),
            (RecordType::A, "1.2.3"),
            (RecordType::Tlsa, "3 1 1 0"),
            (RecordType::Srv, "1 2 3"),
        ] {
            assert_eq!(read(record_type, wrong), None, "{wrong}");
        }
    }

    fn any_data() -> impl Strategy<Value = RecordData> {
        let label = prop::collection::vec(any::<u8>(), 1..9);
        let host = prop::collection::vec(label, 1..4);
        let host = host.prop_map(|labels| DnsName::from_labels(labels).unwrap());
        let strings = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..255), 1..4);
        prop_oneof![
            strings.prop_map(|strings| RecordData::Txt(Txt { strings })),
            host.clone().prop_map(RecordData::Cname),
            (any::<u16>(), host.clone()).prop_map(|(preference, exchange)| RecordData::Mx {
                preference,
                exchange
            }),
            (any::<[u16; 3]>(), host).prop_map(|([priority, weight, port], target)| {
                RecordData::Srv {
                    priority,
                    weight,
                    port,
                    target,
                }
            }),
            prop::collection::vec(any::<u8>(), 1..64).prop_map(|data| RecordData::Tlsa {
                usage: 3,
                selector: 1,
                matching: 1,
                data
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(data in any_data()) {
            let owner = "example.com".parse().unwrap();
            let text = value_text(&data).unwrap();
            prop_assert!(text.is_ascii());
            let read = record(&owner, data.record_type(), 60, &text).unwrap();
            prop_assert_eq!(read.data, data);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let owner: DnsName = "example.com".parse().unwrap();
            for record_type in [RecordType::Txt, RecordType::Mx, RecordType::Srv, RecordType::Tlsa] {
                let _ = record(&owner, record_type, 60, &text);
            }
            let _ = name(&text);
        }
    }
}
