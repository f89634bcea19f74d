//! A server that has forgotten terms: a promotion was thrown away, another standby was promoted, the name leads to
//! another server, a row was deleted. Terms neither repeat nor go back as far as anybody knows who lives, and the
//! work of what was forgotten is waited for (invariants 1 and 2). Settles rows 36 and 37 of docs/development/known-faults.md.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support;
use crate::support::record::{self, Record};
use crate::support::seat::Seat;
use crate::support::{
    Candidate, Cluster, LEASE, any_of, block, client, config, until, until_successor,
};
use futures_util::StreamExt as _;
use pg_leader::{Candidacy, Config, WaitingFor};

/// What somebody heard of on a timeline that this server does not know.
const FAR: i64 = 10_000_000_000_042;
const BLOCK: i64 = 10_000_000_000_000;

/// So long that a server has started within it.
const LONG: Duration = LEASE.saturating_mul(3);

fn slow(conninfo: &str) -> Config {
    Config::new(conninfo).lease(LONG).retry_interval(LEASE)
}

/// A term that ended in order, and a server that knows it.
async fn lead_and_leave(conninfo: &str, election: &str, record: &Arc<Record>) {
    let candidate = Candidate::start(config(conninfo), election, "first", record).await;
    until("the first term works", || record.last_term() == 1).await;
    candidate.candidacy.leave().await;
    candidate.elector.shutdown().await;
}

async fn until_it_has(standby: &Cluster) {
    let vacated = "SELECT count(*) FROM pgleader.term WHERE vacated_at IS NOT NULL";
    until(
        "the vacate has reached the standby",
        || matches!(standby.query(vacated), Ok(Some(count)) if count == "1"),
    )
    .await;
}

/// What stands in the way of a candidate, as it last said.
fn waits(candidacy: &Candidacy) -> Arc<Mutex<Option<WaitingFor>>> {
    let last = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&last);
    let mut changes = candidacy.changes();
    tokio::spawn(async move {
        while let Some(standing) = changes.next().await {
            *seen.lock().unwrap() = standing.waiting_for;
        }
    });
    last
}

/// The last term that the old primary knows was vacated: to it nothing speaks against beginning at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_is_thrown_away_is_exceeded_and_its_work_waited_for() {
    let record = Record::in_memory();
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().unwrap();
    lead_and_leave(&primary.url(), "thrown", &record).await;
    until_it_has(&standby).await;
    primary.stop_immediate().unwrap();
    standby.promote().unwrap();

    let everywhere = any_of(&[&primary, &standby]);
    let mut candidates = vec![];
    for address in ["second", "third"] {
        candidates.push(Candidate::start(slow(&everywhere), "thrown", address, &record).await);
    }
    until("a term works that will be forgotten", || {
        block(record.last_term()) == 1
    })
    .await;
    until_successor(&standby, "thrown").await;
    let lost = record.last_term();
    standby.stop_immediate().unwrap();
    primary.start_again().unwrap();
    until("the next term works", || record.last_term() > lost).await;

    // Above the one that was thrown away, in a block of its own, and not before its work is over.
    assert_eq!(block(record.last_term()), 2);
    let waited = "SELECT extract(epoch FROM t.started_at - pg_postmaster_start_time()) FROM pgleader.term AS t \
                  ORDER BY t.number DESC LIMIT 1";
    let waited: f64 = primary.query(waited).unwrap().unwrap().parse().unwrap();
    assert!(
        waited >= LONG.as_secs_f64(),
        "begun {waited} s after the start"
    );
    record::assert_no_overlap(&record.steps());
}

