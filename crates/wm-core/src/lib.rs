//! What every wm crate shares: addresses, the domain model, the traits the protocols are written
//! against, and the access layer between them.
//!
//! | feature | adds |
//! |---|---|
//! | (none) | [`address`], [`model`], ids, [`Limits`], [`Timestamp`]: plain values |
//! | `traits` | [`traits`]: stores, directory, spool, transport …; [`access`]: mailbox sessions |
//! | `content` | [`content`]: what is inside an item |
//! | `contract-tests` | [`contract`]: suites that every implementation of a trait passes |
//!
//! Features only add. Nothing here reads a clock, draws a random number or does I/O.
//!
//! ```
//! use wm_core::{DomainName, EmailAddress};
//!
//! let address: EmailAddress = "Info@BÜCHER.example".parse()?;
//! assert_eq!(address, "info@xn--bcher-kva.example".parse()?);
//! assert_eq!(*address.domain(), "bücher.example".parse::<DomainName>()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "traits")]
pub mod access;
pub mod address;
#[cfg(feature = "content")]
pub mod content;
#[cfg(feature = "contract-tests")]
pub mod contract;
mod id;
mod limits;
pub mod model;
#[cfg(feature = "traits")]
mod secret;
mod time;
#[cfg(feature = "traits")]
pub mod traits;

pub use address::{AddressError, AddressErrorKind, DomainName, EmailAddress, LocalPart};
pub use id::{
    AcceptId, AccountId, BodyId, ConversationId, FolderId, GroupId, ItemId, MailboxId, MailboxRef,
    ModSeq, OrganizationId, ParseIdError, ResourceId, TaskId, Uid, UidValidity, UserId,
};
pub use limits::Limits;
#[cfg(feature = "traits")]
pub use secret::Secret;
pub use time::Timestamp;
