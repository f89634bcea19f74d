//! How soon the next command runs after an orderly end.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use crate::runner::{Stage, USUAL};
use crate::support::{client, until};

const HANDOVERS: usize = 11;

/// What commands say, in its order.
struct Told(BufReader<File>);

impl Told {
    fn by(stage: &Stage) -> Told {
        let fifo = stage.path("told");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        // For writing too: it never comes to its end.
        let told = File::options().read(true).write(true).open(&fifo);
        Told(BufReader::new(told.unwrap()))
    }

    fn next(&mut self) -> (String, Instant) {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        (line.trim_end().to_owned(), Instant::now())
    }

    fn expect(&mut self, what: &str) -> Instant {
        let (line, at) = self.next();
        assert_eq!(line, what);
        at
    }
}

/// From the end of one command to the beginning of the next, and from the step-down to there: the medians.
async fn handovers(stage: &Stage, launcher: &[&str], script: &str) -> (Duration, Duration) {
    let mut told = Told::by(stage);
    let command = ["sh", "-c", script];
    let _first = stage.run_by(launcher, "first", &[], &command);
    told.expect("begins");
    let _second = stage.run_by(launcher, "second", &[], &command);
    let operator = client(&stage.cluster.url()).await;
    let step_down = operator
        .prepare("SELECT pgleader.step_down($1)")
        .await
        .unwrap();
    let (mut passed, mut all) = (vec![], vec![]);
    for _ in 0..HANDOVERS {
        until("there is a successor", || {
            stage.status("successor").is_some()
        })
        .await;
        let asked = Instant::now();
        operator
            .query(&step_down, &[&stage.election])
            .await
            .unwrap();
        let ended = told.expect("ends");
        let began = told.expect("begins");
        passed.push(began - ended);
        all.push(began - asked);
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[HANDOVERS / 2]
    };
    let (passed, all) = (median(passed), median(all));
    println!(
        "{}: {passed:?} from end to beginning, {all:?} from the step-down",
        stage.election
    );
    (passed, all)
}

const WORKS: &str = "trap 'echo ends >$DIRECTORY/told; exit 0' TERM; echo begins >$DIRECTORY/told
    while :; do sleep 60 & wait $!; done";

#[tokio::test]
async fn the_next_command_runs_soon_after_a_step_down() {
    let stage = Stage::new("usual");
    let (_, all) = handovers(&stage, &USUAL, WORKS).await;
    // The mark, for a quiet machine, is in docs/development/marks.md.
    assert!(all < stage.lease / 2, "{all:?}");
}
