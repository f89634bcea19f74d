//! The clock that all processes of this machine share. It goes on while the machine is suspended.

use rustix::time::{ClockId, clock_gettime};

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// In nanoseconds.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(CLOCK);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
