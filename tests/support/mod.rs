//! What the tests share: a cluster with an elector, work that keeps a record, and a judge of overlaps.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

pub mod bouncer;
pub mod candidate;
pub mod certified;
pub mod chapters;
pub mod cluster;
pub mod log;
pub mod operator;
pub mod pgpool;
pub mod pretend_pool;
pub mod proxy;
pub mod race;
pub mod record;
pub mod relay;
pub mod seat;
pub mod tracer;
pub mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::Server;
#[allow(unused_imports, reason = "not by tests that need a superuser's")]
pub use cluster::{Cluster, url_of};
use futures_util::StreamExt;
use pg_leader::testing;
use pg_leader::{Candidacy, Config, Elector, ProcessState, WaitingFor};
use record::Record;
pub use work::steady;

/// The lease of most tests: short enough for a quick suite, long enough for two noisy cores.
pub const LEASE: Duration = Duration::from_millis(1000);

/// So long may anything take that is not measured: a hang fails, noise does not.
pub const CEILING: Duration = Duration::from_secs(30);

pub fn config(conninfo: &str) -> Config {
    Config::new(conninfo).lease(LEASE).retry_interval(LEASE)
}

pub async fn elector(cluster: &impl Server) -> Elector {
    Elector::connect(config(&cluster.url()))
        .await
        .expect("the cluster is fit")
}

/// Make an election whose id is 1, for statements that are written out.
pub fn make_election_1(cluster: &testing::Cluster, name: &str) {
    let make = format!("INSERT INTO pgleader.election (id, name) VALUES (1, '{name}')");
    cluster.execute(&make).expect("the superuser may");
}

/// A connection of somebody else than a candidate.
pub async fn client(conninfo: &str) -> tokio_postgres::Client {
    let config: tokio_postgres::Config = conninfo.parse().expect("a connection string");
    let (client, connection) = config
        .connect(tokio_postgres::NoTls)
        .await
        .expect("the cluster is there");
    tokio::spawn(connection);
    client
}

/// A schema whose owner is an ordinary role, and other roles, each with a grant: `candidate`, `operator` or
/// `observer`.
pub async fn install_by_an_ordinary_owner(cluster: &testing::Cluster, roles: &[(&str, &str)]) {
    cluster
        .execute("CREATE ROLE owner LOGIN; GRANT CREATE ON DATABASE postgres TO owner")
        .expect("the superuser may");
    let owner = Elector::connect(config(&url_of(cluster, "owner"))).await;
    owner.expect("the owner installs").shutdown().await;
    for (role, kind) in roles {
        cluster
            .execute(&format!(
                "CREATE ROLE {role} LOGIN; SET ROLE owner; SELECT pgleader.grant_{kind}('{role}')"
            ))
            .expect("the owner grants");
    }
}

/// Wait until `condition`, and fail with `what` when it does not come.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + CEILING;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The same where no runtime may be needed.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + CEILING;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A candidate with an elector of its own, as if in a process of its own.
pub struct Candidate {
    pub elector: Elector,
    pub candidacy: Candidacy,
    pub record: Arc<Record>,
}

impl Candidate {
    pub async fn start(
        config: Config,
        election: &str,
        address: &str,
        record: &Arc<Record>,
    ) -> Candidate {
        let elector = Elector::connect(config).await.expect("the cluster is fit");
        let candidacy = elector
            .campaign((election, address), steady(record))
            .expect("a new candidacy");
        Candidate {
            elector,
            candidacy,
            record: Arc::clone(record),
        }
    }

    /// It leads, and it is on record what it has done since.
    pub fn leads(&self) -> bool {
        self.candidacy.state() == ProcessState::Leading && self.record.has(self.candidacy.term())
    }
}

/// Several candidates of one election; the first leads, and one of the others is its successor.
pub async fn contest(
    cluster: &impl Server,
    election: &str,
    count: usize,
    record: &Arc<Record>,
) -> Vec<Candidate> {
    let mut candidates = vec![];
    for index in 0..count {
        let address = format!("{election}-{index}");
        let config = config(&cluster.url());
        candidates.push(Candidate::start(config, election, &address, record).await);
        if index == 0 {
            let first = &candidates[0];
            until("the first candidate leads", || first.leads()).await;
            until_leading(cluster.cluster(), election).await;
        }
    }
    if count > 1 {
        until_successor(cluster.cluster(), election).await;
    }
    candidates
}

/// The database knows that the leader has recovered. The leader itself knows sooner.
pub async fn until_leading(cluster: &testing::Cluster, election: &str) {
    until("the database knows that it leads", || {
        status(cluster, election, "state").as_deref() == Some("leading")
    })
    .await;
}

/// The one of them that leads, once one does.
pub async fn leading(candidates: &[Candidate]) -> &Candidate {
    let leading = || candidates.iter().find(|candidate| candidate.leads());
    until("one leads", || leading().is_some()).await;
    leading().expect("nothing ends its term")
}

