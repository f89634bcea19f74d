//! Notifications are hints: lost ones are made good, forged ones believed never, and a flood of them stops
//! nobody. Addresses and states are pushed. Settles rows 2 and 17 of docs/development/known-faults.md.

use std::time::Duration;

use crate::support;
use crate::support::proxy::Proxy;
use crate::support::record::{self, Record};
use crate::support::seat::Seat;
use crate::support::{CEILING, Cluster, LEASE, contest, elector, until};
use futures_util::StreamExt;
use pg_leader::{AddressError, Config, ElectionState, Elector, ProcessState, Term};
use tokio_postgres::error::SqlState;

/// No answer comes, and the lease is so long that the session is not given up for it yet.
#[tokio::test(flavor = "multi_thread")]
async fn who_listens_is_woken_when_what_is_known_is_too_old() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let _candidates = contest(&cluster, "aged", 1, &record).await;
    let proxy = Proxy::start(cluster.port()).await;
    let lease = Duration::from_secs(60);
    let patient = Config::new(proxy.url())
        .lease(lease)
        .retry_interval(lease / 20);
    let elector = Elector::connect(patient).await.unwrap();
    let observer = elector.observe("aged").unwrap();
    let mut changes = observer.changes();
    let mut becomes = async |state| {
        let waits = async {
            while changes.current().state != state {
                changes.next().await.expect("the elector lives");
            }
        };
        let waited = tokio::time::timeout(lease / 2, waits).await;
        waited.unwrap_or_else(|_| panic!("it never becomes {state}"));
    };
    becomes(ElectionState::Leading).await;
    proxy.swallow(true, true);
    becomes(ElectionState::Unknown).await;
    assert_eq!(observer.address(), Err(AddressError::Unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn address_and_state_are_pushed_to_followers_and_observers() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let watching = Elector::connect(
        // So long a retry interval that only a push can explain what is seen.
        Config::new(cluster.url())
            .lease(LEASE)
            .retry_interval(CEILING * 10),
    )
    .await
    .unwrap();
    let observer = watching.observe("pushed").unwrap();
    until("it is known that nobody leads", || {
        observer.address() == Err(AddressError::NoLeader)
    })
    .await;
    let mut changes = observer.changes();
    let candidates = contest(&cluster, "pushed", 2, &record).await;
    until("the address is seen", || {
        observer.address().as_deref() == Ok("pushed-0")
    })
    .await;
    until("the follower sees it", || {
        candidates[1].candidacy.address().as_deref() == Ok("pushed-0")
    })
    .await;

    candidates[0].candidacy.resign().await;
    until("the new address is seen", || {
        observer.address().as_deref() == Ok("pushed-1")
    })
    .await;
    until("it is seen to lead", || {
        observer.state() == ElectionState::Leading
    })
    .await;
    until("the old leader sees it", || {
        candidates[0].candidacy.address().as_deref() == Ok("pushed-1")
    })
    .await;
    assert_eq!(observer.term(), 2);

    let last = tokio::time::timeout(CEILING, async {
        loop {
            let standing = changes.next().await.expect("the elector lives");
            if standing.term == 2 && standing.state == ElectionState::Leading {
                return standing;
            }
        }
    });
    let last = last.await.expect("the last change is never lost");
    assert_eq!(last.address.as_deref(), Some("pushed-1"));
    assert_eq!(last.process, ProcessState::Following);
}

/// Everything that candidates say is lost; they find out all the same.
#[tokio::test(flavor = "multi_thread")]
async fn lost_notifications_are_made_good() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    drop(elector(&cluster).await);
    cluster
        .execute(
            "CREATE OR REPLACE FUNCTION pgleader.announce(mark text, elections integer[], wait_ms integer) \
             RETURNS void LANGUAGE sql AS $$ SELECT $$",
        )
        .unwrap();
    let candidates = contest(&cluster, "silent", 3, &record).await;
    candidates[0].candidacy.resign().await;
    until("another leads", || {
        candidates[1..].iter().any(|candidate| candidate.leads())
    })
    .await;
    let address = || {
        candidates
            .iter()
            .map(|candidate| candidate.candidacy.address().ok())
            .collect::<Vec<_>>()
    };
    until("all know the address", || {
        let addresses = address();
        addresses
            .iter()
            .all(|known| known.is_some() && *known == addresses[0])
    })
    .await;
    record::assert_no_overlap(&record.steps());
}

