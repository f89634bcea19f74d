//! Fencing as a service uses it: leaders with clients that fence, hand-overs while they are at work, and what
//! stands in the way for too long. Settles row 26 of docs/development/known-faults.md.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support;
use crate::support::record::{self, Record};
use crate::support::seat::Seat;
use crate::support::{
    Candidate, Cluster, LEASE, client, config, contest, history, status, until, until_successor,
};
use pg_leader::{Campaign, Elector, ErrorKind, Term};
use rustix::process::{Pid, Signal, kill_process};

/// A leader that hands out its term, with a second candidate as its successor.
async fn leader_and_successor(
    cluster: &Cluster,
    election: &str,
    record: &Arc<Record>,
) -> (Term, pg_leader::Candidacy, Candidate) {
    let elector = Elector::connect(config(&cluster.url())).await.unwrap();
    let (sender, mut terms) = tokio::sync::mpsc::unbounded_channel();
    let candidacy = elector
        .campaign(
            Campaign::new(election, "first").graceful(true),
            move |term| {
                let _ = sender.send(term.clone());
                async move {
                    term.ready();
                    term.ending().await;
                    Ok::<(), std::io::Error>(())
                }
            },
        )
        .unwrap();
    let term = terms.recv().await.expect("it leads");
    let second = Candidate::start(config(&cluster.url()), election, "second", record).await;
    until_successor(cluster, election).await;
    (term, candidacy, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_fences_its_transactions_and_is_refused_when_it_is_over() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    // A name that needs care in SQL.
    let name = r"o'neil\s 'billing'";
    let (term, leader, second) =
        leader_and_successor(&cluster, &name.replace('\'', "`"), &record).await;
    let mut writer = client(&cluster.url()).await;
    let transaction = writer.transaction().await.unwrap();
    term.fence(&transaction).await.expect("the term is current");
    transaction.commit().await.unwrap();

    let error = term
        .fence(&writer)
        .await
        .expect_err("outside a transaction");
    assert!(error.kind() == ErrorKind::FenceMisuse, "{error}");

    leader.resign().await;
    until("the other works", || record.last_term() == 2).await;
    until("the other leads", || second.leads()).await;
    let transaction = writer.transaction().await.unwrap();
    let error = term
        .fence(&transaction)
        .await
        .expect_err("the term is over");
    assert!(error.kind() == ErrorKind::Fenced, "{error}");
    assert!(error.to_string().contains("newest is 2"), "{error}");
    drop(transaction);

    let transaction = writer
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::Serializable)
        .start()
        .await
        .unwrap();
    transaction.simple_query("SELECT 1").await.unwrap();
    let before = record.last_term();
    second.candidacy.resign().await;
    until("the next works", || {
        record.last_term() > before || leader.term() > before
    })
    .await;
    until("its term is on record", || {
        history(&cluster, leader.election(), 3, "term").is_some()
    })
    .await;
    let error = term
        .fence(&transaction)
        .await
        .expect_err("the term is over");
    assert!(error.kind() == ErrorKind::Fenced, "{error}");
}

/// Two servers have given out one number, and nobody is left who remembers the first: the number passes, the token does
/// not.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_of_the_same_number_on_a_server_that_was_lost_is_refused() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let (term, _leader, _second) = leader_and_successor(&cluster, "twice", &record).await;
    let token = cluster.query("SELECT token FROM pgleader.term");
    assert_eq!(term.token(), token.unwrap().unwrap());
    // This server's term 1 is another one than that which the process was given.
    cluster
        .execute("UPDATE pgleader.term SET token = gen_random_uuid()")
        .unwrap();
    let writer = client(&cluster.url()).await;
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        writer
            .batch_execute(&format!("BEGIN ISOLATION LEVEL {level}"))
            .await
            .unwrap();
        let error = term.fence(&writer).await.expect_err("another's term");
        assert!(
            error.kind() == ErrorKind::UnknownTerm && error.to_string().contains("another token"),
            "{level}: {error}"
        );
        writer.batch_execute("ROLLBACK").await.unwrap();
        // By the number alone nobody can tell.
        let by_number = format!(
            "BEGIN ISOLATION LEVEL {level}; SELECT pgleader.fence('twice', {}); ROLLBACK",
            term.number()
        );
        writer.batch_execute(&by_number).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_term_has_a_token_of_its_own() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let (first, leader, second) = leader_and_successor(&cluster, "tokens", &record).await;
    leader.resign().await;
    until("the other works", || record.last_term() == 2).await;
    second.candidacy.resign().await;
    until("a third term begins", || leader.term() == 3).await;
    let tokens = "SELECT count(DISTINCT token) FROM pgleader.term";
    assert_eq!(cluster.query(tokens).unwrap().as_deref(), Some("3"));
    // An old token opens no new term, and a new one no old term.
    let newest = cluster
        .query("SELECT token FROM pgleader.term WHERE number = 3")
        .unwrap()
        .unwrap();
    let writer = client(&cluster.url()).await;
    for (number, token, code) in [
        (3, first.token(), "PL002"),
        (1, newest.as_str(), "PL002"),
        (1, first.token(), "PL001"),
    ] {
        let fence = format!("BEGIN; SELECT pgleader.fence('tokens', {number}, '{token}')");
        let error = writer.batch_execute(&fence).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some(code), "{fence}");
        writer.batch_execute("ROLLBACK").await.unwrap();
    }
    let fence = format!("BEGIN; SELECT pgleader.fence('tokens', 3, '{newest}'); COMMIT");
    writer.batch_execute(&fence).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_too_old_is_a_serialization_failure() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let (term, leader, _second) = leader_and_successor(&cluster, "old", &record).await;
    let mut writer = client(&cluster.url()).await;
    let transaction = writer
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .start()
        .await
        .unwrap();
    transaction.simple_query("SELECT 1").await.unwrap();
    leader.resign().await;
    until("the other works", || record.last_term() == 2).await;
    let error = term
        .fence(&transaction)
        .await
        .expect_err("the term is over");
    assert!(error.kind() == ErrorKind::Serialization, "{error}");
}

