//! Code that is not the library's blocks, panics or never ends: the log, a captured value's `Drop`, a hook,
//! a waker; and the driver itself panics. Whatever happens, nobody works in another's term, the other
//! elections of the process go on, and so does the candidacy. Settles rows 31 and 32 of
//! docs/development/known-faults.md.
//!
//! The work does one step after the other until it is dropped, and asks nobody.

use std::fs::File;
use std::io::{PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use crate::support;
use crate::support::candidate;
use crate::support::race::Race;
use crate::support::record::{self, Record};
use crate::support::work::Release;
use crate::support::{LEASE, config, elector, steady, until, until_successor};
use futures_util::StreamExt;
use pg_leader::testing::{Cluster, PanicAt, panic_driver};
use pg_leader::{Campaign, Candidacy, Config, Credentials, Elector, ErrorKind, ProcessState, Term};

/// What is special about a candidate's process.
#[derive(Debug)]
enum Kind {
    Quiet,
    /// It writes its log to stderr.
    Log,
    /// The same, and it shuts down once the file beside the record is there.
    LogAndEnd,
    /// Its driver panics once a file beside the record is there, and it shuts down once another one is.
    PanicAndEnd,
    /// Its sink for the crate `log` blocks while the file beside the record is there.
    Sink,
}

/// What a candidate's process does; returns at once where it is not one.
pub(crate) fn candidate() {
    let Some([conninfo, election, address, kind, record]) = candidate::arguments() else {
        return;
    };
    let log = format!("{:?}", Kind::Log);
    let log_and_end = format!("{:?}", Kind::LogAndEnd);
    let panic_and_end = format!("{:?}", Kind::PanicAndEnd);
    let until_there = async |extension: &str| {
        while !Path::new(&record).with_extension(extension).exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let sink = format!("{:?}", Kind::Sink);
    if kind == log || kind == log_and_end {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(std::io::stderr)
            .init();
    } else if kind == sink {
        let sink = BlockingSink(Path::new(&record).with_extension("block"));
        log::set_logger(Box::leak(Box::new(sink))).expect("the only one");
        log::set_max_level(log::LevelFilter::Trace);
    }
    let steps = Record::append_to(Path::new(&record)).expect("the record can be opened");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config = config(&conninfo);
        let candidacy = pg_leader::run(config, &election, &address, steady(&steps)).await;
        let candidacy = candidacy.expect("the cluster is fit");
        if kind == panic_and_end {
            until_there("panic").await;
            panic_driver(candidacy.elector(), PanicAt::Command);
            drop(candidacy.elector().observe("any"));
        } else if kind != log_and_end {
            return std::future::pending().await;
        }
        until_there("end").await;
        candidacy.elector().shutdown().await;
        std::process::exit(0);
    });
}

struct BlockingSink(std::path::PathBuf);

impl log::Log for BlockingSink {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        while self.0.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn flush(&self) {}
}

/// The first leads and its successor is there.
async fn race(election: &str, kind: Kind, stderr: Stdio) -> Race {
    Race::of(election, [kind, Kind::Quiet], stderr).await
}

/// The first has lost its session: the second leads, and when that ends the first leads again.
async fn assert_stopped_and_goes_on(race: &mut Race) {
    race.until_term(2).await;
    race.processes[1].kill();
    until("the first leads again", || {
        let steps = race.steps();
        steps
            .iter()
            .any(|step| step.term > 2 && step.address == "first")
    })
    .await;
    record::assert_no_overlap(&race.steps());
}

