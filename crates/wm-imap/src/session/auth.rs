//! LOGIN and AUTHENTICATE PLAIN (RFC 3501 §6.2, RFC 4616).

use imap_codec::AuthenticateDataCodec;
use imap_codec::decode::Decoder;
use wm_core::Secret;

/// A name and a password.
pub(super) struct Credentials {
    pub(super) name: String,
    pub(super) password: Secret<String>,
}

impl Credentials {
    /// The arguments of LOGIN.
    pub(super) fn new(name: &[u8], password: &[u8]) -> Self {
        Self {
            name: text(name),
            password: Secret::new(text(password)),
        }
    }

    /// A PLAIN message: `[authzid] NUL authcid NUL passwd`. Acting as somebody else is not offered.
    pub(super) fn plain(message: &[u8]) -> Option<Self> {
        let mut fields = message.split(|&b| b == 0);
        let (authorization, name, password) = (fields.next()?, fields.next()?, fields.next()?);
        let own = authorization.is_empty() || authorization == name;
        (own && fields.next().is_none()).then(|| Self::new(name, password))
    }

    /// A line that answers the challenge of PLAIN; `None` when it is no answer.
    pub(super) fn plain_line(line: &[u8]) -> Option<Self> {
        match AuthenticateDataCodec::default().decode(line) {
            Ok((b"", data)) => Self::plain(data.0.declassify()),
            _ => None,
        }
    }
}

/// UTF-8, or else the Latin-1 that older clients send.
fn text(octets: &[u8]) -> String {
    match str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_messages_are_taken_apart() {
        let credentials = Credentials::plain_line(b"AGFsaWNlAMOkcHc=\r\n").unwrap();
        assert_eq!(credentials.name, "alice");
        assert_eq!(credentials.password.expose(), "äpw");
        assert!(Credentials::plain(b"alice\0alice\0pw").is_some());
        assert!(Credentials::plain(b"bob\0alice\0pw").is_none());
        assert!(Credentials::plain(b"\0alice").is_none());
        assert!(Credentials::plain(b"\0alice\0a\0b").is_none());
        assert!(Credentials::plain_line(b"*\r\n").is_none());
    }

    #[test]
    fn octets_that_are_not_utf_8_are_latin_1() {
        assert_eq!(Credentials::new(b"a", b"p\xe4").password.expose(), "pä");
    }
}
