//! A candidate in a process of its own, which can be stopped, continued and killed.
//!
//! The test binary runs itself again: [`main`] is called by the ignored test `candidate_process`, which
//! every file that uses this must have.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pg_leader::Config;
use rustix::process::{Pid, Signal, kill_process};

use super::record::Record;

const ARGUMENTS: &str = "PG_LEADER_TEST_CANDIDATE";

pub struct Process {
    child: Child,
    pub address: String,
}

impl Process {
    pub fn start(
        conninfo: &str,
        election: &str,
        address: &str,
        lease: Duration,
        record: &Path,
    ) -> Process {
        let exe: PathBuf = std::env::current_exe().expect("a test binary has a path");
        let arguments = [
            conninfo,
            election,
            address,
            &lease.as_millis().to_string(),
            &record.display().to_string(),
        ]
        .join("\n");
        let child = Command::new(exe)
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

/// What the process does; returns at once where it is not one.
pub fn main() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    let arguments: Vec<&str> = arguments.split('\n').collect();
    let [conninfo, election, address, lease, record] = arguments[..] else {
        panic!("{arguments:?}")
    };
    // RUST_LOG=debug shows what a candidate thought.
    let level = std::env::var("RUST_LOG")
        .ok()
        .and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing::Level::ERROR))
        .with_writer(std::io::stderr)
        .init();
    let record = Record::append_to(Path::new(record)).expect("the record can be opened");
    let lease = Duration::from_millis(lease.parse().expect("milliseconds"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config = Config::new(conninfo).lease(lease).retry_interval(lease);
        let _leader = pg_leader::run(config, election, address, super::steady(&record))
            .await
            .expect("the cluster is fit");
        std::future::pending::<()>().await;
    });
}
