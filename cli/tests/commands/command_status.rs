//! What `pg-leader status`, `watch` and `history` show: who leads, what is wrong, what happens. Settles
//! rows 20 and 27 of docs/development/known-faults.md for people and for scripts.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support;
use crate::support::bouncer::Bouncer;
use crate::support::command::{self, Answer, at, keys};
use crate::support::record::Record;
use crate::support::seat::Seat;
use crate::support::{CEILING, contest, until};
use pg_leader::Elector;
use pg_leader::testing::Cluster;
use serde_json::{Value, json};

/// The keys of the JSON objects, as they are promised.
const MEMBER: [&str; 7] = [
    "address",
    "excluded",
    "joined_at",
    "lease_ms",
    "pid",
    "place",
    "priority",
];
const PAST_TERM: [&str; 11] = [
    "address",
    "by",
    "election",
    "ended_at",
    "ending",
    "fenced_ended",
    "ready_at",
    "reason",
    "request",
    "started_at",
    "term",
];

fn ask(cluster: &Cluster, arguments: &[&str]) -> Answer {
    command::run(at(cluster, arguments))
}

async fn installed() -> Cluster {
    let cluster = Cluster::start().unwrap();
    Elector::connect(cluster.url())
        .await
        .unwrap()
        .shutdown()
        .await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_who_leads_and_is_an_exit_code() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "billing", 2, &record).await;

    let all = ask(&cluster, &["status"]);
    let lines: Vec<Vec<&str>> = all
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(all.code, 0, "{all:?}");
    assert_eq!(
        lines[0][..4],
        ["ELECTION", "STATE", "TERM", "LEADER"],
        "{all:?}"
    );
    assert_eq!(
        lines[1][..4],
        ["billing", "leading", "1", "billing-0"],
        "{all:?}"
    );
    assert_eq!(
        lines[1].iter().rev().take(2).copied().collect::<Vec<_>>(),
        ["2", "billing-1"],
        "{all:?}"
    );
    assert_eq!(lines.len(), 2, "nothing is wrong: {all:?}");
    assert!(
        !all.out.contains('\u{1b}'),
        "colours where there is no terminal"
    );

    let one = ask(&cluster, &["status", "billing"]);
    assert!(one.code == 0 && one.out.contains("successor"), "{one:?}");
    let unknown = ask(&cluster, &["status", "bill"]);
    assert!(
        unknown.code == 6 && unknown.err.contains("no election named \"bill\""),
        "{unknown:?}"
    );

    for candidate in &candidates {
        candidate.candidacy.leave().await;
    }
    let vacant = ask(&cluster, &["status", "billing"]);
    assert!(
        vacant.code == 5 && vacant.out.contains("no candidates"),
        "{vacant:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_shape_that_is_promised() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let _candidates = contest(&cluster, "shape", 2, &record).await;
    let status = ask(&cluster, &["status", "shape", "--json"]).object();
    assert_eq!(
        keys(&status),
        [
            "address",
            "candidates",
            "election",
            "excluded",
            "fenced",
            "leader_pid",
            "lease_ms",
            "members",
            "since",
            "state",
            "strangers",
            "successor",
            "suspended_by",
            "term",
            "transfer_to",
            "trouble",
            "waiting_for",
        ]
    );
    for (key, value) in [
        ("election", json!("shape")),
        ("state", json!("leading")),
        ("term", json!(1)),
        ("address", json!("shape-0")),
        ("lease_ms", json!(1000)),
        ("successor", json!("shape-1")),
        ("candidates", json!(2)),
        ("strangers", json!([])),
        ("trouble", json!([])),
    ] {
        assert_eq!(status[key], value, "{key}");
    }
    assert_eq!(keys(&status["members"][0]), MEMBER);
    let since = status["since"].as_str().unwrap();
    assert!(since.len() == 24 && since.ends_with('Z'), "{since}");
    let all = ask(&cluster, &["status", "--json"]);
    assert_eq!(all.object()["election"], "shape");

    let term = ask(&cluster, &["history", "--json"]).object();
    assert_eq!(keys(&term), PAST_TERM);
    assert_eq!((&term["term"], &term["ending"]), (&json!(1), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_named() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "held", 1, &record).await;
    candidates[0].candidacy.leave().await;
    let url = format!("{}?application_name=curious", cluster.url());
    let stranger = support::client(&url).await;
    let lock = "SELECT pg_try_advisory_lock('pgleader.election'::regclass::oid::int, id), pg_backend_pid() \
                FROM pgleader.election";
    let row = stranger.query_one(lock, &[]).await.unwrap();
    let (held, pid): (bool, i32) = (row.get(0), row.get(1));
    assert!(held);
    let shown = ask(&cluster, &["status", "held"]);
    assert_eq!(shown.code, 5, "{shown:?}");
    for words in [
        format!(
            "stranger, a session that is no candidate: pid {pid}, user postgres, application curious, from 127.0.0.1"
        ),
        format!("SELECT pg_terminate_backend({pid})"),
    ] {
        assert!(shown.out.contains(&words), "{words} is not in {shown:?}");
    }
    let json = ask(&cluster, &["status", "held", "--json"]).object();
    let [named] = &json["strangers"].as_array().unwrap()[..] else {
        panic!("{json}");
    };
    assert_eq!(
        [&named["pid"], &named["application"], &named["lock"]],
        [&json!(pid), &json!("curious"), &json!("leadership")]
    );
    assert_eq!(json["waiting_for"], "stranger");
}

/// It has no session that could be ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_is_named_with_what_ends_it() {
    let cluster = Cluster::builder()
        .setting("max_prepared_transactions", "5")
        .start()
        .unwrap();
    let elector = Elector::connect(cluster.url()).await.unwrap();
    elector.shutdown().await;
    let seat = Seat::join(&cluster, "held", "a").await;
    let prepare = |class: &str, gid: &str| {
        let lock = format!(
            "BEGIN; SELECT pg_advisory_xact_lock('pgleader.{class}'::regclass::oid::integer, id) FROM pgleader.election; \
             PREPARE TRANSACTION '{gid}'"
        );
        cluster.execute(&lock).unwrap();
    };
    for (class, lock, words) in [
        (
            "election",
            "leadership",
            "the leadership is held by a stranger, ",
        ),
        (
            "candidate",
            "succession",
            "the successor's place is held by a stranger, ",
        ),
        (
            "term",
            "term",
            "the lock by which terms begin is held by a stranger, ",
        ),
    ] {
        prepare(class, "Bob''s");
        let shown = ask(&cluster, &["status", "held"]);
        for words in [
            words,
            "the prepared transaction 'Bob''s', user postgres",
            "(ROLLBACK PREPARED 'Bob''s')",
        ] {
            assert!(shown.out.contains(words), "{words} is not in {shown:?}");
        }
        let json = ask(&cluster, &["status", "held", "--json"]).object();
        let stranger = &json["strangers"][0];
        assert_eq!(
            [&stranger["lock"], &stranger["prepared"], &stranger["pid"]],
            [&json!(lock), &json!("Bob's"), &Value::Null]
        );
        cluster.execute("ROLLBACK PREPARED 'Bob''s'").unwrap();
    }
    drop(seat);
}

