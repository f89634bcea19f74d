//! `transfer`: the leader steps down, and that candidate wins the next term. Settles row 29 of
//! docs/development/known-faults.md.

use crate::support::operator::Operator;
use crate::support::record::{self, Record};
use crate::support::seat::Seat;
use crate::support::{CEILING, Candidate, Cluster, LEASE, history, status, until, until_successor};
use pg_leader::{Config, ProcessState};

/// Only pushes can explain what is done at once.
fn config(cluster: &Cluster) -> Config {
    Config::new(cluster.url())
        .lease(LEASE)
        .retry_interval(CEILING * 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_to_a_follower_that_is_not_the_successor() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let record = Record::in_memory();
    let mut candidates = vec![];
    for index in 0..4 {
        let address = format!("hand-{index}");
        candidates.push(Candidate::start(config(&cluster), "hand", &address, &record).await);
        if index == 0 {
            until("the first leads", || candidates[0].leads()).await;
        }
    }
    until_successor(&cluster, "hand").await;
    until("all take part", || {
        status(&cluster, "hand", "candidates").as_deref() == Some("4")
    })
    .await;
    for term in 2..6 {
        let successor = status(&cluster, "hand", "successor").unwrap_or_default();
        let target = candidates
            .iter()
            .filter(|candidate| candidate.candidacy.state() == ProcessState::Following)
            .find_map(|candidate| {
                let index = candidates
                    .iter()
                    .position(|other| std::ptr::eq(other, candidate));
                let address = format!("hand-{}", index?);
                (address != successor).then_some(address)
            })
            .unwrap();
        let ended = operator
            .call(&format!("transfer('hand', '{target}')"))
            .await;
        assert_eq!(ended, Some((term - 1).to_string()));
        until("the next term works", || record.last_term() == term).await;
        let address = history(&cluster, "hand", term, "address");
        assert_eq!(address, Some(target), "term {term}");
        let ended = history(
            &cluster,
            "hand",
            term - 1,
            "concat_ws(', ', ending, by, request)",
        );
        assert_eq!(ended.as_deref(), Some("stepped down, operator, transfer"));
        let gap = record::gap_after(&record.steps(), term - 1).unwrap();
        assert!(gap < LEASE / 2, "an orderly transfer took {gap:?}");
        until_successor(&cluster, "hand").await;
    }
    record::assert_no_overlap(&record.steps());
    let pending = cluster.query("SELECT count(*) FROM pgleader.requests WHERE ended_at IS NULL");
    assert_eq!(pending.unwrap().as_deref(), Some("0"), "it was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_refused_where_it_cannot_succeed() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let record = Record::in_memory();
    let first = Candidate::start(config(&cluster), "no", "a", &record).await;
    until("it leads", || first.leads()).await;
    let gone = Seat::join(&cluster, "no", "gone").await;
    let _alive = Seat::join(&cluster, "no", "b").await;
    drop(gone);
    until("its session is gone", || {
        status(&cluster, "no", "candidates").as_deref() == Some("2")
    })
    .await;
    for address in ["gone", "nobody"] {
        assert_eq!(
            operator
                .refused(&format!("transfer('no', '{address}')"))
                .await,
            format!("42704: \"{address}\" is no live candidate of election \"no\"")
        );
    }
    assert_eq!(
        operator.refused("transfer('know', 'b')").await,
        "42704: there is no election named \"know\""
    );
    operator.call("exclude('no', 'b')").await;
    assert_eq!(
        operator.refused("transfer('no', 'b')").await,
        "55000: \"b\" is excluded from election \"no\""
    );
    operator.call("include('no', 'b')").await;
    // To whom leads already is fine.
    assert_eq!(operator.call("transfer('no', 'a')").await, None);
    assert!(first.leads());
    operator.call("suspend('no')").await;
    assert_eq!(
        operator.refused("transfer('no', 'b')").await,
        "55000: election \"no\" is suspended: nobody can lead it"
    );
    assert_eq!(record.last_term(), 1);
}

/// The target lives and does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_given_up_after_ten_leases() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let record = Record::in_memory();
    let first = Candidate::start(config(&cluster), "idle", "a", &record).await;
    until("it leads", || first.leads()).await;
    let _second = Candidate::start(config(&cluster), "idle", "b", &record).await;
    until_successor(&cluster, "idle").await;
    let _idle = Seat::join(&cluster, "idle", "idle").await;
    operator.call("transfer('idle', 'idle')").await;
    until("it is handed over", || {
        status(&cluster, "idle", "waiting_for").as_deref() == Some("transfer")
    })
    .await;
    assert_eq!(
        status(&cluster, "idle", "transfer_to").as_deref(),
        Some("idle")
    );
    until("another leads all the same", || record.last_term() == 2).await;
    let gap = record::gap_after(&record.steps(), 1).unwrap();
    assert!(gap >= LEASE * 9, "given up after {gap:?}");
    assert!(gap < LEASE * 30, "given up only after {gap:?}");
    assert_eq!(status(&cluster, "idle", "transfer_to"), None);
    record::assert_no_overlap(&record.steps());
}

/// So it is at once when the target dies, and when the server was replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_ends_with_its_target_and_with_the_timeline() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let record = Record::in_memory();
    // So long a lease that giving up explains nothing here.
    let config = || {
        Config::new(cluster.url())
            .lease(CEILING)
            .retry_interval(LEASE)
    };
    let first = Candidate::start(config().lease(LEASE * 10), "dead", "a", &record).await;
    until("it leads", || first.leads()).await;
    let target = Seat::join(&cluster, "dead", "b").await;
    operator.call("transfer('dead', 'b')").await;
    until("it is handed over", || {
        status(&cluster, "dead", "waiting_for").as_deref() == Some("transfer")
    })
    .await;
    drop(target);
    until("another leads", || record.last_term() == 2).await;

    let _target = Seat::join(&cluster, "dead", "c").await;
    operator.call("transfer('dead', 'c')").await;
    until("it is handed over", || {
        status(&cluster, "dead", "waiting_for").as_deref() == Some("transfer")
    })
    .await;
    cluster
        .execute("UPDATE pgleader.request SET timeline = timeline + 1 WHERE ended_at IS NULL")
        .unwrap();
    until("another leads", || record.last_term() == 3).await;
    record::assert_no_overlap(&record.steps());
}

