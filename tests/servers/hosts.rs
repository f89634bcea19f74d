//! Several hosts in the connection string, more than one of which accepts writes. Settles row 38 of
//! docs/development/known-faults.md.

use std::time::Instant;

use crate::support;
use crate::support::cluster::url_at;
use crate::support::log::Log;
use crate::support::record::{self, Record};
use crate::support::{Candidate, Cluster, LEASE, any_of, config, status, until};
use futures_util::StreamExt;
use pg_leader::WaitingFor;
use pg_leader::doctor::{Severity, examine};

fn place(cluster: &Cluster) -> String {
    format!("127.0.0.1:{}", cluster.port())
}

/// Who holds the leadership on this server.
fn holder(cluster: &Cluster, election: &str) -> Option<String> {
    status(cluster, election, "leader_pid")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_on_the_lower_timeline_moves_when_a_higher_one_appears_and_back_when_it_vanishes()
 {
    let log = Log::install();
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().unwrap();
    // It stays one.
    let other = primary.standby().unwrap();
    let record = Record::in_memory();
    // Each names them in another order.
    let first = Candidate::start(
        config(&any_of(&[&other, &primary, &standby])),
        "moves",
        "first",
        &record,
    )
    .await;
    until("the first leads", || first.leads()).await;
    let second = Candidate::start(
        config(&any_of(&[&standby, &primary, &other])),
        "moves",
        "second",
        &record,
    )
    .await;
    support::until_successor(&primary, "moves").await;
    support::until_replicated(&standby, "moves").await;

    // Those who look at the standby say goodbye.
    standby.execute("SELECT pg_stat_reset()").unwrap();
    let began = Instant::now();
    until("they have looked", || began.elapsed() > LEASE * 4).await;
    let ended = "SELECT format('%s abandoned, %s fatal, %s killed', sessions_abandoned, sessions_fatal, sessions_killed) \
                 FROM pg_stat_database WHERE datname = 'postgres'";
    let clean = "0 abandoned, 0 fatal, 0 killed";
    assert_eq!(standby.query(ended).unwrap().as_deref(), Some(clean));
    let looks = "SELECT sessions > 4 FROM pg_stat_database WHERE datname = 'postgres'";
    assert_eq!(standby.query(looks).unwrap().as_deref(), Some("t"));

    standby.promote().unwrap();
    until("somebody leads on the higher", || {
        holder(&standby, "moves").is_some() && (first.leads() || second.leads())
    })
    .await;
    let moved = record.last_term();
    assert!(moved > 1_000_000_000, "{moved}");
    assert_eq!(holder(&primary, "moves"), None, "the lower is not left");
    record::assert_no_overlap(&record.steps());
    let both = format!("several hosts accept writes: {}", {
        let mut places = [&primary, &standby].map(|cluster| (place(cluster), cluster.port()));
        places.sort();
        let first = &places[0].0;
        let line = if places[0].1 == primary.port() { 1 } else { 2 };
        format!("{first} on timeline {line}; {}", places[1].0)
    });
    // Once by each process.
    until("both have said so", || log.count("WARN", &both) == 2).await;

    // The promotion is thrown away.
    standby.stop_immediate().unwrap();
    let stopped = Instant::now();
    until("somebody leads on the lower again", || {
        holder(&primary, "moves").is_some() && record.last_term() > moved
    })
    .await;
    support::assert_refractory(stopped.elapsed());
    record::assert_no_overlap(&record.steps());
    assert_eq!(log.count("WARN", &both), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_term_begins_while_the_leadership_is_held_on_the_lower() {
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().unwrap();
    let other = primary.standby().unwrap();
    let record = Record::in_memory();
    // It knows of no other host, so it never moves.
    let old = Candidate::start(config(&primary.url()), "held", "old", &record).await;
    until("the old one leads", || old.leads()).await;
    support::until_replicated(&standby, "held").await;
    standby.promote().unwrap();

    let mut new = vec![];
    for order in [[&standby, &primary, &other], [&other, &primary, &standby]] {
        let candidate = Candidate::start(config(&any_of(&order)), "held", "new", &record).await;
        support::until_waiting_for(&candidate, WaitingFor::AnotherHost).await;
        new.push(candidate);
    }
    // Meanwhile others begin there, after their own refractory periods.
    for _ in 0..3 {
        let free = new[0]
            .elector
            .campaign(("free", "new"), support::steady(&Record::in_memory()));
        let free = free.unwrap();
        until("what is not held elsewhere begins", || {
            free.state() == pg_leader::ProcessState::Leading
        })
        .await;
        free.leave().await;
    }
    assert!(old.leads());
    assert!(!new.iter().any(Candidate::leads));
    assert_eq!(record.last_term(), 1);

    old.candidacy.leave().await;
    until("the next term works on the higher", || {
        record.last_term() > 1
    })
    .await;
    assert!(holder(&standby, "held").is_some());
    record::assert_no_overlap(&record.steps());
}

/// Two standbys that do not know of each other, promoted to one timeline.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_on_one_timeline_the_one_is_taken_where_somebody_leads() {
    let primary = Cluster::start().unwrap();
    let record = Record::in_memory();
    let before = Candidate::start(config(&primary.url()), "tie", "before", &record).await;
    until("the first term works", || before.leads()).await;
    let one = primary.standby().unwrap();
    let two = primary.standby().unwrap();
    for standby in [&one, &two] {
        support::until_replicated(standby, "tie").await;
    }
    before.elector.shutdown().await;
    primary.stop_immediate().unwrap();
    one.promote().unwrap();
    two.promote().unwrap();

    // Nobody leads: all take the same one, whatever their order and whatever they call them.
    let names = |of: [(&str, &Cluster); 3]| {
        let of = of.map(|(host, cluster)| format!("{host}:{}", cluster.port()));
        url_at(&of.join(","))
    };
    let (number, name) = ("127.0.0.1", "localhost");
    let strings = [
        names([(number, &primary), (number, &one), (name, &two)]),
        names([(number, &two), (name, &one), (name, &primary)]),
    ];
    let mut all = vec![];
    for (index, string) in strings.iter().enumerate() {
        let address = format!("candidate-{index}");
        all.push(Candidate::start(config(string), "tie", &address, &record).await);
    }
    until("somebody leads", || all.iter().any(Candidate::leads)).await;
    let on = [&one, &two].map(|cluster| holder(cluster, "tie").is_some());
    assert!(on[0] != on[1], "{on:?}");
    let (led, idle) = if on[0] { (&one, &two) } else { (&two, &one) };
    support::until_successor(led, "tie").await;
    assert_eq!(status(idle, "tie", "successor"), None);
    // The elder is taken where nobody leads; now somebody does, on the younger.
    for candidate in all.drain(..) {
        candidate.elector.shutdown().await;
    }
    let stays = Candidate::start(config(&idle.url()), "tie", "stays", &record).await;
    until("the one that stays leads", || stays.leads()).await;
    let mut all = vec![];
    for order in [[led, idle], [idle, led]] {
        all.push(Candidate::start(config(&any_of(&order)), "tie", "late", &record).await);
    }
    support::until_successor(idle, "tie").await;
    stays.elector.shutdown().await;
    until("a late one leads", || all.iter().any(Candidate::leads)).await;
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_under_two_names_is_one() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let names = url_at(&format!(
        "127.0.0.1:{port},localhost:{port}",
        port = cluster.port()
    ));
    let first = Candidate::start(config(&names), "names", "first", &record).await;
    until("the first leads", || first.leads()).await;
    let second = Candidate::start(config(&names), "names", "second", &record).await;
    support::until_successor(&cluster, "names").await;
    let began = Instant::now();
    while began.elapsed() < LEASE * 3 {
        let standing = second.candidacy.changes().next().await;
        let waits = standing.expect("the elector lives").waiting_for;
        assert_ne!(waits, Some(WaitingFor::AnotherHost), "its own server");
        tokio::time::sleep(LEASE / 100).await;
    }
    assert!(first.leads());
    assert_eq!(record.last_term(), 1);
    first.candidacy.leave().await;
    until("the second leads", || second.leads()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_is_never_looked_at() {
    let cluster = Cluster::builder()
        .setting("log_connections", "on")
        .start()
        .unwrap();
    let record = Record::in_memory();
    let candidate = Candidate::start(config(&cluster.url()), "one", "a", &record).await;
    until("it leads", || candidate.leads()).await;
    let began = Instant::now();
    until("it would have looked", || began.elapsed() > LEASE * 3).await;
    let log = cluster.log();
    let connections = log.lines().filter(|line| {
        line.contains("connection authorized") && line.contains("application_name=pg-leader")
    });
    assert_eq!(connections.count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_lists_every_host() {
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().unwrap();
    let gone = Cluster::start().unwrap();
    let all = any_of(&[&gone, &standby, &primary]);
    gone.stop_immediate().unwrap();
    let findings = async || {
        let findings = examine(config(&all)).await.unwrap();
        let found: Vec<_> = findings
            .into_iter()
            .filter(|finding| finding.check == "hosts")
            .collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    };
    let found = findings().await;
    for says in [
        format!("{}: a primary on timeline 1", place(&primary)),
        format!("{}: a standby on timeline 1", place(&standby)),
        format!("{}: ", place(&gone)),
    ] {
        assert!(found.what.contains(&says), "{says}: {}", found.what);
    }
    assert_eq!(found.severity, Severity::Note, "{found:?}");
    standby.promote().unwrap();
    let found = findings().await;
    let says = format!("{}: a primary on timeline 2", place(&standby));
    assert!(found.what.contains(&says), "{}", found.what);
    assert_eq!(found.severity, Severity::Problem, "{found:?}");
}
