//! The checker can fail: it finds fault with everything that is broken on purpose, and with what is shipped,
//! within the same bounds, it does not. Each prints how it comes to the fault.

use std::time::Duration;

use pg_leader_proof::model::{Bounds, FOUR, Fault, HOLD_OFF, LIVENESS, ONE, Subject, TWO, check};
use pg_leader_proof::mutants::{mutant, shipped_beside};

/// The mutant breaks `property` within these bounds, and what is shipped breaks nothing.
fn finds(name: &'static str, property: &str, bounds: Bounds) {
    let limit = Some(Duration::from_secs(300));
    let broken = mutant(name).expect("there is such a mutant");
    let report = check(&bounds, broken, limit);
    println!("{report}");
    let found = report.counterexample.expect("the checker finds it");
    assert_eq!(found.property, property);
    assert!(!found.trace.is_empty());
    let report = check(&bounds, shipped_beside(name), limit);
    println!("shipped {report}");
    assert!(
        report.counterexample.is_none() && report.complete,
        "{report}"
    );
}

fn one(name: &'static str, menu: &[Fault]) -> Bounds {
    Bounds::two(name, 1, 0).only(menu)
}

fn two(name: &'static str, menu: &[Fault]) -> Bounds {
    Bounds::two(name, 2, 0).only(menu)
}

/// A promotion is thrown away, after a term that has ended in order.
fn thrown_away(name: &'static str) -> Bounds {
    two(name, &[Fault::Promote, Fault::Discard]).vacated()
}

/// So short that an answer may come later.
fn short(bounds: Bounds) -> Bounds {
    bounds.lease(Duration::from_millis(500))
}

/// It takes unequal clocks to see it, and with these the shipped machine has more states than a test may look at:
/// `cargo model --slow-clock` looks at all.
#[test]
fn aborted_without_a_margin() {
    let name = "aborted_without_a_margin";
    let bounds = two(name, &[Fault::StallUp, Fault::Killed]);
    finds_soon(name, ONE, &bounds.stubborn().clocks(&[100, 105], 1));
}

fn finds_soon(name: &'static str, property: &str, bounds: &Bounds) {
    let broken = mutant(name).expect("there is such a mutant");
    let report = check(bounds, broken, Some(Duration::from_secs(60)));
    println!("{report}");
    let found = report.counterexample.expect("the checker finds it");
    assert_eq!(found.property, property);
    let report = check(bounds, Subject::shipped(), Some(Duration::from_secs(10)));
    println!("shipped {report}");
    assert!(report.counterexample.is_none(), "{report}");
}

/// It takes three faults to see it: as above.
#[test]
fn heard_forgotten_with_the_rules() {
    let name = "heard_forgotten_with_the_rules";
    let menu = [Fault::Promote, Fault::Discard, Fault::Panic];
    let bounds = Bounds::two(name, 3, 0).only(&menu).vacated();
    finds_soon(name, TWO, &bounds);
}

/// Retries must come more seldom than a term ends in order, which makes for many states: as above.
#[test]
fn begins_again_at_once() {
    let name = "begins_again_at_once";
    let bounds = Bounds::two(name, 0, 2).from_the_start().shipped_pace();
    finds_soon(name, HOLD_OFF, &bounds);
}

