//! Many candidates, many elections, few connections. Settles rows 10, 14, 28 and 60 of
//! docs/development/known-faults.md.

use std::time::{Duration, Instant};

use crate::support;
use crate::support::candidate::{self, Process};
use crate::support::record::{self, Record};
use crate::support::work::Kind;
use crate::support::{Cluster, LEASE, config, elector, steady, until};
use pg_leader::{Config, Elector, ErrorKind, ProcessState, Term};

#[tokio::test(flavor = "multi_thread")]
async fn thirty_candidates_one_leader_one_successor() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let mut candidates = vec![];
    for index in 0..30 {
        let address = format!("c{index}");
        candidates.push(
            support::Candidate::start(config(&cluster.url()), "crowd", &address, &record).await,
        );
    }
    until("one leads", || {
        candidates.iter().any(support::Candidate::leads)
    })
    .await;
    until("all take part", || {
        support::status(&cluster, "crowd", "candidates").as_deref() == Some("30")
    })
    .await;
    support::until_successor(&cluster, "crowd").await;
    let successors = cluster
        .query("SELECT count(*) FROM pgleader.lock WHERE kind = 'pgleader.candidate'::regclass AND granted")
        .unwrap();
    assert_eq!(successors.as_deref(), Some("1"));
    let waiting = cluster
        .query("SELECT count(*) FROM pg_locks WHERE NOT granted")
        .unwrap();
    assert_eq!(
        waiting.as_deref(),
        Some("0"),
        "somebody waits for a lock and pins the xmin horizon"
    );
    for _ in 0..5 {
        let term = record.last_term();
        let leader = support::leading(&candidates).await;
        leader.candidacy.resign().await;
        until("the next works", || record.last_term() > term).await;
        until("one leads", || {
            candidates.iter().any(support::Candidate::leads)
        })
        .await;
        assert_eq!(
            candidates
                .iter()
                .filter(|candidate| candidate.leads())
                .count(),
            1
        );
    }
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_elections_on_one_connection() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let (first, second) = (elector(&cluster).await, elector(&cluster).await);
    let campaign = |elector: &Elector, address: &str| -> Vec<_> {
        (0..100)
            .map(|index| {
                elector
                    .campaign((&format!("e{index}"), address), steady(&record))
                    .unwrap()
            })
            .collect()
    };
    let leaders = campaign(&first, "first");
    until("all lead", || {
        leaders
            .iter()
            .all(|leader| leader.state() == ProcessState::Leading)
    })
    .await;
    let followers = campaign(&second, "second");
    until("all have a successor", || {
        let count = "SELECT count(*) FROM pgleader.status WHERE successor = 'second'";
        cluster.query(count).unwrap().as_deref() == Some("100")
    })
    .await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pg-leader%'";
    assert_eq!(cluster.query(sessions).unwrap().as_deref(), Some("2"));
    first.shutdown().await;
    until("the other leads all", || {
        followers
            .iter()
            .all(|leader| leader.state() == ProcessState::Leading)
    })
    .await;
    let held =
        "SELECT count(*) FROM pgleader.lock WHERE kind = 'pgleader.election'::regclass AND granted";
    assert_eq!(cluster.query(held).unwrap().as_deref(), Some("100"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_candidacy_in_the_same_election_is_an_error() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = elector(&cluster).await;
    let first = elector.campaign(("twice", "a"), steady(&record)).unwrap();
    let error = elector
        .campaign(("twice", "b"), steady(&record))
        .unwrap_err();
    assert!(error.kind() == ErrorKind::AlreadyCandidate, "{error}");
    first.leave().await;
    assert!(elector.campaign(("twice", "b"), steady(&record)).is_ok());
    assert!(elector.campaign(("", "b"), steady(&record)).is_err());
    elector.shutdown().await;
    let error = elector
        .campaign(("later", "b"), steady(&record))
        .unwrap_err();
    assert!(error.kind() == ErrorKind::ShutDown, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_with_different_leases() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let short = Config::new(cluster.url())
        .lease(LEASE / 2)
        .retry_interval(LEASE);
    let long = Config::new(cluster.url())
        .lease(LEASE * 2)
        .retry_interval(LEASE);
    let slow = support::Candidate::start(long, "mixed", "long", &record).await;
    until("the long lease leads", || slow.leads()).await;
    let quick = support::Candidate::start(short, "mixed", "short", &record).await;
    support::until_successor(&cluster, "mixed").await;
    for _ in 0..4 {
        let term = record.last_term();
        cluster.terminate_leader("mixed").unwrap();
        until("the next works", || record.last_term() > term).await;
        support::until_successor(&cluster, "mixed").await;
    }
    until("one leads", || slow.leads() != quick.leads()).await;
    record::assert_no_overlap(&record.steps());
}

/// Dropping the last handle gives everything up in order, in the background.
#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_resigns() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let mut candidates = support::contest(&cluster, "dropped", 2, &record).await;
    drop(candidates.remove(0));
    until("the other leads", || candidates[0].leads()).await;
    until("the ending is recorded", || {
        support::history(&cluster, "dropped", 1, "ending").as_deref() == Some("resigned")
    })
    .await;
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_left_at_start_and_later() {
    let cluster = Cluster::builder()
        .setting("max_connections", "8")
        .setting("superuser_reserved_connections", "2")
        .start()
        .unwrap();
    cluster
        .execute("CREATE ROLE app LOGIN; GRANT CREATE ON DATABASE postgres TO app")
        .unwrap();
    let url = support::url_of(&cluster, "app");
    let record = Record::in_memory();
    let candidate = support::Candidate::start(config(&url), "full", "a", &record).await;
    until("it leads", || candidate.leads()).await;

    let mut others = vec![];
    while let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await
    {
        tokio::spawn(connection);
        others.push(client);
    }
    let error = Elector::connect(config(&url)).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Connection && error.to_string().contains("53300"),
        "{error}"
    );
    assert!(candidate.leads());

    // Its session is killed, and its place is taken before it is back.
    let term = record.last_term();
    // Whoever was refused a moment ago may still have one of the places that are kept.
    until("there is a place to kill it from", || {
        cluster.terminate_leader("full").is_ok()
    })
    .await;
    let thief = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
    others.clear();
    until("it leads again", || record.last_term() > term).await;
    drop(thief);
    record::assert_no_overlap(&record.steps());
}

// A thousand elections on one session -------------------------------------------------------------------------

/// As many as fit one session's work into a lease many times over.
const MANY: usize = 1000;

/// Long enough for a thousand answers on a noisy machine, so that what is measured is the order of things.
const LONG: Duration = Duration::from_secs(3);

fn name(number: usize) -> String {
    format!("m{number:04}")
}

fn long(conninfo: &str) -> Config {
    Config::new(conninfo).lease(LONG).retry_interval(LONG)
}

/// Candidates of all of them, that do nothing while they lead.
fn campaign_in_all(elector: &Elector, address: &str) {
    for number in 0..MANY {
        let idle = |term: Term| {
            term.ready();
            std::future::pending::<()>()
        };
        let candidacy = elector.campaign((&name(number), address), idle);
        candidacy.expect("its first").detach();
    }
}

/// What a candidate's process does; returns at once where it is not one.
pub(crate) fn candidate() {
    let Some([conninfo, _, address, _, _]) = candidate::arguments() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let elector = Elector::connect(long(&conninfo)).await.unwrap();
        campaign_in_all(&elector, &address);
        std::future::pending::<()>().await;
    });
}

