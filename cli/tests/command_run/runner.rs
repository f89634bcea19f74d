//! Processes of `pg-leader run`, on a cluster of their own.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::record::{self, Step};
use crate::support::{Cluster, LEASE, until, until_successor};

pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    directory: tempfile::TempDir,
    pub(crate) election: &'static str,
    pub(crate) lease: Duration,
}

impl Stage {
    pub(crate) fn new(election: &'static str) -> Stage {
        Stage {
            cluster: Cluster::start().expect("a cluster"),
            directory: tempfile::tempdir().expect("a directory"),
            election,
            lease: LEASE,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What scripts have written to a file of this stage.
    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        record::read(&self.path("record"))
    }

    /// The newest term that worked; 0 for none.
    pub(crate) fn newest_term(&self) -> i64 {
        self.steps().iter().map(|step| step.term).max().unwrap_or(0)
    }

    /// `pg-leader run` with a shell script, which finds the stage's directory in DIRECTORY.
    pub(crate) fn run(&self, address: &str, options: &[&str], script: &str) -> Run {
        self.run_command(address, options, &["sh", "-c", script])
    }

    pub(crate) fn run_command(&self, address: &str, options: &[&str], command: &[&str]) -> Run {
        self.run_by(&USUAL, address, options, command)
    }

    /// The same, started by a launcher that becomes the command line behind it.
    pub(crate) fn run_by(
        &self,
        launcher: &[&str],
        address: &str,
        options: &[&str],
        command: &[&str],
    ) -> Run {
        Run::of(self.line(launcher, address, options, command))
    }

    /// The same, not yet started.
    pub(crate) fn line(
        &self,
        launcher: &[&str],
        address: &str,
        options: &[&str],
        command: &[&str],
    ) -> Command {
        let lease = format!("{}ms", self.lease.as_millis());
        let mut line = Command::new(launcher[0]);
        line.args(&launcher[1..])
            .arg(env!("CARGO_BIN_EXE_pg-leader"))
            .args(["run", "--election", self.election, "--address", address])
            .args(["--install", "--lease", &lease])
            .args(options)
            .arg("--")
            .args(command)
            .env("DATABASE_URL", self.cluster.url())
            .env("DIRECTORY", self.directory.path())
            .env("RECORD", self.path("record"))
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null());
        line
    }

    /// The first leads, the second is its successor; both run the script.
    pub(crate) async fn pair(&self, options: &[&str], script: &str) -> [Run; 2] {
        let first = self.run("first", options, script);
        self.until_working("first").await;
        let second = self.run("second", options, script);
        until_successor(&self.cluster, self.election).await;
        [first, second]
    }

    pub(crate) async fn until_working(&self, address: &str) {
        until(&format!("{address} works"), || {
            self.steps()
                .last()
                .is_some_and(|step| step.address == address)
        })
        .await;
    }

    /// One column of the election's row in `pgleader.status`, once there is one.
    pub(crate) fn status(&self, column: &str) -> Option<String> {
        let query = format!(
            "SELECT {column}::text FROM pgleader.status WHERE name = '{}'",
            self.election
        );
        self.cluster.query(&query).ok().flatten()
    }

    pub(crate) fn endings(&self) -> Vec<String> {
        let query = format!(
            "SELECT string_agg(coalesce(ending, 'open'), ',' ORDER BY term) FROM pgleader.history \
             WHERE name = '{}'",
            self.election
        );
        let endings = self.cluster.query(&query).expect("history can be read");
        endings
            .unwrap_or_default()
            .split_terminator(',')
            .map(str::to_owned)
            .collect()
    }

    /// From `moment` to the first step of a term.
    pub(crate) fn time_to_term(&self, moment: u64, term: i64) -> Duration {
        record::time_to_term(&self.steps(), moment, term)
    }

    pub(crate) async fn until_file(&self, name: &str) {
        until(&format!("there is {name}"), || self.path(name).exists()).await;
    }
}

/// Whoever started the tests may ignore some signals.
pub(crate) const USUAL: [&str; 2] = ["env", "--default-signal=HUP,INT,TERM"];

/// A process of `pg-leader run`. Killed when dropped; its guard ends the command then.
pub(crate) struct Run {
    child: Child,
}

impl Run {
    pub(crate) fn of(mut line: Command) -> Run {
        let child = line.spawn().expect("the command was built");
        Run { child }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it lives");
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Its exit code, once it has ended.
    pub(crate) async fn exit_code(&mut self) -> i32 {
        until("pg-leader ends", || self.ended().is_some()).await;
        let status = self.ended().expect("it has ended");
        status.code().expect("no signal ended it")
    }

    pub(crate) fn guard(&self) -> Pid {
        let children = children(self.pid());
        assert_eq!(children.len(), 1, "children of pg-leader: {children:?}");
        children[0]
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn children(of: Pid) -> Vec<Pid> {
    let of = of.as_raw_nonzero().get();
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).expect("it lives");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|children| {
            let pids = children.split_whitespace();
            pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// In a script: work in small steps that are recorded, until a signal ends it.
pub(crate) fn worker() -> String {
    let exe = std::env::current_exe().expect("a test binary has a path");
    format!(
        "'{}' --exact worker_process --ignored --nocapture >/dev/null",
        exe.display()
    )
}

/// The same in three processes of which none hears SIGTERM: one is the command, one has been forked, and one
/// is a daemon, in a session of its own and without its parent.
pub(crate) fn deaf_family() -> String {
    let worker = worker();
    format!("trap '' TERM; {worker} & (setsid {worker} &); exec {worker}")
}