/// Nobody is left who knows of the first promotion.
#[tokio::test(flavor = "multi_thread")]
async fn two_promotions_to_one_timeline_give_out_different_numbers() {
    let record = Record::in_memory();
    let primary = Cluster::start().unwrap();
    primary
        .execute("CREATE TABLE ledger (term bigint)")
        .unwrap();
    let standbys = [primary.standby().unwrap(), primary.standby().unwrap()];
    lead_and_leave(&primary.url(), "twice", &record).await;
    for standby in &standbys {
        until_it_has(standby).await;
    }
    primary.stop_immediate().unwrap();
    let mut terms = vec![];
    for standby in &standbys {
        standby.promote().unwrap();
        let steps = record.steps().len();
        let candidate = Candidate::start(config(&standby.url()), "twice", "a", &record).await;
        until("a term works", || record.steps().len() > steps).await;
        terms.push(record.steps().last().unwrap().term);
        candidate.elector.shutdown().await;
        let timeline = "SELECT max(timeline) FROM pgleader.term";
        assert_eq!(standby.query(timeline).unwrap().as_deref(), Some("2"));
    }
    assert!(terms.iter().all(|term| block(*term) == 1), "{terms:?}");
    assert_ne!(terms[0], terms[1]);

    // What the first one's term still sends is refused by the second, in a term of its own too.
    let next = Candidate::start(config(&standbys[1].url()), "twice", "b", &record).await;
    until("it leads", || next.leads()).await;
    let writer = client(&standbys[1].url()).await;
    for (term, admitted) in [(terms[0], false), (next.candidacy.term(), true)] {
        let write = format!(
            "BEGIN; INSERT INTO ledger VALUES ({term}); SELECT pgleader.fence('twice', {term}); COMMIT"
        );
        assert_eq!(
            writer.batch_execute(&write).await.is_ok(),
            admitted,
            "{term}"
        );
        writer.batch_execute("ROLLBACK").await.unwrap();
    }
    let written = standbys[1].query("SELECT string_agg(term::text, ',') FROM ledger");
    assert_eq!(written.unwrap(), Some(next.candidacy.term().to_string()));
}

/// What was heard outlives the candidacy and the session, and the server may be any.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_an_empty_server_does_not_begin_terms_again() {
    let record = Record::in_memory();
    let (old, empty) = (Cluster::start().unwrap(), Cluster::start().unwrap());
    support::elector(&empty).await.shutdown().await;
    let either = any_of(&[&old, &empty]);
    let candidate = Candidate::start(config(&either), "moved", "a", &record).await;
    until("the first term works", || record.last_term() == 1).await;
    candidate.candidacy.leave().await;
    old.stop_immediate().unwrap();
    let again = candidate
        .elector
        .campaign(("moved", "b"), support::steady(&record))
        .unwrap();
    until("it works on the empty server", || again.term() > 0).await;
    until("a later term works", || record.last_term() > 1).await;
    assert_eq!(block(record.last_term()), 1);
    assert_eq!(
        empty
            .query("SELECT count(*) FROM pgleader.term")
            .unwrap()
            .as_deref(),
        Some("1")
    );
    record::assert_no_overlap(&record.steps());
}

/// Whoever may do everything deletes the election's row.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_row_does_not_begin_terms_again() {
    let record = Record::in_memory();
    let cluster = Cluster::start().unwrap();
    let candidate = Candidate::start(config(&cluster.url()), "deleted", "a", &record).await;
    until("the first term works", || record.last_term() == 1).await;
    cluster
        .execute(
            "ALTER TABLE pgleader.election DISABLE TRIGGER USER; DELETE FROM pgleader.election; \
             ALTER TABLE pgleader.election ENABLE TRIGGER USER",
        )
        .unwrap();
    candidate.candidacy.resign().await;
    let steps = record.steps().len();
    until("work goes on", || record.steps().len() > steps + 10).await;
    let last = record.steps().last().unwrap().term;
    assert!(last > 1, "term {last}");
    record::assert_no_overlap(&record.steps());
}

