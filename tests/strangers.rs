//! What others do in the database: a stranger takes the lock, an operator leaves a transaction open, a
//! standby does not answer, a role has hostile settings. Settles rows 5, 15, 18 and 25 of
//! docs/known-faults.md.

mod support;

use pg_leader::testing::Cluster;
use pg_leader::{AddressError, Config, Elector, ProcessState};
use support::record::{self, Record};
use support::{LEASE, config, contest, elector, status, steady, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_the_lock_is_reported_and_all_go_on_once_it_is_gone() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "lock", 2, &record).await;
    for candidate in &candidates {
        candidate.leader.leave().await;
    }
    let stranger = support::client(&cluster.url()).await;
    let row = stranger
        .query_one(
            "SELECT pg_backend_pid(), pg_try_advisory_lock('pgleader.election'::regclass::oid::int, id) \
             FROM pgleader.election WHERE name = 'lock'",
            &[],
        )
        .await
        .unwrap();
    assert!(row.get::<_, bool>(1));
    let pid: i32 = row.get(0);
    let term = record.last_term();
    let again = candidates[0]
        .elector
        .campaign("lock", "again", steady(&record))
        .unwrap();
    until("the stranger is shown", || {
        status(&cluster, "lock", "stranger_pid") == Some(pid.to_string())
    })
    .await;
    until("nobody leads", || {
        again.address() == Err(AddressError::NoLeader)
    })
    .await;
    assert_eq!(status(&cluster, "lock", "state").as_deref(), Some("vacant"));
    assert_eq!(again.state(), ProcessState::Following);
    assert_eq!(record.last_term(), term);
    drop(stranger);
    until("it leads", || again.state() == ProcessState::Leading).await;
    assert_eq!(status(&cluster, "lock", "stranger_pid"), None);
}

/// Locks with the same numbers in another database, or of the other kind of key, are none of ours.
#[tokio::test(flavor = "multi_thread")]
async fn locks_of_others_with_the_same_numbers_do_not_matter() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "same", 1, &record).await;
    let stranger = support::client(&cluster.url()).await;
    stranger
        .batch_execute(
            "SELECT pg_advisory_lock(('pgleader.election'::regclass::oid::bigint << 32) | id) \
             FROM pgleader.election",
        )
        .await
        .unwrap();
    cluster.execute("CREATE DATABASE elsewhere").unwrap();
    let elsewhere = format!(
        "host=127.0.0.1 port={} user=postgres dbname=elsewhere",
        cluster.port()
    );
    let other = support::client(&elsewhere).await;
    let keys = cluster.query(
        "SELECT 'pgleader.election'::regclass::oid::int || ', ' || id FROM pgleader.election",
    );
    let lock = format!("SELECT pg_advisory_lock({})", keys.unwrap().unwrap());
    other.batch_execute(&lock).await.unwrap();

    assert_eq!(status(&cluster, "same", "stranger_pid"), None);
    assert_eq!(
        status(&cluster, "same", "state").as_deref(),
        Some("leading")
    );
    candidates[0].leader.resign().await;
    until("it leads again", || {
        candidates[0].leads() && record.last_term() == 2
    })
    .await;
}

/// Operators write requests only, so what they leave open holds nothing that a leader needs.
#[tokio::test(flavor = "multi_thread")]
async fn an_operators_open_transaction_blocks_nobody() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "open", 2, &record).await;
    let operator = support::client(&cluster.url()).await;
    operator
        .batch_execute(
            "BEGIN; SELECT pgleader.step_down('open'); SELECT * FROM pgleader.status; \
             SELECT * FROM pgleader.history",
        )
        .await
        .unwrap();
    candidates[0].leader.resign().await;
    until("the other leads", || candidates[1].leads()).await;
    cluster.terminate_leader("open").unwrap();
    until("the next works", || record.last_term() == 3).await;
    record::assert_no_overlap(&record.steps());
}

/// Maintenance of the table that every heartbeat reads costs nothing but the requests' delay.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_of_requests_does_not_cost_the_leadership() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "locked", 2, &record).await;
    let maintainer = support::client(&cluster.url()).await;
    maintainer
        .batch_execute("BEGIN; LOCK TABLE pgleader.request")
        .await
        .unwrap();
    let steps = record.steps().len();
    until("the leader works for two leases", || {
        record.steps().len() > steps + 1000
    })
    .await;
    assert!(candidates[0].leads());
    assert_eq!(record.last_term(), 1);
    maintainer.batch_execute("ROLLBACK").await.unwrap();
    cluster
        .execute("SELECT pgleader.step_down('locked')")
        .unwrap();
    until("the other leads", || candidates[1].leads()).await;
}