/// The notification fails: the transition stands, and the session too.
#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_fails_is_tolerated() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    drop(elector(&cluster).await);
    cluster
        .execute(
            "CREATE OR REPLACE FUNCTION pgleader.announce(mark text, elections integer[], wait_ms integer) \
             RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'the queue is full'; END $$",
        )
        .unwrap();
    let candidates = contest(&cluster, "failing", 2, &record).await;
    let pid = cluster.leader_pid("failing").unwrap();
    candidates[0].candidacy.resign().await;
    until("the other leads", || candidates[1].leads()).await;
    candidates[1].candidacy.resign().await;
    until("the first leads again", || candidates[0].leads()).await;
    assert_eq!(
        cluster.leader_pid("failing").unwrap(),
        pid,
        "the session was given up"
    );
    record::assert_no_overlap(&record.steps());
}

/// A commit that waits for a standby holds the lock that every NOTIFY of the server needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_blocks_delays_nobody_for_long() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "blocked", 2, &record).await;
    let seat = Seat::join(&cluster, "by hand", "seat").await;
    support::hang_commits(&cluster, "NOTIFY anything").await;
    // Its session sets no limit of its own.
    let announce = seat.fill("SELECT pgleader.announce($mark, ARRAY[$election], 5)");
    let announced = tokio::time::timeout(CEILING, seat.client.query_one(&announce, &[])).await;
    let refused = announced
        .expect("it does not wait for the lock for ever")
        .unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    candidates[0].candidacy.resign().await;
    until("the other works", || record.last_term() == 2).await;
    record::assert_no_overlap(&record.steps());
    assert!(record::gap_after(&record.steps(), 1).unwrap() < LEASE * 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_notifications_and_garbage_are_believed_never() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "forged", 2, &record).await;
    for payload in [
        r#"{"election":"forged","term":99,"state":"vacant","address":null}"#,
        r#"{"election":"forged","term":99,"state":"leading","address":"evil"}"#,
        r#"{"election":"other"}"#,
        r#"{"election":7}"#,
        "not json",
        "",
        "[[[[[[[[[[[[[[[[",
    ] {
        cluster
            .execute(&format!("SELECT pg_notify('pg_leader', $${payload}$$)"))
            .unwrap();
    }
    let steps = record.steps().len();
    until("the leader works on", || record.steps().len() > steps + 300).await;
    assert_eq!(record.last_term(), 1);
    assert_eq!(candidates[1].candidacy.address().as_deref(), Ok("forged-0"));
    assert_eq!(candidates[1].candidacy.term(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_notifications_stops_nobody() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "flood", 3, &record).await;
    let flood = r#"SELECT pg_notify('pg_leader', json_build_object('election', 'flood', 'n', n)::text)
                   FROM generate_series(1, 20000) AS n"#;
    for _ in 0..3 {
        cluster.execute(flood).unwrap();
    }
    let steps = record.steps().len();
    until("the leader works on", || record.steps().len() > steps + 300).await;
    assert_eq!(record.last_term(), 1, "the flood cost the leadership");
    cluster.execute(flood).unwrap();
    candidates[0].candidacy.resign().await;
    until("another leads", || {
        candidates[1..].iter().any(|candidate| candidate.leads())
    })
    .await;
    record::assert_no_overlap(&record.steps());
}

/// Two candidates may share an address; they are told apart by a secret of each.
#[tokio::test(flavor = "multi_thread")]
async fn two_candidates_with_one_address_are_two() {
    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let config = || support::config(&cluster.url());
    let first = support::Candidate::start(config(), "twins", "same", &record).await;
    let second = support::Candidate::start(config(), "twins", "same", &record).await;
    until("one leads", || first.leads() || second.leads()).await;
    support::until_successor(&cluster, "twins").await;
    let steps = record.steps().len();
    until("it works for two leases", || {
        record.steps().len() > steps + 1000
    })
    .await;
    assert!(first.leads() != second.leads(), "both lead");
    assert_eq!(
        support::status(&cluster, "twins", "candidates").as_deref(),
        Some("2")
    );
    assert_eq!(record.last_term(), 1);
}

/// In JSON a control character takes six bytes, and a notification has fewer than 8,000.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_name_and_address_fit_a_notification_whatever_they_are() {
    let cluster = Cluster::start().unwrap();
    let listener = Elector::connect(
        // So long a retry interval that only a push can explain what is seen.
        Config::new(cluster.url())
            .lease(LEASE)
            .retry_interval(CEILING * 10),
    );
    let listener = listener.await.unwrap();
    for (of, c) in ["\u{1}", "\"", "\u{1f469}", "\u{202e}"].iter().enumerate() {
        let name = format!("{of}{}", c.repeat(199));
        let observer = listener.observe(&name).unwrap();
        until("nobody leads it", || {
            observer.address() == Err(AddressError::NoLeader)
        })
        .await;
        let elector = elector(&cluster).await;
        let address = c.repeat(1000);
        let lead = |term: Term| async move {
            term.ready();
            std::future::pending::<()>().await;
        };
        let _candidacy = elector.campaign((&name, &address), lead).unwrap();
        until("its address is pushed", || {
            observer.address().as_ref() == Ok(&address)
        })
        .await;
    }
}
