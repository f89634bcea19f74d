//! Interleavings of fenced transactions with the end of their term, as steps of sessions that are driven by
//! hand (invariant 3). Settles row 26 of docs/development/known-faults.md.

use crate::support;
use crate::support::Cluster;
use crate::support::client;
use crate::support::seat::Seat;
use tokio_postgres::Client;

const READ_COMMITTED: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
const REPEATABLE_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";
const SERIALIZABLE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
const LEVELS: [&str; 3] = [READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE];

/// Term 1 of election `e` is current; another candidate may follow.
struct Scene {
    cluster: Cluster,
    first: Seat,
    second: Seat,
}

impl Scene {
    async fn new() -> Scene {
        let cluster = Cluster::builder()
            .setting("max_prepared_transactions", "5")
            .encoding("LATIN1")
            .start()
            .unwrap();
        drop(support::elector(&cluster).await);
        cluster.execute("CREATE TABLE written (by text)").unwrap();
        let first = Seat::join(&cluster, "e", "first").await;
        let second = Seat::join(&cluster, "e", "second").await;
        assert_eq!(first.campaign().await, ("began".to_owned(), 1));
        Scene {
            cluster,
            first,
            second,
        }
    }

    async fn writer(&self) -> Client {
        client(&self.cluster.url()).await
    }

    /// Term 1 ends in order, and its lock is free.
    async fn end_first(&self) {
        assert!(self.first.vacate(1).await);
        self.first.release().await;
    }

    async fn begin_second(&self) {
        self.end_first().await;
        assert_eq!(self.second.campaign().await, ("began".to_owned(), 2));
    }

    fn written(&self) -> i64 {
        let count = self.cluster.query("SELECT count(*) FROM written").unwrap();
        count.unwrap().parse().unwrap()
    }
}

async fn run(client: &Client, statement: &str) {
    client.batch_execute(statement).await.expect(statement);
}

/// The SQLSTATE with which a statement is refused.
async fn refusal(client: &Client, statement: &str) -> String {
    let error = client.batch_execute(statement).await.expect_err(statement);
    let error = error.as_db_error().expect("the server refuses");
    error.code().code().to_owned()
}

const FENCE: &str = "SELECT pgleader.fence('e', 1)";
const WRITE: &str = "INSERT INTO written VALUES ('term 1')";

#[tokio::test]
async fn a_current_term_passes_as_first_statement_and_as_a_later_one() {
    let scene = Scene::new().await;
    let writer = scene.writer().await;
    for begin in LEVELS {
        run(&writer, begin).await;
        run(&writer, FENCE).await;
        run(&writer, WRITE).await;
        run(&writer, FENCE).await;
        run(&writer, "COMMIT").await;
    }
    assert_eq!(scene.written(), 3);
}

#[tokio::test]
async fn a_past_term_is_refused_and_both_terms_are_named() {
    let scene = Scene::new().await;
    scene.begin_second().await;
    let writer = scene.writer().await;
    for begin in LEVELS {
        run(&writer, begin).await;
        let error = writer.batch_execute(FENCE).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "PL001");
        assert!(
            error.message().contains("term 1") && error.message().contains("newest is 2"),
            "{}",
            error.message()
        );
        run(&writer, "ROLLBACK").await;
    }
}

/// The term is over with its vacate, before any other has begun.
#[tokio::test]
async fn a_closed_term_is_refused_before_the_next_one_begins() {
    let scene = Scene::new().await;
    assert!(scene.first.vacate(1).await);
    let writer = scene.writer().await;
    for begin in LEVELS {
        run(&writer, begin).await;
        assert_eq!(refusal(&writer, FENCE).await, "PL001", "{begin}");
        run(&writer, "ROLLBACK").await;
    }
}

/// Step 1: W takes its snapshot in term 1. Step 2: term 2 begins. Step 3: W asks the fence.
#[tokio::test]
async fn snapshot_taken_new_term_begun_then_the_fence_is_asked() {
    for (begin, expected) in LEVELS.into_iter().zip(["PL001", "40001", "40001"]) {
        let scene = Scene::new().await;
        let writer = scene.writer().await;
        run(&writer, begin).await;
        run(&writer, "SELECT count(*) FROM written").await;
        scene.begin_second().await;
        assert_eq!(refusal(&writer, FENCE).await, expected, "{begin}");
        assert_eq!(
            refusal(&writer, WRITE).await,
            "25P02",
            "the transaction is lost"
        );
        run(&writer, "ROLLBACK").await;
        assert_eq!(scene.written(), 0);
    }
}

