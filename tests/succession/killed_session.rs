//! The leader's session is killed while its process lives: the work stops, the process says so from a new
//! session, and the next term begins long before a lease is over. Settles rows 1, 8, 9, 19 and 25 of
//! docs/development/known-faults.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support;
use crate::support::record::{self, Record};
use crate::support::{Cluster, LEASE, contest, elector, history, steady, until};
use pg_leader::{Campaign, ProcessState};

#[tokio::test(flavor = "multi_thread")]
async fn the_next_term_begins_at_the_vacate() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "killed", 3, &record).await;

    for term in 1..=5 {
        cluster.terminate_leader("killed").unwrap();
        until("the next term works", || record.last_term() > term).await;
        let gap = record::gap_after(&record.steps(), term).unwrap();
        assert!(gap < LEASE * 3 / 4, "term {term}: {gap:?} without a leader");
        assert_eq!(
            history(&cluster, "killed", term, "ending").as_deref(),
            Some("deposed")
        );
        support::until_successor(&cluster, "killed").await;
    }
    record::assert_no_overlap(&record.steps());
    support::leading(&candidates).await;
    let leads = candidates.iter().filter(|candidate| candidate.leads());
    assert_eq!(leads.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn depose_records_who_did_it() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let _candidates = contest(&cluster, "deposed", 2, &record).await;
    cluster
        .execute("CREATE ROLE night_shift LOGIN SUPERUSER; SET SESSION AUTHORIZATION night_shift; SELECT pgleader.depose('deposed')")
        .unwrap();
    until("the next term works", || record.last_term() == 2).await;
    assert_eq!(
        history(&cluster, "deposed", 1, "by").as_deref(),
        Some("night_shift")
    );
    assert_eq!(
        history(&cluster, "deposed", 1, "ending").as_deref(),
        Some("deposed")
    );
}

/// A single candidate comes back by itself, however often.
#[tokio::test(flavor = "multi_thread")]
async fn a_lone_candidate_leads_again() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "alone", 1, &record).await;
    for term in 1..=5 {
        cluster.terminate_leader("alone").unwrap();
        until("it leads again", || {
            record.last_term() > term && candidates[0].leads()
        })
        .await;
    }
    record::assert_no_overlap(&record.steps());
}

/// Work that listens has until its deadline to stop by itself; nobody else starts before it has.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_was_told_may_finish_what_it_does() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let finished = Arc::new(AtomicUsize::new(0));
    let elector = elector(&cluster).await;
    let _careful = elector
        .campaign(Campaign::new("careful", "careful").graceful(true), {
            let (record, finished) = (Arc::clone(&record), Arc::clone(&finished));
            move |term| {
                let (record, finished) = (Arc::clone(&record), Arc::clone(&finished));
                async move {
                    term.ready();
                    record.step(term.address(), term.number());
                    term.ending().await;
                    tokio::time::sleep(LEASE / 10).await;
                    record.step(term.address(), term.number());
                    finished.fetch_add(1, Ordering::SeqCst);
                    Ok::<(), std::io::Error>(())
                }
            }
        })
        .unwrap();
    until("it leads", || record.last_term() == 1).await;
    let other =
        support::Candidate::start(support::config(&cluster.url()), "careful", "other", &record)
            .await;
    support::until_successor(&cluster, "careful").await;
    cluster.terminate_leader("careful").unwrap();
    until("the other leads", || other.leads()).await;
    assert_eq!(
        finished.load(Ordering::SeqCst),
        1,
        "the work was not given the time"
    );
    record::assert_no_overlap(&record.steps());
}

/// Session locks stack: whatever was taken twice would not be free after one release.
#[tokio::test(flavor = "multi_thread")]
async fn no_lock_is_ever_held_twice() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "once", 2, &record).await;
    for round in 0..3 {
        let leader = support::leading(&candidates).await;
        leader.candidacy.resign().await;
        until("the other leads", || record.last_term() == round + 2).await;
        support::until_successor(&cluster, "once").await;
        until("one leads", || {
            candidates.iter().any(|candidate| candidate.leads())
        })
        .await;
    }
    for candidate in &candidates {
        candidate.candidacy.leave().await;
    }
    // The sessions live on, their locks do not.
    let held = cluster.query("SELECT count(*) FROM pgleader.lock").unwrap();
    assert_eq!(held.as_deref(), Some("0"));
}

/// The candidacy survives anything that happens to its session (invariant 8).
#[tokio::test(flavor = "multi_thread")]
async fn killing_every_session_again_and_again_ends_nothing() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = elector(&cluster).await;
    let leader = elector
        .campaign(("tough", "tough"), steady(&record))
        .unwrap();
    for _ in 0..10 {
        cluster
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE application_name LIKE 'pg-leader%'",
            )
            .unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Where none was open the last kill ended nothing: who leads afterwards may have led before.
    let from = Instant::now();
    until("it leads again", || {
        cluster.leader_pid("tough").unwrap().is_some() && leader.state() == ProcessState::Leading
    })
    .await;
    assert!(from.elapsed() < 4 * LEASE, "it took {:?}", from.elapsed());
    let term = record.last_term();
    cluster.terminate_leader("tough").unwrap();
    until("the candidacy goes on", || record.last_term() > term).await;
    record::assert_no_overlap(&record.steps());
}