/// A candidate's session, driven by hand, stops where the next term has to wait.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_next_term_waits_for_is_said() {
    let cluster = installed().await;
    let first = Seat::join(&cluster, "waits", "a").await;
    let (outcome, term) = first.campaign().await;
    assert_eq!(outcome, "began");
    let worker = support::client(&format!("{}?application_name=worker", cluster.url())).await;
    let fence = format!("BEGIN; SELECT pgleader.fence('waits', {term})");
    worker.batch_execute(&fence).await.unwrap();
    drop(first);
    let second = Seat::join(&cluster, "waits", "b").await;
    support::wait_until("the lock is free", || {
        cluster.leader_pid("waits").unwrap().is_none()
    });
    assert_eq!(second.campaign().await.0, "won");
    let shown = ask(&cluster, &["status", "waits"]);
    assert!(
        shown.code == 5 && shown.out.contains("waiting for the refractory period"),
        "{shown:?}"
    );
    until("the refractory period is over", || {
        ask(&cluster, &["status", "waits"])
            .out
            .contains("fenced transactions of the last term: pid ")
    })
    .await;
    let shown = ask(&cluster, &["status", "waits"]);
    assert!(
        shown.out.contains("application worker, from 127.0.0.1"),
        "{shown:?}"
    );
    let json = ask(&cluster, &["status", "waits", "--json"]).object();
    assert_eq!(json["waiting_for"], "fenced transactions");
    assert_eq!(json["fenced"][0]["application"], "worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_tells_how_terms_ended() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "past", 2, &record).await;
    candidates[0].candidacy.resign().await;
    until("the other leads", || candidates[1].leads()).await;
    let newest = ask(&cluster, &["history", "past", "--limit", "1"]);
    assert!(
        newest.code == 0 && newest.out.contains("goes on"),
        "{newest:?}"
    );
    assert_eq!(newest.out.lines().count(), 2, "{newest:?}");
    let all = ask(&cluster, &["history", "past", "--json"]).objects();
    let endings: Vec<(&Value, &Value)> = all
        .iter()
        .map(|term| (&term["term"], &term["ending"]))
        .collect();
    assert_eq!(
        endings,
        [(&json!(2), &Value::Null), (&json!(1), &json!("resigned"))]
    );
    let unknown = ask(&cluster, &["history", "pats"]);
    assert_eq!(unknown.code, 6, "{unknown:?}");
}

