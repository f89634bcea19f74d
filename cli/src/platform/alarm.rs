//! An alarm on the library's clock, which goes on while the machine is suspended.

#[cfg(target_os = "linux")]
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;

use pg_leader::clock::{self, Instant};
#[cfg(target_os = "linux")]
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
#[cfg(target_os = "linux")]
use tokio::io::unix::AsyncFd;

#[cfg(target_os = "linux")]
use super::descriptors::{aside, awaited};

/// The runtime's own timers stand still in suspension, and what is due then is late. An alarm of the kernel's that runs
/// on CLOCK_BOOTTIME rings as soon as the machine has resumed; without it, one looks every [`TICK`](super::TICK).
pub(crate) struct Alarm {
    #[cfg(target_os = "linux")]
    timer: Option<AsyncFd<OwnedFd>>,
}

impl Alarm {
    pub(crate) fn new() -> Alarm {
        Alarm {
            #[cfg(target_os = "linux")]
            timer: timer().ok(),
        }
    }

    /// Returns at `instant`, or sooner. Cancel safe.
    pub(crate) async fn at(&mut self, instant: Instant) {
        #[cfg(target_os = "linux")]
        if let Some(timer) = &self.timer
            && set(timer.get_ref(), instant).is_ok()
            && rung(timer).await.is_ok()
        {
            return;
        }
        let wait = instant.since(clock::now()).min(super::TICK);
        tokio::time::sleep(wait).await;
    }
}

#[cfg(target_os = "linux")]
fn timer() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
    // Out of the way of the numbers that a command may want.
    awaited(aside(&timer)?)
}

/// What is over already rings at once.
#[cfg(target_os = "linux")]
fn set(timer: &OwnedFd, instant: Instant) -> io::Result<()> {
    const SECOND: u64 = 1_000_000_000;
    // Zero would stop it.
    let nanos = instant.as_nanos().max(1);
    let never = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let once = Itimerspec {
        it_interval: never,
        it_value: Timespec {
            tv_sec: i64::try_from(nanos / SECOND).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(nanos % SECOND).unwrap_or(0),
        },
    };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &once)?;
    Ok(())
}

/// What rang before it was set anew is not heard twice.
#[cfg(target_os = "linux")]
async fn rung(timer: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        let mut ready = timer.readable().await?;
        let read = ready.try_io(|timer| {
            let mut times = [0; 8];
            Ok(rustix::io::read(timer, &mut times)?)
        });
        match read {
            Ok(read) => return read.map(drop),
            Err(_would_block) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SOON: Duration = Duration::from_millis(5);
    const FAR: Duration = Duration::from_secs(3600);

    async fn rings(alarm: &mut Alarm, instant: Instant) {
        while clock::now() < instant {
            alarm.at(instant).await;
        }
        alarm.at(instant).await;
    }

    #[tokio::test]
    async fn it_rings_when_it_is_time_and_at_once_when_that_is_over() {
        let mut alarm = Alarm::new();
        rings(&mut alarm, clock::now() + SOON).await;
        rings(&mut alarm, clock::now()).await;
        rings(&mut alarm, Instant::from_nanos(0)).await;
    }

    /// Which somebody gave up waiting for, or has waited for.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_rang_for_an_earlier_time_does_not_ring_for_a_later_one() {
        let mut alarm = Alarm::new();
        for waited_for in [true, false] {
            set(alarm.timer.as_ref().unwrap().get_ref(), clock::now()).unwrap();
            if waited_for {
                rung(alarm.timer.as_ref().unwrap()).await.unwrap();
            } else {
                let _ = alarm.timer.as_ref().unwrap().readable().await.unwrap();
            }
            let late = tokio::time::timeout(SOON * 4, alarm.at(clock::now() + FAR)).await;
            assert!(late.is_err(), "{waited_for}");
            rings(&mut alarm, clock::now() + SOON).await;
        }
    }

    /// The kernel tells by which clock a timer runs: 7 is CLOCK_BOOTTIME.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn it_runs_on_while_the_machine_is_suspended() {
        use std::os::fd::AsRawFd;
        let alarm = Alarm::new();
        let number = alarm.timer.as_ref().unwrap().as_raw_fd();
        let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
        assert!(told.lines().any(|line| line == "clockid: 7"), "{told}");
    }
}
