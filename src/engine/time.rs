//! A point on the clock that the caller brings along.

use std::ops::{Add, AddAssign};
use std::time::Duration;

/// A point on a monotonic clock that also counts suspended time, in nanoseconds since its start.
///
/// The protocol reads no clock: every event carries its `Instant`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Instant(u64);

impl Instant {
    /// Later than every other: a deadline that never comes.
    pub(crate) const NEVER: Instant = Instant(u64::MAX);

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, zero when `earlier` is the later of the two.
    pub(crate) const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}
