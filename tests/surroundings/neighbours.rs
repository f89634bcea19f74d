//! One election never costs another: what a request of several does where one of them cannot be, by the calls that a
//! candidate's session makes. Settles rows 60
//! to 64 of docs/development/known-faults.md.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::support;
use crate::support::record::Record;
use crate::support::{client, steady, until};
use pg_leader::testing::Cluster;
use pg_leader::{Candidacy, ElectionState, ProcessState, WaitingFor};
use tokio_postgres::{Client, Row};

/// A candidate's session of several elections.
struct Session {
    client: Client,
    instance: String,
}

impl Session {
    async fn open(cluster: &Cluster) -> Session {
        let client = client(&cluster.url()).await;
        let row = client
            .query_one(
                "SELECT gen_random_uuid()::text, set_config('pgleader.mark', 'by hand', false)",
                &[],
            )
            .await
            .unwrap();
        Session {
            client,
            instance: row.get(0),
        }
    }

    /// By name: the id, or why it was refused.
    async fn join(&self, names: &[&str]) -> BTreeMap<String, Result<i32, String>> {
        self.join_at(names, &vec!["here"; names.len()]).await
    }

    async fn join_at(
        &self,
        names: &[&str],
        addresses: &[&str],
    ) -> BTreeMap<String, Result<i32, String>> {
        let zeros = vec![0_i32; names.len()];
        let heard = vec![0_i64; names.len()];
        let bytes = |texts: &[&str]| -> Vec<Vec<u8>> {
            texts.iter().map(|text| text.as_bytes().to_vec()).collect()
        };
        let rows = self
            .client
            .query(
                &format!(
                    "SELECT j.place, j.election, j.refused \
                     FROM pg_stat_get_activity(pg_backend_pid()) AS a, \
                          pgleader.join_elections('by hand', \
                              ARRAY(SELECT pgleader.text_of(u.n) FROM unnest($1::bytea[]) WITH ORDINALITY AS u (n, p) \
                                    ORDER BY u.p), \
                              '{}', \
                              ARRAY(SELECT pgleader.text_of(u.n) FROM unnest($4::bytea[]) WITH ORDINALITY AS u (n, p) \
                                    ORDER BY u.p), \
                              1000, a.backend_start, 'test', $2::integer[], \
                              $3::bigint[], $2::integer[], false) AS j",
                    self.instance
                ),
                &[&bytes(names), &zeros, &heard, &bytes(addresses)],
            )
            .await
            .unwrap();
        let of = |row: &Row| {
            let place: i32 = row.get(0);
            let name = names[usize::try_from(place - 1).unwrap()].to_owned();
            let id: Option<i32> = row.get(1);
            (name, id.ok_or_else(|| row.get(2)))
        };
        rows.iter().map(of).collect()
    }

    async fn join_all(&self, names: &[&str]) -> Vec<i32> {
        let joined = self.join(names).await;
        let mut ids: Vec<i32> = joined.into_values().map(Result::unwrap).collect();
        ids.sort_unstable();
        ids
    }

    /// By id: the outcome, or why it was refused. Each is tried for in any case.
    async fn campaign(
        &self,
        ids: &[i32],
        successor_of: &[i32],
        limit: i32,
    ) -> BTreeMap<i32, Result<String, String>> {
        let heard = vec![0_i64; ids.len()];
        let leases = vec![0_i32; ids.len()];
        let rows = self
            .client
            .query(
                &format!(
                    "SELECT election, outcome, refused FROM pgleader.campaign('by hand', $1, $2, $1, '{}', true, 3600000, \
                                                                     $3, $4, $5)",
                    self.instance
                ),
                &[&ids, &successor_of, &heard, &leases, &limit],
            )
            .await
            .unwrap();
        let of = |row: &Row| {
            let refused: Option<String> = row.get(2);
            let outcome: String = row.get(1);
            assert_eq!(refused.is_some(), outcome == "refused");
            (row.get(0), refused.map_or(Ok(outcome), Err))
        };
        let tried: BTreeMap<_, _> = rows.iter().map(of).collect();
        assert_eq!(tried.len(), rows.len(), "one row an election");
        tried
    }

