//! Two candidates in processes of their own: the first leads, the second is its successor.

use std::fmt::Debug;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::candidate::{Process, this_binary};
use super::cluster::{Cluster, Server};
use super::record::{self, Step};
use super::work::Kind;
use super::{until, until_successor};

pub struct Race<C = Cluster> {
    pub cluster: C,
    directory: tempfile::TempDir,
    pub election: String,
    pub processes: Vec<Process>,
}

impl Race {
    /// Nobody takes part yet.
    pub fn empty(election: &str) -> Race {
        Race::on(Cluster::start().expect("a cluster"), election)
    }

    /// Two of steady work.
    pub async fn start(election: &str, conninfo: impl Fn(&Cluster) -> String) -> Race {
        let mut race = Race::empty(election);
        let conninfo = conninfo(&race.cluster);
        race.join(&conninfo, "first");
        race.until_term(1).await;
        race.join(&conninfo, "second");
        until_successor(&race.cluster, election).await;
        race
    }

    /// Two of these kinds, the first of which writes its errors there. A kind is what `candidate_process` of the
    /// test's file makes of its name.
    pub async fn of(election: &str, kinds: [impl Debug; 2], stderr: Stdio) -> Race {
        let mut race = Race::empty(election);
        let [first, second] = kinds;
        race.join_by(this_binary(), "first", first, stderr);
        race.until_term(1).await;
        race.join_by(this_binary(), "second", second, Stdio::inherit());
        until_successor(&race.cluster, election).await;
        race
    }
}

impl<C: Server> Race<C> {
    pub fn on(cluster: C, election: &str) -> Race<C> {
        Race {
            cluster,
            directory: tempfile::tempdir().expect("a directory"),
            election: election.to_owned(),
            processes: vec![],
        }
    }

    pub fn join(&mut self, conninfo: &str, address: &str) {
        self.join_with(conninfo, address, Kind::Steady);
    }

    pub fn join_with(&mut self, conninfo: &str, address: &str, kind: Kind) {
        let process = Process::start(conninfo, &self.election, address, kind, &self.file());
        self.processes.push(process);
    }

    /// Started by a command that runs this test binary.
    pub fn join_by(
        &mut self,
        mut command: Command,
        address: &str,
        kind: impl Debug,
        stderr: Stdio,
    ) {
        command.stderr(stderr);
        let (conninfo, file) = (self.cluster.url(), self.file());
        let process = Process::start_by(command, &conninfo, &self.election, address, kind, &file);
        self.processes.push(process);
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("record")
    }

    pub fn steps(&self) -> Vec<Step> {
        record::read(&self.file())
    }

    /// Wait until that term works, or a later one, where a busy machine has let one end before its work began: the
    /// one that works.
    pub async fn until_term(&self, term: i64) -> i64 {
        let mut latest = None;
        let works = || {
            let steps = self.steps();
            let worked = steps.iter().filter(|step| step.ended > step.began);
            latest = worked.map(|step| step.term).max();
            latest >= Some(term)
        };
        until("the term works, or a later one", works).await;
        latest.expect("it works")
    }

    /// The endings of sessions that prove nothing, as the server counts them. A leader that is killed while an
    /// answer is on its way to it may itself be counted as a broken send.
    pub fn doubtful_endings(&self) -> Option<String> {
        let count = "SELECT sessions_killed || ' killed, ' || sessions_fatal || ' fatal' \
                     FROM pg_stat_database WHERE datname = current_database()";
        self.cluster
            .cluster()
            .query(count)
            .expect("the counters can be read")
    }

    pub fn gap_after(&self, term: i64) -> Duration {
        record::gap_after(&self.steps(), term).expect("a later term")
    }
}
