//! A process that serves, run by somebody but root, with a log.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// Who runs the servers: PostgreSQL refuses root.
pub(super) const USER: &str = "postgres";

/// Killed when dropped.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
}

impl Daemon {
    /// In a network namespace, or where this process is.
    pub(super) fn start(
        namespace: Option<&str>,
        program: &Path,
        arguments: &[String],
        log: &Path,
    ) -> Result<Daemon> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = match namespace {
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, "setpriv"]);
                command
            }
            None => Command::new("setpriv"),
        };
        // Each of these programs becomes the next one: the process is the daemon's own.
        let child = command
            .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
            .arg(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .env("HOME", "/")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Daemon { child })
    }

    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// `kill -9`. Returns once it is gone.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A signal to all of them; who is gone already is as good as told.
pub(super) fn signal_all(pids: &[i32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = kill_process(pid, signal);
    }
}
