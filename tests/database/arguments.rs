//! What the functions of the schema are given: null and what is out of range is refused by each of them, by a raise,
//! and nothing about the server is believed because a setting says so. Settles rows 40 and 41 of docs/development/known-faults.md.

use std::collections::BTreeSet;

use crate::support;
use crate::support::seat::Seat;
use pg_leader::testing::Cluster;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Where null means something: the comments in the catalogue say what.
const NULL_MEANS_SOMETHING: [&str; 48] = [
    "ask address",
    "ask only_term",
    "ask reason",
    "asked_turns instance",
    "begin_or_wait system_identifier",
    "begin_term system_identifier",
    "check_reason reason",
    "check_turn turn",
    "depose reason",
    "exclude reason",
    "held_elections in bars",
    "held_elections in leaders",
    "in_force address",
    "include reason",
    "is_stranger backend",
    "join_election system_identifier",
    "join_elections in addresses",
    "join_elections in names",
    "lift address",
    "lift reason",
    "outlook system_identifier",
    "ranked_turns in turns",
    "ranked_turns instance",
    "ranked_turns turns",
    "read_elections instance",
    "request_depose reason",
    "request_in_force address",
    "resume reason",
    "sight in turns",
    "sight turns",
    "step_down reason",
    "suspend reason",
    "take_one_office system_identifier",
    "take_one_office turn",
    "transfer reason",
    "try_election leader",
    "try_election system_identifier",
    "try_election turn",
    "turns instance",
    "vacate in ended_by",
    "vacate in ended_request",
    "vacate_term ended_by",
    "vacate_term ended_request",
    "was_asked ended_by",
    "was_asked ended_request",
    "who backend",
    "who gid",
    "who owner",
];

/// Any number is a priority, or identifies a cluster.
const MAY_BE_NEGATIVE: [&str; 7] = [
    "begin_or_wait system_identifier",
    "begin_term system_identifier",
    "join_election priority",
    "join_election system_identifier",
    "outlook system_identifier",
    "take_one_office system_identifier",
    "try_election system_identifier",
];

/// Names that are shown to people, and addresses of rows that may be older than the rule.
const MAY_BE_EMPTY: [&str; 9] = [
    "check_entries argument",
    "check_ids argument",
    "check_number argument",
    "in_force address",
    "join_elections application",
    "lift address",
    "read_elections names",
    "refusal message",
    "request_in_force address",
];

/// They take no lock, so an election that is named twice harms nobody.
const MAY_BE_TWICE: [&str; 4] = [
    "heartbeat elections",
    "held_elections elections",
    "sight elections",
    "turns elections",
];

/// With a valid argument they end the session that calls, which leads here.
const END_THE_LEADER: [&str; 4] = ["depose", "end_leader", "end_leader_backend", "evict"];

const INSTANCE: &str = "'11111111-2222-3333-4444-555555555555'";

const LEVELS: [&str; 3] = [
    "BEGIN ISOLATION LEVEL READ COMMITTED",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
];

/// A function's argument: its name and type.
type Argument = (String, String);

/// Every function but triggers, with what goes in.
async fn functions(client: &Client) -> Vec<(String, Vec<Argument>)> {
    let rows = client
        .query(
            "SELECT p.oid::regprocedure::text, p.proname::text, \
                    p.proargnames[:p.pronargs], \
                    ARRAY(SELECT format_type(u.type, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS u (type, n) \
                          ORDER BY u.n) \
             FROM pg_proc AS p \
             WHERE p.pronamespace = 'pgleader'::regnamespace AND p.prorettype <> 'trigger'::regtype \
             ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            let names: Option<Vec<String>> = row.get(2);
            let types: Vec<String> = row.get(3);
            let names = names.unwrap_or_default();
            assert_eq!(names.len(), types.len(), "every argument has a name");
            (row.get(1), names.into_iter().zip(types).collect())
        })
        .collect()
}

