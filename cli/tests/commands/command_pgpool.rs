//! `pg-leader doctor` behind pgpool-II: it ends no session, for pgpool would detach the server. Settles row 35 of
//! docs/development/known-faults.md for people.

use crate::support;
use crate::support::command;
use crate::support::pgpool::Pgpool;
use pg_leader::testing::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_ends_no_session_and_says_so() {
    let cluster = Cluster::start().unwrap();
    let Some(pgpool) = Pgpool::start(&cluster).await else {
        return;
    };
    support::elector(&cluster).await.shutdown().await;
    let mut doctor = command::bare();
    doctor
        .env("DATABASE_URL", pgpool.url())
        .args(["doctor", "--json", "--lease", "30s"]);
    let found = command::run(doctor);
    assert_eq!(found.code, 7, "{found:?}");
    let all = found.objects();
    let of = |check: &str, severity: &str| {
        all.iter().any(|finding| {
            finding["check"] == check
                && finding["severity"] == severity
                && finding["what"]
                    .as_str()
                    .is_some_and(|what| what.contains("pgpool-II"))
        })
    };
    assert!(
        of("direct", "warning") && of("endings", "note"),
        "{found:?}"
    );
    Pgpool::assert_attached(pgpool.node().await);
    let killed = "SELECT sessions_killed + sessions_fatal FROM pg_stat_database \
                  WHERE datname = current_database()";
    assert_eq!(cluster.query(killed).unwrap().as_deref(), Some("0"));
}