/// Step 1: W takes its snapshot in term 1. Step 2: term 1 is closed by a successor that must wait. Step 3: W
/// asks the fence. Refused or not, it holds nothing up for ever, and never commits after term 2 has begun.
#[tokio::test]
async fn snapshot_taken_term_closed_then_the_fence_is_asked() {
    for (begin, expected) in LEVELS.into_iter().zip(["PL001", "40001", "40001"]) {
        let scene = Scene::new().await;
        let writer = scene.writer().await;
        run(&writer, begin).await;
        run(&writer, "SELECT count(*) FROM written").await;
        scene.first.release().await;
        assert_eq!(scene.second.campaign().await.0, "won");
        assert_eq!(refusal(&writer, FENCE).await, expected, "{begin}");
        run(&writer, "ROLLBACK").await;
        assert_eq!(
            scene.second.take_office(true).await,
            ("began".to_owned(), Some(2))
        );
    }
}

/// Step 1: term 2 begins, and has not committed. Step 2: W asks the fence, finds term 1 current, and waits.
/// Step 3: term 2 commits. W must look again.
#[tokio::test(flavor = "multi_thread")]
async fn fence_asked_while_a_new_term_commits() {
    for (begin, expected) in LEVELS.into_iter().zip(["PL001", "40001", "40001"]) {
        let scene = Scene::new().await;
        scene.first.release().await;
        run(&scene.second.client, "BEGIN").await;
        assert_eq!(scene.second.campaign().await.0, "won");
        assert_eq!(scene.second.take_office(true).await.0, "began");
        let writer = scene.writer().await;
        run(&writer, begin).await;
        let asked = tokio::spawn(async move { refusal(&writer, FENCE).await });
        support::until("the fence waits", || {
            let waiting =
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
            scene.cluster.query(waiting).unwrap().as_deref() == Some("1")
        })
        .await;
        run(&scene.second.client, "COMMIT").await;
        assert_eq!(asked.await.unwrap(), expected, "{begin}");
    }
}

/// Step 1: W passes. Step 2: term 2 tries to begin, and must wait. Step 3: W commits. Step 4: term 2 begins.
#[tokio::test]
async fn fence_passed_then_a_new_term_waits_for_the_commit() {
    for begin in LEVELS {
        for end in ["COMMIT", "ROLLBACK"] {
            let scene = Scene::new().await;
            let writer = scene.writer().await;
            run(&writer, begin).await;
            run(&writer, FENCE).await;
            run(&writer, WRITE).await;
            scene.first.release().await;
            assert_eq!(scene.second.campaign().await.0, "won");
            for _ in 0..3 {
                let office = scene.second.take_office(true).await;
                assert_eq!(office, ("fenced".to_owned(), None), "{begin}");
            }
            run(&writer, end).await;
            assert_eq!(
                scene.second.take_office(true).await,
                ("began".to_owned(), Some(2))
            );
            assert_eq!(scene.written(), i64::from(end == "COMMIT"));
        }
    }
}

/// The same where the last term was vacated: the try itself finds the fenced transaction.
#[tokio::test]
async fn fence_passed_then_an_orderly_handover_waits_for_the_commit() {
    let scene = Scene::new().await;
    let writer = scene.writer().await;
    run(&writer, READ_COMMITTED).await;
    run(&writer, FENCE).await;
    scene.end_first().await;
    assert_eq!(scene.second.campaign().await.0, "fenced");
    assert_eq!(scene.second.take_office(true).await.0, "fenced");
    run(&writer, "COMMIT").await;
    assert_eq!(
        scene.second.take_office(true).await,
        ("began".to_owned(), Some(2))
    );
}

/// Under REPEATABLE READ a fenced transaction holds the term's row: the vacate does not wait for it, and is
/// made good later.
#[tokio::test]
async fn a_vacate_does_not_block_on_a_fenced_transaction() {
    let scene = Scene::new().await;
    let writer = scene.writer().await;
    run(&writer, REPEATABLE_READ).await;
    run(&writer, FENCE).await;
    assert!(!scene.first.vacate(1).await, "the row is held");
    run(&writer, "COMMIT").await;
    assert!(scene.first.vacate(1).await);
}

