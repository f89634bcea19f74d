//! What others do to the tables, the locks and the rights on which an election rests, by mistake or on purpose: nobody
//! leads twice, nobody is kept from leading for ever, and what is said of it is true.

use crate::support;
use crate::support::record::{self, Record};
use crate::support::seat::Seat;
use crate::support::{Candidate, client, config, contest, elector, status, until};
use pg_leader::testing::Cluster;
use tokio_postgres::Client;

const BLOCK: i64 = 10_000_000_000_000;
/// What somebody heard of on a timeline that this server does not know.
const FAR: i64 = BLOCK + 42;

async fn installed() -> Cluster {
    let cluster = Cluster::start().unwrap();
    elector(&cluster).await.shutdown().await;
    cluster
}

/// As a replica's worker, for whom triggers do not fire.
fn past_the_triggers(cluster: &Cluster, statements: &str) {
    cluster
        .execute(&format!(
            "BEGIN; SET LOCAL session_replication_role = replica; {statements}; COMMIT"
        ))
        .unwrap();
}

async fn refusal(client: &Client, statement: &str) -> String {
    let error = client.batch_execute(statement).await.expect_err(statement);
    let error = error.as_db_error().expect("the server refuses");
    error.code().code().to_owned()
}

/// Term 1 of an election began, its session is gone, and its work may run.
async fn left_behind(cluster: &Cluster, election: &str) -> Seat {
    let first = Seat::join(cluster, election, "first").await;
    let second = Seat::join(cluster, election, "second").await;
    assert_eq!(first.campaign().await, ("began".to_owned(), 1));
    first.release().await;
    second
}

/// The lock of an election is its id's: who leads by an id that is no election's any more leads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_election_whose_row_is_gone_has_one_leader_all_the_same() {
    for (name, how) in [
        ("deleted", "DELETE FROM pgleader.election"),
        ("moved", "UPDATE pgleader.election SET id = DEFAULT"),
        (
            "anew",
            "DELETE FROM pgleader.election; INSERT INTO pgleader.election (name) VALUES ('anew')",
        ),
    ] {
        let cluster = Cluster::start().unwrap();
        let record = Record::in_memory();
        let candidates = contest(&cluster, name, 2, &record).await;
        past_the_triggers(&cluster, how);
        until("a later term works", || record.last_term() > 1).await;
        let steps = record.steps().len();
        until("work goes on", || record.steps().len() > steps + 1000).await;
        record::assert_no_overlap(&record.steps());
        for candidate in candidates {
            candidate.elector.shutdown().await;
        }
    }
}

/// One session still may have its work run, where the server has only stopped or begun to tell who it is, or the record
/// is not what it was. The wait counts from the win then.
#[tokio::test(flavor = "multi_thread")]
async fn what_looks_like_another_server_and_is_none_spares_no_refractory_period() {
    let cluster = Cluster::start().unwrap();
    support::install_by_an_ordinary_owner(&cluster, &[]).await;
    let grant = "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC";
    let revoke = "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC";
    for (name, before, after, wait, elsewhere) in [
        ("same", "SELECT 1", "SELECT 1", 1000, 0),
        ("revoked", grant, revoke, 1000, 1000),
        ("granted", revoke, grant, 1000, 1000),
        (
            "raised",
            "SELECT 1",
            "UPDATE pgleader.election SET term = 1000 WHERE name = 'raised'",
            1000,
            1000,
        ),
        (
            "forgotten",
            "SELECT 1",
            "DELETE FROM pgleader.term USING pgleader.election AS e WHERE e.id = election_id AND e.name = 'forgotten'",
            1000,
            1000,
        ),
        (
            "back",
            "SELECT 1",
            "UPDATE pgleader.term SET timeline = 5, vacated_at = now()",
            1000,
            1000,
        ),
        (
            "unknown timeline",
            "REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC",
            "GRANT EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) TO PUBLIC; UPDATE pgleader.term SET timeline = 0",
            1000,
            1000,
        ),
        // A change that the record proves: C9 counts from the proof.
        (
            "promoted",
            "SELECT 1",
            "UPDATE pgleader.term SET timeline = 0",
            0,
            1000,
        ),
        (
            "restored",
            "SELECT 1",
            "UPDATE pgleader.term SET system_identifier = 1, timeline = 7",
            0,
            1000,
        ),
    ] {
        cluster.execute(before).unwrap();
        let second = left_behind(&cluster, name).await;
        past_the_triggers(&cluster, after);
        let won = second.try_having_heard((0, 0)).await;
        assert_eq!(won.get::<_, &str>("outcome"), "won", "{name}");
        assert_eq!(won.get::<_, i32>("wait_ms"), wait, "{name}");
        assert_eq!(won.get::<_, i32>("elsewhere_ms"), elsewhere, "{name}");
        cluster.execute(grant).unwrap();
    }
}

