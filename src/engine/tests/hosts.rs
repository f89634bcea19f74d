//! Several hosts that accept writes: no term begins by an old sight of the others.

use super::*;

fn looked(contested: bool, held: bool) -> Event {
    let (held, clear) = if held {
        (vec![KEY], vec![])
    } else {
        (vec![], vec![KEY])
    };
    Event::Looked {
        contested,
        higher: false,
        held,
        clear,
        ends: true,
    }
}

fn look(bench: &mut Bench, contested: bool, held: bool) {
    bench.process.look_begins();
    bench.event(looked(contested, held));
}

fn campaigns(query: &Query) -> bool {
    matches!(query, Query::Campaign { .. })
}

fn takes_office(query: &Query) -> bool {
    matches!(query, Query::TakeOffice { .. })
}

fn is_told(bench: &Bench, bar: Option<Bar>) -> bool {
    bench.has_done(|action| *action == Action::Tell(Notice::Barred { key: KEY, bar }))
}

#[test]
fn a_successor_tries_in_the_moment_of_a_look_alone() {
    let mut bench = Bench::successor();
    look(&mut bench, true, true);
    assert!(is_told(&bench, Some(Bar::Elsewhere)));
    bench.pass(LEASE / 4);
    assert!(!bench.has_asked(campaigns), "it is held elsewhere");
    // What this server says lifts nothing.
    bench.event(Event::Hint { keys: vec![KEY] });
    bench.pass(LEASE / 20);
    assert!(!bench.has_asked(campaigns));

    look(&mut bench, true, false);
    assert!(is_told(&bench, None));
    assert!(bench.has_asked(campaigns), "it was seen to be free");
    bench.answer_campaign(Try::Held(held()));
    bench.pass(LEASE / 4);
    assert!(!bench.has_asked(campaigns), "that sight is old");
    look(&mut bench, false, false);
    assert!(bench.has_asked(campaigns), "nobody else accepts writes");
    bench.answer_campaign(Try::Held(held()));
    bench.pass(LEASE / 20);
    assert!(bench.has_asked(campaigns));
}

#[test]
fn who_waits_takes_office_in_the_moment_of_a_look_alone() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Won(won()));
    bench.stay_well();
    look(&mut bench, true, true);
    for _ in 0..12 {
        bench.pass(LEASE / 8);
        assert!(!bench.has_asked(takes_office), "it is held elsewhere");
        bench.stay_well();
    }
    look(&mut bench, true, false);
    assert!(bench.has_asked(takes_office), "its time is over");
}

#[test]
fn who_leads_goes_on() {
    let mut bench = Bench::leader();
    look(&mut bench, true, true);
    for _ in 0..12 {
        bench.pass(LEASE / 8);
        bench.stay_well();
    }
    assert!(!bench.has_done(|action| matches!(action, Action::Cancel { .. })));
    assert!(!is_told(&bench, Some(Bar::Elsewhere)));
}

#[test]
fn who_sees_a_higher_one_ends_as_if_deposed() {
    for mut bench in [Bench::leader(), Bench::successor()] {
        let leads = bench.published[&KEY].own.is_some();
        bench.event(Event::Looked {
            ends: true,
            contested: true,
            higher: true,
            held: vec![],
            clear: vec![KEY],
        });
        let ends = |action: &Action| matches!(action, Action::Cancel { .. });
        assert_eq!(bench.has_done(ends), leads);
        assert!(bench.has_done(|action| *action == Action::Abandon));
        assert!(!bench.has_asked(campaigns), "the session is gone");
        bench.pass(LEASE);
        assert!(bench.has_done(|action| *action == Action::Connect));
    }
}

