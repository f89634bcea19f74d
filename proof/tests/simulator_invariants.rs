//! A check that cannot fail proves nothing: each invariant finds out a world that is broken on purpose.

use pg_leader_proof::sim::{self, Flaw};

/// So many worlds are enough for each flaw.
const WORLDS: u64 = 400;

fn finds_out(invariant: &str, flaw: Flaw) {
    let found = (1..=WORLDS).find_map(|seed| {
        let outcome = sim::run(seed, Some(flaw));
        let (broken, why) = outcome.broken?;
        broken.starts_with(invariant).then_some((seed, why))
    });
    let (seed, why) = found.unwrap_or_else(|| {
        panic!("{WORLDS} worlds with {flaw:?}, and invariant {invariant} holds in all of them")
    });
    println!("seed {seed}: {why}");
    // It is the flaw that breaks it, and not the seed.
    assert_eq!(sim::run(seed, None).broken, None);
}

#[test]
fn one_worker_finds_a_socket_that_is_let_go_while_work_runs() {
    finds_out("1:", Flaw::SocketLetGoEarly);
}

#[test]
fn one_worker_finds_work_that_is_dropped_late_although_nothing_blocks() {
    finds_out("1:", Flaw::DroppedLate);
}

#[test]
fn one_worker_finds_a_process_that_looks_at_no_other_host() {
    finds_out("1:", Flaw::BlindToOtherHosts);
}

#[test]
fn one_worker_finds_a_leader_that_stays_on_the_lower_host() {
    finds_out("1:", Flaw::StaysBelow);
}

#[test]
fn terms_increase_finds_numbers_that_a_failover_gives_out_again() {
    finds_out("2:", Flaw::NumberPlusOne);
}

#[test]
fn terms_increase_finds_two_promotions_to_one_timeline() {
    finds_out("2:", Flaw::NumberWithoutTime);
}

#[test]
fn terms_increase_finds_what_only_a_loser_has_heard_of() {
    finds_out("2:", Flaw::HeardNotRecorded);
}

#[test]
fn one_worker_finds_a_forgotten_term_that_is_exceeded_and_not_waited_for() {
    finds_out("1:", Flaw::RaisedWithoutWaiting);
}

#[test]
fn fences_hold_finds_transactions_that_outlive_their_term() {
    finds_out("3:", Flaw::FenceHoldsNothing);
}

#[test]
fn orderly_release_finds_work_that_is_said_to_have_stopped_too_early() {
    finds_out("4:", Flaw::StopToldEarly);
}

#[test]
fn orderly_release_finds_a_driver_that_forgets_what_work_runs() {
    finds_out("4:", Flaw::ForgetsWork);
}

#[test]
fn is_current_is_true_finds_a_term_that_counts_from_the_answer() {
    finds_out("5:", Flaw::PulseFromReceipt);
}

#[test]
fn somebody_leads_finds_sessions_that_never_end() {
    finds_out("6:", Flaw::DeadSessionsStay);
}

#[test]
fn steady_state_finds_queries_that_grow_with_the_elections() {
    finds_out("7:", Flaw::QueryEachElection);
}

#[test]
fn steady_state_finds_what_is_written() {
    finds_out("7:", Flaw::HeartbeatWrites);
}

#[test]
fn candidacy_goes_on_finds_a_process_that_gives_up() {
    finds_out("8:", Flaw::LeavesOnError);
}