/// One after the other: two processes with a thousand elections each have enough to do.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The first leads all of a thousand, and the second is the successor of all.
struct Thousand {
    cluster: Cluster,
    directory: tempfile::TempDir,
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

impl Thousand {
    async fn start() -> Thousand {
        let thousand = Thousand {
            _alone: ALONE.lock().await,
            cluster: Cluster::start().unwrap(),
            directory: tempfile::tempdir().unwrap(),
        };
        drop(elector(&thousand.cluster).await);
        thousand
    }

    fn process(&self, address: &str) -> Process {
        let record = self.directory.path().join("unused");
        Process::start(&self.cluster.url(), "all", address, Kind::Steady, &record)
    }

    fn count(&self, of: &str) -> usize {
        let count = self.cluster.query(&format!("SELECT count(*) FROM {of}"));
        count.unwrap().unwrap().parse().unwrap()
    }

    /// All are led from there, and nothing was begun in vain: so many terms an election.
    async fn until_led_by(&self, address: &str, terms: usize) -> Duration {
        let led = format!("pgleader.election WHERE state = 'leading' AND address = '{address}'");
        self.until_led(&led, terms).await
    }

    /// All are led for the second time, by whoever is first, and nothing was begun in vain.
    async fn until_led_again(&self) -> Duration {
        let led = "pgleader.election AS e JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = e.term \
                   WHERE e.state = 'leading' AND e.term = 2 AND t.ended_at IS NULL";
        self.until_led(led, 2).await
    }

