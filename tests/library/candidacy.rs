//! What a candidacy promises to whoever calls it: what the first line of the work finds, that a resignation
//! is heard whenever it comes, and that after a shutdown nothing begins. Settles row 32 of
//! docs/development/known-faults.md together with `foreign_code`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::support;
use crate::support::proxy::Proxy;
use crate::support::record::Record;
use crate::support::{CEILING, Candidate, Cluster, LEASE, config, elector, history, until};
use pg_leader::{
    AddressError, Campaign, Candidacy, Elector, ErrorKind, ProcessState, Takeover, Term,
};

type Ended = Result<(), std::io::Error>;

/// What the first line of the work saw: the state and the address.
type Seen = (ProcessState, Result<String, AddressError>);

#[tokio::test(flavor = "multi_thread")]
async fn the_first_line_of_the_work_finds_itself_in_office() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let leader: Arc<OnceLock<Candidacy>> = Arc::default();
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let candidacy = elector
        .campaign(("first", "here"), {
            let (leader, seen) = (Arc::clone(&leader), Arc::clone(&seen));
            move |term: Term| {
                let look = |leader: &Candidacy| (leader.state(), leader.address());
                let (leader, seen) = (Arc::clone(&leader), Arc::clone(&seen));
                // The first term may begin before `campaign` has returned.
                seen.lock().unwrap().extend(leader.get().map(look));
                async move {
                    seen.lock().unwrap().extend(leader.get().map(look));
                    // Who resigns leads again at once; who returns at once does not.
                    term.resign();
                    std::future::pending::<Ended>().await
                }
            }
        })
        .unwrap();
    leader.get_or_init(|| candidacy);
    until("forty terms have begun", || seen.lock().unwrap().len() > 80).await;
    for (state, address) in &*seen.lock().unwrap() {
        assert_eq!(*state, ProcessState::Recovering);
        assert_eq!(address.as_deref(), Ok("here"));
    }
}

/// From inside the work and from outside, at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_resignation_in_the_first_line_of_the_work_is_heard() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let leader: Arc<OnceLock<Candidacy>> = Arc::default();
    let begun = Arc::new(AtomicUsize::new(0));
    let resigned = Arc::new(AtomicUsize::new(0));
    let candidacy = elector
        .campaign(("resigns", "a"), {
            let (leader, begun, resigned) = (
                Arc::clone(&leader),
                Arc::clone(&begun),
                Arc::clone(&resigned),
            );
            move |term: Term| {
                let nth = begun.fetch_add(1, Ordering::SeqCst);
                match leader.get() {
                    Some(leader) if nth.is_multiple_of(2) => {
                        let (leader, resigned) = (leader.clone(), Arc::clone(&resigned));
                        tokio::spawn(async move {
                            leader.resign().await;
                            assert_eq!(leader.state(), ProcessState::Following);
                            resigned.fetch_add(1, Ordering::SeqCst);
                        });
                    }
                    _ => term.resign(),
                }
                std::future::pending::<Ended>()
            }
        })
        .unwrap();
    leader.get_or_init(|| candidacy);
    // A resignation that is not heard leaves the work for ever.
    until("ten terms were resigned", || {
        resigned.load(Ordering::SeqCst) > 10
    })
    .await;
}

/// Who has won, and waits until the last term's work has surely stopped, lets go and comes last.
#[tokio::test(flavor = "multi_thread")]
async fn a_resignation_while_office_is_awaited_is_heard() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let proxy = Proxy::start(cluster.port()).await;
    // A lease so long that nobody takes office meanwhile by having waited.
    let patient = |url: &str| config(url).lease(LEASE * 10).takeover(Takeover::AlwaysWait);
    let first = Candidate::start(patient(&proxy.url()), "awaited", "first", &record).await;
    until("it leads", || first.leads()).await;
    let second = Candidate::start(patient(&cluster.url()), "awaited", "second", &record).await;
    support::until_successor(&cluster, "awaited").await;
    // The first cannot come back to say that its work has stopped.
    proxy.swallow(true, true);
    cluster.terminate_leader("awaited").unwrap();
    let waits = || {
        support::status(&cluster, "awaited", "waiting_for").as_deref() == Some("refractory period")
    };
    until("the second waits", waits).await;
    let third = Candidate::start(patient(&cluster.url()), "awaited", "third", &record).await;
    support::until_successor(&cluster, "awaited").await;
    let holder = || {
        let holder = "SELECT pid::text FROM pg_locks WHERE locktype = 'advisory' AND granted \
                      AND classid = 'pgleader.election'::regclass";
        cluster.query(holder).unwrap()
    };
    let before = holder();
    assert!(before.is_some());
    within(second.candidacy.resign()).await;
    until("somebody else holds the lock", || {
        let now = holder();
        now.is_some() && now != before
    })
    .await;
    assert_eq!(second.candidacy.state(), ProcessState::Following);
    // It was no term of its.
    assert_eq!(history(&cluster, "awaited", 2, "address"), None);
    third.elector.shutdown().await;
    second.elector.shutdown().await;
}

