//! The HTTP client that probes and providers are given.

use std::error::Error;

use async_trait::async_trait;
pub use http::{Request, Response};

/// Sends HTTP requests.
///
/// Redirects are answers like any other and are not followed. Whoever is allowed to add domains
/// decides where requests go: a service for others lets its client connect to public addresses only.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Sends one request, whose URI is absolute, and reads at most `limit` octets of the answer's
    /// body; a longer one is an error.
    ///
    /// # Errors
    /// When no answer was had: no connection, an invalid certificate, a time-out.
    async fn send(
        &self,
        request: Request<Vec<u8>>,
        limit: usize,
    ) -> Result<Response<Vec<u8>>, HttpError>;
}

/// An HTTP request without an answer.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {source}")]
pub struct HttpError {
    /// What was asked for.
    pub url: String,
    /// Why there is no answer.
    pub source: Box<dyn Error + Send + Sync>,
}
