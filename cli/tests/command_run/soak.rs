//! Three candidates under kill -9, SIGSTOP and killed sessions: never two at work.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::runner::{Run, Stage, deaf_family};
use crate::support::record;
use crate::support::until;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// So long, in seconds; PG_LEADER_SOAK_SECONDS says otherwise.
const SOAK: u64 = 20;

#[tokio::test]
async fn three_candidates_under_every_mishap_are_never_two_at_work() {
    let seconds = std::env::var("PG_LEADER_SOAK_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(SOAK);
    let stage = Stage::new("soak");
    let start = |name: &str| stage.run(name, &["--on-exit", "restart"], &deaf_family());
    let mut runs: Vec<Run> = NAMES.iter().map(|name| start(name)).collect();
    let began = Instant::now();
    let mut done = [0; 4];
    let mut newest = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        until("a new term works", || stage.newest_term() > newest).await;
        newest = stage.newest_term();
        let leader = leader(&stage);
        let mishap = done.iter().sum::<usize>() % done.len();
        let run = &mut runs[leader];
        match mishap {
            0 => {
                run.kill();
                *run = start(NAMES[leader]);
            }
            1 => {
                run.signal(Signal::STOP);
                until("another term works", || stage.newest_term() > newest).await;
                run.signal(Signal::CONT);
            }
            2 => stage
                .cluster
                .execute("SELECT pgleader.depose('soak')")
                .unwrap(),
            _ => {
                let guard = run.guard();
                rustix::process::kill_process(guard, Signal::KILL).unwrap();
            }
        }
        done[mishap] += 1;
    }
    // Killed in one moment pg-leader and its guard leave the command behind, and here nothing would ever end it.
    until("the last mishap is over", || stage.newest_term() > newest).await;
    drop(runs);
    let steps = stage.steps();
    let [killed, stopped, severed, unguarded] = done;
    println!(
        "{} s: {killed} killed, {stopped} stopped, {severed} sessions killed, {unguarded} guards killed; \
         {} steps in {} terms, overlap {:?}",
        began.elapsed().as_secs(),
        steps.len(),
        stage.endings().len(),
        record::overlap(&steps),
    );
    record::assert_no_overlap(&steps);
    assert!(
        done.iter().all(|times| *times > 0),
        "{done:?} in {seconds} s"
    );
}

fn leader(stage: &Stage) -> usize {
    let steps = stage.steps();
    let newest = steps.iter().max_by_key(|step| step.term).expect("steps");
    let leader = NAMES.iter().position(|name| *name == newest.address);
    leader.expect("one of ours")
}
