//! The guard of a command, as `pg-leader run` sees it.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use pg_leader::Term;
use rustix::process::{Pid, Signal, WaitOptions, getpid};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};

use super::ready::Readiness;
use crate::clock::Instant;
use crate::message::{Order, Report};
use crate::{descriptors, processes};

/// What a guard is to run, and how.
pub(super) struct Task {
    pub(super) command: Vec<OsString>,
    pub(super) lease: Duration,
    pub(super) grace: Duration,
    pub(super) readiness: Readiness,
    /// Children of this process that are none of ours: a shell may have had them before it became us.
    pub(super) strangers: Vec<Pid>,
}

/// A guard with its command. Once this is dropped everything that the command has started is dead.
pub(super) struct Guard<'a> {
    task: &'a Task,
    pid: Pid,
    /// The command's process group.
    group: Option<Pid>,
    orders: UnixStream,
    reports: Lines<BufReader<tokio::net::UnixStream>>,
    /// Until when the command may run, as far as the guard was told.
    until: Instant,
}

impl Guard<'_> {
    /// Start a guard, which starts the command.
    pub(super) fn start<'a>(task: &'a Task, term: &Term) -> io::Result<Guard<'a>> {
        let session = term.session_socket()?;
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(processes::this_program()?)
            .arg0("leader-guard")
            .arg("guard")
            .args([
                "--lease",
                &humantime::Duration::from(task.lease).to_string(),
            ])
            .args([
                "--grace",
                &humantime::Duration::from(task.grace).to_string(),
            ])
            .args(task.readiness.for_guard())
            .arg("--")
            .args(&task.command)
            .env("PG_LEADER_ELECTION", term.election())
            .env("PG_LEADER_TERM", term.number().to_string())
            .env("PG_LEADER_ADDRESS", term.address())
            .envs(task.readiness.for_command())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // What ends our group by a signal must not end the guard.
            .process_group(0)
            .spawn()?;
        ours.set_nonblocking(true)?;
        let reports = tokio::net::UnixStream::from_std(ours.try_clone()?)?;
        let mut guard = Guard {
            task,
            pid: Pid::from_child(&child),
            group: None,
            orders: ours,
            reports: BufReader::new(reports).lines(),
            until: Instant::from_nanos(0),
        };
        descriptors::send(&guard.orders, [session.as_fd(), input()?.as_fd()])?;
        guard.extend(term)?;
        Ok(guard)
    }

    /// Let the command run as long as the term is current, as far as that is known now.
    pub(super) fn extend(&mut self, term: &Term) -> io::Result<()> {
        // The clock first: time that passes in between can only make it sooner.
        let now = Instant::now();
        let remaining = term.remaining();
        let until = now + remaining;
        if remaining.is_zero() || until <= self.until {
            return Ok(());
        }
        self.until = until;
        self.order(Order::Until(until))
    }

    /// SIGTERM to the command, and SIGKILL when `grace` is over or the term is lost.
    pub(super) fn end(&mut self, grace: Duration) -> io::Result<()> {
        self.order(Order::End { grace })
    }

    /// An error when the guard is gone, or has taken nothing for so long that no more can be written to it.
    fn order(&mut self, order: Order) -> io::Result<()> {
        self.orders
            .write_all(order.to_string().as_bytes())
            .map_err(|error| {
                let kind = error.kind();
                io::Error::new(kind, "the guard takes no orders: was it killed or stopped?")
            })
    }

    /// What the guard says next. Cancel safe.
    pub(super) async fn report(&mut self) -> io::Result<Report> {
        let line = self.reports.next_line().await?.ok_or_else(|| {
            io::Error::new(ErrorKind::BrokenPipe, "the guard is gone: was it killed?")
        })?;
        let report = line
            .parse()
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        if let Report::Started { group } = report {
            self.group = Pid::from_raw(group);
        }
        Ok(report)
    }
}

impl Drop for Guard<'_> {
    /// Blocks until it is done. Work that is not known to have stopped must not seem to have.
    fn drop(&mut self) {
        let _ = self.orders.shutdown(std::net::Shutdown::Both);
        while !self.swept() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Guard<'_> {
    /// Kill what lives of the guard and its command. True when that is nothing.
    ///
    /// A guard that has done its duty is gone by itself. One that was killed has left its children to us; one
    /// that is stopped is of no use.
    fn swept(&self) -> bool {
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        // Nothing is known to be dead while nothing can be seen.
        let Ok(left) = processes::descendants(getpid(), &self.task.strangers) else {
            return false;
        };
        let group = self.group.filter(|_| !cfg!(target_os = "linux"));
        processes::signal(group, &left, Signal::KILL);
        left.is_empty()
            && (cfg!(target_os = "linux") || rustix::process::test_kill_process(self.pid).is_err())
    }
}

/// What the command reads. It is in the background of its terminal, where reading would stop it.
fn input() -> io::Result<OwnedFd> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Ok(std::fs::File::open("/dev/null")?.into());
    }
    stdin.as_fd().try_clone_to_owned()
}