pub async fn until_successor(cluster: &testing::Cluster, election: &str) {
    let successor = format!("SELECT successor FROM pgleader.status WHERE name = '{election}'");
    until("there is a successor", || {
        cluster.query(&successor).expect("status").is_some()
    })
    .await;
}

/// The schema and the first term have reached the standby.
pub async fn until_replicated(standby: &testing::Cluster, election: &str) {
    let known =
        format!("SELECT state = 'leading' FROM pgleader.election WHERE name = '{election}'");
    until(
        "the standby knows the first term",
        || matches!(standby.query(&known), Ok(Some(yes)) if yes == "t"),
    )
    .await;
}

pub async fn until_waiting_for(candidate: &Candidate, what: WaitingFor) {
    let mut changes = candidate.candidacy.changes();
    let waits = async {
        while let Some(standing) = changes.next().await {
            if standing.waiting_for == Some(what) {
                return;
            }
        }
        panic!("the elector has ended");
    };
    let waited = tokio::time::timeout(CEILING, waits).await;
    waited.unwrap_or_else(|_| panic!("it never waits for {what}"));
}

/// One column of an election's row in `pgleader.status`.
pub fn status(cluster: &testing::Cluster, election: &str, column: &str) -> Option<String> {
    let query = format!("SELECT {column}::text FROM pgleader.status WHERE name = '{election}'");
    cluster.query(&query).expect("status can be read")
}

/// One column of a term's row in `pgleader.history`.
pub fn history(
    cluster: &testing::Cluster,
    election: &str,
    term: i64,
    column: &str,
) -> Option<String> {
    let query = format!(
        "SELECT {column}::text FROM pgleader.history WHERE name = '{election}' AND term = {term}"
    );
    cluster.query(&query).expect("history can be read")
}

/// From now on commits wait for a standby that is not there, and `statement`, as a commit, is the first.
pub async fn hang_commits(cluster: &impl Server, statement: &'static str) {
    let url = cluster.url();
    let cluster = cluster.cluster();
    cluster
        .execute("ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
        .expect("the superuser may");
    cluster
        .execute("SELECT pg_reload_conf()")
        .expect("the superuser may");
    let client = client(&url).await;
    tokio::spawn(async move {
        // The setting is in force once the checkpointer has read it. A commit needs a transaction number to wait.
        let commit = format!("BEGIN; SELECT pg_current_xact_id(); {statement}; COMMIT");
        while client.batch_execute(&commit).await.is_ok() {}
    });
    until("a commit waits for the standby", || {
        let waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        cluster
            .query(waiting)
            .expect("activity can be read")
            .as_deref()
            == Some("t")
    })
    .await;
}

/// Work that had to wait began a lease later, less what clocks may differ, and it did begin.
pub fn assert_refractory(waited: Duration) {
    assert!(waited >= LEASE * 9 / 10, "work began after {waited:?}");
    assert!(waited < LEASE * 15, "work began only after {waited:?}");
}

/// What is claimed of most: so many of these took less than `usual`. The others have what else the machine does to
/// thank for it, and a wide ceiling. It is said how many there were.
pub fn assert_most(
    what: &str,
    took: &[Duration],
    least: usize,
    usual: Duration,
    ceiling: Duration,
) {
    let (most, others): (Vec<Duration>, Vec<Duration>) = took.iter().partition(|it| **it < usual);
    let (count, all) = (most.len(), took.len());
    say(&format!(
        "{what}: {count} of {all} within {usual:?}, the longest of them {:?}; others: {others:?}",
        most.iter().max().copied().unwrap_or_default()
    ));
    assert!(
        count >= least,
        "{what}: only {count} of {all} within {usual:?}: {took:?}"
    );
    assert!(
        others.iter().all(|it| *it < ceiling),
        "{what}: over {ceiling:?}: {others:?}"
    );
}

/// The block in which a term's number lies: one for each timeline before its own.
pub fn block(term: i64) -> i64 {
    term / 10_000_000_000_000
}

/// A connection string with all of them, for whichever can be written.
pub fn any_of<C: Server>(clusters: &[&C]) -> String {
    let urls: Vec<String> = clusters.iter().map(|cluster| cluster.url()).collect();
    any_by(&urls)
}

/// The same by the URLs that lead to them.
pub fn any_by(urls: &[String]) -> String {
    let parts = urls.iter().filter_map(|url| url.rsplit_once('@'));
    let (logins, places): (Vec<&str>, Vec<&str>) = parts
        .filter_map(|(login, place)| Some((login, place.strip_suffix("/postgres")?)))
        .unzip();
    // They have the same roles.
    format!(
        "{}@{}/postgres?target_session_attrs=read-write",
        logins[0],
        places.join(",")
    )
}

pub fn skipped(test: &str, why: &str) {
    say(&format!("SKIPPED {test}: {why}"));
}

/// Visible also where the test runner captures what tests print.
pub fn say(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{what}");
}