/// Under `script`, which gives it a terminal (Debian: bsdutils, which is always there).
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_gets_colours_unless_it_wants_none() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let _candidates = contest(&cluster, "bright", 1, &record).await;
    let on_a_terminal = |environment: &[(&str, &str)]| {
        let binary = at(&cluster, &[]).get_program().to_owned();
        let mut script = std::process::Command::new("script");
        script
            .args(["-qec", "\"$PG_LEADER\" status", "/dev/null"])
            .env("PG_LEADER", binary)
            .env("DATABASE_URL", cluster.url())
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(Stdio::null());
        script
            .output()
            .ok()
            .map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let Some(bright) = on_a_terminal(&[]) else {
        support::skipped("command_status", "there is no script(1) here");
        return;
    };
    assert!(bright.contains("\u{1b}["), "{bright:?}");
    let plain = on_a_terminal(&[("NO_COLOR", "1")]).unwrap();
    assert!(
        !plain.contains('\u{1b}') && plain.contains("bright  "),
        "{plain:?}"
    );
    for shown in [bright, plain] {
        assert!(shown.contains("ELECTION  STATE"), "{shown:?}");
        assert_eq!(shown.lines().count(), 3, "one is wrapped: {shown:?}");
    }
}

struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(cluster: &Cluster, arguments: &[&str]) -> Watch {
        Watch::of(at(cluster, arguments))
    }

    fn of(mut command: Command) -> Watch {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            out.lines()
                .map_while(Result::ok)
                .try_for_each(|line| send.send(line))
        });
        Watch { child, lines }
    }

    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(CEILING).expect("a line");
        serde_json::from_str(&line).expect("JSON")
    }

    fn next_within(&self, limit: Duration) -> Option<Value> {
        let line = self.lines.recv_timeout(limit).ok()?;
        Some(serde_json::from_str(&line).expect("JSON"))
    }

    /// The lines up to the one with these values.
    fn until(&self, state: &str, term: i64) -> Value {
        loop {
            let line = self.next();
            if line["state"] == state && line["term"] == term {
                return line;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_sees_a_failover() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "seen", 2, &record).await;
    let _others = contest(&cluster, "unseen", 1, &record).await;
    let watch = Watch::start(&cluster, &["watch", "seen", "--json"]);
    let first = watch.until("leading", 1);
    assert_eq!(
        keys(&first),
        ["address", "at", "election", "state", "term", "waiting_for"]
    );
    assert_eq!(
        (&first["election"], &first["address"]),
        (&json!("seen"), &json!("seen-0"))
    );
    cluster.terminate_leader("seen").unwrap();
    assert_eq!(watch.until("leading", 2)["election"], "seen");

    // Its own session is lost: it says that it cannot know, and connects again. That may overtake what it has to say.
    let unknown = (0..20).find_map(|_| {
        cluster
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE application_name LIKE 'pg-leader watch%'",
            )
            .unwrap();
        let told = std::iter::from_fn(|| watch.next_within(Duration::from_secs(1)));
        told.take(2).find(|line| line["state"] == "unknown")
    });
    let unknown = unknown.expect("it cannot know");
    assert_eq!(
        (&unknown["term"], &unknown["address"]),
        (&json!(2), &Value::Null)
    );
    watch.until("leading", 2);

    let all = Watch::start(&cluster, &["watch", "--json"]);
    let mut elections =
        [all.next(), all.next()].map(|line| line["election"].as_str().unwrap().to_owned());
    elections.sort();
    assert_eq!(elections, ["seen", "unseen"]);
    drop(candidates);
    all.until("vacant", 2);
}