/// Step 1: W takes its snapshot. Step 2: a vacate from another session of the old process is under way, and
/// holds the term's row. Step 3: term 2 tries to begin, and must not before the row says that term 1 is closed.
#[tokio::test]
async fn no_term_begins_over_a_row_that_is_not_closed() {
    let scene = Scene::new().await;
    let (writer, other) = (scene.writer().await, scene.writer().await);
    run(&writer, REPEATABLE_READ).await;
    run(&writer, "SELECT count(*) FROM written").await;
    scene.first.release().await;
    run(&other, "BEGIN").await;
    run(&other, &scene.first.vacate_call(1)).await;
    assert_eq!(scene.second.campaign().await.0, "won");
    assert_eq!(scene.second.take_office(true).await.0, "fenced");
    run(&other, "ROLLBACK").await;
    assert_eq!(
        scene.second.take_office(true).await,
        ("began".to_owned(), Some(2))
    );
    assert_eq!(refusal(&writer, FENCE).await, "40001");
}

/// A busy old leader: transactions that hold the term's row, one after another without a gap. Closing must not
/// wait for a gap.
#[tokio::test]
async fn overlapping_transactions_under_repeatable_read_starve_nobody() {
    for begin in [REPEATABLE_READ, SERIALIZABLE] {
        let scene = Scene::new().await;
        let mut writers = vec![];
        for _ in 0..3 {
            let writer = scene.writer().await;
            run(&writer, begin).await;
            run(&writer, FENCE).await;
            writers.push(writer);
        }
        scene.first.release().await;
        assert_eq!(scene.second.campaign().await.0, "won");
        // Those that begin from here on are refused, so the rest can only become fewer.
        let late = scene.writer().await;
        run(&late, begin).await;
        assert_eq!(refusal(&late, FENCE).await, "PL001", "{begin}");
        run(&late, "ROLLBACK").await;
        for writer in &writers {
            assert_eq!(scene.second.take_office(true).await.0, "fenced");
            run(writer, WRITE).await;
            run(writer, "COMMIT").await;
        }
        assert_eq!(
            scene.second.take_office(true).await,
            ("began".to_owned(), Some(2))
        );
        assert_eq!(scene.written(), 3);
    }
}

/// Step 1: W takes its snapshot. Step 2: H holds the row. Step 3: the term is closed, the row cannot be
/// written. Step 4: W passes, by its old snapshot. Step 5: term 2 waits for both.
#[tokio::test]
async fn a_snapshot_from_before_the_closing_may_pass_and_is_waited_for() {
    let scene = Scene::new().await;
    let (writer, holder) = (scene.writer().await, scene.writer().await);
    run(&writer, REPEATABLE_READ).await;
    run(&writer, "SELECT count(*) FROM written").await;
    run(&holder, REPEATABLE_READ).await;
    run(&holder, FENCE).await;
    scene.first.release().await;
    assert_eq!(scene.second.campaign().await.0, "won");
    run(&writer, FENCE).await;
    run(&writer, WRITE).await;
    run(&holder, "COMMIT").await;
    assert_eq!(scene.second.take_office(true).await.0, "fenced");
    run(&writer, "COMMIT").await;
    assert_eq!(
        scene.second.take_office(true).await,
        ("began".to_owned(), Some(2))
    );
}

#[tokio::test]
async fn rollback_to_a_savepoint_across_the_call_undoes_it() {
    for begin in LEVELS {
        let scene = Scene::new().await;
        let writer = scene.writer().await;
        run(&writer, begin).await;
        run(&writer, "SAVEPOINT before").await;
        run(&writer, FENCE).await;
        run(&writer, "ROLLBACK TO SAVEPOINT before").await;
        // Nothing stands in the way any more.
        scene.begin_second().await;
        let expected = if begin == READ_COMMITTED {
            "PL001"
        } else {
            "40001"
        };
        assert_eq!(
            refusal(&writer, FENCE).await,
            expected,
            "called again it refuses"
        );
        run(&writer, "ROLLBACK").await;
    }
}

