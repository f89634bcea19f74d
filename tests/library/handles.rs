//! What handles and campaigns are worth: dropped, detached, cloned; asked to resign; with grace and without; begun before
//! there is a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support;
use crate::support::record::Record;
use crate::support::{CEILING, Candidate, Cluster, LEASE, config, elector, history, status, until};
use pg_leader::operator::Operator;
use pg_leader::{AddressError, Campaign, Elector, ErrorKind, ProcessState, Term};

async fn lead(term: Term) {
    term.ready();
    std::future::pending().await
}

fn candidates(cluster: &Cluster, election: &str) -> Option<String> {
    status(cluster, election, "candidates")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_handle_of_a_candidacy_leaves_in_order_though_the_elector_lives() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let candidacy = elector.campaign(("dropped", "a"), lead).unwrap();
    let clone = candidacy.clone();
    until("it leads", || clone.state() == ProcessState::Leading).await;
    drop(candidacy);
    // Commands are heard in their order: had it left, it would before this one leads.
    let other = elector.campaign(("other", "a"), lead).unwrap();
    until("the other leads", || other.state() == ProcessState::Leading).await;
    assert_eq!(clone.state(), ProcessState::Leading);
    drop(clone);
    until("it has left", || {
        candidates(&cluster, "dropped").as_deref() == Some("0")
    })
    .await;
    let ending = history(&cluster, "dropped", 1, "ending");
    assert_eq!(ending.as_deref(), Some("resigned"));
    assert_eq!(other.state(), ProcessState::Leading);
    // And may come back.
    let again = || elector.campaign(("dropped", "a"), lead).is_ok();
    until("it may campaign again", again).await;
    elector.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_candidacy_ends_with_its_elector() {
    let cluster = Cluster::start().unwrap();
    let candidacy = pg_leader::run(config(&cluster.url()), "kept", "a", lead).await;
    let candidacy = candidacy.unwrap();
    let clone = candidacy.clone();
    let elector = candidacy.detach();
    drop(clone);
    let observer = elector.observe("kept").unwrap();
    until("it leads all the same", || {
        observer.address().as_deref() == Ok("a")
    })
    .await;
    drop(observer);
    drop(elector);
    until("its term is over", || {
        history(&cluster, "kept", 1, "ending").as_deref() == Some("resigned")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_follows_until_its_last_clone_is_dropped() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let observer = elector.observe("seen").unwrap();
    drop(observer.clone());
    let record = Record::in_memory();
    let other = Candidate::start(config(&cluster.url()), "seen", "other", &record).await;
    until("it is followed", || {
        observer.address().as_deref() == Ok("other")
    })
    .await;
    other.elector.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_resigns_hears_whether_there_was_a_term() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = support::contest(&cluster, "asked", 2, &record).await;
    let [first, second] = [&candidates[0], &candidates[1]];
    assert!(!second.candidacy.resign().await, "a follower has no term");
    assert!(first.candidacy.resign().await, "the leader has one");
    until("the other leads", || second.leads()).await;
    assert!(!first.candidacy.resign().await, "it leads no more");
    second.candidacy.leave().await;
    assert!(!second.candidacy.resign().await, "it is none any more");
}

/// In an orderly end: nothing that the work asks gives it time, but that its campaign is graceful.
#[tokio::test(flavor = "multi_thread")]
async fn work_is_given_time_where_its_campaign_is_graceful_and_nowhere_else() {
    const GRACE: Duration = Duration::from_secs(60);
    let cluster = Cluster::start().unwrap();
    for graceful in [false, true] {
        let elector = Elector::connect(config(&cluster.url()).grace(GRACE)).await;
        let elector = elector.unwrap();
        let (told, finish) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let campaign = Campaign::new("grace", "a").graceful(graceful);
        let candidacy = elector.campaign(campaign, {
            let (told, finish) = (Arc::clone(&told), Arc::clone(&finish));
            move |term: Term| {
                let (told, finish) = (Arc::clone(&told), Arc::clone(&finish));
                async move {
                    let token = term.cancellation_token();
                    assert!(!term.is_ending());
                    term.ready();
                    tokio::join!(term.ending(), token.cancelled());
                    told.store(true, Ordering::SeqCst);
                    while !finish.load(Ordering::SeqCst) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        });
        let candidacy = candidacy.unwrap();
        until("it leads", || candidacy.state() == ProcessState::Leading).await;
        let began = Instant::now();
        let resigning = tokio::spawn(async move { candidacy.resign().await });
        if graceful {
            until("the work is told", || told.load(Ordering::SeqCst)).await;
            assert!(!resigning.is_finished(), "the work was not waited for");
            finish.store(true, Ordering::SeqCst);
        }
        assert!(resigning.await.unwrap());
        assert!(began.elapsed() < GRACE / 2, "it was waited for in vain");
        assert_eq!(told.load(Ordering::SeqCst), graceful);
        elector.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_may_start_before_its_database() {
    let cluster = Cluster::start().unwrap();
    cluster.stop_fast().unwrap();
    let refused = Elector::connect(config(&cluster.url())).await.unwrap_err();
    assert!(
        refused.kind() == ErrorKind::Connection && refused.is_retryable(),
        "{refused}"
    );
    let elector = Elector::start(config(&cluster.url())).unwrap();
    let candidacy = elector.campaign(("early", "a"), lead).unwrap();
    let observer = elector.observe("early").unwrap();
    // For longer than it takes to be refused.
    let failed = tokio::time::timeout(LEASE, async {
        while candidacy.state() == ProcessState::Following && observer.address().is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(failed.await.is_err(), "nobody can know who leads");
    cluster.start_again().unwrap();
    // Its first session installs the schema.
    until("it leads", || candidacy.state() == ProcessState::Leading).await;
    until("it is seen", || observer.address().as_deref() == Ok("a")).await;
    elector.shutdown().await;

    for unreadable in [
        "postgres://app@db:port/app",
        "host=db",
        "no conninfo at all",
    ] {
        let refused = Elector::start(unreadable).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Configuration, "{refused}");
    }
    let incoherent = Elector::start(config("host=db user=app").lease(Duration::ZERO)).unwrap_err();
    assert_eq!(incoherent.kind(), ErrorKind::Configuration);
}

/// One that can never be reached can be shut down.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_never_been_connected_ends_when_it_is_told_to() {
    let cluster = Cluster::start().unwrap();
    cluster.stop_fast().unwrap();
    let elector = Elector::start(config(&cluster.url()).grace(LEASE)).unwrap();
    let candidacy = elector.campaign(("never", "a"), lead).unwrap();
    let ends = async {
        assert!(!candidacy.resign().await);
        candidacy.leave().await;
        elector.shutdown().await;
    };
    tokio::time::timeout(CEILING, ends).await.expect("it ends");
}

/// What crosses to the database: a term as its number, and the words of the schema.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_is_bound_and_words_are_read_in_sql_of_ones_own() {
    use pg_leader::ElectionState;
    use pg_leader::operator::{CandidatePlace, Lever, TermEnding};

    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let (sender, mut terms) = tokio::sync::mpsc::unbounded_channel();
    let candidacy = elector.campaign(("bound", "a"), move |term: Term| {
        let _ = sender.send(term.clone());
        lead(term)
    });
    let candidacy = candidacy.unwrap();
    let term = terms.recv().await.expect("it leads");
    support::until_leading(&cluster, "bound").await;
    let client = support::client(&cluster.url()).await;
    let row = client
        .query_one(
            "SELECT s.state, c.place, s.term, s.waiting_for FROM pgleader.status AS s \
             JOIN pgleader.candidates AS c ON c.name = s.name WHERE s.term = $1 AND s.state = $2",
            &[&term, &ElectionState::Leading],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, ElectionState>(0), ElectionState::Leading);
    assert_eq!(row.get::<_, CandidatePlace>(1), CandidatePlace::Leader);
    assert_eq!(row.get::<_, i64>(2), term.number());
    assert_eq!(row.get::<_, Option<pg_leader::WaitingFor>>(3), None);
    client
        .execute("SELECT pgleader.step_down('bound')", &[])
        .await
        .unwrap();
    until("the term is over", || {
        history(&cluster, "bound", term.number(), "ending").is_some()
    })
    .await;
    let row = client
        .query_one(
            "SELECT ending, request FROM pgleader.history WHERE term = $1 AND ending = $2 AND request = $3",
            &[&term, &TermEnding::SteppedDown, &Lever::StepDown],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, TermEnding>(0), TermEnding::SteppedDown);
    assert_eq!(row.get::<_, Option<Lever>>(1), Some(Lever::StepDown));
    drop(candidacy);
}

/// What the server cannot hold would fail with whatever else is asked of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_election_can_have_is_refused_when_asked() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let other = elector.campaign(("other", "a"), lead).unwrap();
    until("the other leads", || other.state() == ProcessState::Leading).await;
    let long = "a".repeat(201);
    for name in ["a\0", "\0", "", long.as_str()] {
        let observed = elector.observe(name).unwrap_err();
        let campaigned = elector.campaign((name, "a"), lead).unwrap_err();
        for refused in [&observed, &campaigned] {
            assert_eq!(refused.kind(), ErrorKind::Configuration, "{refused}");
            let says = refused.to_string();
            assert!(says.contains("an election's name must have"), "{says}");
        }
    }
    for address in ["", "a\0b"] {
        let refused = elector.campaign(("e", address), lead).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Configuration, "{refused}");
        assert!(refused.to_string().contains("an address must"), "{refused}");
    }
    let operator = Operator::connect(config(&cluster.url())).await.unwrap();
    let refused = operator.step_down("a\0", None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
    operator.status().await.expect("its session lives");
    assert_eq!(other.term(), 1);
    assert_eq!(other.state(), ProcessState::Leading);
}

/// An elector that has handles of no election has no names of any, but what it has heard of their terms.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_heard_of_is_respected_after_the_last_handle_is_gone() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    for forgets in [
        "",
        "DELETE FROM pgleader.term; DELETE FROM pgleader.election",
    ] {
        let last = cluster.query("SELECT coalesce(max(term), 0)::text FROM pgleader.election");
        let last: i64 = last.unwrap().unwrap().parse().unwrap();
        let candidacy = elector.campaign(("again", "a"), lead).unwrap();
        until("it leads", || candidacy.state() == ProcessState::Leading).await;
        assert!(candidacy.term() > last);
        candidacy.leave().await;
        drop(candidacy);
        // As a replica's worker, for whom triggers do not fire.
        let forgets =
            format!("BEGIN; SET LOCAL session_replication_role = replica; {forgets}; COMMIT");
        cluster.execute(&forgets).unwrap();
    }
    let candidacy = elector.campaign(("again", "a"), lead).unwrap();
    until("it leads", || candidacy.state() == ProcessState::Leading).await;
    assert!(candidacy.term() > 2, "term {}", candidacy.term());
}

/// A handle of an election that others of this process have left, or that is followed again.
#[tokio::test(flavor = "multi_thread")]
async fn handles_of_one_election_know_the_same_whichever_were_dropped() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    for _ in 0..3 {
        let observer = elector.observe("one").unwrap();
        let candidacy = elector.campaign(("one", "a"), lead).unwrap();
        until("it leads", || observer.address().as_deref() == Ok("a")).await;
        let refused = elector.campaign(("one", "b"), lead).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyCandidate, "{refused}");
        let other = elector.observe("one").unwrap();
        drop(observer);
        candidacy.leave().await;
        drop(candidacy);
        until("nobody leads", || {
            other.address() == Err(AddressError::NoLeader)
        })
        .await;
    }
    // What nobody holds goes on where it was detached.
    let detached = elector.campaign(("one", "c"), lead).unwrap();
    let elector = detached.detach();
    let refused = elector.campaign(("one", "d"), lead).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyCandidate, "{refused}");
    let observer = elector.observe("one").unwrap();
    until("it leads", || observer.address().as_deref() == Ok("c")).await;
    elector.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_or_an_address_that_no_server_takes_is_refused_when_the_candidacy_begins() {
    let elector = Elector::start(config("host=127.0.0.1 port=1 user=nobody")).unwrap();
    let long = |length: usize| "ä".repeat(length);
    for (name, address, words) in [
        (String::new(), "a".to_owned(), "must have 1 to 200"),
        (long(201), "a".to_owned(), "must have 1 to 200"),
        ("a\0".to_owned(), "a".to_owned(), "no NUL"),
        ("e".to_owned(), String::new(), "must not be empty"),
        ("e".to_owned(), long(1001), "no more than 1,000"),
        ("e".to_owned(), "a\0".to_owned(), "no NUL"),
    ] {
        let refused = elector.campaign((&name, &address), lead).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Configuration, "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
        let observed = elector.observe(&name);
        assert_eq!(observed.is_err(), name != "e", "{name:?}");
    }
    drop(elector.campaign((long(200), long(1000)), lead).unwrap());
}
