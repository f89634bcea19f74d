//! The one clock: monotonic, the same for all processes of a machine, and counting the time in which the machine was
//! suspended.
//!
//! Leases are measured on it, and two processes of a machine may compare what they read:
//!
//! ```
//! use pg_leader::clock;
//!
//! let began = clock::now();
//! assert!(clock::now() >= began);
//! println!("{:?} so far", clock::now().since(began));
//! ```

use rustix::time::{ClockId, clock_gettime};

pub use crate::engine::Instant;

// On Apple's systems CLOCK_MONOTONIC itself goes on while the machine sleeps.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// The present.
pub fn now() -> Instant {
    let time = clock_gettime(CLOCK);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    let now = Instant::from_nanos(seconds * 1_000_000_000 + nanos);
    #[cfg(all(test, feature = "testing"))]
    let now = now + by_hand::suspended();
    now
}

/// A suspension of this process: its clock jumps, and its timers, which stand still meanwhile, know nothing of it.
#[cfg(all(test, feature = "testing"))]
pub(crate) mod by_hand {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    static SUSPENDED: AtomicU64 = AtomicU64::new(0);

    pub(super) fn suspended() -> Duration {
        Duration::from_nanos(SUSPENDED.load(Ordering::SeqCst))
    }

    /// Every test of this process sees it: only in one of its own.
    pub(crate) fn suspend(time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).expect("not for centuries");
        SUSPENDED.fetch_add(nanos, Ordering::SeqCst);
    }
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Duration;

    /// As far as this machine can be made to have been suspended: in a time namespace of its own.
    const SUSPENDED: Duration = Duration::from_secs(100_000);

    #[test]
    #[ignore = "the other test runs it where the clocks differ"]
    fn where_the_clocks_differ() {
        let running = clock_gettime(ClockId::Monotonic);
        let running = u64::try_from(running.tv_sec).unwrap();
        let counted = Duration::from_nanos(now().as_nanos());
        assert!(
            counted >= SUSPENDED + Duration::from_secs(running),
            "{counted:?}, of which {running} s running"
        );
    }

    #[test]
    fn suspended_time_counts() {
        let mut suspended = Command::new("unshare");
        suspended.args(["--time", "--boottime", &SUSPENDED.as_secs().to_string()]);
        let may = Command::new(suspended.get_program())
            .args(suspended.get_args())
            .arg("true")
            .output();
        if !may.is_ok_and(|may| may.status.success()) {
            return eprintln!("SKIPPED clock: no time namespace may be made here");
        }
        let here = "platform::clock::tests::where_the_clocks_differ";
        let ran = suspended
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", here, "--ignored"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    }
}
