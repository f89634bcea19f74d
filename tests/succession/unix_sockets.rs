//! A Unix socket is direct where the server itself listens on it, and nowhere else. Settles row 33 of
//! docs/development/known-faults.md.
#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::support::race::Race;
use crate::support::record::{self, Record};
use crate::support::relay::Relay;
use crate::support::work::Kind;
use crate::support::{Candidate, Cluster, LEASE, config, until, until_successor};

/// Whether the term that `conninfo` leads to is recorded as a direct connection's.
async fn is_direct(cluster: &Cluster, election: &str, conninfo: &str) -> bool {
    let record = Record::in_memory();
    let candidate = Candidate::start(config(conninfo), election, "somewhere", &record).await;
    until("it leads", || candidate.leads()).await;
    candidate.elector.shutdown().await;
    let query = format!(
        "SELECT t.direct FROM pgleader.term AS t JOIN pgleader.election AS e ON e.id = t.election_id \
         WHERE e.name = '{election}'"
    );
    cluster.query(&query).unwrap().as_deref() == Some("t")
}

/// The work blocks its thread, so it runs until its process is aborted, 0.95 of a lease after the last answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_proxy_is_not_taken_for_the_end_of_the_work() {
    let mut race = Race::empty("proxied");
    let mut relay = Relay::called(&race.cluster, "relay");
    race.join_with(&relay.conninfo(), "first", Kind::Blocking);
    race.until_term(1).await;
    let direct = race.cluster.socket_conninfo();
    race.join(&direct, "second");
    until_successor(&race.cluster, "proxied").await;

    let died = record::now();
    relay.kill();
    race.until_term(2).await;
    let steps = race.steps();
    record::assert_no_overlap(&steps);
    let began = steps.iter().filter(|step| step.term == 2);
    let began = began.map(|step| step.began).min().unwrap();
    let gap = Duration::from_nanos(began - died);
    assert!(
        gap >= LEASE * 9 / 10,
        "{gap:?}: it did not wait although it could not know"
    );
    assert!(gap < LEASE * 6, "{gap:?} without a leader");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_on_which_somebody_else_listens_is_not_direct() {
    let cluster = Cluster::start().unwrap();
    let server = cluster.socket_conninfo();
    assert!(is_direct(&cluster, "server", &server).await);
    for (election, relay) in [
        ("another process", Relay::called(&cluster, "relay")),
        ("a namesake", Relay::called(&cluster, "postgres")),
        ("an orphan", Relay::forked(&cluster)),
        ("the candidate itself", Relay::in_this_process(&cluster)),
    ] {
        let direct = is_direct(&cluster, election, &relay.conninfo()).await;
        assert!(!direct, "{election} was taken for the server");
    }
}
