//! Work that cannot be dropped, because it blocks its thread, when its term is lost: with `Overrun::Abort`
//! its process ends before the lease does; without, it is reported, and its process does not campaign while
//! it runs. Settles row 6 of docs/development/known-faults.md where nothing else can.

use std::os::unix::process::ExitStatusExt;

use crate::support::race::Race;
use crate::support::record::{self, Record};
use crate::support::work::{Kind, Release};
use crate::support::{Candidate, Cluster, LEASE, config, elector, until, until_successor};
use pg_leader::ProcessState;
use rustix::process::Signal;

#[tokio::test(flavor = "multi_thread")]
async fn with_abort_its_process_ends_before_the_next_term_begins() {
    let mut race = Race::empty("abort");
    let conninfo = race.cluster.url();
    race.join_with(&conninfo, "first", Kind::Blocking);
    race.until_term(1).await;
    race.join(&conninfo, "second");
    until_successor(&race.cluster, "abort").await;
    race.cluster.terminate_leader("abort").unwrap();
    let mut status = None;
    until("the process has ended", || {
        status = race.processes[0].ended();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().signal(), Some(Signal::KILL.as_raw()));
    race.until_term(2).await;
    record::assert_no_overlap(&race.steps());
    let gap = race.gap_after(1);
    assert!(gap < LEASE * 4, "{gap:?} without a leader");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_abort_the_next_waits_its_lease_and_the_process_does_not_campaign() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let release = Release::new();
    let elector = elector(&cluster).await;
    let stuck = elector
        .campaign(("stuck", "stuck"), release.work(&record))
        .unwrap();
    until("it leads", || record.last_term() == 1).await;
    let other = Candidate::start(config(&cluster.url()), "stuck", "other", &record).await;
    until_successor(&cluster, "stuck").await;

    let began = std::time::Instant::now();
    cluster.terminate_leader("stuck").unwrap();
    until("the other leads", || other.leads()).await;
    assert!(
        began.elapsed() >= LEASE * 9 / 10,
        "it could not know that the work has stopped"
    );
    assert_eq!(stuck.state(), ProcessState::Following);

    // Nobody else is left; still it may not campaign while its old work runs.
    other.elector.shutdown().await;
    let last_term = record.last_term();
    let steps = record.steps().len();
    until("the old work goes on for two leases", || {
        record.steps().len() > steps + 3000
    })
    .await;
    assert_eq!(record.last_term(), last_term);
    assert_eq!(cluster.leader_pid("stuck").unwrap(), None);
    release.let_go();
    until("it leads again", || stuck.state() == ProcessState::Leading).await;
}
