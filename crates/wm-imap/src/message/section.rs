//! Body sections (RFC 3501 §6.4.5): which octets of a message a section names.

use std::ops::Range;

use imap_codec::imap_types::core::AString;
use imap_codec::imap_types::fetch::{Part as PartNumber, Section};
use wm_core::content::{Part, Structure};

/// The octets of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// These of the message.
    Range(Range<u64>),
    /// These, put together from it.
    Octets(Vec<u8>),
    /// The message has no such part.
    Missing,
}

impl Cut {
    /// The octets of a section of a message with this structure and size.
    pub fn of(section: Option<&Section<'_>>, structure: &Structure, size: u64) -> Self {
        let Some(section) = section else {
            return Self::Range(0..size);
        };
        let found = match section {
            Section::Part(number) => part(structure, number).map(|part| Self::Range(part.body())),
            Section::Mime(number) => part(structure, number).map(|part| Self::Range(part.header())),
            Section::Header(number) => {
                message(structure, number).map(|part| Self::Range(part.header()))
            }
            Section::Text(None) => Some(Self::Range(structure.root().body().start..size)),
            Section::Text(number) => {
                message(structure, number).map(|part| Self::Range(part.body()))
            }
            Section::HeaderFields(number, names) => {
                message(structure, number).map(|part| Self::fields(part, names.as_ref(), true))
            }
            Section::HeaderFieldsNot(number, names) => {
                message(structure, number).map(|part| Self::fields(part, names.as_ref(), false))
            }
        };
        found.unwrap_or(Self::Missing)
    }

    /// The fields with one of these names, or the others, and the empty line.
    fn fields(part: Part<'_>, names: &[AString<'_>], wanted: bool) -> Self {
        let mut octets = Vec::new();
        for field in part.head().fields() {
            if names
                .iter()
                .any(|name| name.as_ref().eq_ignore_ascii_case(field.name()))
                == wanted
            {
                octets.extend_from_slice(field.raw());
            }
        }
        if !octets.is_empty() && !octets.ends_with(b"\n") {
            octets.extend_from_slice(b"\r\n");
        }
        octets.extend_from_slice(b"\r\n");
        Self::Octets(octets)
    }

    /// The octets of it that a partial fetch asks for, `<first.count>`; nothing when `first` lies behind its end.
    pub fn partial(self, first: u32, count: u32) -> Self {
        let (first, count) = (u64::from(first), u64::from(count));
        match self {
            Self::Range(range) => {
                let start = range.start.saturating_add(first).min(range.end);
                Self::Range(start..start.saturating_add(count).min(range.end))
            }
            Self::Octets(mut octets) => {
                octets.truncate(usize::try_from(first.saturating_add(count)).unwrap_or(usize::MAX));
                Self::Octets(
                    octets.split_off(
                        usize::try_from(first)
                            .unwrap_or(usize::MAX)
                            .min(octets.len()),
                    ),
                )
            }
            Self::Missing => Self::Missing,
        }
    }
}

fn part<'s>(structure: &'s Structure, number: &PartNumber) -> Option<Part<'s>> {
    let number: Vec<u32> = number.0.as_ref().iter().map(|n| n.get()).collect();
    structure.part(&number)
}

/// The message itself, or the one inside a part.
fn message<'s>(structure: &'s Structure, number: &Option<PartNumber>) -> Option<Part<'s>> {
    match number {
        None => Some(structure.root()),
        Some(number) => part(structure, number)?.message(),
    }
}
