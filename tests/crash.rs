//! The server goes down and comes back: candidates reconnect by themselves, and never two work.
//! Settles rows 18, 19 and 30 of docs/known-faults.md.

mod support;

use support::record::{self, Record};
use support::{Cluster, contest, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_and_a_restart_of_the_server() {
    let cluster = Cluster::builder().durable().start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "crash", 3, &record).await;
    cluster.stop_immediate().unwrap();
    until("nobody leads", || {
        !candidates.iter().any(|candidate| candidate.leads())
    })
    .await;
    let term = record.last_term();
    cluster.start_again().unwrap();
    until("somebody works again", || record.last_term() > term).await;
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_restart_of_the_server() {
    let cluster = Cluster::builder().durable().start().unwrap();
    let record = Record::in_memory();
    let _candidates = contest(&cluster, "restart", 2, &record).await;
    let term = record.last_term();
    cluster.stop_fast().unwrap();
    cluster.start_again().unwrap();
    until("somebody works again", || record.last_term() > term).await;
    record::assert_no_overlap(&record.steps());
}

/// The postmaster lives on, and the counters begin again at zero.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_one_backend() {
    let cluster = Cluster::builder().durable().start().unwrap();
    let record = Record::in_memory();
    let _candidates = contest(&cluster, "backend", 3, &record).await;
    let postmaster = cluster.postmaster_pid();
    let term = record.last_term();
    let pid = cluster.leader_pid("backend").unwrap().unwrap();
    cluster.kill_backend(pid).unwrap();
    until("somebody works again", || record.last_term() > term).await;
    assert_eq!(cluster.postmaster_pid(), postmaster);
    record::assert_no_overlap(&record.steps());
}

/// A primary is lost, its asynchronous standby promoted; terms go on upwards (invariant 2).
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_a_standby() {
    let primary = Cluster::builder().durable().start().unwrap();
    let standby = primary.standby().unwrap();
    let record = Record::in_memory();
    let conninfo = support::any_of(&[&primary, &standby]);
    let mut candidates = vec![];
    for address in ["a", "b"] {
        let config = support::config(&conninfo);
        candidates.push(support::Candidate::start(config, "failover", address, &record).await);
    }
    until("somebody works", || record.last_term() == 1).await;
    let arrived = "SELECT term FROM pgleader.status WHERE name = 'failover'";
    until(
        "the term has reached the standby",
        || matches!(standby.query(arrived), Ok(Some(term)) if term == "1"),
    )
    .await;
    primary.stop_immediate().unwrap();
    standby.promote().unwrap();
    until("somebody works again", || record.last_term() > 1).await;
    assert!(
        record.last_term() > 1_000_000_000,
        "the new timeline has numbers of its own"
    );
    record::assert_no_overlap(&record.steps());
}