/// Whoever writes to it from here on blocks.
fn fill(pipe: &PipeWriter) {
    // A file description of its own: only here must the pipe not block.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut filling = File::options()
        .write(true)
        .custom_flags(nonblocking)
        .open(format!("/proc/self/fd/{}", pipe.as_raw_fd()))
        .unwrap();
    for size in [4096, 1] {
        while filling.write(&vec![b'x'; size]).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let stderr = Stdio::from(writer.try_clone().unwrap());
    let mut race = race("full", Kind::Log, stderr).await;
    fill(&writer);
    race.cluster.terminate_leader("full").unwrap();
    assert_stopped_and_goes_on(&mut race).await;
    drop((reader, writer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_up_a_shutdown_for_a_second_at_most() {
    let (reader, writer) = std::io::pipe().unwrap();
    let stderr = Stdio::from(writer.try_clone().unwrap());
    let mut race = race("ends", Kind::LogAndEnd, stderr).await;
    fill(&writer);
    File::create(race.file().with_extension("end")).unwrap();
    let began = std::time::Instant::now();
    until("the process has ended", || {
        race.processes[0].ended().is_some()
    })
    .await;
    assert!(began.elapsed() < LEASE * 15, "{:?}", began.elapsed());
    race.until_term(2).await;
    let ending = support::history(&race.cluster, "ends", 1, "ending");
    assert_eq!(ending.as_deref(), Some("resigned"));
    record::assert_no_overlap(&race.steps());
    drop((reader, writer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_reader_is_gone_stops_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut race = race("gone", Kind::Log, Stdio::from(writer)).await;
    drop(reader);
    race.cluster.terminate_leader("gone").unwrap();
    assert_stopped_and_goes_on(&mut race).await;
}

/// A panic hook writes to it, before anything is unwound.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_panics_goes_on_though_nobody_reads_what_is_said_of_it() {
    let (reader, writer) = std::io::pipe().unwrap();
    let stderr = Stdio::from(writer.try_clone().unwrap());
    let mut race = race("unheard", Kind::PanicAndEnd, stderr).await;
    fill(&writer);
    File::create(race.file().with_extension("panic")).unwrap();
    assert_stopped_and_goes_on(&mut race).await;
    File::create(race.file().with_extension("end")).unwrap();
    until("the process has ended", || {
        race.processes[0].ended().is_some()
    })
    .await;
    drop((reader, writer));
}

/// tokio-postgres logs while it is polled, so the session stands still with the sink; the work does not
/// go on for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_blocks_may_stall_the_session_and_not_the_end_of_the_work() {
    let mut race = race("sink", Kind::Sink, Stdio::inherit()).await;
    let block = race.file().with_extension("block");
    File::create(&block).unwrap();
    race.until_term(2).await;
    std::fs::remove_file(&block).unwrap();
    assert_stopped_and_goes_on(&mut race).await;
}

/// One election of the elector works honestly, another one ends and lets go of what its closure holds.
async fn assert_dropping_harms_nobody<C: Send + 'static>(election: &str, captured: C) {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = elector(&cluster).await;
    let candidacy = elector
        .campaign((election, "first"), steady(&record))
        .unwrap();
    let holding = elector
        .campaign(("holding", "first"), move |_| {
            let _held = &captured;
            std::future::pending::<Result<(), std::io::Error>>()
        })
        .unwrap();
    let leads = |candidacy: &Candidacy| candidacy.state() != ProcessState::Following;
    until("both lead", || leads(&candidacy) && leads(&holding)).await;
    within(holding.leave()).await;
    // Long enough for a driver that hangs to lose the leadership.
    let steps = record.steps().len();
    until("it works on", || record.steps().len() > steps + 1500).await;
    assert_eq!(record.last_term(), 1, "the driver stood still");

    let other = Elector::connect(config(&cluster.url())).await.unwrap();
    let other_leader = other
        .campaign((election, "second"), steady(&record))
        .unwrap();
    until_successor(&cluster, election).await;
    cluster.terminate_leader(election).unwrap();
    until("the other leads", || leads(&other_leader)).await;
    within(other.shutdown()).await;
    until("it leads again", || leads(&candidacy)).await;
    within(elector.shutdown()).await;
    record::assert_no_overlap(&record.steps());
}

struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("as the test wants it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_value_that_panics_when_dropped_harms_nobody() {
    assert_dropping_harms_nobody("panics", Panics).await;
}

struct Blocks;

impl Drop for Blocks {
    fn drop(&mut self) {
        std::thread::sleep(LEASE * 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_value_that_blocks_when_dropped_harms_nobody() {
    assert_dropping_harms_nobody("blocks", Blocks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_runtime_harms_nobody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.spawn_blocking(|| std::thread::sleep(LEASE * 2));
    assert_dropping_harms_nobody("runtime", runtime).await;
}

/// The last handle of a runtime drops what its hooks hold.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_runtime_holds_that_is_gone_harms_nobody_when_dropped() {
    struct Slow(Arc<AtomicBool>);
    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
            std::thread::sleep(LEASE * 6);
        }
    }
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = elector(&cluster).await;
    let _candidacy = elector.campaign(("lives", "a"), steady(&record)).unwrap();
    let dropped = Arc::new(AtomicBool::new(false));
    let slow = Slow(Arc::clone(&dropped));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_park(move || {
            let _held = &slow;
        })
        .build()
        .unwrap();
    let other = {
        let _inside = runtime.enter();
        elector.campaign(("gone", "a"), steady(&Record::in_memory()))
    };
    let other = other.unwrap();
    until("both lead", || {
        record.last_term() == 1 && other.state() == ProcessState::Leading
    })
    .await;
    // It waits until no thread of the runtime is left.
    tokio::task::spawn_blocking(move || drop(runtime))
        .await
        .unwrap();
    assert!(!dropped.load(Ordering::SeqCst), "no handle is left");
    within(other.leave()).await;
    until("what it holds is dropped", || {
        dropped.load(Ordering::SeqCst)
    })
    .await;
    let steps = record.steps().len();
    until("it works on", || record.steps().len() > steps + 1500).await;
    assert_eq!(record.last_term(), 1, "the driver stood still");
    within(elector.shutdown()).await;
}

/// The work is dropped on the spot by whoever starts it: nothing is led, and others are. It can never work, and leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_is_shut_down_fails_its_term_and_no_others() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = elector(&cluster).await;
    let _candidacy = elector.campaign(("lives", "a"), steady(&record)).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dead = {
        let _inside = runtime.enter();
        let captured = Arc::new(Blocks);
        let lead = move |_| {
            let captured = Arc::clone(&captured);
            async move {
                let _captured = captured;
                std::future::pending::<Result<(), std::io::Error>>().await
            }
        };
        elector.campaign(("dead", "a"), lead).unwrap()
    };
    runtime.shutdown_background();
    until("its term fails", || {
        support::history(&cluster, "dead", 1, "ending").is_some()
    })
    .await;
    until("the other leads", || record.last_term() == 1).await;
    let steps = record.steps().len();
    until("it works on", || record.steps().len() > steps + 500).await;
    assert_eq!(record.last_term(), 1);
    // It began before the runtime was gone, or fails; there is no other.
    let terms = support::status(&cluster, "dead", "term").unwrap();
    assert_eq!(terms, "1");
    assert_eq!(
        support::status(&cluster, "dead", "candidates").as_deref(),
        Some("0")
    );
    within(dead.leave()).await;
    within(elector.shutdown()).await;
}

/// Whoever waits may do so on an executor of his own.
struct Stuck(AtomicUsize);

impl Wake for Stuck {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(LEASE * 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waker_that_blocks_delays_nobody() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = elector(&cluster).await;
    let candidacy = elector
        .campaign(("wakes", "first"), steady(&record))
        .unwrap();
    until("it leads", || candidacy.state() == ProcessState::Leading).await;
    let stuck = Arc::new(Stuck(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&stuck));
    let mut context = Context::from_waker(&waker);
    let mut changes = candidacy.changes();
    // The first standing is there at once.
    while changes.poll_next_unpin(&mut context).is_ready() {}
    let began = std::time::Instant::now();
    let mut resigning = Box::pin(candidacy.resign());
    assert!(resigning.as_mut().poll(&mut context).is_pending());
    until("it leads again", || record.last_term() >= 2).await;
    assert!(stuck.0.load(Ordering::SeqCst) > 0, "nobody was woken");
    assert!(began.elapsed() < LEASE * 15, "the driver stood still");
    let term = record.last_term();
    let steps = record.steps().len();
    until("it works on", || record.steps().len() > steps + 1000).await;
    assert_eq!(record.last_term(), term, "the driver stood still");
    record::assert_no_overlap(&record.steps());
}

/// There is a limit to how many may block at once.
#[tokio::test(flavor = "multi_thread")]
async fn work_starts_however_many_wakers_block() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let record = Record::in_memory();
    let candidacy = elector
        .campaign(("wakes", "first"), steady(&record))
        .unwrap();
    until("it leads", || candidacy.state() == ProcessState::Leading).await;
    let stuck = Arc::new(Stuck(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&stuck));
    let mut context = Context::from_waker(&waker);
    let mut readers: Vec<_> = (0..300).map(|_| candidacy.changes()).collect();
    for changes in &mut readers {
        while changes.poll_next_unpin(&mut context).is_ready() {}
        // Whoever polls too much at once is woken by tokio itself.
        tokio::task::yield_now().await;
    }
    let began = std::time::Instant::now();
    let mut resigning = Box::pin(candidacy.resign());
    assert!(resigning.as_mut().poll(&mut context).is_pending());
    until("no hand is left", || stuck.0.load(Ordering::SeqCst) >= 256).await;
    let other_record = Record::in_memory();
    let _other = elector.campaign(("starts", "first"), steady(&other_record));
    until("its work starts", || other_record.last_term() == 1).await;
    assert!(began.elapsed() < LEASE * 15, "it had to wait for them");
}

/// Of several terms that are lost together, each is told, whoever waits for the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_waker_that_blocks_keeps_the_end_of_its_term_from_nobody_else() {
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let waker = Waker::from(Arc::new(Stuck(AtomicUsize::new(0))));
    let told = Arc::new(AtomicUsize::new(0));
    let leaders: Vec<Candidacy> = (0..6)
        .map(|nth| {
            let (waker, told) = (waker.clone(), Arc::clone(&told));
            let lead = move |term: Term| {
                let (waker, told) = (waker.clone(), Arc::clone(&told));
                async move {
                    let mut ending = Box::pin(term.ending());
                    if nth % 2 == 0 {
                        let polled = ending.as_mut().poll(&mut Context::from_waker(&waker));
                        assert!(polled.is_pending());
                        term.ready();
                        std::future::pending::<()>().await;
                    }
                    term.ready();
                    ending.await;
                    told.fetch_add(1, Ordering::SeqCst);
                    Ok::<(), std::io::Error>(())
                }
            };
            let campaign = Campaign::new(format!("e{nth}"), "a").graceful(true);
            elector.campaign(campaign, lead).unwrap()
        })
        .collect();
    let leads = |candidacy: &Candidacy| candidacy.state() == ProcessState::Leading;
    until("all lead", || leaders.iter().all(leads)).await;
    cluster.terminate_leader("e0").unwrap();
    // Who is not told is dropped at the deadline.
    until("those who listen were told", || {
        told.load(Ordering::SeqCst) >= 3
    })
    .await;
}

/// An error of the application's.
#[derive(Debug)]
struct SlowToGo;

impl std::fmt::Display for SlowToGo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("as the test wants it")
    }
}

