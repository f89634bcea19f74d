//! A leader's process dies or hangs. On a direct connection its death is proof enough; on an indirect one,
//! or when it hangs, one lease passes first. Settles rows 3, 4, 6, 20, 22 and 24 of docs/known-faults.md.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use pg_leader::testing::Cluster;
use rustix::process::Signal;
use support::candidate::{self, Process};
use support::proxy::Proxy;
use support::record;
use support::{LEASE, history, until, until_successor};

#[test]
#[ignore = "a candidate's process, which the other tests start"]
fn candidate_process() {
    candidate::main();
}

struct Race {
    cluster: Cluster,
    directory: tempfile::TempDir,
    processes: Vec<Process>,
}

impl Race {
    /// Two processes; the first leads, the second is the successor.
    async fn start(election: &str, conninfo: impl Fn(&Cluster) -> String) -> Race {
        let cluster = Cluster::start().unwrap();
        let mut race = Race {
            cluster,
            directory: tempfile::tempdir().unwrap(),
            processes: vec![],
        };
        let conninfo = conninfo(&race.cluster);
        for address in ["first", "second"] {
            let process = Process::start(&conninfo, election, address, LEASE, &race.file());
            race.processes.push(process);
            if address == "first" {
                race.until_term(1).await;
            }
        }
        until_successor(&race.cluster, election).await;
        race
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("record")
    }

    async fn until_term(&self, term: u64) {
        let file = self.file();
        let works = || {
            record::read(&file)
                .iter()
                .any(|step| step.term == term && step.ended > step.began)
        };
        until("the term works", works).await;
    }

    fn gap_after(&self, term: u64) -> Duration {
        record::gap_after(&record::read(&self.file()), term).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_followed_at_once_on_a_direct_connection() {
    for conninfo in [Cluster::url, Cluster::socket_conninfo] {
        let mut race = Race::start("kill", conninfo).await;
        race.processes[0].kill();
        race.until_term(2).await;
        let gap = race.gap_after(1);
        assert!(
            gap < LEASE * 3 / 4,
            "{gap:?} without a leader: it waited although it could know"
        );
        record::assert_no_overlap(&record::read(&race.file()));
        assert_eq!(
            history(&race.cluster, "kill", 1, "ending").as_deref(),
            Some("lost")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_a_killed_process_is_followed_after_its_lease() {
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.port()).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("record");
    let works = |term| {
        let file = file.clone();
        move || {
            record::read(&file)
                .iter()
                .any(|step| step.term == term && step.ended > step.began)
        }
    };
    let mut first = Process::start(&proxy.url(), "proxied", "first", LEASE, &file);
    until("the first works", works(1)).await;
    let _second = Process::start(&cluster.url(), "proxied", "second", LEASE, &file);
    until_successor(&cluster, "proxied").await;
    let direct = cluster
        .query("SELECT bool_or(direct) FROM pgleader.term")
        .unwrap();
    assert_eq!(
        direct.as_deref(),
        Some("f"),
        "a proxied session was taken for a direct one"
    );

    first.kill();
    until("the second works", works(2)).await;
    let gap = record::gap_after(&record::read(&file), 1).unwrap();
    assert!(
        gap >= LEASE * 9 / 10,
        "{gap:?}: it did not wait although it could not know"
    );
    assert!(gap < LEASE * 3, "{gap:?} without a leader");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_is_followed_after_its_lease_and_does_no_work_on_waking() {
    let race = Race::start("stop", Cluster::url).await;
    race.processes[0].signal(Signal::STOP);
    race.until_term(2).await;
    let gap = race.gap_after(1);
    assert!(
        gap >= LEASE / 2,
        "{gap:?}: a leader that only hangs was followed too soon"
    );
    assert!(gap < LEASE * 3, "{gap:?} without a leader");

    race.processes[0].signal(Signal::CONT);
    // It finds itself deposed and comes back as a follower.
    until("the woken process is a candidate again", || {
        support::status(&race.cluster, "stop", "candidates").as_deref() == Some("2")
            && support::status(&race.cluster, "stop", "successor").as_deref() == Some("first")
    })
    .await;
    let steps = record::read(&race.file());
    record::assert_no_overlap(&steps);
    let started = steps
        .iter()
        .filter(|step| step.term == 2)
        .map(|step| step.began)
        .min()
        .unwrap();
    let late = steps
        .iter()
        .filter(|step| step.term == 1 && step.began > started)
        .count();
    assert_eq!(late, 0, "the woken process worked in a term that was over");
}
