//! Where rows are, and sessions and locks are not: on a standby, and in a database that was restored beside the original.
//! Settles rows of docs/development/known-faults.md.

use crate::support;
use crate::support::cluster::Server;
use crate::support::record::Record;
use crate::support::{Candidate, Cluster, config, contest, status, until, until_replicated};

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_says_that_it_cannot_know() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let _candidates = contest(&cluster, "led", 2, &record).await;
    let standby = cluster.standby().unwrap();
    until_replicated(&standby, "led").await;
    let shown = |column: &str| status(&standby, "led", column);
    assert_eq!(shown("state").as_deref(), Some("unknown"));
    assert_eq!(shown("term").as_deref(), Some("1"));
    for unknown in [
        "address",
        "leader_pid",
        "lease",
        "successor",
        "candidates",
        "waiting_for",
        "stranger_pid",
        "transfer_to",
    ] {
        assert_eq!(shown(unknown), None, "{unknown}");
    }
    let places = "SELECT string_agg(address || ' ' || place, ', ') FROM pgleader.candidates";
    assert_eq!(
        standby.query(places).unwrap().as_deref(),
        Some("led-0 unknown, led-1 unknown")
    );
    let read = "SELECT state FROM pgleader.read_elections('{led}')";
    assert_eq!(standby.query(read).unwrap().as_deref(), Some("unknown"));
    // Locks there are nobody's business.
    let there = support::client(&standby.url()).await;
    let lock = "SELECT pg_advisory_lock('pgleader.election'::regclass::oid::integer, id) FROM pgleader.election";
    there.batch_execute(lock).await.unwrap();
    assert_eq!(shown("strangers").as_deref(), Some("{}"));
    drop(there);

    drop(cluster);
    standby.promote().unwrap();
    until("a primary knows", || {
        shown("state").as_deref() == Some("vacant")
    })
    .await;
    assert_eq!(shown("candidates").as_deref(), Some("0"));
}

/// The copy's rows name backends that live, and serve the original.
#[tokio::test(flavor = "multi_thread")]
async fn candidates_of_the_database_beside_which_it_was_restored_do_not_live_here() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let _original = contest(&cluster, "old", 1, &record).await;
    cluster.execute("CREATE DATABASE beside").unwrap();
    cluster
        .execute("GRANT CREATE ON DATABASE beside TO ordinary")
        .unwrap();
    let beside = |url: String| match url.strip_suffix("/postgres") {
        Some(server) => format!("{server}/beside"),
        None => panic!("{url} is of another database"),
    };
    let url = beside(cluster.url());
    let here = Record::in_memory();
    let first = Candidate::start(config(&url), "new", "first", &here).await;
    until("the first leads", || first.leads()).await;

    let superuser = beside(cluster.cluster().url());
    let superuser = support::client(&superuser).await;
    let rows = "SELECT json_agg(c || jsonb_build_object('priority', 9)) FROM (SELECT to_jsonb(c) FROM pgleader.candidate AS c) AS c (c)";
    let rows = cluster.query(rows).unwrap().unwrap();
    let restored = format!(
        "INSERT INTO pgleader.candidate \
         SELECT (jsonb_populate_record(NULL::pgleader.candidate, c || jsonb_build_object('election_id', e.id))).* \
         FROM jsonb_array_elements('{rows}') AS c, pgleader.election AS e"
    );
    superuser.batch_execute(&restored).await.unwrap();
    let second = Candidate::start(config(&url), "new", "second", &here).await;
    let successor = async || -> Option<String> {
        let row = superuser
            .query_one("SELECT successor FROM pgleader.status", &[])
            .await;
        row.unwrap().get(0)
    };
    while successor().await.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let row = superuser
        .query_one("SELECT candidates FROM pgleader.status", &[])
        .await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 2);
    let refused = superuser
        .batch_execute("SELECT pgleader.transfer('new', 'old-0')")
        .await
        .unwrap_err();
    assert_eq!(
        refused.code().map(|code| code.code()),
        Some("42704"),
        "{refused}"
    );
    assert!(first.leads());
    // Nobody waits for one of a higher priority, or is outranked by it.
    let outranked = "SELECT bar FROM pgleader.read_elections('{new}')";
    let row = superuser.query_one(outranked, &[]).await.unwrap();
    assert_eq!(row.get::<_, Option<&str>>(0), None);
    first.candidacy.resign().await;
    until("the second leads", || second.leads()).await;
}
