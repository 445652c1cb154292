//! Decoding: encoded words (RFC 2047) and the text of a part (transfer encoding, charset, HTML).

use mail_parser::{HeaderName, MessageParser};

use super::head::{Field, Head};

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
/// anywhere is decoded as far as it goes.
///
/// ```
/// use wm_core::content::{Head, decode_text};
///
/// let head = Head::new(b"Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n");
/// assert_eq!(decode_text(head, b"PGI+S+RzZTwvYj4=").trim(), "Käse");
/// ```
pub fn decode_text(head: Head<'_>, body: &[u8]) -> String {
    let mut leaf = Vec::with_capacity(body.len() + 512);
    for name in ["content-type", "content-transfer-encoding"] {
        leaf.extend_from_slice(
            head.first(name)
                .map(|field| field.raw())
                .unwrap_or_default(),
        );
    }
    leaf.extend_from_slice(b"\r\n");
    leaf.extend_from_slice(body);
    let parsed = MessageParser::new().with_mime_headers().parse(&leaf);
    parsed
        .and_then(|message| message.body_text(0).map(|text| text.into_owned()))
        .unwrap_or_default()
}
