//! What `lead` spawns by its term stops with it, and is waited for before anybody else leads. Settles row 43 of
//! docs/development/known-faults.md.
//!
//! The kinds of work, of which none asks the clock, are those of tests/support/work.rs.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support;
use crate::support::race::Race;
use crate::support::record::{self, Record, Step};
use crate::support::work::{self, Kind, Work};
use crate::support::{Candidate, Cluster, config, elector, history, until, until_successor};
use pg_leader::{Campaign, Candidacy, Elector, ProcessState, Term};
use rustix::process::Signal;

/// So many steps does a child take when it is told of the end: several times what a hand-over takes.
const PUT_AWAY: usize = 100;

async fn race(election: &str, first: Kind) -> Race {
    Race::of(election, [first, Kind::Spawning], Stdio::inherit()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn children_stop_when_the_session_is_killed_and_when_the_process_stood_still() {
    let race = race("lost", Kind::Spawning).await;
    race.cluster.terminate_leader("lost").unwrap();
    race.until_term(2).await;
    until_successor(&race.cluster, "lost").await;
    race.processes[1].stop();
    race.until_term(3).await;
    race.processes[1].go_on();
    until("the woken process is the successor", || {
        support::status(&race.cluster, "lost", "successor").as_deref() == Some("second")
    })
    .await;
    record::assert_no_overlap(&race.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_blocks_counts_for_abort() {
    let mut race = race("abort", Kind::SpawningBlocking).await;
    race.cluster.terminate_leader("abort").unwrap();
    let mut status = None;
    until("the process has ended", || {
        status = race.processes[0].ended();
        status.is_some()
    })
    .await;
    assert_eq!(
        status.and_then(|status| status.signal()),
        Some(Signal::KILL.as_raw())
    );
    race.until_term(2).await;
    record::assert_no_overlap(&race.steps());
}

fn leads(candidacy: &Candidacy) -> bool {
    candidacy.state() != ProcessState::Following
}

/// Orderly ends, one after the other, between two candidates.
async fn steps_in_order<L>(mut lead: impl FnMut(&Arc<Record>) -> L) -> Vec<Step>
where
    L: FnMut(Term) -> Work + Send + 'static,
{
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let electors = [elector(&cluster).await, elector(&cluster).await];
    let mut leaders = vec![];
    for (elector, address) in electors.iter().zip(["first", "second"]) {
        let candidacy = elector.campaign(
            Campaign::new("order", address).graceful(true),
            lead(&record),
        );
        leaders.push(candidacy.unwrap());
    }
    until("one leads", || record.last_term() == 1).await;
    until_successor(&cluster, "order").await;
    for term in 2..8 {
        let candidacy = leaders.iter().find(|candidacy| leads(candidacy));
        candidacy.expect("one leads").resign().await;
        until("the next leads", || record.last_term() >= term).await;
        until_successor(&cluster, "order").await;
    }
    for elector in electors {
        elector.shutdown().await;
    }
    record.steps()
}

/// `lead` returns as soon as it is told of the end; a child has to put away what it holds, and is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_leads_before_the_children_have_stopped_in_order() {
    let by_term = |record: &Arc<Record>| {
        let record = Arc::clone(record);
        move |term: Term| -> Work {
            let steps = work::steps_until_told(&record, &term, PUT_AWAY);
            Box::pin(async move {
                drop(term.spawn_blocking(steps));
                term.ready();
                term.ending().await;
                Ok(())
            })
        }
    };
    record::assert_no_overlap(&steps_in_order(by_term).await);
}

/// It is not given what is left of the grace.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_ends_with_lead() {
    const GRACE: Duration = Duration::from_secs(60);
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = Elector::connect(config(&cluster.url()).grace(GRACE)).await;
    let elector = elector.unwrap();
    let candidacy = elector.campaign(Campaign::new("unasked", "first").graceful(true), {
        let record = Arc::clone(&record);
        move |term: Term| -> Work {
            let (address, number) = (term.address().to_owned(), term.number());
            let child = work::step_on(Arc::clone(&record), address, number);
            Box::pin(async move {
                drop(term.spawn(child));
                term.ready();
                term.ending().await;
                Ok(())
            })
        }
    });
    let candidacy = candidacy.unwrap();
    until("the child works", || record.last_term() == 1).await;
    let from = std::time::Instant::now();
    candidacy.leave().await;
    assert!(from.elapsed() < GRACE / 6, "it took {:?}", from.elapsed());
    elector.shutdown().await;
}

/// The same by a `JoinSet`, which waits for nobody when it is dropped: the judge above would see it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_join_set_has_spawned_runs_into_the_next_term() {
    let by_join_set = |record: &Arc<Record>| {
        let record = Arc::clone(record);
        move |term: Term| -> Work {
            let steps = work::steps_until_told(&record, &term, PUT_AWAY);
            Box::pin(async move {
                let mut children = tokio::task::JoinSet::new();
                children.spawn_blocking(steps);
                term.ready();
                term.ending().await;
                Ok(())
            })
        }
    };
    let overlap = record::overlap(&steps_in_order(by_join_set).await);
    assert!(overlap > Duration::ZERO, "the judge sees nothing");
}

/// `lead` returns at once; its child is the one who must be waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_returns_ends_its_children() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = elector(&cluster).await;
    let candidacy = elector.campaign(("returns", "first"), {
        let record = Arc::clone(&record);
        move |term: Term| {
            let record = Arc::clone(&record);
            async move {
                let (address, number) = (term.address().to_owned(), term.number());
                let slow = Arc::clone(&record);
                let (begun, begins) = tokio::sync::oneshot::channel();
                drop(term.spawn_blocking(move || {
                    let _ = begun.send(());
                    for _ in 0..200 {
                        slow.step(&address, number);
                    }
                }));
                drop(term.spawn(work::step_on(record, term.address().to_owned(), number)));
                let _ = begins.await;
                Ok::<(), std::io::Error>(())
            }
        }
    });
    let candidacy = candidacy.unwrap();
    until("the first leads", || record.has(1)).await;
    let other = Candidate::start(config(&cluster.url()), "returns", "second", &record).await;
    until("the other leads", || other.leads()).await;
    candidacy.leave().await;
    other.elector.shutdown().await;
    record::assert_no_overlap(&record.steps());
    let first = record.steps();
    let first = first.iter().filter(|step| step.address == "first");
    assert!(first.count() >= 200, "the child was not waited for");
}