/// Anybody may take any advisory lock, in any mode.
#[tokio::test(flavor = "multi_thread")]
async fn locks_of_several_modes_and_holders_are_one_row_an_election() {
    let cluster = installed().await;
    let seat = Seat::join(&cluster, "e", "a").await;
    let key = format!(
        "'pgleader.election'::regclass::oid::integer, {}",
        seat.election()
    );
    let strangers = [client(&cluster.url()).await, client(&cluster.url()).await];
    let both = format!("SELECT pg_advisory_lock_shared({key}), pg_advisory_lock({key})");
    strangers[0].batch_execute(&both).await.unwrap();
    assert_eq!(seat.campaign().await, ("held".to_owned(), 0));
    let pid = "SELECT pg_backend_pid()";
    let pid: i32 = strangers[0].query_one(pid, &[]).await.unwrap().get(0);
    let shown =
        "SELECT string_agg(concat_ws(' ', name, state, stranger_pid), ', ') FROM pgleader.status";
    assert_eq!(
        cluster.query(shown).unwrap(),
        Some(format!("e vacant {pid}"))
    );

    let free = format!("SELECT pg_advisory_unlock({key})");
    strangers[0].batch_execute(&free).await.unwrap();
    let shared = format!("SELECT pg_advisory_lock_shared({key})");
    strangers[1].batch_execute(&shared).await.unwrap();
    let held = seat.try_having_heard((0, 0)).await;
    assert_eq!(held.get::<_, &str>("outcome"), "held");
    assert!(held.get::<_, bool>("stranger"));
    let rows = "SELECT count(*) FROM pgleader.status";
    assert_eq!(cluster.query(rows).unwrap().as_deref(), Some("1"));

    // Who holds a share of it holds no leadership.
    seat.client.batch_execute(&shared).await.unwrap();
    let office = seat
        .fill("SELECT FROM pgleader.take_office($mark, ARRAY[$election], $instance, true, '{true}', '{0}', '{0}', '{0}')");
    assert_eq!(refusal(&seat.client, &office).await, "55000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_keeps_terms_from_beginning_is_named_and_ended() {
    for locks in [
        "pg_advisory_lock($)",
        "pg_advisory_lock_shared($), pg_advisory_lock($)",
    ] {
        let cluster = installed().await;
        let first = Seat::join(&cluster, "e", "first").await;
        let second = Seat::join(&cluster, "e", "second").await;
        assert_eq!(first.campaign().await, ("began".to_owned(), 1));
        assert!(first.vacate(1).await);
        first.release().await;
        let stranger = client(&cluster.url()).await;
        let key = format!(
            "'pgleader.term'::regclass::oid::integer, {}",
            first.election()
        );
        let locks = locks.replace('$', &key);
        let pid: i32 = {
            let row = stranger
                .query_one(&format!("SELECT pg_backend_pid(), {locks}"), &[])
                .await;
            row.unwrap().get(0)
        };
        assert_eq!(second.campaign().await, ("fenced".to_owned(), 1));
        assert_eq!(status(&cluster, "e", "stranger_pid"), Some(pid.to_string()));
        assert_ne!(
            status(&cluster, "e", "waiting_for").as_deref(),
            Some("refractory period")
        );
        let fenced = "SELECT string_agg(pid::text, ',') FROM pgleader.fenced";
        assert_eq!(cluster.query(fenced).unwrap(), Some(pid.to_string()));
        assert_eq!(second.end_fenced().await, (1, 0));
        until("it is gone", || cluster.query(fenced).unwrap().is_none()).await;
        assert_eq!(
            second.take_office(true).await,
            ("began".to_owned(), Some(2))
        );
        assert_eq!(status(&cluster, "e", "stranger_pid"), None);
    }
}

/// It cannot vacate while a fenced transaction holds the row of its term, and nobody else is there to end it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lone_candidate_leads_again_though_its_vacate_is_refused() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidate = Candidate::start(config(&cluster.url()), "lone", "a", &record).await;
    until("it leads", || candidate.leads()).await;
    let writer = client(&cluster.url()).await;
    writer
        .batch_execute("CREATE TABLE written (term int)")
        .await
        .unwrap();
    writer
        .batch_execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pgleader.fence('lone', 1); INSERT INTO written VALUES (1)",
        )
        .await
        .unwrap();
    cluster.terminate_leader("lone").unwrap();
    until("the next term works", || record.last_term() == 2).await;
    assert!(
        writer.batch_execute("COMMIT").await.is_err(),
        "it was ended"
    );
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_of_burns_no_numbers_however_often() {
    let cluster = installed().await;
    let seat = Seat::join(&cluster, "burnt", "a").await;
    let set = |term: i64| {
        past_the_triggers(
            &cluster,
            &format!("UPDATE pgleader.election SET term = {term}"),
        );
    };
    let farthest = 100_000 * BLOCK;
    set(farthest - 3 * BLOCK);
    let beyond = seat.try_having_heard((farthest + 2 * BLOCK, 1000)).await;
    assert_eq!(beyond.get::<_, Option<&str>>("bar"), Some("beyond"));
    let near = seat.try_having_heard((farthest - BLOCK, 1000)).await;
    assert_eq!(near.get::<_, &str>("outcome"), "won");
    seat.release().await;
    // Who has heard of what is on record goes on, even where it was burnt before, up to the last numbers.
    for term in [farthest + 5 * BLOCK + 7, 922_330 * BLOCK + 7] {
        set(term);
        let won = seat.try_having_heard((term, 1000)).await;
        assert_eq!(won.get::<_, &str>("outcome"), "won");
        let office = seat.ask_for_office(3_600_000, (term, 1000)).await;
        assert_eq!(office.get::<_, &str>("outcome"), "began");
        assert!(office.get::<_, i64>("term") > term);
        seat.release().await;
    }
}

