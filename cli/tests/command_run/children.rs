//! Commands of every kind, and their orderly end.

use rustix::process::{Signal, kill_process};

use crate::runner::{Run, Stage, USUAL, children, deaf_family, worker};
use crate::support::record;
use crate::support::{CEILING, until};

#[tokio::test]
async fn a_command_knows_its_election_term_address_and_token() {
    let stage = Stage::new("environment");
    let script = "echo $PG_LEADER_ELECTION $PG_LEADER_TERM $PG_LEADER_ADDRESS >$DIRECTORY/said
                  echo $PG_LEADER_TOKEN >$DIRECTORY/token";
    let mut run = stage.run("here:1", &[], script);
    assert_eq!(run.exit_code().await, 0);
    assert_eq!(stage.text("said"), "environment 1 here:1\n");
    let token = stage.cluster.query("SELECT token FROM pgleader.term");
    assert_eq!(stage.text("token").trim(), token.unwrap().unwrap());
}

/// The second is the pooled one of an application, which pg-leader itself could not use.
#[tokio::test]
async fn the_command_has_its_own_database_and_nothing_that_is_for_pg_leader_alone() {
    let stage = Stage::new("secrets");
    let script = "env >$DIRECTORY/environment; touch $DIRECTORY/up; sleep 60 & wait";
    let mut line = stage.line(&USUAL, "a", &[], &["sh", "-c", script]);
    let secret = format!("{}?application_name=hush", stage.cluster.url());
    line.env("PG_LEADER_DATABASE_URL", &secret)
        .env("DATABASE_URL", "postgres://app:own@pool:6432/app")
        // Of another pg-leader, whose command this one is: its descriptor is not open here.
        .env("PG_LEADER_READY_FILE", "of-another")
        .env("PG_LEADER_READY_FD", "77")
        .env("PG_LEADER_TERM", "77");
    let run = Run::of(line);
    stage.until_file("up").await;
    let own = stage.text("environment");
    let has = |variable: &str| own.lines().any(|line| line == variable);
    assert!(
        has("DATABASE_URL=postgres://app:own@pool:6432/app"),
        "{own}"
    );
    assert!(has("PG_LEADER_TERM=1"), "{own}");
    assert!(!own.contains("PG_LEADER_READY"), "{own}");
    // Whoever runs as the command's user can read what each process was started with.
    let guard = run.guard();
    let below = [vec![guard], children(guard)].concat();
    for pid in below {
        let pid = pid.as_raw_nonzero();
        let started = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let started = String::from_utf8_lossy(&started);
        assert!(started.contains("PG_LEADER_TOKEN="), "{started}");
        assert!(!started.contains("hush"), "{started}");
    }
    assert!(!own.contains("hush"), "{own}");
}

#[tokio::test]
async fn standard_input_and_output_pass_through() {
    use std::io::Write;
    let stage = Stage::new("streams");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_pg-leader"))
        .args([
            "run",
            "--quiet",
            "--install",
            "--election",
            "streams",
            "--address",
            "a",
        ])
        .args(["--", "sh", "-c", "tr a-z A-Z; echo error >&2"])
        .env("DATABASE_URL", stage.cluster.url())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"loud").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "LOUD");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error\n");
}

#[tokio::test]
async fn on_a_terminal_the_command_reads_nothing_and_ctrl_c_ends_all_in_order() {
    use std::io::Write;
    let stage = Stage::new("terminal");
    let line = format!(
        "{} run --install --election terminal --address a -- sh -c \
         'cat; trap \"touch $DIRECTORY/heard; exit\" TERM; touch $DIRECTORY/up; while :; do sleep 0.05; done'",
        env!("CARGO_BIN_EXE_pg-leader")
    );
    // Whoever runs the tests in the background has SIGINT ignored.
    let mut terminal = std::process::Command::new("env")
        .args(["--default-signal", "script", "--quiet", "--return"])
        .args(["--command", &line, "/dev/null"])
        .env("DATABASE_URL", stage.cluster.url())
        .env("DIRECTORY", stage.path(""))
        .stdin(std::process::Stdio::piped())
        .stdout(std::fs::File::create(stage.path("screen")).unwrap())
        .spawn()
        .unwrap();
    stage.until_file("up").await;
    let mut keyboard = terminal.stdin.take().unwrap();
    keyboard.write_all(b"\x03").unwrap();
    let ended = async { until("it ends", || terminal.try_wait().unwrap().is_some()).await };
    if tokio::time::timeout(CEILING * 2 / 3, ended).await.is_err() {
        let processes = std::process::Command::new("ps")
            .args(["-eo", "pid,ppid,pgid,tpgid,stat,args"])
            .output();
        let processes = String::from_utf8(processes.unwrap().stdout).unwrap();
        panic!("it does not end:\n{}\n{processes}", stage.text("screen"));
    }
    assert_eq!(terminal.wait().unwrap().code(), Some(130));
    assert!(
        stage.path("heard").exists(),
        "the command was not asked to end"
    );
    assert_eq!(stage.endings(), ["resigned"]);
}