/// A child that sleeps for ever is woken, so that it can be dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_only_sleeps_keeps_nobody_from_leading() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = elector(&cluster).await;
    let candidacy = elector.campaign(("sleeps", "first"), |term: Term| async move {
        let (begun, begins) = tokio::sync::oneshot::channel();
        drop(term.spawn(async move {
            let _ = begun.send(());
            std::future::pending::<()>().await;
        }));
        let _ = begins.await;
        Ok::<(), std::io::Error>(())
    });
    let _candidacy = candidacy.unwrap();
    let other = Candidate::start(config(&cluster.url()), "sleeps", "second", &record).await;
    until("the other leads", || other.leads()).await;
}

async fn until_ended(cluster: &Cluster, election: &str, term: i64, ending: &str) {
    until("the term ends so", || {
        history(cluster, election, term, "ending").as_deref() == Some(ending)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_heard_by_who_waits_and_fails_the_term_where_nobody_does() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let heard = Arc::new(AtomicBool::new(false));
    elector
        .campaign(("heard", "first"), {
            let heard = Arc::clone(&heard);
            move |term: Term| {
                let heard = Arc::clone(&heard);
                async move {
                    let child = term.spawn(async { panic!("as was asked for") });
                    let answer: Result<(), _> = child.await;
                    heard.store(
                        answer.is_err_and(|error| error.is_panic()),
                        Ordering::SeqCst,
                    );
                    Ok::<(), std::io::Error>(())
                }
            }
        })
        .unwrap()
        .detach();
    elector
        .campaign(("unheard", "first"), |term: Term| async move {
            drop(term.spawn(async { panic!("as was asked for") }));
            std::future::pending::<Result<(), std::io::Error>>().await
        })
        .unwrap()
        .detach();
    until_ended(&cluster, "heard", 1, "resigned").await;
    assert!(heard.load(Ordering::SeqCst));
    until_ended(&cluster, "unheard", 1, "failed").await;
    elector.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_spawned_after_the_end_is_dropped_unpolled() {
    let cluster = Cluster::start().unwrap();
    let elector: Elector = elector(&cluster).await;
    let (sender, mut terms) = tokio::sync::mpsc::unbounded_channel();
    let candidacy = elector
        .campaign(("after", "first"), move |term: Term| {
            let _ = sender.send(term);
            std::future::pending::<Result<(), std::io::Error>>()
        })
        .unwrap();
    let term = terms.recv().await.expect("it leads");
    let token = term.cancellation_token();
    assert!(!token.is_cancelled());
    candidacy.leave().await;
    token.cancelled().await;
    let polled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&polled);
    let child = term.spawn(async move { count.fetch_add(1, Ordering::SeqCst) });
    assert!(child.await.is_err_and(|error| error.is_dropped()));
    let count = Arc::clone(&polled);
    let child = term.spawn_blocking(move || count.fetch_add(1, Ordering::SeqCst));
    assert!(child.await.is_err_and(|error| error.is_dropped()));
    assert_eq!(polled.load(Ordering::SeqCst), 0);
    elector.shutdown().await;
}
