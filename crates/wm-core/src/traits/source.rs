use crate::Timestamp;

/// The time. The only place a service learns it.
pub trait Clock: Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;
}

/// Fresh values: ids, nonces, tokens. The only place a service gets randomness.
pub trait IdSource: Send + Sync {
    /// 128 bits that have not been given out before and cannot be guessed.
    fn fresh(&self) -> u128;
}

impl<T: Fn() -> Timestamp + Send + Sync> Clock for T {
    fn now(&self) -> Timestamp {
        self()
    }
}
