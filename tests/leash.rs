//! Work stops in time whatever becomes of the driver, of the application's runtime and of the work itself.
//! Settles row 46 of docs/known-faults.md, and what rows 31 and 32 rest on.
//!
//! The work here is honest: it asks neither whether its term is current nor what time it is, and only `Drop`
//! ends it.

mod support;

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use pg_leader::{Overrun, Term};
use rustix::process::Signal;
use support::candidate::{self, Process};
use support::race::Race;
use support::record::{self, Record};
use support::tracer;
use support::{LEASE, Work, config, until, until_successor};

/// What is special about a candidate's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One step after the other.
    Honest,
    /// Its steps are those of a thread that ends when the future is dropped. The future itself is polled once;
    /// and the runtime has no timers.
    Parked,
    /// It never gives its thread back, and `Overrun::Abort` is asked for.
    Blocking,
}

/// Steps until it is dropped, and waits until the last one is done.
struct Stepping {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stepping {
    fn start(record: &Arc<Record>, term: &Term) -> Stepping {
        let over = Arc::new(AtomicBool::new(false));
        let (record, address, number) =
            (Arc::clone(record), term.address().to_owned(), term.number());
        let thread = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                while !over.load(Ordering::SeqCst) {
                    record.step(&address, number);
                }
            }
        });
        Stepping {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Stepping {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lead(kind: Kind, record: &Arc<Record>) -> impl FnMut(Term) -> Work + Send + 'static {
    let record = Arc::clone(record);
    move |term| {
        let record = Arc::clone(&record);
        Box::pin(async move {
            term.ready();
            match kind {
                Kind::Honest => loop {
                    record.step(term.address(), term.number());
                    tokio::time::sleep(Duration::from_millis(1)).await;
                },
                Kind::Parked => {
                    let _stepping = Stepping::start(&record, &term);
                    std::future::pending().await
                }
                Kind::Blocking => loop {
                    record.step(term.address(), term.number());
                },
            }
        })
    }
}

#[test]
#[ignore = "a candidate's process, which the other tests start"]
fn candidate_process() {
    let Some([conninfo, election, address, kind, record]) = candidate::arguments() else {
        return;
    };
    let record = Record::append_to(Path::new(&record)).expect("the record can be opened");
    let kinds = [Kind::Honest, Kind::Parked, Kind::Blocking];
    let named = |named: &Kind| format!("{named:?}") == kind;
    let kind = kinds.into_iter().find(named).expect("a kind");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_io();
    if kind != Kind::Parked {
        runtime.enable_time();
    }
    let runtime = runtime.build().expect("a runtime");
    runtime.block_on(async {
        let overrun = match kind {
            Kind::Blocking => Overrun::Abort,
            _ => Overrun::Report,
        };
        let config = config(&conninfo).overrun(overrun);
        let leader = pg_leader::run(config, &election, &address, lead(kind, &record)).await;
        let _leader = leader.expect("the cluster is fit");
        std::future::pending::<()>().await;
    });
}

fn join(race: &mut Race, address: &str, kind: Kind, stderr: Stdio) {
    let mut command = Command::new(std::env::current_exe().expect("a test binary has a path"));
    command.stderr(stderr);
    let (conninfo, file) = (race.cluster.url(), race.file());
    let process = Process::start_by(command, &conninfo, &race.election, address, kind, &file);
    race.processes.push(process);
}

/// The first leads, and an honest successor is there.
async fn race(election: &str, kind: Kind, stderr: Stdio) -> Race {
    let mut race = Race::empty(election);
    join(&mut race, "first", kind, stderr);
    race.until_term(1).await;
    join(&mut race, "second", Kind::Honest, Stdio::inherit());
    until_successor(&race.cluster, election).await;
    race
}

/// The driver's thread stands still, and nothing else of the process.
async fn assert_followed_though_the_driver_stands_still(election: &str, kind: Kind) {
    let race = race(election, kind, Stdio::inherit()).await;
    let held = tracer::hold(race.processes[0].child(), "pg-leader");
    race.until_term(2).await;
    let steps = race.steps();
    record::assert_no_overlap(&steps);
    assert!(race.gap_after(1) < LEASE * 3);
    // And when it goes on it finds the term over.
    drop(held);
    until("it comes back as a follower", || {
        support::status(&race.cluster, election, "successor").as_deref() == Some("first")
    })
    .await;
    record::assert_no_overlap(&race.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_stands_still_keeps_no_work_running() {
    assert_followed_though_the_driver_stands_still("held", Kind::Honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_where_the_work_sleeps_and_its_runtime_has_no_timers() {
    assert_followed_though_the_driver_stands_still("parked", Kind::Parked).await;
}

async fn until_killed(race: &mut Race) {
    let mut status = None;
    until("the process has ended", || {
        status = race.processes[0].ended();
        status.is_some()
    })
    .await;
    assert_eq!(
        status.and_then(|status| status.signal()),
        Some(Signal::KILL.as_raw())
    );
    race.until_term(2).await;
    record::assert_no_overlap(&race.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_abort_a_process_ends_in_time_though_its_driver_stands_still() {
    let mut race = race("abort", Kind::Blocking, Stdio::inherit()).await;
    let _held = tracer::hold(race.processes[0].child(), "pg-leader");
    until_killed(&mut race).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_abort_a_process_ends_in_time_though_nobody_reads_its_last_words() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let stderr = Stdio::from(writer.try_clone().expect("a copy"));
    let mut race = race("silent", Kind::Blocking, stderr).await;
    // The pipe is full once this blocks: its thread is left behind.
    std::thread::spawn(move || while writer.write_all(b"x").is_ok() {});
    race.cluster.terminate_leader("silent").expect("it leads");
    until_killed(&mut race).await;
    drop(reader);
}

/// In a container the work's process is often the first of its pid namespace, which the kernel keeps from
/// killing itself.
#[tokio::test(flavor = "multi_thread")]
async fn with_abort_the_first_process_of_a_container_ends_too() {
    let unshare = ["--pid", "--fork", "--kill-child"];
    let may = Command::new("unshare").args(unshare).arg("true").status();
    if !may.is_ok_and(|status| status.success()) {
        return support::skipped("leash", "no pid namespace may be made here");
    }
    let mut race = Race::empty("container");
    let mut command = Command::new("unshare");
    command.args(unshare);
    command.arg(std::env::current_exe().expect("a test binary has a path"));
    let (conninfo, file) = (race.cluster.url(), race.file());
    let (address, kind) = ("first", Kind::Blocking);
    let process = Process::start_by(command, &conninfo, &race.election, address, kind, &file);
    race.processes.push(process);
    race.until_term(1).await;
    join(&mut race, "second", Kind::Honest, Stdio::inherit());
    until_successor(&race.cluster, "container").await;
    race.cluster
        .terminate_leader("container")
        .expect("it leads");
    until("the process has ended", || {
        race.processes[0].ended().is_some()
    })
    .await;
    race.until_term(2).await;
    record::assert_no_overlap(&race.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_wakes_in_anothers_term_does_no_step_more() {
    const TIMES: u64 = 6;
    let race = race("wakes", Kind::Honest, Stdio::inherit()).await;
    let mut late = 0;
    for time in 0..TIMES {
        let last = race.steps().iter().map(|step| step.term).max();
        let last = last.expect("somebody works");
        let leader = usize::from(time % 2 == 1);
        race.processes[leader].signal(Signal::STOP);
        until("another leads", || {
            race.steps().iter().any(|step| step.term > last)
        })
        .await;
        race.processes[leader].signal(Signal::CONT);
        let woken = &race.processes[leader].address;
        until("the woken process is the successor", || {
            support::status(&race.cluster, "wakes", "successor").as_ref() == Some(woken)
        })
        .await;
        let steps = race.steps();
        let began = steps.iter().filter(|step| step.term > last);
        let began = began.map(|step| step.began).min().expect("another leads");
        late += steps
            .iter()
            .filter(|step| step.term == last && step.began > began)
            .count();
    }
    // It may have been stopped after its clock was looked at and before its step began: some instructions
    // of 1.5 ms. Without the leash it is most of the times.
    assert!(late <= 1, "{late} steps in others' terms, of {TIMES} times");
}