/// A process that has heard of a term that this server has forgotten leaves in order, or a pooler gives its backend away.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_of_outlives_an_orderly_leave() {
    let cluster = installed().await;
    for way in ["leaves", "recycled"] {
        let heard = Seat::join_having_heard(&cluster, way, "heard", (FAR, 1000)).await;
        if way == "leaves" {
            heard.leave().await;
        } else {
            let again = heard.fill(
                "SELECT FROM pg_stat_get_activity(pg_backend_pid()) AS a, pgleader.join_elections($mark, '{another}', \
                     gen_random_uuid(), '{b}', 1000, a.backend_start, 'b', '{0}', '{0}', '{0}', false)",
            );
            heard.client.batch_execute(&again).await.unwrap();
        }
        let candidates = status(&cluster, way, "candidates");
        assert_eq!(candidates.as_deref(), Some("0"), "{way}");
        let next = Seat::join(&cluster, way, "next").await;
        let won = next.try_having_heard((0, 0)).await;
        assert_eq!(won.get::<_, &str>("outcome"), "won", "{way}");
        assert_eq!(won.get::<_, i64>("known"), FAR, "{way}");
        let office = next.ask_for_office(1000, (FAR, 1000)).await;
        let term = office.get::<_, i64>("term");
        assert!(term > 2 * BLOCK, "{way}: {term}");
        let ready =
            format!("SELECT pgleader.ready($mark, ARRAY[$election], $instance, ARRAY[{term}])");
        next.client.batch_execute(&next.fill(&ready)).await.unwrap();
        let rows = format!(
            "SELECT count(*) FROM pgleader.candidate AS c JOIN pgleader.election AS e ON e.id = c.election_id \
             WHERE e.name = '{way}'"
        );
        assert_eq!(cluster.query(&rows).unwrap().as_deref(), Some("1"), "{way}");
    }
}

