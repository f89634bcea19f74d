//! Behind pgpool-II nobody ends a session by force: pgpool would take it for a shutdown of the server, and detach
//! the primary that is well. Settles row 35 of docs/development/known-faults.md.

use crate::support;
use crate::support::pgpool::Pgpool;
use crate::support::race::Race;
use crate::support::record::{self, Record};
use crate::support::seat::Seat;
use crate::support::{Candidate, Cluster, LEASE, config, until, until_successor};

fn recorded(cluster: &Cluster) -> Option<String> {
    let query = "SELECT bool_and(t.behind_pgpool AND NOT t.direct)::text FROM pgleader.term AS t";
    cluster.query(query).unwrap()
}

/// What the other tests hang on: pgpool does detach the server, whoever ends a session that it carries.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_by_force_detaches_the_server() {
    let cluster = Cluster::start().unwrap();
    let Some(pgpool) = Pgpool::start(&cluster).await else {
        return;
    };
    let client = support::client(&pgpool.url()).await;
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    let pid: i32 = row.unwrap().get(0);
    let end = format!("SELECT pg_terminate_backend({pid})");
    cluster.query(&end).unwrap();
    let deadline = std::time::Instant::now() + support::CEILING;
    while pgpool.node().await.is_some_and(|node| node == "up primary") {
        assert!(
            std::time::Instant::now() < deadline,
            "it never detached the server"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_hangs_is_followed_after_the_silence_limit() {
    let mut race = Race::on(Cluster::start().unwrap(), "hangs");
    let Some(pgpool) = Pgpool::start(&race.cluster).await else {
        return;
    };
    race.join(&pgpool.url(), "first");
    race.until_term(1).await;
    assert_eq!(recorded(&race.cluster).as_deref(), Some("true"));
    let direct = race.cluster.url();
    race.join(&direct, "second");
    until_successor(&race.cluster, "hangs").await;
    race.processes[0].stop();
    race.until_term(2).await;
    let gap = race.gap_after(1);
    assert!(gap >= LEASE, "{gap:?}: somebody has ended its session");
    assert!(gap < LEASE * 6, "{gap:?} without a leader");
    Pgpool::assert_attached(pgpool.node().await);
    race.processes[0].go_on();
    until("the woken process is the successor", || {
        support::status(&race.cluster, "hangs", "successor").as_deref() == Some("first")
    })
    .await;
    record::assert_no_overlap(&race.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn to_depose_is_refused_and_to_step_down_is_not() {
    let cluster = Cluster::start().unwrap();
    let Some(pgpool) = Pgpool::start(&cluster).await else {
        return;
    };
    let record = Record::in_memory();
    let first = Candidate::start(config(&pgpool.url()), "e", "first", &record).await;
    until("it leads", || first.leads()).await;
    let second = Candidate::start(config(&pgpool.url()), "e", "second", &record).await;
    until_successor(&cluster, "e").await;
    for conninfo in [cluster.url(), pgpool.url()] {
        let operator = pg_leader::operator::Operator::connect(conninfo.as_str())
            .await
            .unwrap();
        let error = operator.depose("e", None).await.unwrap_err();
        let words = error.to_string();
        assert!(
            error.kind() == pg_leader::ErrorKind::Refused
                && words.contains("pgpool-II")
                && words.contains("step_down"),
            "{words}"
        );
    }
    // Nor by what is beneath it.
    for function in ["end_leader", "end_leader_backend"] {
        let call =
            format!("SELECT pgleader.{function}(e.id, e.term)::text FROM pgleader.election AS e");
        assert_eq!(
            cluster.query(&call).unwrap().as_deref(),
            Some("false"),
            "{function}"
        );
    }
    assert!(first.leads());
    let asked = cluster.query("SELECT count(*) FROM pgleader.request");
    assert_eq!(
        asked.unwrap().as_deref(),
        Some("0"),
        "what was refused is on record"
    );
    cluster.query("SELECT pgleader.step_down('e')").unwrap();
    until("the second leads", || second.leads()).await;
    Pgpool::assert_attached(pgpool.node().await);
    record::assert_no_overlap(&record.steps());
}

/// A transaction that comes from where the candidates behind pgpool come from is cancelled, not its session ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_transaction_is_cancelled_and_its_session_lives() {
    let cluster = Cluster::start().unwrap();
    let Some(pgpool) = Pgpool::start(&cluster).await else {
        return;
    };
    let record = Record::in_memory();
    let candidate = Candidate::start(config(&pgpool.url()), "other", "first", &record).await;
    until("it leads", || candidate.leads()).await;
    let first = Seat::join(&cluster, "fenced", "first").await;
    let (outcome, term) = first.campaign().await;
    assert_eq!(outcome, "began");

    let client = support::client(&pgpool.url()).await;
    let fenced = format!("BEGIN; SELECT pgleader.fence('fenced', {term})");
    client.batch_execute(&fenced).await.unwrap();
    assert!(first.vacate(term).await);
    first.release().await;
    let second = Seat::join(&cluster, "fenced", "second").await;
    assert_eq!(second.campaign().await.0, "fenced");
    assert_eq!(second.end_fenced().await, (0, 1), "an idle one");
    let alive = client.batch_execute("SELECT 1").await;
    assert!(alive.is_ok(), "{alive:?}");

    let busy = tokio::spawn(async move {
        let cancelled = client.batch_execute("SELECT pg_sleep(600)").await;
        (client, cancelled)
    });
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    until("it is busy", || {
        cluster.query(sleeps).unwrap().as_deref() == Some("1")
    })
    .await;
    assert_eq!(second.end_fenced().await, (0, 1));
    let (client, cancelled) = busy.await.unwrap();
    assert!(cancelled.is_err_and(|error| error.code().is_some()));
    client.batch_execute("ROLLBACK").await.unwrap();
    // Before that its backend may not have let go of the row: it tells the error first.
    assert_eq!(second.take_office(true).await.0, "began");
    Pgpool::assert_attached(pgpool.node().await);
}
