//! What work may do: fail, panic, return, block its thread, starve its runtime. Settles rows 6, 12, 13 and
//! 20 of docs/development/known-faults.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support;
use crate::support::record::{self, Record};
use crate::support::{Cluster, LEASE, config, elector, history, until};
use pg_leader::{Campaign, Config, Elector, ProcessState, Term};

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_fails_hands_over_and_holds_off() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let calls = Arc::new(AtomicUsize::new(0));
    let fail = Arc::new(AtomicBool::new(false));
    let elector = elector(&cluster).await;
    let failing = elector
        .campaign(("fails", "failing"), {
            let (calls, fail) = (Arc::clone(&calls), Arc::clone(&fail));
            move |term: Term| {
                calls.fetch_add(1, Ordering::SeqCst);
                let fail = Arc::clone(&fail);
                async move {
                    term.ready();
                    while !fail.load(Ordering::SeqCst) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    Err(std::io::Error::other("as the test wants it"))
                }
            }
        })
        .unwrap();
    until("it leads", || failing.state() == ProcessState::Leading).await;
    let other = support::Candidate::start(config(&cluster.url()), "fails", "other", &record).await;
    support::until_successor(&cluster, "fails").await;
    fail.store(true, Ordering::SeqCst);
    until("the other leads", || other.leads()).await;
    assert_eq!(
        history(&cluster, "fails", 1, "ending").as_deref(),
        Some("failed")
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1, "it did not hold off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_panics_has_failed_and_leads_again() {
    let cluster = Cluster::start().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let elector = elector(&cluster).await;
    let candidacy = elector
        .campaign(("panics", "a"), {
            let calls = Arc::clone(&calls);
            move |term: Term| {
                let call = calls.fetch_add(1, Ordering::SeqCst);
                // Once while the work is made, once while it runs.
                assert!(call != 0, "as the test wants it");
                async move {
                    assert!(call != 1, "as the test wants it");
                    term.ready();
                    std::future::pending::<Result<(), std::io::Error>>().await
                }
            }
        })
        .unwrap();
    until("it leads after two panics", || {
        candidacy.state() == ProcessState::Leading
    })
    .await;
    assert_eq!(
        history(&cluster, "panics", 1, "ending").as_deref(),
        Some("failed")
    );
    assert_eq!(
        history(&cluster, "panics", 2, "ending").as_deref(),
        Some("failed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_returns_has_resigned_and_leads_again() {
    let cluster = Cluster::start().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let elector = elector(&cluster).await;
    let _candidacy = elector
        .campaign(("returns", "a"), {
            let calls = Arc::clone(&calls);
            move |_| {
                calls.fetch_add(1, Ordering::SeqCst);
                std::future::ready(Ok::<(), std::io::Error>(()))
            }
        })
        .unwrap();
    until("three terms came and went", || {
        calls.load(Ordering::SeqCst) >= 3
    })
    .await;
    assert_eq!(
        history(&cluster, "returns", 1, "ending").as_deref(),
        Some("resigned")
    );
}

type Failure = std::io::Error;

/// Ten terms a second would leave no older one on record.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_ends_by_itself_at_once_holds_off_however_it_ends() {
    let cluster = Cluster::start().unwrap();
    let retry_interval = LEASE * 2;
    let config = config(&cluster.url()).retry_interval(retry_interval);
    let elector = Elector::connect(config).await.unwrap();
    let as_wanted = || Failure::other("as the test wants it");
    let returns = |_| std::future::ready(Ok::<(), Failure>(()));
    let fails = move |_| std::future::ready(Err::<(), Failure>(as_wanted()));
    let leaves_a_child = |term: Term| async move {
        drop(term.spawn(std::future::pending::<()>()));
        term.ready();
        tokio::time::sleep(LEASE / 10).await;
    };
    let candidacies = [
        elector.campaign(("returns", "a"), returns),
        elector.campaign(("nothing", "a"), |_| async {}),
        elector.campaign(("fails", "a"), fails),
        elector.campaign(("leaves a child", "a"), leaves_a_child),
    ];
    let candidacies = candidacies.map(Result::unwrap);
    for candidacy in &candidacies {
        until("three terms came and went", || candidacy.term() > 3).await;
        let gap = format!(
            "SELECT min(extract(epoch FROM next.started_at - last.started_at) * 1000)::int::text \
             FROM pgleader.history AS last JOIN pgleader.history AS next USING (name) \
             WHERE next.term = last.term + 1 AND name = '{}'",
            candidacy.election()
        );
        let gap = cluster.query(&gap).unwrap().expect("there are several");
        let gap = Duration::from_millis(gap.parse().unwrap());
        let election = candidacy.election();
        assert!(gap >= retry_interval * 7 / 10, "{election}: {gap:?}");
    }
}

/// Who has worked for a lease may lead again at once; so may who was asked to give its term up.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_has_lasted_or_resigned_does_not_hold_off() {
    let cluster = Cluster::start().unwrap();
    let retry_interval = LEASE * 40;
    let config = config(&cluster.url()).retry_interval(retry_interval);
    let elector = Elector::connect(config).await.unwrap();
    let lasts = |term: Term| async move {
        term.ready();
        tokio::time::sleep(LEASE * 6 / 5).await;
    };
    let resigns = |term: Term| async move {
        term.resign();
        term.ending().await;
    };
    let began = std::time::Instant::now();
    let lasting = elector.campaign(("lasts", "a"), lasts).unwrap();
    let resigning = Campaign::new("resigns", "a").graceful(true);
    let resigning = elector.campaign(resigning, resigns).unwrap();
    until("each has led thrice", || {
        lasting.term() > 2 && resigning.term() > 2
    })
    .await;
    // Sooner than one retry interval.
    assert!(began.elapsed() < retry_interval / 2);
}