/// pgpool-II carries other sessions too, and outlives the candidate's.
#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_session_from_where_a_pgpool_was_is_not_ended_by_force() {
    let cluster = installed().await;
    let first = Seat::join(&cluster, "e", "first").await;
    let record = first.fill(
        "SELECT FROM pg_stat_get_activity(pg_backend_pid()) AS a, pgleader.join_elections($mark, '{e}', $instance, \
             '{first}', 1000, a.backend_start, 'first', '{0}', '{0}', '{0}', true)",
    );
    first.client.batch_execute(&record).await.unwrap();
    assert_eq!(first.campaign().await, ("began".to_owned(), 1));
    let writer = client(&cluster.url()).await;
    writer
        .batch_execute("BEGIN; SELECT pgleader.fence('e', 1)")
        .await
        .unwrap();
    let pid: i32 = {
        let row = first.client.query_one("SELECT pg_backend_pid()", &[]).await;
        row.unwrap().get(0)
    };
    drop(first);
    let there = format!("SELECT count(*) FROM pg_stat_get_activity({pid})");
    until("it is gone", || {
        cluster.query(&there).unwrap().as_deref() == Some("0")
    })
    .await;
    let second = Seat::join(&cluster, "e", "second").await;
    assert_eq!(second.campaign().await.0, "won");
    assert_eq!(second.end_fenced().await, (0, 1));
    // Its candidate's row is forgotten, the term's is not.
    cluster
        .execute("SELECT pgleader.forget_candidates(1)")
        .unwrap();
    assert_eq!(second.end_fenced().await, (0, 1));
    writer.batch_execute("COMMIT").await.unwrap();
}

/// READ UNCOMMITTED is READ COMMITTED. And a retry must end.
#[tokio::test(flavor = "multi_thread")]
async fn a_fence_says_that_it_is_over_at_every_isolation_level() {
    let cluster = installed().await;
    let first = Seat::join(&cluster, "e", "first").await;
    assert_eq!(first.campaign().await, ("began".to_owned(), 1));
    let writer = client(&cluster.url()).await;
    for level in [
        "READ UNCOMMITTED",
        "READ COMMITTED",
        "REPEATABLE READ",
        "SERIALIZABLE",
    ] {
        let begin = format!("BEGIN ISOLATION LEVEL {level}");
        writer.batch_execute(&begin).await.unwrap();
        let fence = "SELECT pgleader.fence('e', 7)";
        assert_eq!(refusal(&writer, fence).await, "PL002", "{level}");
        writer.batch_execute("ROLLBACK").await.unwrap();
    }
    writer
        .batch_execute("BEGIN ISOLATION LEVEL READ UNCOMMITTED; SELECT count(*) FROM pgleader.term")
        .await
        .unwrap();
    let late = client(&cluster.url()).await;
    late.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pgleader.term")
        .await
        .unwrap();
    assert!(first.vacate(1).await);
    first.release().await;
    let second = Seat::join(&cluster, "e", "second").await;
    assert_eq!(second.campaign().await, ("began".to_owned(), 2));
    let fence = "SELECT pgleader.fence('e', 1)";
    assert_eq!(refusal(&writer, fence).await, "PL001");
    // Given out after the snapshot: it is worth another try.
    assert_eq!(
        refusal(&late, "SELECT pgleader.fence('e', 2)").await,
        "40001"
    );
}

/// The old session lives, and the server's clock was set back meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_on_record_begins_nothing() {
    let cluster = installed().await;
    let seat = Seat::join(&cluster, "e", "a").await;
    let old = client(&cluster.url()).await;
    let pid: i32 = old
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    let later = format!(
        "UPDATE pgleader.candidate SET pid = {pid}, backend_start = a.backend_start \
         FROM pg_stat_get_activity({pid}) AS a"
    );
    cluster.execute(&later).unwrap();
    let again = seat.fill(
        "SELECT FROM pg_stat_get_activity(pg_backend_pid()) AS a, pgleader.join_elections($mark, '{e}', $instance, '{a}', \
             1000, a.backend_start, 'a', '{0}', '{0}', '{0}', false)",
    );
    assert_eq!(refusal(&seat.client, &again).await, "55000");
    let campaign = seat.fill(
        "SELECT outcome, refused FROM pgleader.campaign($mark, ARRAY[$election], '{}', ARRAY[$election], $instance, true, \
             60000, '{0}', '{0}')",
    );
    let row = seat.client.query_one(&campaign, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "refused");
    let refused: &str = row.get(1);
    assert!(refused.contains("55000"), "{refused}");
    // Nothing is held of what it tried for.
    let held = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    assert!(seat.client.query(held, &[]).await.unwrap().is_empty());
}

