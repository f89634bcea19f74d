//! Work stops in time whatever becomes of the driver, of the application's runtime and of the work itself.
//! Settles row 46 of docs/development/known-faults.md, and what rows 31 and 32 rest on.
//!
//! The kinds of work, of which none asks the clock, are those of tests/support/work.rs.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::support;
use crate::support::candidate::this_binary;
use crate::support::race::Race;
use crate::support::work::Kind;
use crate::support::{LEASE, record, tracer, until, until_successor};
use rustix::process::Signal;

/// The first leads, and an honest successor is there.
async fn race(election: &str, kind: Kind, stderr: Stdio) -> Race {
    Race::of(election, [kind, Kind::Steady], stderr).await
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
    assert_followed_though_the_driver_stands_still("held", Kind::Steady).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_where_the_work_sleeps_and_its_runtime_has_no_timers() {
    assert_followed_though_the_driver_stands_still("parked", Kind::Parked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_where_the_work_listens_pays_no_heed_and_sleeps() {
    assert_followed_though_the_driver_stands_still("stubborn", Kind::Stubborn).await;
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
    for kind in [Kind::Blocking, Kind::Spinning] {
        let mut race = race("abort", kind, Stdio::inherit()).await;
        let _held = tracer::hold(race.processes[0].child(), "pg-leader");
        until_killed(&mut race).await;
    }
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
    command.args(unshare).arg(this_binary().get_program());
    race.join_by(command, "first", Kind::Blocking, Stdio::inherit());
    race.until_term(1).await;
    race.join(&race.cluster.url(), "second");
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
    let kinds = [Kind::Steady, Kind::Listening];
    let race = Race::of("wakes", kinds, Stdio::inherit()).await;
    let mut late = 0;
    for time in 0..TIMES {
        let last = race.steps().iter().map(|step| step.term).max();
        let last = last.expect("somebody works");
        let leader = usize::from(time % 2 == 1);
        race.processes[leader].stop();
        until("another leads", || {
            race.steps().iter().any(|step| step.term > last)
        })
        .await;
        race.processes[leader].go_on();
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