/// One try after another, by hand: the target needs not be the successor, and the successor stands back.
#[tokio::test]
async fn the_target_leads_next_whoever_is_successor() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let leader = Seat::join(&cluster, "turn", "a").await;
    let began = ("began".to_owned(), None);
    let follows = ("held".to_owned(), None);
    assert_eq!(leader.try_in_turn(false).await, began);
    let successor = Seat::join_with_priority(&cluster, "turn", "b", 10).await;
    let target = Seat::join(&cluster, "turn", "c").await;
    assert_eq!(successor.try_in_turn(false).await, follows);
    operator.call("transfer('turn', 'c')").await;
    assert!(leader.vacate(1).await);
    leader.release().await;
    let passed_over = ("held".to_owned(), Some("transfer".to_owned()));
    assert_eq!(leader.try_in_turn(false).await, passed_over);
    assert_eq!(successor.try_in_turn(true).await, passed_over);
    assert_eq!(target.try_in_turn(false).await, began);
    assert_eq!(
        history(&cluster, "turn", 2, "address").as_deref(),
        Some("c")
    );
}

/// Nobody obeyed it, because it was committed late or its target was away: the term ends for another reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_was_given_up_does_not_come_back() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    for crashes in [false, true] {
        let name = format!("old-{crashes}");
        let candidacy = Seat::join(&cluster, &name, "a").await;
        assert_eq!(candidacy.campaign().await, ("began".to_owned(), 1));
        let other = Seat::join(&cluster, &name, "b").await;
        let _target = Seat::join(&cluster, &name, "c").await;
        operator.call(&format!("transfer('{name}', 'c')")).await;
        cluster
            .execute("UPDATE pgleader.request SET requested_at = requested_at - interval '1 hour'")
            .unwrap();
        if crashes {
            drop(candidacy);
            until("its session is gone", || {
                status(&cluster, &name, "candidates").as_deref() == Some("2")
            })
            .await;
            assert_eq!(other.campaign().await, ("won".to_owned(), 1));
            let began = ("began".to_owned(), Some(2));
            assert_eq!(other.take_office(true).await, began);
        } else {
            assert!(candidacy.vacate(1).await);
            candidacy.release().await;
            let began = ("began".to_owned(), None);
            assert_eq!(other.try_in_turn(false).await, began);
        }
    }
}