impl std::error::Error for SlowToGo {}

impl Drop for SlowToGo {
    fn drop(&mut self) {
        std::thread::sleep(support::CEILING * 2);
    }
}

/// A hook that hangs, blocks its thread, panics and panics when it is dropped, and whose error blocks then.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_misbehaves_is_asked_again() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let asked = Arc::new(AtomicUsize::new(0));
    let spawned_runs = Arc::new(AtomicBool::new(false));
    let bomb = Panics;
    let config = Config::new(cluster.url())
        .lease(LEASE)
        .retry_interval(LEASE)
        .credentials({
            let (asked, spawned_runs) = (Arc::clone(&asked), Arc::clone(&spawned_runs));
            move || {
                let _bomb = &bomb;
                let nth = asked.fetch_add(1, Ordering::SeqCst);
                let spawned_runs = Arc::clone(&spawned_runs);
                async move {
                    match nth {
                        // It stays on the hook's own thread, however long it blocks.
                        0 => drop(tokio::spawn(async move {
                            spawned_runs.store(true, Ordering::SeqCst);
                            std::thread::sleep(LEASE * 3);
                        })),
                        1 => panic!("as the test wants it"),
                        2 => std::thread::sleep(LEASE * 8),
                        3 => std::future::pending().await,
                        4 => return Err(SlowToGo.into()),
                        _ => {}
                    }
                    Ok(Credentials::default())
                }
            }
        });
    let elector = Elector::connect(config).await.unwrap();
    let candidacy = elector.campaign(("hook", "a"), steady(&record)).unwrap();
    until("it leads", || record.last_term() == 1).await;
    until("what the hook spawned runs", || {
        spawned_runs.load(Ordering::SeqCst)
    })
    .await;
    let steps = record.steps().len();
    until("it works on", || record.steps().len() > steps + 1500).await;
    assert_eq!(
        record.last_term(),
        1,
        "the hook's task ran on the driver's thread"
    );
    cluster.terminate_leader("hook").unwrap();
    until("it leads again", || {
        candidacy.state() == ProcessState::Leading && record.last_term() > 1
    })
    .await;
    assert!(asked.load(Ordering::SeqCst) > 5);
    within(elector.shutdown()).await;
    record::assert_no_overlap(&record.steps());
}

