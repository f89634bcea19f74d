//! The leadership, pg-leader or its guard is lost while a command runs that ends for no signal but SIGKILL.

use std::collections::VecDeque;

use rustix::process::{Signal, kill_process};

use crate::runner::{Stage, children, deaf_family, worker};
use crate::support::record;
use crate::support::{LEASE, assert_most, until, until_successor};

const STAY: [&str; 4] = ["--on-exit", "restart", "--grace", "1h"];

#[tokio::test]
async fn a_killed_pg_leader_takes_its_command_along_before_another_leads() {
    let stage = Stage::new("killed");
    let [mut first, _second] = stage.pair(&STAY, &deaf_family()).await;
    first.kill();
    stage.until_working("second").await;
    let steps = stage.steps();
    record::assert_no_overlap(&steps);
    let gap = record::gap_after(&steps, 1).unwrap();
    assert!(gap < LEASE * 15, "{gap:?} without a leader");
    assert_eq!(stage.endings(), ["lost", "open"]);
}

/// Most are: not those whose end the server counted among the endings that prove nothing, as when an answer was on its
/// way to them.
#[tokio::test]
async fn a_killed_pg_leader_is_followed_at_once() {
    const KILLS: usize = 10;
    let stage = Stage::new("quick");
    let mut runs = VecDeque::from(stage.pair(&STAY, &deaf_family()).await);
    let mut addresses = VecDeque::from(["second".to_owned()]);
    let mut took = vec![];
    for term in (1..).take(KILLS) {
        let next = addresses.pop_front().expect("somebody stands by");
        let killed = record::now();
        runs.pop_front().expect("it leads").kill();
        stage.until_working(&next).await;
        took.push(stage.time_to_term(killed, term + 1));
        let address = format!("{term}");
        runs.push_back(stage.run(&address, &STAY, &deaf_family()));
        addresses.push_back(address);
        until_successor(&stage.cluster, stage.election).await;
    }
    record::assert_no_overlap(&stage.steps());
    assert_most("killed", &took, KILLS * 7 / 10, LEASE * 3 / 4, LEASE * 15);
}

#[tokio::test]
async fn a_command_that_is_stopped_dies_with_pg_leader() {
    let stage = Stage::new("asleep");
    let script = format!(
        "[ $PG_LEADER_ADDRESS = first ] && {{ {worker} & until [ -s $RECORD ]; do :; done; kill -STOP $! $$; }}
         exec {worker}",
        worker = worker()
    );
    let [mut first, _second] = stage.pair(&STAY, &script).await;
    first.kill();
    stage.until_working("second").await;
    record::assert_no_overlap(&stage.steps());
}

#[tokio::test]
async fn a_stopped_pg_leader_loses_its_command_before_another_leads() {
    let stage = Stage::new("hung");
    let [first, _second] = stage.pair(&STAY, &deaf_family()).await;
    first.signal(Signal::STOP);
    stage.until_working("second").await;
    let steps = stage.steps();
    record::assert_no_overlap(&steps);
    let gap = record::gap_after(&steps, 1).unwrap();
    assert!(gap < LEASE * 15, "{gap:?} without a leader");

    first.signal(Signal::CONT);
    until("the woken process is a candidate again", || {
        stage.status("successor").as_deref() == Some("first")
    })
    .await;
    record::assert_no_overlap(&stage.steps());
}

#[tokio::test]
async fn a_killed_session_ends_the_command_before_another_leads() {
    let stage = Stage::new("severed");
    let [_first, _second] = stage.pair(&STAY, &deaf_family()).await;
    for term in 1..4 {
        stage
            .cluster
            .execute("SELECT pgleader.depose('severed')")
            .unwrap();
        until("the next term works", || {
            stage.steps().iter().any(|step| step.term > term)
        })
        .await;
        until("somebody stands by", || stage.status("successor").is_some()).await;
    }
    record::assert_no_overlap(&stage.steps());
}