/// A client of term 1 that writes fenced transactions of 30 ms without a pause, until its fence refuses. How
/// many were committed, and when the last one was.
async fn busy(url: String, begin: &'static str) -> (u64, u64) {
    let client = client(&url).await;
    let (mut committed, mut last) = (0, 0);
    loop {
        let transaction = format!("{begin}; SELECT pgleader.fence('busy', 1)");
        match client.batch_execute(&transaction).await {
            Ok(()) => {
                tokio::time::sleep(Duration::from_millis(30)).await;
                let commit = "INSERT INTO written VALUES (1); COMMIT";
                client
                    .batch_execute(commit)
                    .await
                    .expect("it has passed the fence");
                committed += 1;
                last = record::now();
            }
            Err(error) => match error.code().expect("the server refuses").code() {
                "PL001" => return (committed, last),
                "40001" => client.batch_execute("ROLLBACK").await.unwrap(),
                _ => panic!("{error}"),
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_busy_clients_delay_the_next_term_by_no_more_than_the_longest_of_them() {
    for begin in [
        "BEGIN ISOLATION LEVEL READ COMMITTED",
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
    ] {
        let cluster = Cluster::start().unwrap();
        cluster.execute("CREATE TABLE written (term int)").unwrap();
        let record = Record::in_memory();
        let candidates = contest(&cluster, "busy", 2, &record).await;
        let clients: Vec<_> = (0..8)
            .map(|_| tokio::spawn(busy(cluster.url(), begin)))
            .collect();
        until("they are all at work", || {
            let written = cluster.query("SELECT count(*) >= 40 FROM written");
            written.unwrap().as_deref() == Some("t")
        })
        .await;
        let resigned = record::now();
        candidates[0].candidacy.resign().await;
        until("the other works", || record.last_term() == 2).await;
        let steps = record.steps();
        let began = steps
            .iter()
            .filter(|step| step.term == 2)
            .map(|step| step.began)
            .min()
            .unwrap();
        let delay = Duration::from_nanos(began.saturating_sub(resigned));
        // 30 ms, and room for two noisy cores. Starved, it would take for ever.
        assert!(delay < LEASE / 2, "{begin}: {delay:?}");
        for client in clients {
            let (committed, last) = client.await.unwrap();
            assert!(committed > 0, "a client that never committed shows nothing");
            // Its answer arrives after the commit, by as much as two noisy cores may take.
            assert!(
                last < began + 20_000_000,
                "{begin}: one committed in the next term"
            );
        }
        record::assert_no_overlap(&steps);
    }
}

/// What outlasts the refractory period is ended by the new leader: idle in its transaction, or in a statement.
#[tokio::test(flavor = "multi_thread")]
async fn what_still_stands_in_the_way_after_the_refractory_period_is_ended() {
    let cluster = Cluster::start().unwrap();
    cluster.execute("CREATE TABLE written (term int)").unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "ended", 2, &record).await;
    let fence = "BEGIN; SELECT pgleader.fence('ended', 1); INSERT INTO written VALUES (1)";
    let (idle, running) = (client(&cluster.url()).await, client(&cluster.url()).await);
    idle.batch_execute(fence).await.unwrap();
    running.batch_execute(fence).await.unwrap();
    let statement =
        tokio::spawn(async move { running.batch_execute("SELECT pg_sleep(600)").await });
    // Another election of the same elector, whose session must not block meanwhile.
    let other = candidates[1]
        .elector
        .campaign(("other", "other"), support::steady(&Record::in_memory()))
        .unwrap();
    until("the other election is led", || {
        other.state() == pg_leader::ProcessState::Leading
    })
    .await;

    let resigned = Instant::now();
    candidates[0].candidacy.resign().await;
    until("it is shown what is waited for", || {
        status(&cluster, "ended", "waiting_for").as_deref() == Some("fenced transactions")
    })
    .await;
    until("the other works", || record.last_term() == 2).await;
    let waited = resigned.elapsed();
    assert!(
        waited >= LEASE * 9 / 10,
        "{waited:?}: they were not given their time"
    );
    assert!(waited < LEASE * 4, "{waited:?}");
    assert_eq!(
        other.term(),
        1,
        "the other election lost its leader meanwhile"
    );
    assert!(statement.await.unwrap().is_err());
    assert!(idle.batch_execute("COMMIT").await.is_err());
    assert_eq!(
        cluster
            .query("SELECT count(*) FROM written")
            .unwrap()
            .as_deref(),
        Some("0")
    );
    assert_eq!(
        history(&cluster, "ended", 2, "fenced_ended").as_deref(),
        Some("2")
    );
    assert_eq!(
        history(&cluster, "ended", 1, "fenced_ended").as_deref(),
        Some("0")
    );
}

/// A client that has passed the fence of term `term`, and the process that serves it.
struct Fenced {
    _client: tokio_postgres::Client,
    backend: Pid,
}

impl Fenced {
    async fn by(url: &str, election: &str, term: i64) -> Fenced {
        let client = client(url).await;
        let begin = format!("BEGIN; SELECT pgleader.fence('{election}', {term})");
        client.batch_execute(&begin).await.unwrap();
        let pid = client.query_one("SELECT pg_backend_pid()", &[]).await;
        Fenced {
            _client: client,
            backend: Pid::from_raw(pid.unwrap().get(0)).unwrap(),
        }
    }

    /// Its backend, told to end, stays.
    fn freeze(&self) {
        kill_process(self.backend, Signal::STOP).unwrap();
    }

    fn thaw(&self) {
        kill_process(self.backend, Signal::CONT).unwrap();
    }
}

/// Whether or not the owner of the schema may see when a backend started.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_slow_to_end_counts_once_however_often_it_is_told() {
    let cluster = Cluster::start().unwrap();
    support::install_by_an_ordinary_owner(&cluster, &[("app", "candidate")]).await;
    let url = support::url_of(&cluster, "app");
    for (election, rights) in [
        ("unseen", "SELECT 1"),
        ("seen", "GRANT pg_read_all_stats TO owner"),
    ] {
        cluster.execute(rights).unwrap();
        let (first, second) = (
            Seat::join_at(&url, election, "first").await,
            Seat::join_at(&url, election, "second").await,
        );
        assert_eq!(first.campaign().await, ("began".to_owned(), 1));
        let (slow, quick) = (
            Fenced::by(&url, election, 1).await,
            Fenced::by(&url, election, 1).await,
        );
        slow.freeze();
        assert!(first.vacate(1).await);
        first.release().await;
        assert_eq!(second.campaign().await, ("fenced".to_owned(), 1));
        assert_eq!(second.end_fenced().await, (2, 0), "{election}");
        let left = format!(
            "SELECT count(*) FROM pgleader.fenced AS f JOIN pgleader.election AS e ON e.id = f.election_id \
             WHERE e.name = '{election}'"
        );
        let left = || cluster.query(&left).unwrap();
        until("the quick one is gone", || left().as_deref() == Some("1")).await;
        for _ in 0..3 {
            assert_eq!(second.end_fenced().await, (1, 0), "{election}");
            assert_eq!(second.take_office(true).await.0, "fenced", "{election}");
        }
        slow.thaw();
        until("the slow one is gone", || left().as_deref() == Some("0")).await;
        let began = second.take_office(true).await;
        assert_eq!(began, ("began".to_owned(), Some(2)), "{election}");
        let ended = history(&cluster, election, 2, "fenced_ended");
        assert_eq!(ended.as_deref(), Some("2"), "{election}");
        drop((slow, quick));
    }
}

/// A leader that had to end some, and was gone before its term could begin; and the terms after that.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_leader_has_told_to_end_is_not_counted_again_and_each_term_counts_anew() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let seats = [
        Seat::join(&cluster, "anew", "first").await,
        Seat::join(&cluster, "anew", "second").await,
        Seat::join(&cluster, "anew", "third").await,
    ];
    let ended = |term| history(&cluster, "anew", term, "fenced_ended").unwrap();
    let none_left = || {
        let left = cluster.query("SELECT count(*) FROM pgleader.fenced");
        left.unwrap().as_deref() == Some("0")
    };
    assert_eq!(seats[0].campaign().await, ("began".to_owned(), 1));
    let slow = Fenced::by(&cluster.url(), "anew", 1).await;
    let also_slow = Fenced::by(&cluster.url(), "anew", 1).await;
    slow.freeze();
    also_slow.freeze();
    assert!(seats[0].vacate(1).await);
    seats[0].release().await;
    assert_eq!(seats[1].campaign().await, ("fenced".to_owned(), 1));
    assert_eq!(seats[1].end_fenced().await, (2, 0));
    seats[1].release().await;

    // Another backend has the pid of one that was told: only its start tells.
    cluster
        .execute(&format!(
            "UPDATE pgleader.election SET ended_backends = array_replace(ended_backends, \
             (SELECT b FROM unnest(ended_backends) AS b WHERE starts_with(b, '{} ')), '{} 1.5')",
            also_slow.backend, also_slow.backend
        ))
        .unwrap();
    assert_eq!(seats[2].campaign().await, ("fenced".to_owned(), 1));
    for _ in 0..2 {
        assert_eq!(seats[2].end_fenced().await, (2, 0));
    }
    slow.thaw();
    also_slow.thaw();
    until("they are gone", none_left).await;
    assert_eq!(
        seats[2].take_office(true).await,
        ("began".to_owned(), Some(2))
    );
    assert_eq!(ended(2), "3");

    let next = Fenced::by(&cluster.url(), "anew", 2).await;
    assert!(seats[2].vacate(2).await);
    seats[2].release().await;
    assert_eq!(seats[0].campaign().await, ("fenced".to_owned(), 2));
    assert_eq!(seats[0].end_fenced().await, (1, 0));
    until("it is gone", none_left).await;
    assert_eq!(
        seats[0].take_office(true).await,
        ("began".to_owned(), Some(3))
    );
    assert_eq!(ended(3), "1");
    assert!(seats[0].vacate(3).await);
    seats[0].release().await;
    assert_eq!(seats[1].campaign().await, ("began".to_owned(), 4));
    assert_eq!((ended(2), ended(4)), ("3".to_owned(), "0".to_owned()));
    drop(next);
}

