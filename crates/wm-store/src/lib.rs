//! Durable, encrypted mail storage and directory behind the `wm-core` traits.
//!
//! A [`Store`] is a [`MailboxStore`](wm_core::traits::MailboxStore), a
//! [`MailboxSearch`](wm_core::traits::MailboxSearch) and a [`Spool`](wm_core::traits::Spool). It
//! stands on
//!
//! - an [`engine`]: an ordered key-value store for everything small;
//! - [`segment`]s: append-only files for bodies;
//! - [`seal`]: what goes to either is encrypted under keys of its organization.
//!
//! Whatever changes is committed in groups by one thread, and nobody is answered, told or shown
//! anything before it would survive power loss. No call blocks its poll: the store has threads of
//! its own and needs no runtime.
//!
//! What has had its time ends by jobs, which a product runs now and then with the time it has:
//! [`Store::clean_up`], [`Store::compact`], [`Store::expire_states`], [`Store::forget_history`],
//! [`Store::forget_accepted`], and the [`StoredDirectory`](directory::StoredDirectory)'s `remove_retired`
//! and `finish_removals`. Each can be cut short anywhere, by loss of power too, and be begun again.
//!
//! | feature | adds |
//! |---|---|
//! | (none) | the store, and an engine in memory |
//! | `sled`, `redb` | engines on disk |
//! | `contract-tests` | the suite that every engine passes, and files that lose what was not synced |
//!
//! ```
//! use bytes::Bytes;
//! use futures::TryStreamExt;
//! use wm_core::traits::{BodyWriter, Changeset, ItemContent, MailboxStore, Mode, NewItem, Operation, Outcome};
//! use wm_core::model::{Flags, FolderRole, ItemClass, Origin, Protocol, Summary};
//! use wm_core::{ConversationId, MailboxId, MailboxRef, OrganizationId, Timestamp};
//! use wm_store::{Store, StoreParts};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> { futures::executor::block_on(async {
//! let store = Store::open(StoreParts::in_memory()?)?;
//! let mailbox = MailboxRef {
//!     organization: OrganizationId::from_u128(1),
//!     mailbox: MailboxId::from_u128(2),
//! };
//! let now = Timestamp::from_seconds(1_800_000_000);
//!
//! let mut writer = MailboxStore::body_writer(&store, mailbox.organization).await?;
//! writer.write(Bytes::from_static(b"Subject: lunch\r\n\r\nAt noon?\r\n")).await?;
//! let body = writer.finish().await?;
//!
//! let item = NewItem {
//!     folder: FolderRole::Inbox.into(),
//!     delivered: true,
//!     class: ItemClass::default(),
//!     content: ItemContent { prefix: Vec::new(), body, summary: Summary::default() },
//!     received: now,
//!     flags: Flags::NONE,
//!     keywords: [].into(),
//!     categories: [].into(),
//!     conversation: ConversationId::default(),
//!     creator: None,
//!     properties: [].into(),
//! };
//! let changes = Changeset {
//!     origin: Origin::new(Protocol::Imap, "example"),
//!     at: now,
//!     mode: Mode::AllOrNothing,
//!     operations: vec![Operation::AddItem(item)],
//! };
//! // From here on the message survives power loss, in a store that is not in memory.
//! let applied = store.apply(mailbox, changes).await?;
//! let [Outcome::Item { item, .. }] = applied.outcomes[..] else { panic!("one operation") };
//!
//! let content: Vec<Bytes> = MailboxStore::read(&store, mailbox, item, 9..14).await?.try_collect().await?;
//! assert_eq!(content.concat(), b"lunch");
//! # Ok(()) }) }
//! ```

mod check;
mod commit;
mod compact;
pub mod directory;
pub mod engine;
pub mod export;
mod fault;
pub mod import;
mod jobs;
mod journal;
mod keyspace;
mod mailbox;
mod record;
pub mod repair;
pub mod seal;
pub mod segment;
mod spool;
mod state;
mod store;
mod workers;

pub use check::{CheckReport, Finding};
pub use compact::Compaction;
pub use store::{OpenError, Store, StoreParts};
