#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod hostile;
mod link;
mod mistakes;
mod round_trips;
#[cfg(feature = "route53")]
mod route53;
mod scenarios;
#[cfg(feature = "rfc2136")]
mod update;
mod zone;
