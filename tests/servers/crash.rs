//! The server goes down and comes back: candidates reconnect by themselves, soon, and never two work.
//! Settles rows 18, 19 and 30 of docs/development/known-faults.md.

use std::time::Duration;

use crate::support;
use crate::support::record::{self, Record};
use crate::support::{Cluster, LEASE, contest, until};

/// Somebody works in a term after `term`, soon after the server was there again at `since` on the record's clock:
/// after a retry interval (here a lease) and the refractory period. Three times that is allowed.
async fn until_next_works(record: &Record, term: i64, since: u64) {
    until("somebody works again", || record.last_term() > term).await;
    let steps = record.steps();
    let began = steps.iter().filter(|step| step.term > term);
    let began = began.map(|step| step.began).min().expect("it works");
    let took = Duration::from_nanos(began.saturating_sub(since));
    support::say(&format!(
        "somebody worked {took:?} after the server was back"
    ));
    assert!(took < LEASE * 6, "{took:?} without a leader");
    record::assert_no_overlap(&steps);
}

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
    until_next_works(&record, term, record::now()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_restart_of_the_server() {
    let cluster = Cluster::builder().durable().start().unwrap();
    let record = Record::in_memory();
    let _candidates = contest(&cluster, "restart", 2, &record).await;
    let term = record.last_term();
    cluster.stop_fast().unwrap();
    cluster.start_again().unwrap();
    until_next_works(&record, term, record::now()).await;
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
    let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    until(
        "the server is there again",
        || matches!(cluster.query(&gone), Ok(Some(count)) if count == "0"),
    )
    .await;
    until_next_works(&record, term, record::now()).await;
    assert_eq!(cluster.postmaster_pid(), postmaster);
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
    until_next_works(&record, 1, record::now()).await;
    assert!(
        record.last_term() > 1_000_000_000,
        "the new timeline has numbers of its own"
    );
}