/// Where a pool gives its backends away nothing can be pushed, and it is read again and again.
#[tokio::test(flavor = "multi_thread")]
async fn watch_reads_through_a_pool_in_transaction_mode() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "pooled", 2, &record).await;
    let Some(bouncer) = Bouncer::start(&cluster, "pool_mode = transaction") else {
        return;
    };
    let mut command = command::bare();
    command
        .args(["watch", "pooled", "--json"])
        .env("DATABASE_URL", bouncer.url());
    let watch = Watch::of(command);
    let first = watch.until("leading", 1);
    assert_eq!(first["address"], "pooled-0");
    cluster.terminate_leader("pooled").unwrap();
    watch.until("leading", 2);
    drop(candidates);
    watch.until("vacant", 2);
}

/// It is told: while it watches it asks nothing more often than a session must prove itself.
#[tokio::test(flavor = "multi_thread")]
async fn watch_polls_nothing() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "quiet", 2, &record).await;
    let watch = Watch::start(&cluster, &["watch", "quiet", "--json"]);
    watch.until("leading", 1);
    let asked = || {
        let last = "SELECT extract(epoch FROM query_start)::text FROM pg_stat_activity \
                    WHERE application_name LIKE 'pg-leader watch%'";
        cluster.query(last).unwrap().unwrap()
    };
    let before = asked();
    let steps = record.steps().len();
    until("the leader works for a lease", || {
        record.steps().len() > steps + 500
    })
    .await;
    assert_eq!(asked(), before, "it asked meanwhile");
    candidates[0].candidacy.resign().await;
    watch.until("leading", 2);
}

/// Every block of SQL in docs/operations.md, with an observer's role.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_queries_run_with_an_observers_role() {
    let cluster = Cluster::start().unwrap();
    support::install_by_an_ordinary_owner(&cluster, &[("app", "candidate"), ("eve", "observer")])
        .await;
    let record = Record::in_memory();
    let app = support::config(&support::url_of(&cluster, "app"));
    let _candidate = support::Candidate::start(app, "shown", "a", &record).await;
    until("it is ready", || {
        support::status(&cluster, "shown", "state").as_deref() == Some("leading")
    })
    .await;
    let text = include_str!("../../../docs/operations.md");
    let blocks: Vec<&str> = text
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(blocks.len() > 5, "{blocks:?}");
    let observer = support::client(&support::url_of(&cluster, "eve")).await;
    for block in &blocks {
        let rows = observer
            .query(block.trim().trim_end_matches(';'), &[])
            .await;
        rows.unwrap_or_else(|error| panic!("{error:?}: {block}"));
    }
    let metrics = blocks
        .iter()
        .find(|block| block.contains("held_by_a_stranger"))
        .expect("the query for metrics");
    let row = observer
        .query_one(metrics.trim().trim_end_matches(';'), &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>("election"), "shown");
    assert_eq!(
        (
            row.get::<_, i32>("led"),
            row.get::<_, i32>("ready"),
            row.get::<_, i64>("term")
        ),
        (1, 1, 1)
    );
    assert_eq!(
        (
            row.get::<_, i32>("has_successor"),
            row.get::<_, i64>("candidates")
        ),
        (0, 1)
    );
    assert!(row.get::<_, f64>("seconds_since_change") >= 0.0);
}
