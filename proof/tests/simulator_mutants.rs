//! What the engine decides beside the rules: each decision taken out or turned round, and the simulator finds it.

use pg_leader_proof::sim;

/// So many worlds are enough for each.
const WORLDS: u64 = 200;

/// The mutant breaks that, in these words; the same world with what is shipped breaks nothing.
fn finds(name: &'static str, invariant: &str, words: &str) {
    let found = (1..=WORLDS).find_map(|seed| {
        let outcome = sim::run_mutant(seed, name);
        let (broken, why) = outcome.broken?;
        (broken.starts_with(invariant) && why.contains(words)).then_some((seed, why))
    });
    let (seed, why) = found.unwrap_or_else(|| {
        panic!("{WORLDS} worlds with {name}, and nowhere does {invariant:?} say {words:?}")
    });
    println!("{name}, seed {seed}: {why}");
    assert_eq!(sim::run(seed, None).broken, None);
}

/// What an engine wants, by itself.
const WANTS: &str = "what the engine wants";
/// Who asked for something waits no longer.
const ANSWERED: &str = "8: handles are answered";

const LED: &str = "6: somebody leads";

macro_rules! mutants {
    ($($name:ident breaks $invariant:ident: $words:expr;)*) => {$(
        #[test]
        fn $name() {
            finds(stringify!($name), $invariant, $words);
        }
    )*};
}

mutants! {
    fails_fast_is_forgotten breaks WANTS: "nothing without a first session, and goes on";
    fails_fast_for_ever breaks WANTS: "gives up, and its first session may come later";
    fails_without_being_asked breaks WANTS: "gives up, and its first session may come later";
    ticks_as_if_nothing_worked breaks WANTS: "the clock is looked at every";
    own_notifications_are_heeded breaks WANTS: "what it has said itself makes it look";
    no_notification_is_heeded breaks WANTS: "an election that is followed, and nobody looks";
    deaf_work_is_given_time breaks WANTS: "cannot hear it, and is not dropped";
    deaf_work_is_given_grace breaks WANTS: "cannot hear it, and is not dropped";
    no_hint_may_be_refused breaks WANTS: "a hint could not be given, and the session ends for it";
    everything_may_be_refused breaks WANTS: "what was refused is taken for done";
    resigned_before_the_work_stopped breaks WANTS: "is given up while its work runs";
    who_resigns_is_never_told breaks ANSWERED: "resigned from";
    resigned_without_its_term breaks WANTS: "is given up, and not its term";
    left_before_the_work_stopped breaks WANTS: "is given up while its work runs";
    who_leaves_is_not_heard breaks ANSWERED: "left";
    who_asked_is_forgotten breaks WANTS: "nobody is told by whom";
    who_asked_is_not_told breaks WANTS: "nobody is told by whom";
    starts_what_has_not_begun breaks WANTS: "starts and has not begun";
    starts_before_it_is_shown breaks WANTS: "starts and is not shown";
    who_was_not_reached_is_forgotten breaks LED: "nobody leads election";
    goodbye_while_work_runs breaks WANTS: "says goodbye while work runs";
}
