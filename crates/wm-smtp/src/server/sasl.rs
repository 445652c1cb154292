//! The server's side of AUTH PLAIN (RFC 4616) and LOGIN.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use wm_core::Secret;

use super::replies;
use crate::codec::{Mechanism, Reply};

/// What a client authenticates with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// How it was sent.
    pub mechanism: Mechanism,
    /// Whom the client wants to act as, if it says so (PLAIN's authorization identity).
    pub authorization: Option<String>,
    /// Who it says it is (CLT-2).
    pub authentication: String,
    /// The password.
    pub password: Secret<String>,
}

/// An exchange that waits for the client's next line.
#[derive(Debug)]
pub(super) enum Exchange {
    Plain,
    LoginName,
    LoginPassword(String),
}

/// Where a line has brought an exchange.
#[derive(Debug)]
pub(super) enum Progress {
    /// On to the next line, behind this challenge (base64).
    Challenge(Exchange, &'static str),
    /// To its end.
    Complete(Credentials),
}

impl Exchange {
    /// Begins an exchange; an initial response of `=` is an empty one (RFC 4954 §4).
    pub(super) fn begin(
        mechanism: Mechanism,
        initial: Option<&Secret<String>>,
    ) -> Result<Progress, Reply> {
        let exchange = match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::Login => Self::LoginName,
        };
        match initial.map(|text| text.expose().as_str()) {
            None => Ok(exchange.challenge()),
            Some("=") => exchange.respond(b""),
            Some(text) => exchange.respond(text.as_bytes()),
        }
    }

    /// Goes on with the client's line.
    pub(super) fn respond(self, line: &[u8]) -> Result<Progress, Reply> {
        if line == b"*" {
            return Err(replies::AUTH_CANCELLED);
        }
        let response = decode(line).ok_or(replies::BAD_ENCODING)?;
        match self {
            Self::Plain => plain(response.expose())
                .ok_or(replies::BAD_ENCODING)
                .map(Progress::Complete),
            Self::LoginName => Ok(Self::LoginPassword(response.expose().clone()).challenge()),
            Self::LoginPassword(name) => Ok(Progress::Complete(Credentials {
                mechanism: Mechanism::Login,
                authorization: None,
                authentication: name,
                password: response,
            })),
        }
    }

    fn challenge(self) -> Progress {
        let challenge = match self {
            Self::Plain => "",
            Self::LoginName => "VXNlcm5hbWU6",
            Self::LoginPassword(_) => "UGFzc3dvcmQ6",
        };
        Progress::Challenge(self, challenge)
    }
}

/// `[authzid] NUL authcid NUL passwd`
fn plain(message: &str) -> Option<Credentials> {
    let mut fields = message.split('\0');
    let (authorization, authentication) = (fields.next()?, fields.next()?);
    let password = fields.next()?;
    if fields.next().is_some() || authentication.is_empty() || password.is_empty() {
        return None;
    }
    Some(Credentials {
        mechanism: Mechanism::Plain,
        authorization: (!authorization.is_empty()).then(|| authorization.to_owned()),
        authentication: authentication.to_owned(),
        password: password.into(),
    })
}

/// UTF-8 in base64; clients differ about padding.
fn decode(line: &[u8]) -> Option<Secret<String>> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
    String::from_utf8(BASE64.decode(line).ok()?)
        .ok()
        .map(Secret::new)
}