#[tokio::test]
async fn called_again_after_a_rollback_to_a_savepoint_it_holds_again() {
    let scene = Scene::new().await;
    let writer = scene.writer().await;
    run(&writer, READ_COMMITTED).await;
    run(&writer, "SAVEPOINT before").await;
    run(&writer, FENCE).await;
    run(&writer, "ROLLBACK TO SAVEPOINT before").await;
    run(&writer, FENCE).await;
    scene.end_first().await;
    assert_eq!(scene.second.campaign().await.0, "fenced");
    run(&writer, "COMMIT").await;
    assert_eq!(scene.second.take_office(true).await.0, "began");
}

#[tokio::test]
async fn a_fence_from_before_a_savepoint_survives_the_rollback_to_it() {
    for begin in LEVELS {
        let scene = Scene::new().await;
        let writer = scene.writer().await;
        run(&writer, begin).await;
        run(&writer, FENCE).await;
        run(&writer, "SAVEPOINT after").await;
        run(&writer, FENCE).await;
        run(&writer, "ROLLBACK TO SAVEPOINT after").await;
        scene.first.release().await;
        assert_eq!(scene.second.campaign().await.0, "won");
        assert_eq!(scene.second.take_office(true).await.0, "fenced", "{begin}");
        run(&writer, "COMMIT").await;
        assert_eq!(scene.second.take_office(true).await.0, "began");
    }
}

#[tokio::test]
async fn in_functions_and_in_one_statement() {
    let scene = Scene::new().await;
    let writer = scene.writer().await;
    run(
        &writer,
        "CREATE FUNCTION fenced_write(term bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pgleader.fence('e', term); INSERT INTO written VALUES ('by a function'); END $$",
    )
    .await;
    let ways = [
        "SELECT fenced_write(1)",
        "DO $$ BEGIN PERFORM pgleader.fence('e', 1); INSERT INTO written VALUES ('by a block'); END $$",
        "WITH f AS MATERIALIZED (SELECT pgleader.fence('e', 1)) \
         INSERT INTO written SELECT 'by one statement' FROM f",
        "SELECT pgleader.fence('e', 1); INSERT INTO written VALUES ('by one query of two statements')",
    ];
    for way in ways {
        run(&writer, way).await;
    }
    assert_eq!(scene.written(), 4);
    scene.begin_second().await;
    for way in ways {
        assert_eq!(refusal(&writer, way).await, "PL001", "{way}");
    }
    assert_eq!(scene.written(), 4);
}

#[tokio::test]
async fn a_prepared_transaction_in_the_way_is_shown_and_waited_for() {
    let scene = Scene::new().await;
    let writer = scene.writer().await;
    run(&writer, READ_COMMITTED).await;
    run(&writer, FENCE).await;
    run(&writer, WRITE).await;
    run(&writer, "PREPARE TRANSACTION 'in the way'").await;
    scene.end_first().await;
    assert_eq!(scene.second.campaign().await.0, "fenced");
    assert_eq!(
        support::status(&scene.cluster, "e", "waiting_for").as_deref(),
        Some("fenced transactions")
    );
    let pids = scene
        .cluster
        .query("SELECT coalesce(pid::text, 'prepared') FROM pgleader.fenced");
    assert_eq!(pids.unwrap().as_deref(), Some("prepared"));
    assert_eq!(scene.second.end_fenced().await, (0, 1));
    assert_eq!(scene.second.take_office(true).await.0, "fenced");
    run(&writer, "COMMIT PREPARED 'in the way'").await;
    assert_eq!(
        scene.second.take_office(true).await,
        ("began".to_owned(), Some(2))
    );
    assert_eq!(scene.written(), 1);
}

#[tokio::test]
async fn what_cannot_be_fenced_is_an_error_of_its_own() {
    let scene = Scene::new().await;
    let writer = scene.writer().await;
    let alone = [
        "SELECT pgleader.fence('e', 1)",
        "select * from pgleader.fence('e', 1) ;",
    ];
    for call in alone {
        assert_eq!(refusal(&writer, call).await, "25P01", "{call}");
    }
    let table = [
        ("SELECT pgleader.fence('nobody''s', 1)", "42704"),
        ("SELECT pgleader.fence('e', 2)", "PL002"),
        ("SELECT pgleader.fence('e', 0)", "22023"),
        ("SELECT pgleader.fence('e', -1)", "22023"),
    ];
    for (call, expected) in table {
        for begin in LEVELS {
            run(&writer, begin).await;
            assert_eq!(refusal(&writer, call).await, expected, "{begin}: {call}");
            run(&writer, "ROLLBACK").await;
        }
    }
}