    /// The locks that this session holds, as `class id`.
    async fn locks(&self) -> Vec<String> {
        let locks = "SELECT concat(l.kind, ' ', l.election_id) FROM pgleader.lock AS l \
                     WHERE l.pid = pg_backend_pid() ORDER BY l.kind::text, l.election_id";
        let rows = self.client.query(locks, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

async fn installed() -> Cluster {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    cluster
}

/// The newest term of that election has a number that has no successor.
fn out_of_range(cluster: &Cluster, election: i32) {
    let script = format!(
        "INSERT INTO pgleader.term (election_id, number, address, instance_hash, lease, pid, backend_start, direct, timeline, \
                                    token, system_identifier, vacated_at) \
         VALUES ({election}, {0}, 'x', '', '1 s', 1, now(), true, 1, gen_random_uuid(), pgleader.system_identifier(), now()); \
         UPDATE pgleader.election SET term = {0} WHERE id = {election}",
        i64::MAX
    );
    cluster.execute(&script).unwrap();
}

fn ok(outcome: &str) -> Result<String, String> {
    Ok(outcome.to_owned())
}

#[tokio::test]
async fn a_number_out_of_range_costs_its_own_election_alone() {
    let cluster = installed().await;
    let session = Session::open(&cluster).await;
    let ids = session.join_all(&["a", "b", "c"]).await;
    out_of_range(&cluster, ids[1]);
    let why = |tried: &BTreeMap<i32, Result<String, String>>| tried[&ids[1]].clone().unwrap_err();
    let tried = session.campaign(&ids, &[], 60_000).await;
    assert_eq!(
        (&tried[&ids[0]], &tried[&ids[2]]),
        (&ok("began"), &ok("began"))
    );
    assert!(why(&tried).contains("22003"), "{tried:?}");
    let led = [
        format!("pgleader.election {}", ids[0]),
        format!("pgleader.election {}", ids[2]),
    ];
    assert_eq!(
        session.locks().await,
        led,
        "nothing is kept of what was refused"
    );

    // Whoever is its successor stays that.
    let place = format!(
        "SELECT pg_try_advisory_lock('pgleader.candidate'::regclass::oid::integer, {})",
        ids[1]
    );
    session.client.query_one(&place, &[]).await.unwrap();
    let tried = session.campaign(&[ids[1]], &[ids[1]], 60_000).await;
    assert!(why(&tried).contains("22003"), "{tried:?}");
    let kept = format!("pgleader.candidate {}", ids[1]);
    assert_eq!(session.locks().await, [&[kept][..], &led[..]].concat());
}

/// Joined, made ready and vacated with the others.
#[tokio::test]
async fn a_row_that_is_locked_costs_its_own_election_alone() {
    let cluster = installed().await;
    let session = Session::open(&cluster).await;
    let ids = session.join_all(&["a", "b", "c"]).await;
    session.campaign(&ids, &[], 60_000).await;
    session
        .client
        .batch_execute("SET lock_timeout = '20ms'")
        .await
        .unwrap();
    let operator = client(&cluster.url()).await;
    let lock = format!(
        "BEGIN; SELECT FROM pgleader.election WHERE id = {0} FOR UPDATE; \
         SELECT FROM pgleader.candidate WHERE election_id = {0} FOR UPDATE",
        ids[1]
    );
    operator.batch_execute(&lock).await.unwrap();
    let joined = session.join(&["a", "b", "c"]).await;
    let refused: Vec<&String> = joined
        .values()
        .filter_map(|joined| joined.as_ref().err())
        .collect();
    assert!(
        refused.len() == 1 && refused[0].contains("55P03"),
        "{joined:?}"
    );
    let others: BTreeSet<i32> = joined
        .values()
        .filter_map(|joined| joined.clone().ok())
        .collect();
    assert_eq!(others, BTreeSet::from([ids[0], ids[2]]));
    for (call, column) in [("ready", "recorded"), ("vacate", "vacated")] {
        let rest = match call {
            "ready" => "",
            _ => ", '{resigned,resigned,resigned}', '{null,null,null}', '{null,null,null}'",
        };
        let statement = format!(
            "SELECT election, {column}, refused FROM pgleader.{call}('by hand', $1, '{}', '{{1,1,1}}'{rest})",
            session.instance
        );
        let rows = session.client.query(&statement, &[&ids]).await.unwrap();
        let of: Vec<(i32, Option<bool>)> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let all = [(ids[0], Some(true)), (ids[1], None), (ids[2], Some(true))];
        assert_eq!(of, all, "{call}");
        let refused: Option<String> = rows[1].get(2);
        assert!(refused.unwrap().contains("55P03"), "{call}");
    }
}

/// The lock table has room for others: those that lead go on, whoever finds none is told what is too small.
#[tokio::test]
async fn a_full_lock_table_is_told_of_and_keeps_no_lock() {
    let cluster = Cluster::builder()
        .setting("max_locks_per_transaction", "10")
        .setting("max_connections", "20")
        .setting("max_prepared_transactions", "0")
        .start()
        .unwrap();
    drop(support::elector(&cluster).await);
    let session = Session::open(&cluster).await;
    let ids = session.join_all(&["a", "b", "c"]).await;
    let led = session.campaign(&ids[..1], &[], 60_000).await;
    assert_eq!(led[&ids[0]], ok("began"));
    // What a session needs by itself, it has now.
    session.campaign(&ids[1..2], &[], 60_000).await;

    let stranger = client(&cluster.url()).await;
    let mut taken = 0_i64;
    while stranger
        .query_one("SELECT pg_advisory_lock($1)", &[&taken])
        .await
        .is_ok()
    {
        taken += 1;
    }
    assert!(taken > 50, "only {taken}");
    let tried = session.campaign(&ids[2..], &[], 60_000).await;
    let why = tried[&ids[2]].clone().unwrap_err();
    assert!(
        why.contains("max_locks_per_transaction is 10") && why.contains("SQLSTATE 53200"),
        "{why}"
    );
    let kept = [
        format!("pgleader.election {}", ids[0]),
        format!("pgleader.election {}", ids[1]),
    ];
    assert_eq!(session.locks().await, kept);
    let heartbeat =
        "SELECT FROM pgleader.heartbeat('by hand', 'pgleader.election'::regclass::oid, $1)";
    let asked = session
        .client
        .query(heartbeat, &[&&ids[..2]])
        .await
        .unwrap();
    assert!(asked.is_empty());
    stranger
        .batch_execute("SELECT pg_advisory_unlock_all()")
        .await
        .unwrap();
    assert_eq!(
        session.campaign(&ids[2..], &[], 60_000).await[&ids[2]],
        ok("began")
    );
    let begun = cluster.query("SELECT count(*) FROM pgleader.term").unwrap();
    assert_eq!(begun.as_deref(), Some("3"), "no term was begun in vain");
}

/// Several rows are locked for longer than a lease, by somebody who looks into it, a row for each thing that is asked:
/// none of them costs what is led, and each is had once it is free.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_locked_for_longer_than_a_lease_cost_no_leadership() {
    let cluster = installed().await;
    let make = "INSERT INTO pgleader.election (id, name) VALUES (101, 'c'), (102, 'd')";
    cluster.execute(make).unwrap();
    let elector = support::elector(&cluster).await;
    let record = Record::in_memory();
    let others = Record::in_memory();
    let campaign = |election: &str, record: &Arc<Record>| {
        elector
            .campaign((election, "here"), steady(record))
            .unwrap()
    };
    let led = campaign("led", &record);
    let resigned = ["a", "b"].map(|election| campaign(election, &others));
    for candidacy in resigned.iter().chain([&led]) {
        until("it leads", || candidacy.state() == ProcessState::Leading).await;
    }
    let operator = client(&cluster.url()).await;
    let lock = "BEGIN; SELECT FROM pgleader.election WHERE name <> 'led' FOR UPDATE";
    operator.batch_execute(lock).await.unwrap();
    let ends = tokio::spawn(async move {
        futures_util::future::join_all(resigned.each_ref().map(|candidacy| candidacy.resign()))
            .await
    });
    let joining = ["c", "d"].map(|election| campaign(election, &others));
    for candidacy in &joining {
        let changes = candidacy.changes();
        until("it says why", || changes.current().refusal.is_some()).await;
        let why = changes.current().refusal.unwrap();
        assert!(why.contains("55P03"), "{why}");
    }
    // So long as a leader whose queries are not answered has given up.
    tokio::time::sleep(support::LEASE * 3).await;
    assert_eq!(led.state(), ProcessState::Leading);
    operator.batch_execute("COMMIT").await.unwrap();
    ends.await.unwrap();
    for candidacy in &joining {
        until("it leads", || candidacy.state() == ProcessState::Leading).await;
    }
    let deposed = "SELECT count(*) FROM pgleader.term WHERE ending = 'deposed'";
    assert_eq!(cluster.query(deposed).unwrap().as_deref(), Some("0"));
    assert_eq!(record.last_term(), 1);
}

/// The same table, full under a process that leads: it goes on, whatever it asks for beside says why, and nothing is
/// begun in vain.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_servers_lock_table_is_full_goes_on_and_says_why() {
    let cluster = Cluster::builder()
        .setting("max_locks_per_transaction", "10")
        .setting("max_connections", "20")
        .setting("max_prepared_transactions", "0")
        .start()
        .unwrap();
    let elector = support::elector(&cluster).await;
    let record = Record::in_memory();
    let campaign = |election: &str| {
        elector
            .campaign((election, "here"), steady(&record))
            .unwrap()
    };
    let led = [campaign("a"), campaign("b")];
    for candidacy in &led {
        until("it leads", || candidacy.state() == ProcessState::Leading).await;
    }
    let stranger = client(&cluster.url()).await;
    let mut taken = 0_i64;
    while stranger
        .query_one("SELECT pg_advisory_lock($1)", &[&taken])
        .await
        .is_ok()
    {
        taken += 1;
    }
    let late = ["c", "d", "e"].map(campaign);
    let refused = |candidacy: &Candidacy| {
        candidacy.changes().current().waiting_for == Some(WaitingFor::LockTable)
    };
    until("it says why", || late.iter().any(refused)).await;
    tokio::time::sleep(support::LEASE * 3).await;
    for candidacy in &led {
        assert_eq!(candidacy.state(), ProcessState::Leading);
    }
    stranger
        .batch_execute("SELECT pg_advisory_unlock_all()")
        .await
        .unwrap();
    for candidacy in &late {
        until("it leads", || candidacy.state() == ProcessState::Leading).await;
    }
    let begun = cluster.query("SELECT count(*) FROM pgleader.term").unwrap();
    assert_eq!(begun.as_deref(), Some("5"), "no term was begun in vain");
}

/// Anybody may share a lock, with others and with its holder.
#[tokio::test]
async fn sharers_of_a_lock_make_no_second_row() {
    let cluster = installed().await;
    let (leader, other) = (Session::open(&cluster).await, Session::open(&cluster).await);
    let ids = leader.join_all(&["a", "b"]).await;
    other.join_all(&["a", "b"]).await;
    cluster.execute("CREATE ROLE nobody LOGIN").unwrap();
    let mut share = format!(
        "SELECT pg_advisory_lock_shared(c::oid::integer, {}) FROM unnest(ARRAY[$election, $candidate, $term]::oid[]) AS c",
        ids[0]
    );
    for table in ["election", "candidate", "term"] {
        let oid = cluster
            .query(&format!("SELECT 'pgleader.{table}'::regclass::oid"))
            .unwrap();
        share = share.replace(&format!("${table}"), &oid.unwrap());
    }
    let nobody = support::url_of(&cluster, "nobody");
    let mut sharers = vec![];
    for count in [2, 20] {
        while sharers.len() < count {
            let sharer = client(&nobody).await;
            sharer.batch_execute(&share).await.unwrap();
            sharers.push(sharer);
        }
        for session in [&leader, &other] {
            let tried = session.campaign(&ids[..1], &[], 60_000).await;
            assert_eq!(tried[&ids[0]], ok("held"), "{count}");
        }
        assert_eq!(leader.locks().await, Vec::<String>::new());
        one_row_each(&cluster, &leader).await;
    }
    assert_eq!(
        leader.campaign(&ids, &[], 60_000).await[&ids[1]],
        ok("began"),
        "its neighbour"
    );
    drop(sharers);
    support::until("nobody shares it", || {
        let count = format!(
            "SELECT count(*) FROM pgleader.lock WHERE election_id = {}",
            ids[0]
        );
        cluster.query(&count).unwrap().as_deref() == Some("0")
    })
    .await;

    // Beside the leader nobody can share its lock but itself, and others share the successor's place.
    assert_eq!(
        leader.campaign(&ids[..1], &[], 60_000).await[&ids[0]],
        ok("began")
    );
    leader.client.batch_execute(&share).await.unwrap();
    assert_eq!(
        other.campaign(&ids[..1], &[], 60_000).await[&ids[0]],
        ok("held")
    );
    one_row_each(&cluster, &other).await;
}

async fn one_row_each(cluster: &Cluster, session: &Session) {
    for (rows, expected) in [
        ("pgleader.status", "2"),
        ("pgleader.candidates", "4"),
        ("pgleader.read_elections('{a,b}')", "2"),
    ] {
        let count = cluster
            .query(&format!("SELECT count(*) FROM {rows}"))
            .unwrap();
        assert_eq!(count.as_deref(), Some(expected), "{rows}");
    }
    let read = format!(
        "SELECT count(*) FROM pgleader.read_elections('{{a,b}}', '{}')",
        session.instance
    );
    let count: i64 = session.client.query_one(&read, &[]).await.unwrap().get(0);
    assert_eq!(count, 2);
}

/// What the time did not suffice for has no row, and is asked for again.
#[tokio::test]
async fn a_limit_of_time_leaves_the_rest_for_the_next_call() {
    let cluster = installed().await;
    let session = Session::open(&cluster).await;
    let names: Vec<String> = (0..200).map(|number| format!("e{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ids = session.join_all(&names).await;
    let (mut calls, mut left) = (0, &ids[..]);
    while !left.is_empty() {
        let tried = session.campaign(left, &[], 1).await;
        assert!(
            tried.values().all(|outcome| *outcome == ok("began")),
            "{tried:?}"
        );
        let (done, rest) = left.split_at(tried.len());
        assert!(!done.is_empty(), "at least one is done");
        assert!(tried.keys().eq(done), "in ascending order: {tried:?}");
        left = rest;
        calls += 1;
    }
    assert!(calls > 3, "200 terms were begun in {calls} ms");
    assert_eq!(session.locks().await.len(), 200);
}

#[tokio::test]
async fn a_name_that_the_encoding_cannot_hold_is_refused_alone() {
    let cluster = Cluster::builder()
        .initdb("--encoding=LATIN1")
        .initdb("--locale=C")
        .start()
        .unwrap();
    drop(support::elector(&cluster).await);
    let session = Session::open(&cluster).await;
    let joined = session
        .join(&["first", "\u{65e5}\u{672c}", "caf\u{e9}", "nul\0"])
        .await;
    assert!(
        joined["first"].is_ok() && joined["caf\u{e9}"].is_ok(),
        "{joined:?}"
    );
    for name in ["\u{65e5}\u{672c}", "nul\0"] {
        let why = joined[name].clone().unwrap_err();
        assert!(why.contains("LATIN1") && why.contains("22P05"), "{why}");
    }
    let names = cluster
        .query("SELECT string_agg(name, ' ' ORDER BY name) FROM pgleader.election")
        .unwrap();
    assert_eq!(names.as_deref(), Some("caf\u{e9} first"));
}

/// Addresses are as names are.
#[tokio::test]
async fn an_address_that_cannot_be_is_refused_alone() {
    let cluster = installed().await;
    let session = Session::open(&cluster).await;
    let long = "x".repeat(1001);
    let (names, addresses) = (["a", "b", "c", "d"], ["here", "", &long, "nul\0"]);
    let joined = session.join_at(&names, &addresses).await;
    assert!(joined["a"].is_ok(), "{joined:?}");
    for (name, sqlstate) in [("b", "22023"), ("c", "22023"), ("d", "22P05")] {
        let why = joined[name].as_ref().unwrap_err();
        assert!(why.contains(sqlstate), "{name}: {why}");
    }
    let rows = "SELECT string_agg(address, ' ') FROM pgleader.candidate";
    assert_eq!(cluster.query(rows).unwrap().as_deref(), Some("here"));
}

/// The same through the library: what cannot be says why, to whoever campaigns and to whoever observes.
#[tokio::test(flavor = "multi_thread")]
async fn of_an_elector_only_what_the_encoding_cannot_hold_is_not_led() {
    let builder = Cluster::builder().initdb("--encoding=LATIN1");
    let cluster = builder.initdb("--locale=C").start().unwrap();
    let elector = support::elector(&cluster).await;
    let record = Record::in_memory();
    let campaign = |election: &str, address: &str| {
        elector
            .campaign((election, address), steady(&record))
            .unwrap()
    };
    let japan = "\u{65e5}\u{672c}";
    let held = [campaign("plain", "a"), campaign("caf\u{e9}", "\u{e9}")];
    let refused = [campaign(japan, "a"), campaign("addressed", japan)];
    let observed =
        [&format!("{japan} observed"), "plain"].map(|name| elector.observe(name).unwrap());
    for candidacy in &held {
        until("it leads", || candidacy.state() == ProcessState::Leading).await;
    }
    for candidacy in &refused {
        let changes = candidacy.changes();
        until("it says why", || changes.current().refusal.is_some()).await;
        let why = changes.current().refusal.unwrap();
        assert!(why.contains("LATIN1") && why.contains("22P05"), "{why}");
        assert_eq!(changes.current().waiting_for, Some(WaitingFor::Refusal));
    }
    // Such an election cannot be, and so nobody leads it. Whoever looks at it beside others sees these.
    let [nothing, plain] = observed.map(|observer| observer.changes());
    until("it is seen", || {
        plain.current().address.as_deref() == Some("a")
    })
    .await;
    assert_eq!(nothing.current().state, ElectionState::Vacant);
    assert_eq!(record.last_term(), 1, "the others notice nothing");
}

/// They are made in one order, whatever the order in which they are asked for.
#[tokio::test(flavor = "multi_thread")]
async fn joins_in_opposite_orders_do_not_block_one_another() {
    let cluster = Arc::new(installed().await);
    for round in 0..10 {
        let names: Vec<String> = (0..30).map(|number| format!("r{round} {number}")).collect();
        let joins = [false, true].map(|backwards| {
            let mut names = names.clone();
            if backwards {
                names.reverse();
            }
            let cluster = Arc::clone(&cluster);
            tokio::spawn(async move {
                let session = Session::open(&cluster).await;
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let joined = session.join(&names).await;
                joined.into_values().all(|joined| joined.is_ok())
            })
        });
        for join in joins {
            assert!(join.await.unwrap(), "a join was refused");
        }
    }
}

/// A server without an encoding counts bytes, and a client characters.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_server_finds_too_long_costs_no_other() {
    let builder = Cluster::builder().initdb("--encoding=SQL_ASCII");
    let cluster = builder.start().unwrap();
    drop(support::elector(&cluster).await);
    let long = "ä".repeat(101);
    let session = Session::open(&cluster).await;
    let joined = session.join(&["short", &long, ""]).await;
    assert!(joined["short"].is_ok(), "{joined:?}");
    for name in [&*long, ""] {
        let refused = joined[name].as_ref().unwrap_err();
        assert!(refused.contains("22023"), "{refused}");
    }
}
