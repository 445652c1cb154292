//! What IMAP says of a message's content: ENVELOPE, BODYSTRUCTURE, sections. Pure.

mod envelope;
mod section;
mod structure;

use imap_codec::imap_types::core::{IString, Literal, NString, Quoted};

pub use envelope::envelope;
pub use section::Cut;
pub use structure::body_structure;

fn nstring(octets: Option<impl AsRef<[u8]>>) -> NString<'static> {
    NString(octets.map(|octets| istring(octets.as_ref())))
}

/// Octets as a string; the NULs that IMAP cannot carry are left out.
fn istring(octets: &[u8]) -> IString<'static> {
    let octets: Vec<u8> = octets.iter().copied().filter(|&b| b != 0).collect();
    match Quoted::try_from(octets.clone()) {
        Ok(quoted) => IString::Quoted(quoted),
        Err(_) => IString::Literal(Literal::unvalidated(octets)),
    }
}