/// Election `e` is led; beside it a session of a role that may be a candidate, of a schema whose owner may end sessions.
async fn led_beside_another_candidate() -> (Cluster, Seat, Client) {
    let cluster = Cluster::start().unwrap();
    support::install_by_an_ordinary_owner(&cluster, &[("app", "candidate")]).await;
    cluster
        .execute("GRANT pg_signal_backend, pg_read_all_stats TO owner")
        .unwrap();
    let leader = Seat::join(&cluster, "e", "a").await;
    assert_eq!(leader.campaign().await, ("began".to_owned(), 1));
    let app = client(&support::url_of(&cluster, "app")).await;
    app.batch_execute("SET pgleader.mark = 'm'").await.unwrap();
    (cluster, leader, app)
}

/// Who may be a candidate is not thereby an operator, and no operator's name is put to what he has not asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_ends_no_leader_that_speaks_and_forges_no_request() {
    let (cluster, candidacy, app) = led_beside_another_candidate().await;
    for (call, expected) in [
        (
            "SELECT outcome FROM pgleader.evict('m', '{1}', '{1}')",
            "not allowed",
        ),
        ("SELECT pgleader.evict_silent('m', 1, 1)::text", "false"),
    ] {
        let row = app.query_one(call, &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), expected, "{call}");
    }
    assert_eq!(
        refusal(&app, "SELECT pgleader.end_leader_backend(1, 1)").await,
        "42501"
    );
    let ended = |ended_by: &str, request: &str| {
        candidacy.fill(&format!(
            "SELECT FROM pgleader.vacate($mark, ARRAY[$election], $instance, '{{1}}', ARRAY['stepped down'], \
             ARRAY['{ended_by}']::name[], ARRAY['{request}'])"
        ))
    };
    let shown = "SELECT coalesce(concat_ws(' ', by, request), '') FROM pgleader.history";
    cluster.execute("SELECT pgleader.suspend('e')").unwrap();
    for (by, request, recorded) in [
        ("alice", "suspend", ""),
        ("postgres", "exclude", ""),
        ("postgres", "suspend", "postgres suspend"),
    ] {
        let call = ended(by, request);
        candidacy
            .client
            .batch_execute(&format!("BEGIN; {call}"))
            .await
            .unwrap();
        let row = candidacy.client.query_one(shown, &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), recorded, "{call}");
        candidacy.client.batch_execute("ROLLBACK").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_lists_are_refused() {
    let cluster = installed().await;
    let seat = Seat::join(&cluster, "e", "a").await;
    for call in [
        "SELECT FROM pgleader.campaign($mark, ARRAY[[$election]], '{}', '{}', $instance, true, 60000, '{0}', '{0}')",
        "SELECT FROM pgleader.campaign($mark, ARRAY[$election], ARRAY[[$election]], '{}', $instance, true, 60000, '{0}', '{0}')",
        "SELECT FROM pgleader.campaign($mark, ARRAY[$election], '{}', ARRAY[[$election]], $instance, true, 60000, '{0}', '{0}')",
        "SELECT FROM pgleader.campaign($mark, ARRAY[$election], '{}', '{}', $instance, true, 60000, '{{0}}', '{0}')",
        "SELECT FROM pgleader.campaign($mark, ARRAY[$election], '{}', '{}', $instance, true, 60000, '{0}', '{{0}}')",
        "SELECT FROM pgleader.heartbeat($mark, 'pgleader.election'::regclass::oid, ARRAY[[$election]])",
        "SELECT pgleader.release($mark, ARRAY[[$election]], '{}', 60000)",
        "SELECT FROM pgleader.take_office($mark, ARRAY[$election], $instance, true, '{{true}}', '{0}', '{0}', '{0}')",
        "SELECT FROM pgleader.vacate($mark, ARRAY[$election], $instance, '{1}', '{resigned}', '{{null}}', '{null}')",
        "SELECT FROM pgleader.evict($mark, ARRAY[$election], '{{1}}')",
        "SELECT pgleader.announce($mark, ARRAY[[$election]], 5)",
        "SELECT FROM pgleader.read_elections(ARRAY[['e']])",
    ] {
        assert_eq!(
            refusal(&seat.client, &seat.fill(call)).await,
            "22023",
            "{call}"
        );
    }
}