/// The heartbeat has a thread and a runtime of its own (invariant 5).
#[test]
fn a_starved_runtime_keeps_the_leadership_and_knows_it() {
    let cluster = Cluster::start().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let term: Arc<std::sync::Mutex<Option<Term>>> = Arc::default();
    let candidacy = runtime.block_on(async {
        let elector = elector(&cluster).await;
        let candidacy = elector
            .campaign(("starved", "a"), {
                let term = Arc::clone(&term);
                move |mine: Term| {
                    *term.lock().unwrap() = Some(mine.clone());
                    mine.ready();
                    std::future::pending::<Result<(), std::io::Error>>()
                }
            })
            .unwrap();
        until("it leads", || candidacy.state() == ProcessState::Leading).await;
        candidacy
    });
    // Nothing drives the runtime for three leases.
    let term = term.lock().unwrap().clone().unwrap();
    let end = std::time::Instant::now() + LEASE * 3;
    while std::time::Instant::now() < end {
        assert!(term.is_current(), "the leadership was lost");
        assert_eq!(candidacy.state(), ProcessState::Leading);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        support::status(&cluster, "starved", "term").as_deref(),
        Some("1")
    );
    // And the truth does not wait for the runtime either.
    cluster.terminate_leader("starved").unwrap();
    support::wait_until("is_current is false", || !term.is_current());
    assert_eq!(candidacy.state(), ProcessState::Following);
}

/// Work that blocks its thread cannot be dropped: the leadership is not released before it stops by
/// itself, and no second work starts in this process.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn work_that_blocks_its_thread_keeps_the_lock_in_an_orderly_end() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let release = Arc::new(AtomicBool::new(false));
    let config = Config::new(cluster.url())
        .lease(LEASE)
        .retry_interval(LEASE)
        .grace(LEASE / 2);
    let elector = Elector::connect(config.clone()).await.unwrap();
    let blocked = elector
        .campaign(("blocks", "blocked"), {
            let (release, record) = (Arc::clone(&release), Arc::clone(&record));
            move |term: Term| {
                let (release, record) = (Arc::clone(&release), Arc::clone(&record));
                async move {
                    term.ready();
                    while !release.load(Ordering::SeqCst) {
                        record.step(term.address(), term.number());
                    }
                    Ok::<(), std::io::Error>(())
                }
            }
        })
        .unwrap();
    until("it leads", || blocked.state() == ProcessState::Leading).await;
    let other = support::Candidate::start(config, "blocks", "other", &record).await;
    support::until_successor(&cluster, "blocks").await;
    let resigning = tokio::spawn(async move { blocked.resign().await });
    let steps = record.steps().len();
    until("the work goes on past grace and lease", || {
        record.steps().len() > steps + 3000
    })
    .await;
    assert!(!other.leads(), "released while the work runs");
    release.store(true, Ordering::SeqCst);
    until("the other leads", || other.leads()).await;
    resigning.await.unwrap();
    record::assert_no_overlap(&record.steps());
}

