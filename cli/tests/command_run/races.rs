//! A command ends in the same moment as something else. It has ended, and is not run again.

use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::runner::{Run, Stage};
use crate::support::{LEASE, until};

/// Each of these has ended by itself before it was asked to, once: with 5, if it did not have to go on.
const SCRIPT: &str = "echo $PG_LEADER_TERM >>$DIRECTORY/starts; touch $DIRECTORY/up
                      until [ -e $DIRECTORY/end ]; do sleep 0.01; done; exit 5";

/// It does not hear of the command's end while it is stopped: then it learns of everything at once.
struct Stopped {
    stage: Stage,
    run: Run,
}

impl Stopped {
    async fn when_the_command_ends(election: &'static str, lease: Duration) -> Stopped {
        let mut stage = Stage::new(election);
        stage.lease = lease;
        let run = stage.run("a", &[], SCRIPT);
        stage.until_file("up").await;
        let guard = run.guard();
        run.signal(Signal::STOP);
        // On a busy machine some of its threads go on for a while.
        until("it is stopped", || is_stopped(run.pid())).await;
        std::fs::write(stage.path("end"), "").unwrap();
        until("the guard has ended", || is_zombie(guard)).await;
        Stopped { stage, run }
    }

    async fn goes_on(mut self) -> Vec<String> {
        self.run.signal(Signal::CONT);
        assert_eq!(self.run.exit_code().await, 5);
        assert_eq!(self.stage.text("starts"), "1\n", "it was run again");
        self.stage.endings()
    }
}

/// With all its threads.
fn is_stopped(pid: Pid) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    tasks.expect("it lives").all(|task| {
        let stat = std::fs::read_to_string(task.expect("it lives").path().join("stat"));
        stat.is_ok_and(|stat| stat.contains(") T "))
    })
}

fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.expect("nobody has reaped it").contains(") Z ")
}

#[tokio::test]
async fn a_report_and_an_order_that_can_no_longer_be_given() {
    // Which of the two is looked at first is chance.
    for _ in 0..8 {
        let lease = LEASE * 4;
        let stopped = Stopped::when_the_command_ends("order", lease).await;
        // Now an extension is due.
        tokio::time::sleep(lease / 10).await;
        assert_eq!(stopped.goes_on().await, ["failed"]);
    }
}

#[tokio::test]
async fn a_report_and_the_loss_of_the_session() {
    for _ in 0..4 {
        let stopped = Stopped::when_the_command_ends("session", LEASE * 4).await;
        let depose = "SELECT pgleader.depose('session')";
        stopped.stage.cluster.execute(depose).unwrap();
        stopped.goes_on().await;
    }
}

/// The work is dropped, and was never asked again.
#[tokio::test]
async fn a_report_and_the_end_of_the_lease() {
    let stopped = Stopped::when_the_command_ends("lease", LEASE).await;
    until("the server has ended the session", || {
        stopped.stage.status("leader_pid").is_none()
    })
    .await;
    stopped.goes_on().await;
}

#[tokio::test]
async fn a_report_and_a_signal() {
    let mut stopped = Stopped::when_the_command_ends("signal", LEASE * 4).await;
    stopped.run.signal(Signal::TERM);
    stopped.run.signal(Signal::CONT);
    // Whichever it heard first.
    let code = stopped.run.exit_code().await;
    assert!([0, 5].contains(&code), "{code}");
    assert_eq!(stopped.stage.text("starts"), "1\n", "it was run again");
}

#[tokio::test]
async fn a_short_command_is_run_once_at_the_shortest_lease() {
    let mut stage = Stage::new("short");
    stage.lease = Duration::from_millis(100);
    for n in 0..40 {
        let mut run = stage.run(&n.to_string(), &[], "exit 0");
        assert_eq!(run.exit_code().await, 0);
    }
    // On a busy machine so short a lease may be lost, also before the command is there.
    let run_again = "SELECT string_agg(format('%s: %s', address, ending), ', ') FROM
        (SELECT *, row_number() OVER (PARTITION BY address ORDER BY term DESC) AS nth FROM pgleader.history) AS h
        WHERE CASE WHEN nth = 1 THEN ending IN ('failed', 'stepped down') ELSE ending NOT IN ('deposed', 'lost') END";
    assert_eq!(stage.cluster.query(run_again).unwrap(), None);
}
