//! The steady state: nothing is written to disk, no work grows with the elections, and no session holds the
//! horizon of vacuum back. Settles invariant 7, and row 14 of docs/development/known-faults.md.

use std::time::{Duration, Instant};

use crate::support;
use crate::support::record::Record;
use crate::support::{Cluster, LEASE, client, elector, steady, until};
use pg_leader::{Candidacy, Elector, ProcessState};
use tokio_postgres::Client;

/// So long nothing may be written.
const QUIET: Duration = Duration::from_secs(10);

/// A server that writes nothing by itself.
fn silent_cluster() -> Cluster {
    Cluster::builder()
        .setting("autovacuum", "off")
        .setting("wal_level", "minimal")
        .setting("max_wal_senders", "0")
        .setting("checkpoint_timeout", "1d")
        .start()
        .unwrap()
}

/// What writing leaves behind, without a transaction number of its own.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    next_transaction: i64,
    wal: i64,
}

async fn written(client: &Client) -> Written {
    let query = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, \
                 (pg_current_wal_insert_lsn() - '0/0')::bigint";
    let row = client.query_one(query, &[]).await.unwrap();
    Written {
        next_transaction: row.get(0),
        wal: row.get(1),
    }
}

async fn transactions(client: &Client) -> i64 {
    let query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// What the database counts while nothing happens for `QUIET`; panics where something is written.
///
/// A reader prunes a page of dead rows that it meets, the catalogs' too, and that is written. `VACUUM` does it first.
async fn transactions_while_quiet(client: &Client) -> i64 {
    client.batch_execute("VACUUM").await.unwrap();
    // The last terms' begin is still told.
    let mut before = written(client).await;
    let deadline = Instant::now() + support::CEILING;
    loop {
        tokio::time::sleep(LEASE * 2).await;
        let now = written(client).await;
        if now == before {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "never quiet: {before:?}, {now:?}"
        );
        before = now;
    }
    let counted = transactions(client).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(written(client).await, before, "written in the steady state");
    transactions(client).await - counted
}

async fn lead_all(
    elector: &Elector,
    count: usize,
    record: &std::sync::Arc<Record>,
) -> Vec<Candidacy> {
    let campaign = |index| elector.campaign((&format!("e{index}"), "a"), steady(record));
    let leaders: Vec<_> = (0..count).map(|index| campaign(index).unwrap()).collect();
    until("all lead", || {
        leaders
            .iter()
            .all(|leader| leader.state() == ProcessState::Leading)
    })
    .await;
    leaders
}

/// A leader and a follower in each election. The server's counters come late, by a second at most while it works.
async fn quiet(count: usize) -> i64 {
    let cluster = silent_cluster();
    let record = Record::in_memory();
    let (first, second) = (elector(&cluster).await, elector(&cluster).await);
    let leaders = lead_all(&first, count, &record).await;
    let followers: Vec<_> = (0..count)
        .map(|index| second.campaign((&format!("e{index}"), "b"), steady(&record)))
        .collect::<Result<_, _>>()
        .unwrap();
    until("all have a successor", || {
        let query = "SELECT count(*) FROM pgleader.status WHERE successor = 'b'";
        cluster.query(query).unwrap() == Some(count.to_string())
    })
    .await;
    let counted = transactions_while_quiet(&client(&cluster.url()).await).await;
    assert!(leaders.iter().all(|leader| leader.term() == 1));
    drop(followers);
    counted
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_while_one_process_leads_and_another_follows() {
    let counted = quiet(1).await;
    println!("{counted} transactions in {QUIET:?}");
    assert!(counted > 0, "the sessions were not counted at all");
}

/// Two processes with a hundred elections ask hardly more often than two with one.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_elections_write_nothing_and_ask_no_more_often() {
    let (one, hundred) = (quiet(1).await, quiet(100).await);
    println!("{one} and {hundred} transactions in {QUIET:?}");
    assert!(
        hundred <= one * 3 / 2,
        "{one} transactions with one election, {hundred} with a hundred"
    );
}

/// Whoever waits does so outside of any transaction, hand-overs included.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_holds_a_snapshot_through_hand_overs() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = support::contest(&cluster, "horizon", 3, &record).await;
    let sampler = client(&cluster.url()).await;
    let held = format!(
        "SELECT coalesce(string_agg(concat_ws(' ', application_name, state, wait_event, query), '; '), '') \
         FROM pg_stat_activity \
         WHERE pid <> pg_backend_pid() AND application_name LIKE 'pg-leader%' \
           AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL OR state LIKE 'idle in transaction%') \
           AND clock_timestamp() - query_start > {} * interval '1 ms'",
        LEASE.as_millis()
    );
    let (mut samples, mut active) = (0, 0);
    let mut sample = async || {
        let row = sampler.query_one(&held, &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), "", "a snapshot is held");
        let query = "SELECT count(*) FROM pg_stat_activity \
                     WHERE pid <> pg_backend_pid() AND application_name LIKE 'pg-leader%' \
                       AND backend_xmin IS NOT NULL";
        let row = sampler.query_one(query, &[]).await.unwrap();
        active += row.get::<_, i64>(0);
        samples += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    for turn in 0..8 {
        let term = record.last_term();
        let leads = || candidates.iter().find(|candidate| candidate.leads());
        until("one leads", || leads().is_some()).await;
        if turn % 2 == 0 {
            leads().unwrap().candidacy.resign().await;
        } else {
            cluster.terminate_leader("horizon").unwrap();
        }
        let deadline = Instant::now() + support::CEILING;
        while record.last_term() <= term {
            sample().await;
            assert!(Instant::now() < deadline, "nobody follows on term {term}");
        }
        // Longer than any statement takes on a busy machine: who waits within one is found.
        let until_then = Instant::now() + LEASE * 5 / 4;
        while Instant::now() < until_then {
            sample().await;
        }
    }
    println!("{samples} samples; a session was within a statement {active} times");
    assert!(samples > 100, "{samples} samples say nothing");
}

