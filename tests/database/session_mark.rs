//! A session is its candidate's own: it bears a mark, and what a pooler hands on is found out. Settles, with
//! tests/surroundings/poolers.rs, row 34 of docs/development/known-faults.md.

use crate::support;
use crate::support::bouncer::{self, Bouncer};
use crate::support::{client, config, status};
use pg_leader::testing::Cluster;
use pg_leader::{Elector, ErrorKind};
use tokio_postgres::Client;

/// Whatever only candidates call.
const MARKED: [&str; 17] = [
    "announce",
    "backend_gone",
    "campaign",
    "check_mark",
    "count_fenced_ended",
    "end_fenced",
    "end_fenced_backend",
    "evict",
    "evict_silent",
    "heartbeat",
    "join_elections",
    "leave_elections",
    "ready",
    "release",
    "take_office",
    "try_elections",
    "vacate",
];

/// What a candidate may call besides: for any client, or a part of the others.
const UNMARKED: [&str; 26] = [
    "check_entries",
    "check_ids",
    "check_limit",
    "check_number",
    "check_terms",
    "counters",
    "fence",
    "in_the_way",
    "is_behind_pgpool",
    "leader_backend",
    "leader_backends",
    "lease_of",
    "lock_name",
    "may_be_behind_pgpool",
    "not_to_be_seen",
    "queue_usage",
    "read_elections",
    "refractory_period",
    "refuse",
    "silent_backend",
    "strangers_of",
    "system_identifier",
    "text_of",
    "timeline",
    "transfer_to",
    "who",
];

const A: &str = "11111111-2222-3333-4444-555555555555";
const B: &str = "66666666-7777-8888-9999-000000000000";

