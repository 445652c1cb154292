//! The AutoDiscover endpoints that clients try (DOM-5, ADV-2).

use futures::future::join3;
use http::{Method, Request, StatusCode, header};
use serde::Serialize;
use wm_core::DomainName;

use crate::http::HttpClient;

/// What the endpoints of a domain answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// Phase 2: an unauthenticated POST over HTTPS to the domain and to its `autodiscover` host. One of
    /// them has to work.
    pub phase2: [Endpoint; 2],
    /// Phase 3: an unauthenticated GET over HTTP to the `autodiscover` host, which has to redirect to
    /// an HTTPS endpoint that works as in phase 2.
    pub phase3: Endpoint,
}

/// What one endpoint answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// What was asked.
    pub url: String,
    /// Whether that is right.
    pub works: bool,
    /// The answer, or why there was none.
    pub answer: String,
}

/// No part of an answer's body is of interest.
const BODY_LIMIT: usize = 64 * 1024;

const PATH: &str = "/autodiscover/autodiscover.xml";

impl Probe {
    /// Asks all endpoints at one time.
    pub async fn of(domain: &DomainName, client: &dyn HttpClient) -> Self {
        let (bare, host, redirect) = join3(
            post(format!("https://{domain}{PATH}"), client),
            post(format!("https://autodiscover.{domain}{PATH}"), client),
            get(format!("http://autodiscover.{domain}{PATH}"), client),
        )
        .await;
        Self {
            phase2: [bare, host],
            phase3: redirect,
        }
    }

    /// Whether phase 2 and phase 3 both lead to a working endpoint: the guide's checkmark.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.phase3.works && self.phase2.iter().any(|endpoint| endpoint.works)
    }
}

/// An endpoint that works answers 401 to whoever does not say who they are.
async fn post(url: String, client: &dyn HttpClient) -> Endpoint {
    let request = Request::post(&url)
        .header(header::CONTENT_TYPE, "text/xml")
        .body(Vec::new());
    let (works, answer) = match request {
        Err(error) => (false, error.to_string()),
        Ok(request) => match client.send(request, BODY_LIMIT).await {
            Err(error) => (false, error.source.to_string()),
            Ok(response) => (
                response.status() == StatusCode::UNAUTHORIZED,
                response.status().to_string(),
            ),
        },
    };
    Endpoint { url, works, answer }
}

async fn get(url: String, client: &dyn HttpClient) -> Endpoint {
    let endpoint = |works, answer| Endpoint {
        url: url.clone(),
        works,
        answer,
    };
    let request = match Request::builder()
        .method(Method::GET)
        .uri(&url)
        .body(Vec::new())
    {
        Err(error) => return endpoint(false, error.to_string()),
        Ok(request) => request,
    };
    let response = match client.send(request, BODY_LIMIT).await {
        Err(error) => return endpoint(false, error.source.to_string()),
        Ok(response) => response,
    };
    let location = response
        .headers()
        .get(header::LOCATION)
        .and_then(|location| location.to_str().ok());
    match (response.status(), location) {
        (StatusCode::FOUND, Some(location)) if is_https(location) => {
            let target = post(location.to_owned(), client).await;
            endpoint(
                target.works,
                format!("{} to {location}: {}", response.status(), target.answer),
            )
        }
        (status, Some(location)) => endpoint(
            false,
            format!("{status} to {location}, expected 302 to https"),
        ),
        (status, None) => endpoint(false, format!("{status}, expected 302")),
    }
}

fn is_https(location: &str) -> bool {
    location
        .get(..8)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures::executor::block_on;
    use http::Response;

    use super::*;
    use crate::http::HttpError;

    /// Answers by method and URL: status and Location.
    struct Web(&'static [(&'static str, u16, &'static str)]);

    #[async_trait]
    impl HttpClient for Web {
        async fn send(
            &self,
            request: Request<Vec<u8>>,
            _: usize,
        ) -> Result<Response<Vec<u8>>, HttpError> {
            let asked = format!("{} {}", request.method(), request.uri());
            match self.0.iter().find(|(known, ..)| *known == asked) {
                None => Err(HttpError {
                    url: request.uri().to_string(),
                    source: "connection refused".into(),
                }),
                Some((_, status, "")) => {
                    Ok(Response::builder().status(*status).body(vec![]).unwrap())
                }
                Some((_, status, location)) => Ok(Response::builder()
                    .status(*status)
                    .header("Location", *location)
                    .body(vec![])
                    .unwrap()),
            }
        }
    }

    fn probe(web: Web) -> Probe {
        block_on(Probe::of(&"company.example".parse().unwrap(), &web))
    }

    #[test]
    fn a_service_behind_the_autodiscover_host_is_complete() {
        let found = probe(Web(&[
            (
                "POST https://autodiscover.company.example/autodiscover/autodiscover.xml",
                401,
                "",
            ),
            (
                "GET http://autodiscover.company.example/autodiscover/autodiscover.xml",
                302,
                "https://mail.example.net/autodiscover/autodiscover.xml",
            ),
            (
                "POST https://mail.example.net/autodiscover/autodiscover.xml",
                401,
                "",
            ),
        ]));
        assert!(found.is_complete());
        assert_eq!(found.phase2.map(|endpoint| endpoint.works), [false, true]);
    }

    #[test]
    fn what_is_not_right_is_said() {
        let found = probe(Web(&[
            (
                "POST https://company.example/autodiscover/autodiscover.xml",
                404,
                "",
            ),
            (
                "GET http://autodiscover.company.example/autodiscover/autodiscover.xml",
                301,
                "https://mail.example.net/",
            ),
        ]));
        assert!(!found.is_complete());
        assert_eq!(found.phase2[0].answer, "404 Not Found");
        assert_eq!(found.phase2[1].answer, "connection refused");
        assert_eq!(
            found.phase3.answer,
            "301 Moved Permanently to https://mail.example.net/, expected 302 to https"
        );
    }

    #[test]
    fn a_redirect_counts_only_if_its_target_works_and_is_safe() {
        const GET: &str = "GET http://autodiscover.company.example/autodiscover/autodiscover.xml";
        assert!(
            !probe(Web(&[(GET, 302, "http://mail.example.net/")]))
                .phase3
                .works
        );
        let found = probe(Web(&[
            (GET, 302, "https://mail.example.net/"),
            ("POST https://mail.example.net/", 200, ""),
        ]));
        assert!(!found.phase3.works);
        assert_eq!(
            found.phase3.answer,
            "302 Found to https://mail.example.net/: 200 OK"
        );
    }
}
