//! The guard of a command, as `pg-leader run` sees it.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pg_leader::Term;
use pg_leader::clock::{self, Instant};
use rustix::process::Pid;
use tokio::sync::watch;

use super::children::Children;
use super::on_exit::OnExit;
use super::ready::{DESCRIPTOR, FILE, Readiness};
use super::talk::Talk;
use crate::message::{Ended, Order, Report};
use crate::platform::{descriptors, processes};

/// What a guard is to run, and how.
pub(super) struct Task {
    pub(super) command: Vec<OsString>,
    pub(super) lease: Duration,
    pub(super) grace: Duration,
    pub(super) readiness: Readiness,
    pub(super) children: Arc<Children>,
    pub(super) on_exit: OnExit,
    /// The status of the command, once it has ended for good.
    pub(super) leave: watch::Sender<Option<u8>>,
}

impl Task {
    /// Whether the command has ended for good: it is never run again.
    pub(super) fn is_done(&self) -> bool {
        self.leave.borrow().is_some()
    }

    fn hear(&self, ended: Ended) {
        if ended.by_itself && self.on_exit.leaves(ended) {
            self.leave.send_replace(Some(ended.status));
        }
    }
}

/// A guard with its command. Once this is dropped everything that the command has started is dead.
pub(super) struct Guard<'a> {
    task: &'a Task,
    /// It has said that everything of the command is dead.
    is_done: bool,
    /// The command's process group.
    group: Option<Pid>,
    talk: Talk,
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
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // What ends our group by a signal must not end the guard.
            .process_group(0);
        set_environment(&mut command, task, term);
        task.children.start(&mut command)?;
        // Its end of the orders must not stay open here.
        drop(command);
        descriptors::send(&ours, [session.as_fd(), input()?.as_fd()])?;
        let mut guard = Guard {
            task,
            is_done: false,
            group: None,
            talk: Talk::new(ours)?,
            until: Instant::from_nanos(0),
        };
        guard.extend(term)?;
        Ok(guard)
    }

    /// Let the command run as long as the term is current, as far as that is known now.
    pub(super) fn extend(&mut self, term: &Term) -> io::Result<()> {
        // The clock first: time that passes in between can only make it sooner.
        let now = clock::now();
        let remaining = term.remaining();
        let until = now + remaining;
        if remaining.is_zero() || until <= self.until {
            return Ok(());
        }
        self.until = until;
        self.talk.order(Order::Until(until))
    }

    /// SIGTERM to the command, and SIGKILL when `grace` is over or the term is lost.
    pub(super) fn end(&mut self, grace: Duration) -> io::Result<()> {
        self.talk.order(Order::End { grace })
    }

    /// What the guard says next. Cancel safe.
    pub(super) async fn report(&mut self) -> io::Result<Report> {
        let report = self.talk.report().await?.ok_or_else(|| {
            io::Error::new(ErrorKind::BrokenPipe, "the guard is gone: was it killed?")
        })?;
        self.heard(report);
        Ok(report)
    }

    fn heard(&mut self, report: Report) {
        match report {
            Report::Started { group } => self.group = Pid::from_raw(group),
            Report::Ended(ended) => {
                self.is_done = true;
                self.task.hear(ended);
            }
            Report::Ready => {}
        }
    }

    /// Hear what has been said while nobody listened. A command that has ended for good has done so although
    /// its term was lost in the same moment.
    fn hear_the_rest(&mut self) {
        while let Some(report) = self.talk.said() {
            self.heard(report);
        }
    }
}

impl Drop for Guard<'_> {
    /// Blocks until it is done. Work that is not known to have stopped must not seem to have.
    fn drop(&mut self) {
        self.talk.hang_up();
        self.hear_the_rest();
        self.sweep();
        self.hear_the_rest();
    }
}

impl Guard<'_> {
    /// Kill what lives of the guard and its command, until that is nothing.
    ///
    /// A guard that was killed has left its children to us, where they cannot be told from the orphans of
    /// strangers; one that is stopped is of no use.
    fn sweep(&self) {
        if self.is_done {
            return self.task.children.end_guard();
        }
        let group = self.group.filter(|_| !processes::ORPHANS_ARE_ADOPTED);
        while !self.task.children.sweep(group) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// That of the guard, which the command has from it: without what is for this process alone, and without what another
/// one has said of its term, where this process is itself the command of one.
fn set_environment(command: &mut Command, task: &Task, term: &Term) {
    command
        .env_remove(crate::connection::OURS)
        .env_remove(FILE)
        .env_remove(DESCRIPTOR)
        .env("PG_LEADER_ELECTION", term.election())
        .env("PG_LEADER_TERM", term.number().to_string())
        .env("PG_LEADER_TOKEN", term.token())
        .env("PG_LEADER_ADDRESS", term.address())
        .envs(task.readiness.for_command());
}

/// What the command reads. It is in the background of its terminal, where reading would stop it.
fn input() -> io::Result<OwnedFd> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Ok(std::fs::File::open("/dev/null")?.into());
    }
    stdin.as_fd().try_clone_to_owned()
}
