//! When the command has recovered: from recovering to leading.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::runner::{Run, Stage};
use crate::support::until;

async fn until_state(stage: &Stage, state: &str) {
    until(&format!("the election is {state}"), || {
        stage.status("state").as_deref() == Some(state)
    })
    .await;
}

/// It is recovering for as long as it does not say otherwise, although it runs.
async fn until_it_runs_and_recovers(stage: &Stage) {
    stage.until_file("up").await;
    until_state(stage, "recovering").await;
}

async fn say_so(stage: &Stage, _run: Run) {
    std::fs::write(stage.path("go"), "").unwrap();
    until_state(stage, "leading").await;
}

#[tokio::test]
async fn a_command_is_ready_at_once() {
    let stage = Stage::new("at-once");
    let _run = stage.run("a", &[], "sleep 60");
    until_state(&stage, "leading").await;
}

#[tokio::test]
async fn a_file_marks_it_ready_unless_an_earlier_command_left_it() {
    let stage = Stage::new("file");
    let file = stage.path("ready");
    std::fs::write(&file, "").unwrap();
    let script = "touch $DIRECTORY/up; until [ -e $DIRECTORY/go ]; do sleep 0.01; done
                  touch $PG_LEADER_READY_FILE; sleep 60";
    let run = stage.run("a", &["--ready-file", file.to_str().unwrap()], script);
    until_it_runs_and_recovers(&stage).await;
    say_so(&stage, run).await;
}

#[tokio::test]
async fn a_line_on_a_descriptor_marks_it_ready() {
    for number in ["3", "9"] {
        let stage = Stage::new("descriptor");
        let script = format!(
            "touch $DIRECTORY/up; until [ -e $DIRECTORY/go ]; do sleep 0.01; done
             [ $PG_LEADER_READY_FD = {number} ] && echo >&{number}; exec {number}>&-; sleep 60"
        );
        let run = stage.run("a", &["--ready-fd", number], &script);
        until_it_runs_and_recovers(&stage).await;
        say_so(&stage, run).await;
    }
}

#[tokio::test]
async fn a_command_may_say_more_than_once_that_it_is_ready() {
    let stage = Stage::new("eager");
    let script = "echo ready >&3; until [ -e $DIRECTORY/go ]; do sleep 0.01; done
                  echo ready >&3; yes ready | head -c 200000 >&3; exit 5";
    let mut run = stage.run("a", &["--ready-fd", "3"], script);
    until_state(&stage, "leading").await;
    std::fs::write(stage.path("go"), "").unwrap();
    assert_eq!(run.exit_code().await, 5);
}

#[tokio::test]
async fn an_answer_marks_it_ready_and_an_error_does_not() {
    for success in ["204 No Content", "302 Found\r\nLocation: /elsewhere"] {
        let stage = Stage::new("http");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ready", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicBool::new(false));
        let healthy = Arc::new(AtomicBool::new(false));
        let (was_asked, is_healthy) = (Arc::clone(&asked), Arc::clone(&healthy));
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.read(&mut [0; 4096]);
                let status = match is_healthy.load(Ordering::SeqCst) {
                    true => success,
                    false => "503 Service Unavailable",
                };
                let end = "Content-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = write!(stream, "HTTP/1.1 {status}\r\n{end}");
                was_asked.store(true, Ordering::SeqCst);
            }
        });
        let script = "touch $DIRECTORY/up; sleep 60";
        let _run = stage.run("a", &["--ready-http", &url], script);
        until_it_runs_and_recovers(&stage).await;
        until("it is asked", || asked.load(Ordering::SeqCst)).await;
        assert_eq!(stage.status("state").as_deref(), Some("recovering"));
        healthy.store(true, Ordering::SeqCst);
        until_state(&stage, "leading").await;
    }
}
