//! One thread of a process stopped, and no other, as a debugger does it.
//!
//! The kernel takes orders from the thread that has begun, so all of this is done by one thread of chaos.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::Result;

/// The thread that holds the session.
const DRIVER: &str = "pg-leader";

/// So long a thread may take to come to where it shall stop.
const WITHIN: Duration = Duration::from_millis(300);

/// A thread that stands still.
pub(super) struct Held {
    thread: Pid,
    /// It gets this when it goes on.
    signal: Option<Signal>,
}

/// Stop the driver of a process, some system calls and instructions from now.
pub(super) fn hold_driver(process: u32, random: &mut fastrand::Rng) -> Result<Held> {
    let thread = driver(process).ok_or("it has no driver")?;
    ptrace::seize(thread, Options::PTRACE_O_TRACESYSGOOD)?;
    let mut held = Held {
        thread,
        signal: None,
    };
    let result = held.run(random.u32(..24), random.u32(..2000));
    if let Err(error) = result {
        held.let_go();
        return Err(error);
    }
    Ok(held)
}

fn driver(process: u32) -> Option<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let named = tasks.flatten().find(|task| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == DRIVER)
    })?;
    let number = named.file_name().to_str()?.parse().ok()?;
    Some(Pid::from_raw(number))
}

impl Held {
    /// From wherever it is, up to so many system calls and then instructions further.
    fn run(&mut self, calls: u32, instructions: u32) -> Result<()> {
        self.interrupt()?;
        let deadline = Instant::now() + WITHIN;
        for _ in 0..calls {
            ptrace::syscall(self.thread, self.signal.take())?;
            if !self.stopped_by(deadline)? {
                return self.interrupt();
            }
        }
        for _ in 0..instructions {
            ptrace::step(self.thread, self.signal.take())?;
            if !self.stopped_by(deadline)? {
                return self.interrupt();
            }
        }
        Ok(())
    }

    fn interrupt(&mut self) -> Result<()> {
        ptrace::interrupt(self.thread)?;
        match self.stopped_by(Instant::now() + WITHIN * 10)? {
            true => Ok(()),
            false => Err("it does not stop".into()),
        }
    }

    fn stopped_by(&mut self, deadline: Instant) -> Result<bool> {
        loop {
            match self.look()? {
                WaitStatus::StillAlive if Instant::now() < deadline => std::thread::yield_now(),
                WaitStatus::StillAlive => return Ok(false),
                WaitStatus::Stopped(_, signal) => {
                    // Its own, but for the trap of a step.
                    self.signal = Some(signal).filter(|signal| *signal != Signal::SIGTRAP);
                    return Ok(true);
                }
                WaitStatus::PtraceEvent(..) | WaitStatus::PtraceSyscall(_) => return Ok(true),
                _ => return Err("it has ended".into()),
            }
        }
    }

    fn owes_a_trap(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.thread));
        let pending = status.ok().and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("SigPnd:"))?;
            u64::from_str_radix(line["SigPnd:".len()..].trim(), 16).ok()
        });
        pending.is_some_and(|pending| pending & 1 << (Signal::SIGTRAP as i32 - 1) != 0)
    }

    fn look(&self) -> nix::Result<WaitStatus> {
        waitpid(
            self.thread,
            Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL),
        )
    }

    /// It goes on. Where it has been killed it is waited for: before that its process cannot be.
    pub(super) fn let_go(mut self) {
        let deadline = Instant::now() + WITHIN;
        // The trap of a step that a system call had held up would kill it: nobody is there any more to take it.
        while self.owes_a_trap() && Instant::now() < deadline {
            let went_on = ptrace::cont(self.thread, self.signal.take());
            if went_on.is_err() || !matches!(self.stopped_by(deadline), Ok(true)) {
                break;
            }
        }
        while ptrace::detach(self.thread, self.signal) == Err(Errno::ESRCH)
            && Instant::now() < deadline
        {
            match self.look() {
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => return,
                Ok(_) => std::thread::yield_now(),
            }
        }
    }
}
