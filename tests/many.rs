//! Many candidates, many elections, few connections. Settles rows 10, 14 and 28 of docs/known-faults.md.

mod support;

use pg_leader::{Config, Elector, ProcessState};
use support::record::{self, Record};
use support::{Cluster, LEASE, config, elector, steady, until};

#[tokio::test(flavor = "multi_thread")]
async fn thirty_candidates_one_leader_one_successor() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let mut candidates = vec![];
    for index in 0..30 {
        let address = format!("c{index}");
        candidates.push(
            support::Candidate::start(config(&cluster.url()), "crowd", &address, &record).await,
        );
    }
    until("one leads", || {
        candidates.iter().any(support::Candidate::leads)
    })
    .await;
    until("all take part", || {
        support::status(&cluster, "crowd", "candidates").as_deref() == Some("30")
    })
    .await;
    support::until_successor(&cluster, "crowd").await;
    let successors = cluster
        .query("SELECT count(*) FROM pgleader.lock WHERE kind = 'pgleader.candidate'::regclass AND granted")
        .unwrap();
    assert_eq!(successors.as_deref(), Some("1"));
    let waiting = cluster
        .query("SELECT count(*) FROM pg_locks WHERE NOT granted")
        .unwrap();
    assert_eq!(
        waiting.as_deref(),
        Some("0"),
        "somebody waits for a lock and pins the xmin horizon"
    );
    for _ in 0..5 {
        let term = record.last_term();
        let leader = support::leading(&candidates).await;
        leader.leader.resign().await;
        until("the next works", || record.last_term() > term).await;
        until("one leads", || {
            candidates.iter().any(support::Candidate::leads)
        })
        .await;
        assert_eq!(
            candidates
                .iter()
                .filter(|candidate| candidate.leads())
                .count(),
            1
        );
    }
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_elections_on_one_connection() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let (first, second) = (elector(&cluster).await, elector(&cluster).await);
    let campaign = |elector: &Elector, address: &str| -> Vec<_> {
        (0..100)
            .map(|index| {
                elector
                    .campaign(&format!("e{index}"), address, steady(&record))
                    .unwrap()
            })
            .collect()
    };
    let leaders = campaign(&first, "first");
    until("all lead", || {
        leaders
            .iter()
            .all(|leader| leader.state() == ProcessState::Leading)
    })
    .await;
    let followers = campaign(&second, "second");
    until("all have a successor", || {
        let count = "SELECT count(*) FROM pgleader.status WHERE successor = 'second'";
        cluster.query(count).unwrap().as_deref() == Some("100")
    })
    .await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pg-leader%'";
    assert_eq!(cluster.query(sessions).unwrap().as_deref(), Some("2"));
    first.shutdown().await;
    until("the other leads all", || {
        followers
            .iter()
            .all(|leader| leader.state() == ProcessState::Leading)
    })
    .await;
    let held =
        "SELECT count(*) FROM pgleader.lock WHERE kind = 'pgleader.election'::regclass AND granted";
    assert_eq!(cluster.query(held).unwrap().as_deref(), Some("100"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_candidacy_in_the_same_election_is_an_error() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = elector(&cluster).await;
    let first = elector.campaign("twice", "a", steady(&record)).unwrap();
    let error = elector.campaign("twice", "b", steady(&record)).unwrap_err();
    assert!(error.is_already_candidate(), "{error}");
    first.leave().await;
    assert!(elector.campaign("twice", "b", steady(&record)).is_ok());
    assert!(elector.campaign("", "b", steady(&record)).is_err());
    elector.shutdown().await;
    let error = elector.campaign("later", "b", steady(&record)).unwrap_err();
    assert!(error.is_shut_down(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_with_different_leases() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let short = Config::new(cluster.url())
        .lease(LEASE / 2)
        .retry_interval(LEASE);
    let long = Config::new(cluster.url())
        .lease(LEASE * 2)
        .retry_interval(LEASE);
    let slow = support::Candidate::start(long, "mixed", "long", &record).await;
    until("the long lease leads", || slow.leads()).await;
    let quick = support::Candidate::start(short, "mixed", "short", &record).await;
    support::until_successor(&cluster, "mixed").await;
    for _ in 0..4 {
        let term = record.last_term();
        cluster.terminate_leader("mixed").unwrap();
        until("the next works", || record.last_term() > term).await;
        support::until_successor(&cluster, "mixed").await;
    }
    until("one leads", || slow.leads() != quick.leads()).await;
    record::assert_no_overlap(&record.steps());
}

/// Dropping the last handle gives everything up in order, in the background.
#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_resigns() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let mut candidates = support::contest(&cluster, "dropped", 2, &record).await;
    drop(candidates.remove(0));
    until("the other leads", || candidates[0].leads()).await;
    until("the ending is recorded", || {
        support::history(&cluster, "dropped", 1, "ending").as_deref() == Some("resigned")
    })
    .await;
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_left_at_start_and_later() {
    let cluster = Cluster::builder()
        .setting("max_connections", "8")
        .setting("superuser_reserved_connections", "2")
        .start()
        .unwrap();
    cluster
        .execute("CREATE ROLE app LOGIN; GRANT CREATE ON DATABASE postgres TO app")
        .unwrap();
    let url = support::url_of(&cluster, "app");
    let record = Record::in_memory();
    let candidate = support::Candidate::start(config(&url), "full", "a", &record).await;
    until("it leads", || candidate.leads()).await;

    let mut others = vec![];
    while let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await
    {
        tokio::spawn(connection);
        others.push(client);
    }
    let error = Elector::connect(config(&url)).await.unwrap_err();
    assert!(
        error.is_connection() && error.to_string().contains("53300"),
        "{error}"
    );
    assert!(candidate.leads());

    // Its session is killed, and its place is taken before it is back.
    let term = record.last_term();
    cluster.terminate_leader("full").unwrap();
    let thief = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
    others.clear();
    until("it leads again", || record.last_term() > term).await;
    drop(thief);
    record::assert_no_overlap(&record.steps());
}