#[tokio::test]
async fn asked_to_end_it_lets_the_command_end_first() {
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 130), (Signal::HUP, 129)] {
        let stage = Stage::new("polite");
        let script = "trap 'touch $DIRECTORY/heard; sleep 1.5; touch $DIRECTORY/last; exit 7' TERM
                      touch $DIRECTORY/up; while :; do sleep 0.05; done";
        let mut run = stage.run("a", &[], script);
        stage.until_file("up").await;
        run.signal(signal);
        stage.until_file("heard").await;
        // The leadership is held, for longer than a lease, while the command puts its things away.
        let mut looks = 0;
        until("the command has put its things away", || {
            let holder = stage.status("address");
            // Looked at afterwards: what was read before holds until here.
            let put_away = stage.path("last").exists();
            if !put_away {
                assert_eq!(holder.as_deref(), Some("a"), "it is released too soon");
                looks += 1;
            }
            put_away
        })
        .await;
        assert!(looks > 5, "{looks} looks say nothing");
        assert_eq!(run.exit_code().await, code);
        assert_eq!(stage.endings(), ["resigned"]);
    }
}

#[tokio::test]
async fn a_command_that_is_deaf_is_killed_after_the_grace_with_all_that_it_forked() {
    let stage = Stage::new("deaf");
    let options = ["--grace", "200ms"];
    let [mut first, _second] = stage.pair(&options, &deaf_family()).await;
    first.signal(Signal::TERM);
    assert_eq!(first.exit_code().await, 0);
    stage.until_working("second").await;
    record::assert_no_overlap(&stage.steps());
    assert_eq!(stage.endings()[0], "resigned");
}

/// As a service manager does that ends all processes of a unit.
#[tokio::test]
async fn told_together_with_its_guard_and_command_it_ends_in_order() {
    let stage = Stage::new("together");
    let mut run = stage.run("a", &[], "touch $DIRECTORY/up; sleep 60");
    stage.until_file("up").await;
    let guard = run.guard();
    for pid in [children(guard)[0], guard] {
        kill_process(pid, Signal::TERM).unwrap();
    }
    run.signal(Signal::TERM);
    assert_eq!(run.exit_code().await, 0);
}

#[tokio::test]
async fn a_second_signal_kills_at_once() {
    let stage = Stage::new("hurry");
    let mut run = stage.run("a", &["--grace", "1h"], &deaf_family());
    stage.until_working("a").await;
    run.signal(Signal::TERM);
    until("the leader is told to end", || {
        stage.status("state").is_some()
    })
    .await;
    assert_eq!(run.ended(), None, "it did not wait for the command");
    run.signal(Signal::TERM);
    assert_eq!(run.exit_code().await, 0);
    assert_eq!(stage.endings(), ["resigned"]);
}

#[tokio::test]
async fn a_command_that_is_stopped_is_continued_to_end() {
    let stage = Stage::new("stopped");
    let script = "trap 'touch $DIRECTORY/heard; exit 0' TERM
                  touch $DIRECTORY/up; kill -STOP $$; while :; do sleep 0.05; done";
    let mut run = stage.run("a", &["--grace", "1h"], script);
    stage.until_file("up").await;
    run.signal(Signal::TERM);
    assert_eq!(run.exit_code().await, 0);
    assert!(stage.path("heard").exists(), "it was killed unheard");
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_before_the_next_leads() {
    let stage = Stage::new("daemon");
    let worker = worker();
    // It goes into the background as daemons do, and is asked to end; where it is deaf it is killed.
    for trap in ["", "trap '' TERM;"] {
        let script = format!("{trap} setsid {worker} & until [ -s $RECORD ]; do :; done; exit 5");
        let mut run = stage.run("a", &["--grace", "200ms"], &script);
        assert_eq!(run.exit_code().await, 5);
        let steps = stage.steps();
        let mut next = stage.run("b", &[], "exit 0");
        assert_eq!(next.exit_code().await, 0);
        assert_eq!(stage.steps(), steps, "the daemon lived on");
        std::fs::remove_file(stage.path("record")).unwrap();
    }
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_asked_to_end_first() {
    let stage = Stage::new("polite-daemon");
    let script = "(setsid sh -c 'trap \"touch $DIRECTORY/heard; exit\" TERM
                      touch $DIRECTORY/up; while :; do sleep 0.05; done' &)
                  until [ -e $DIRECTORY/up ]; do sleep 0.01; done";
    let mut run = stage.run("a", &["--grace", "1h"], script);
    assert_eq!(run.exit_code().await, 0);
    assert!(stage.path("heard").exists(), "it was killed unheard");
}

#[tokio::test]
async fn an_operator_gets_the_leadership_once_the_command_has_ended() {
    let stage = Stage::new("levers");
    let [_first, _second] = stage.pair(&["--grace", "200ms"], &deaf_family()).await;
    stage
        .cluster
        .execute("SELECT pgleader.step_down('levers')")
        .unwrap();
    stage.until_working("second").await;
    record::assert_no_overlap(&stage.steps());
    assert_eq!(stage.endings()[0], "stepped down");
}
