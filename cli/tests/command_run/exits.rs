//! The command's exit, and pg-leader's.

use std::time::Duration;

use crate::runner::{Stage, worker};
use crate::support::record::now;
use crate::support::until;

#[tokio::test]
async fn the_status_of_the_command_is_passed_on() {
    let stage = Stage::new("status");
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
    ] {
        let mut run = stage.run("a", &[], script);
        assert_eq!(run.exit_code().await, code, "{script}");
    }
    assert_eq!(stage.endings(), ["resigned", "failed", "failed", "failed"]);
    let candidates = stage.status("candidates");
    assert_eq!(candidates.as_deref(), Some("0"), "it did not leave");
}

#[tokio::test]
async fn a_command_that_is_not_there_or_no_program_has_a_code_of_its_own() {
    let stage = Stage::new("missing");
    let mut run = stage.run_command("a", &[], &["/nowhere/at-all"]);
    assert_eq!(run.exit_code().await, 127);
    let mut run = stage.run_command("a", &[], &["/etc/passwd"]);
    assert_eq!(run.exit_code().await, 126);
}

#[tokio::test]
async fn what_goes_wrong_before_there_is_a_command_has_a_code_of_its_own() {
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_pg-leader"))
            .args(arguments)
            .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let base = ["run", "--election", "e", "--address", "a"];
    let (code, said) = run(&[&base[..], &["--", "true"]].concat());
    assert_eq!(code, Some(125));
    assert!(said.contains("no server could be reached"), "{said}");
    let (code, said) = run(&[&base[..], &["--lease", "1ms", "--", "true"]].concat());
    assert_eq!(code, Some(2));
    assert!(said.contains("the lease must be"), "{said}");
    let (code, said) = run(&[&base[..], &["--retry-interval", "1ms", "--", "true"]].concat());
    assert_eq!(code, Some(2));
    assert!(said.contains("the retry interval must be"), "{said}");
    let (code, _) = run(&[&base[..], &["--takeover", "never", "--", "true"]].concat());
    assert_eq!(code, Some(2));
    let (code, _) = run(&base);
    assert_eq!(code, Some(2));
    // From 100 the guard keeps its own.
    let (code, said) = run(&[&base[..], &["--ready-fd", "100", "--", "true"]].concat());
    assert_eq!(code, Some(2));
    assert!(said.contains("3..100"), "{said}");
}

/// A supervisor's restart is a first connect: it must not install into whatever the name leads to then.
#[tokio::test]
async fn it_installs_only_where_it_is_told_to() {
    let stage = Stage::new("bare");
    let run = |options: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_pg-leader"))
            .args(["run", "--election", "e", "--address", "a"])
            .args(options)
            .args(["--", "true"])
            .env("DATABASE_URL", stage.cluster.url())
            .output()
            .unwrap()
    };
    let refused = run(&[]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(125), "{said}");
    assert!(said.contains("run pg-leader install"), "{said}");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgleader'";
    let found = stage.cluster.query(schemas).unwrap();
    assert_eq!(found.as_deref(), Some("0"), "it installed all the same");
    assert_eq!(run(&["--install"]).status.code(), Some(0));
}

#[tokio::test]
async fn the_session_has_the_name_that_it_is_given() {
    let stage = Stage::new("named");
    let _run = stage.run("a", &["--application-name", "worker"], "exec sleep 60");
    let named = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'worker a'";
    until("it is there under its name", || {
        stage.cluster.query(named).unwrap().as_deref() != Some("0")
    })
    .await;
}

#[tokio::test]
async fn a_command_that_failed_is_run_again_after_the_retry_interval() {
    let stage = Stage::new("again");
    let script = "date +%s%N >>$DIRECTORY/starts; sleep 1.2; exit 1";
    let options = ["--on-exit", "restart", "--retry-interval", "200ms"];
    let _run = stage.run("a", &options, script);
    until("it has run twice", || {
        stage.text("starts").lines().count() >= 2
    })
    .await;
    let starts = stage.text("starts");
    let starts: Vec<u64> = starts.lines().map(|at| at.parse().unwrap()).collect();
    let passed = Duration::from_nanos(starts[1] - starts[0]);
    assert!(passed < Duration::from_secs(5), "{passed:?}");
}