/// One late heartbeat costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_does_not_cost_the_leadership() {
    let cluster = Cluster::start().unwrap();
    let proxy = support::proxy::Proxy::start(cluster.port()).await;
    let record = Record::in_memory();
    let candidate = support::Candidate::start(config(&proxy.url()), "slow", "a", &record).await;
    until("it leads", || candidate.leads()).await;
    proxy.delay(LEASE / 8);
    let steps = record.steps().len();
    until("it works on", || record.steps().len() > steps + 1500).await;
    assert_eq!(record.last_term(), 1, "the leadership was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_may_keep_the_socket_of_its_session() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let given = Arc::new(std::sync::Mutex::new(None));
    elector
        .campaign(Campaign::new("socket", "a").graceful(true), {
            let given = Arc::clone(&given);
            move |term: Term| {
                *given.lock().unwrap() = Some(term.clone());
                async move {
                    term.ready();
                    term.ending().await;
                    Ok::<(), std::io::Error>(())
                }
            }
        })
        .unwrap()
        .detach();
    until("it leads", || given.lock().unwrap().is_some()).await;
    let term = given.lock().unwrap().take().unwrap();
    let socket = term.session_socket().unwrap();
    let port = std::net::TcpStream::from(socket)
        .local_addr()
        .unwrap()
        .port();
    let query = "SELECT client_port::text FROM pg_stat_activity \
                 WHERE pid = (SELECT leader_pid FROM pgleader.status WHERE name = 'socket')";
    let leaders = cluster.query(query).unwrap();
    assert_eq!(leaders, Some(port.to_string()));
    elector.shutdown().await;
    assert!(
        term.session_socket().is_err(),
        "a term that is over keeps it open"
    );
}

/// A session is given up while work that cannot be dropped runs: its end must not show before the work's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_session_given_up_is_not_over_before_its_work() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let finish = Arc::new(AtomicBool::new(false));
    // Nobody may lead for want of news within the time that the work takes here.
    let config = config(&cluster.url()).lease(LEASE * 3);
    let elector = Elector::connect(config.clone()).await.unwrap();
    let blocking = elector
        .campaign(("given-up", "blocking"), {
            let (finish, record) = (Arc::clone(&finish), Arc::clone(&record));
            move |term: Term| {
                let (finish, record) = (Arc::clone(&finish), Arc::clone(&record));
                async move {
                    term.ready();
                    while !finish.load(Ordering::SeqCst) {
                        record.step(term.address(), term.number());
                    }
                    Ok::<(), std::io::Error>(())
                }
            }
        })
        .unwrap();
    until("it leads", || record.last_term() == 1).await;
    let other = support::Candidate::start(config, "given-up", "other", &record).await;
    support::until_successor(&cluster, "given-up").await;
    let direct = cluster.query("SELECT bool_and(direct) FROM pgleader.term");
    assert_eq!(direct.unwrap().as_deref(), Some("t"));

    // An answer that makes no sense ends the session on the client's side, without a word.
    let heartbeat =
        "SELECT pg_get_functiondef('pgleader.heartbeat(text,oid,integer[])'::regprocedure)";
    let heartbeat = cluster.query(heartbeat).unwrap().unwrap();
    cluster
        .execute(
            "CREATE OR REPLACE FUNCTION pgleader.heartbeat(mark text, locks oid, elections integer[]) \
             RETURNS TABLE (election integer, term bigint, kind text, requested_by name) LANGUAGE plpgsql \
             AS $$ BEGIN RAISE EXCEPTION 'as the test wants it'; END $$",
        )
        .unwrap();
    until("it is deposed", || {
        blocking.state() != ProcessState::Leading
    })
    .await;
    cluster.execute(&heartbeat).unwrap();
    let steps = record.steps().len();
    until("the work goes on", || record.steps().len() > steps + 1000).await;
    finish.store(true, Ordering::SeqCst);
    until("the other leads", || other.leads()).await;
    record::assert_no_overlap(&record.steps());
}