/// A file that is a pipe without a writer: whoever opens it waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_hangs_fails_the_connect_and_no_more() {
    let cluster = Cluster::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, mode, 0).unwrap();
    let with = |parameters: &str| {
        let url = format!("{}?{parameters}={}", cluster.url(), pipe.display());
        within(Elector::connect(config(&url)))
    };
    // A password file must be a plain one, and another one is none.
    with("passfile").await.unwrap().shutdown().await;
    let refused = with("sslmode=verify-ca&sslrootcert").await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Connection, "{refused}");
    assert!(
        refused.to_string().contains("did not come back"),
        "{refused}"
    );
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(support::CEILING, future)
        .await
        .expect("it returns")
}

/// In each round the leader's driver panics: the other leads; that one leaves, and the first leads again.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_panics_ends_its_terms_and_goes_on() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = elector(&cluster).await;
    let last: Arc<Mutex<Option<Term>>> = Arc::default();
    let candidacy = elector.campaign(("falls", "first"), {
        let (last, mut work) = (Arc::clone(&last), steady(&record));
        move |term: Term| {
            *last.lock().unwrap() = Some(term.clone());
            work(term)
        }
    });
    let candidacy = candidacy.unwrap();
    for at in [
        PanicAt::Answer,
        PanicAt::Action,
        PanicAt::Command,
        PanicAt::Rules(0),
        PanicAt::Rules(3),
    ] {
        until("it leads", || candidacy.state() == ProcessState::Leading).await;
        let other = Elector::connect(config(&cluster.url())).await.unwrap();
        let other_leader = other
            .campaign(("falls", "second"), steady(&record))
            .unwrap();
        until_successor(&cluster, "falls").await;
        let (began, term) = (std::time::Instant::now(), candidacy.term());
        panic_driver(&elector, at);
        // Another command, for whoever waits for one.
        let observer = elector.observe(&format!("at {at:?}")).unwrap();
        until("its term is over", || {
            candidacy.state() == ProcessState::Following
        })
        .await;
        assert!(
            began.elapsed() < LEASE / 2,
            "{at:?}: it ended no sooner than its lease"
        );
        let last = last.lock().unwrap().take().expect("it led");
        assert!(
            !last.is_current(),
            "{at:?}: its term is current all the same"
        );
        until("the other leads", || {
            other_leader.state() == ProcessState::Leading
        })
        .await;
        until("the first is a candidate again", || {
            support::status(&cluster, "falls", "candidates").as_deref() == Some("2")
        })
        .await;
        until("it vacates the term that it had", || {
            support::history(&cluster, "falls", term, "ending").as_deref() == Some("deposed")
        })
        .await;
        until("the command was not lost", || {
            observer.state() == pg_leader::ElectionState::Vacant
        })
        .await;
        within(other.shutdown()).await;
    }
    within(elector.shutdown()).await;
    record::assert_no_overlap(&record.steps());
}

