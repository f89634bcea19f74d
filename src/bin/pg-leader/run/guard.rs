//! The guard of a command, as `pg-leader run` sees it.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pg_leader::Term;
use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};

use super::children::Children;
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
    pub(super) children: Arc<Children>,
}

/// A guard with its command. Once this is dropped everything that the command has started is dead.
pub(super) struct Guard<'a> {
    task: &'a Task,
    /// It has said that everything of the command is dead.
    is_done: bool,
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
        let mut command = Command::new(processes::this_program()?);
        command
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
            .env("PG_LEADER_TOKEN", term.token())
            .env("PG_LEADER_ADDRESS", term.address())
            .envs(task.readiness.for_command())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // What ends our group by a signal must not end the guard.
            .process_group(0);
        task.children.start(&mut command)?;
        // Its end of the orders must not stay open here.
        drop(command);
        ours.set_nonblocking(true)?;
        let reports = tokio::net::UnixStream::from_std(ours.try_clone()?)?;
        let mut guard = Guard {
            task,
            is_done: false,
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
        match report {
            Report::Started { group } => self.group = Pid::from_raw(group),
            Report::Ended(_) => self.is_done = true,
            Report::Ready => {}
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
    /// A guard that was killed has left its children to us, where they cannot be told from the orphans of
    /// strangers; one that is stopped is of no use.
    fn swept(&self) -> bool {
        if self.is_done {
            return self.task.children.end_guard();
        }
        let group = self.group.filter(|_| !cfg!(target_os = "linux"));
        self.task.children.sweep(group)
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
