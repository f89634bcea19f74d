//! A network that has gone silent: bytes swallowed in one direction or both, packets dropped on a direct
//! connection. The leader stops before its lease is over, and the next begins. Settles rows 3, 6, 11, 16
//! and 21 of docs/known-faults.md.

mod support;

use pg_leader::ProcessState;
use support::proxy::Proxy;
use support::record::{self, Record};
use support::{Candidate, Cluster, LEASE, config, until, until_successor};

async fn silence(to_server: bool, to_client: bool) {
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.port()).await;
    let record = Record::in_memory();
    let cut = Candidate::start(config(&proxy.url()), "cut", "cut", &record).await;
    until("the first leads", || cut.leads()).await;
    let other = Candidate::start(config(&cluster.url()), "cut", "other", &record).await;
    until_successor(&cluster, "cut").await;

    proxy.swallow(to_server, to_client);
    until("the other works", || record.last_term() == 2).await;
    assert_eq!(cut.leader.state(), ProcessState::Following);
    let gap = record::gap_after(&record.steps(), 1).unwrap();
    assert!(gap < LEASE * 4, "{gap:?} without a leader");
    record::assert_no_overlap(&record.steps());

    proxy.swallow(false, false);
    until_successor(&cluster, "cut").await;
    other.leader.resign().await;
    until("the first leads again", || cut.leads()).await;
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_both_directions() {
    silence(true, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn towards_the_server() {
    silence(true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn towards_the_client() {
    silence(false, true).await;
}

/// A silence shorter than the time after which a leader gives up costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_silence_costs_nothing() {
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.port()).await;
    let record = Record::in_memory();
    let candidate = Candidate::start(config(&proxy.url()), "hiccup", "a", &record).await;
    until("it leads", || candidate.leads()).await;
    for _ in 0..3 {
        // Held back and not swallowed: a lost byte would break the protocol.
        proxy.delay(LEASE / 4);
        tokio::time::sleep(LEASE / 4).await;
        proxy.delay(std::time::Duration::ZERO);
        tokio::time::sleep(LEASE / 2).await;
    }
    assert!(candidate.leads());
    assert_eq!(record.last_term(), 1);
}
