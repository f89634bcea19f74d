//! A network that has gone silent: bytes swallowed in one direction or both, packets dropped on a direct
//! connection. The leader stops before its lease is over, and the next begins. Settles rows 3, 6, 11, 16
//! and 21 of docs/development/known-faults.md.

use std::sync::Arc;
use std::time::Duration;

use crate::support;
use crate::support::proxy::Proxy;
use crate::support::record::{self, Record};
use crate::support::{
    Candidate, Cluster, LEASE, assert_most, config, history, steady, until, until_successor,
};
use futures_util::future::join_all;
use pg_leader::{Elector, ProcessState};

const CUTS: u32 = 5;

/// The leader of an election of its own, behind a proxy, and its successor.
struct Pair {
    election: String,
    proxy: Proxy,
    far: Candidate,
    near: Candidate,
    record: Arc<Record>,
}

impl Pair {
    async fn start(cluster: &Cluster, election: String) -> Pair {
        let proxy = Proxy::start(cluster.port()).await;
        let record = Record::in_memory();
        let far = Candidate::start(config(&proxy.url()), &election, "far", &record).await;
        until("the first leads", || far.leads()).await;
        let near = Candidate::start(config(&cluster.url()), &election, "near", &record).await;
        until_successor(cluster, &election).await;
        Pair {
            election,
            proxy,
            far,
            near,
            record,
        }
    }

    /// How long after the cut the successor works.
    async fn cut(&self, to_server: bool, to_client: bool) -> Duration {
        let cut_at = record::now();
        self.proxy.swallow(to_server, to_client);
        until("the other works", || self.record.last_term() == 2).await;
        assert_eq!(self.far.candidacy.state(), ProcessState::Following);
        let steps = self.record.steps();
        record::assert_no_overlap(&steps);
        record::time_to_term(&steps, cut_at, 2)
    }
}

/// One after the other, not all at once: what else this machine does for a moment meets few of them.
async fn silence(to_server: bool, to_client: bool) {
    let cluster = Cluster::start().unwrap();
    let mut pairs = vec![];
    for number in 0..CUTS {
        pairs.push(Pair::start(&cluster, format!("cut {number}")).await);
    }
    let cuts = (0..).zip(&pairs).map(async |(number, pair)| {
        tokio::time::sleep(LEASE / 2 * number).await;
        pair.cut(to_server, to_client).await
    });
    let took = join_all(cuts).await;

    for pair in &pairs {
        pair.proxy.swallow(false, false);
    }
    for pair in &pairs {
        until_successor(&cluster, &pair.election).await;
        pair.near.candidacy.resign().await;
        until("the first leads again", || pair.far.leads()).await;
        record::assert_no_overlap(&pair.record.steps());
    }
    // Where only the answers are lost, the server hears the leader until that gives up.
    let last_heard = LEASE * 3 / 4 * u32::from(!to_server);
    let usual = last_heard + LEASE * 3 / 2;
    assert_most("cut off", &took, 3, usual, LEASE * 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn in_both_directions() {
    silence(true, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn towards_the_server() {
    silence(true, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn towards_the_client() {
    silence(false, true).await;
}

/// A silence shorter than the time after which a leader gives up costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_silence_costs_nothing() {
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.port()).await;
    let record = Record::in_memory();
    let candidate = Candidate::start(config(&proxy.url()), "hiccup", "a", &record).await;
    until("it leads", || candidate.leads()).await;
    for _ in 0..3 {
        // Held back and not swallowed: a lost byte would break the protocol.
        proxy.delay(LEASE / 4);
        tokio::time::sleep(LEASE / 4).await;
        proxy.delay(Duration::ZERO);
        tokio::time::sleep(LEASE / 2).await;
    }
    assert!(candidate.leads());
    assert_eq!(record.last_term(), 1);
}

/// Who is evicted from one election leads none of the others any more: the evictions that follow find nobody.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_process_that_leads_several_elections() {
    // Enough that the evicted session is gone before the last eviction.
    const ELECTIONS: [&str; 5] = ["a", "b", "c", "d", "e"];
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.port()).await;
    let cut = Elector::connect(config(&proxy.url())).await.unwrap();
    let records = ELECTIONS.map(|_| Record::in_memory());
    let mut candidates = vec![];
    for (election, record) in ELECTIONS.iter().zip(&records) {
        candidates.push(cut.campaign((*election, "cut"), steady(record)).unwrap());
        until("the first leads", || record.last_term() == 1).await;
    }
    let other = Elector::connect(config(&cluster.url())).await.unwrap();
    for (election, record) in ELECTIONS.iter().zip(&records) {
        candidates.push(
            other
                .campaign((*election, "other"), steady(record))
                .unwrap(),
        );
        until_successor(&cluster, election).await;
    }
    // An application has sessions of its own.
    let mut idle = vec![];
    for _ in 0..3 {
        let client = support::client(&cluster.url()).await;
        client.batch_execute("SELECT 1").await.unwrap();
        idle.push(client);
    }
    let silent = "SELECT count(*) >= 3 FROM pg_stat_activity \
                  WHERE backend_type = 'client backend' AND state_change <= clock_timestamp() - interval '1 s'";
    until("they have been silent for a lease", || {
        cluster.query(silent).unwrap().as_deref() == Some("t")
    })
    .await;

    let session = || {
        let pid = "SELECT max(pid) FROM pgleader.candidate WHERE address = 'other'";
        cluster.query(pid).unwrap()
    };
    let before = session().expect("it takes part");
    proxy.swallow(true, true);
    for (election, record) in ELECTIONS.iter().zip(&records) {
        until("the other works", || record.last_term() == 2).await;
        let gap = record::gap_after(&record.steps(), 1).unwrap();
        assert!(gap < LEASE * 9 / 5, "{election}: {gap:?} without a leader");
        record::assert_no_overlap(&record.steps());
        let ending = history(&cluster, election, 1, "ending");
        assert_eq!(ending.as_deref(), Some("lost"), "{election}");
    }
    // An eviction that fails costs its session.
    assert_eq!(session(), Some(before));
}

/// Wherever a connection ends, in the midst of a startup or of an answer, the next is opened at once: who waits for
/// an answer is told that none will come.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_while_it_is_made_is_replaced_at_once() {
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.port()).await;
    let record = Record::in_memory();
    let config = config(&proxy.url()).retry_interval(LEASE / 20);
    let lone = Candidate::start(config, "cut", "lone", &record).await;
    until("it leads", || lone.leads()).await;
    let mut pieces = 0;
    loop {
        pieces += 1;
        let term = record.last_term();
        let from = std::time::Instant::now();
        proxy.reset();
        proxy.end_after(pieces);
        until("it leads again", || record.last_term() > term).await;
        assert!(
            from.elapsed() < 4 * LEASE,
            "after {pieces} pieces it took {:?}",
            from.elapsed()
        );
        if proxy.ends_one() {
            break;
        }
    }
    assert!(
        pieces > 10,
        "a session is made of more than {pieces} pieces"
    );
    record::assert_no_overlap(&record.steps());
}
