use super::{EngineError, MAX_KEY, MAX_VALUE};
use bytes::Bytes;

/// Writes that happen together or not at all, and what has to hold for them to happen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// What has to hold before the first write.
    pub preconditions: Vec<Precondition>,
    /// Applied in order: of two writes to one key the later stands.
    pub writes: Vec<Write>,
}

/// What a [`Batch`] expects to find under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precondition {
    /// The key.
    pub key: Bytes,
    /// Its value; `None`: the key is absent.
    pub expected: Option<Bytes>,
}

/// One change of a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Bytes,
    /// Its new value; `None` removes the key, which need not be there.
    pub value: Option<Bytes>,
}

impl Batch {
    /// A batch that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.writes.push(Write {
            key: key.into(),
            value: Some(value.into()),
        });
        self
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: impl Into<Bytes>) -> &mut Self {
        self.writes.push(Write {
            key: key.into(),
            value: None,
        });
        self
    }

    /// The batch happens only if `key` has exactly this value.
    pub fn require(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.preconditions.push(Precondition {
            key: key.into(),
            expected: Some(value.into()),
        });
        self
    }

    /// The batch happens only if `key` is absent.
    pub fn require_absent(&mut self, key: impl Into<Bytes>) -> &mut Self {
        self.preconditions.push(Precondition {
            key: key.into(),
            expected: None,
        });
        self
    }

    /// Whether there is nothing to write and nothing to check.
    pub fn is_empty(&self) -> bool {
        self.preconditions.is_empty() && self.writes.is_empty()
    }

    /// What an engine does first in a commit: refuses keys and values over [`MAX_KEY`] and
    /// [`MAX_VALUE`], then asks `current` for the value of each precondition's key.
    ///
    /// # Errors
    /// [`EngineError::TooLong`], [`EngineError::Conflict`], or what `current` returns.
    pub fn check(
        &self,
        mut current: impl FnMut(&[u8]) -> Result<Option<Bytes>, EngineError>,
    ) -> Result<(), EngineError> {
        for Write { key, value } in &self.writes {
            let value = value.as_ref().map_or(0, Bytes::len);
            if key.len() > MAX_KEY || value > MAX_VALUE {
                return Err(EngineError::TooLong {
                    key: key.len(),
                    value,
                });
            }
        }
        for Precondition { key, expected } in &self.preconditions {
            if current(key)? != *expected {
                return Err(EngineError::Conflict { key: key.clone() });
            }
        }
        Ok(())
    }
}
