//! The traits every other crate is written against (feature `traits`).
//!
//! All are object-safe, `Send + Sync`, and bound to no runtime: an implementation that blocks owns
//! its threads and answers through a channel, so that no poll ever blocks. Where a trait has a
//! contract suite it is in [`contract`](crate::contract); run it on your implementation.

mod audit;
mod config;
mod directory;
mod free_busy;
mod hook;
mod keys;
mod mailbox;
mod operation;
mod resolver;
mod search;
mod source;
mod spam;
mod spool;
mod state;
mod submit;
mod transport;

pub use audit::{AuditError, AuditEvent, AuditLog, AuditOutcome, AuditQuery};
pub use config::{ConfigDocument, ConfigKey, ConfigKind, ConfigStore};
pub use directory::{
    AuthError, Directory, DirectoryAdmin, DirectoryChange, DirectoryError, Login, NewGroup,
    NewOrganization, NewResource, NewUser, PasswordFault, Resolution, UserUpdate,
};
pub use free_busy::{BusyKind, BusyTime, FreeBusy, FreeBusyError};
pub use hook::{EventHook, HookError, HookInvocation};
pub use keys::{KeyError, KeyService, WrappedKey};
pub use mailbox::{
    Body, BodyStream, BodyWriter, Changes, Cursor, FolderChanges, ItemList, ListBy, MailboxStore,
    Page, StoreError, Watch,
};
pub use operation::{
    Applied, Changeset, Expect, FolderTarget, FolderUpdate, ItemContent, ItemUpdate, LabelChange,
    Mode, NewFolder, NewItem, Operation, Outcome,
};
pub use resolver::{
    Answer, DnsName, LookupError, ParseDnsNameError, Record, RecordData, RecordType, Resolver, Txt,
};
pub use search::{MailboxSearch, SearchHit, SearchQuery, Term};
pub use source::{Clock, IdSource};
pub use spam::{SpamFilter, SpamVerdict};
pub use spool::{
    Acceptance, Accepted, Counter, CounterScope, Delivery, Lease, NewTask, Reschedule, ReversePath,
    Spool, SpoolError, Task, TaskKind,
};
pub use state::{
    ProtocolState, STATE_RECORD_SIZE, StateError, StateKey, StateRecord, StateVersion,
};
pub use submit::{Submission, Submit, SubmitError};
pub use transport::{NextHop, RecipientOutcome, Transport, TransportError};
