//! The children of this process: the guard, and strangers.
//!
//! A shell may have had children before it became this process, and where this is the first process of a
//! container every orphan ends up here. None of these is the command's: they are reaped, and left alone.

use std::io;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, waitid};

use crate::platform::processes;

/// Nobody else in this process waits for children: a number that is known here is nobody else's meanwhile.
#[derive(Default)]
pub(super) struct Children(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Until it is reaped.
    guard: Option<Pid>,
    /// Children that were there before the guard, until they are reaped.
    strangers: Vec<Pid>,
}

impl Children {
    /// Start a guard. What is here already is none of the command's.
    pub(super) fn start(&self, guard: &mut Command) -> io::Result<()> {
        let mut known = self.known();
        known.reap();
        known.strangers = processes::children(getpid())?;
        known.guard = Some(Pid::from_child(&guard.spawn()?));
        Ok(())
    }

    /// Reap who has ended.
    pub(super) fn reap(&self) {
        self.known().reap();
    }

    /// Kill the guard, and wait until it is gone.
    pub(super) fn end_guard(&self) {
        loop {
            let mut known = self.known();
            known.reap();
            let Some(guard) = known.guard else {
                return;
            };
            processes::signal(None, &[guard], Signal::KILL);
            drop(known);
            // Not reaped: its number stays its own. Somebody else may have done that meanwhile.
            let _ = waitid(
                WaitId::Pid(guard),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            );
        }
    }

    /// Kill `group`, and all that descends from this process but for the strangers. True when nothing of it
    /// lives.
    pub(super) fn sweep(&self, group: Option<Pid>) -> bool {
        // Nobody may reap while the processes are looked through.
        let mut known = self.known();
        known.reap();
        // Nothing is known to be dead while nothing can be seen.
        let Ok(left) = processes::descendants(getpid(), &known.strangers) else {
            return false;
        };
        processes::signal(group, &left, Signal::KILL);
        processes::signal(None, known.guard.as_slice(), Signal::KILL);
        left.is_empty() && known.guard.is_none()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn reap(&mut self) {
        while let Ok(Some((pid, _))) = rustix::process::wait(WaitOptions::NOHANG) {
            self.guard = self.guard.filter(|guard| *guard != pid);
            self.strangers.retain(|stranger| *stranger != pid);
        }
    }
}
