//! The process's time and randomness, which no library takes for itself.

use std::time::{SystemTime, UNIX_EPOCH};

use wm_core::Timestamp;
use wm_core::traits::{Clock, IdSource};

/// The system's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

/// The system's random numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemRandom;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl IdSource for SystemRandom {
    fn fresh(&self) -> u128 {
        let mut bytes = [0; 16];
        if let Err(error) = getrandom::fill(&mut bytes) {
            panic!("the system gives no random numbers, without which nothing is safe: {error}");
        }
        u128::from_ne_bytes(bytes)
    }
}
