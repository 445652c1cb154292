#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod hostile;
mod link;
mod mistakes;
#[cfg(feature = "tokio")]
mod name_server;
#[cfg(feature = "tokio")]
mod real_servers;
mod round_trips;
#[cfg(feature = "route53")]
mod route53;
mod scenarios;
#[cfg(feature = "tokio")]
mod sockets;
#[cfg(feature = "rfc2136")]
mod update;
mod zone;
