//! Names, addresses and reasons are anybody's text: what of them is shown to people begins no line, steers no terminal
//! and hides nothing. Programs read them exactly.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::command::{self, Answer, at};
use crate::support::{elector, until};
use pg_leader::testing::Cluster;
use pg_leader::{Campaign, Candidacy, ProcessState, Term, shown};

/// A row of its own in a table that knows no better, in two ways; all that a terminal obeys; a text turned around.
const NAME: &str = "pay\nbilling  leading  7  forged\r\u{2028}\u{1b}[2J\u{1b}[8m\u{9b}31m\u{85}\u{202e}gnillib\u{0007}\u{7f}";
const ADDRESS: &str = "10.0.0.5\nINFO took office\u{1b}]0;title\u{7}\u{2066}\u{feff}\t";
const REASON: &str = "why\nnot\u{1b}[1A\u{200f}";

async fn leader(cluster: &Cluster) -> Candidacy {
    let elector = elector(cluster).await;
    let idle = |term: Term| async move {
        term.ready();
        term.ending().await;
    };
    let campaign = Campaign::new(NAME, ADDRESS).graceful(true);
    let candidacy = elector.campaign(campaign, idle).unwrap();
    until("it leads", || candidacy.state() == ProcessState::Leading).await;
    candidacy
}

fn ask(cluster: &Cluster, arguments: &[&str]) -> Answer {
    command::run(at(cluster, arguments))
}

/// Colours where they are asked for, and nothing else that is not text.
fn without_colours(line: &str) -> String {
    let mut rest = line;
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        text.push_str(before);
        let (colour, after) = after.split_once('m').unwrap_or(("none", ""));
        let is_colour = colour.chars().all(|c| c.is_ascii_digit() || c == ';');
        assert!(is_colour && colour != "8", "{line:?}");
        rest = after;
    }
    text + rest
}

#[track_caller]
fn assert_plain(what: &str, text: &str) {
    for line in text.split_terminator('\n') {
        assert_eq!(shown(line), line, "{what}: {text:?}");
        assert!(!line.starts_with("billing"), "{what}: {text:?}");
    }
}

/// What every subcommand is asked that shows them, in an order in which each has something to show.
const ASKED: [&[&str]; 13] = [
    &["status"],
    &["status", NAME],
    &["step-down", NAME, "--reason", REASON],
    &["transfer", NAME, "--to", ADDRESS, "--reason", REASON],
    &["exclude", NAME, "--address", ADDRESS, "--reason", REASON],
    &["suspend", NAME, "--reason", REASON],
    &["status", NAME],
    &["resume", NAME, "--reason", REASON],
    &["include", NAME, "--address", ADDRESS],
    &["depose", NAME],
    &["history"],
    &["history", NAME, "--requests"],
    // That it is not there.
    &["status", REASON],
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_shown_to_people_forges_a_line() {
    let cluster = Cluster::start().unwrap();
    let _leader = leader(&cluster).await;
    for arguments in ASKED {
        let plain = ask(&cluster, arguments);
        assert_plain(arguments[0], &plain.out);
        assert_plain(arguments[0], &plain.err);
        assert!(
            plain.out.contains(r"pay\nbilling") || plain.err.contains(r"why\nnot"),
            "{plain:?}"
        );
        let mut coloured = at(&cluster, arguments);
        coloured.env("CLICOLOR_FORCE", "1").env("TERM", "xterm");
        let coloured = command::run(coloured);
        for line in coloured.out.lines() {
            assert_plain(arguments[0], &without_colours(line));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_them_exactly_and_no_terminal_obeys() {
    let cluster = Cluster::start().unwrap();
    let _leader = leader(&cluster).await;
    for arguments in ASKED {
        let answer = ask(&cluster, &[arguments, &["--json"]].concat());
        if answer.code != 6 {
            assert_eq!(answer.objects()[0]["election"], NAME, "{answer:?}");
        }
        assert_plain(arguments[0], &answer.out);
    }
    let requests = ask(&cluster, &["history", "--requests", "--json"]).objects();
    let excluded = requests
        .iter()
        .find(|request| request["request"] == "exclude");
    let excluded = excluded.unwrap();
    assert_eq!(excluded["address"], ADDRESS);
    assert_eq!(excluded["reason"], REASON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_a_line_and_so_is_an_event_of_the_log() {
    let cluster = Cluster::start().unwrap();
    let leader = leader(&cluster).await;
    for json in [&[][..], &["--json"]] {
        let mut watch = at(&cluster, &["watch", NAME]);
        let mut watch = watch.args(json).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(watch.stdout.take().unwrap()).lines();
        let line = out.next().unwrap().unwrap();
        assert_plain("watch", &line);
        assert!(line.contains("leading"), "{line}");
        watch.kill().unwrap();
        watch.wait().unwrap();
    }
    leader.leave().await;
    let mut run = at(
        &cluster,
        &["run", "-vv", "--election", NAME, "--address", ADDRESS],
    );
    let ran = command::run({
        run.args(["--", "sh", "-c", "exit 3"]);
        run
    });
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("took office"), "{ran:?}");
    for line in ran.err.lines() {
        assert_plain("run", line);
        assert!(line.starts_with("20"), "no line of the log: {line:?}");
    }
}

/// What a connection string names, a server says, or a file of passwords holds.
#[test]
fn what_is_not_there_is_named_in_one_line() {
    let cluster = Cluster::start().unwrap();
    let said = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_plain("a failure", &said);
        assert_eq!(said.lines().count(), 1, "{said:?}");
        said
    };
    let port = cluster.port();
    let role = format!("host=127.0.0.1 port={port} user='no\n\u{1b}[2Jbody' dbname=postgres");
    let said_of_role = said(command::bare().args(["status", "--database-url", &role]));
    assert!(said_of_role.contains(r"no\n"), "{said_of_role}");
    let host = "host='no\n\u{1b}[2Jwhere' user=u dbname=postgres";
    said(command::bare().args(["status", "--database-url", host]));
    let option = "host=127.0.0.1 nonsense\u{9b}2J=1";
    said(command::bare().args(["status", "--database-url", option]));
}