async fn names(client: &Client, condition: &str) -> Vec<String> {
    let query = format!(
        "SELECT DISTINCT p.proname::text FROM pg_proc AS p \
         WHERE p.pronamespace = 'pgleader'::regnamespace AND {condition} ORDER BY 1"
    );
    let rows = client.query(&query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn one(client: &Client, query: &str) -> String {
    let row = client.query_one(query, &[]).await;
    row.unwrap_or_else(|error| panic!("{query}: {error:?}"))
        .get(0)
}

fn join(mark: &str, election: &str, instance: &str, address: &str) -> String {
    format!(
        "SELECT election::text FROM pg_stat_get_activity(pg_backend_pid()) AS b, \
         pgleader.join_elections('{mark}', ARRAY['{election}'], '{instance}', ARRAY['{address}'], 1000, \
             b.backend_start, '{address}', '{{0}}', '{{0}}', '{{0}}', false)"
    )
}

fn campaign(mark: &str, instance: &str) -> String {
    format!(
        "SELECT concat_ws(' ', outcome, term, wait_ms) \
         FROM pgleader.campaign('{mark}', ARRAY[1], '{{}}', ARRAY[1], '{instance}', false, 60000, '{{0}}', '{{0}}')"
    )
}

/// As a pooler in session mode does between two clients.
async fn hand_on(client: &Client, mark: &str) {
    client.batch_execute("DISCARD ALL").await.unwrap();
    let set = format!("SET pgleader.mark = '{mark}'");
    client.batch_execute(&set).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_candidates_call_asks_for_the_mark() {
    let cluster = Cluster::start().unwrap();
    let roles = [
        ("app", "candidate"),
        ("watcher", "observer"),
        ("alice", "operator"),
    ];
    support::install_by_an_ordinary_owner(&cluster, &roles).await;
    let client = client(&cluster.url()).await;
    assert_eq!(names(&client, "p.proargnames[1] = 'mark'").await, MARKED);
    let mut candidates = names(&client, "has_function_privilege('app', p.oid, 'EXECUTE')").await;
    candidates.retain(|name| !MARKED.contains(&name.as_str()) && name != "version");
    assert_eq!(candidates, UNMARKED);
    for role in ["watcher", "alice"] {
        let may = format!(
            "has_function_privilege('{role}', p.oid, 'EXECUTE') AND p.proargnames[1] = 'mark'"
        );
        assert!(names(&client, &may).await.is_empty(), "{role}");
    }
}

/// No lock is touched, and nothing is written: a backend that is somebody else's must not keep anything of ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_or_missing_mark_is_refused_before_any_lock() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    support::make_election_1(&cluster, "e");
    let client = client(&cluster.url()).await;
    hand_on(&client, "ours").await;
    assert_eq!(one(&client, &join("ours", "e", A, "a")).await, "1");
    let calls = [
        join("$", "e", B, "b"),
        format!("SELECT pgleader.leave_elections('$', '{{1}}', '{A}')"),
        campaign("$", A),
        format!(
            "SELECT FROM pgleader.try_elections('$', ARRAY[1], '{{}}', ARRAY[1], '{A}', true, 60000, '{{0}}', '{{0}}')"
        ),
        format!(
            "SELECT FROM pgleader.take_office('$', '{{1}}', '{A}', true, '{{true}}', '{{0}}', '{{0}}', '{{0}}')"
        ),
        format!("SELECT pgleader.ready('$', '{{1}}', '{A}', '{{1}}')"),
        "SELECT FROM pgleader.heartbeat('$', 'pgleader.election'::regclass::oid, ARRAY[1])"
            .to_owned(),
        format!(
            "SELECT pgleader.vacate('$', '{{1}}', '{A}', '{{1}}', '{{resigned}}', '{{null}}', '{{null}}')"
        ),
        "SELECT pgleader.release('$', ARRAY[1], ARRAY[1], 60000)".to_owned(),
        "SELECT pgleader.announce('$', ARRAY[1], 5)".to_owned(),
        "SELECT pgleader.backend_gone('$', '{1}', '{1}')".to_owned(),
        "SELECT pgleader.evict('$', '{1}', '{1}')".to_owned(),
        "SELECT pgleader.evict_silent('$', 1, 1)".to_owned(),
        "SELECT pgleader.end_fenced('$', '{1}')".to_owned(),
        "SELECT pgleader.end_fenced_backend('$', 1, 1)".to_owned(),
        "SELECT pgleader.count_fenced_ended('$', 1, 1)".to_owned(),
    ];
    let state = "SELECT concat((SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), ' ', \
                 (SELECT string_agg(e::text, '') FROM pgleader.election AS e), \
                 (SELECT string_agg(c::text, '') FROM pgleader.candidate AS c), \
                 (SELECT string_agg(t::text, '') FROM pgleader.term AS t))";
    let before = one(&client, state).await;
    for set in [
        "SET pgleader.mark = 'ours'",
        "SET pgleader.mark = ''",
        "RESET pgleader.mark",
    ] {
        client.batch_execute(set).await.unwrap();
        for call in &calls {
            for mark in ["theirs", ""] {
                let call = call.replace('$', mark);
                let error = client.batch_execute(&call).await.expect_err(&call);
                assert_eq!(
                    error.code().map(|code| code.code()),
                    Some("PL003"),
                    "{set}; {call}: {error:?}"
                );
            }
        }
        assert_eq!(one(&client, state).await, before, "{set}");
    }
}

/// A mark is in the session before it joins anything, and it is another one each time.
#[tokio::test(flavor = "multi_thread")]
async fn each_session_bears_a_mark_of_its_own() {
    let cluster = Cluster::start().unwrap();
    let record = support::record::Record::in_memory();
    let candidate = support::Candidate::start(config(&cluster.url()), "marked", "a", &record).await;
    support::until("it leads", || candidate.leads()).await;
    // Another client of its backend, as it looks to the functions: a mark that is not its own.
    let client = client(&cluster.url()).await;
    hand_on(&client, "another").await;
    let error = client
        .batch_execute(&join("guessed", "marked", A, "b"))
        .await
        .unwrap_err();
    assert!(
        error.as_db_error().unwrap().message().contains("pooler"),
        "{error:?}"
    );
    candidate.elector.shutdown().await;
}

/// Its client is gone, its backend lives on for another one.
#[tokio::test(flavor = "multi_thread")]
async fn candidates_of_earlier_clients_of_a_backend_are_removed() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    support::make_election_1(&cluster, "e");
    let client = client(&cluster.url()).await;
    hand_on(&client, "first").await;
    client
        .batch_execute(&join("first", "e", A, "a"))
        .await
        .unwrap();
    client
        .batch_execute(&join("first", "other", A, "a"))
        .await
        .unwrap();
    hand_on(&client, "second").await;
    client
        .batch_execute(&join("second", "e", B, "b"))
        .await
        .unwrap();
    let candidates = "SELECT string_agg(concat(name, ' ', address), ', ') FROM pgleader.candidates";
    assert_eq!(one(&client, candidates).await, "e b");
    let rows = "SELECT count(*)::text FROM pgleader.candidate";
    assert_eq!(one(&client, rows).await, "1");
    // Joined again, it is there again, and once.
    client
        .batch_execute(&join("second", "e", B, "b2"))
        .await
        .unwrap();
    assert_eq!(one(&client, candidates).await, "e b2");
}

/// Rows that an older build has left: whoever looks sees the last client of the backend, and no error.
#[tokio::test(flavor = "multi_thread")]
async fn the_views_bear_several_candidates_of_one_backend() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    support::make_election_1(&cluster, "e");
    let client = client(&cluster.url()).await;
    hand_on(&client, "first").await;
    client
        .batch_execute(&join("first", "e", A, "a"))
        .await
        .unwrap();
    client
        .batch_execute(
            "INSERT INTO pgleader.candidate (election_id, instance_hash, address, priority, lease, pid, \
                                             backend_start, joined_at) \
             SELECT election_id, int4send(n), 'ghost ' || n, 0, lease, pid, backend_start, joined_at - interval '1 min' \
             FROM pgleader.candidate, generate_series(1, 3) AS n",
        )
        .await
        .unwrap();
    assert_eq!(one(&client, &campaign("first", A)).await, "began 1 0");
    assert_eq!(
        one(
            &client,
            "SELECT concat_ws(' ', state, address, candidates) FROM pgleader.status"
        )
        .await,
        "recovering a 1"
    );
    // And as the successor.
    let other = support::client(&cluster.url()).await;
    hand_on(&other, "other").await;
    other
        .batch_execute(&join("other", "e", B, "b"))
        .await
        .unwrap();
    other
        .batch_execute(
            "INSERT INTO pgleader.candidate (election_id, instance_hash, address, priority, lease, pid, \
                                             backend_start, joined_at) \
             SELECT election_id, int4send(n), 'ghost ' || n, 0, lease, pid, backend_start, joined_at - interval '1 min' \
             FROM pgleader.candidate, generate_series(4, 6) AS n WHERE address = 'b'; \
             SELECT pg_try_advisory_lock('pgleader.candidate'::regclass::oid::integer, 1)",
        )
        .await
        .unwrap();
    assert_eq!(status(&cluster, "e", "successor").as_deref(), Some("b"));
    assert_eq!(status(&cluster, "e", "candidates").as_deref(), Some("2"));
    assert_eq!(
        one(&client, "SELECT count(*)::text FROM pgleader.candidates").await,
        "2"
    );
}

