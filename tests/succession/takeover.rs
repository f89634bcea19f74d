//! Taking over when less is known, or less is allowed: nobody watched, the role may not look or evict, the
//! backend is busy, the successor never heard that it won. Bounds are multiples of the lease. Settles rows
//! 4, 9 and 22 of docs/development/known-faults.md.

use std::time::Duration;

use crate::support;
use crate::support::proxy::Proxy;
use crate::support::race::Race;
use crate::support::record::{self, Record};
use crate::support::{Candidate, Cluster, LEASE, config, status, until, until_successor};
use pg_leader::Takeover;

/// What the server logs of an eviction, and of nothing else that these tests do.
const EVICTED: &str = "terminating connection due to administrator command";

#[tokio::test(flavor = "multi_thread")]
async fn leader_and_successor_die_together() {
    let mut race = Race::start("both", Cluster::url).await;
    let conninfo = race.cluster.url();
    race.join(&conninfo, "third");
    until("all take part", || {
        status(&race.cluster, "both", "candidates").as_deref() == Some("3")
    })
    .await;
    race.processes[1].stop();
    race.processes[0].kill();
    race.processes[1].kill();
    race.until_term(2).await;
    // A retry interval (here a lease, give or take a quarter), and the refractory period.
    let gap = race.gap_after(1);
    assert!(gap < LEASE * 5, "{gap:?} without a leader");
    record::assert_no_overlap(&race.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_always_waits_waits_although_it_could_know() {
    let mut race = Race::empty("wary");
    let conninfo = race.cluster.url();
    race.join(&conninfo, "first");
    race.until_term(1).await;
    let record = Record::append_to(&race.file()).unwrap();
    let wary = config(&conninfo).takeover(Takeover::AlwaysWait);
    let wary = Candidate::start(wary, "wary", "wary", &record).await;
    until_successor(&race.cluster, "wary").await;
    race.processes[0].kill();
    until("it leads", || wary.leads()).await;
    race.until_term(2).await;
    let gap = race.gap_after(1);
    assert!(gap >= LEASE * 9 / 10, "{gap:?}: it did not wait");
    assert!(gap < LEASE * 4, "{gap:?} without a leader");
}

/// A leader falls silent. Its successor has watched that, ends its session a lease after the last word, and leads
/// at once: the server would end it later, and a lease would have to pass then.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_leader_is_evicted_before_the_server_ends_it() {
    // Eviction and the silence limit lie a fifth of this apart.
    let lease = LEASE * 3;
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.port()).await;
    let record = Record::in_memory();
    let first = config(&proxy.url()).lease(lease);
    let first = Candidate::start(first, "silent", "first", &record).await;
    until("the first leads", || first.leads()).await;
    let second = config(&cluster.url()).lease(lease);
    let second = Candidate::start(second, "silent", "second", &record).await;
    until_successor(&cluster, "silent").await;
    proxy.swallow(true, true);
    until("the second leads", || second.leads()).await;
    let log = cluster.log();
    assert!(log.contains(EVICTED), "nobody was evicted: {log}");
    assert!(
        !log.contains("due to idle-session timeout"),
        "the server ended it"
    );
    let gap = record::gap_after(&record.steps(), 1).expect("the second works");
    assert!(gap < lease * 3 / 4, "{gap:?} from the end of its work");
    record::assert_no_overlap(&record.steps());
}

/// Two roles that may neither see nor end one another's sessions, and an owner that may not either: the
/// server itself ends the silent session, at the silence limit.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_evict_the_servers_silence_limit_ends_a_hung_leader() {
    let mut race = Race::empty("strict");
    let roles = [("one", "candidate"), ("two", "candidate")];
    support::install_by_an_ordinary_owner(&race.cluster, &roles).await;
    let url = |role: &str| support::url_of(&race.cluster, role);
    let (one, two) = (url("one"), url("two"));
    race.join(&one, "one");
    race.until_term(1).await;
    race.join(&two, "two");
    until_successor(&race.cluster, "strict").await;
    race.processes[0].stop();
    race.until_term(2).await;
    let gap = race.gap_after(1);
    // The silence limit (1.2 L), then the refractory period.
    assert!(
        gap >= LEASE * 2,
        "{gap:?}: sooner than the server can have ended it"
    );
    // As everybody's, the session would be ended after three retry intervals (3 L), and then comes that period.
    assert!(gap < LEASE * 7 / 2, "{gap:?} without a leader");
    record::assert_no_overlap(&race.steps());
}

