//! An orderly end: resign, step down, leave, shutdown. The next term begins at once, and never before the
//! work has stopped. Settles rows 7, 23, 29 and 30 of docs/development/known-faults.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support;
use crate::support::record::{self, Record};
use crate::support::work::Work;
use crate::support::{CEILING, Cluster, LEASE, config, contest, history, until};
use pg_leader::{Campaign, Elector, ProcessState, Term};

#[tokio::test(flavor = "multi_thread")]
async fn resigning_hands_over_at_once_and_in_order() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "resign", 2, &record).await;

    candidates[0].candidacy.resign().await;
    until("the other leads", || candidates[1].leads()).await;
    until("the other works", || record.last_term() == 2).await;

    record::assert_no_overlap(&record.steps());
    let gap = record::gap_after(&record.steps(), 1).unwrap();
    assert!(gap < LEASE / 2, "an orderly handover took {gap:?}");
    assert_eq!(
        history(&cluster, "resign", 1, "ending").as_deref(),
        Some("resigned")
    );
    assert_eq!(candidates[0].candidacy.state(), ProcessState::Following);
}

/// The notification does it: whoever has missed it finds out by a probe, the successor's alone, and that comes
/// every three seconds.
#[tokio::test(flavor = "multi_thread")]
async fn the_notification_hands_over_and_not_the_next_probe() {
    const ENDINGS: usize = 20;
    let lease = LEASE * 60;
    let cluster = Cluster::start().unwrap();
    let elector = async || {
        let config = config(&cluster.url()).lease(lease).retry_interval(lease);
        Elector::connect(config).await.unwrap()
    };
    let (first, second) = (elector().await, elector().await);
    let mut elections = vec![];
    for number in 0..ENDINGS {
        let (name, record) = (format!("heard {number}"), Record::in_memory());
        let candidacy = first.campaign((&name, "first"), one_step(&record)).unwrap();
        elections.push((name, record, candidacy));
    }
    until("the first leads", || {
        elections.iter().all(|(_, record, _)| record.has(1))
    })
    .await;
    let mut others = vec![];
    for (name, record, _) in &elections {
        others.push(second.campaign((name, "second"), one_step(record)).unwrap());
    }
    until("the second stands by", || {
        let successors = "SELECT count(*) FROM pgleader.status WHERE successor = 'second'";
        cluster.query(successors).unwrap() == Some(ENDINGS.to_string())
    })
    .await;
    let mut took = vec![];
    for (_, record, candidacy) in &elections {
        let asked = record::now();
        candidacy.resign().await;
        until("the second works", || record.has(2)).await;
        took.push(record::time_to_term(&record.steps(), asked, 2));
    }
    // The next probe comes so soon once in twelve times.
    support::assert_most("handed over", &took, ENDINGS * 9 / 10, LEASE / 4, lease);
}

