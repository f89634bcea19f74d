//! pgleader.status and pgleader.candidates look at each candidate a few times, however many elections there are. Settles
//! row 128 of docs/development/known-faults.md.

use crate::support;
use pg_leader::testing::Cluster;
use tokio_postgres::Client;

const ELECTIONS: u64 = 100;
const SESSIONS: u64 = 20;

/// How many rows went from one step of the plan to another, or were left out by one.
async fn rows_looked_at(client: &Client, query: &str) -> u64 {
    let explain = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query}");
    let (mut loops, mut all) = (1, 0.0);
    for row in client.query(&explain, &[]).await.unwrap() {
        let line: String = row.get(0);
        let number = |of: &str| -> Option<f64> {
            let after = line.split_once(of)?.1;
            let end = after.find([' ', ')']).unwrap_or(after.len());
            after[..end].parse().ok()
        };
        if let (Some(rows), Some(times)) = (number("(actual rows="), number(" loops=")) {
            loops = times as u64;
            all += rows * times;
        } else if let Some(removed) = number("Filter: ").filter(|_| line.contains("Rows Removed")) {
            all += removed * loops as f64;
        }
    }
    all as u64
}

#[tokio::test]
async fn each_candidate_is_looked_at_a_few_times() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    cluster
        .execute(&format!(
            "SELECT pgleader.make_election('e' || n) FROM generate_series(1, {ELECTIONS}) AS n"
        ))
        .unwrap();
    let mut sessions = vec![];
    for n in 0..SESSIONS {
        let client = support::client(&cluster.url()).await;
        client
            .batch_execute(&format!(
                "INSERT INTO pgleader.candidate \
                     (election_id, instance_hash, address, priority, lease, pid, backend_start) \
                 SELECT e.id, sha256(int4send({n})), 'c{n}', 0, '1 s', a.pid, a.backend_start \
                 FROM pgleader.election AS e, pg_stat_activity AS a WHERE a.pid = pg_backend_pid()"
            ))
            .await
            .unwrap();
        sessions.push(client);
    }
    let looker = support::client(&cluster.url()).await;
    for (session, class) in sessions.iter().zip(["election", "candidate"]) {
        let lock = format!(
            "SELECT pg_try_advisory_lock('pgleader.{class}'::regclass::oid::integer, id) FROM pgleader.election"
        );
        session.query(&lock, &[]).await.unwrap();
    }
    let seen = "SELECT count(*), min(candidates), max(successor) FROM pgleader.status";
    let seen = looker.query_one(seen, &[]).await.unwrap();
    assert_eq!(seen.get::<_, i64>(0), ELECTIONS as i64);
    assert_eq!(seen.get::<_, i64>(1), SESSIONS as i64);
    assert_eq!(seen.get::<_, Option<&str>>(2), Some("c1"));
    for analyzed in [false, true] {
        if analyzed {
            looker.batch_execute("ANALYZE").await.unwrap();
        }
        for view in ["status", "candidates"] {
            let all = rows_looked_at(&looker, &format!("SELECT * FROM pgleader.{view}")).await;
            let each = all / (ELECTIONS * SESSIONS);
            support::say(&format!(
                "{view}, analyzed {analyzed}: {all} rows, {each} a candidate"
            ));
            assert!(each > 0, "the plan was not read");
            assert!(each < ELECTIONS / 4, "{view}: {each} rows a candidate");
        }
    }
}