/// It is seen to be held elsewhere while the try that begins the term is under way.
#[test]
fn what_is_seen_held_meanwhile_is_given_up_without_work() {
    let mut bench = Bench::candidate();
    assert!(bench.has_asked(campaigns));
    look(&mut bench, true, true);
    bench.answer_campaign(began(7));
    assert!(!bench.has_started());
    assert!(bench.has_asked(|query| matches!(query, Query::Vacate { terms } if terms[0].1 == 7)));
    assert!(is_told(&bench, Some(Bar::Elsewhere)));

    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Won(won()));
    bench.stay_well();
    look(&mut bench, true, true);
    for _ in 0..9 {
        bench.pass(LEASE / 8);
        bench.stay_well();
    }
    look(&mut bench, true, false);
    assert!(bench.has_asked(takes_office));
    look(&mut bench, true, true);
    let (key, office) = (KEY, office_begun(8));
    bench.answer(takes_office, offered(key, office));
    assert!(!bench.has_started());
    assert!(bench.has_asked(|query| matches!(query, Query::Vacate { terms } if terms[0].1 == 8)));
}

/// Whoever has not looked since another host was promoted cannot know of its leader.
#[test]
fn no_work_starts_before_a_look_that_began_once_the_lock_was_won() {
    for held in [false, true] {
        let mut bench = Bench::candidate();
        look(&mut bench, false, false);
        // This one has begun before the lock was won.
        bench.process.look_begins();
        bench.answer_campaign(began(7));
        bench.event(looked(false, false));
        assert!(!bench.has_started(), "it began too early");
        assert!(bench.process.wants_a_look());
        bench.stay_well();

        bench.process.look_begins();
        assert!(!bench.process.wants_a_look(), "one is under way");
        bench.event(Event::Timer);
        assert!(!bench.has_started(), "it has not ended");
        bench.event(looked(held, held));
        assert_eq!(bench.has_started(), !held);
        let ends = |query: &Query| matches!(query, Query::Vacate { terms } if terms[0] == (KEY, 7, Ending::Resigned));
        assert_eq!(bench.has_asked(ends), held);
    }
}

/// While it waits for the last leader's work, whoever has won the lock looks once, and begins at once then.
#[test]
fn who_waits_looks_meanwhile() {
    let mut bench = Bench::candidate();
    look(&mut bench, false, false);
    bench.answer_campaign(Try::Won(won()));
    bench.stay_well();
    assert!(bench.process.wants_a_look());
    look(&mut bench, false, false);
    for _ in 0..9 {
        bench.pass(LEASE / 8);
        bench.stay_well();
    }
    assert!(bench.has_asked(takes_office));
    bench.answer(takes_office, offered(KEY, office_begun(8)));
    assert!(bench.has_started());
}

/// What is to be asked for meanwhile ends the term all the same.
#[test]
fn what_waits_for_a_look_can_be_ended() {
    let mut bench = Bench::candidate();
    look(&mut bench, false, false);
    bench.answer_campaign(began(7));
    bench.event(Event::GiveUp { key: KEY });
    assert!(bench.has_asked(|query| matches!(query, Query::Vacate { terms } if terms[0].1 == 7)));
    bench.process.look_begins();
    bench.event(looked(false, false));
    assert!(!bench.has_started());

    let mut bench = Bench::candidate();
    look(&mut bench, false, false);
    bench.answer_campaign(began(7));
    bench.event(Event::Disconnected);
    bench.event(looked(false, false));
    assert!(!bench.has_started());
    assert!(!bench.process.wants_a_look(), "there is no session");
}

/// The sight outlives the session: the next one begins nothing before it is looked at again.
#[test]
fn a_new_session_waits_for_a_look() {
    let mut bench = Bench::successor();
    look(&mut bench, true, false);
    bench.event(Event::Disconnected);
    bench.pass(LEASE);
    assert!(bench.has_done(|action| *action == Action::Connect));
    bench.event(Event::Connected);
    bench.answer(|query| matches!(query, Query::Join { .. }), joined(KEY));
    assert!(!bench.has_asked(campaigns));
    look(&mut bench, true, false);
    assert!(bench.has_asked(campaigns));
}
