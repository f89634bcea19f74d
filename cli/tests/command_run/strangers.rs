//! What others have set up around `pg-leader run`: it leaves it as it is.

use rustix::process::{Pid, Signal, kill_process};

use crate::runner::{Stage, children};
use crate::support::until;

/// A shell with a child of its own becomes pg-leader, which adopts what that child leaves behind.
const BECOMES: &str = "sh -c 'sleep 60 & echo $! >$DIRECTORY/pid; touch $DIRECTORY/known
        while [ -d $DIRECTORY ] && ! [ -e $DIRECTORY/leave ]; do sleep 0.02; done' &
    exec \"$0\" \"$@\"";

#[tokio::test]
async fn an_orphan_of_others_outlives_a_term_and_is_reaped_when_it_ends() {
    let stage = Stage::new("orphan");
    let script = "touch $DIRECTORY/up$PG_LEADER_TERM
                  until [ -e $DIRECTORY/go ] && [ $PG_LEADER_TERM = 1 ]; do sleep 0.02; done";
    let mut run = stage.run_by(
        &["sh", "-c", BECOMES],
        "a",
        &["--on-exit", "restart"],
        &["sh", "-c", script],
    );
    stage.until_file("known").await;
    let orphan = stage.text("pid").trim().parse().unwrap();
    let orphan = Pid::from_raw(orphan).unwrap();
    stage.until_file("up1").await;
    std::fs::write(stage.path("leave"), "").unwrap();
    until("the orphan is adopted", || {
        children(run.pid()).contains(&orphan)
    })
    .await;

    std::fs::write(stage.path("go"), "").unwrap();
    stage.until_file("up2").await;
    assert!(
        kill_process(orphan, Signal::KILL).is_ok(),
        "it died with the first term"
    );
    until("the orphan is reaped, within the second term", || {
        !children(run.pid()).contains(&orphan)
    })
    .await;
    assert_eq!(stage.endings(), ["resigned", "open"]);
    run.signal(Signal::TERM);
    assert_eq!(run.exit_code().await, 0);
}

#[tokio::test]
async fn a_hangup_that_is_ignored_from_the_start_ends_neither_pg_leader_nor_the_command() {
    let stage = Stage::new("nohup");
    let script = "kill -HUP $$; touch $DIRECTORY/up
                  until [ -e $DIRECTORY/go ]; do sleep 0.02; done; exit 5";
    let mut run = stage.run_by(
        &["env", "--ignore-signal=HUP"],
        "a",
        &[],
        &["sh", "-c", script],
    );
    stage.until_file("up").await;
    run.signal(Signal::HUP);
    std::fs::write(stage.path("go"), "").unwrap();
    assert_eq!(run.exit_code().await, 5);
}