fn idle(_: Term) -> std::future::Pending<Ended> {
    std::future::pending()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_shutdown_nothing_begins() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let candidacy = elector.campaign(("before", "a"), idle).unwrap();
    until("it leads", || candidacy.state() != ProcessState::Following).await;
    within(elector.shutdown()).await;
    let refused = elector.campaign(("after", "a"), idle).unwrap_err();
    assert!(refused.kind() == ErrorKind::ShutDown, "{refused}");
    assert!(elector.observe("after").unwrap_err().kind() == ErrorKind::ShutDown);
    // Whoever asks once more is answered.
    within(elector.shutdown()).await;
    within(candidacy.resign()).await;
    within(candidacy.leave()).await;
    assert_eq!(support::status(&cluster, "after", "state"), None);
}

/// The work takes its time to stop, and meanwhile somebody campaigns.
#[tokio::test(flavor = "multi_thread")]
async fn during_a_shutdown_nothing_begins() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let stops = Arc::new(AtomicBool::new(false));
    let candidacy = elector
        .campaign(Campaign::new("stops", "a").graceful(true), {
            let stops = Arc::clone(&stops);
            move |term: Term| {
                let stops = Arc::clone(&stops);
                async move {
                    term.ending().await;
                    while !stops.load(Ordering::SeqCst) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    Ended::Ok(())
                }
            }
        })
        .unwrap();
    until("it leads", || candidacy.state() != ProcessState::Following).await;
    let stopping = [(); 3].map(|()| {
        let elector = elector.clone();
        tokio::spawn(async move { elector.shutdown().await })
    });
    until("it stops", || {
        elector.campaign(("late", "a"), idle).is_err()
    })
    .await;
    for _ in 0..100 {
        let refused = elector.campaign(("during", "a"), idle).unwrap_err();
        assert!(refused.kind() == ErrorKind::ShutDown, "{refused}");
        tokio::task::yield_now().await;
    }
    stops.store(true, Ordering::SeqCst);
    for stopping in stopping {
        within(stopping).await.unwrap();
    }
    assert_eq!(support::status(&cluster, "during", "state"), None);
}

/// From many threads: each candidacy is accepted and ended by the shutdown, or refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn candidacies_that_race_a_shutdown_end_with_it() {
    let cluster = Cluster::start().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    for round in 0..5 {
        // A shutdown tells the database for half a lease, also of hundreds of elections.
        let config = config(&cluster.url())
            .lease(2 * CEILING)
            .retry_interval(CEILING);
        let elector = Elector::connect(config).await.unwrap();
        let before = accepted.load(Ordering::SeqCst);
        let racing: Vec<_> = (0..4)
            .map(|racer| {
                let (elector, accepted) = (elector.clone(), Arc::clone(&accepted));
                tokio::spawn(async move {
                    for nth in 0..200 {
                        let election = format!("race-{round}-{racer}-{nth}");
                        match elector.campaign((&election, "a"), idle) {
                            Ok(candidacy) => {
                                candidacy.detach();
                                accepted.fetch_add(1, Ordering::SeqCst)
                            }
                            Err(refused) => {
                                assert!(refused.kind() == ErrorKind::ShutDown, "{refused}");
                                return;
                            }
                        };
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        until("some are accepted", || {
            accepted.load(Ordering::SeqCst) > before + 10
        })
        .await;
        within(elector.shutdown()).await;
        for racing in racing {
            racing.await.unwrap();
        }
    }
    let left = "SELECT sum(candidates)::text FROM pgleader.status";
    assert_eq!(cluster.query(left).unwrap().as_deref(), Some("0"));
}

/// Dropped where it is refused it may do anything, such as letting go of a handle of the same elector.
#[tokio::test(flavor = "multi_thread")]
async fn a_closure_that_is_refused_is_dropped_under_no_lock() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let _first = elector.campaign(("taken", "a"), idle).unwrap();
    let observer = elector.observe("other").unwrap();
    let runtime = tokio::runtime::Handle::current();
    let (answer, refused) = tokio::sync::oneshot::channel();
    // On a thread that nobody waits for where it hangs.
    std::thread::spawn(move || {
        let _inside = runtime.enter();
        let refused = elector.campaign(("taken", "a"), move |term| {
            let _ = observer.state();
            idle(term)
        });
        let _ = answer.send((elector, refused));
    });
    let (elector, refused) = within(refused).await.unwrap();
    assert!(refused.unwrap_err().kind() == ErrorKind::AlreadyCandidate);
    within(elector.shutdown()).await;
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(support::CEILING, future)
        .await
        .expect("it returns")
}

/// A handle outlives its candidacy; what it asks then is not for the next one in the same election.
#[tokio::test(flavor = "multi_thread")]
async fn a_handle_of_a_candidacy_that_is_over_does_not_end_the_next() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let over = elector.campaign(("again", "a"), idle).unwrap();
    let clone = over.clone();
    until("it leads", || over.state() != ProcessState::Following).await;
    within(over.leave()).await;
    let candidacy = elector.campaign(("again", "b"), idle).unwrap();
    until("the next leads", || {
        candidacy.state() != ProcessState::Following
    })
    .await;
    let term = candidacy.term();
    within(clone.leave()).await;
    within(clone.resign()).await;
    // Commands are heard in their order: what is asked of another election comes after.
    let other = elector.campaign(("other", "b"), idle).unwrap();
    until("the other leads", || {
        other.state() != ProcessState::Following
    })
    .await;
    assert_ne!(candidacy.state(), ProcessState::Following);
    assert_eq!(candidacy.term(), term);
    assert_eq!(history(&cluster, "again", term, "ending"), None);
    within(candidacy.leave()).await;
    assert!(history(&cluster, "again", term, "ending").is_some());
    within(elector.shutdown()).await;
}
