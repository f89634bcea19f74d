//! What stands between a candidate and the server: poolers are found out and refused, proxies are told from
//! direct connections, and an engine that takes no locks is no server for a leader. Settles rows 5 and 34 of
//! docs/development/known-faults.md.

use crate::support;
use crate::support::bouncer::{self, Bouncer};
use crate::support::pretend_pool::{Options, PretendPool};
use crate::support::record::{self, Record};
use crate::support::{Candidate, Cluster, LEASE, config, until};
use pg_leader::operator::Operator;
use pg_leader::{Elector, Error, ErrorKind};
use tokio_postgres::{Client, SimpleQueryMessage};

async fn refusal(bouncer: &Bouncer) -> Error {
    Elector::connect(config(&bouncer.url())).await.unwrap_err()
}

async fn shown(client: &Client, setting: &str) -> String {
    let messages = client.simple_query(&format!("SHOW {setting}")).await;
    let shown = messages
        .unwrap()
        .into_iter()
        .find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
            _ => None,
        });
    shown.expect("a setting")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_refused_whether_it_rejects_or_swallows_startup_options() {
    let cluster = Cluster::start().unwrap();
    for ignored in ["", SWALLOWS] {
        let Some(bouncer) =
            Bouncer::start(&cluster, &format!("pool_mode = transaction\n{ignored}"))
        else {
            return;
        };
        let error = refusal(&bouncer).await;
        assert!(
            error.kind() == ErrorKind::Pooler && error.to_string().contains("connect directly"),
            "{ignored}: {error}"
        );
        // What a candidate needs was set for nobody else.
        let other = support::client(&bouncer.url()).await;
        for setting in ["statement_timeout", "idle_session_timeout", "lock_timeout"] {
            assert_eq!(shown(&other, setting).await, "0", "{setting}");
        }
    }
    let schema = cluster.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgleader'");
    assert_eq!(
        schema.unwrap().as_deref(),
        Some("0"),
        "it wrote through a pooler"
    );
}

const SWALLOWS: &str = "ignore_startup_parameters = options,extra_float_digits";

/// The settings say nothing: what a candidate's session asks for is there all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_shares_backends_is_refused_although_all_settings_fit() {
    let cluster = Cluster::start().unwrap();
    bouncer::let_defaults_fit(&cluster, config).await;
    for (mode, settings) in [
        ("transaction", "default_pool_size = 1"),
        ("transaction", "default_pool_size = 2"),
        ("transaction", "default_pool_size = 20"),
        (
            "transaction",
            "default_pool_size = 2\nserver_round_robin = 1",
        ),
        ("transaction", "min_pool_size = 8"),
        ("statement", "default_pool_size = 20"),
    ] {
        let settings = format!("pool_mode = {mode}\n{settings}\n{SWALLOWS}");
        let Some(bouncer) = Bouncer::start(&cluster, &settings) else {
            return;
        };
        let error = refusal(&bouncer).await;
        let words = error.to_string();
        assert!(
            error.kind() == ErrorKind::Pooler
                && (words.contains("one client after another") || mode == "statement")
                && words.contains("connect directly"),
            "{settings}: {error}"
        );
    }
    let schema = cluster.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgleader'");
    assert_eq!(
        schema.unwrap().as_deref(),
        Some("0"),
        "it wrote through a pooler"
    );
}

