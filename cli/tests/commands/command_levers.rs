//! The operator's levers as subcommands: what each does, says, and leaves in the history.

use crate::support::command::{self, Answer, bare, keys};
use crate::support::record::{self, Record};
use crate::support::{
    Candidate, config, history, install_by_an_ordinary_owner, status, until, until_successor,
    url_of,
};
use pg_leader::ProcessState;
use pg_leader::testing::Cluster;
use serde_json::{Value, json};

async fn two(election: &str, record: &std::sync::Arc<Record>) -> (Cluster, Vec<Candidate>) {
    let cluster = Cluster::start().unwrap();
    let roles = [
        ("app", "candidate"),
        ("alice", "operator"),
        ("eve", "observer"),
    ];
    install_by_an_ordinary_owner(&cluster, &roles).await;
    let mut candidates = vec![];
    for name in ["a", "b"] {
        let config = config(&url_of(&cluster, "app"));
        candidates.push(Candidate::start(config, election, name, record).await);
        let first = &candidates[0];
        until("the first leads", || first.leads()).await;
    }
    until_successor(&cluster, election).await;
    (cluster, candidates)
}

fn pull_as(cluster: &Cluster, role: &str, arguments: &[&str]) -> Answer {
    let mut command = bare();
    command
        .env("DATABASE_URL", url_of(cluster, role))
        .args(arguments);
    command::run(command)
}

/// As an ordinary role with an operator's rights.
fn pull(cluster: &Cluster, arguments: &[&str]) -> Answer {
    pull_as(cluster, "alice", arguments)
}

#[track_caller]
fn says(answer: &Answer, words: &[&str]) {
    assert_eq!(answer.code, 0, "{answer:?}");
    for word in words {
        assert!(answer.out.contains(word), "\"{word}\" is not in {answer:?}");
    }
}

fn ended(cluster: &Cluster, election: &str, term: i64) -> [Option<String>; 3] {
    ["ending", "request", "by"].map(|column| history(cluster, election, term, column))
}

/// The requests, the newest first: what, the address, who, whether it is in force, who took it back.
fn requests(cluster: &Cluster, election: &str) -> Vec<Value> {
    let listed = pull_as(
        cluster,
        "eve",
        &["history", election, "--requests", "--json"],
    );
    let all = listed.objects().into_iter();
    all.map(|request| {
        assert_eq!(
            keys(&request),
            [
                "address",
                "at",
                "by",
                "election",
                "ended_at",
                "ended_by",
                "ended_reason",
                "id",
                "reason",
                "request",
                "term"
            ]
        );
        json!([
            request["request"],
            request["address"],
            request["by"],
            request["ended_at"].is_null(),
            request["ended_by"],
        ])
    })
    .collect()
}

