//! The command, as a child with a process group of its own.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use pg_leader::Term;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout_at};

/// Its process group is killed when this is dropped.
pub(super) struct Child {
    process: tokio::process::Child,
    group: Pid,
}

impl Child {
    pub(super) fn start(command: &[OsString], term: &Term) -> io::Result<Child> {
        let [program, arguments @ ..] = command else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let process = Command::new(program)
            .args(arguments)
            .env("PG_LEADER_ELECTION", term.election())
            .env("PG_LEADER_TERM", term.number().to_string())
            .env("PG_LEADER_ADDRESS", term.address())
            .process_group(0)
            .spawn()?;
        let group = process
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Child { process, group })
    }

    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// SIGTERM; SIGKILL when the grace is over, at once when the term is lost.
    pub(super) async fn end(mut self, term: &Term, grace: Duration) -> io::Result<()> {
        let _ = kill_process_group(self.group, Signal::TERM);
        let killed = Instant::now() + grace;
        let lost = async {
            while term.is_current() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = timeout_at(killed, self.process.wait()) => {}
            () = lost => {}
        }
        let _ = kill_process_group(self.group, Signal::KILL);
        self.process.wait().await.map(drop)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}
