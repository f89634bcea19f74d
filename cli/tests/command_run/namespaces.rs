//! Pid namespaces: where /proc does not show what the command leaves behind, no command is run.
//! Needs Linux, root and util-linux; skipped with a word where they are missing.

use std::process::{Command, Stdio};

use crate::runner::{Run, Stage, USUAL, deaf_family};
use crate::support::record;

fn may_unshare() -> bool {
    let unshared = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "true"])
        .stderr(Stdio::null())
        .status();
    let may = unshared.is_ok_and(|status| status.success());
    if !may {
        eprintln!("skipped: this process may make no namespaces");
    }
    may
}

/// It says so, is no candidate, and runs nothing.
fn assert_refused(stage: &Stage, launcher: &[&str]) {
    let script = "touch $DIRECTORY/ran";
    let mut line = stage.line(launcher, "a", &[], &["sh", "-c", script]);
    let output = line.output().expect("it was started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("/proc is missing, or is that of"), "{said}");
    assert_eq!(stage.status("candidates"), None);
    assert!(!stage.path("ran").exists());
}

#[test]
fn the_processes_of_another_namespace_are_refused() {
    if may_unshare() {
        assert_refused(&Stage::new("outer"), &["unshare", "--pid", "--fork"]);
    }
}

#[test]
fn the_processes_of_a_namespace_within_are_refused() {
    if !may_unshare() {
        return;
    }
    let mut other = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .args(["sh", "-c", "echo; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(&mut other.stdout.take().unwrap(), &mut [0]).unwrap();
    let mounts = format!("--mount=/proc/{}/ns/mnt", other.id());
    assert_refused(&Stage::new("inner"), &["nsenter", &mounts]);
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_missing_proc_is_refused() {
    if may_unshare() {
        let hide = r#"umount --lazy /proc && exec "$0" "$@""#;
        let launcher = ["unshare", "--mount", "sh", "-c", hide];
        assert_refused(&Stage::new("missing"), &launcher);
    }
}

#[tokio::test]
async fn in_a_namespace_with_its_own_proc_daemons_die_before_another_leads() {
    if !may_unshare() {
        return;
    }
    let stage = Stage::new("own");
    let script = deaf_family();
    let command = ["sh", "-c", &script];
    let options = ["--on-exit", "restart", "--grace", "1h"];
    let launcher = [
        &USUAL[..],
        &["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"],
    ];
    let _first: Run = stage.run_by(&launcher.concat(), "first", &options, &command);
    stage.until_working("first").await;
    let _second = stage.run_command("second", &options, &command);
    crate::support::until_successor(&stage.cluster, stage.election).await;
    stage
        .cluster
        .execute("SELECT pgleader.depose('own')")
        .unwrap();
    stage.until_working("second").await;
    record::assert_no_overlap(&stage.steps());
}