/// It would burn the numbers. The process leads elsewhere, and others lead here.
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_too_far_beyond_is_refused_for_that_election_alone() {
    let record = Record::in_memory();
    let (old, empty) = (Cluster::start().unwrap(), Cluster::start().unwrap());
    support::elector(&old).await.shutdown().await;
    old.execute(&format!(
        "INSERT INTO pgleader.election (name, term) VALUES ('far', {})",
        BLOCK * 17 + 5
    ))
    .unwrap();
    support::elector(&empty).await.shutdown().await;
    let either = any_of(&[&old, &empty]);
    let candidate = Candidate::start(config(&either), "far", "a", &record).await;
    let near = Record::in_memory();
    let _near = candidate
        .elector
        .campaign(("near", "a"), support::steady(&near))
        .unwrap();
    until("both work", || {
        record.last_term() > 0 && near.last_term() > 0
    })
    .await;
    let waiting_for = waits(&candidate.candidacy);
    let last = near.last_term();
    old.stop_immediate().unwrap();

    until("the other election goes on", || near.last_term() > last).await;
    until("it says why it does not lead", || {
        *waiting_for.lock().unwrap() == Some(WaitingFor::AnotherServer)
    })
    .await;
    let fresh = Record::in_memory();
    let _other = Candidate::start(config(&empty.url()), "far", "b", &fresh).await;
    until("somebody else leads", || fresh.last_term() == 1).await;
    assert!(!candidate.leads());
}

#[tokio::test]
async fn what_a_loser_has_heard_of_raises_the_winners_number_and_makes_it_wait() {
    let cluster = Cluster::start().unwrap();
    support::elector(&cluster).await.shutdown().await;
    let winner = Seat::join(&cluster, "loser", "winner").await;
    let loser = Seat::join_having_heard(&cluster, "loser", "loser", (FAR, 7000)).await;
    let won = winner.try_having_heard((0, 0)).await;
    assert_eq!(won.get::<_, &str>("outcome"), "won");
    assert_eq!(won.get::<_, i32>("wait_ms"), 0);
    // The lease read with that term is the longest.
    assert_eq!(won.get::<_, i32>("elsewhere_ms"), 7000);
    assert_eq!(won.get::<_, i64>("known"), FAR);
    let early = winner.ask_for_office(6999, (0, 0)).await;
    assert_eq!(early.get::<_, &str>("outcome"), "waiting");
    // The loser takes its candidacy back. Who was told of it passes it on.
    loser.leave().await;
    winner.release().await;
    let third = Seat::join(&cluster, "loser", "third").await;
    let won = third.try_having_heard((0, 0)).await;
    assert_eq!(won.get::<_, i64>("known"), FAR);
    assert_eq!(won.get::<_, i32>("elsewhere_ms"), 7000);
    third.release().await;
    let won = winner.try_having_heard((0, 0)).await;
    assert_eq!(won.get::<_, i64>("known"), FAR);
    let office = winner.ask_for_office(7000, (FAR, 7000)).await;
    assert_eq!(office.get::<_, &str>("outcome"), "began");
    let term = office.get::<_, i64>("term");
    assert!(term > 2 * BLOCK && term < 3 * BLOCK, "{term}");
}

#[tokio::test]
async fn who_joins_while_another_waits_makes_it_wait_longer() {
    let cluster = Cluster::start().unwrap();
    support::elector(&cluster).await.shutdown().await;
    let first = Seat::join(&cluster, "late", "first").await;
    assert_eq!(first.campaign().await, ("began".to_owned(), 1));
    first.release().await;
    let winner = Seat::join(&cluster, "late", "winner").await;
    let won = winner.try_having_heard((1, 1000)).await;
    assert_eq!(won.get::<_, &str>("outcome"), "won");
    assert_eq!(won.get::<_, i32>("wait_ms"), 1000);
    assert_eq!(won.get::<_, i32>("elsewhere_ms"), 0);
    let _late = Seat::join_having_heard(&cluster, "late", "late", (FAR, 2000)).await;
    let office = winner.ask_for_office(0, (1, 1000)).await;
    assert_eq!(office.get::<_, &str>("outcome"), "waiting");
    assert_eq!(office.get::<_, i32>("elsewhere_ms"), 2000);
    assert_eq!(office.get::<_, i64>("known"), FAR);
}