/// Between the beginning of a term and the start of its work.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_panics_when_work_starts_leads_again() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let elector = elector(&cluster).await;
    for round in 0..3 {
        panic_driver(&elector, PanicAt::Start);
        let candidacy = elector.campaign(("starts", "a"), steady(&record)).unwrap();
        until("it leads", || candidacy.state() == ProcessState::Leading).await;
        let term = support::status(&cluster, "starts", "term").unwrap();
        assert!(
            term.parse::<u32>().unwrap() >= round * 2 + 2,
            "it never panicked"
        );
        within(candidacy.leave()).await;
    }
    within(elector.shutdown()).await;
    record::assert_no_overlap(&record.steps());
}

/// Work that cannot be dropped outlives the driver that started it: the next one does not campaign while
/// it runs, and the vacate that is owed is made good.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_driver_that_panicked_knows_what_work_still_runs() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let release = Release::new();
    let elector = elector(&cluster).await;
    let candidacy = elector
        .campaign(("stuck", "a"), release.work(&record))
        .unwrap();
    until("it leads", || record.last_term() == 1).await;
    for _ in 0..3 {
        panic_driver(&elector, PanicAt::Command);
        let _any = elector.observe("other").unwrap();
    }
    until("its term is over", || {
        candidacy.state() == ProcessState::Following
    })
    .await;
    let steps = record.steps().len();
    until("the old work goes on", || {
        record.steps().len() > steps + 3000
    })
    .await;
    let term = || support::status(&cluster, "stuck", "term");
    assert_eq!(
        term().as_deref(),
        Some("1"),
        "it campaigned while its work ran"
    );
    release.let_go();
    until("it leads again", || {
        candidacy.state() != ProcessState::Following
    })
    .await;
    // Deposed, and recorded as such: nobody had to find it lost.
    assert_eq!(
        support::history(&cluster, "stuck", 1, "ending").as_deref(),
        Some("deposed")
    );
    within(elector.shutdown()).await;
}

