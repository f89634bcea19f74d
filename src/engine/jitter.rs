//! Chance, from a seed: the machine stays a function of its inputs.

use std::time::Duration;

/// A small xorshift generator; with seed 0 it always answers the middle, for the model checker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Jitter(seed)
    }

    /// Any duration from zero up to `limit`.
    pub(crate) fn up_to(&mut self, limit: Duration) -> Duration {
        if self.0 == 0 {
            return limit / 2;
        }
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let thousandths = u32::try_from(self.0 >> 40).unwrap_or(0) % 1000;
        limit * thousandths / 1000
    }

    /// `duration`, give or take a quarter.
    pub(crate) fn around(&mut self, duration: Duration) -> Duration {
        duration * 3 / 4 + self.up_to(duration / 2)
    }
}
