//! The one clock: monotonic, and counting the time in which the machine was suspended.

use rustix::time::{ClockId, clock_gettime};

use crate::protocol::Instant;

// On Apple's systems CLOCK_MONOTONIC itself goes on while the machine sleeps.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

pub(crate) fn now() -> Instant {
    let time = clock_gettime(CLOCK);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds * 1_000_000_000 + nanos)
}

/// How long this machine was suspended since it started, where two of its clocks tell.
pub(crate) fn suspended() -> Option<std::time::Duration> {
    #[cfg(target_os = "linux")]
    {
        let running = clock_gettime(ClockId::Monotonic);
        let running = std::time::Duration::new(
            u64::try_from(running.tv_sec).ok()?,
            u32::try_from(running.tv_nsec).ok()?,
        );
        let all = std::time::Duration::from_nanos(now().as_nanos());
        Some(all.saturating_sub(running))
    }
    #[cfg(not(target_os = "linux"))]
    None
}
