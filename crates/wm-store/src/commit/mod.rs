//! The one place where anything is changed.
//!
//! Requests are closures over a [`Transaction`]. One thread takes them in order, evaluates as many
//! as are waiting against the state that the ones before them leave, and commits them as one group:
//! it syncs the body segments, then the engine. Only then do callers get their answers, readers see
//! the changes and watchers wake. So a group costs two syncs, however many wait for it, and whoever
//! assigns a number in a request (a UID, a modification sequence) needs no lock and never assigns it
//! twice.
//!
//! While a group is being synced the next one gathers; nothing waits for company.

mod committer;
mod overlay;
mod watch;

pub(crate) use committer::{CommitError, Committer};
pub(crate) use overlay::Transaction;
pub(crate) use watch::Watchers;
