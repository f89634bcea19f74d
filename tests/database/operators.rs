//! What people see and may do in psql, as ordinary roles: who leads, since when, how often it changed, and
//! who did it. Settles rows 25 and 27 of docs/development/known-faults.md.

use crate::support;
use crate::support::record::{self, Record};
use crate::support::{
    Candidate, Cluster, LEASE, config, history, install_by_an_ordinary_owner, status, until,
    until_successor, url_of,
};
use pg_leader::operator::Operator;
use pg_leader::{Config, ElectionState, Elector, ErrorKind};

async fn installed() -> Cluster {
    let cluster = Cluster::start().unwrap();
    let roles = [
        ("app", "candidate"),
        ("operator", "operator"),
        ("observer", "observer"),
    ];
    install_by_an_ordinary_owner(&cluster, &roles).await;
    cluster
}

async fn psql(cluster: &Cluster, role: &str) -> tokio_postgres::Client {
    support::client(&url_of(cluster, role)).await
}

async fn refused(client: &tokio_postgres::Client, statement: &str) -> String {
    let error = client.simple_query(statement).await.expect_err(statement);
    let error = error.as_db_error().expect("the server refuses");
    assert_eq!(error.code().code(), "42501", "{statement}: {error}");
    error.message().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_its_part_and_no_more() {
    let cluster = installed().await;
    let record = Record::in_memory();
    let app = url_of(&cluster, "app");
    let first = Candidate::start(config(&app), "roles", "first", &record).await;
    until("the first leads", || first.leads()).await;
    support::until_leading(&cluster, "roles").await;
    let second = Candidate::start(config(&app), "roles", "second", &record).await;
    until_successor(&cluster, "roles").await;
    assert_whoever_looks_changes_nothing(&cluster).await;

    let operator = psql(&cluster, "operator").await;
    operator
        .execute("SELECT pgleader.step_down('roles')", &[])
        .await
        .unwrap();
    until("the second leads", || second.leads()).await;
    assert_eq!(
        history(&cluster, "roles", 1, "by").as_deref(),
        Some("operator")
    );
    until_successor(&cluster, "roles").await;
    assert_the_second_term_is_deposed_once_it_may_be(&cluster, &operator, &record).await;
    let unknown = operator
        .execute("SELECT pgleader.step_down('rolls')", &[])
        .await;
    let unknown = unknown.unwrap_err();
    assert!(
        unknown
            .as_db_error()
            .unwrap()
            .message()
            .contains("no election named \"rolls\""),
        "{unknown}"
    );
    record::assert_no_overlap(&record.steps());
}

async fn assert_whoever_looks_changes_nothing(cluster: &Cluster) {
    let observer = psql(cluster, "observer").await;
    let row = observer
        .query_one(
            "SELECT state, address, candidates FROM pgleader.status",
            &[],
        )
        .await
        .unwrap();
    let shown: (&str, &str, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(shown, ("leading", "first", 2));
    for lever in [
        "step_down('roles')",
        "transfer('roles', 'second')",
        "suspend('roles')",
        "resume('roles')",
        "exclude('roles', 'first')",
        "include('roles', 'first')",
        "depose('roles')",
    ] {
        for role in ["observer", "app"] {
            let client = psql(cluster, role).await;
            refused(&client, &format!("SELECT pgleader.{lever}")).await;
        }
    }
    let row = observer
        .query_one("SELECT count(*) FROM pgleader.candidates", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);
    let row = observer
        .query_one("SELECT count(*) FROM pgleader.requests", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
    for role in ["observer", "operator", "app"] {
        let client = psql(cluster, role).await;
        for table in ["election", "candidate", "term", "request"] {
            refused(&client, &format!("SELECT * FROM pgleader.{table}")).await;
            refused(&client, &format!("DELETE FROM pgleader.{table}")).await;
        }
    }
}

/// Neither the operator nor the owner may end another role's session, until one of them is allowed to.
async fn assert_the_second_term_is_deposed_once_it_may_be(
    cluster: &Cluster,
    operator: &tokio_postgres::Client,
    record: &Record,
) {
    let refusal = refused(operator, "SELECT pgleader.depose('roles')").await;
    assert!(refusal.contains("neither you nor the owner"), "{refusal}");
    cluster
        .execute("GRANT pg_signal_backend TO operator")
        .unwrap();
    operator
        .execute("SELECT pgleader.depose('roles')", &[])
        .await
        .unwrap();
    until("the third term works", || record.last_term() == 3).await;
    assert_eq!(
        history(cluster, "roles", 2, "ending").as_deref(),
        Some("deposed")
    );
    assert_eq!(
        history(cluster, "roles", 2, "by").as_deref(),
        Some("operator")
    );
}

/// An observer keeps one session, also while it observes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_observers_role_is_enough_to_observe() {
    let cluster = installed().await;
    let record = Record::in_memory();
    let eager = Config::new(url_of(&cluster, "observer"))
        .lease(LEASE)
        .retry_interval(LEASE / 10);
    let elector = Elector::connect(eager).await.unwrap();
    let pids = "SELECT array_agg(pid)::text FROM pg_stat_activity WHERE usename = 'observer'";
    let pid = cluster.query(pids).unwrap();
    let beats =
        "SELECT count(DISTINCT query_start) FROM pg_stat_activity WHERE usename = 'observer'";
    assert_eq!(cluster.query(beats).unwrap().as_deref(), Some("1"));
    let since = cluster
        .query("SELECT query_start::text FROM pg_stat_activity WHERE usename = 'observer'")
        .unwrap();
    until("its session has proved itself", || {
        let now = cluster
            .query("SELECT query_start::text FROM pg_stat_activity WHERE usename = 'observer'")
            .unwrap();
        now.is_some() && now != since
    })
    .await;
    let observer = elector.observe("watched").unwrap();
    let app = url_of(&cluster, "app");
    let candidate = Candidate::start(config(&app), "watched", "a", &record).await;
    until("it is seen to lead", || {
        observer.state() == ElectionState::Leading && observer.address().as_deref() == Ok("a")
    })
    .await;
    assert_eq!(
        cluster.query(pids).unwrap(),
        pid,
        "the session was lost meanwhile"
    );
    drop(candidate);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_history_tell_who_leads_since_when_and_how_often_it_changed() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = support::contest(&cluster, "told", 2, &record).await;
    candidates[0].candidacy.resign().await;
    until("the other leads", || candidates[1].leads()).await;
    support::until_leading(&cluster, "told").await;
    until_successor(&cluster, "told").await;

    let expected = [
        ("state", "leading"),
        ("term", "2"),
        ("address", "told-1"),
        ("successor", "told-0"),
        ("candidates", "2"),
        ("lease", "00:00:01"),
        (
            "(since BETWEEN now() - interval '1 minute' AND now())",
            "true",
        ),
    ];
    for (column, value) in expected {
        assert_eq!(
            status(&cluster, "told", column).as_deref(),
            Some(value),
            "{column}"
        );
    }
    assert_eq!(status(&cluster, "told", "waiting_for"), None);
    assert_eq!(
        status(&cluster, "told", "leader_pid"),
        cluster
            .leader_pid("told")
            .unwrap()
            .map(|pid| pid.to_string())
    );
    let in_order = "(started_at < ready_at AND ready_at < ended_at)";
    assert_eq!(
        history(&cluster, "told", 1, in_order).as_deref(),
        Some("true")
    );
    let goes_on = "(started_at < ready_at AND ended_at IS NULL AND ending IS NULL)";
    assert_eq!(
        history(&cluster, "told", 2, goes_on).as_deref(),
        Some("true")
    );
    let changes = cluster.query("SELECT count(*) FROM pgleader.history WHERE name = 'told'");
    assert_eq!(changes.unwrap().as_deref(), Some("2"));

    for candidate in &candidates {
        candidate.candidacy.leave().await;
    }
    assert_eq!(status(&cluster, "told", "state").as_deref(), Some("vacant"));
    assert_eq!(
        status(&cluster, "told", "waiting_for").as_deref(),
        Some("candidates")
    );
}

/// By its code and what it is about: words are another in another language, and in a later version of the schema.
#[tokio::test(flavor = "multi_thread")]
async fn that_there_is_no_such_election_is_told_by_no_words() {
    let cluster = Cluster::start().unwrap();
    let candidate = Elector::connect(config(&cluster.url())).await.unwrap();
    let operator = Operator::connect(config(&cluster.url())).await.unwrap();
    let candidacy = candidate.campaign(("words", "a"), |term: pg_leader::Term| async move {
        term.ending().await;
    });
    let candidacy = candidacy.unwrap();
    until("it leads", || candidacy.term() > 0).await;
    let translate = "DO $$ BEGIN EXECUTE replace(pg_get_functiondef('pgleader.election_id(text)'::regprocedure), \
                     'there is no election named', 'keine Wahl heißt'); END $$";
    cluster.execute(translate).unwrap();
    let error = operator.suspend("wörds", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoElection, "{error}");
    assert!(error.to_string().contains("keine Wahl"), "{error}");
    // Of the same code, and about a candidate.
    let error = operator.transfer("words", "b", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    candidate.shutdown().await;
}
