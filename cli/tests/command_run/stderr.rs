//! Standard error that nobody reads, and whose reader is gone: it ends nothing and blocks nothing.

use std::io::{PipeReader, PipeWriter, Write};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::runner::{Run, Stage, USUAL, worker};
use crate::support::record;
use crate::support::{LEASE, until, until_successor};

enum Stderr {
    /// Full, and nobody reads.
    Full(
        #[allow(dead_code, reason = "it stays open, and nobody reads it")] PipeReader,
        PipeWriter,
    ),
    Gone(PipeWriter),
}

impl Stderr {
    fn both() -> [Stderr; 2] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let full = Stderr::Full(reader, writer.try_clone().unwrap());
        // It waits for room until the reader is dropped, and takes what there is.
        std::thread::spawn(move || writer.write_all(&vec![b'x'; 1 << 22]));
        [full, Stderr::Gone(std::io::pipe().unwrap().1)]
    }

    fn writer(&self) -> PipeWriter {
        let (Stderr::Full(_, writer) | Stderr::Gone(writer)) = self;
        writer.try_clone().unwrap()
    }

    fn run(&self, stage: &Stage, address: &str, options: &[&str], command: &[&str]) -> Run {
        let mut line = stage.line(&USUAL, address, options, command);
        line.stderr(self.writer());
        Run::of(line)
    }
}

/// Far more than the queue of the log takes, and no more than the tests wait for.
const TALKATIVE: [&str; 3] = ["-vvv", "--grace", "500ms"];

#[tokio::test]
async fn the_leadership_goes_on_and_sigterm_ends_it_in_order() {
    for stderr in Stderr::both() {
        let stage = Stage::new("order");
        let script = format!("exec {}", worker());
        let mut run = stderr.run(&stage, "a", &TALKATIVE, &["sh", "-c", &script]);
        stage.until_working("a").await;
        let since = Instant::now();
        until("it works on", || {
            let last = stage.steps().last().map(|step| step.began);
            since.elapsed() > LEASE * 3 && last > Some(record::now() - 500_000_000)
        })
        .await;
        assert_eq!(stage.endings(), ["open"]);
        let told = Instant::now();
        run.signal(Signal::TERM);
        assert_eq!(run.exit_code().await, 0);
        let took = told.elapsed();
        assert!(took < LEASE * 10, "{took:?} to the end");
        assert_eq!(stage.endings(), ["resigned"]);
    }
}

#[tokio::test]
async fn a_deaf_command_is_killed_after_the_grace() {
    for stderr in Stderr::both() {
        let stage = Stage::new("deaf");
        let script = format!("trap '' TERM; exec {}", worker());
        let mut run = stderr.run(&stage, "a", &TALKATIVE, &["sh", "-c", &script]);
        stage.until_working("a").await;
        run.signal(Signal::TERM);
        assert_eq!(run.exit_code().await, 0);
        assert_eq!(stage.endings(), ["resigned"]);
    }
}

#[tokio::test]
async fn a_lost_session_ends_the_work_and_not_the_candidacy() {
    for stderr in Stderr::both() {
        let stage = Stage::new("session");
        let script = format!("trap '' TERM; exec {}", worker());
        let options = [&TALKATIVE[..], &["--on-exit", "restart"]].concat();
        let command = ["sh", "-c", &script];
        let _first = stderr.run(&stage, "first", &options, &command);
        stage.until_working("first").await;
        let _second = stderr.run(&stage, "second", &options, &command);
        for _ in 0..2 {
            until_successor(&stage.cluster, stage.election).await;
            let led = stage.steps().last().expect("somebody works").term;
            stage
                .cluster
                .execute("SELECT pgleader.depose('session')")
                .unwrap();
            until("the next term works", || {
                stage.steps().iter().any(|step| step.term > led)
            })
            .await;
        }
        record::assert_no_overlap(&stage.steps());
    }
}

#[tokio::test]
async fn a_killed_pg_leader_is_followed() {
    for stderr in Stderr::both() {
        let stage = Stage::new("killed");
        let script = format!("trap '' TERM; exec {}", worker());
        let command = ["sh", "-c", &script];
        let mut first = stderr.run(&stage, "first", &TALKATIVE, &command);
        stage.until_working("first").await;
        let _second = stderr.run(&stage, "second", &TALKATIVE, &command);
        until_successor(&stage.cluster, stage.election).await;
        first.kill();
        stage.until_working("second").await;
        record::assert_no_overlap(&stage.steps());
    }
}

/// These words come from pg-leader itself, and from the process that would have become the command.
#[tokio::test]
async fn a_failure_that_cannot_be_said_is_still_an_exit_code() {
    for stderr in Stderr::both() {
        let stage = Stage::new("words");
        let mut run = stderr.run(&stage, "a", &["--quiet"], &["/nowhere/at-all"]);
        assert_eq!(run.exit_code().await, 127);
        let mut line = stage.line(&USUAL, "a", &[], &["true"]);
        line.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
        line.stderr(stderr.writer());
        assert_eq!(Run::of(line).exit_code().await, 125);
    }
}

#[tokio::test]
async fn what_is_read_late_is_all_there_up_to_the_end() {
    let stage = Stage::new("late");
    let (reader, writer) = std::io::pipe().unwrap();
    let mut line = stage.line(&USUAL, "a", &[], &["/nowhere/at-all"]);
    line.stderr(writer);
    let mut run = Run::of(line);
    let said = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        std::io::read_to_string(reader).unwrap()
    });
    assert_eq!(run.exit_code().await, 127);
    let said = said.join().unwrap();
    assert!(said.contains("started the command"), "{said}");
    assert!(said.contains("cannot run /nowhere/at-all"), "{said}");
}