macro_rules! mutants {
    ($($name:ident breaks $property:ident within $bounds:expr;)*) => {$(
        #[test]
        fn $name() {
            let bounds: fn(&'static str) -> Bounds = $bounds;
            let name = stringify!($name);
            finds(name, $property, bounds(name));
        }
    )*};
}

mutants! {
    work_forgotten_with_the_driver breaks FOUR within |name| one(name, &[Fault::Panic]).stubborn();
    work_forgotten_with_the_rules breaks FOUR within |name| one(name, &[Fault::Panic]).stubborn();
    work_that_never_started_is_waited_for breaks LIVENESS within |name| two(name, &[Fault::Panic, Fault::Kill]);
    half_done_rules_go_on breaks LIVENESS within |name| two(name, &[Fault::Panic, Fault::Kill]);
    candidacies_forgotten_with_the_rules breaks LIVENESS within |name| two(name, &[Fault::Panic, Fault::Kill]);
    answers_of_the_newest_request breaks LIVENESS within |name| one(name, &[Fault::Cut]);
    requests_outlive_their_session breaks LIVENESS within |name| two(name, &[Fault::StallUp, Fault::Kill]);
    nobody_aborts breaks ONE within |name| one(name, &[Fault::StallUp]).stubborn();
    no_refractory_period breaks ONE within |name| one(name, &[Fault::Killed]);
    deadline_from_the_answer breaks ONE within |name| one(name, &[Fault::Cut]);
    unlock_before_the_work_stopped breaks FOUR within |name| Bounds::two(name, 0, 1);
    autopsy_of_an_indirect_session breaks ONE within |name| one(name, &[]).indirect();
    sample_of_any_backend breaks ONE within |name| two(name, &[Fault::Killed, Fault::Stranger]);
    sample_after_the_try breaks ONE within |name| two(name, &[Fault::Killed, Fault::Half]);
    sample_kept_across_a_reconnect breaks ONE within |name| two(name, &[Fault::Crash]);
    sessions_fatal_ignored breaks ONE within |name| one(name, &[Fault::Fatal]);
    sessions_killed_ignored breaks ONE within |name| one(name, &[Fault::Killed]);
    reset_ignored breaks ONE within |name| two(name, &[Fault::Killed, Fault::Reset]);
    counters_before_the_backend_is_gone breaks ONE within |name| two(name, &[Fault::Killed]);
    socket_closed_early breaks ONE within |name| one(name, &[Fault::StallUp]);
    late_answer_revives breaks ONE within |name| one(name, &[Fault::Pause]);
    work_starts_too_late breaks ONE within |name| short(one(name, &[Fault::Cut])).from_the_start();
    never_deposed breaks ONE within |name| short(one(name, &[Fault::Cut]));
    work_not_dropped_when_deposed breaks ONE within |name| one(name, &[Fault::Killed]);
    work_not_aborted breaks ONE within |name| one(name, &[Fault::StallUp]).stubborn();
    vacates_while_the_work_runs breaks FOUR within |name| one(name, &[Fault::Killed]);
    half_a_lease_of_silence breaks ONE within |name| one(name, &[Fault::StallUp]);
    silence_from_the_sending_to_the_answer breaks ONE within |name| two(name, &[Fault::StallUp]);
    vacate_of_any_term breaks ONE within |name| two(name, &[Fault::Killed, Fault::Pause]);
    vacate_of_any_timeline breaks ONE within |name| Bounds::two(name, 1, 1).only(&[Fault::Promote]);
    number_plus_one breaks TWO within |name| one(name, &[Fault::Promote]);
    raised_without_waiting breaks ONE within |name| thrown_away(name);
    heard_by_nobody breaks TWO within |name| thrown_away(name);
    heard_until_the_session_ends breaks TWO within |name| thrown_away(name);
    elsewhere_is_not_waited_for breaks ONE within |name| one(name, &[Fault::Promote]);
    office_unasked breaks ONE within |name| one(name, &[Fault::Killed]);
    closed_is_vacated breaks ONE within |name| one(name, &[Fault::Killed]);
    works_before_it_has_looked breaks ONE within |name| two(name, &[Fault::Rival]);
    begins_what_was_seen_held_meanwhile breaks ONE within |name| two(name, &[Fault::Rival, Fault::Half]).from_the_start();
    stays_below_a_higher_one breaks ONE within |name| one(name, &[Fault::Rival]);
    held_for_ever breaks LIVENESS within |name| one(name, &[Fault::Rival]);
    refused_for_ever breaks LIVENESS within |name| two(name, &[Fault::Refuse, Fault::Kill]);
    no_reconnection breaks LIVENESS within |name| one(name, &[Fault::Restart]);
}