/// A vacate of the record says nothing of a term that the record does not know.
#[tokio::test]
async fn no_vacate_spares_the_wait_for_a_forgotten_term() {
    let cluster = Cluster::start().unwrap();
    support::elector(&cluster).await.shutdown().await;
    let seat = Seat::join(&cluster, "vacated", "a").await;
    assert_eq!(seat.campaign().await, ("began".to_owned(), 1));
    assert!(seat.vacate(1).await);
    seat.release().await;
    let won = seat.try_having_heard((FAR, 0)).await;
    assert_eq!(won.get::<_, &str>("outcome"), "won");
    assert_eq!(won.get::<_, i32>("wait_ms"), 0);
    assert_eq!(won.get::<_, i32>("elsewhere_ms"), 1000);
}

#[tokio::test]
async fn sixteen_blocks_beyond_are_believed_and_no_more() {
    let cluster = Cluster::start().unwrap();
    support::elector(&cluster).await.shutdown().await;
    let seat = Seat::join(&cluster, "limit", "a").await;
    // Whoever says so does not raise the numbers of others.
    let _joker = Seat::join_having_heard(&cluster, "limit", "b", (BLOCK * 17, 1000)).await;
    let refused = seat.try_having_heard((BLOCK * 17, 1000)).await;
    assert_eq!(refused.get::<_, &str>("outcome"), "held");
    assert_eq!(refused.get::<_, Option<&str>>("bar"), Some("beyond"));
    assert_eq!(refused.get::<_, Option<i32>>("holder_pid"), None);
    let locks = "SELECT count(*) FROM pgleader.lock";
    assert_eq!(cluster.query(locks).unwrap().as_deref(), Some("0"));
    let won = seat.try_having_heard((BLOCK * 17 - 1, 1000)).await;
    assert_eq!(won.get::<_, &str>("outcome"), "won");
    let office = seat.ask_for_office(0, (BLOCK * 17, 1000)).await;
    assert_eq!(office.get::<_, &str>("outcome"), "barred");
    assert_eq!(office.get::<_, &str>("bar"), "beyond");
    let office = seat.ask_for_office(1000, (BLOCK * 17 - 1, 1000)).await;
    assert_eq!(office.get::<_, i64>("term") / BLOCK, 17);
}

#[tokio::test]
async fn numbers_never_go_back() {
    let cluster = Cluster::start().unwrap();
    support::elector(&cluster).await.shutdown().await;
    let next = |last: i64, below: i64, known: i64| {
        let query = format!("SELECT pgleader.next_number({last}, {below}, {known})");
        let number = cluster.query(&query).unwrap().unwrap();
        number.parse::<i64>().unwrap()
    };
    // On the first timeline they are 1, 2, 3.
    assert_eq!(next(0, 0, 0), 1);
    assert_eq!(next(1, 1, 1), 2);
    // Then they say when they were given out; a clock that goes back takes them nowhere.
    let milliseconds =
        "SELECT extract(epoch FROM clock_timestamp() - '2026-01-01 00:00:00+00')::bigint * 1000";
    let now: i64 = cluster
        .query(milliseconds)
        .unwrap()
        .unwrap()
        .parse()
        .unwrap();
    let first = next(7, BLOCK, 7);
    assert!((first - BLOCK - now).abs() < 60_000, "{first}");
    assert_eq!(next(first, first, first), first + 1);
    let late = 2 * BLOCK - 5;
    assert_eq!(next(late, late, late), late + 1);
    // From numbers as they were before.
    let seat = Seat::join(&cluster, "old", "a").await;
    cluster
        .execute(
            "BEGIN; SET LOCAL session_replication_role = replica; \
             UPDATE pgleader.election SET term = 1000000007 WHERE name = 'old'; COMMIT",
        )
        .unwrap();
    let won = seat.try_having_heard((0, 0)).await;
    assert_eq!(won.get::<_, &str>("outcome"), "won");
    let office = seat.ask_for_office(1000, (0, 0)).await;
    assert!(office.get::<_, i64>("term") > 1_000_000_007);
}
