//! Mailbox names on the wire: modified UTF-7 (RFC 3501 §5.1.3).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// A name as IMAP writes it.
///
/// ```
/// use wm_imap::codec::{decode_name, encode_name};
///
/// assert_eq!(encode_name("~peter/mail/台北/日本語"), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
/// assert_eq!(decode_name(b"~peter/mail/&U,BTFw-/&ZeVnLIqe-").as_deref(), Some("~peter/mail/台北/日本語"));
/// ```
pub fn encode_name(name: &str) -> String {
    let mut out = String::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let plain = matches!(c, ' '..='~');
        let end = rest
            .find(|c: char| matches!(c, ' '..='~') != plain)
            .unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        if plain {
            out.push_str(&run.replace('&', "&-"));
        } else {
            out.push('&');
            push_base64(run, &mut out);
            out.push('-');
        }
        rest = tail;
    }
    out
}

/// The name that IMAP writes so; `None` when it is not written as the standard demands. Names sent as plain UTF-8,
/// as some clients do, are taken as they are.
pub fn decode_name(wire: &[u8]) -> Option<String> {
    let wire = str::from_utf8(wire).ok()?;
    let mut out = String::new();
    let mut pieces = wire.split('&');
    out.push_str(pieces.next()?);
    for piece in pieces {
        let (shifted, plain) = piece.split_once('-')?;
        match shifted {
            "" => out.push('&'),
            _ => out.push_str(&from_base64(shifted)?),
        }
        out.push_str(plain);
    }
    (!out.chars().any(char::is_control)).then_some(out)
}

fn push_base64(run: &str, out: &mut String) {
    let octets: Vec<u8> = run.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for chunk in octets.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, &b| bits << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            let index = bits >> (18 - 6 * digit) & 63;
            out.extend(
                usize::try_from(index)
                    .ok()
                    .and_then(|i| ALPHABET.get(i))
                    .map(|&b| char::from(b)),
            );
        }
    }
}

fn from_base64(shifted: &str) -> Option<String> {
    let (mut bits, mut count, mut octets) = (0u32, 0, Vec::new());
    for digit in shifted.bytes() {
        bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|&b| b == digit)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
        bits &= 0xffff;
    }
    let units = octets
        .chunks(2)
        .map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)));
    String::from_utf16(&units.collect::<Option<Vec<u16>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive() {
        for name in [
            "INBOX",
            "a & b",
            "Entwürfe",
            "日本語",
            "&",
            "😀x",
            "a/b-c",
            "",
        ] {
            assert_eq!(
                decode_name(encode_name(name).as_bytes()).as_deref(),
                Some(name)
            );
            assert!(encode_name(name).is_ascii());
        }
        assert_eq!(encode_name("Entwürfe & mehr"), "Entw&APw-rfe &- mehr");
    }

    #[test]
    fn malformed_names_are_none() {
        for wire in [
            &b"&"[..],
            b"&AP",
            b"&!-",
            b"&AA-",
            b"&2D0-",
            b"a\x00",
            b"\xff",
        ] {
            assert_eq!(decode_name(wire), None, "{wire:?}");
        }
        assert_eq!(
            decode_name("Entwürfe".as_bytes()).as_deref(),
            Some("Entwürfe")
        );
    }
}
