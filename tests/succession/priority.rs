//! Priorities: the highest of the live candidates leads next, and nobody is preempted.

use std::sync::Arc;

use crate::support;
use crate::support::operator::Operator;
use crate::support::record::{self, Record};
use crate::support::seat::Seat;
use crate::support::{Candidate, Cluster, LEASE, config, status, steady, until, until_successor};
use pg_leader::{Campaign, Config, Elector};

async fn join(
    cluster: &Cluster,
    election: &str,
    address: &str,
    priority: i32,
    record: &Arc<Record>,
) -> Candidate {
    join_with(config(&cluster.url()), election, address, priority, record).await
}

async fn join_with(
    config: Config,
    election: &str,
    address: &str,
    priority: i32,
    record: &Arc<Record>,
) -> Candidate {
    let elector = Elector::connect(config).await.unwrap();
    let campaign = Campaign::new(election, address).priority(priority);
    let candidacy = elector.campaign(campaign, steady(record)).unwrap();
    Candidate {
        elector,
        candidacy,
        record: Arc::clone(record),
    }
}

async fn until_successor_is(cluster: &Cluster, election: &str, address: &str) {
    until("the right one is successor", || {
        status(cluster, election, "successor").as_deref() == Some(address)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_live_priority_leads_next_and_preempts_nobody() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let record = Record::in_memory();
    // Whoever is outranked waits a fifth of a lease: of this one no busy machine makes the highest miss that.
    let config = || config(&cluster.url()).lease(LEASE * 5);
    let low = join_with(config(), "p", "low", -1, &record).await;
    until("the first to come leads", || low.leads()).await;
    let plain = join_with(config(), "p", "plain", 0, &record).await;
    until_successor_is(&cluster, "p", "plain").await;
    let high = join_with(config(), "p", "high", 10, &record).await;
    until_successor_is(&cluster, "p", "high").await;
    let shown = "SELECT string_agg(concat(address, ' ', priority, ' ', place), ', ') FROM pgleader.candidates";
    assert_eq!(
        cluster.query(shown).unwrap().as_deref(),
        Some("high 10 successor, plain 0 follower, low -1 leader")
    );
    let steps = record.steps().len();
    until("the leader works on", || record.steps().len() > steps + 200).await;
    assert_eq!(record.last_term(), 1, "it was preempted");

    low.candidacy.resign().await;
    until("the highest leads", || high.leads()).await;
    until_successor_is(&cluster, "p", "plain").await;
    // Whoever has led comes last, whatever its priority.
    high.candidacy.resign().await;
    until("the next leads", || plain.leads()).await;
    until_successor_is(&cluster, "p", "high").await;
    assert_eq!(record.last_term(), 3, "somebody else led meanwhile");
    record::assert_no_overlap(&record.steps());
}

/// A candidate that ranks high and does not take its turn prolongs nothing (invariant 6).
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_take_its_turn_is_not_waited_for_long() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let record = Record::in_memory();
    let candidates = support::contest(&cluster, "slow", 2, &record).await;
    let _hung = Seat::join_with_priority(&cluster, "slow", "hung", 10).await;
    for term in 1..6 {
        let leads = support::leading(&candidates).await;
        leads.candidacy.resign().await;
        until("the next term works", || record.last_term() == term + 1).await;
        let gap = record::gap_after(&record.steps(), term).unwrap();
        assert!(gap < LEASE, "it was waited for {gap:?}");
        until("it leads", || candidates.iter().any(Candidate::leads)).await;
    }
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_excluded_outranks_nobody() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let record = Record::in_memory();
    let first = join(&cluster, "out", "first", 0, &record).await;
    until("it leads", || first.leads()).await;
    let high = join(&cluster, "out", "high", 10, &record).await;
    until_successor_is(&cluster, "out", "high").await;
    let plain = join(&cluster, "out", "plain", 0, &record).await;
    operator.call("exclude('out', 'high')").await;
    until_successor_is(&cluster, "out", "plain").await;
    // An operator's word counts more than a priority.
    operator.call("include('out', 'high')").await;
    until_successor_is(&cluster, "out", "high").await;
    operator.call("transfer('out', 'plain')").await;
    until("it leads", || plain.leads()).await;
    until_successor(&cluster, "out").await;
    assert!(!high.leads());
    record::assert_no_overlap(&record.steps());
}

/// One try after another, by hand.
#[tokio::test]
async fn whoever_led_the_last_term_outranks_nobody() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let high = Seat::join_with_priority(&cluster, "turn", "high", 10).await;
    let low = Seat::join(&cluster, "turn", "low").await;
    let began = ("began".to_owned(), None);
    let follows = ("held".to_owned(), None);
    assert_eq!(high.try_in_turn(false).await, began);
    assert_eq!(low.try_in_turn(false).await, follows);
    assert!(high.vacate(1).await);
    high.release().await;
    assert_eq!(low.try_in_turn(true).await, began);

    let middle = Seat::join_with_priority(&cluster, "turn", "middle", 5).await;
    let outranked = ("held".to_owned(), Some("outranked".to_owned()));
    assert_eq!(middle.try_in_turn(false).await, outranked);
    assert_eq!(status(&cluster, "turn", "successor"), None);
    assert_eq!(high.try_in_turn(false).await, follows);
    assert_eq!(
        status(&cluster, "turn", "successor").as_deref(),
        Some("high")
    );
}