#[tokio::test]
async fn a_killed_session_leaves_the_command_what_is_left_of_the_lease() {
    let stage = Stage::new("notice");
    let script = "trap 'sleep 0.1; touch $DIRECTORY/heard; exit' TERM
                  touch $DIRECTORY/up; while :; do sleep 0.02; done";
    let mut run = stage.run("a", &STAY, script);
    stage.until_file("up").await;
    stage
        .cluster
        .execute("SELECT pgleader.depose('notice')")
        .unwrap();
    stage.until_file("heard").await;
    assert_eq!(run.ended(), None);
}

#[tokio::test]
async fn a_killed_guard_takes_the_command_along() {
    let stage = Stage::new("unguarded");
    let [mut first, _second] = stage.pair(&STAY, &deaf_family()).await;
    kill_process(first.guard(), Signal::KILL).unwrap();
    stage.until_working("second").await;
    record::assert_no_overlap(&stage.steps());
    assert_eq!(stage.endings(), ["failed", "open"]);
    assert_eq!(first.ended(), None);
    assert_eq!(children(first.pid()), [], "something was left behind");
}

#[tokio::test]
async fn a_guard_hears_no_signal_of_those_that_end_programs() {
    let stage = Stage::new("stubborn");
    let script = format!("exec {}", worker());
    let mut run = stage.run("a", &STAY, &script);
    stage.until_working("a").await;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        kill_process(run.guard(), signal).unwrap();
    }
    let guard = run.guard();
    let before = stage.steps().len();
    until("the command works on", || {
        stage.steps().len() > before + 100
    })
    .await;
    assert_eq!(run.guard(), guard);
    run.signal(Signal::TERM);
    assert_eq!(run.exit_code().await, 0);
    assert_eq!(stage.endings(), ["resigned"]);
}

#[tokio::test]
async fn a_stopped_guard_does_not_keep_the_command_alive() {
    let stage = Stage::new("stopped-guard");
    let [first, _second] = stage.pair(&STAY, &deaf_family()).await;
    kill_process(first.guard(), Signal::STOP).unwrap();
    stage
        .cluster
        .execute("SELECT pgleader.depose('stopped-guard')")
        .unwrap();
    stage.until_working("second").await;
    record::assert_no_overlap(&stage.steps());
    until("nothing is left behind", || {
        children(first.pid()).is_empty()
    })
    .await;
}

#[tokio::test]
async fn with_pg_leader_stopped_and_the_guard_killed_the_kernel_ends_the_command() {
    let stage = Stage::new("orphaned");
    let script = format!("trap '' TERM; exec {}", worker());
    let [first, _second] = stage.pair(&STAY, &script).await;
    let guard = first.guard();
    first.signal(Signal::STOP);
    kill_process(guard, Signal::KILL).unwrap();
    stage.until_working("second").await;
    record::assert_no_overlap(&stage.steps());
}

/// Nobody is left who could end the daemon; but the connection is open as long as it lives.
#[tokio::test]
async fn with_pg_leader_and_its_guard_killed_nobody_leads_at_once_in_place_of_a_daemon() {
    let stage = Stage::new("last-resort");
    let script = format!(
        "[ $PG_LEADER_ADDRESS = second ] && exec {worker}
         setsid sh -c \"{worker} & until [ -e $DIRECTORY/killed ]; do sleep 0.01; done
             sleep 0.4; kill -KILL \\$!\" & wait",
        worker = worker()
    );
    let [mut first, _second] = stage.pair(&STAY, &script).await;
    let guard = first.guard();
    first.signal(Signal::STOP);
    kill_process(guard, Signal::KILL).unwrap();
    first.kill();
    let killed = record::now();
    std::fs::write(stage.path("killed"), "").unwrap();
    stage.until_working("second").await;
    let steps = stage.steps();
    let outlived = steps
        .iter()
        .filter(|step| step.term == 1 && step.ended > killed + 200_000_000);
    assert!(outlived.count() > 0, "the daemon did not outlive them");
    record::assert_no_overlap(&steps);
}
