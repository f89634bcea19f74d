//! Candidates of one election with different leases. A leader that hangs is followed after its own lease, which is on
//! record, and not after its successor's; and no two work at once (invariants 1 and 6).

use std::process::Stdio;
use std::time::Duration;

use crate::support;
use crate::support::candidate::{self, this_binary};
use crate::support::race::Race;
use crate::support::record;
use crate::support::work::Kind;
use crate::support::{LEASE, status, until, until_successor};

const LONG: Duration = LEASE.saturating_mul(4);

/// Each leads in its turn, and is stopped with the other as its successor.
async fn assert_each_is_followed_after_its_own(election: &str, leases: [Duration; 2]) {
    let mut race = Race::empty(election);
    for (address, lease) in ["first", "second"].into_iter().zip(leases) {
        let mut command = this_binary();
        command.env(candidate::LEASE_MS, lease.as_millis().to_string());
        race.join_by(command, address, Kind::Steady, Stdio::inherit());
        race.until_term(1).await;
    }
    let mut term = 1;
    until_successor(&race.cluster, election).await;
    for (process, lease) in race.processes.iter().zip(leases) {
        let on_record = format!(
            "SELECT lease = interval '{} ms' FROM pgleader.term WHERE number = {term}",
            lease.as_millis()
        );
        assert_eq!(
            race.cluster.query(&on_record).unwrap().as_deref(),
            Some("t")
        );
        process.stop();
        let next = race.until_term(term + 1).await;
        let gap = race.gap_after(term);
        support::say(&format!("{election}: a lease of {lease:?}, gap {gap:?}"));
        // Of the longer lease this is twice the shorter; of the shorter it is less than the longer.
        assert!(gap >= lease / 2, "{gap:?}: followed too soon");
        assert!(gap < lease * 3, "{gap:?} without a leader");
        record::assert_no_overlap(&race.steps());
        term = next;

        process.go_on();
        until("the woken process is the successor", || {
            status(&race.cluster, election, "successor").as_ref() == Some(&process.address)
        })
        .await;
    }
    let on_waking = record::begun_in_another_term(&race.steps());
    // Each may have been stopped after its clock was looked at and before its step began.
    assert!(on_waking <= 1, "{on_waking} steps in others' terms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_lease_is_waited_for_by_a_successor_with_a_short_one() {
    assert_each_is_followed_after_its_own("long", [LONG, LEASE]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_lease_is_all_that_a_successor_with_a_long_one_waits_for() {
    assert_each_is_followed_after_its_own("short", [LEASE, LONG]).await;
}
