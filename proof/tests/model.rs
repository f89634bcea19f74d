//! The shipped state machine under the model checker, within bounds that a test may take. Larger ones:
//! `cargo model`. See docs/proof.md.

use std::time::Duration;

use pg_leader_proof::model::{Bounds, Fault, Subject, check};

/// Everything within these bounds is right, and was looked at.
fn proves(bounds: Bounds) {
    let report = check(&bounds, Subject::shipped(), Some(Duration::from_secs(300)));
    println!("{report}");
    assert!(report.counterexample.is_none(), "{report}");
    assert!(report.complete, "{report}");
}

#[test]
fn two_candidates_and_any_fault() {
    proves(Bounds::two("two candidates, any fault", 1, 0));
}

#[test]
fn two_candidates_and_any_fault_from_the_start() {
    proves(Bounds::two("two candidates, any fault, from the start", 1, 0).from_the_start());
}

#[test]
fn two_candidates_and_orderly_ends() {
    proves(Bounds::two("two candidates, two orderly ends", 0, 2));
}

#[test]
fn sessions_that_end() {
    let menu = [Fault::Killed, Fault::Fatal];
    proves(Bounds::two("two candidates, two ended sessions", 2, 0).only(&menu));
}

#[test]
fn servers_that_fail_during_orderly_ends() {
    let menu = [Fault::Crash, Fault::Promote];
    proves(Bounds::two("two candidates, a failover and an orderly end", 1, 1).only(&menu));
}

#[test]
fn what_is_refused_of_one_election() {
    let menu = [Fault::Refuse, Fault::Killed, Fault::Panic];
    let name = "two candidates, a refusal and another fault";
    proves(Bounds::two(name, 2, 0).only(&menu));
    let name = "two candidates, a refusal and an orderly end";
    proves(Bounds::two(name, 1, 1).only(&[Fault::Refuse]));
}

#[test]
fn promotions_that_are_thrown_away() {
    let menu = [Fault::Promote, Fault::Discard, Fault::PromoteAnother];
    let name = "two candidates after an orderly end, two promotions or one thrown away";
    proves(Bounds::two(name, 2, 0).only(&menu).vacated());
}

#[test]
fn two_hosts_that_accept_writes() {
    let menu = [Fault::Rival, Fault::Killed, Fault::Half, Fault::Panic];
    let name = "two candidates, another host that is led and one fault";
    proves(Bounds::two(name, 2, 0).only(&menu));
}

#[test]
fn three_candidates_and_any_fault() {
    proves(Bounds::three("three candidates, any fault", 1, 0));
}

#[test]
fn connections_through_a_proxy() {
    proves(Bounds::two("two candidates through a proxy, any fault", 1, 0).indirect());
}

#[test]
fn endings_that_prove_nothing() {
    proves(Bounds::two("two candidates that always wait, any fault", 1, 0).always_wait());
}

#[test]
fn work_that_cannot_be_dropped() {
    proves(
        Bounds::two(
            "two candidates, work that cannot be dropped, any fault",
            1,
            0,
        )
        .stubborn(),
    );
}

#[test]
fn heartbeats_as_often_as_shipped() {
    let bounds = Bounds::two("two candidates, heartbeats every L/8, any fault", 1, 0);
    proves(bounds.shipped_pace());
}

#[test]
fn answers_that_come_later_than_the_lease() {
    let menu = [Fault::StallUp, Fault::StallDown, Fault::Cut, Fault::Swallow];
    let bounds = Bounds::two("two candidates, a short lease, from the start", 1, 0);
    proves(
        bounds
            .lease(Duration::from_millis(500))
            .from_the_start()
            .only(&menu),
    );
}
/// A leader whose clock runs slow, and one whose clock runs fast.
#[test]
fn clocks_that_run_unequally() {
    let menu = [Fault::StallUp, Fault::Killed];
    for (name, rates) in [
        ("two candidates, the leader's clock slow", [100, 105]),
        ("two candidates, the leader's clock fast", [105, 100]),
    ] {
        let bounds = Bounds::two(name, 1, 0).clocks(&rates, 2).stubborn();
        proves(bounds.only(&menu));
    }
}
