use bytes::Bytes;

/// Keys from `start` (included) up to `end` (excluded; `None`: to the last key).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that can be in the range.
    pub start: Bytes,
    /// The first key beyond it.
    pub end: Option<Bytes>,
}

/// The order of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Backward,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self {
            start: Bytes::new(),
            end: None,
        }
    }

    /// `start` included, `end` excluded.
    pub fn new(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self {
            start: start.into(),
            end: Some(end.into()),
        }
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = prefix_end(&start);
        Self { start, end }
    }

    /// The part of the range behind `key`: where a scan forward goes on.
    pub fn after(mut self, key: &[u8]) -> Self {
        self.start = self.start.max(successor(key));
        self
    }

    /// The part of the range before `key`: where a scan backward goes on.
    pub fn before(mut self, key: impl Into<Bytes>) -> Self {
        let key = key.into();
        self.end = Some(match self.end {
            Some(end) => end.min(key),
            None => key,
        });
        self
    }

    /// The part of the range up to `key`, which is included.
    pub(super) fn through(self, key: &[u8]) -> Self {
        self.before(successor(key))
    }

    /// The part of the range from `key` on, which is included.
    pub(super) fn starting_at(mut self, key: Bytes) -> Self {
        self.start = self.start.max(key);
        self
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start <= key && self.end.as_ref().is_none_or(|end| key < end)
    }

    /// Whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

/// The smallest key larger than `key`.
fn successor(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// The smallest key larger than all that begin with `prefix`.
fn prefix_end(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_key_that_does_not_begin_with_it() {
        let range = KeyRange::prefix(&b"a\xff"[..]);
        assert!(range.contains(b"a\xff") && range.contains(b"a\xff\xff\xff"));
        assert!(!range.contains(b"a\xfe\xff") && !range.contains(b"b"));
    }

    #[test]
    fn a_prefix_of_the_largest_bytes_has_no_end() {
        assert_eq!(KeyRange::prefix(&b"\xff\xff"[..]).end, None);
        assert_eq!(KeyRange::prefix(""), KeyRange::all());
    }

    #[test]
    fn going_on_after_a_key_leaves_out_that_key_only() {
        let range = KeyRange::new("a", "d").after(b"b");
        assert!(!range.contains(b"b") && range.contains(b"b\0") && range.contains(b"c"));
        let range = KeyRange::new("a", "d").before("c");
        assert!(range.contains(b"b\xff") && !range.contains(b"c"));
        assert_eq!(KeyRange::new("b", "d").after(b"a"), KeyRange::new("b", "d"));
        assert_eq!(KeyRange::new("b", "d").before("e"), KeyRange::new("b", "d"));
    }
}
