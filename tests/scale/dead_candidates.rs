//! Candidates whose processes were killed leave their rows behind, and whoever may join may leave very many: a probe costs
//! the same, and they are forgotten a few at a time, but not where a lost leader's lease may be among theirs. Settles row
//! 49 of docs/development/known-faults.md.

use std::time::{Duration, Instant};

use crate::support;
use crate::support::record::{self, Record};
use crate::support::seat::Seat;
use crate::support::{LEASE, contest, until};
use pg_leader::testing::Cluster;
use tokio_postgres::Client;

/// So many candidates that died, of the highest rank and the longest lease.
fn die(cluster: &Cluster, election: &str, count: u32) {
    cluster
        .execute(&format!(
            "INSERT INTO pgleader.candidate (election_id, instance_hash, address, priority, lease, pid, backend_start, \
                                             joined_at) \
             SELECT e.id, sha256(int4send(n)), 'dead ' || n, 10, '60 s', 10000000 + n, now() - interval '1 day', \
                    now() - interval '1 day' \
             FROM pgleader.election AS e, generate_series(1, {count}) AS n WHERE e.name = '{election}'"
        ))
        .unwrap();
    // As the server does by itself within a minute. Until then its guess of the cost is so high that it compiles the plan
    // of pgleader.status, which takes 0.1 s.
    cluster.execute("ANALYZE pgleader.candidate").unwrap();
}

fn rows(cluster: &Cluster, election: &str) -> i64 {
    let count = "SELECT count(*) FROM pgleader.candidate AS c JOIN pgleader.election AS e ON e.id = c.election_id";
    let count = cluster.query(&format!("{count} WHERE e.name = '{election}'"));
    count.unwrap().unwrap().parse().unwrap()
}

/// The middle one of so many.
async fn median(count: usize, mut once: impl AsyncFnMut()) -> Duration {
    let mut took = vec![];
    for _ in 0..count {
        let begun = Instant::now();
        once().await;
        took.push(begun.elapsed());
    }
    took.sort();
    took[count / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_costs_the_same_with_a_hundred_thousand_of_them() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let leader = Seat::join_with_priority(&cluster, "e", "leader", 1).await;
    let other = Seat::join_with_priority(&cluster, "e", "other", 1).await;
    assert_eq!(leader.campaign().await, ("began".to_owned(), 1));
    let probes = async || {
        let probe = median(60, async || {
            assert_eq!(other.try_in_turn(true).await.0, "held");
        });
        let (probe, asked) = (
            probe.await,
            "SELECT name, state, candidates FROM pgleader.status",
        );
        let looks = median(20, async || {
            let seen = other.client.query_one(asked, &[]).await.unwrap();
            assert_eq!(seen.get::<_, i64>(2), 2);
        });
        [probe, looks.await]
    };
    // The plans are made while there are few.
    let before = probes().await;
    die(&cluster, "e", 100_000);
    let after = probes().await;
    support::say(&format!("before: {before:?}, after: {after:?}"));
    for (before, after) in before.into_iter().zip(after) {
        assert!(
            after < before * 4 + Duration::from_millis(20),
            "{before:?}, {after:?}"
        );
    }
}

/// They outrank everybody, and nobody waits for them. Probes and new terms each forget some.
#[tokio::test(flavor = "multi_thread")]
async fn they_depose_nobody_and_are_forgotten_a_few_at_a_time() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let all = contest(&cluster, "e", 2, &record).await;
    die(&cluster, "e", 100_000);
    let mut left = 100_002;
    for _ in 0..3 {
        until("a probe forgets some", || rows(&cluster, "e") < left).await;
        left = rows(&cluster, "e");
    }
    assert_eq!(record.last_term(), 1, "a probe has taken too long");
    for term in 1..5 {
        let leading = support::leading(&all).await;
        let resigned = Instant::now();
        leading.candidacy.resign().await;
        until("the next term works", || record.last_term() > term).await;
        assert!(resigned.elapsed() < LEASE * 5, "{:?}", resigned.elapsed());
        until("a new term forgets some", || rows(&cluster, "e") < left).await;
        left = rows(&cluster, "e");
    }
    assert!(left > 2, "they were forgotten all at once");
    record::assert_no_overlap(&record.steps());
    let endings =
        "SELECT string_agg(DISTINCT ending, ',') FROM pgleader.history WHERE ending <> 'resigned'";
    assert_eq!(cluster.query(endings).unwrap(), None);
}

