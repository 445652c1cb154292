//! Sessions over a store in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod changes;
#[path = "../../../wm-core/tests/corpora/mod.rs"]
mod corpora;
#[cfg(feature = "tokio")]
mod driver;
mod fetch;
mod house;
mod login;
mod mailboxes;
mod model;
mod search;

/// A message of two parts.
pub(crate) const MESSAGE: &str = "From: Bob <bob@acme.example>\r\nTo: alice@acme.example\r\n\
    Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Tue, 01 Dec 2026 10:00:00 +0100\r\n\
    Message-ID: <1@acme.example>\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\nBis morgen, K=C3=B6nig.\r\n\
    --b\r\nContent-Type: application/pdf; name=a.pdf\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--b--\r\n";
