//! What `pg-leader doctor` finds, and its exit code.

use std::process::Command;

use crate::support;
use crate::support::bouncer::Bouncer;
use crate::support::command::{self, Answer, at, bare};
use crate::support::proxy::Proxy;
use crate::support::seat::Seat;
use crate::support::{install_by_an_ordinary_owner, url_of};
use pg_leader::testing::Cluster;
use serde_json::Value;

/// Round trips are judged by the lease, and this machine is busy.
const LEASE: [&str; 2] = ["--lease", "30s"];

async fn installed() -> Cluster {
    let cluster = Cluster::start().unwrap();
    let roles = [("app", "candidate"), ("eve", "observer")];
    install_by_an_ordinary_owner(&cluster, &roles).await;
    cluster
}

fn examine_with(url: &str, arguments: &[&str]) -> Answer {
    let mut command: Command = bare();
    command
        .env("DATABASE_URL", url)
        .args(["doctor", "--json"])
        .args(arguments);
    command::run(command)
}

fn examine(url: &str) -> Answer {
    examine_with(url, &LEASE)
}

/// The finding of a check, and whether it comes with a remedy where it must.
#[track_caller]
fn found(answer: &Answer, check: &str, severity: &str) -> String {
    let all = answer.objects();
    let finding = all
        .iter()
        .find(|finding| finding["check"] == check && finding["severity"] == severity)
        .unwrap_or_else(|| panic!("no {severity} of {check} in {answer:?}"));
    assert_eq!(
        command::keys(finding),
        ["check", "remedy", "severity", "what"]
    );
    if severity == "warning" || severity == "problem" {
        assert!(finding["remedy"].is_string(), "no remedy: {finding}");
    }
    let remedy = finding["remedy"].as_str().unwrap_or_default();
    format!("{} -> {remedy}", finding["what"].as_str().expect("words"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_server_is_fine() {
    let cluster = installed().await;
    let app = url_of(&cluster, "app");
    let healthy = examine(&app);
    assert_eq!(healthy.code, 0, "{healthy:?}");
    for check in [
        "connection",
        "direct",
        "tls",
        "schema",
        "privileges",
        "activity",
        "eviction",
        "settings",
        "standbys",
        "strangers",
        "notifications",
        "connections",
        "lock table",
        "round trip",
        "this machine",
        "clock",
        "endings",
    ] {
        let all = healthy.objects();
        let severity = all
            .iter()
            .find(|finding| finding["check"] == check)
            .map(|finding| finding["severity"].clone());
        assert!(
            severity == Some(Value::from("fine")) || severity == Some(Value::from("note")),
            "{check}: {severity:?}"
        );
    }
    found(&healthy, "direct", "fine");
    found(&healthy, "endings", "fine");
    let left = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
    support::wait_until("all its sessions are gone", || {
        cluster.query(left).unwrap().as_deref() == Some("0")
    });

    let mut for_people = bare();
    for_people
        .env("DATABASE_URL", &app)
        .arg("doctor")
        .args(LEASE);
    let for_people = command::run(for_people);
    assert!(
        for_people.code == 0 && for_people.out.ends_with("A candidate can work here.\n"),
        "{for_people:?}"
    );

    // The owner may see and end the sessions of any role.
    assert!(found(&healthy, "eviction", "note").contains("GRANT pg_signal_backend TO owner"));
    cluster
        .execute("GRANT pg_signal_backend, pg_read_all_stats TO owner")
        .unwrap();
    let granted = examine(&app);
    found(&granted, "eviction", "fine");
    found(&granted, "activity", "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn poolers_and_proxies_are_found_out() {
    let cluster = installed().await;
    let proxy = Proxy::start(cluster.port()).await;
    let behind = examine(&proxy.superuser_url());
    assert_eq!(behind.code, 7, "{behind:?}");
    found(&behind, "direct", "warning");
    for (mode, code, severity, words) in [
        ("transaction", 4, "problem", "one client after another"),
        ("session", 7, "warning", "a pool"),
    ] {
        for ignored in ["", "ignore_startup_parameters = options,extra_float_digits"] {
            let Some(bouncer) = Bouncer::start(&cluster, &format!("pool_mode = {mode}\n{ignored}"))
            else {
                return;
            };
            let pooled = examine(&bouncer.url());
            assert_eq!(pooled.code, code, "{pooled:?}");
            let finding = found(&pooled, "direct", severity);
            assert!(finding.contains(words), "{mode} {ignored}: {finding}");
        }
    }
}

/// A check has ten seconds, and whoever waits hears for what.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_goes_silent_ends_the_examination() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let cluster = installed().await;
    let proxy = Proxy::start(cluster.port()).await;
    // Forty round trips take long enough to be named.
    proxy.delay(Duration::from_millis(60));
    let mut doctor = bare();
    doctor
        .env("DATABASE_URL", proxy.superuser_url())
        .args(["doctor", "--json"])
        .args(LEASE)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut doctor = doctor.spawn().unwrap();
    let mut said = BufReader::new(doctor.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "pg-leader: waiting for round trips\n");
    proxy.swallow(true, true);
    let silent = Instant::now();
    let mut out = String::new();
    doctor
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    let code = doctor.wait().unwrap().code().unwrap();
    assert!(
        silent.elapsed() < Duration::from_secs(40),
        "{:?}",
        silent.elapsed()
    );
    let answer = Answer {
        code,
        out,
        err: line,
    };
    assert_eq!(answer.code, 4, "{answer:?}");
    assert!(found(&answer, "answers", "problem").contains("round trips"));
    found(&answer, "connection", "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_most_telling_reason_is_found() {
    let cluster = installed().await;
    let [first, second] = [cluster.standby().unwrap(), cluster.standby().unwrap()];
    let [one, two] = [first.port(), second.port()].map(|port| format!("127.0.0.1:{port}"));
    let at = |hosts: &[&str]| format!("postgres://postgres@{}/postgres", hosts.join(","));

    let standbys = examine(&at(&[&one, &two]));
    assert_eq!(standbys.code, 4, "{standbys:?}");
    let primary = found(&standbys, "primary", "problem");
    assert!(
        primary.contains(&one) && primary.contains(&two),
        "{primary}"
    );
    let status = |url: String| {
        let mut command = bare();
        command.env("DATABASE_URL", url).arg("status");
        command::run(command)
    };
    let refused = status(at(&[&one, &two]));
    assert!(
        refused.code == 4
            && refused.err.contains("this server is a standby")
            && refused.err.contains(&two),
        "{refused:?}"
    );

    // The one that is down may be the primary: trying again may help.
    let down = "127.0.0.1:1";
    let half = status(at(&[&one, down]));
    assert!(half.code == 3 && half.err.contains("a standby"), "{half:?}");
    let unknown = format!("{}?dbname=nowhere", at(&[down, &one]));
    let unknown = found(&examine(&unknown), "connection", "problem");
    assert!(
        unknown.contains("3D000") && unknown.contains(down),
        "{unknown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_no_place_for_a_candidate() {
    let cluster = installed().await;
    let standby = cluster.standby().unwrap();
    let there = examine(&standby.url());
    assert_eq!(there.code, 4, "{there:?}");
    assert!(found(&there, "primary", "problem").contains("target_session_attrs"));
    let primary = examine(&cluster.url());
    assert!(
        found(&primary, "standbys", "note").contains("1, asynchronous"),
        "{primary:?}"
    );
    cluster
        .execute("ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
        .unwrap();
    cluster.execute("SELECT pg_reload_conf()").unwrap();
    support::wait_until("it is in force", || {
        cluster
            .query("SHOW synchronous_standby_names")
            .unwrap()
            .as_deref()
            == Some("ghost")
    });
    let hanging = examine(&cluster.url());
    assert_eq!(hanging.code, 7, "{hanging:?}");
    found(&hanging, "standbys", "warning");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_learns_what_to_grant() {
    let cluster = installed().await;
    cluster.execute("CREATE ROLE poor LOGIN").unwrap();
    let poor = examine(&url_of(&cluster, "poor"));
    assert_eq!(poor.code, 4, "{poor:?}");
    assert!(
        found(&poor, "schema", "problem").contains("grant_candidate('poor') as owner"),
        "{poor:?}"
    );
    let observer = examine(&url_of(&cluster, "eve"));
    assert_eq!(observer.code, 4, "{observer:?}");
    let missing = found(&observer, "privileges", "problem");
    assert!(
        missing.contains("campaign") && missing.contains("grant_candidate('eve')"),
        "{missing}"
    );
    found(&observer, "schema", "fine");
    cluster
        .execute("SELECT pgleader.grant_candidate('poor'); DROP FUNCTION pgleader.evict; DROP FUNCTION pgleader.vacate")
        .unwrap();
    let poor = examine(&url_of(&cluster, "poor"));
    assert_eq!(poor.code, 4, "{poor:?}");
    let lacks = found(&poor, "privileges", "problem");
    assert!(lacks.contains("lacks evict, vacate"), "{lacks}");

    let bare = Cluster::start().unwrap();
    bare.execute(
        "CREATE ROLE poor LOGIN; CREATE ROLE rich LOGIN; GRANT CREATE ON DATABASE postgres TO rich",
    )
    .unwrap();
    let poor = examine(&url_of(&bare, "poor"));
    assert!(
        poor.code == 4 && found(&poor, "schema", "problem").contains("pg-leader install"),
        "{poor:?}"
    );
    let rich = examine(&url_of(&bare, "rich"));
    assert!(
        rich.code == 0 && found(&rich, "schema", "note").contains("will install it"),
        "{rich:?}"
    );
    let written = bare.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgleader'");
    assert_eq!(written.unwrap().as_deref(), Some("0"), "it wrote something");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_almost_out_of_connections_is_a_warning_and_a_full_one_a_problem() {
    let cluster = Cluster::builder()
        .setting("max_connections", "12")
        .start()
        .unwrap();
    install_by_an_ordinary_owner(&cluster, &[("app", "candidate")]).await;
    let app = url_of(&cluster, "app");
    let until_others_are = |number: usize| {
        let all = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
        support::wait_until("only the others are there", || {
            cluster.query(all).unwrap() == Some(number.to_string())
        });
    };
    let mut others = vec![];
    // Three are for superusers. Of nine the doctor takes one, and a second for its proof.
    for _ in 0..5 {
        others.push(support::client(&app).await);
    }
    let few = examine(&app);
    assert_eq!(few.code, 7, "{few:?}");
    assert!(
        found(&few, "connections", "warning").contains("3 of 9"),
        "{few:?}"
    );
    until_others_are(others.len());
    for _ in 0..3 {
        others.push(support::client(&app).await);
    }
    let last = examine(&app);
    assert_eq!(last.code, 4, "{last:?}");
    assert!(found(&last, "connections", "problem").contains("0 of 9"));
    assert!(found(&last, "endings", "warning").contains("not proved"));
    until_others_are(others.len());
    // Whoever has just looked may not have left his place yet.
    let deadline = std::time::Instant::now() + support::CEILING;
    let (last, connection) = loop {
        match tokio_postgres::connect(&app, tokio_postgres::NoTls).await {
            Ok(last) => break last,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
    };
    tokio::spawn(connection);
    others.push(last);
    let none = examine(&app);
    assert_eq!(none.code, 4, "{none:?}");
    assert!(found(&none, "connections", "problem").contains("max_connections"));

    cluster
        .execute("ALTER ROLE app CONNECTION LIMIT 2")
        .unwrap();
    drop(others);
    until_others_are(0);
    let limited = examine(&app);
    assert!(
        found(&limited, "connections", "problem").contains("1 of 2"),
        "{limited:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_or_a_lease_gets_wrong_is_said() {
    let cluster = installed().await;
    cluster
        .execute(
            "ALTER ROLE app SET log_statement = 'all'; ALTER ROLE app SET track_activities = off; \
             ALTER ROLE app VALID UNTIL 'tomorrow'",
        )
        .unwrap();
    let app = url_of(&cluster, "app");
    let noisy = examine(&app);
    assert_eq!(noisy.code, 7, "{noisy:?}");
    assert!(found(&noisy, "settings", "note").contains("log_statement is all for app"));
    found(&noisy, "activity", "warning");
    found(&noisy, "password", "warning");

    let slow = Proxy::start(cluster.port()).await;
    slow.delay(std::time::Duration::from_millis(40));
    let hasty = examine_with(&slow.superuser_url(), &["--lease", "100ms"]);
    assert_eq!(hasty.code, 4, "{hasty:?}");
    assert!(
        found(&hasty, "round trip", "problem").contains("give a lease of at least"),
        "{hasty:?}"
    );

    let nonsense = examine_with(&app, &["--lease", "1ms"]);
    assert!(
        nonsense.code == 2 && nonsense.err.contains("lease"),
        "{nonsense:?}"
    );
}

/// An engine that says yes and counts nothing: the way in which a session ended proves nothing there.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_count_the_ends_of_sessions_is_found_out() {
    let cluster = Cluster::builder()
        .setting("allow_system_table_mods", "on")
        .start()
        .unwrap();
    cluster
        .execute(
            "CREATE OR REPLACE FUNCTION pg_catalog.pg_stat_get_db_sessions_killed(oid) RETURNS bigint \
             LANGUAGE sql AS 'SELECT 0::bigint'",
        )
        .unwrap();
    let answer = command::run({
        let mut command = at(&cluster, &["doctor", "--json"]);
        command.args(LEASE);
        command
    });
    assert_eq!(answer.code, 4, "{answer:?}");
    assert!(found(&answer, "endings", "problem").contains("AlwaysWait"));
}

/// By a role that may only look, and takes them by their numbers.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_named() {
    let cluster = installed().await;
    let app = url_of(&cluster, "app");
    let seat = Seat::join_at(&app, "billing", "a").await;
    found(&examine(&app), "strangers", "fine");
    let eve = support::client(&format!(
        "{}?application_name=curious",
        url_of(&cluster, "eve")
    ))
    .await;
    for (class, lock, severity) in [
        ("candidate", "succession", "warning"),
        ("term", "term", "problem"),
        ("election", "leadership", "problem"),
    ] {
        let key = format!(
            "SELECT format('%s, %s', 'pgleader.{class}'::regclass::oid::integer, id) FROM pgleader.election"
        );
        let key = cluster.query(&key).unwrap().unwrap();
        let take = format!("SELECT pg_advisory_lock({key})");
        eve.batch_execute(&take).await.unwrap();
        let answer = examine(&app);
        let named = found(&answer, "strangers", severity);
        for words in [
            format!("{lock} of billing: backend "),
            "of eve (application 'curious')".to_owned(),
            "pg_terminate_backend".to_owned(),
        ] {
            assert!(named.contains(&words), "{words} is not in {named}");
        }
        eve.batch_execute("SELECT pg_advisory_unlock_all()")
            .await
            .unwrap();
    }
    drop(seat);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_table_is_counted_for_all_elections() {
    let cluster = Cluster::builder()
        .setting("max_connections", "20")
        .setting("max_locks_per_transaction", "10")
        .start()
        .unwrap();
    install_by_an_ordinary_owner(&cluster, &[("app", "candidate")]).await;
    let app = url_of(&cluster, "app");
    let make = |elections: u32| {
        let make = format!(
            "INSERT INTO pgleader.election (id, name) SELECT n, 'e' || n FROM generate_series(1, {elections}) AS n \
             ON CONFLICT DO NOTHING"
        );
        cluster.execute(&make).unwrap();
    };
    make(50);
    let roomy = found(&examine(&app), "lock table", "fine");
    assert!(
        roomy.contains("200 are guaranteed")
            && roomy.contains("the 50 elections of this database take 100"),
        "{roomy}"
    );
    make(110);
    let tight = found(&examine(&app), "lock table", "warning");
    assert!(
        tight.contains("set max_locks_per_transaction to 2"),
        "{tight}"
    );
    make(1_000);
    found(&examine(&app), "lock table", "problem");
}

/// A standby that is away holds the server's log back, and leads nobody.
#[tokio::test(flavor = "multi_thread")]
async fn standbys_that_are_away_are_counted_by_their_slots() {
    let cluster = installed().await;
    let app = url_of(&cluster, "app");
    let slot = "SELECT pg_create_physical_replication_slot('away')";
    cluster.execute(slot).unwrap();
    let alone = found(&examine(&app), "standbys", "warning");
    assert!(
        alone.contains("1 more not connected now, by its slot: away"),
        "{alone}"
    );
    let standby = cluster.standby().unwrap();
    let one = found(&examine(&app), "standbys", "note");
    assert!(
        one.contains("1, asynchronous; 1 more not connected now"),
        "{one}"
    );
    drop(standby);
}
