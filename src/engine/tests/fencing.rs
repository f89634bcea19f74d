//! Fenced transactions of past terms: waited for, and ended once their time is over.

use super::*;

fn takes_office(query: &Query) -> bool {
    matches!(query, Query::TakeOffice { takes } if takes[0].1.waited)
}

fn ends_fenced(query: &Query) -> bool {
    matches!(query, Query::EndFenced { .. })
}

fn office(office: Office) -> Reply {
    offered(KEY, office)
}

/// The last term was vacated, and one of its transactions is still under way.
fn fenced() -> Bench {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Fenced {
        last_term: 7,
        lease: LEASE,
    });
    bench
}

/// Let the transaction go on for `duration`; how often the machine tried meanwhile.
fn go_on(bench: &mut Bench, duration: Duration) -> usize {
    let (mut tries, end) = (0, bench.now + duration);
    while bench.now < end {
        bench.pass(Duration::from_millis(1));
        bench.stay_well();
        if bench.has_asked(takes_office) {
            bench.answer(takes_office, office(Office::Fenced));
            tries += 1;
        }
    }
    tries
}

#[test]
fn they_are_waited_for_with_tries_that_do_not_block() {
    let mut bench = fenced();
    let tries = go_on(&mut bench, LEASE * 9 / 10);
    assert!((10..100).contains(&tries), "{tries}");
    assert!(!bench.has_asked(ends_fenced), "their time is not over");
    assert!(!bench.has_started());
    bench.pass(LEASE / 20);
    bench.answer(takes_office, office(office_begun(8)));
    assert!(bench.has_started());
}

/// A transaction delays the next term by an eighth more than it takes itself, or by 2 ms.
#[test]
fn the_next_term_begins_soon_after_the_last_of_them() {
    for milliseconds in [1, 10, 30, 100, 300] {
        let lasted = Duration::from_millis(milliseconds);
        let mut bench = fenced();
        go_on(&mut bench, lasted);
        let ended = bench.now;
        while !bench.has_asked(takes_office) {
            bench.pass(Duration::from_micros(100));
            bench.stay_well();
        }
        let late = bench.now.since(ended);
        assert!(late <= lasted / 8 + LEASE / 500, "{lasted:?}: {late:?}");
    }
}

#[test]
fn those_that_outlast_the_refractory_period_are_ended() {
    let mut bench = fenced();
    go_on(&mut bench, LEASE + LEASE / 10);
    assert!(bench.has_asked(ends_fenced));
    let ended = |ended, remaining| fenced_ended(KEY, ended, remaining);
    bench.answer(ends_fenced, ended(1, 0));
    let told = Action::Tell(Notice::FencedEnded {
        key: KEY,
        ended: 1,
        remaining: 0,
    });
    assert!(bench.has_done(|action| *action == told));
    bench.pass(LEASE / 400);
    assert!(bench.has_asked(takes_office), "it tries again at once");
}

#[test]
fn what_may_not_be_ended_is_tried_on() {
    let mut bench = fenced();
    go_on(&mut bench, LEASE * 11 / 10);
    let mut rounds = 0;
    for _ in 0..50 {
        if bench.has_asked(ends_fenced) {
            let answer = fenced_ended(KEY, 0, 1);
            bench.answer(ends_fenced, answer);
            rounds += 1;
        }
        go_on(&mut bench, LEASE / 50);
    }
    assert!((10..30).contains(&rounds), "{rounds}");
}

/// After an unclean end the refractory period comes first.
#[test]
fn nothing_is_ended_within_the_refractory_period() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Won(won()));
    go_on(&mut bench, LEASE * 99 / 100);
    assert!(!bench.has_asked(ends_fenced));
    go_on(&mut bench, LEASE / 50);
    assert!(bench.has_asked(ends_fenced));
}

/// A fenced transaction holds the row of its own last term, and nobody else is there to end it.
#[test]
fn a_vacate_that_is_refused_for_a_lease_keeps_nobody_from_leading() {
    let vacate = |query: &Query| matches!(query, Query::Vacate { .. });
    let refused = vacated(KEY, 7, false);
    let mut bench = Bench::leader();
    bench.event(Event::Disconnected);
    bench.event(Event::WorkStopped {
        key: KEY,
        term: 7,
        stop: Stop::Dropped,
    });
    bench.pass(LEASE * 5);
    bench.event(Event::Connected);
    bench.answer(|query| matches!(query, Query::Join { .. }), joined(KEY));
    let begun = bench.now;
    let campaigns =
        |bench: &Bench| bench.has_asked(|query| matches!(query, Query::Campaign { .. }));
    while !campaigns(&bench) {
        assert!(bench.now.since(begun) < LEASE * 2, "it never tries again");
        if bench.has_asked(vacate) {
            bench.answer(vacate, refused.clone());
        }
        bench.stay_well();
        bench.pass(LEASE / 100);
    }
    assert!(
        bench.now.since(begun) >= LEASE,
        "it may be vacated in a moment"
    );
    let told = Action::Tell(Notice::VacateRefused { key: KEY, term: 7 });
    assert_eq!(
        bench.done.iter().filter(|action| **action == told).count(),
        1
    );
    // It goes on asking while it waits as everybody must.
    bench.answer_campaign(Try::Won(won()));
    bench.pass(LEASE / 10);
    assert!(bench.has_asked(vacate));
    assert!(!bench.has_started());
}

/// As long as its work has not stopped it does not even ask.
#[test]
fn work_that_has_not_stopped_bars_for_as_long_as_it_takes() {
    let mut bench = Bench::leader();
    bench.event(Event::Disconnected);
    bench.pass(LEASE * 5);
    bench.event(Event::Connected);
    bench.answer(|query| matches!(query, Query::Join { .. }), joined(KEY));
    for _ in 0..50 {
        bench.pass(LEASE / 10);
        bench.stay_well();
        assert!(
            !bench
                .has_asked(|query| matches!(query, Query::Campaign { .. } | Query::Vacate { .. }))
        );
    }
}