/// A value that this argument may have.
fn valid((name, kind): &Argument) -> String {
    let value = match (name.as_str(), kind.as_str()) {
        ("mark", _) => "'by hand'",
        ("election" | "name", "text") => "'e'",
        (
            "election" | "term" | "last" | "below" | "known" | "only_term" | "number" | "block"
            | "backend" | "leader" | "timeline" | "system_identifier",
            _,
        ) => "1",
        ("elections", "integer") => "1",
        ("heard" | "heard_lease_ms" | "priorities" | "waited_ms", "bigint[]" | "integer[]") => {
            "'{0}'"
        }
        ("terms" | "leaders", _) => "'{1}'",
        ("free" | "heirs", _) => "'{true}'",
        ("bars" | "turns", _) => "'{outranked}'",
        ("turn", _) => "'called'",
        ("state", _) => "'53200'",
        ("utf8", _) => "'e'",
        ("addresses" | "entries", _) => "'{a}'",
        ("waited", "boolean[]") => "'{false}'",
        ("endings", _) => "'{resigned}'",
        ("ended_by", "name[]") => "'{me}'",
        ("ended_request", "text[]") => "'{step down}'",
        ("heard" | "heard_lease_ms" | "known_lease_ms" | "waited_ms", _) => "0",
        ("elections" | "ids", _) => "ARRAY[1]",
        ("successor_of" | "overdue", _) => "'{}'",
        ("names", _) => "ARRAY['e']",
        ("instance", _) => INSTANCE,
        ("address", _) => "'a'",
        ("lease_ms" | "silence_ms" | "wait_ms" | "limit_ms", _) => "1000",
        ("backend_start", _) => "now()",
        ("application" | "argument" | "value" | "must" | "reason" | "message", _) => "'x'",
        ("priority" | "beyond", _) => "0",
        ("hash", _) => "(SELECT c.instance_hash FROM pgleader.candidate AS c)",
        (
            "direct" | "behind_pgpool" | "waited" | "is_overdue" | "is_heir" | "is_led" | "locked",
            _,
        ) => "false",
        ("locks", _) => "'pgleader.election'::regclass::oid",
        ("ending", _) => "'resigned'",
        ("ended_by", _) => "'me'",
        ("ended_request", _) => "'step down'",
        ("token", _) => "(SELECT t.token FROM pgleader.term AS t)",
        ("kind", "regclass") => "'pgleader.term'",
        ("kind", _) => "'suspend'",
        ("gid" | "owner", _) => "'somebody'",
        ("payloads", _) => "'{x}'",
        ("role", _) => "'somebody'",
        (other, kind) => panic!("what is a valid {other} of type {kind}?"),
    };
    format!("{value}::{kind}")
}

/// The call of `function` with valid arguments, but for the one at `place`.
fn call(function: &str, arguments: &[Argument], place: Option<usize>, value: &str) -> String {
    let given: Vec<String> = arguments
        .iter()
        .enumerate()
        .map(|(index, argument)| {
            if Some(index) == place {
                format!("{value}::{}", argument.1)
            } else {
                valid(argument)
            }
        })
        .collect();
    format!("SELECT FROM pgleader.{function}({})", given.join(", "))
}

/// The SQLSTATE of a call, in a transaction that is rolled back.
async fn code(client: &Client, begin: &str, call: &str) -> String {
    client.batch_execute(begin).await.unwrap();
    // Not by itself in its transaction, where a fence is refused for that.
    let result = client.simple_query(&format!("SELECT 1; {call}")).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    match result {
        Ok(_) => "00000".to_owned(),
        Err(error) => {
            let code = error.code().unwrap_or_else(|| panic!("{call}: {error}"));
            code.code().to_owned()
        }
    }
}

/// A session that leads election 1, `e`, in term 1.
async fn leading(cluster: &Cluster) -> Seat {
    drop(support::elector(cluster).await);
    support::make_election_1(cluster, "e");
    cluster.execute("CREATE ROLE somebody").unwrap();
    let seat = Seat::join(cluster, "e", "a").await;
    assert_eq!(seat.campaign().await, ("began".to_owned(), 1));
    seat
}

