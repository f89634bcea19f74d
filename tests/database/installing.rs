//! Who installs the schema, and when: the first connect and `pg-leader install` alone, and nobody stands behind a
//! lock that the installation waits for. It works in every encoding, under every setting of a role, and beside grants.
//! Settles rows 39, 47 and 48 of docs/development/known-faults.md.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support;
use crate::support::log::Log;
use crate::support::proxy::Proxy;
use crate::support::record::{self, Record};
use crate::support::{Candidate, LEASE, chapters, client, config, contest, until, url_of};
use futures_util::StreamExt;
use pg_leader::operator::Operator;
use pg_leader::testing::Cluster;
use pg_leader::{Candidacy, Elector, ErrorKind, WaitingFor};

async fn waits_for(candidacy: &Candidacy) -> Option<WaitingFor> {
    candidacy
        .changes()
        .next()
        .await
        .expect("a standing")
        .waiting_for
}

async fn until_the_schema_is_missed(candidates: &[&Candidate]) {
    for candidate in candidates {
        let deadline = Instant::now() + support::CEILING;
        while waits_for(&candidate.candidacy).await != Some(WaitingFor::Schema) {
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
    candidate.candidacy.resign().await;
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

/// Until so many sessions have begun to install.
async fn until_installing(cluster: &Cluster, count: usize) {
    let mut seen = BTreeSet::new();
    let installer = "SELECT max(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN;%What the chapters begin with%'";
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
        leading.candidacy.resign().await;
        until("the next term works", || record.last_term() > term).await;
        assert!(resigned.elapsed() < LEASE * 5, "{:?}", resigned.elapsed());
        terms += 1;
    }
    assert!(terms > 2, "{terms}");
    let (installed, operator) = installing.await.unwrap();
    let error = installed.expect_err("the reader is still there");
    assert!(error.kind() == ErrorKind::SchemaBusy, "{error}");
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

/// What reads them may take a byte beyond ASCII for none of its characters, and a backslash for an escape.
#[test]
fn the_files_are_the_same_in_every_encoding() {
    for path in chapters::files() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            assert!(
                line.is_ascii() && !line.contains('\\'),
                "{}, line {}: {line}",
                path.display(),
                number + 1
            );
        }
    }
}

/// Every encoding that a database can have.
#[tokio::test(flavor = "multi_thread")]
async fn in_every_encoding() {
    let cluster = Cluster::start().unwrap();
    let admin = client(&cluster.url()).await;
    let encodings = "SELECT pg_encoding_to_char(n) FROM generate_series(0, 100) AS n \
                     WHERE pg_encoding_to_char(n) <> '' ORDER BY 1";
    let encodings = admin.query(encodings, &[]).await.unwrap();
    let mut installed = 0;
    for encoding in encodings.iter().map(|row| row.get::<_, String>(0)) {
        let create = format!(
            "CREATE DATABASE \"in {encoding}\" TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        if let Err(error) = admin.batch_execute(&create).await {
            let error = error.as_db_error().unwrap().message().to_owned();
            assert!(
                error.contains("not a valid encoding"),
                "{encoding}: {error}"
            );
            continue;
        }
        let url = format!(
            "{}/in%20{encoding}",
            url_of(&cluster, "postgres").trim_end_matches("/postgres")
        );
        let operator = match Operator::connect(config(&url)).await {
            Ok(operator) => operator,
            // Which the server converts to no other, and no driver for UTF8 can speak.
            Err(error) if encoding == "MULE_INTERNAL" => {
                assert!(error.to_string().contains("MULE_INTERNAL"), "{error}");
                continue;
            }
            Err(error) => panic!("{encoding}: {error}"),
        };
        let done = operator.install().await;
        done.unwrap_or_else(|error| panic!("{encoding}: {error}"));
        installed += 1;
    }
    assert!(installed >= 30, "only {installed}");
}

/// What somebody may have set for a role, each of which has stopped an installation, or a function of the schema.
const UNKIND: [(&str, &str); 12] = [
    ("standard_conforming_strings", "off"),
    ("plpgsql.extra_errors", "all"),
    ("plpgsql.extra_warnings", "all"),
    ("plpgsql.variable_conflict", "use_variable"),
    ("statement_timeout", "1ms"),
    ("lock_timeout", "1ms"),
    ("idle_in_transaction_session_timeout", "1ms"),
    ("idle_session_timeout", "1ms"),
    ("transform_null_equals", "on"),
    ("array_nulls", "off"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "sql_standard"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_unkind_settings_installs_leads_and_is_fenced() {
    let cluster = Cluster::start().unwrap();
    let admin = client(&cluster.url()).await;
    let unkind = if cluster.version() >= 17 {
        [&UNKIND[..], &[("transaction_timeout", "1ms")]].concat()
    } else {
        UNKIND.to_vec()
    };
    admin
        .batch_execute(
            "CREATE ROLE hasty LOGIN; GRANT CREATE ON DATABASE postgres TO hasty; CREATE ROLE other LOGIN; \
             LOAD 'plpgsql'",
        )
        .await
        .unwrap();
    for (name, value) in unkind {
        let set = format!("ALTER ROLE hasty SET {name} = '{value}'");
        admin.batch_execute(&set).await.expect(name);
    }
    let url = url_of(&cluster, "hasty");
    let record = Record::in_memory();
    let candidate = Candidate::start(config(&url), "o'hasty\\", "a", &record).await;
    until("it leads", || candidate.leads()).await;

    let operator = Operator::connect(config(&url)).await.unwrap();
    let again = operator.install().await.expect("nothing is changed");
    assert_eq!(again.before, Some(again.now));
    // By its own connection, whose settings are as the role has them but for the limits of time.
    let writer = client(&format!(
        "{url}?options=-c%20statement_timeout%3D0%20-c%20idle_in_transaction_session_timeout%3D0%20-c%20idle_session_timeout%3D0"
    ))
    .await;
    if cluster.version() >= 17 {
        writer
            .batch_execute("SET transaction_timeout = 0")
            .await
            .unwrap();
    }
    let grant = "SELECT pgleader.grant_candidate('other'), pgleader.grant_operator('other')";
    writer
        .batch_execute(grant)
        .await
        .expect("it owns the schema");
    let term = candidate.record.last_term();
    let call = format!("SELECT pgleader.fence('o''hasty\\\\', {term})");
    writer
        .batch_execute(&format!("BEGIN; {call}; COMMIT"))
        .await
        .expect("the term is current");
    let alone = writer.batch_execute(&call).await.unwrap_err();
    assert_eq!(
        alone.code().map(|code| code.code()),
        Some("25P01"),
        "{alone}"
    );

    operator
        .step_down("o'hasty\\", Some("a reason"))
        .await
        .unwrap();
    until("the next term works", || record.last_term() > term).await;
    let over = writer
        .batch_execute(&format!("BEGIN; {call}; COMMIT"))
        .await
        .unwrap_err();
    assert_eq!(over.code().map(|code| code.code()), Some("PL001"), "{over}");
    record::assert_no_overlap(&record.steps());
}

/// "tuple concurrently updated", and a deadlock now and then.
#[tokio::test(flavor = "multi_thread")]
async fn grants_and_installations_at_once_wait_for_one_another() {
    let cluster = Cluster::start().unwrap();
    support::install_by_an_ordinary_owner(&cluster, &[]).await;
    let script = Operator::install_script();
    let mut busy = tokio::task::JoinSet::new();
    for worker in 0..6 {
        cluster
            .execute(&format!("CREATE ROLE worker_{worker}"))
            .unwrap();
        let owner = client(&url_of(&cluster, "owner")).await;
        let script = script.clone();
        busy.spawn(async move {
            for kind in ["observer", "candidate", "operator"].repeat(5) {
                let grant = format!("SELECT pgleader.grant_{kind}('worker_{worker}')");
                owner.batch_execute(&grant).await.expect("a grant");
            }
            if worker < 2 {
                owner.batch_execute(&script).await.expect("an installation");
            }
        });
    }
    while let Some(done) = busy.join_next().await {
        done.unwrap();
    }
    let granted = "SELECT count(*) FROM pgleader.grantee WHERE role LIKE 'worker_%'";
    assert_eq!(cluster.query(granted).unwrap().as_deref(), Some("18"));
}

/// As a restore, logical replication or a blue/green switch leaves them: rows, and no sequence that knows of them.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_came_from_elsewhere_are_in_nobodys_way() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let all = contest(&cluster, "first", 1, &record).await;
    cluster
        .execute(
            "INSERT INTO pgleader.election (id, name) OVERRIDING SYSTEM VALUE \
             SELECT n, 'replicated ' || n FROM generate_series(1, 1000) AS n; \
             INSERT INTO pgleader.request (id, election_id, term, kind, timeline, requested_by, ended_at) \
             OVERRIDING SYSTEM VALUE \
             SELECT n, 1, 1, 'suspend', 1, 'postgres', now() FROM generate_series(1, 1000) AS n; \
             INSERT INTO pgleader.request (id, election_id, term, kind, timeline, requested_by, ended_at) \
             OVERRIDING SYSTEM VALUE \
             SELECT max(id) + 10000000000, 1, 1, 'suspend', 1, 'postgres', now() FROM pgleader.request",
        )
        .unwrap();
    let sequences = "SELECT count(*) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'pgleader'::regnamespace";
    assert_eq!(cluster.query(sequences).unwrap().as_deref(), Some("0"));
    let others: Vec<String> = (0..20).map(|n| format!("other {n}")).collect();
    for other in &others {
        let candidacy = all[0]
            .elector
            .campaign((other.as_str(), "a"), support::steady(&record));
        let candidacy = candidacy.unwrap();
        until("it leads", || candidacy.term() == 1).await;
        candidacy.leave().await;
    }
    let operator = Operator::connect(config(&cluster.url())).await.unwrap();
    let mut last = 1000;
    for _ in 0..5 {
        let suspended = operator
            .suspend("first", None)
            .await
            .expect("suspended")
            .request;
        assert!(suspended > Some(last), "{suspended:?}, {last}");
        last = suspended.unwrap();
        assert_eq!(
            operator.resume("first", None).await.expect("resumed"),
            suspended
        );
    }
}
