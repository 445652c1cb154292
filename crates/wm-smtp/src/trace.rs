//! Trace headers (RFC 5321 §4.4), as text put in front of a message.

use std::fmt;
use std::net::IpAddr;

use mail_parser::DateTime;
use wm_core::traits::ReversePath;
use wm_core::{AcceptId, DomainName, EmailAddress, Timestamp};

use crate::codec::HeloName;

/// Where a message came from, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// What the client called itself.
    pub client: HeloName,
    /// The address it connected from.
    pub peer: IpAddr,
    /// The protocol, as [`Session::protocol`](crate::server::Session::protocol) names it.
    pub protocol: &'static str,
}

/// The Return-Path and Received fields of one delivery. `Display` gives them as lines with CRLF.
///
/// ```
/// use wm_core::{AcceptId, Timestamp, traits::ReversePath};
/// use wm_smtp::trace::{Hop, Trace};
///
/// let trace = Trace {
///     reverse_path: &ReversePath::NULL,
///     hop: &Hop { client: "client.example".parse()?, peer: [192, 0, 2, 1].into(), protocol: "ESMTPS" },
///     by: &"mx.example.org".parse()?,
///     id: AcceptId::from_u128(7),
///     recipient: &"bob@example.org".parse()?,
///     at: Timestamp::from_seconds(1_800_000_000),
/// };
/// assert_eq!(
///     trace.to_string(),
///     "Return-Path: <>\r\n\
///      Received: from client.example ([192.0.2.1])\r\n\
///      \tby mx.example.org with ESMTPS id a-00000000000000000000000000000007\r\n\
///      \tfor <bob@example.org>; Fri, 15 Jan 2027 08:00:00 +0000\r\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Trace<'a> {
    /// The envelope's sender.
    pub reverse_path: &'a ReversePath,
    /// Where the message came from.
    pub hop: &'a Hop,
    /// The server that took it.
    pub by: &'a DomainName,
    /// The id it was taken under.
    pub id: AcceptId,
    /// The envelope's recipient that this delivery is for; no other is named.
    pub recipient: &'a EmailAddress,
    /// When it was taken.
    pub at: Timestamp,
}

impl fmt::Display for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hop {
            client,
            peer,
            protocol,
        } = self.hop;
        write!(
            f,
            "Return-Path: {}\r\nReceived: from {client} (",
            self.reverse_path
        )?;
        match peer.to_canonical() {
            IpAddr::V4(peer) => write!(f, "[{peer}]")?,
            IpAddr::V6(peer) => write!(f, "[IPv6:{peer}]")?,
        }
        write!(
            f,
            ")\r\n\tby {} with {protocol} id {}\r\n",
            self.by, self.id
        )?;
        let date = DateTime::from_timestamp(self.at.as_seconds()).to_rfc822();
        write!(f, "\tfor <{}>; {date}\r\n", self.recipient.original())
    }
}
