//! States that differ in the time of day alone are the same state.
//!
//! A machine keeps points in time, and does nothing with them but compare them with now and with each
//! other. So a state is known by its distances from now. The machine is not asked for them: every point in
//! time goes through the hasher as one large number, and there it is made relative.

use std::hash::Hasher;
use std::time::Duration;

use crate::engine::Instant;

/// The beginning of every clock, greater than every number that is no point in time.
pub(crate) const DAWN: Instant = Instant::from_nanos(1 << 50);
const MICROS: i64 = (1 << 50) / 1000;

/// Hashes points in time by their distance from now.
pub(crate) struct Relative<'a, H> {
    pub(crate) inner: &'a mut H,
    /// Now, on the clock of the process whose state is hashed.
    pub(crate) now: Instant,
    /// Now, on the server's clock.
    pub(crate) server: Instant,
    /// What lies further back lies equally far: no rule looks back so far.
    pub(crate) memory: Duration,
}

impl<H: Hasher> Hasher for Relative<'_, H> {
    fn finish(&self) -> u64 {
        self.inner.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.inner.write(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        let never = Instant::NEVER.as_nanos();
        let relative = if number < DAWN.as_nanos() || number == never {
            number
        } else {
            let oldest = self.now.as_nanos().saturating_sub(nanos(self.memory));
            number.max(oldest).wrapping_sub(self.now.as_nanos()) ^ (1 << 63)
        };
        self.inner.write_u64(relative);
    }

    /// The times of the server that others only compare for being the same are in microseconds.
    fn write_i64(&mut self, number: i64) {
        let now = i64::try_from(self.server.as_nanos() / 1000).unwrap_or(i64::MAX);
        let relative = if number < MICROS {
            number
        } else {
            let memory = i64::try_from(self.memory.as_micros()).unwrap_or(i64::MAX);
            number.max(now - memory) - now - MICROS
        };
        self.inner.write_i64(relative);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