#[tokio::test(flavor = "multi_thread")]
async fn every_argument_of_every_function_is_refused_when_null() {
    let cluster = Cluster::start().unwrap();
    let seat = leading(&cluster).await;
    let client = &seat.client;
    let meant: BTreeSet<String> = client
        .query(
            "SELECT format('%s %s', p.proname, m[1]) FROM pg_proc AS p \
             CROSS JOIN LATERAL regexp_matches(obj_description(p.oid, 'pg_proc'), 'null ((in )?\\w+): ', 'g') AS m \
             WHERE p.pronamespace = 'pgleader'::regnamespace",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let listed = NULL_MEANS_SOMETHING.map(str::to_owned);
    assert_eq!(meant, BTreeSet::from(listed));
    let mut wrong = vec![];
    let mut tried = 0;
    for (function, arguments) in functions(client).await {
        for place in 0..arguments.len() {
            let place_name = format!("{function} {}", arguments[place].0);
            // A null that means something refuses nothing.
            if END_THE_LEADER.contains(&function.as_str()) && meant.contains(&place_name) {
                continue;
            }
            let null = call(&function, &arguments, Some(place), "NULL");
            for begin in LEVELS {
                tried += 1;
                let found = code(client, begin, &null).await;
                if (found == "22004") == meant.contains(&place_name) {
                    wrong.push(format!("{place_name}: {found} of {null}, {begin}"));
                }
            }
            // What a list holds, too.
            if arguments[place].1.ends_with("[]") {
                let name = &arguments[place].0;
                let alone = meant.contains(&format!("{function} in {name}"));
                // Of a length that the others have, which only many may have.
                let list = match name.as_str() {
                    "elections" | "successor_of" | "overdue" | "ids" | "names" | "entries" => {
                        "'{1, NULL}'"
                    }
                    _ => "'{NULL}'",
                };
                let call = call(&function, &arguments, Some(place), list);
                let found = code(client, LEVELS[0], &call).await;
                if (found == "22004") == alone {
                    wrong.push(format!("{place_name}: {found} of {call}"));
                }
            }
        }
    }
    assert!(tried > 300, "only {tried} calls were tried");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// So a refusal is about the argument that was changed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_valid_is_refused_by_none() {
    let cluster = Cluster::start().unwrap();
    let seat = leading(&cluster).await;
    let mut wrong = vec![];
    for (function, arguments) in functions(&seat.client).await {
        if END_THE_LEADER.contains(&function.as_str()) {
            continue;
        }
        let call = call(&function, &arguments, None, "");
        let found = code(&seat.client, LEVELS[0], &call).await;
        if function != "refuse" && (found.starts_with("22") || found == "PL003") {
            wrong.push(format!("{found}: {call}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is out of the range of arguments of that name. Names and addresses are refused one by one, by their rows.
const OUT_OF_RANGE: [(&str, &[&str]); 13] = [
    ("lease_ms", &["0", "99", "3600001", "2147483647"]),
    ("silence_ms", &["0"]),
    ("limit_ms", &["0"]),
    ("wait_ms", &["0", "10001"]),
    ("ending", &["'lost'", "'won'"]),
    ("ended_request", &["'begged'"]),
    ("endings", &["'lost'", "'won'", "''"]),
    ("terms", &["0", "-1"]),
    ("waited_ms", &["-1"]),
    ("kind", &["'begged'"]),
    ("backend_start", &["'infinity'", "'-infinity'"]),
    ("elections", &["ARRAY[0]", "ARRAY[1, -1]", "ARRAY[1, 1]"]),
    ("heard_lease_ms", &["3600001"]),
];

/// What this argument must not be.
fn out_of_range(function: &str, name: &str, kind: &str) -> Vec<String> {
    let place = format!("{function} {name}");
    let quoted = |length| format!("'{}'", "x".repeat(length));
    let listed = OUT_OF_RANGE.iter().find(|(listed, _)| *listed == name);
    let listed = listed.map_or(&[][..], |(_, values)| values);
    let mut values: Vec<String> = listed.iter().map(|value| (*value).to_owned()).collect();
    if ["address", "reason"].contains(&name) {
        values.push(quoted(1001));
    }
    // How many there are.
    if (name, kind) == ("elections", "integer") {
        values.clear();
    }
    if kind == "regclass" {
        values = vec!["'pg_class'".to_owned()];
    }
    if MAY_BE_TWICE.contains(&place.as_str()) {
        values.retain(|value| value != "ARRAY[1, 1]");
    }
    let negative = matches!(kind, "integer" | "bigint");
    if negative && !MAY_BE_NEGATIVE.contains(&place.as_str()) {
        values.push("-1".to_owned());
    }
    if matches!((name, kind), ("election", "integer") | ("term", "bigint"))
        && function != "close_term"
    {
        values.push("0".to_owned());
    }
    if matches!(kind, "text" | "name") {
        values.push("''".to_owned());
    }
    if (name, kind) == ("election", "text") {
        values.push(quoted(201));
    }
    if MAY_BE_EMPTY.contains(&place.as_str()) {
        values.clear();
    }
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_out_of_range_are_refused() {
    let cluster = Cluster::start().unwrap();
    let seat = leading(&cluster).await;
    let client = &seat.client;
    let mut wrong = vec![];
    for (function, arguments) in functions(client).await {
        for (place, (name, kind)) in arguments.iter().enumerate() {
            let values = out_of_range(&function, name, kind);
            for value in values {
                let value = match kind.ends_with("[]") && !value.starts_with("ARRAY") {
                    true => format!("ARRAY[{value}]"),
                    false => value,
                };
                let call = call(&function, &arguments, Some(place), &value);
                let found = code(client, LEVELS[0], &call).await;
                // An empty mark is none of this session's; a word that says what must be is not looked at.
                let expected = if name == "mark" { "PL003" } else { "22023" };
                if found != expected {
                    wrong.push(format!("{found}: {call}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whoever writes the tables by hand gives nobody an endless refractory period.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_out_of_bounds_is_in_no_table() {
    let cluster = Cluster::start().unwrap();
    let seat = leading(&cluster).await;
    for table in ["candidate", "term"] {
        for (lease, expected) in [
            ("99 ms", "23514"),
            ("-1 s", "23514"),
            ("1 h 1 ms", "23514"),
            ("100 ms", "00000"),
            ("1 h", "00000"),
        ] {
            let write = format!("UPDATE pgleader.{table} SET lease = '{lease}'");
            let found = code(&seat.client, LEVELS[0], &write).await;
            assert_eq!(found, expected, "{write}");
        }
    }
}

/// A statement whose last row's first value is the answer.
async fn answer(client: &Client, statements: &str) -> String {
    let messages = client.simple_query(statements).await;
    let messages = messages.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    let rows = messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("null").to_owned()),
        _ => None,
    });
    rows.expect(statements)
}

/// What was kept in settings once. Whoever sets them changes nothing of what the functions believe.
async fn forge(client: &Client, cluster: &Cluster, timeline: &str) {
    let system = "SELECT system_identifier + 1 FROM pg_control_system()";
    let system = cluster.query(system).unwrap().unwrap();
    client
        .batch_execute(&format!(
            "SET pgleader.timeline = '{timeline}'; SET pgleader.system_identifier = '{system}'; \
             SET pgleader.locks = '1'"
        ))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_of_another_timelines_term_is_refused_whatever_is_set() {
    let cluster = Cluster::start().unwrap();
    let seat = leading(&cluster).await;
    forge(&seat.client, &cluster, "9").await;
    let token = cluster
        .query("SELECT token FROM pgleader.term")
        .unwrap()
        .unwrap();
    let fences = [
        "SELECT FROM pgleader.fence('e', 1)".to_owned(),
        format!("SELECT FROM pgleader.fence('e', 1, '{token}')"),
    ];
    for fence in &fences {
        for begin in LEVELS {
            assert_eq!(code(&seat.client, begin, fence).await, "00000", "{begin}");
        }
    }
    // As after a failover: the term was begun on a timeline that this server does not write.
    cluster
        .execute("UPDATE pgleader.term SET timeline = 9")
        .unwrap();
    for fence in &fences {
        for begin in LEVELS {
            assert_eq!(code(&seat.client, begin, fence).await, "PL001", "{begin}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vacate_from_another_timeline_does_not_count_whatever_is_set() {
    let cluster = Cluster::start().unwrap();
    let seat = leading(&cluster).await;
    assert!(seat.vacate(1).await);
    let period = "SELECT pgleader.refractory_period(1)";
    for (change, restore) in [
        ("timeline = 9", "timeline = 1"),
        (
            "system_identifier = system_identifier + 1",
            "system_identifier = system_identifier - 1",
        ),
    ] {
        forge(&seat.client, &cluster, "9").await;
        assert_eq!(
            answer(&seat.client, period).await,
            "0",
            "it was vacated here"
        );
        cluster
            .execute(&format!("UPDATE pgleader.term SET {change}"))
            .unwrap();
        assert_eq!(answer(&seat.client, period).await, "1000", "{change}");
        cluster
            .execute(&format!("UPDATE pgleader.term SET {restore}"))
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_burns_numbers_by_a_setting() {
    let cluster = Cluster::start().unwrap();
    let seat = leading(&cluster).await;
    forge(&seat.client, &cluster, "9223372036").await;
    assert_eq!(
        answer(&seat.client, "SELECT pgleader.timeline()").await,
        "1"
    );
    assert!(seat.vacate(1).await);
    seat.release().await;
    assert_eq!(seat.campaign().await, ("began".to_owned(), 2));
    let asked = "SELECT pgleader.step_down('e'); SELECT max(timeline) FROM pgleader.request";
    assert_eq!(answer(&seat.client, asked).await, "1");
}

/// Locks under a schema that was made anew are void, whatever is set.
#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_tells_other_locks_whatever_is_set() {
    let cluster = Cluster::start().unwrap();
    let seat = leading(&cluster).await;
    let now = answer(&seat.client, "SELECT 'pgleader.election'::regclass::oid").await;
    seat.client
        .batch_execute(&format!("SET pgleader.locks = '{now}'"))
        .await
        .unwrap();
    let heartbeat = |locks: &str| {
        seat.fill("SELECT FROM pgleader.heartbeat('by hand', $locks, ARRAY[$election])")
            .replace("$locks", locks)
    };
    assert_eq!(
        code(&seat.client, LEVELS[0], &heartbeat(&now)).await,
        "00000"
    );
    assert_eq!(
        code(&seat.client, LEVELS[0], &heartbeat("1")).await,
        "55000"
    );
}