    /// `led`: what there is one of for each election that is led as it shall be.
    async fn until_led(&self, led: &str, terms: usize) -> Duration {
        let began = Instant::now();
        while self.count(led) < MANY {
            let waited = began.elapsed();
            assert!(
                waited < LONG * 20,
                "{} of {MANY} after {waited:?}, {} terms: {led}",
                self.count(led),
                self.count("pgleader.term"),
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.count("pgleader.term"), MANY * terms, "terms in vain");
        began.elapsed()
    }

    async fn until_followed(&self) {
        let places = "pgleader.lock WHERE kind = 'pgleader.candidate'::regclass AND granted";
        let began = Instant::now();
        while self.count(places) < MANY {
            let followed = self.count(places);
            assert!(began.elapsed() < LONG * 20, "only {followed} are followed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Half a lease in which no term ends or begins.
    async fn assert_quiet(&self, terms: usize) {
        let since = Instant::now();
        while since.elapsed() < LONG / 2 {
            assert_eq!(self.count("pgleader.term"), MANY * terms);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ended = self.count("pgleader.term WHERE ended_at IS NOT NULL");
        assert_eq!(ended, MANY * (terms - 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_elections_are_led_again_when_their_leader_is_killed() {
    let all = Thousand::start().await;
    let mut first = all.process("first");
    all.until_led_by("first", 1).await;
    let _second = all.process("second");
    all.until_followed().await;
    first.kill();
    let took = all.until_led_by("second", 2).await;
    support::say(&format!("{MANY} after kill -9: {took:?}, lease {LONG:?}"));
    all.assert_quiet(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_elections_are_led_again_when_their_leader_hangs() {
    let all = Thousand::start().await;
    let first = all.process("first");
    all.until_led_by("first", 1).await;
    let _second = all.process("second");
    all.until_followed().await;
    first.stop();
    let took = all.until_led_by("second", 2).await;
    support::say(&format!("{MANY} after SIGSTOP: {took:?}, lease {LONG:?}"));
    first.go_on();
    all.until_followed().await;
    all.assert_quiet(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_elections_are_handed_over_by_a_shutdown() {
    let all = Thousand::start().await;
    let first = Elector::connect(long(&all.cluster.url())).await.unwrap();
    campaign_in_all(&first, "first");
    all.until_led_by("first", 1).await;
    let _second = all.process("second");
    all.until_followed().await;
    let (_, took) = tokio::join!(first.shutdown(), all.until_led_by("second", 2));
    support::say(&format!(
        "{MANY} after a shutdown: {took:?}, lease {LONG:?}"
    ));
    all.assert_quiet(2).await;
    let resigned = all.count("pgleader.term WHERE ending = 'resigned' AND address = 'first'");
    assert_eq!(resigned, MANY);
}

/// The successor comes first. Where it is slow, as on a busy machine, the first is back for some of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_elections_are_led_again_when_their_session_is_killed() {
    let all = Thousand::start().await;
    let _first = all.process("first");
    all.until_led_by("first", 1).await;
    let _second = all.process("second");
    all.until_followed().await;
    all.cluster.terminate_leader(&name(0)).unwrap();
    let took = all.until_led_again().await;
    let by_the_successor = all.count("pgleader.election WHERE address = 'second'");
    assert!(by_the_successor > MANY / 2, "{by_the_successor}");
    support::say(&format!(
        "{MANY} after a killed session: {took:?}, lease {LONG:?}"
    ));
    all.until_followed().await;
    all.assert_quiet(2).await;
}

/// Whoever is back first leads.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_elections_are_led_again_when_the_server_restarts() {
    let all = Thousand::start().await;
    let _first = all.process("first");
    all.until_led_by("first", 1).await;
    let _second = all.process("second");
    all.until_followed().await;
    all.cluster.stop_fast().unwrap();
    all.cluster.start_again().unwrap();
    let took = all.until_led_again().await;
    support::say(&format!("{MANY} after a restart: {took:?}, lease {LONG:?}"));
    all.until_followed().await;
    all.assert_quiet(2).await;
}
