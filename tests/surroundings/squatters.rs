//! Any role that can connect may take the locks of an election, in a session or by a prepared transaction, without any
//! grant. Whoever does is named, and ended where it is in nobody's hands but the candidates'. Settles rows of
//! docs/development/known-faults.md.

use std::sync::LazyLock;
use std::time::Instant;

use crate::support;
use crate::support::cluster::Server;
use crate::support::log::Log;
use crate::support::record::{self, Record};
use crate::support::seat::Seat;
use crate::support::{
    Candidate, Cluster, LEASE, config, contest, status, steady, until, until_successor,
    until_waiting_for, url_of,
};
use pg_leader::operator::{HeldLock, Operator};
use pg_leader::{ProcessState, WaitingFor};

/// Of all tests in this file.
static LOG: LazyLock<Log> = LazyLock::new(Log::install);

/// The keys of an election's lock, as whoever has no right to the schema gives them.
fn key(cluster: &Cluster, class: &str, election: &str) -> String {
    let key = format!(
        "SELECT format('%s, %s', 'pgleader.{class}'::regclass::oid::integer, id) FROM pgleader.election \
         WHERE name = '{election}'"
    );
    cluster.query(&key).unwrap().unwrap()
}

async fn pid(client: &tokio_postgres::Client) -> i32 {
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

/// Of a role that was granted nothing.
async fn eve(cluster: &Cluster) -> tokio_postgres::Client {
    cluster.execute("CREATE ROLE eve LOGIN").unwrap();
    let curious = format!("{}?application_name=curious", url_of(cluster, "eve"));
    support::client(&curious).await
}

fn says(what: &str) -> bool {
    LOG.count("WARN", what) > 0
}

/// It has no session to end, and a restart of the server does not end it.
#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_on_the_leadership_is_named_and_tried_for_no_more_often_than_a_leader_is_watched()
 {
    LazyLock::force(&LOG);
    let cluster = Cluster::builder()
        .setting("max_prepared_transactions", "5")
        .setting("track_functions", "all")
        .start()
        .unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "prepared", 1, &record).await;
    candidates[0].candidacy.leave().await;
    let eve = eve(&cluster).await;
    let lock = key(&cluster, "election", "prepared");
    let prepare =
        format!("BEGIN; SELECT pg_advisory_xact_lock({lock}); PREPARE TRANSACTION 'it''s mine'");
    eve.batch_execute(&prepare).await.unwrap();
    let again = Candidate::start(config(&cluster.url()), "prepared", "again", &record).await;
    until_waiting_for(&again, WaitingFor::Stranger).await;
    let named = "the prepared transaction 'it''s mine' of eve, which holds the leadership";
    until("it is named", || says(named)).await;
    assert_named_as_prepared(&cluster).await;
    assert_tried_for_at_leisure(&cluster).await;

    cluster.stop_fast().unwrap();
    cluster.start_again().unwrap();
    let known = || status(&cluster, "prepared", "candidates").as_deref() == Some("1");
    until("it takes part again", known).await;
    until_waiting_for(&again, WaitingFor::Stranger).await;
    assert_named_as_prepared(&cluster).await;
    assert_eq!(record.last_term(), 1);
    cluster.execute("ROLLBACK PREPARED 'it''s mine'").unwrap();
    until("it leads", || again.leads()).await;
    assert_eq!(
        status(&cluster, "prepared", "strangers").as_deref(),
        Some("{}")
    );
    record::assert_no_overlap(&record.steps());
}

async fn assert_named_as_prepared(cluster: &Cluster) {
    assert_eq!(
        status(cluster, "prepared", "waiting_for").as_deref(),
        Some("stranger")
    );
    let operator = Operator::connect(cluster.url()).await.unwrap();
    let shown = operator.status_of("prepared").await.unwrap().unwrap();
    let [stranger] = &shown.strangers[..] else {
        panic!("{shown:?}");
    };
    assert_eq!(stranger.lock, HeldLock::Leadership);
    assert_eq!(stranger.backend.prepared.as_deref(), Some("it's mine"));
    assert_eq!(stranger.backend.user.as_deref(), Some("eve"));
    assert_eq!(stranger.backend.pid, None);
}

/// The server counts calls with a delay of a second.
async fn assert_tried_for_at_leisure(cluster: &Cluster) {
    let calls = || -> i64 {
        let calls = "SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname = 'campaign'";
        cluster.query(calls).unwrap().unwrap().parse().unwrap()
    };
    let first = calls();
    until("it tries", || calls() > first).await;
    let (began, before) = (Instant::now(), calls());
    until("it tries on", || calls() >= before + 40).await;
    let rate = f64::from(i32::try_from(calls() - before).unwrap()) / began.elapsed().as_secs_f64();
    assert!(rate < 100.0, "{rate:.0} tries a second");
}

