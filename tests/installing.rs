//! Who installs the schema, and when: the first connect and `pg-leader install` alone, and nobody stands behind a
//! lock that the installation waits for. Settles row 39 of docs/known-faults.md.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use pg_leader::testing::Cluster;
use pg_leader::{Elector, Leader, Operator, WaitingFor};
use support::log::Log;
use support::proxy::Proxy;
use support::record::{self, Record};
use support::{Candidate, LEASE, client, config, contest, until};

async fn waits_for(leader: &Leader) -> Option<WaitingFor> {
    leader
        .changes()
        .next()
        .await
        .expect("a standing")
        .waiting_for
}

async fn until_the_schema_is_missed(candidates: &[&Candidate]) {
    for candidate in candidates {
        let deadline = Instant::now() + support::CEILING;
        while waits_for(&candidate.leader).await != Some(WaitingFor::Schema) {
            assert!(Instant::now() < deadline, "the schema is not missed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn has_schema(cluster: &Cluster) -> bool {
    let found = "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgleader'";
    cluster.query(found).unwrap().as_deref() == Some("1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_renamed_under_a_running_leader_is_waited_for() {
    let log = Log::install();
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let all = contest(&cluster, "renamed", 2, &record).await;
    cluster
        .execute("ALTER SCHEMA pgleader RENAME TO elsewhere")
        .unwrap();
    until_the_schema_is_missed(&[&all[0], &all[1]]).await;
    let again = "still no session: the schema pgleader is not there any more";
    let tried = log.count("DEBUG", again);
    until("they try again", || log.count("DEBUG", again) >= tried + 4).await;
    assert!(!has_schema(&cluster), "a running process has installed");
    assert!(!all[0].leads() && !all[1].leads());

    cluster
        .execute("ALTER SCHEMA elsewhere RENAME TO pgleader")
        .unwrap();
    until("the next term works", || record.last_term() == 2).await;
    record::assert_no_overlap(&record.steps());
    // Each of the processes has said it once, however often it has tried.
    let said = log.count(
        "WARN",
        "no session: the schema pgleader is not there any more",
    );
    let mine = log.count("WARN", "renamed it");
    assert!(said >= 2 && said == mine, "{said}, {mine}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_an_empty_server_is_waited_out() {
    let cluster = Cluster::start().unwrap();
    let empty = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.port()).await;
    let record = Record::in_memory();
    let candidate = Candidate::start(config(&proxy.superuser_url()), "moved", "a", &record).await;
    until("it leads", || candidate.leads()).await;
    candidate.leader.resign().await;
    until("the second term works", || record.last_term() == 2).await;

    proxy.lead_to(empty.port());
    cluster.stop_fast().unwrap();
    until_the_schema_is_missed(&[&candidate]).await;
    assert!(!has_schema(&empty), "a running process has installed");

    cluster.start_again().unwrap();
    proxy.lead_to(cluster.port());
    until("the third term works", || record.last_term() == 3).await;
    record::assert_no_overlap(&record.steps());
}

/// Only somebody who decides so makes a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_schema_comes_back_by_an_operator_alone() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidate = Candidate::start(config(&cluster.url()), "dropped", "a", &record).await;
    until("it leads", || candidate.leads()).await;
    cluster.execute("DROP SCHEMA pgleader CASCADE").unwrap();
    until_the_schema_is_missed(&[&candidate]).await;
    assert!(!has_schema(&cluster), "a running process has installed");
    let operator = Operator::connect(config(&cluster.url())).await.unwrap();
    operator.install().await.unwrap();
    until("it leads again", || candidate.leads()).await;
}

/// The schema as an older build has left it, as far as this one can tell.
fn age(cluster: &Cluster) {
    let older =
        "CREATE OR REPLACE FUNCTION pgleader.version() RETURNS integer LANGUAGE sql AS 'SELECT 0'";
    cluster.execute(older).unwrap();
}

/// A transaction that has read a view and stays open.
async fn reader(cluster: &Cluster) -> tokio_postgres::Client {
    let reader = client(&cluster.url()).await;
    let read = "BEGIN; SELECT * FROM pgleader.status; SELECT * FROM pgleader.history";
    reader.batch_execute(read).await.unwrap();
    reader
}

/// Until so many sessions have begun with a migration.
async fn until_installing(cluster: &Cluster, count: usize) {
    let mut seen = BTreeSet::new();
    let installer = "SELECT max(pid) FROM pg_stat_activity WHERE query LIKE '-- Purpose:%'";
    until("the schema is being installed", || {
        seen.extend(cluster.query(installer).unwrap());
        seen.len() >= count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_reader_holds_up_an_installation_and_no_leadership() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let all = contest(&cluster, "read", 2, &record).await;
    let reader = reader(&cluster).await;
    age(&cluster);
    let url = cluster.url();
    let installing = tokio::spawn(async move {
        let operator = Operator::connect(config(&url)).await.unwrap();
        (operator.install().await, operator)
    });
    until_installing(&cluster, 1).await;
    // The lead passes on while it tries, time and again.
    let mut terms = 0;
    while !installing.is_finished() {
        let term = record.last_term();
        let leading = all.iter().find(|candidate| candidate.leads());
        let Some(leading) = leading else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let resigned = Instant::now();
        leading.leader.resign().await;
        until("the next term works", || record.last_term() > term).await;
        assert!(resigned.elapsed() < LEASE * 5, "{:?}", resigned.elapsed());
        terms += 1;
    }
    assert!(terms > 2, "{terms}");
    let (installed, operator) = installing.await.unwrap();
    let error = installed.expect_err("the reader is still there");
    assert!(error.is_schema(), "{error}");
    let pid = reader.query_one("SELECT pg_backend_pid()", &[]).await;
    let pid: i32 = pid.unwrap().get(0);
    let says = error.to_string();
    assert!(says.contains(&format!("backend {pid} holds")), "{says}");

    reader.batch_execute("COMMIT").await.unwrap();
    let installed = operator.install().await.expect("nobody is in the way");
    assert_eq!(installed.before, Some(0));
    support::until_leading(&cluster, "read").await;
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installers_wait_for_a_reader_and_for_each_other() {
    let cluster = Cluster::start().unwrap();
    support::elector(&cluster).await.shutdown().await;
    let reader = reader(&cluster).await;
    age(&cluster);
    let url = cluster.url();
    // One of them is a first connect.
    let first = tokio::spawn(Elector::connect(config(&url)));
    let second =
        tokio::spawn(async move { Operator::connect(config(&url)).await?.install().await });
    until_installing(&cluster, 2).await;
    assert!(!first.is_finished() && !second.is_finished());
    reader.batch_execute("COMMIT").await.unwrap();
    first.await.unwrap().expect("the first succeeds");
    second.await.unwrap().expect("the second succeeds");
}

/// As `psql -f` runs them: no second try, but an end, and words.
#[tokio::test(flavor = "multi_thread")]
async fn the_files_alone_fail_in_words() {
    let cluster = Cluster::start().unwrap();
    support::elector(&cluster).await.shutdown().await;
    let script = Operator::install_script();
    let psql = client(&cluster.url()).await;
    let reader = reader(&cluster).await;
    let error = psql.batch_execute(&script).await.unwrap_err();
    let error = error.as_db_error().expect("the server refuses").clone();
    assert_eq!(error.code().code(), "55P03", "{error}");
    psql.batch_execute("ROLLBACK").await.unwrap();
    reader
        .batch_execute("COMMIT; SELECT pg_advisory_lock(hashtext('pgleader: install'))")
        .await
        .unwrap();
    let error = psql.batch_execute(&script).await.unwrap_err();
    let error = error.as_db_error().expect("the server refuses").clone();
    assert_eq!(error.code().code(), "55P03", "{error}");
    assert!(error.message().contains("somebody else"), "{error}");
    psql.batch_execute("ROLLBACK").await.unwrap();
    reader
        .batch_execute("SELECT pg_advisory_unlock_all()")
        .await
        .unwrap();
    psql.batch_execute(&script)
        .await
        .expect("nobody is in the way");
}