/// One statement for all of them never came to its end within a lease.
#[tokio::test(flavor = "multi_thread")]
async fn all_of_them_are_forgotten_in_the_end() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let leader = Seat::join(&cluster, "e", "leader").await;
    let other = Seat::join(&cluster, "e", "other").await;
    assert_eq!(leader.campaign().await, ("began".to_owned(), 1));
    die(&cluster, "e", 100_000);
    // One that has joined since, and has heard of more than this server knows.
    let ahead = Seat::join_having_heard(&cluster, "e", "ahead", (10, 60_000)).await;
    ahead.leave().await;
    let tidy = leader.fill("SELECT pgleader.tidy(ARRAY[$election])");
    other
        .client
        .batch_execute("SET statement_timeout = '500ms'")
        .await
        .unwrap();
    let mut left = rows(&cluster, "e");
    while left > 103 {
        other.client.batch_execute(&tidy).await.unwrap();
        let now = rows(&cluster, "e");
        assert!(now < left && now > left - 50_000, "{now}, {left}");
        left = now;
    }
    let kept = "SELECT string_agg(address, ',' ORDER BY address) FROM pgleader.candidate \
                WHERE address NOT LIKE 'dead%'";
    let kept = cluster.query(kept).unwrap();
    assert_eq!(kept.as_deref(), Some("ahead,leader,other"));
}

const JOIN: &str = "SELECT set_config('pgleader.mark', 'by hand', false), \
                    (SELECT count(*) FROM pgleader.join_elections('by hand', '{e}', gen_random_uuid(), '{a}', 1000, $1, 'x', \
                                                   '{0}', ARRAY[$2::bigint], ARRAY[1000], false))";

async fn joins(client: &Client, count: i64, heard: i64) {
    for n in 0..count {
        // It says when its backend began: a lie.
        let began = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(n.unsigned_abs());
        client
            .query_one(JOIN, &[&began, &(heard + n)])
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_has_one_row_whatever_it_says() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let leader = Seat::join(&cluster, "e", "leader").await;
    assert_eq!(leader.campaign().await, ("began".to_owned(), 1));
    let client = support::client(&cluster.url()).await;
    joins(&client, 50, 0).await;
    assert_eq!(rows(&cluster, "e"), 2 + 1, "one has heard of more");
    joins(&client, 50, 10).await;
    // What was heard of beyond this server's terms is kept, once.
    assert!(rows(&cluster, "e") <= 3, "{}", rows(&cluster, "e"));
    let heard = "SELECT max(heard) FROM pgleader.candidate";
    assert_eq!(cluster.query(heard).unwrap().as_deref(), Some("59"));
}

/// Its term was lost in a failover, and its candidacy alone is on record, with a lease of a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_leaders_lease_outlives_every_join() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let leader = Seat::join(&cluster, "e", "leader").await;
    assert_eq!(leader.campaign().await, ("began".to_owned(), 1));
    leader.release().await;
    die(&cluster, "e", 300);
    // As if this server had been promoted: the last term that it knows is of the timeline before.
    cluster
        .execute("UPDATE pgleader.term SET timeline = 7")
        .unwrap();
    let period = "SELECT pgleader.refractory_period(id) FROM pgleader.election";
    assert_eq!(cluster.query(period).unwrap().as_deref(), Some("60000"));
    let client = support::client(&cluster.url()).await;
    // Its backend has the pid of one of the dead, too.
    let own = "UPDATE pgleader.candidate SET pid = pg_backend_pid() WHERE address = 'dead 1'";
    client.batch_execute(own).await.unwrap();
    joins(&client, 100, 0).await;
    let tidy = leader.fill("SELECT pgleader.tidy(ARRAY[$election]) FROM generate_series(1, 100)");
    client.batch_execute(&tidy).await.unwrap();
    assert_eq!(cluster.query(period).unwrap().as_deref(), Some("60000"));
    let dead = "SELECT count(*) FROM pgleader.candidate WHERE address LIKE 'dead%'";
    assert_eq!(cluster.query(dead).unwrap().as_deref(), Some("300"));
}