/// The leader's backend waits for a lock when its client dies: it cannot notice before it is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_backend_of_a_dead_leader() {
    let mut race = Race::start("busy", Cluster::url).await;
    let pid = race.cluster.leader_pid("busy").unwrap().unwrap();
    let blocker = support::client(&race.cluster.url()).await;
    blocker
        .batch_execute(
            "SELECT pg_advisory_lock(1); \
             CREATE OR REPLACE FUNCTION pgleader.heartbeat(mark text, locks oid, elections integer[]) \
             RETURNS TABLE (election integer, term bigint, kind text, requested_by name) LANGUAGE plpgsql \
             AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); END $$",
        )
        .await
        .unwrap();
    let waits = format!("SELECT count(*) FROM pg_locks WHERE pid = {pid} AND NOT granted");
    until("the heartbeat waits", || {
        race.cluster.query(&waits).unwrap().as_deref() == Some("1")
    })
    .await;
    race.processes[0].kill();
    race.until_term(2).await;
    let gap = race.gap_after(1);
    assert!(gap < LEASE * 4, "{gap:?} without a leader");
    record::assert_no_overlap(&race.steps());
}

/// The leader's backend is stuck in writing to a client that reads no more: the idle timer does not reach
/// it, eviction does.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_stuck_in_writing_to_a_hung_leader() {
    let race = Race::start("stuck", Cluster::url).await;
    let pid = race.cluster.leader_pid("stuck").unwrap().unwrap();
    race.processes[0].stop();
    let flood =
        "SELECT pg_notify('pg_leader', n || repeat('x', 7900)) FROM generate_series(1, 1500) AS n";
    race.cluster.execute(flood).unwrap();
    let stuck = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'ClientWrite'"
    );
    until("its backend is stuck", || {
        race.cluster.query(&stuck).unwrap().as_deref() == Some("1")
    })
    .await;
    race.until_term(2).await;
    // Else the kernel would give the connection up, after three retry intervals.
    let log = race.cluster.log();
    assert!(log.contains(EVICTED), "nobody was evicted: {log}");
    let gap = race.gap_after(1);
    assert!(gap < LEASE * 5 / 2, "{gap:?} without a leader");
    race.processes[0].go_on();
    until("the woken process is the successor", || {
        status(&race.cluster, "stuck", "successor").as_deref() == Some("first")
    })
    .await;
    record::assert_no_overlap(&race.steps());
}

/// The server grants the lock, and the answer never arrives: the lock must not stay with somebody who does
/// not know that he has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_granted_to_somebody_who_never_hears_of_it() {
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.port()).await;
    let record = Record::in_memory();
    let first = Candidate::start(config(&cluster.url()), "deaf", "first", &record).await;
    until("the first leads", || first.leads()).await;
    let deaf = Candidate::start(config(&proxy.url()), "deaf", "deaf", &record).await;
    until_successor(&cluster, "deaf").await;
    let third = Candidate::start(config(&cluster.url()), "deaf", "third", &record).await;
    until("all take part", || {
        status(&cluster, "deaf", "candidates").as_deref() == Some("3")
    })
    .await;
    assert_eq!(
        status(&cluster, "deaf", "successor").as_deref(),
        Some("deaf")
    );

    proxy.swallow(false, true);
    first.candidacy.leave().await;
    let left = std::time::Instant::now();
    until("the third leads", || third.leads()).await;
    assert!(
        left.elapsed() < LEASE * 8,
        "{:?} without a leader",
        left.elapsed()
    );
    assert!(!deaf.leads());
    assert!(
        !record.steps().iter().any(|step| step.address == "deaf"),
        "it worked in a term that it never heard of"
    );
    record::assert_no_overlap(&record.steps());
}

/// The connections of those who only wait are dropped without a word: they come back by themselves, and
/// somebody else is successor meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_went_silent_are_replaced() {
    let cluster = Cluster::start().unwrap();
    let (to_successor, to_follower) = (
        Proxy::start(cluster.port()).await,
        Proxy::start(cluster.port()).await,
    );
    let record = Record::in_memory();
    let first = Candidate::start(config(&cluster.url()), "idle", "first", &record).await;
    until("the first leads", || first.leads()).await;
    let _second = Candidate::start(config(&to_successor.url()), "idle", "second", &record).await;
    until_successor(&cluster, "idle").await;
    let _third = Candidate::start(config(&to_follower.url()), "idle", "third", &record).await;
    let _fourth = Candidate::start(config(&cluster.url()), "idle", "fourth", &record).await;
    until("all take part", || {
        status(&cluster, "idle", "candidates").as_deref() == Some("4")
    })
    .await;
    let pid_of = |address: &str| {
        let query = format!("SELECT pid FROM pgleader.candidate WHERE address = '{address}'");
        cluster.query(&query).unwrap()
    };
    let (second_pid, third_pid) = (pid_of("second"), pid_of("third"));

    to_successor.swallow(true, true);
    to_follower.swallow(true, true);
    until("the fourth is successor", || {
        status(&cluster, "idle", "successor").as_deref() == Some("fourth")
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    to_successor.swallow(false, false);
    to_follower.swallow(false, false);
    until("both are back on new sessions", || {
        pid_of("second") != second_pid && pid_of("third") != third_pid
    })
    .await;
    assert!(first.leads());
    assert_eq!(record.last_term(), 1, "the leadership was lost meanwhile");
}
