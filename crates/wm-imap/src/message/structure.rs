//! BODY and BODYSTRUCTURE (RFC 3501 §7.4.2) from the structure of a message.

use imap_codec::imap_types::body::{
    BasicFields, Body, BodyStructure, Disposition, Language, Location, MultiPartExtensionData,
    SinglePartExtensionData, SpecificFields,
};
use imap_codec::imap_types::core::{IString, NString, NonEmptyVec};
use wm_core::content::{Kind, Parameterised, Part};

use super::{envelope, istring, nstring};

/// The body structure of a message or part; with the extension data of BODYSTRUCTURE, or without as for BODY.
///
/// What [`Structure`](wm_core::content::Structure) does not take apart is described as the leaf it is there.
pub fn body_structure(part: Part<'_>, extended: bool) -> BodyStructure<'static> {
    let (kind, subtype) = part.media_type();
    let bodies: Vec<_> = match part.kind() {
        Kind::Multipart => part
            .children()
            .map(|child| body_structure(child, extended))
            .collect(),
        _ => Vec::new(),
    };
    if let Ok(bodies) = NonEmptyVec::try_from(bodies) {
        return BodyStructure::Multi {
            bodies,
            subtype: istring(subtype),
            extension_data: extended.then(|| MultiPartExtensionData {
                parameter_list: parameters(part),
                tail: Some(disposition(part)),
            }),
        };
    }
    let number_of_lines = number(part.lines());
    let specific = match part.message() {
        Some(message) => SpecificFields::Message {
            envelope: Box::new(envelope(message.head())),
            body_structure: Box::new(body_structure(message, extended)),
            number_of_lines,
        },
        None if part.is("text", "*") => SpecificFields::Text {
            subtype: istring(subtype),
            number_of_lines,
        },
        None => SpecificFields::Basic {
            r#type: istring(kind),
            subtype: istring(subtype),
        },
    };
    BodyStructure::Single {
        body: Body {
            basic: basic_fields(part),
            specific,
        },
        extension_data: extended.then(|| SinglePartExtensionData {
            md5: text(part, "content-md5"),
            tail: Some(disposition(part)),
        }),
    }
}

fn basic_fields(part: Part<'_>) -> BasicFields<'static> {
    let encoding = part
        .head()
        .first("content-transfer-encoding")
        .map(|field| field.unfolded());
    let encoding = encoding
        .as_deref()
        .map(|value| Parameterised::parse(value).value().to_vec());
    BasicFields {
        parameter_list: parameters(part),
        id: text(part, "content-id"),
        description: text(part, "content-description"),
        content_transfer_encoding: istring(
            encoding
                .as_deref()
                .filter(|e| !e.is_empty())
                .unwrap_or(b"7BIT"),
        ),
        size: number(part.body().end - part.body().start),
    }
}

/// The parameters of the Content-Type field, or of the default (RFC 2045 §5.2) where there is none.
fn parameters(part: Part<'_>) -> Vec<(IString<'static>, IString<'static>)> {
    match part.head().first("content-type") {
        Some(field) => list(&Parameterised::parse(&field.unfolded())),
        None if part.kind() == Kind::Leaf => vec![(istring(b"CHARSET"), istring(b"US-ASCII"))],
        None => Vec::new(),
    }
}

fn disposition(part: Part<'_>) -> Disposition<'static> {
    let field = part
        .head()
        .first("content-disposition")
        .map(|field| field.unfolded());
    let disposition = field.as_deref().map(|value| {
        let parsed = Parameterised::parse(value);
        // An unknown disposition is treated as an attachment (RFC 2183 §2.8).
        let kind = Some(parsed.value())
            .filter(|value| !value.is_empty())
            .unwrap_or(b"attachment");
        (istring(kind), list(&parsed))
    });
    let languages = part
        .head()
        .first("content-language")
        .map(|field| field.unfolded());
    let languages = languages
        .iter()
        .flat_map(|value| value.split(|&b| b == b','));
    let language = languages
        .map(<[u8]>::trim_ascii)
        .filter(|l| !l.is_empty())
        .map(istring)
        .collect();
    let location = Location {
        location: text(part, "content-location"),
        extensions: Vec::new(),
    };
    Disposition {
        disposition,
        tail: Some(Language {
            language,
            tail: Some(location),
        }),
    }
}

fn list(field: &Parameterised<'_>) -> Vec<(IString<'static>, IString<'static>)> {
    field
        .parameters()
        .map(|(name, value)| (istring(name), istring(value)))
        .collect()
}

fn text(part: Part<'_>, field: &str) -> NString<'static> {
    nstring(part.head().first(field).map(|field| field.unfolded()))
}

fn number(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
