//! The demo's command line. What it shows is run by CI, and takes a quarter of a minute.

use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(arguments).output().unwrap()
}

#[test]
fn help_is_given() {
    let output = demo(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("cargo demo [OPTIONS]"), "{said}");
}

#[test]
fn a_wrong_command_line_has_a_status_of_its_own() {
    let output = demo(&["--postgres"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--postgres"), "{said}");
}

#[test]
fn a_server_that_is_not_there_is_told_of() {
    let output = demo(&[
        "--plain",
        "--database-url",
        "postgres://me@127.0.0.1:1/none",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("demo: "), "{said}");
}