fn by_alice(ending: &str, request: &str) -> [Option<String>; 3] {
    [ending, request, "alice"].map(|text| Some(text.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn step_down_and_transfer_hand_over() {
    let record = Record::in_memory();
    let (cluster, candidates) = two("hand", &record).await;
    says(
        &pull(&cluster, &["step-down", "hand", "--reason", "a new build"]),
        &["Term 1 of hand (a)", "b is first in line"],
    );
    until("b leads", || candidates[1].leads()).await;
    assert_eq!(
        ended(&cluster, "hand", 1),
        by_alice("stepped down", "step down")
    );
    let why = history(&cluster, "hand", 1, "reason");
    assert_eq!(why.as_deref(), Some("a new build"));

    let here = pull(&cluster, &["transfer", "hand", "--to", "b"]);
    says(&here, &["b leads hand already"]);
    says(
        &pull(&cluster, &["transfer", "hand", "--to", "a"]),
        &["Term 2 of hand (b)", "a alone"],
    );
    until("a leads", || candidates[0].leads()).await;
    assert_eq!(
        ended(&cluster, "hand", 2),
        by_alice("stepped down", "transfer")
    );

    let nobody = pull(&cluster, &["transfer", "hand", "--to", "c"]);
    assert!(
        nobody.code == 1 && nobody.err.contains("\"c\" is no live candidate"),
        "{nobody:?}"
    );
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn suspend_keeps_everybody_out_until_resume() {
    let record = Record::in_memory();
    let (cluster, candidates) = two("pause", &record).await;
    says(
        &pull(&cluster, &["suspend", "pause"]),
        &[
            "pause is suspended",
            "Term 1 (a) is asked to end",
            "pg-leader resume pause",
        ],
    );
    until("nobody leads", || {
        status(&cluster, "pause", "state").as_deref() == Some("vacant")
    })
    .await;
    until("it is in the history", || {
        ended(&cluster, "pause", 1) == by_alice("stepped down", "suspend")
    })
    .await;
    let shown = pull(&cluster, &["status", "pause"]);
    assert!(
        shown.code == 5 && shown.out.contains("suspended by alice"),
        "{shown:?}"
    );
    let json = pull(&cluster, &["status", "pause", "--json"]).object();
    assert_eq!(json["suspended_by"], "alice");
    let refused = pull(&cluster, &["transfer", "pause", "--to", "b"]);
    assert!(
        refused.code == 1 && refused.err.contains("is suspended"),
        "{refused:?}"
    );
    assert!(
        candidates
            .iter()
            .all(|candidate| candidate.candidacy.state() == ProcessState::Following)
    );
    says(&pull(&cluster, &["resume", "pause"]), &["pause is resumed"]);
    assert_eq!(
        requests(&cluster, "pause"),
        [json!(["suspend", null, "alice", false, "alice"])]
    );
    until("somebody leads", || candidates.iter().any(Candidate::leads)).await;
    says(
        &pull(&cluster, &["resume", "pause"]),
        &["was not suspended"],
    );
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn exclude_drains_an_address_until_include() {
    let record = Record::in_memory();
    let (cluster, candidates) = two("drain", &record).await;
    says(
        &pull(&cluster, &["exclude", "drain", "--address", "a"]),
        &[
            "a is excluded from drain",
            "it leads term 1",
            "pg-leader include drain --address a",
        ],
    );
    until("b leads", || candidates[1].leads()).await;
    assert_eq!(
        ended(&cluster, "drain", 1),
        by_alice("stepped down", "exclude")
    );
    let shown = pull(&cluster, &["status", "drain"]);
    says(&shown, &["excluded: a", "no successor"]);
    let json = pull(&cluster, &["exclude", "drain", "--address", "c", "--json"]).object();
    assert_eq!(
        keys(&json),
        [
            "address", "election", "lever", "reason", "request", "said", "term"
        ]
    );
    assert_eq!(
        (&json["lever"], &json["address"], &json["term"]),
        (&json!("exclude"), &json!("c"), &Value::Null)
    );
    says(
        &pull(&cluster, &["include", "drain", "--address", "a"]),
        &["a may lead drain again"],
    );
    assert_eq!(
        requests(&cluster, "drain"),
        [
            json!(["exclude", "c", "alice", true, null]),
            json!(["exclude", "a", "alice", false, "alice"]),
        ]
    );
    let newest = ["history", "drain", "--requests", "--limit", "1"];
    let newest = pull(&cluster, &newest);
    says(&newest, &["drain", "exclude", "c", "alice", "in force"]);
    assert_eq!(newest.out.lines().count(), 2, "{newest:?}");
    until_successor(&cluster, "drain").await;
    says(
        &pull(&cluster, &["include", "drain", "--address", "a"]),
        &["was not excluded"],
    );
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn depose_ends_the_session_where_the_role_may() {
    let record = Record::in_memory();
    let (cluster, candidates) = two("force", &record).await;
    let refused = pull(&cluster, &["depose", "force"]);
    assert!(
        refused.code == 1 && refused.err.contains("pg_signal_backend"),
        "{refused:?}"
    );
    assert!(candidates[0].leads(), "it was deposed all the same");
    cluster.execute("GRANT pg_signal_backend TO owner").unwrap();
    let pid = cluster.leader_pid("force").unwrap();
    let deposed = pull(&cluster, &["depose", "force", "--json"]).object();
    assert_eq!(
        (&deposed["lever"], &deposed["term"]),
        (&json!("depose"), &json!(1))
    );
    until("the next works", || record.last_term() == 2).await;
    assert_ne!(cluster.leader_pid("force").unwrap(), pid);
    until("it is in the history", || {
        ended(&cluster, "force", 1) == by_alice("deposed", "depose")
    })
    .await;
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lever_without_a_leader_or_without_the_right_says_so() {
    let record = Record::in_memory();
    let (cluster, candidates) = two("none", &record).await;
    for lever in [
        &["step-down", "none"][..],
        &["suspend", "none"],
        &["exclude", "none", "--address", "a"],
        &["transfer", "none", "--to", "b"],
    ] {
        let refused = pull_as(&cluster, "eve", lever);
        assert!(
            refused.code == 4 && refused.err.contains("grant_operator('eve')"),
            "{lever:?}: {refused:?}"
        );
        let unknown = [&[lever[0], "non"], &lever[2..]].concat();
        let unknown = pull(&cluster, &unknown);
        assert!(
            unknown.code == 6 && unknown.err.contains("no election named \"non\""),
            "{unknown:?}"
        );
    }
    assert!(candidates[0].leads() && record.last_term() == 1);
    for candidate in &candidates {
        candidate.candidacy.leave().await;
    }
    for lever in ["step-down", "depose"] {
        says(&pull(&cluster, &[lever, "none"]), &["Nobody leads none"]);
    }
}

/// Who came first leads everything. A dry run says what would change hands, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn elections_are_spread_over_those_who_take_part() {
    let cluster = Cluster::start().unwrap();
    let roles = [("app", "candidate"), ("alice", "operator")];
    install_by_an_ordinary_owner(&cluster, &roles).await;
    let record = Record::in_memory();
    let names: Vec<String> = (0..6).map(|number| format!("e{number}")).collect();
    let mut all = vec![];
    for address in ["a", "b", "c"] {
        for name in &names {
            let config = config(&url_of(&cluster, "app"));
            all.push(Candidate::start(config, name, address, &record).await);
        }
        until("the first leads them all", || {
            all[..6].iter().all(|one| one.leads())
        })
        .await;
    }
    let part = |name: &str| status(&cluster, name, "candidates").as_deref() == Some("3");
    until("all take part", || names.iter().all(|name| part(name))).await;
    let leaders = || -> Vec<String> {
        let mut led: Vec<String> = names
            .iter()
            .filter_map(|name| status(&cluster, name, "address"))
            .collect();
        led.sort();
        led
    };
    let planned = pull(&cluster, &["rebalance", "--dry-run"]);
    says(
        &planned,
        &["a leads 6, and then 2", "b leads 0, and then 2", "4/4 "],
    );
    let objects = pull(&cluster, &["rebalance", "--dry-run", "--json"]).objects();
    assert_eq!(keys(&objects[0]), ["done", "election", "from", "to"]);
    assert!(
        objects.len() == 4 && objects[0]["done"].is_null(),
        "{objects:?}"
    );
    assert_eq!(leaders(), vec!["a"; 6], "nothing has changed");

    let suspended = pull(&cluster, &["suspend", "e5"]);
    assert_eq!(suspended.code, 0, "{suspended:?}");
    until("it is led no more", || {
        status(&cluster, "e5", "address").is_none()
    })
    .await;
    let done = pull(&cluster, &["rebalance", "--reason", "more nodes"]);
    says(&done, &["a leads 5, and then 2", ": done", "3/3 "]);
    assert_eq!(leaders(), ["a", "a", "b", "b", "c"]);
    let again = pull(&cluster, &["rebalance"]);
    says(&again, &["nothing is to be transferred"]);
    let reasons =
        "SELECT count(*) FROM pgleader.request WHERE kind = 'transfer' AND reason = 'more nodes'";
    assert_eq!(cluster.query(reasons).unwrap().as_deref(), Some("3"));
    let unknown = pull(&cluster, &["rebalance", "none such"]);
    assert_eq!(unknown.code, 6, "{unknown:?}");
}