#[tokio::test]
async fn told_to_always_wait_it_takes_no_end_of_a_session_for_that_of_the_work() {
    let stage = Stage::new("careful");
    let script = format!("exec {}", worker());
    let [mut first, _second] = stage.pair(&["--takeover", "always-wait"], &script).await;
    let killed = now();
    first.kill();
    until("the second works", || stage.newest_term() == 2).await;
    let passed = stage.time_to_term(killed, 2);
    assert!(passed >= stage.lease, "{passed:?}");
}

#[tokio::test]
async fn told_to_restart_it_stays_a_candidate() {
    let stage = Stage::new("restart");
    let script = "echo up >>$DIRECTORY/starts; exit 0";
    let mut run = stage.run("a", &["--on-exit", "restart"], script);
    until("it has run thrice", || {
        stage.text("starts").lines().count() >= 3
    })
    .await;
    assert_eq!(run.ended(), None);
    assert!(stage.endings().len() >= 2, "{:?}", stage.endings());
}

/// However it ends by itself.
#[tokio::test]
async fn a_command_that_ends_at_once_is_not_run_again_at_once() {
    let stage = Stage::new("brief");
    let script = "date +%s%N >>$DIRECTORY/starts
        case $(wc -l <$DIRECTORY/starts) in 1) exit 0;; 2) kill -9 $$;; esac
        until false; do sleep 1; done";
    let _run = stage.run("a", &["--on-exit", "restart"], script);
    until("it has run three times", || {
        stage.text("starts").lines().count() >= 3
    })
    .await;
    let starts = stage.text("starts");
    let starts: Vec<u64> = starts.lines().map(|at| at.parse().unwrap()).collect();
    for pair in starts.windows(2) {
        let gap = std::time::Duration::from_nanos(pair[1] - pair[0]);
        // Three quarters of five seconds, and what `date` takes.
        assert!(gap.as_secs_f64() > 3.6, "{gap:?}");
    }
    assert_eq!(stage.endings(), ["resigned", "failed", "open"]);
}

#[tokio::test]
async fn a_failed_command_lets_another_lead() {
    let stage = Stage::new("failed");
    let script = format!(
        "[ $PG_LEADER_ADDRESS = second ] || until [ -e $DIRECTORY/fail ]; do sleep 0.01; done
         [ $PG_LEADER_ADDRESS = second ] || exit 1; exec {}",
        worker()
    );
    let options = ["--on-exit", "restart"];
    let mut first = stage.run("first", &options, &script);
    until("the first leads", || {
        stage.status("address").as_deref() == Some("first")
    })
    .await;
    let _second = stage.run("second", &options, &script);
    crate::support::until_successor(&stage.cluster, stage.election).await;
    std::fs::write(stage.path("fail"), "").unwrap();
    stage.until_working("second").await;
    assert_eq!(stage.endings(), ["failed", "open"]);
    assert_eq!(first.ended(), None, "the first did not stay");
}

#[tokio::test]
async fn the_candidate_of_the_highest_priority_is_next() {
    let stage = Stage::new("priority");
    let script = format!("exec {}", worker());
    let low = ["--priority", "-5"];
    let [mut first, _second] = stage.pair(&low, &script).await;
    let _third = stage.run("third", &["--priority", "5"], &script);
    until("the third is next", || {
        stage.status("successor").as_deref() == Some("third")
    })
    .await;
    assert_eq!(stage.status("address").as_deref(), Some("first"));
    first.kill();
    stage.until_working("third").await;
}

#[tokio::test]
async fn told_to_fail_it_goes_on_after_a_success_and_leaves_after_a_failure() {
    let stage = Stage::new("fail");
    let script = "echo up >>$DIRECTORY/starts; [ $(wc -l <$DIRECTORY/starts) -lt 3 ] || exit 9";
    let mut run = stage.run("a", &["--on-exit", "fail"], script);
    assert_eq!(run.exit_code().await, 9);
    assert_eq!(stage.endings(), ["resigned", "resigned", "failed"]);
}
