//! The machine is suspended for two hours, by hand: the clock jumps, and no timer knows of it. With a lease of an hour
//! nothing but looking at the clock again and again notices within the minutes that a test may take.
//!
//! Each case has a process of its own, for its clock, and a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;
use crate::testing::{Cluster, ClusterError};
use crate::{Config, Elector, ProcessState, Term};

const LEASE: Duration = Duration::from_secs(3600);
const CEILING: Duration = Duration::from_secs(30);
const ALONE: &str = "PG_LEADER_TEST_SUSPENDED";

/// Run a test of this file in a process of its own.
fn alone(test: &str) {
    let here = module_path!().split_once("::").map_or("", |(_, path)| path);
    let ran = std::process::Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", &format!("{here}::{test}"), "--ignored"])
        .env(ALONE, "yes")
        .output()
        .expect("a test binary can be run");
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if said.contains("SKIPPED") {
        eprintln!("{said}");
    }
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

/// Here, in a process of its own, and with a server.
fn cluster() -> Option<Cluster> {
    std::env::var_os(ALONE)?;
    match Cluster::start() {
        Err(ClusterError::NoBinaries) => {
            eprintln!("SKIPPED suspended: there is no server");
            None
        }
        cluster => Some(cluster.expect("a cluster")),
    }
}

async fn connect(cluster: &Cluster) -> Elector {
    let config = Config::new(cluster.url());
    // The shortest that goes with such a lease.
    let config = config.lease(LEASE).retry_interval(LEASE / 20);
    Elector::connect(config).await.expect("the cluster is fit")
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + CEILING;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn ask(cluster: &Cluster, query: &str) -> String {
    let answer = cluster.query(query).expect("the server answers");
    answer.unwrap_or_default()
}

const SESSIONS: &str = "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE application_name LIKE 'pg-leader%'";

struct Works(Arc<AtomicU64>);

impl Drop for Works {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The work sleeps, by no timer, until it is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "another test runs it in a process of its own"]
async fn work_is_dropped() {
    let Some(cluster) = cluster() else { return };
    let elector = connect(&cluster).await;
    let dropped = Arc::new(AtomicU64::new(0));
    let drops = Arc::clone(&dropped);
    let lead = move |term: Term| {
        let works = Works(Arc::clone(&drops));
        async move {
            let _works = works;
            term.ready();
            std::future::pending::<Result<(), std::io::Error>>().await
        }
    };
    let candidacy = elector
        .campaign(("suspended", "a"), lead)
        .expect("its first");
    until("it leads", || candidacy.state() == ProcessState::Leading).await;
    let session = ask(&cluster, SESSIONS);
    assert_eq!(dropped.load(Ordering::SeqCst), 0);

    clock::by_hand::suspend(LEASE * 2);
    assert_ne!(candidacy.state(), ProcessState::Leading);
    until("its work is dropped", || {
        dropped.load(Ordering::SeqCst) == 1
    })
    .await;
    until("its session is another", || {
        let sessions = ask(&cluster, SESSIONS);
        !sessions.is_empty() && !sessions.contains(&session)
    })
    .await;
}

#[test]
fn after_a_suspension_work_is_dropped_and_its_session_given_up() {
    alone("work_is_dropped");
}

/// What blocks ends with its test, however that comes.
struct End(Arc<AtomicBool>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// No end of work tells the driver: it has to look at the clock itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "another test runs it in a process of its own"]
async fn the_driver_looks() {
    let Some(cluster) = cluster() else { return };
    let elector = connect(&cluster).await;
    let end = End(Arc::default());
    let ends = Arc::clone(&end.0);
    let lead = move |term: Term| {
        let ends = Arc::clone(&ends);
        async move {
            term.ready();
            while !ends.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok::<(), std::io::Error>(())
        }
    };
    let candidacy = elector.campaign(("blocked", "a"), lead).expect("its first");
    until("it leads", || candidacy.state() == ProcessState::Leading).await;
    let session = ask(&cluster, SESSIONS);

    clock::by_hand::suspend(LEASE * 2);
    // The work keeps the old one open.
    until("another session is opened", || {
        let sessions = ask(&cluster, SESSIONS);
        sessions.contains(&session) && sessions.len() > session.len()
    })
    .await;
    assert_eq!(candidacy.state(), ProcessState::Following);
}

#[test]
fn after_a_suspension_the_driver_gives_its_session_up_though_the_work_blocks() {
    alone("the_driver_looks");
}

/// Who only follows looks less often, and soon all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "another test runs it in a process of its own"]
async fn a_follower_asks() {
    let Some(cluster) = cluster() else { return };
    let elector = connect(&cluster).await;
    let _observer = elector.observe("nobodys").expect("its first");
    let asked =
        "SELECT max(state_change) FROM pg_stat_activity WHERE application_name LIKE 'pg-leader%'";
    // What it has to say at first is said.
    let mut last = ask(&cluster, asked);
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = ask(&cluster, asked);
        if now == last {
            break;
        }
        last = now;
    }
    clock::by_hand::suspend(LEASE * 2);
    until("it asks", || ask(&cluster, asked) != last).await;
}

#[test]
fn after_a_suspension_whoever_follows_asks_soon() {
    alone("a_follower_asks");
}