/// Nobody asks a tool that only looks for a moment to go.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_the_successors_place_or_the_lock_of_terms_for_a_lease_is_ended() {
    LazyLock::force(&LOG);
    let cluster = Cluster::start().unwrap();
    for (election, class, function, lock) in [
        ("place", "candidate", "pg_advisory_lock", "succession"),
        (
            "share",
            "candidate",
            "pg_advisory_lock_shared",
            "succession",
        ),
        ("term", "term", "pg_advisory_lock", "term"),
    ] {
        let record = Record::in_memory();
        let leader = contest(&cluster, election, 1, &record).await;
        let stranger = support::client(&cluster.url()).await;
        let pid = pid(&stranger).await;
        let call = format!("SELECT {function}({})", key(&cluster, class, election));
        stranger.batch_execute(&call).await.unwrap();
        let shown = format!("{lock}: backend {pid} of ordinary");
        let strangers = status(&cluster, election, "strangers").unwrap();
        assert!(strangers.contains(&shown), "{strangers}");
        let began = Instant::now();
        let second = Candidate::start(config(&cluster.url()), election, "second", &record).await;
        until("the stranger's session is ended", || stranger.is_closed()).await;
        assert!(
            began.elapsed() >= LEASE * 9 / 10,
            "{election}: {:?}",
            began.elapsed()
        );
        let words = format!("backend {pid} of ordinary, which holds the {lock}");
        until("it was named", || says(&words)).await;
        until_successor(&cluster, election).await;
        assert_eq!(record.last_term(), 1, "{election}");
        assert!(leader[0].leads());
        leader[0].candidacy.resign().await;
        until("the second leads", || second.leads()).await;
        assert_eq!(
            status(&cluster, election, "strangers").as_deref(),
            Some("{}")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_no_role_may_end_is_named_until_one_may() {
    LazyLock::force(&LOG);
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let leader = contest(&cluster, "roles", 1, &record).await;
    let eve = eve(&cluster).await;
    let pid = pid(&eve).await;
    let lock = format!(
        "SELECT pg_advisory_lock({})",
        key(&cluster, "candidate", "roles")
    );
    eve.batch_execute(&lock).await.unwrap();
    let second = Candidate::start(config(&cluster.url()), "roles", "second", &record).await;
    until_waiting_for(&second, WaitingFor::Stranger).await;
    let named = format!("backend {pid} of eve (application 'curious'), which holds the succession");
    until("it is named", || says(&format!("not ended: {named}"))).await;
    assert!(!eve.is_closed());
    // Where the leader's term ends it is followed all the same.
    leader[0].candidacy.leave().await;
    until("the second leads", || second.leads()).await;
    assert!(!eve.is_closed());
    let third = Candidate::start(config(&cluster.url()), "roles", "third", &record).await;
    cluster
        .execute("GRANT pg_signal_backend TO ordinary")
        .unwrap();
    until("it is ended", || eve.is_closed()).await;
    until_successor(&cluster, "roles").await;
    drop(third);
    record::assert_no_overlap(&record.steps());
}

/// Somebody may hold it on purpose, to keep everybody from leading.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_the_leadership_by_hand_is_named_and_left_alone() {
    LazyLock::force(&LOG);
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let leader = contest(&cluster, "hand", 1, &record).await;
    leader[0].candidacy.leave().await;
    let hand = support::client(&cluster.url()).await;
    let pid = pid(&hand).await;
    let (place, key) = (
        key(&cluster, "candidate", "hand"),
        key(&cluster, "election", "hand"),
    );
    // A share of it keeps everybody out, too; and whoever has more than that is left alone all the same.
    hand.batch_execute(&format!("SELECT pg_advisory_lock_shared({key})"))
        .await
        .unwrap();
    hand.batch_execute(&format!("SELECT pg_advisory_lock({place})"))
        .await
        .unwrap();
    let again = leader[0]
        .elector
        .campaign(("hand", "again"), steady(&record))
        .unwrap();
    let named = format!("not ended: backend {pid} of ordinary, which holds the leadership");
    until("it is named", || says(&named)).await;
    assert!(!hand.is_closed());
    assert_eq!(again.state(), ProcessState::Following);
    let unlock = format!("SELECT pg_advisory_unlock({place}), pg_advisory_unlock_shared({key})");
    hand.batch_execute(&unlock).await.unwrap();
    until("it leads", || again.state() == ProcessState::Leading).await;
}

/// pgpool-II may carry any session, and would detach the server with it.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_candidate_is_behind_pgpool_nobody_is_ended() {
    let cluster = Cluster::start().unwrap();
    support::elector(&cluster).await.shutdown().await;
    let first = Seat::join(&cluster, "pooled", "first").await;
    let second = Seat::join(&cluster, "pooled", "second").await;
    let _elsewhere = Seat::join(&cluster, "other", "pooled").await;
    assert_eq!(first.campaign().await, ("began".to_owned(), 1));
    let fenced = support::client(&cluster.url()).await;
    let fence = "BEGIN; SELECT pgleader.fence('pooled', 1)";
    fenced.batch_execute(fence).await.unwrap();
    let squatter = support::client(&cluster.url()).await;
    let lock = format!(
        "SELECT pg_advisory_lock({})",
        key(&cluster, "candidate", "pooled")
    );
    squatter.batch_execute(&lock).await.unwrap();
    assert!(first.vacate(1).await);
    first.release().await;
    let recorded = |yes: bool| {
        let recorded =
            format!("UPDATE pgleader.candidate SET behind_pgpool = {yes} WHERE address = 'pooled'");
        cluster.execute(&recorded).unwrap();
    };
    recorded(true);
    // Nobody else has the place, and it is overdue.
    let take = second.fill(
        "SELECT outcome FROM pgleader.campaign($mark, ARRAY[$election], '{}', ARRAY[$election], $instance, true, \
         60000, '{0}', '{0}')",
    );
    let row = second.client.query_one(&take, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "fenced");
    assert_eq!(second.end_fenced().await, (0, 2));
    let who = second.fill("SELECT who FROM pgleader.end_fenced($mark, ARRAY[$election])");
    let row = second.client.query_one(&who, &[]).await.unwrap();
    let who: String = row.get(0);
    for (client, lock) in [(&fenced, "term"), (&squatter, "succession")] {
        let named = format!(
            "backend {} of ordinary, which holds the {lock}",
            pid(client).await
        );
        assert!(who.contains(&named), "{who}");
    }
    recorded(false);
    assert_eq!(second.end_fenced().await, (2, 0));
    until("both are gone", || {
        fenced.is_closed() && squatter.is_closed()
    })
    .await;
}