/// The backend on record is ours, its term was another's.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_of_an_earlier_client_of_the_backend_is_not_taken_for_ours() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    support::make_election_1(&cluster, "e");
    let client = client(&cluster.url()).await;
    hand_on(&client, "first").await;
    client
        .batch_execute(&join("first", "e", A, "a"))
        .await
        .unwrap();
    assert_eq!(one(&client, &campaign("first", A)).await, "began 1 0");
    hand_on(&client, "second").await;
    client
        .batch_execute(&join("second", "e", B, "b"))
        .await
        .unwrap();
    let backend = "SELECT (pid = pg_backend_pid())::text FROM pgleader.election";
    assert_eq!(one(&client, backend).await, "true");
    let ready =
        format!("SELECT recorded::text FROM pgleader.ready('second', '{{1}}', '{B}', '{{1}}')");
    assert_eq!(one(&client, &ready).await, "false");
    assert_eq!(status(&cluster, "e", "state").as_deref(), Some("vacant"));
    assert_eq!(one(&client, &campaign("second", B)).await, "won 1 1000");
    let vacate = format!(
        "SELECT vacated::text FROM pgleader.vacate('second', '{{1}}', '{B}', '{{1}}', '{{resigned}}', '{{null}}', '{{null}}')"
    );
    one(&client, &vacate).await;
    let vacated = "SELECT bool_or(vacated_at IS NOT NULL)::text FROM pgleader.term";
    assert_eq!(one(&client, vacated).await, "false");
    let office = format!(
        "SELECT outcome FROM pgleader.take_office('second', '{{1}}', '{B}', true, '{{false}}', '{{0}}', '{{0}}', '{{0}}')"
    );
    assert_eq!(one(&client, &office).await, "waiting");
    assert_eq!(
        status(&cluster, "e", "waiting_for").as_deref(),
        Some("refractory period")
    );
    // The process itself says so, on whatever session it has now.
    let vacate = format!(
        "SELECT vacated::text FROM pgleader.vacate('second', '{{1}}', '{A}', '{{1}}', '{{deposed}}', '{{null}}', '{{null}}')"
    );
    assert_eq!(one(&client, &vacate).await, "true");
    assert_eq!(one(&client, vacated).await, "true");
}