/// While other clients come and go, the pool has more than two backends to give away.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_shares_backends_is_refused_while_others_use_it() {
    let cluster = Cluster::start().unwrap();
    bouncer::let_defaults_fit(&cluster, config).await;
    let settings = format!("pool_mode = transaction\ndefault_pool_size = 5\n{SWALLOWS}");
    let Some(bouncer) = Bouncer::start(&cluster, &settings) else {
        return;
    };
    let mut busy = vec![];
    for _ in 0..4 {
        let other = support::client(&bouncer.url()).await;
        busy.push(tokio::spawn(async move {
            while other.simple_query("SELECT pg_sleep(0.003)").await.is_ok() {}
        }));
    }
    for _ in 0..5 {
        let error = refusal(&bouncer).await;
        assert!(error.kind() == ErrorKind::Pooler, "{error}");
    }
    for task in busy {
        task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_in_session_mode_is_fit_and_never_direct() {
    let cluster = Cluster::start().unwrap();
    bouncer::let_defaults_fit(&cluster, config).await;
    let settings = format!("pool_mode = session\n{SWALLOWS}");
    let Some(bouncer) = Bouncer::start(&cluster, &settings) else {
        return;
    };
    let record = Record::in_memory();
    let first = Candidate::start(config(&bouncer.url()), "pooled", "first", &record).await;
    until("the first leads", || first.leads()).await;
    let second = Candidate::start(config(&bouncer.url()), "pooled", "second", &record).await;
    support::until_successor(&cluster, "pooled").await;
    first.elector.shutdown().await;
    until("the second leads", || second.leads()).await;
    let direct = "SELECT bool_or(direct) FROM pgleader.term";
    assert_eq!(cluster.query(direct).unwrap().as_deref(), Some("f"));
    second.elector.shutdown().await;
    record::assert_no_overlap(&record.steps());
}

/// One leads, the other follows after an orderly end and after the loss of a session; neither is direct.
async fn assert_fit(cluster: &Cluster, url: &str, election: &str) {
    // A session that has not what it asks for writes nothing.
    let hostile = "ALTER ROLE ordinary SET default_transaction_read_only = on";
    cluster.execute(hostile).unwrap();
    let record = Record::in_memory();
    let first = Candidate::start(config(url), election, "first", &record).await;
    until("the first leads", || first.leads()).await;
    let second = Candidate::start(config(url), election, "second", &record).await;
    support::until_successor(cluster, election).await;
    first.candidacy.resign().await;
    until("the second leads", || second.leads()).await;
    support::until_successor(cluster, election).await;
    cluster.terminate_leader(election).unwrap();
    until("the first leads again", || first.leads()).await;
    let direct = "SELECT bool_or(direct) FROM pgleader.term";
    assert_eq!(cluster.query(direct).unwrap().as_deref(), Some("f"));
    first.elector.shutdown().await;
    second.elector.shutdown().await;
    record::assert_no_overlap(&record.steps());
}

/// As stock PgBouncer does: it refuses options, or drops them where it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_in_session_mode_is_fit_whatever_it_does_with_startup_options() {
    let cluster = Cluster::start().unwrap();
    for (election, ignored) in [("refused", ""), ("dropped", SWALLOWS)] {
        let Some(bouncer) = Bouncer::start(&cluster, &format!("pool_mode = session\n{ignored}"))
        else {
            return;
        };
        assert_fit(&cluster, &bouncer.url(), election).await;
        // Whoever gets the backend next has none of a candidate's settings.
        let other = support::client(&bouncer.url()).await;
        assert_eq!(shown(&other, "statement_timeout").await, "0");
    }
}

/// As newer and managed pools do: some options are passed on, or whoever has any is refused with another code.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_reads_options_itself_or_refuses_them_is_fit() {
    let cluster = Cluster::start().unwrap();
    for (election, options) in [
        ("none kept", Options::Kept(&[])),
        ("one kept", Options::Kept(&["search_path"])),
        ("refused", Options::Refused("0A000")),
    ] {
        let pool = PretendPool::start(cluster.port(), options).await;
        let url = support::cluster::url_at(&format!("127.0.0.1:{}", pool.port));
        assert_fit(&cluster, &url, election).await;
    }
    // What the user's own string asks for is not left out.
    let pool = PretendPool::start(cluster.port(), Options::Refused("0A000")).await;
    let url = support::cluster::url_at(&format!("127.0.0.1:{}", pool.port));
    let own = format!("{url}?options=-c%20work_mem%3D1MB");
    let error = Elector::connect(config(&own)).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Pooler && error.to_string().contains("pool in session mode"),
        "{error}"
    );
}