/// What is fenced is the leader's own, whoever follows.
#[tokio::test(flavor = "multi_thread")]
async fn who_ends_a_stranger_ends_no_transaction_of_the_present_term() {
    let cluster = Cluster::start().unwrap();
    support::elector(&cluster).await.shutdown().await;
    let leader = Seat::join(&cluster, "led", "leader").await;
    let follower = Seat::join(&cluster, "led", "follower").await;
    assert_eq!(leader.campaign().await, ("began".to_owned(), 1));
    let fenced = support::client(&cluster.url()).await;
    let fence = "BEGIN; SELECT pgleader.fence('led', 1)";
    fenced.batch_execute(fence).await.unwrap();
    let squatter = support::client(&cluster.url()).await;
    let lock = format!(
        "SELECT pg_advisory_lock({})",
        key(&cluster, "candidate", "led")
    );
    squatter.batch_execute(&lock).await.unwrap();
    assert_eq!(follower.end_fenced().await, (1, 0));
    until("the stranger is gone", || squatter.is_closed()).await;
    assert_eq!(follower.end_fenced().await, (0, 0));
    fenced.batch_execute("COMMIT").await.unwrap();
    // Nor does whoever is no candidate any more end itself.
    assert_eq!(follower.try_in_turn(false).await.0, "held");
    follower.leave().await;
    assert_eq!(follower.end_fenced().await, (0, 0));
    let owner = cluster
        .cluster()
        .query("SELECT count(*) FROM pgleader.strangers");
    assert_eq!(
        owner.unwrap().as_deref(),
        Some("1"),
        "it has the successor's place still"
    );
}

/// To name somebody takes room in the lock table. The try says that there is a stranger all the same, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_beside_a_full_lock_table_fails_no_try() {
    let cluster = Cluster::builder()
        .setting("max_locks_per_transaction", "10")
        .setting("max_connections", "20")
        .start()
        .unwrap();
    drop(support::elector(&cluster).await);
    let seat = Seat::join(&cluster, "full", "a").await;
    let stranger = eve(&cluster).await;
    let lock = format!(
        "SELECT pg_advisory_lock({})",
        key(&cluster, "election", "full")
    );
    stranger.batch_execute(&lock).await.unwrap();
    // From here on it needs no more room.
    assert_eq!(seat.try_in_turn(false).await.0, "held");
    let campaign = seat.fill(
        "SELECT outcome, strangers FROM pgleader.campaign($mark, ARRAY[$election], ARRAY[$election], '{}', $instance, \
         true, 3600000, '{0}', '{0}')",
    );
    let named = seat.client.query_one(&campaign, &[]).await.unwrap();
    let named: &str = named.get(1);
    assert!(named.contains("curious"), "{named}");
    // Those that were taken before the table was full stay.
    let all = "SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 1000000) AS n";
    let full = stranger.batch_execute(all).await.unwrap_err();
    assert_eq!(full.code().map(|code| code.code()), Some("53200"));
    let row = seat.client.query_one(&campaign, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "held");
    let named: &str = row.get(1);
    assert!(named.contains("lock table"), "{named}");
    let end =
        seat.fill("SELECT ended, remaining, who FROM pgleader.end_fenced($mark, ARRAY[$election])");
    let row = seat.client.query_one(&end, &[]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (0, 1));
}