/// In the steady state a fence writes nothing and locks no row.
#[tokio::test]
async fn under_read_committed_it_writes_nothing() {
    let scene = Scene::new().await;
    let writer = scene.writer().await;
    run(&writer, READ_COMMITTED).await;
    run(&writer, FENCE).await;
    let xid = writer
        .query_one("SELECT pg_current_xact_id_if_assigned()::text", &[])
        .await
        .unwrap();
    assert_eq!(
        xid.get::<_, Option<String>>(0),
        None,
        "a transaction id was spent"
    );
    let locked = scene
        .cluster
        .query("SELECT max(xmax::text::bigint) FROM pgleader.term");
    assert_eq!(locked.unwrap().as_deref(), Some("0"), "the row was locked");
    run(&writer, "COMMIT").await;
}

/// Step 1: somebody holds the lock with which terms begin. Step 2: fences that cannot pass are asked. They are refused, and
/// do not stand in line.
#[tokio::test]
async fn what_is_over_unknown_or_anothers_is_refused_without_a_lock() {
    let scene = Scene::new().await;
    scene.begin_second().await;
    let (writer, holder) = (scene.writer().await, scene.writer().await);
    let lock = format!(
        "SELECT pg_advisory_lock('pgleader.term'::regclass::oid::integer, {})",
        scene.first.election()
    );
    run(&holder, &lock).await;
    run(&writer, "SET statement_timeout = '10s'").await;
    let no_token = "'00000000-0000-0000-0000-000000000000'";
    for (call, expected) in [
        ("SELECT pgleader.fence('e', 1)".to_owned(), "PL001"),
        ("SELECT pgleader.fence('e', 3)".to_owned(), "PL002"),
        (
            format!("SELECT pgleader.fence('e', 2, {no_token})"),
            "PL002",
        ),
        (
            format!("SELECT pgleader.fence('e', 1, {no_token})"),
            "PL002",
        ),
    ] {
        for begin in LEVELS {
            run(&writer, begin).await;
            assert_eq!(refusal(&writer, &call).await, expected, "{begin}: {call}");
            run(&writer, "ROLLBACK").await;
        }
    }
    // Of a term that is closed and the newest all the same.
    assert!(scene.second.vacate(2).await);
    for begin in LEVELS {
        run(&writer, begin).await;
        assert_eq!(
            refusal(&writer, "SELECT pgleader.fence('e', 2)").await,
            "PL001",
            "{begin}"
        );
        run(&writer, "ROLLBACK").await;
    }
}

/// Sixteen to forty-four of a hundred tries began a term, while work of past terms went on asking.
#[tokio::test(flavor = "multi_thread")]
async fn a_hammer_of_refused_fences_holds_no_term_off() {
    let scene = Scene::new().await;
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut hammers = tokio::task::JoinSet::new();
    for begin in [
        READ_COMMITTED,
        READ_COMMITTED,
        REPEATABLE_READ,
        SERIALIZABLE,
    ] {
        let (writer, over) = (scene.writer().await, over.clone());
        hammers.spawn(async move {
            let mut refused = 0;
            let calls = [
                "SELECT pgleader.fence('e', 1)",
                "SELECT pgleader.fence('e', 9000)",
            ];
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                for call in calls {
                    run(&writer, begin).await;
                    refused += i32::from(writer.batch_execute(call).await.is_err());
                    run(&writer, "ROLLBACK").await;
                }
            }
            refused
        });
    }
    let (mut leader, mut next) = (&scene.first, &scene.second);
    // Of the first term some may have passed: they hold its row.
    while !leader.vacate(1).await {}
    leader.release().await;
    while next.campaign().await.0 == "fenced" {
        next.release().await;
    }
    for term in 2..60 {
        std::mem::swap(&mut leader, &mut next);
        assert!(leader.vacate(term).await);
        leader.release().await;
        assert_eq!(next.campaign().await, ("began".to_owned(), term + 1));
    }
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    while let Some(refused) = hammers.join_next().await {
        assert!(refused.unwrap() > 0, "nobody hammered");
    }
}
