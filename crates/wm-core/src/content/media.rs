//! Content-Type and Content-Disposition: a value with parameters (RFC 2045 §5.1, RFC 2183 §2).

use std::borrow::Cow;

use mail_parser::{MessageParser, MimeHeaders};

use super::head::{Token, Tokens};

/// Parameters beyond this number are ignored.
const MAX_PARAMETERS: usize = 64;

/// A field body of the form `value *(";" attribute "=" value)`, undecoded: RFC 2231 parameters keep their asterisks
/// and percent signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameterised<'a> {
    value: &'a [u8],
    parameters: Vec<(&'a [u8], Cow<'a, [u8]>)>,
}

impl<'a> Parameterised<'a> {
    /// Reads an unfolded field body. A value that should have been quoted extends to the next semicolon; a semicolon
    /// may be missing where a parameter obviously begins.
    ///
    /// ```
    /// use wm_core::content::Parameterised;
    ///
    /// let field = Parameterised::parse(b"text/plain; charset=us-ascii (Plain text); name=\"a b.txt\"");
    /// assert_eq!(field.media_type(), Some((&b"text"[..], &b"plain"[..])));
    /// assert_eq!(field.parameter("Charset"), Some(&b"us-ascii"[..]));
    /// assert_eq!(field.parameter("name"), Some(&b"a b.txt"[..]));
    /// ```
    pub fn parse(body: &'a [u8]) -> Self {
        let mut tokens = Tokens::new(body);
        skip_comments(&mut tokens);
        let value = tokens.take_until(b"; \t(");
        let mut parameters = Vec::new();
        while parameters.len() < MAX_PARAMETERS {
            skip_comments(&mut tokens);
            if tokens.skip_byte(b';') {
                continue;
            }
            let attribute = tokens.take_until(b"=;").trim_ascii();
            if tokens.rest().is_empty() {
                break;
            }
            if tokens.skip_byte(b'=') {
                skip_comments(&mut tokens);
                let value = parameter_value(&mut tokens);
                parameters.extend((!attribute.is_empty()).then_some((attribute, value)));
            }
        }
        Self { value, parameters }
    }

    /// What stands before the first parameter: `attachment`, `text/plain`. Empty when there is nothing.
    pub fn value(&self) -> &'a [u8] {
        self.value
    }

    /// Whether the value is `word`, without regard to case.
    pub fn is(&self, word: &str) -> bool {
        self.value.eq_ignore_ascii_case(word.as_bytes())
    }

    /// Type and subtype, when the value is a media type.
    pub fn media_type(&self) -> Option<(&'a [u8], &'a [u8])> {
        let slash = self.value.iter().position(|&b| b == b'/')?;
        let (kind, subtype) = (
            self.value.get(..slash)?.trim_ascii(),
            self.value.get(slash + 1..)?.trim_ascii(),
        );
        let is_token =
            |t: &[u8]| !t.is_empty() && t.iter().all(|&b| b.is_ascii_graphic() && b != b'/');
        (is_token(kind) && is_token(subtype)).then_some((kind, subtype))
    }

    /// The parameters in order, undecoded.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a [u8], &[u8])> {
        self.parameters
            .iter()
            .map(|(attribute, value)| (*attribute, value.as_ref()))
    }

    /// The first parameter of that name, without regard to case.
    pub fn parameter(&self, attribute: &str) -> Option<&[u8]> {
        self.parameters()
            .find(|(name, _)| name.eq_ignore_ascii_case(attribute.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The parameter of that name, decoded: RFC 2231 charsets and continuations, or encoded words put where they should
    /// not be.
    ///
    /// ```
    /// use wm_core::content::Parameterised;
    ///
    /// let field = Parameterised::parse(b"attachment; filename*0*=utf-8''%e2%82%ac; filename*1=\" rates.txt\"");
    /// assert_eq!(field.decoded("filename").as_deref(), Some("€ rates.txt"));
    /// ```
    pub fn decoded(&self, attribute: &str) -> Option<String> {
        let mut field = b"Content-Type: x".to_vec();
        for (name, value) in self.parameters() {
            field.extend_from_slice(b";\r\n ");
            field.extend_from_slice(name);
            field.extend_from_slice(if name.ends_with(b"*") { b"=" } else { b"=\"" });
            for byte in value {
                field.extend_from_slice(if matches!(byte, b'"' | b'\\') {
                    b"\\"
                } else {
                    b""
                });
                field.push(*byte);
            }
            field.extend_from_slice(if name.ends_with(b"*") { b"" } else { b"\"" });
        }
        field.extend_from_slice(b"\r\n\r\n");
        let parsed = MessageParser::new()
            .with_mime_headers()
            .parse_headers(&field)?;
        parsed
            .content_type()?
            .attribute(attribute)
            .map(str::to_owned)
    }
}

fn parameter_value<'a>(tokens: &mut Tokens<'a>) -> Cow<'a, [u8]> {
    if tokens.rest().starts_with(b"\"") {
        return match tokens.next() {
            Some(Token::Quoted(value)) => value,
            _ => Cow::Borrowed(&[]),
        };
    }
    let bare = tokens.take_until(b";").trim_ascii();
    let word = Tokens::new(bare).take_until(b" \t(");
    let only_comments = Tokens::new(bare.get(word.len()..).unwrap_or_default())
        .all(|t| matches!(t, Token::Comment(_)));
    Cow::Borrowed(if only_comments { word } else { bare })
}

fn skip_comments(tokens: &mut Tokens<'_>) {
    loop {
        tokens.skip_space();
        if !tokens.rest().starts_with(b"(") {
            return;
        }
        tokens.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(body: &str) -> Vec<(String, String)> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Parameterised::parse(body.as_bytes())
            .parameters()
            .map(|(a, v)| (text(a), text(v)))
            .collect()
    }

    #[test]
    fn parameters_are_read_from_well_formed_and_careless_fields() {
        let cases: [(&str, &[(&str, &str)]); 10] = [
            ("text/plain", &[]),
            (
                r#"multipart/mixed; boundary="a;b=c""#,
                &[("boundary", "a;b=c")],
            ),
            ("text/plain; charset = utf-8 ;", &[("charset", "utf-8")]),
            (
                "application/x; name=two words.txt; x=y",
                &[("name", "two words.txt"), ("x", "y")],
            ),
            (
                "application/x; name=report (1).txt",
                &[("name", "report (1).txt")],
            ),
            (
                "attachment; filename*0*=utf-8''a%20; filename*1=b",
                &[("filename*0*", "utf-8''a%20"), ("filename*1", "b")],
            ),
            ("text/plain;; =x; y; z=", &[("z", "")]),
            (
                r#"multipart/mixed boundary="b" x=y"#,
                &[("boundary", "b"), ("x", "y")],
            ),
            (r#"; filename="a" b; c=d"#, &[("filename", "a"), ("c", "d")]),
            (r#"text/plain; name="open"#, &[("name", "open")]),
        ];
        for (body, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|(a, v)| (a.to_string(), v.to_string()))
                .collect();
            assert_eq!(parameters(body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_no_media_type_is_none() {
        for body in [
            "",
            "text",
            "text/",
            "/plain",
            "te xt/plain",
            "a/b/c",
            ";charset=x",
        ] {
            assert_eq!(
                Parameterised::parse(body.as_bytes()).media_type(),
                None,
                "{body}"
            );
        }
        assert!(
            Parameterised::parse(b" (c) text/plain(d)")
                .media_type()
                .is_some()
        );
    }
}
