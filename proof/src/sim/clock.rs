//! The time of the world, and the clocks in it, which run unequally.

use std::time::Duration;

use crate::engine::Instant;

/// Nanoseconds of the world since the beginning. No process can see them.
pub(super) type Time = u64;

pub(super) const NEVER: Time = u64::MAX;

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

/// A clock that never stands still and never goes back. Its rate is in millionths of the world's.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    rate: u64,
    since: Time,
    read: u64,
}

const MILLION: u128 = 1_000_000;

impl Clock {
    pub(super) fn new(rate: u64, read: u64) -> Clock {
        Clock {
            rate,
            since: 0,
            read,
        }
    }

    pub(super) fn set_rate(&mut self, now: Time, rate: u64) {
        *self = Clock {
            rate,
            since: now,
            read: self.at(now).as_nanos(),
        };
    }

    pub(super) fn at(&self, now: Time) -> Instant {
        let passed = u128::from(now - self.since) * u128::from(self.rate) / MILLION;
        Instant::from_nanos(self.read + passed as u64)
    }

    /// When the clock will read `instant`, at the earliest.
    pub(super) fn when(&self, instant: Instant) -> Time {
        if instant == Instant::NEVER {
            return NEVER;
        }
        let left = u128::from(instant.as_nanos().saturating_sub(self.read));
        let passed = (left * MILLION).div_ceil(u128::from(self.rate));
        self.since + u64::try_from(passed).unwrap_or(NEVER / 2)
    }

    /// How long the world takes until `duration` has passed on this clock.
    pub(super) fn lasts(&self, duration: Duration) -> u64 {
        (duration.as_nanos() * MILLION).div_ceil(u128::from(self.rate)) as u64
    }
}