/// Work that says once that it leads, and leaves the machine to the others.
fn one_step(record: &Arc<Record>) -> impl FnMut(Term) -> Work + Send + use<> {
    let record = Arc::clone(record);
    move |term| {
        let record = Arc::clone(&record);
        Box::pin(async move {
            record.step(term.address(), term.number());
            term.ready();
            std::future::pending().await
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_makes_the_leader_step_down() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "stepdown", 2, &record).await;

    cluster
        .execute("SELECT pgleader.step_down('stepdown')")
        .unwrap();
    until("the other leads", || candidates[1].leads()).await;

    record::assert_no_overlap(&record.steps());
    assert_eq!(
        history(&cluster, "stepdown", 1, "ending").as_deref(),
        Some("stepped down")
    );
    assert_eq!(
        history(&cluster, "stepdown", 1, "by").as_deref(),
        Some("postgres")
    );
    let left = cluster
        .query("SELECT count(*) FROM pgleader.requests WHERE ended_at IS NULL")
        .unwrap();
    assert_eq!(left.as_deref(), Some("0"), "it was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_and_leave_release_the_leadership() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "bye", 3, &record).await;

    candidates[0].elector.shutdown().await;
    until("another leads", || {
        candidates[1..].iter().any(|c| c.leads())
    })
    .await;
    let second = candidates[1..].iter().find(|c| c.leads()).unwrap();
    second.candidacy.leave().await;
    let third = candidates[1..]
        .iter()
        .find(|c| !std::ptr::eq(*c, second))
        .unwrap();
    until("the last one leads", || third.leads()).await;
    for (term, asked) in [(1, "a shutdown"), (2, "leave")] {
        let ending = support::history(&cluster, "bye", term, "ending");
        assert_eq!(
            ending.as_deref(),
            Some("resigned"),
            "{asked} is an orderly end"
        );
    }

    record::assert_no_overlap(&record.steps());
    assert_eq!(
        support::status(&cluster, "bye", "candidates").as_deref(),
        Some("1")
    );
    let again = second
        .elector
        .campaign(("bye", "again"), support::steady(&record));
    assert!(again.is_ok(), "who has left may come back");
}

/// Work that hears of the end and does not heed it uses up the grace. What it leaves to be told is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_that_has_used_up_the_grace_vacates_all_the_same() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = Elector::connect(config(&cluster.url()).grace(LEASE / 2)).await;
    let elector = elector.unwrap();
    let names: Vec<String> = (0..8).map(|number| format!("stubborn {number}")).collect();
    let mut leaders = vec![];
    for name in &names {
        let work = support::work::of(support::work::Kind::Stubborn, &record);
        leaders.push(elector.campaign((name, "stubborn"), work).unwrap());
    }
    until("it leads all of them", || {
        let mut leaders = leaders.iter();
        leaders.all(|leader| leader.state() == ProcessState::Leading)
    })
    .await;
    elector.shutdown().await;
    let told = cluster.query("SELECT count(*) FROM pgleader.term WHERE vacated_at IS NOT NULL");
    assert_eq!(told.unwrap().as_deref(), Some("8"));
}

/// Work that is wedged, and waits for something that never comes, ends all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_the_term_of_a_wedged_leader() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = support::elector(&cluster).await;
    let wedged = elector
        .campaign(("wedged", "wedged"), |term| async move {
            term.ready();
            std::future::pending::<Result<(), std::io::Error>>().await
        })
        .unwrap();
    until("it leads", || wedged.state() == ProcessState::Leading).await;
    let other = support::Candidate::start(config(&cluster.url()), "wedged", "other", &record).await;
    support::until_successor(&cluster, "wedged").await;
    cluster
        .execute("SELECT pgleader.step_down('wedged')")
        .unwrap();
    until("the other leads", || other.leads()).await;
    assert_eq!(
        history(&cluster, "wedged", 1, "ending").as_deref(),
        Some("stepped down")
    );
}

/// Work that blocks its thread and looks from time to time hears of an orderly end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn blocking_work_that_looks_is_told_that_its_term_is_ending() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = support::elector(&cluster).await;
    let blocking = elector
        .campaign(("looks", "blocking"), {
            let record = record.clone();
            move |term| {
                let record = record.clone();
                async move {
                    term.ready();
                    while !term.is_ending() {
                        record.step(term.address(), term.number());
                    }
                    assert!(
                        term.is_current(),
                        "the term goes on until its work has stopped"
                    );
                    Ok::<(), std::io::Error>(())
                }
            }
        })
        .unwrap();
    until("it leads", || record.last_term() == 1).await;
    tokio::time::timeout(CEILING, blocking.resign())
        .await
        .expect("it resigns");
    assert_eq!(
        history(&cluster, "looks", 1, "ending").as_deref(),
        Some("resigned")
    );
}

/// Work that was told and takes its time keeps the leadership until it is done (invariant 4).
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_released_before_the_work_has_stopped() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let finish = Arc::new(AtomicBool::new(false));
    let told = Arc::new(AtomicBool::new(false));
    let elector = support::elector(&cluster).await;
    let slow = elector
        .campaign(Campaign::new("slow", "slow").graceful(true), {
            let (finish, told, record) = (finish.clone(), told.clone(), record.clone());
            move |term| {
                let (finish, told, record) = (finish.clone(), told.clone(), record.clone());
                async move {
                    term.ready();
                    term.ending().await;
                    told.store(true, Ordering::SeqCst);
                    while !finish.load(Ordering::SeqCst) {
                        record.step(term.address(), term.number());
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    Ok::<(), std::io::Error>(())
                }
            }
        })
        .unwrap();
    until("the first leads", || slow.state() == ProcessState::Leading).await;
    let other = support::Candidate::start(config(&cluster.url()), "slow", "other", &record).await;
    support::until_successor(&cluster, "slow").await;

    let resigning = tokio::spawn({
        let slow = slow.clone();
        async move { slow.resign().await }
    });
    until("the work was told", || told.load(Ordering::SeqCst)).await;
    // Well past the lease: neither silence nor impatience may release it.
    let steps = record.steps().len();
    until("the work goes on", || record.steps().len() > steps + 1000).await;
    assert!(!other.leads(), "released while the work runs");
    assert!(!resigning.is_finished(), "resigned while the work runs");

    finish.store(true, Ordering::SeqCst);
    tokio::time::timeout(CEILING, resigning)
        .await
        .expect("it resigns")
        .unwrap();
    until("the other leads", || other.leads()).await;
    record::assert_no_overlap(&record.steps());
}