/// The same after an unclean end: the fence of the old term holds although its leader is long gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_transaction_of_a_leader_whose_session_was_killed() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let _candidates = contest(&cluster, "killed", 2, &record).await;
    let writer = client(&cluster.url()).await;
    writer
        .batch_execute("BEGIN; SELECT pgleader.fence('killed', 1)")
        .await
        .unwrap();
    cluster.terminate_leader("killed").unwrap();
    until("somebody waits for it", || {
        status(&cluster, "killed", "waiting_for").as_deref() == Some("fenced transactions")
    })
    .await;
    assert_eq!(record.last_term(), 1);
    writer
        .batch_execute("COMMIT")
        .await
        .expect("it passed, and nobody leads yet");
    until("the next works", || record.last_term() == 2).await;
    record::assert_no_overlap(&record.steps());
}

/// Roles that may not end one another's sessions, and an owner that may not either: shown, and tried on.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_ended_is_shown_and_tried_on() {
    let cluster = Cluster::start().unwrap();
    let roles = [("app", "candidate"), ("web", "candidate")];
    support::install_by_an_ordinary_owner(&cluster, &roles).await;
    let url = |role: &str| support::url_of(&cluster, role);
    let record = Record::in_memory();
    let first = Candidate::start(config(&url("app")), "roles", "first", &record).await;
    until("the first leads", || first.leads()).await;
    let second = Candidate::start(config(&url("app")), "roles", "second", &record).await;
    until_successor(&cluster, "roles").await;
    let writer = client(&url("web")).await;
    writer
        .batch_execute("BEGIN; SELECT pgleader.fence('roles', 1)")
        .await
        .unwrap();
    let resigned = Instant::now();
    first.candidacy.resign().await;
    until("well past the refractory period it is still shown", || {
        resigned.elapsed() > LEASE * 2
            && status(&cluster, "roles", "waiting_for").as_deref() == Some("fenced transactions")
    })
    .await;
    assert_eq!(record.last_term(), 1);
    assert!(!second.leads());
    writer
        .batch_execute("COMMIT")
        .await
        .expect("nobody ended it");
    until("the next works", || record.last_term() == 2).await;
    assert_eq!(
        history(&cluster, "roles", 2, "fenced_ended").as_deref(),
        Some("0")
    );
}
