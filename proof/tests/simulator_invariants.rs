//! A check that cannot fail proves nothing: each invariant finds out a world that is broken on purpose.

use pg_leader_proof::sim::{self, Coverage, Flaw};

/// So many worlds are enough for each flaw.
const WORLDS: u64 = 400;

/// A world of hundreds of elections whose lease bears them.
const BORNE: u64 = 1587;

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

/// Nothing but liveness is broken, and only liveness finds it.
fn only_liveness_finds(flaw: Flaw, worlds: u64, how: impl Fn(&str) -> bool) {
    let mut found = 0;
    for seed in 1..=worlds {
        let Some((broken, why)) = sim::run(seed, Some(flaw)).broken else {
            continue;
        };
        assert!(broken.starts_with("6:"), "seed {seed}: {broken}: {why}");
        if how(&why) {
            if found == 0 {
                println!("seed {seed}: {why}");
                assert_eq!(sim::run(seed, None).broken, None);
            }
            found += 1;
        }
    }
    println!("{flaw:?} is found in {found} of {worlds} worlds");
    assert!(
        found > 0,
        "{worlds} worlds with {flaw:?}, and nobody notices"
    );
}

#[test]
fn somebody_leads_finds_a_process_that_stops_trying() {
    only_liveness_finds(Flaw::StopsTrying, 20, |why| why.contains("in time after"));
}

#[test]
fn somebody_leads_finds_a_process_that_retries_ten_times_as_seldom() {
    finds_out("6:", Flaw::RetriesSeldom);
}

#[test]
fn somebody_leads_finds_a_process_that_asks_for_office_but_once() {
    only_liveness_finds(Flaw::WaitsForEver, 20, |why| why.contains("in time after"));
}

#[test]
fn somebody_leads_finds_who_takes_over_one_election_at_a_time() {
    // Not where the ending was looked for, but in another election of the same process.
    only_liveness_finds(Flaw::OneAtATime, 20, |why| {
        let mut numbers = why.split("election ").skip(1);
        let number = |text: &str| text.split(' ').next().map(str::to_owned);
        let led = numbers.next().and_then(number);
        let struck = numbers.next().and_then(number);
        struck.is_some() && led != struck
    });
}

#[test]
fn somebody_leads_finds_who_loses_what_it_has_taken_over() {
    only_liveness_finds(Flaw::Stumbles, 20, |why| why.contains("terms of election"));
}

#[test]
fn storms_show_a_process_that_sulks_while_they_last() {
    let mut all = Coverage::default();
    for seed in 1..=64 {
        let outcome = sim::run(seed, Some(Flaw::Sulks));
        assert_eq!(outcome.broken, None, "seed {seed}");
        all.add(&outcome.coverage);
    }
    // Without it enough is led: tests/simulator.rs.
    println!("{}", all.too_quiet().expect("nobody notices"));
}

#[test]
fn somebody_leads_finds_a_process_that_stops_trying_among_hundreds_of_elections() {
    let (broken, why) = sim::run(BORNE, Some(Flaw::StopsTrying))
        .broken
        .expect("nobody notices");
    println!("{broken}: {why}");
    assert!(broken.starts_with("6:"));
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
