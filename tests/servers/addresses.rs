//! A name with several addresses, hosts that are frozen and servers that come back: what is dead costs the living little.
//! Settles rows 80 and 81 of docs/development/known-faults.md.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support;
use crate::support::cluster::url_at;
use crate::support::proxy::Proxy;
use crate::support::record::{self, Record};
use crate::support::{Candidate, Cluster, LEASE, any_by, config, until};
use pg_leader::testing::with_name;
use pg_leader::{Config, Elector, ErrorKind};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// So long is an address waited for that says nothing.
const LIMIT: Duration = Duration::from_secs(5);

/// Takes connections and says nothing, as a host whose server is stopped.
struct Frozen {
    address: SocketAddr,
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Frozen {
    async fn start() -> Frozen {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let frozen = Frozen {
            address: listener.local_addr().unwrap(),
            opened: Arc::default(),
            closed: Arc::default(),
        };
        let (opened, closed) = (Arc::clone(&frozen.opened), Arc::clone(&frozen.closed));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::SeqCst);
                let closed = Arc::clone(&closed);
                tokio::spawn(async move {
                    let mut said = vec![];
                    let _ = stream.read_to_end(&mut said).await;
                    closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        frozen
    }

    async fn until_all_are_closed(&self) {
        until("each connection to it is closed", || {
            let opened = self.opened.load(Ordering::SeqCst);
            opened > 0 && self.closed.load(Ordering::SeqCst) == opened
        })
        .await;
    }
}

/// Nobody listens there.
async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    listener.local_addr().unwrap()
}

fn of(cluster: &Cluster) -> SocketAddr {
    ([127, 0, 0, 1], cluster.port()).into()
}

fn at(hosts: &str, names: &[(&str, &[SocketAddr])]) -> Config {
    let config = config(&url_at(hosts));
    names.iter().fold(config, |config, (name, addresses)| {
        with_name(config, name, addresses)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_whose_first_addresses_are_dead_leads_to_the_living_one() {
    let cluster = Cluster::start().unwrap();
    let frozen = Frozen::start().await;
    let refusing = refusing().await;
    // Of a network that is for documents alone: dropped on the way, or refused at once.
    let nowhere = SocketAddr::from(([192, 0, 2, 1], 5432));
    let living = of(&cluster);
    support::elector(&cluster).await.shutdown().await;
    for addresses in [
        &[frozen.address, living][..],
        &[nowhere, living],
        &[refusing, living],
        &[frozen.address, refusing, nowhere, living],
        &[living, frozen.address],
    ] {
        let began = Instant::now();
        let config = at("db", &[("db", addresses)]);
        let candidate = Candidate::start(config, "named", "a", &Record::in_memory()).await;
        assert!(began.elapsed() < LIMIT, "{addresses:?}");
        until("it leads", || candidate.leads()).await;
        // And when it comes back.
        cluster.terminate_leader("named").unwrap();
        let began = Instant::now();
        let term = candidate.candidacy.term();
        until("it leads again", || {
            candidate.candidacy.term() > term && candidate.leads()
        })
        .await;
        assert!(began.elapsed() < LIMIT, "{addresses:?}");
        candidate.elector.shutdown().await;
    }
    frozen.until_all_are_closed().await;
}

/// As of a service whose name leads to all its servers.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_name_the_address_is_taken_that_accepts_writes() {
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().unwrap();
    let frozen = Frozen::start().await;
    let record = Record::in_memory();
    let (one, other, dead) = (of(&standby), of(&primary), frozen.address);
    let alone = at("db", &[("db", &[one, dead, other])]);
    let first = Candidate::start(alone, "service", "first", &record).await;
    until("the first leads", || first.leads()).await;
    // And where hosts are looked at: each name has a dead address.
    let names: [(&str, &[SocketAddr]); 2] = [("one", &[dead, one]), ("all", &[dead, one, other])];
    let began = Instant::now();
    let second = Candidate::start(at("one,all", &names), "service", "second", &record).await;
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    support::until_successor(&primary, "service").await;
    first.elector.shutdown().await;
    until("the second leads", || second.leads()).await;
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_a_living_address_says_what_became_of_each() {
    let frozen = [Frozen::start().await, Frozen::start().await];
    let refusing = refusing().await;
    let addresses = [frozen[0].address, refusing, frozen[1].address];
    let config = with_name(
        Config::new(format!("{}?connect_timeout=2", url_at("db"))),
        "db",
        &addresses,
    );
    let began = Instant::now();
    let error = Elector::connect(config).await.unwrap_err();
    let took = began.elapsed();
    assert_eq!(error.kind(), ErrorKind::Connection);
    let said = error.to_string();
    for address in addresses {
        assert!(said.contains(&address.to_string()), "{address}: {said}");
    }
    assert!(said.contains("no answer within 2s"), "{said}");
    // Side by side: not one after the other.
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    for frozen in frozen {
        frozen.until_all_are_closed().await;
    }
}

/// The standby was looked at before it was promoted, and the old primary says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_host_costs_one_round_of_trying() {
    let primary = Cluster::builder().durable().start().unwrap();
    let standby = primary.standby().unwrap();
    let to_primary = Proxy::start(primary.port()).await;
    let record = Record::in_memory();
    let hosts = any_by(&[to_primary.url(), standby.url()]);
    let candidate = Candidate::start(config(&hosts), "frozen", "a", &record).await;
    until("it leads", || candidate.leads()).await;
    support::until_replicated(&standby, "frozen").await;

    to_primary.swallow(true, true);
    until("it is deposed", || !candidate.leads()).await;
    let looks = || {
        let looks = "SELECT sessions FROM pg_stat_database WHERE datname = 'postgres'";
        let looks = standby.query(looks).unwrap().unwrap();
        looks.parse::<i64>().unwrap()
    };
    let (before, began) = (looks(), Instant::now());
    // Each question of this test is a session too.
    let mut asked = 0;
    until("it has looked at the other three times", || {
        asked += 1;
        looks() >= before + asked + 3
    })
    .await;
    assert!(began.elapsed() < LIMIT * 4 / 5, "{:?}", began.elapsed());

    standby.promote().unwrap();
    let began = Instant::now();
    let lost = candidate.candidacy.term();
    until("it leads on the other", || {
        candidate.candidacy.term() > lost && candidate.leads()
    })
    .await;
    // A refractory period, and no more than it takes to look.
    let took = began.elapsed();
    assert!(took < LEASE * 6, "{took:?}");
    record::assert_no_overlap(&record.steps());
}

/// Nobody knows when the database is back: it is looked for all the time, not once a retry interval.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_be_back_is_tried_for_often() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let place = listener.local_addr().unwrap();
    let retry_interval = Duration::from_secs(5);
    let config = config(&url_at(&place.to_string())).retry_interval(retry_interval);
    let began = Instant::now();
    let elector = Elector::start(config).unwrap();
    // Its connections end before they have begun, as those to a server that is shut down.
    for _ in 0..40 {
        let try_for_it = tokio::time::timeout(support::CEILING, listener.accept());
        drop(try_for_it.await.expect("it tries again").unwrap());
    }
    let took = began.elapsed();
    assert!(took < retry_interval * 4, "{took:?}");
    elector.shutdown().await;
}