/// `synchronous_commit` is ours to choose: a standby that does not answer must not hang a term.
#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_standby_that_does_not_answer() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    drop(elector(&cluster).await);
    support::hang_commits(&cluster, "SELECT").await;
    let candidates = contest(&cluster, "ghost", 2, &record).await;
    candidates[0].leader.resign().await;
    until("the other leads", || candidates[1].leads()).await;
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_settings_of_an_ordinary_role_do_no_harm() {
    let cluster = Cluster::start().unwrap();
    drop(elector(&cluster).await);
    cluster
        .execute("CREATE ROLE app LOGIN; SELECT pgleader.grant_candidate('app')")
        .unwrap();
    let mut hostile = vec![
        ("search_path", "nowhere"),
        ("statement_timeout", "1"),
        ("lock_timeout", "1"),
        ("idle_session_timeout", "1"),
        ("idle_in_transaction_session_timeout", "1"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_deferrable", "on"),
        ("synchronous_commit", "off"),
        ("stats_fetch_consistency", "snapshot"),
        ("client_min_messages", "debug1"),
    ];
    if cluster.version() >= 17 {
        hostile.push(("transaction_timeout", "200"));
    }
    for (name, value) in hostile {
        cluster
            .execute(&format!("ALTER ROLE app SET {name} = '{value}'"))
            .unwrap();
    }
    let record = Record::in_memory();
    let url = cluster.url().replace("postgres@", "app@");
    let first = support::Candidate::start(config(&url), "hostile", "a", &record).await;
    until("it leads", || first.leads()).await;
    let second = support::Candidate::start(config(&url), "hostile", "b", &record).await;
    support::until_successor(&cluster, "hostile").await;
    cluster.terminate_leader("hostile").unwrap();
    until("the other leads", || second.leads()).await;
    let steps = record.steps().len();
    until("it works for two leases", || {
        record.steps().len() > steps + 1500
    })
    .await;
    assert_eq!(record.last_term(), 2);
    record::assert_no_overlap(&record.steps());
}

/// Each refusal is an error of its own, and says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn unfit_servers_and_roles_are_refused_in_words() {
    let cluster = Cluster::start().unwrap();
    cluster.execute("CREATE ROLE poor LOGIN").unwrap();
    let poor = cluster.url().replace("postgres@", "poor@");
    let connect = |url: String| Elector::connect(Config::new(url).lease(LEASE));

    let error = connect(poor.clone()).await.unwrap_err();
    assert!(
        error.is_schema() && error.to_string().contains("grant_candidate('poor')"),
        "{error}"
    );
    drop(connect(cluster.url()).await.unwrap());
    let error = connect(poor).await.unwrap_err();
    assert!(
        error.is_schema() && error.to_string().contains("grant_candidate('poor')"),
        "{error}"
    );

    let standby = cluster.standby().unwrap();
    let error = connect(standby.url()).await.unwrap_err();
    assert!(error.is_standby() && error.is_unfit_server(), "{error}");
    let both = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=postgres",
        standby.port(),
        cluster.port()
    );
    assert!(connect(both).await.is_ok(), "the primary is listed second");

    let error = connect("postgres://nobody@127.0.0.1:1/x".to_owned())
        .await
        .unwrap_err();
    assert!(
        error.is_connection() && error.to_string().contains("127.0.0.1:1"),
        "{error}"
    );
    let error = connect("nonsense".to_owned()).await.unwrap_err();
    assert!(error.is_configuration(), "{error}");
    let error = Elector::connect(Config::new(cluster.url()).lease(LEASE / 1000))
        .await
        .unwrap_err();
    assert!(error.is_configuration(), "{error}");

    cluster.execute("CREATE OR REPLACE FUNCTION pgleader.version() RETURNS int LANGUAGE sql AS 'SELECT 102'").unwrap();
    let error = connect(cluster.url()).await.unwrap_err();
    assert!(
        error.is_schema() && error.to_string().contains("newer build"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_processes_install_at_once() {
    let cluster = Cluster::start().unwrap();
    let all = (0..20).map(|_| Elector::connect(config(&cluster.url())));
    for result in futures_util::future::join_all(all).await {
        result.expect("every installer succeeds");
    }
}

/// Passwords that rotate: each connection asks for fresh credentials.
#[tokio::test(flavor = "multi_thread")]
async fn fresh_credentials_are_used_for_each_connection() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let cluster = Cluster::start().unwrap();
    cluster
        .execute("CREATE ROLE one LOGIN SUPERUSER; CREATE ROLE two LOGIN SUPERUSER")
        .unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let config = config(&cluster.url()).credentials(move || {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let user = if call == 0 { "one" } else { "two" };
            Ok(pg_leader::Credentials::password("secret").user(user))
        }
    });
    let record = Record::in_memory();
    let candidate = support::Candidate::start(config, "rotating", "a", &record).await;
    until("it leads", || candidate.leads()).await;
    let user = "SELECT usename FROM pg_stat_activity WHERE application_name LIKE 'pg-leader%'";
    assert_eq!(cluster.query(user).unwrap().as_deref(), Some("one"));
    cluster.terminate_leader("rotating").unwrap();
    until("it leads again", || {
        candidate.leads() && record.last_term() == 2
    })
    .await;
    assert_eq!(cluster.query(user).unwrap().as_deref(), Some("two"));
}
