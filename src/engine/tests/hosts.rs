//! Several hosts that accept writes: no term begins by an old sight of the others.

use super::*;

fn look(bench: &mut Bench, contested: bool, held: bool) {
    let (held, clear) = if held {
        (vec![KEY], vec![])
    } else {
        (vec![], vec![KEY])
    };
    bench.event(Event::Looked {
        contested,
        higher: false,
        held,
        clear,
    });
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
