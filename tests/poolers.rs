//! What stands between a candidate and the server: poolers are found out and refused, proxies are told from
//! direct connections, and an engine that takes no locks is no server for a leader. Settles row 5 of
//! docs/known-faults.md.

mod support;

use pg_leader::testing::Cluster;
use pg_leader::{Elector, Error};
use support::bouncer::Bouncer;
use support::config;

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
                error.is_pooler() && error.to_string().contains("connect directly"),
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
        error.is_unfit_server() && error.to_string().contains("pg_locks"),
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
        error.is_configuration() && error.to_string().contains("no_such_setting"),
        "{error}"
    );
}