/// Where the pool resets nothing between two clients.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_session_that_somebody_has_used_is_refused_as_a_pooler() {
    let cluster = Cluster::start().unwrap();
    bouncer::let_defaults_fit(&cluster, config).await;
    let settings = "pool_mode = session\nserver_reset_query =\n\
                    ignore_startup_parameters = options,extra_float_digits";
    let Some(bouncer) = Bouncer::start(&cluster, settings) else {
        return;
    };
    let first = Elector::connect(config(&bouncer.url())).await.unwrap();
    first.shutdown().await;
    let error = Elector::connect(config(&bouncer.url())).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Pooler
            && error
                .to_string()
                .contains("bears the mark of another client"),
        "{error}"
    );
    drop(bouncer);

    let Some(bouncer) = Bouncer::start(&cluster, settings) else {
        return;
    };
    let other = client(&bouncer.url()).await;
    other
        .batch_execute("SELECT pg_advisory_lock(7)")
        .await
        .unwrap();
    drop(other);
    let held = || {
        cluster
            .query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            .unwrap()
    };
    assert_eq!(held().as_deref(), Some("1"));
    let error = Elector::connect(config(&bouncer.url())).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Pooler
            && error
                .to_string()
                .contains("holds advisory locks of another client"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_every_session_of_a_role_has_is_refused() {
    let cluster = Cluster::start().unwrap();
    cluster
        .execute("ALTER ROLE postgres SET pgleader.mark = 'x'")
        .unwrap();
    let error = Elector::connect(config(&cluster.url())).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Pooler && error.to_string().contains("mark"),
        "{error}"
    );
}

/// A session that its process has given up may still have a request in the server: it comes too late for the row,
/// which is the later session's.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_session_still_asks_changes_nothing_of_the_later_ones_candidacy() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    support::make_election_1(&cluster, "e");
    let (earlier, later) = (client(&cluster.url()).await, client(&cluster.url()).await);
    for client in [&earlier, &later] {
        hand_on(client, "mine").await;
        let joined = one(client, &join("mine", "e", A, "a")).await;
        assert_eq!(joined, "1");
    }
    let own = one(&later, "SELECT pg_backend_pid()::text").await;
    let row = "SELECT coalesce((SELECT pid::text FROM pgleader.candidate), 'none')";
    assert_eq!(one(&later, row).await, own);
    // It is told so: where the server's clock was set back, a session that is no candidate would lead.
    let late = earlier.batch_execute(&join("mine", "e", A, "a")).await;
    let refused = late.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("55000"));
    assert_eq!(one(&later, row).await, own, "a late join");
    let leave = format!("SELECT pgleader.leave_elections('mine', '{{1}}', '{A}')");
    earlier.batch_execute(&leave).await.unwrap();
    assert_eq!(one(&later, row).await, own, "a late farewell");
    // A row whose backend is gone is anybody's: the server's clock may have been set back since.
    drop(later);
    let is_there = format!("SELECT count(*) FROM pg_stat_get_activity({own})");
    support::until("its backend is gone", || {
        cluster.query(&is_there).unwrap().as_deref() == Some("0")
    })
    .await;
    earlier
        .batch_execute(&join("mine", "e", A, "a"))
        .await
        .unwrap();
    let own = one(&earlier, "SELECT pg_backend_pid()::text").await;
    assert_eq!(one(&earlier, row).await, own);
    earlier.batch_execute(&leave).await.unwrap();
    assert_eq!(one(&earlier, row).await, "none");
}
