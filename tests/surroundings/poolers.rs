//! What stands between a candidate and the server: poolers are found out and refused, proxies are told from
//! direct connections, and an engine that takes no locks is no server for a leader. Settles rows 5 and 34 of
//! docs/development/known-faults.md.

use crate::support;
use crate::support::bouncer::{self, Bouncer};
use crate::support::record::{self, Record};
use crate::support::{Candidate, Cluster, LEASE, config, until};
use pg_leader::{Elector, Error, ErrorKind};

async fn refusal(bouncer: &Bouncer) -> Error {
    Elector::connect(config(&bouncer.url())).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_refused_whether_it_rejects_or_swallows_startup_options() {
    let cluster = Cluster::start().unwrap();
    for mode in ["transaction", "session"] {
        for ignored in ["", "ignore_startup_parameters = options,extra_float_digits"] {
            let Some(bouncer) = Bouncer::start(&cluster, &format!("pool_mode = {mode}\n{ignored}"))
            else {
                return;
            };
            let error = refusal(&bouncer).await;
            assert!(
                error.kind() == ErrorKind::Pooler && error.to_string().contains("connect directly"),
                "{mode} {ignored}: {error}"
            );
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
