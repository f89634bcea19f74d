//! A candidate in a process of its own, which can be stopped, continued and killed.
//!
//! The test binary runs itself again: [`main`] is called by the ignored test `candidate_process`, which
//! every file that uses this must have.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use pg_leader::Overrun;
use rustix::process::{Pid, Signal, kill_process};

use super::record::Record;

const ARGUMENTS: &str = "PG_LEADER_TEST_CANDIDATE";

pub struct Process {
    child: Child,
    pub address: String,
}

/// What the work of a candidate is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// In small steps while its term is current.
    Steady,
    /// It blocks its thread and never looks up; `Overrun::Abort` ends it.
    Blocking,
}

impl Process {
    pub fn start(
        conninfo: &str,
        election: &str,
        address: &str,
        work: Work,
        record: &Path,
    ) -> Process {
        let exe: PathBuf = std::env::current_exe().expect("a test binary has a path");
        Process::start_by(Command::new(exe), conninfo, election, address, work, record)
    }

    /// By a command that runs this test binary with the arguments that follow.
    pub fn start_by(
        mut command: Command,
        conninfo: &str,
        election: &str,
        address: &str,
        work: impl std::fmt::Debug,
        record: &Path,
    ) -> Process {
        let arguments = [
            conninfo,
            election,
            address,
            &format!("{work:?}"),
            &record.display().to_string(),
        ]
        .join("\n");
        let child = command
            .args(["--exact", "candidate_process", "--ignored", "--nocapture"])
            .env(ARGUMENTS, arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("a test binary can be run");
        Process {
            child,
            address: address.to_owned(),
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the candidate lives");
    }

    pub fn child(&self) -> &Child {
        &self.child
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Connection string, election, address, kind of work and file of the record, in a candidate's process.
pub fn arguments() -> Option<[String; 5]> {
    let arguments = std::env::var(ARGUMENTS).ok()?;
    let arguments: Vec<String> = arguments.split('\n').map(ToOwned::to_owned).collect();
    Some(arguments.try_into().expect("five arguments"))
}

/// What the process does; returns at once where it is not one.
pub fn main() {
    let Some(arguments) = arguments() else {
        return;
    };
    let [conninfo, election, address, work, record] = arguments.each_ref().map(String::as_str);
    // RUST_LOG=debug shows what a candidate thought.
    let level = std::env::var("RUST_LOG")
        .ok()
        .and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing::Level::ERROR))
        .with_writer(std::io::stderr)
        .init();
    let record = Record::append_to(Path::new(record)).expect("the record can be opened");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config = super::config(conninfo);
        let leader = if work == format!("{:?}", Work::Blocking) {
            let config = config.overrun(Overrun::Abort);
            pg_leader::run(config, election, address, move |term| {
                loop {
                    record.step(term.address(), term.number());
                }
                #[allow(unreachable_code, reason = "it says what kind of work this is not")]
                std::future::ready(Ok::<(), std::io::Error>(()))
            })
            .await
        } else {
            pg_leader::run(config, election, address, super::steady(&record)).await
        };
        let _leader = leader.expect("the cluster is fit");
        std::future::pending::<()>().await;
    });
}
