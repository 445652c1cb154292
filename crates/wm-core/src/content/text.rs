//! Decoding: encoded words (RFC 2047) and the text of a part (transfer encoding, charset, HTML).

use mail_parser::{HeaderName, MessageParser};

use super::head::{Field, Head};
use super::media::Parameterised;

impl Field<'_> {
    /// The field body as people read it: unfolded, encoded words decoded, anything undecodable replaced.
    ///
    /// ```
    /// use wm_core::content::Head;
    ///
    /// let head = Head::new(b"Subject: =?utf-8?q?K=C3=A4se?=\r\n =?utf-8?q?kuchen?=\r\n\r\n");
    /// assert_eq!(head.first("Subject").unwrap().decoded(), "Käsekuchen");
    /// ```
    pub fn decoded(&self) -> String {
        let line = [b"Subject:", self.unfolded().as_ref(), b"\r\n\r\n"].concat();
        let parsed = MessageParser::new()
            .header_text(HeaderName::Subject)
            .parse_headers(&line);
        parsed
            .and_then(|message| message.subject().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// The text of a `text/*` part with this header block and body, decoded; of HTML, the text it shows. A body cut off
/// anywhere is decoded as far as it goes. A part of any other type is taken for plain text.
///
/// ```
/// use wm_core::content::{Head, decode_text};
///
/// let head = Head::new(b"Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n");
/// assert_eq!(decode_text(head, b"PGI+S+RzZTwvYj4=").trim(), "Käse");
/// ```
pub fn decode_text(head: Head<'_>, body: &[u8]) -> String {
    let mut leaf = Vec::with_capacity(body.len() + 512);
    leaf.extend_from_slice(text_fields(head).as_bytes());
    leaf.extend_from_slice(b"\r\n");
    leaf.extend_from_slice(body);
    let parsed = MessageParser::new().with_mime_headers().parse(&leaf);
    parsed
        .and_then(|message| message.body_text(0).map(|text| text.into_owned()))
        .unwrap_or_default()
}

/// The fields that say how a text is to be decoded, written anew. Not those of the part: a parser that reads another type
/// out of them, or that of a part which is a text only because it was not taken apart, would take the body apart without
/// a bound.
fn text_fields(head: Head<'_>) -> String {
    let value = |name| {
        head.first(name)
            .map(|field| field.unfolded())
            .unwrap_or_default()
    };
    let content_type = value("content-type");
    let content_type = Parameterised::parse(&content_type);
    let is_html = content_type.media_type().is_some_and(|(kind, subtype)| {
        kind.eq_ignore_ascii_case(b"text") && subtype.eq_ignore_ascii_case(b"html")
    });
    let mut fields = format!(
        "Content-Type: text/{}",
        if is_html { "html" } else { "plain" }
    );
    let charset = match content_type.parameter("charset") {
        Some(charset) => Some(String::from_utf8_lossy(charset).into_owned()),
        None => content_type.decoded("charset"),
    };
    let is_name = |charset: &String| {
        charset
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:+".contains(&b))
    };
    if let Some(charset) = charset.filter(is_name) {
        fields += &format!("; charset=\"{charset}\"");
    }
    let encoding = value("content-transfer-encoding");
    let encoding = Parameterised::parse(&encoding);
    if let Some(encoding) = ["base64", "quoted-printable"]
        .into_iter()
        .find(|name| encoding.is(name))
    {
        fields += &format!("\r\nContent-Transfer-Encoding: {encoding}");
    }
    fields + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Structure;

    /// A part beyond the depth that is taken apart is a text, whatever it declares, and nothing takes it apart again.
    #[test]
    fn what_is_not_taken_apart_is_decoded_as_it_stands() {
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000);
        for kind in ["message/rfc822", "multipart/mixed; boundary=b"] {
            let head = format!("Content-Type: {kind}\r\n\r\n");
            let body = format!("--b\r\n{nested}");
            let text = decode_text(Head::new(head.as_bytes()), body.as_bytes());
            assert_eq!(text, body, "{kind}");
        }
        let deep: String = (0..70)
            .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}.\r\n\r\n--b{n}.\r\n"))
            .collect();
        let deep = deep + &nested;
        let structure = Structure::of(deep.as_bytes());
        let leaf = structure.parts().last().unwrap();
        assert!(leaf.is("text", "*"));
        let body = &deep[leaf.body().start as usize..];
        assert_eq!(decode_text(leaf.head(), body.as_bytes()), body);
    }

    #[test]
    fn charset_and_encoding_are_read_as_the_structure_reads_them() {
        for (fields, body) in [
            (
                "Content-Type: text/plain; charset=\"iso-8859-1\"",
                &b"K\xe4se"[..],
            ),
            (
                "content-type: TEXT/plain;\r\n charset*=us-ascii''iso-8859-1",
                b"K\xe4se",
            ),
            (
                "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: BASE64",
                b"S8Okc2U=",
            ),
            (
                "Content-Type: text/calendar\r\nContent-Transfer-Encoding: quoted-printable (c)",
                b"K=C3=A4se",
            ),
            ("Content-Transfer-Encoding: 8bit", "K\u{e4}se".as_bytes()),
        ] {
            let head = format!("{fields}\r\n\r\n");
            assert_eq!(
                decode_text(Head::new(head.as_bytes()), body),
                "K\u{e4}se",
                "{fields}"
            );
        }
    }
}
