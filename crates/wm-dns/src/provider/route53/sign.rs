//! Requests signed for AWS (Signature Version 4).

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue, Request};
use sha2::{Digest, Sha256};
use wm_core::{Secret, Timestamp};

/// An access key.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Its id (`AWS_ACCESS_KEY_ID`).
    pub access_key_id: String,
    /// Its secret (`AWS_SECRET_ACCESS_KEY`).
    pub secret_access_key: Secret<String>,
    /// The token of a key that is lent for some hours (`AWS_SESSION_TOKEN`).
    pub session_token: Option<Secret<String>>,
}

/// Where a signature is good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// A request cannot be signed: a header or the target holds characters that it may not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be signed")]
pub(super) struct Unsignable;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Adds date, token and signature to a request that has its `Host`. Its path is signed as it stands:
/// it holds nothing that would have to be escaped.
pub(super) fn sign(
    request: &mut Request<Vec<u8>>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: Timestamp,
) -> Result<(), Unsignable> {
    let (day, time) = date_and_time(now);
    let date = format!("{day}T{time}Z");
    let headers = request.headers_mut();
    headers.insert(DATE, value(&date)?);
    if let Some(token) = &credentials.session_token {
        headers.insert(TOKEN, value(token.expose())?);
    }
    let signed = names(request);
    let Scope { region, service } = scope;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let canonical = hexadecimal(&Sha256::digest(canonical(request, &signed)?));
    let text = format!("{ALGORITHM}\n{date}\n{scope}\n{canonical}");
    let secret = format!("AWS4{}", credentials.secret_access_key.expose());
    let secret = Secret::new(secret);
    let words = [day.as_str(), region, service, "aws4_request", &text];
    let start = secret.expose().as_bytes().to_vec();
    let signature = words.iter().fold(start, |key, word| mac(&key, word));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={}",
        credentials.access_key_id,
        signed.join(";"),
        hexadecimal(&signature)
    );
    request
        .headers_mut()
        .insert(http::header::AUTHORIZATION, value(&authorization)?);
    Ok(())
}

/// The headers that are signed, in order.
fn names(request: &Request<Vec<u8>>) -> Vec<&'static str> {
    let names = ["content-type", "host", "x-amz-date", "x-amz-security-token"];
    let present = names
        .into_iter()
        .filter(|name| request.headers().contains_key(*name));
    present.collect()
}

/// The request as it is signed.
fn canonical(request: &Request<Vec<u8>>, signed: &[&str]) -> Result<String, Unsignable> {
    let mut text = format!("{}\n{}\n", request.method(), request.uri().path());
    let mut parameters: Vec<&str> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .collect();
    parameters.sort_unstable();
    text.push_str(&parameters.join("&"));
    text.push('\n');
    for name in signed {
        let value = request.headers().get(*name).ok_or(Unsignable)?;
        let value = value.to_str().map_err(|_| Unsignable)?.trim();
        let _ = writeln!(text, "{name}:{value}");
    }
    let body = hexadecimal(&Sha256::digest(request.body()));
    let _ = write!(text, "\n{}\n{body}", signed.join(";"));
    Ok(text)
}

fn value(text: &str) -> Result<HeaderValue, Unsignable> {
    HeaderValue::from_str(text).map_err(|_| Unsignable)
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hexadecimal(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    for octet in octets {
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// `20150830` and `123600` in UTC.
fn date_and_time(now: Timestamp) -> (String, String) {
    const DAY: i64 = 86_400;
    let (days, second) = (
        now.as_seconds().div_euclid(DAY),
        now.as_seconds().rem_euclid(DAY),
    );
    // Years are counted from a March, so that the day of leap years comes last.
    let since_year_0 = days.saturating_add(719_468);
    let (era, day_of_era) = (
        since_year_0.div_euclid(146_097),
        since_year_0.rem_euclid(146_097),
    );
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (
        format!("{year:04}{month:02}{day:02}"),
        format!(
            "{:02}{:02}{:02}",
            second / 3_600,
            second / 60 % 60,
            second % 60
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the time of AWS's published Signature Version 4 test suite.
    fn example() -> Credentials {
        Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        }
    }
    const AT: Timestamp = Timestamp::from_seconds(1_440_938_160);
    const SCOPE: Scope<'_> = Scope {
        region: "us-east-1",
        service: "service",
    };

    fn signature(method: &str, target: &str) -> String {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://example.amazonaws.com{target}"))
            .header("host", "example.amazonaws.com")
            .body(Vec::new())
            .unwrap();
        sign(&mut request, &example(), SCOPE, AT).unwrap();
        let text = request.headers()["authorization"].to_str().unwrap();
        let start = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature=";
        text.strip_prefix(start).unwrap().to_owned()
    }

    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        for (method, target, expected) in [
            (
                "GET",
                "/",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "/",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "GET",
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            assert_eq!(signature(method, target), expected, "{method} {target}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date, time) in [
            (0, "19700101", "000000"),
            (951_782_399, "20000228", "235959"),
            (951_782_400, "20000229", "000000"),
            (951_868_800, "20000301", "000000"),
            (1_440_938_160, "20150830", "123600"),
            (1_735_689_599, "20241231", "235959"),
            (4_107_542_400, "21000301", "000000"),
        ] {
            let found = date_and_time(Timestamp::from_seconds(seconds));
            assert_eq!(found, (date.into(), time.into()), "{seconds}");
        }
    }

    #[test]
    fn a_lent_key_sends_its_token_under_the_signature() {
        let mut request = Request::builder()
            .uri("https://example.amazonaws.com/")
            .header("host", "example.amazonaws.com")
            .body(Vec::new())
            .unwrap();
        let credentials = Credentials {
            session_token: Some("lent".into()),
            ..example()
        };
        sign(&mut request, &credentials, SCOPE, AT).unwrap();
        assert_eq!(request.headers()["x-amz-security-token"], "lent");
        let text = request.headers()["authorization"].to_str().unwrap();
        assert!(text.contains("SignedHeaders=host;x-amz-date;x-amz-security-token,"));
        let broken = Credentials {
            session_token: Some("a\nb".into()),
            ..example()
        };
        assert_eq!(sign(&mut request, &broken, SCOPE, AT), Err(Unsignable));
    }
}
