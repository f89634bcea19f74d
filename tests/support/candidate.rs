//! A candidate in a process of its own, which can be stopped, continued and killed.
//!
//! The test binary runs itself again: [`main`] is called by the ignored test `candidate_process`, which
//! every file that uses this must have.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use pg_leader::{Campaign, Elector, Overrun};
use pg_leader_lab::process;
use pg_leader_lab::record::Entry;

use super::record::{self, Record};
use super::work::{self, Kind};

const ARGUMENTS: &str = "PG_LEADER_TEST_CANDIDATE";

/// In the environment of the command that runs it: its lease in milliseconds, where it is not that of most tests.
pub const LEASE_MS: &str = "PG_LEADER_TEST_LEASE_MS";

pub struct Process {
    process: process::Process,
    pub address: String,
    record: PathBuf,
}

/// The command that runs it.
pub fn this_binary() -> Command {
    process::Process::this_binary().expect("a test binary has a path")
}

impl Process {
    pub fn start(
        conninfo: &str,
        election: &str,
        address: &str,
        kind: Kind,
        record: &Path,
    ) -> Process {
        Process::start_by(this_binary(), conninfo, election, address, kind, record)
    }

    /// By a command that runs this test binary with the arguments that follow.
    pub fn start_by(
        mut command: Command,
        conninfo: &str,
        election: &str,
        address: &str,
        kind: impl std::fmt::Debug,
        record: &Path,
    ) -> Process {
        let arguments = [
            conninfo,
            election,
            address,
            &format!("{kind:?}"),
            &record.display().to_string(),
        ]
        .join("\n");
        command
            .args(["--exact", "candidate_process", "--ignored", "--nocapture"])
            .env(ARGUMENTS, arguments)
            .stdout(Stdio::null());
        Process {
            process: process::Process::start(command).expect("a test binary can be run"),
            address: address.to_owned(),
            record: record.to_owned(),
        }
    }

    /// SIGSTOP. No thread of it runs when this returns, and the record says since when.
    pub fn stop(&self) {
        self.process.stop().expect("the candidate lives");
        let at = record::now();
        record::note(&self.record, &self.address, &Entry::Halted { at });
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        // Before it can have done anything.
        let at = record::now();
        record::note(&self.record, &self.address, &Entry::Woken { at });
        self.process.go_on().expect("the candidate lives");
    }

    pub fn child(&self) -> &Child {
        self.process.child()
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended().expect("a child can be waited for")
    }

    /// Also where it is dead already.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
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
    let [conninfo, election, address, kind, record] = arguments.each_ref().map(String::as_str);
    // RUST_LOG=debug shows what a candidate thought.
    let level = std::env::var("RUST_LOG")
        .ok()
        .and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing::Level::ERROR))
        .with_writer(std::io::stderr)
        .init();
    let record = Record::append_to(Path::new(record)).expect("the record can be opened");
    let kind = Kind::ALL
        .into_iter()
        .find(|named| format!("{named:?}") == kind);
    let kind = kind.expect("a kind of work");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_io();
    if !kind.needs_no_timers() {
        runtime.enable_time();
    }
    let runtime = runtime.build().expect("a runtime");
    runtime.block_on(async {
        let overrun = match kind.needs_abort() {
            true => Overrun::Abort,
            false => Overrun::Report,
        };
        let mut config = super::config(conninfo).overrun(overrun);
        if let Ok(lease) = std::env::var(LEASE_MS) {
            let lease = lease.parse().expect("a number");
            config = config.lease(Duration::from_millis(lease));
        }
        let lead = work::of(kind, &record);
        let elector = Elector::connect(config).await.expect("the cluster is fit");
        let campaign = Campaign::new(election, address).graceful(kind.is_graceful());
        let _candidacy = elector.campaign(campaign, lead).expect("its first");
        std::future::pending::<()>().await;
    });
}
