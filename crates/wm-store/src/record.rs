//! How values stand in the engine: postcard behind a format byte, sealed.

use crate::{commit::Transaction, engine::Snapshot, fault::Fault, seal::KeySet};
use serde::{Serialize, de::DeserializeOwned};

/// Format of every record: the first byte of what is sealed. A record whose postcard changes gets
/// the next number, and [`KeySet::open_record`] a way to read both.
const FORMAT: u8 = 1;

/// A value of the engine.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// What errors call it.
    const NAME: &'static str;
}

impl KeySet {
    /// The record under `key`, if there is one.
    pub(crate) fn read_record<R: Record>(
        &self,
        state: &dyn Snapshot,
        key: &[u8],
    ) -> Result<Option<R>, Fault> {
        let sealed = state.get(key)?;
        sealed
            .map(|sealed| self.open_record(key, &sealed))
            .transpose()
    }

    /// Puts a record under `key`.
    pub(crate) fn write_record<R: Record>(
        &self,
        transaction: &mut Transaction<'_>,
        key: Vec<u8>,
        record: &R,
    ) -> Result<(), Fault> {
        let sealed = self.seal_record(&key, record)?;
        transaction.put(key, sealed);
        Ok(())
    }

    /// Seals a record that is to stand under `key`.
    pub(crate) fn seal_record<R: Record>(&self, key: &[u8], record: &R) -> Result<Vec<u8>, Fault> {
        let damaged = |source| Fault::Record {
            what: R::NAME,
            key: key.to_vec(),
            source,
        };
        let plain = postcard::to_extend(record, vec![FORMAT]).map_err(|_| damaged(None))?;
        self.seal_value(key, &plain)
            .map_err(|source| damaged(Some(source)))
    }

    /// The record that stands under `key`.
    pub(crate) fn open_record<R: Record>(&self, key: &[u8], sealed: &[u8]) -> Result<R, Fault> {
        let damaged = |source| Fault::Record {
            what: R::NAME,
            key: key.to_vec(),
            source,
        };
        let plain = self
            .open_value(key, sealed)
            .map_err(|source| damaged(Some(source)))?;
        match plain.split_first() {
            Some((&FORMAT, body)) => postcard::from_bytes(body).map_err(|_| damaged(None)),
            _ => Err(damaged(None)),
        }
    }
}
