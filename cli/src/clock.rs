//! Deadlines that two processes of one machine understand alike: nanoseconds on the clock that also counts
//! the time in which the machine is suspended.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
// On Apple's systems CLOCK_MONOTONIC itself goes on while the machine sleeps.
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(u64);

impl Instant {
    pub(crate) fn now() -> Instant {
        let time = clock_gettime(CLOCK);
        let part = |number: i64| u64::try_from(number).unwrap_or(0);
        Instant(part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec))
    }

    /// How long after `earlier`; zero where it is not.
    pub(crate) fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    pub(crate) fn as_nanos(self) -> u64 {
        self.0
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}