/// Asked of nobody's backend the server tells of all: an election that nobody leads any more is no election whose
/// leader is silent.
#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_from_a_term_that_is_over_ends_nobody() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let first = Seat::join(&cluster, "over", "first").await;
    let second = Seat::join(&cluster, "over", "second").await;
    let bystander = support::client(&cluster.url()).await;
    bystander.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(first.campaign().await, ("began".to_owned(), 1));
    let silent = "SELECT count(*) >= 3 FROM pg_stat_activity WHERE state_change <= clock_timestamp() - interval '1 s'";
    support::until("everybody has been silent for a lease", || {
        cluster.query(silent).unwrap().as_deref() == Some("t")
    })
    .await;
    // Who leads is not silent: it has just let go.
    assert!(first.vacate(1).await);
    first.release().await;
    support::until("two have been silent for a lease", || {
        cluster
            .query(&silent.replace(">= 3", ">= 2"))
            .unwrap()
            .as_deref()
            == Some("t")
    })
    .await;
    for call in [
        "outcome = 'ended' FROM pgleader.evict($mark, ARRAY[$election], '{1}')",
        "pgleader.evict_silent($mark, $election, 1)",
        "outcome = 'ended' FROM pgleader.evict($mark, '{99}', '{1}')",
        "pgleader.end_leader($election, 1)",
    ] {
        let asked = second
            .client
            .query_one(&second.fill(&format!("SELECT {call}")), &[])
            .await;
        assert!(!asked.expect(call).get::<_, bool>(0), "{call}");
    }
    for client in [&first.client, &second.client, &bystander] {
        client.batch_execute("SELECT 1").await.expect("it lives");
    }
}

/// Whoever may be a candidate ends nobody by whom nothing is held, of whatever election he speaks.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_ends_no_bystander() {
    let (cluster, candidacy, app) = led_beside_another_candidate().await;
    cluster.execute("CREATE ROLE bystander LOGIN").unwrap();
    let bystander = client(&support::url_of(&cluster, "bystander")).await;
    let pid = bystander.query_one("SELECT pg_backend_pid()", &[]).await;
    let pid: i32 = pid.unwrap().get(0);
    for election in [1, candidacy.election(), 4711] {
        let call = format!("SELECT pgleader.end_fenced_backend('m', {election}, {pid})");
        let row = app.query_one(&call, &[]).await.unwrap();
        assert_eq!(row.get::<_, Option<bool>>(0), Some(false), "{call}");
    }
    let lives = format!("SELECT 1 FROM pg_stat_activity WHERE pid = {pid}");
    assert_eq!(cluster.query(&lives).unwrap().as_deref(), Some("1"));
    bystander.batch_execute("SELECT").await.unwrap();
}

/// That nobody leads one election spares no silent leader of another.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_leader_is_ended_beside_an_election_without_one() {
    let cluster = installed().await;
    let mut seats = [
        Seat::join(&cluster, "one", "a").await,
        Seat::join(&cluster, "other", "a").await,
    ];
    // They are looked at in the order of their ids.
    seats.sort_by_key(Seat::election);
    let [vacant, silent] = &seats;
    assert_eq!(silent.campaign().await, ("began".to_owned(), 1));
    let other = client(&cluster.url()).await;
    other
        .batch_execute("SET pgleader.mark = 'm'")
        .await
        .unwrap();
    let evict = format!(
        "SELECT election, outcome FROM pgleader.evict('m', ARRAY[{}, {}], '{{1, 1}}') ORDER BY election",
        vacant.election(),
        silent.election()
    );
    let deadline = std::time::Instant::now() + support::CEILING;
    loop {
        let rows = other.query(&evict, &[]).await.unwrap();
        let outcomes: Vec<&str> = rows.iter().map(|row| row.get(1)).collect();
        assert_eq!(outcomes[0], "not allowed");
        if outcomes[1] == "ended" {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{outcomes:?}");
        tokio::time::sleep(support::LEASE / 20).await;
    }
}