/// While an index is built concurrently, which waits for every snapshot that is older, nobody waits for an advisory
/// lock: so long a snapshot would be held. Looked at for so many retry intervals.
async fn assert_nobody_waits_for_a_lock(cluster: &Cluster, index: &str) {
    // The table is its owner's, a superuser's.
    let builder = client(&pg_leader::testing::Cluster::url(cluster)).await;
    let build = async {
        let build = format!("CREATE INDEX CONCURRENTLY {index} ON ledger (n)");
        let built = tokio::time::timeout(support::CEILING, builder.batch_execute(&build)).await;
        built.expect("the index is built").unwrap();
    };
    let sampler = client(&cluster.url()).await;
    let sample = async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        let until_then = Instant::now() + LEASE * 4;
        let mut samples = 0;
        while Instant::now() < until_then {
            let row = sampler.query_one(waiting, &[]).await.unwrap();
            assert_eq!(row.get::<_, i64>(0), 0, "somebody waits for a lock");
            samples += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(samples > 20, "{samples} samples say nothing");
    };
    tokio::join!(build, sample);
}

/// Whoever finds a lock taken tries again later, whoever has it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_lock_that_another_has() {
    let cluster = Cluster::start().unwrap();
    let ledger = "CREATE TABLE ledger AS SELECT generate_series(1, 100) AS n";
    cluster.execute(ledger).unwrap();
    let record = Record::in_memory();
    let candidates = support::contest(&cluster, "locks", 3, &record).await;
    assert_nobody_waits_for_a_lock(&cluster, "led").await;

    // The leader last.
    for candidate in candidates.iter().rev() {
        candidate.candidacy.leave().await;
    }
    let term = record.last_term();
    let stranger = client(&cluster.url()).await;
    let mut again = vec![];
    // First the leadership alone, then the successor's place too.
    for (kind, index) in [("election", "held"), ("candidate", "all_held")] {
        let lock = format!(
            "SELECT pg_try_advisory_lock('pgleader.{kind}'::regclass::oid::int, id) FROM pgleader.election"
        );
        let row = stranger.query_one(&lock, &[]).await.unwrap();
        assert!(row.get::<_, bool>(0), "{kind}");
        for candidate in &candidates {
            let candidacy = candidate
                .elector
                .campaign(("locks", index), steady(&record));
            again.push(candidacy.unwrap());
        }
        until("all take part, in vain", || {
            support::status(&cluster, "locks", "candidates").as_deref() == Some("3")
                && support::status(&cluster, "locks", "stranger_pid").is_some()
        })
        .await;
        assert_nobody_waits_for_a_lock(&cluster, index).await;
        assert_eq!(record.last_term(), term);
        for candidacy in again.drain(..) {
            candidacy.leave().await;
        }
    }
}
