//! What others do in the database: a stranger takes the lock, an operator leaves a transaction open, a
//! standby does not answer, a role has hostile settings. Settles rows 5, 15, 18 and 25 of
//! docs/development/known-faults.md.

use crate::support;
use crate::support::proxy::Proxy;
use crate::support::record::{self, Record};
use crate::support::{Candidate, LEASE, config, contest, elector, status, steady, until};
use pg_leader::testing::Cluster;
use pg_leader::{AddressError, Config, Elector, ErrorKind, ProcessState};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_the_lock_is_reported_and_all_go_on_once_it_is_gone() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "lock", 2, &record).await;
    for candidate in &candidates {
        candidate.candidacy.leave().await;
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
        .campaign(("lock", "again"), steady(&record))
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

/// Whoever connects first has the lowest number, which a look that confuses them finds first.
struct Strangers([tokio_postgres::Client; 2]);

impl Strangers {
    async fn connect(cluster: &Cluster) -> Strangers {
        cluster.execute("CREATE DATABASE elsewhere").unwrap();
        let elsewhere = format!(
            "host=127.0.0.1 port={} user=postgres dbname=elsewhere",
            cluster.port()
        );
        Strangers([
            support::client(&cluster.url()).await,
            support::client(&elsewhere).await,
        ])
    }

    /// The numbers of all locks of the one election: of the other kind of key, and in another database.
    async fn lock(&self, cluster: &Cluster) {
        for kind in KINDS {
            let keys = format!(
                "SELECT format('%s, %s', 'pgleader.{kind}'::regclass::oid::int, id) FROM pgleader.election"
            );
            let keys = cluster.query(&keys).unwrap().unwrap();
            let (class, id) = keys.split_once(", ").unwrap();
            let key = format!("({class}::bigint << 32) | {id}");
            for (client, key) in self.0.iter().zip([&key, &keys]) {
                let lock = format!("SELECT pg_advisory_lock({key})");
                client.batch_execute(&lock).await.unwrap();
            }
        }
    }

    /// Nobody has ended their sessions, or taken their locks.
    async fn assert_unharmed(&self) {
        let held = "SELECT count(*) FROM pg_locks \
                    WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND granted";
        for client in &self.0 {
            let held: i64 = client.query_one(held, &[]).await.unwrap().get(0);
            assert_eq!(held, 3);
        }
    }
}

const KINDS: [&str; 3] = ["election", "candidate", "term"];

/// Locks with the same numbers in another database, or of the other kind of key, are none of ours.
#[tokio::test(flavor = "multi_thread")]
async fn locks_of_others_with_the_same_numbers_do_not_matter() {
    let cluster = Cluster::start().unwrap();
    let strangers = Strangers::connect(&cluster).await;
    let record = Record::in_memory();
    let candidates = contest(&cluster, "same", 1, &record).await;
    strangers.lock(&cluster).await;

    assert_eq!(status(&cluster, "same", "stranger_pid"), None);
    assert_eq!(
        status(&cluster, "same", "state").as_deref(),
        Some("leading")
    );
    candidates[0].candidacy.resign().await;
    until("it leads again", || {
        candidates[0].leads() && record.last_term() == 2
    })
    .await;
    strangers.assert_unharmed().await;
}

/// When it is silent, by an operator, and as whoever takes office ends what stands in his way.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_a_leader_ends_no_session_of_others() {
    let cluster = Cluster::start().unwrap();
    let strangers = Strangers::connect(&cluster).await;
    let proxy = Proxy::start(cluster.port()).await;
    let record = Record::in_memory();
    let silent = Candidate::start(config(&proxy.superuser_url()), "ended", "silent", &record).await;
    until("the first leads", || silent.leads()).await;
    let other = Candidate::start(config(&cluster.url()), "ended", "other", &record).await;
    support::until_successor(&cluster, "ended").await;
    strangers.lock(&cluster).await;
    let fenced = support::client(&cluster.url()).await;
    let fence = "BEGIN; SELECT pgleader.fence('ended', 1)";
    fenced.batch_execute(fence).await.unwrap();

    proxy.swallow(true, true);
    until("the other leads", || other.leads()).await;
    let ended = fenced.batch_execute("COMMIT").await;
    assert!(ended.is_err(), "it stood in the way");
    strangers.assert_unharmed().await;
    proxy.swallow(false, false);
    support::until_successor(&cluster, "ended").await;

    cluster.execute("SELECT pgleader.depose('ended')").unwrap();
    until("the next term works", || record.last_term() == 3).await;
    strangers.assert_unharmed().await;
    record::assert_no_overlap(&record.steps());
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
    candidates[0].candidacy.resign().await;
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
    candidates[0].candidacy.resign().await;
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
    let first = Candidate::start(config(&url), "hostile", "a", &record).await;
    until("it leads", || first.leads()).await;
    let second = Candidate::start(config(&url), "hostile", "b", &record).await;
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
        error.kind() == ErrorKind::Schema && error.to_string().contains("grant_candidate('poor')"),
        "{error}"
    );
    drop(connect(cluster.url()).await.unwrap());
    let error = connect(poor).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::NotGranted
            && error.to_string().contains("grant_candidate('poor')"),
        "{error}"
    );

    let standby = cluster.standby().unwrap();
    let error = connect(standby.url()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Standby, "{error}");
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
        error.kind() == ErrorKind::Connection && error.to_string().contains("127.0.0.1:1"),
        "{error}"
    );
    let error = connect("nonsense".to_owned()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Configuration, "{error}");
    let error = Elector::connect(Config::new(cluster.url()).lease(LEASE / 1000))
        .await
        .unwrap_err();
    assert!(error.kind() == ErrorKind::Configuration, "{error}");

    cluster.execute("CREATE OR REPLACE FUNCTION pgleader.version() RETURNS int LANGUAGE sql AS 'SELECT 1000000'").unwrap();
    let error = connect(cluster.url()).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Schema && error.to_string().contains("newer build"),
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