/// Who holds no locks may come through a pool of any mode, and so may a fence.
#[tokio::test(flavor = "multi_thread")]
async fn operators_and_fences_come_through_a_pool_of_any_mode() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let leader = Candidate::start(config(&cluster.url()), "asked", "a", &record).await;
    until("it leads", || leader.leads()).await;
    for mode in ["session", "transaction", "statement"] {
        for ignored in ["", SWALLOWS] {
            let settings = format!("pool_mode = {mode}\ndefault_pool_size = 2\n{ignored}");
            let Some(bouncer) = Bouncer::start(&cluster, &settings) else {
                return;
            };
            let operator = Operator::connect(config(&bouncer.url()))
                .await
                .expect(&settings);
            let status = operator.status_of("asked").await.expect(&settings).unwrap();
            assert_eq!(status.address.as_deref(), Some("a"), "{settings}");
            let term = record.last_term();
            operator
                .step_down("asked", Some(mode))
                .await
                .expect(&settings);
            until("it leads again", || {
                leader.leads() && record.last_term() > term
            })
            .await;
            operator.suspend("asked", None).await.expect(&settings);
            until("nobody leads", || !leader.leads()).await;
            operator.resume("asked", None).await.expect(&settings);
            until("it leads again", || leader.leads()).await;
            let history = operator.history(Some("asked"), 10).await.expect(&settings);
            assert!(history.iter().any(|past| past.term == term), "{settings}");

            if mode == "statement" {
                // It has no transactions to guard.
                continue;
            }
            let (mut client, connection) =
                tokio_postgres::connect(&bouncer.url(), tokio_postgres::NoTls)
                    .await
                    .unwrap();
            let connection = tokio::spawn(connection);
            let newest = "SELECT format('SELECT pgleader.fence(''asked'', %s, %L)', number, token) \
                          FROM pgleader.term ORDER BY number DESC LIMIT 1";
            let fence = cluster.query(newest).unwrap().unwrap();
            let transaction = client.transaction().await.unwrap();
            transaction.batch_execute(&fence).await.expect(&settings);
            transaction.commit().await.unwrap();
            leader.candidacy.resign().await;
            until("it leads again", || leader.leads()).await;
            let transaction = client.transaction().await.unwrap();
            let refused = transaction.batch_execute(&fence).await.unwrap_err();
            let code = refused.code().map(|code| code.code());
            assert_eq!(code, Some("PL001"), "{settings}: {refused}");
            drop(transaction);
            connection.abort();
        }
    }
}

/// With room for one connection nobody can see whether the pool shares it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_room_for_a_trial_is_refused_in_words() {
    let cluster = Cluster::start().unwrap();
    bouncer::let_defaults_fit(&cluster, config).await;
    let settings = format!("pool_mode = session\ndefault_pool_size = 1\n{SWALLOWS}");
    let Some(bouncer) = Bouncer::start(&cluster, &settings) else {
        return;
    };
    let began = std::time::Instant::now();
    let error = refusal(&bouncer).await;
    assert!(
        error.kind() == ErrorKind::Pooler
            && error.to_string().contains("room for two more connections"),
        "{error}"
    );
    assert!(began.elapsed() < LEASE * 20, "{:?}", began.elapsed());
}

/// Some compatible engines accept the call, say yes, and lock nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_takes_no_locks_is_refused() {
    let cluster = Cluster::builder()
        .setting("allow_system_table_mods", "on")
        .start()
        .unwrap();
    cluster
        .execute(
            "CREATE OR REPLACE FUNCTION pg_catalog.pg_try_advisory_lock(bigint) RETURNS boolean \
             LANGUAGE sql AS 'SELECT true'",
        )
        .unwrap();
    let error = Elector::connect(config(&cluster.url())).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::UnfitServer && error.to_string().contains("pg_locks"),
        "{error}"
    );
}

/// A setting that the server does not know is the user's affair, unless it is one of ours.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_setting_of_the_user_is_not_taken_for_an_old_server() {
    let cluster = Cluster::start().unwrap();
    let url = format!("{}?options=-c%20no_such_setting%3D1", cluster.url());
    let error = Elector::connect(config(&url)).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Configuration && error.to_string().contains("no_such_setting"),
        "{error}"
    );
}
