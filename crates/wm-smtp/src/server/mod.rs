//! The server's side of SMTP (RFC 5321), without I/O.

mod config;
mod replies;
mod sasl;
mod session;

pub use config::{Config, Role};
pub use sasl::Credentials;
pub use session::{Event, Session};
