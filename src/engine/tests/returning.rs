//! Giving up what is not taken yet, and going on where an earlier machine failed.

use super::*;

fn asks_for_office(query: &Query) -> bool {
    matches!(query, Query::TakeOffice { .. })
}

fn is_vacate(query: &Query) -> bool {
    matches!(query, Query::Vacate { terms } if terms[0].1 == 8)
}

fn lets_go(query: &Query) -> bool {
    matches!(query, Query::Release { leadership, .. } if leadership == &[KEY])
}

/// It holds off, and tries again.
fn assert_declined(bench: &mut Bench) {
    assert!(!bench.has_started());
    assert!(bench.has_asked(lets_go), "it keeps the lock");
    assert!(bench.gave_up());
    bench.asked.clear();
    let hold_off = LEASE / 20 * 2;
    bench.pass(hold_off - Duration::from_millis(1));
    let tries = |query: &Query| matches!(query, Query::Campaign { .. });
    assert!(!bench.has_asked(tries), "it does not hold off");
    bench.pass(Duration::from_millis(1));
    assert!(bench.has_asked(tries), "it does not go on");
}

#[test]
fn who_waits_for_office_lets_the_lock_go() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Won(won()));
    bench.event(Event::GiveUp { key: KEY });
    let told = Action::Tell(Notice::Declined { key: KEY });
    assert!(bench.has_done(|action| *action == told));
    assert_declined(&mut bench);
}

#[test]
fn who_waits_for_fenced_transactions_lets_the_lock_go() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Fenced {
        last_term: 7,
        lease: LEASE,
    });
    bench.event(Event::GiveUp { key: KEY });
    assert_declined(&mut bench);
}

#[test]
fn what_a_try_under_way_wins_is_given_up() {
    let mut bench = Bench::candidate();
    bench.event(Event::GiveUp { key: KEY });
    assert!(!bench.gave_up());
    bench.answer_campaign(Try::Won(won()));
    assert_declined(&mut bench);
}

#[test]
fn a_try_under_way_that_wins_nothing_changes_nothing() {
    let mut bench = Bench::candidate();
    bench.event(Event::GiveUp { key: KEY });
    bench.answer_campaign(Try::Held(held()));
    assert!(bench.gave_up());
    assert!(!bench.has_asked(lets_go));
    // It was about that try alone.
    bench.pass(LEASE / 20);
    bench.answer_campaign(began(8));
    assert!(bench.has_started());
}

#[test]
fn a_term_that_begins_when_it_is_given_up_is_vacated_and_never_works() {
    let taken: [fn(&mut Bench); 2] = [
        |bench| {
            bench.event(Event::GiveUp { key: KEY });
            bench.answer_campaign(began(8));
        },
        |bench| {
            bench.answer_campaign(Try::Won(won()));
            while !bench.has_asked(asks_for_office) {
                bench.pass(LEASE / 8);
                bench.stay_well();
            }
            bench.event(Event::GiveUp { key: KEY });
            let office = office_begun(8);
            bench.answer(asks_for_office, offered(KEY, office));
        },
    ];
    for take in taken {
        let mut bench = Bench::candidate();
        take(&mut bench);
        assert!(!bench.has_started(), "the work of a term that was given up");
        assert!(bench.has_asked(is_vacate) && bench.has_asked(lets_go));
        assert!(!bench.gave_up(), "the database does not know");
        let done = true;
        let (key, term) = (KEY, 8);
        bench.answer(is_vacate, vacated(key, term, done));
        assert!(bench.gave_up());
    }
}

fn returned(work: Option<u64>, owed: Option<(u64, Ending)>) -> Bench {
    let mut bench = Bench::new();
    bench.event(Event::Return {
        key: KEY,
        autopsy: true,
        graceful: true,
        work: work.map(|term| (term, bench.now + LEASE / 2)),
        owed,
    });
    bench.event(Event::Connected);
    bench.answer(|query| matches!(query, Query::Join { .. }), joined(KEY));
    bench
}

/// Invariant 1, within a process.
#[test]
fn nobody_campaigns_while_work_of_an_earlier_machine_runs() {
    let mut bench = returned(Some(8), Some((8, Ending::Deposed)));
    let tries = |query: &Query| matches!(query, Query::Campaign { .. });
    bench.pass(LEASE);
    assert!(!bench.has_asked(tries) && !bench.has_asked(is_vacate));
    let told = Action::Tell(Notice::Overran { key: KEY, term: 8 });
    assert!(bench.has_done(|action| *action == told), "nobody is told");
    let stop = Stop::Dropped;
    let (key, term) = (KEY, 8);
    bench.event(Event::WorkStopped { key, term, stop });
    assert!(bench.has_asked(is_vacate));
    let done = true;
    bench.answer(is_vacate, vacated(key, term, done));
    bench.pass(LEASE / 8);
    assert!(bench.has_asked(tries), "it does not go on");
}

#[test]
fn what_an_earlier_machine_owed_is_vacated() {
    let bench = returned(None, Some((8, Ending::Failed)));
    let owed = |query: &Query| {
        *query
            == Query::Vacate {
                terms: vec![(KEY, 8, Ending::Failed)],
            }
    };
    assert!(bench.has_asked(owed));
}

#[test]
fn who_has_nothing_to_give_up_is_told_at_once() {
    let mut bench = Bench::new();
    bench.event(Event::GiveUp { key: KEY });
    assert!(bench.gave_up(), "no candidate");
    bench.done.clear();
    let mut bench = Bench::successor();
    bench.event(Event::GiveUp { key: KEY });
    assert!(bench.gave_up(), "a follower");
}

#[test]
fn a_term_is_given_up_once_its_work_has_stopped_and_it_is_vacated() {
    let mut bench = Bench::leader();
    bench.event(Event::GiveUp { key: KEY });
    assert!(!bench.gave_up(), "its work runs");
    let (key, term) = (KEY, 7);
    let stop = Stop::Returned;
    bench.event(Event::WorkStopped { key, term, stop });
    assert!(!bench.gave_up(), "the database does not know");
    let done = true;
    bench.answer(
        |query| matches!(query, Query::Vacate { .. }),
        vacated(key, term, done),
    );
    assert!(bench.gave_up());
    // Once.
    bench.done.clear();
    bench.event(Event::Timer);
    assert!(!bench.gave_up());
}

#[test]
fn a_database_that_cannot_be_reached_is_not_waited_for() {
    let mut bench = Bench::leader();
    bench.event(Event::GiveUp { key: KEY });
    bench.event(Event::Disconnected);
    assert!(!bench.gave_up(), "its work runs");
    let (key, term) = (KEY, 7);
    let stop = Stop::Dropped;
    bench.event(Event::WorkStopped { key, term, stop });
    assert!(bench.gave_up());
}

#[test]
fn who_leaves_has_given_up() {
    let mut bench = Bench::leader();
    bench.event(Event::GiveUp { key: KEY });
    bench.event(Event::Leave { key: KEY });
    bench.event(Event::Disconnected);
    bench.pass(LEASE * 11);
    assert!(!bench.gave_up(), "its work runs");
    let (key, term) = (KEY, 7);
    let stop = Stop::Dropped;
    bench.event(Event::WorkStopped { key, term, stop });
    let left = |action: &Action| *action == Action::Left { key: KEY };
    assert!(bench.has_done(left) && bench.gave_up());
}