/// A command that was taken when the driver panicked is obeyed, whatever it asks for.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_a_panic_meets_is_obeyed() {
    let cluster = Cluster::start().unwrap();
    let records = [Record::in_memory(), Record::in_memory()];
    let elector = elector(&cluster).await;
    panic_driver(&elector, PanicAt::Command);
    let candidacy = elector.campaign(("met", "a"), steady(&records[0])).unwrap();
    until("it leads", || records[0].last_term() == 1).await;
    let again = elector
        .campaign(("left", "a"), steady(&records[1]))
        .unwrap();
    until("it leads the other", || records[1].last_term() == 1).await;
    panic_driver(&elector, PanicAt::Command);
    within(candidacy.resign()).await;
    panic_driver(&elector, PanicAt::Command);
    within(again.leave()).await;
    panic_driver(&elector, PanicAt::Command);
    within(elector.shutdown()).await;
    for record in &records {
        record::assert_no_overlap(&record.steps());
    }
}

/// Also where the driver never gets beyond the next panic.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_driver_that_panics_is_answered() {
    let cluster = Cluster::start().unwrap();
    for always in [false, true] {
        let elector = elector(&cluster).await;
        let records = [Record::in_memory(), Record::in_memory()];
        let lead = |election, record| elector.campaign((election, "a"), steady(record)).unwrap();
        let (resigns, leaves) = (lead("resigns", &records[0]), lead("leaves", &records[1]));
        let leads = |candidacy: &Candidacy| candidacy.state() == ProcessState::Leading;
        until("both lead", || leads(&resigns) && leads(&leaves)).await;
        let over = Arc::new(AtomicBool::new(false));
        let panicking = std::thread::spawn({
            let (elector, over) = (elector.clone(), Arc::clone(&over));
            move || {
                while !over.load(Ordering::SeqCst) {
                    panic_driver(&elector, PanicAt::Action);
                    std::thread::sleep(Duration::from_millis(if always { 1 } else { 50 }));
                }
            }
        });
        within(resigns.resign()).await;
        within(leaves.leave()).await;
        within(elector.shutdown()).await;
        over.store(true, Ordering::SeqCst);
        panicking.join().unwrap();
        for record in &records {
            record::assert_no_overlap(&record.steps());
        }
    }
}
