//! Leading, and every way in which it ends.

use super::*;

fn stopped(stop: Stop) -> Event {
    Event::WorkStopped {
        key: KEY,
        term: 7,
        stop,
    }
}

fn queries(bench: &Bench) -> Vec<&'static str> {
    let name = |query: &Query| match query {
        Query::Vacate { .. } => Some("vacate"),
        Query::Release { .. } => Some("release"),
        Query::Announce { .. } => Some("announce"),
        _ => None,
    };
    bench
        .asked
        .iter()
        .filter_map(|(_, query)| name(query))
        .collect()
}

#[test]
fn a_leader_sends_a_heartbeat_every_eighth_of_its_lease() {
    let mut bench = Bench::leader();
    let mut beats = 0;
    for _ in 0..200 {
        bench.pass(LEASE / 200);
        if bench.has_asked(|query| matches!(query, Query::Heartbeat { .. })) {
            bench.answer_heartbeat();
            beats += 1;
        }
    }
    assert_eq!(beats, 8);
}

/// Invariant 4: vacate, then unlock, then notify, and none of them before the work has stopped.
#[test]
fn an_orderly_end_releases_only_after_the_work_has_stopped() {
    let resign = Event::Resign { key: KEY, term: 7 };
    let leave = Event::Leave { key: KEY };
    for order in [resign, leave, Event::Shutdown] {
        let mut bench = Bench::leader();
        bench.event(order);
        assert!(bench.has_done(|action| matches!(action, Action::Cancel { .. })));
        for _ in 0..50 {
            bench.pass(LEASE / 10);
            bench.stay_well();
            assert_eq!(queries(&bench), [""; 0], "before the work has stopped");
        }
        bench.event(stopped(Stop::Returned));
        assert_eq!(queries(&bench), ["vacate", "release", "announce"]);
    }
}

#[test]
fn each_end_is_recorded_as_what_it_was() {
    let table = [
        (None, Stop::Returned, Ending::Resigned),
        (None, Stop::Failed, Ending::Failed),
        (
            Some(Event::Resign { key: KEY, term: 7 }),
            Stop::Dropped,
            Ending::Resigned,
        ),
        (
            Some(Event::Resign { key: KEY, term: 7 }),
            Stop::Failed,
            Ending::Resigned,
        ),
    ];
    for (order, stop, expected) in table {
        let mut bench = Bench::leader();
        if let Some(order) = order {
            bench.event(order);
        }
        bench.event(stopped(stop));
        let vacate = Query::Vacate {
            terms: vec![(KEY, 7, expected)],
        };
        assert!(
            bench.has_asked(|query| *query == vacate),
            "{stop:?}: {:?}",
            bench.asked
        );
    }
}

#[test]
fn an_operator_ends_the_present_term_only() {
    for (term, ends) in [(6, false), (7, true), (8, false)] {
        let mut bench = Bench::leader();
        bench.pass(LEASE / 8);
        bench.answer(
            |query| matches!(query, Query::Heartbeat { .. }),
            Reply::Heartbeat {
                step_downs: vec![(KEY, term)],
            },
        );
        assert_eq!(
            bench.has_done(|action| matches!(action, Action::Cancel { .. })),
            ends,
            "{term}"
        );
    }
}

#[test]
fn work_is_dropped_when_the_grace_is_over() {
    let mut bench = Bench::leader();
    bench.event(Event::Resign { key: KEY, term: 7 });
    let mut waited = Duration::ZERO;
    while !bench.has_done(|action| matches!(action, Action::Drop { .. })) {
        bench.pass(LEASE / 10);
        waited += LEASE / 10;
        bench.stay_well();
    }
    assert_eq!(waited, Duration::from_secs(10));
    assert!(!bench.has_done(|action| matches!(action, Action::Tell(Notice::Overran { .. }))));
}

/// The deadlines count from the sending of the last heartbeat that was answered, not from its answer.
#[test]
fn without_answers_it_is_deposed_dropped_and_overrun_in_time() {
    let mut bench = Bench::leader();
    bench.pass(LEASE / 8);
    let sent = bench.now;
    bench.pass(LEASE / 10);
    bench.answer_heartbeat();
    let elapsed = |bench: &Bench| bench.now.since(sent);
    let table = [
        (Action::Cancel { key: KEY }, 75),
        (Action::Drop { key: KEY }, 85),
        (Action::Tell(Notice::Overran { key: KEY, term: 7 }), 95),
    ];
    for (wanted, percent) in table {
        while !bench.has_done(|action| *action == wanted) {
            assert!(elapsed(&bench) < LEASE, "{wanted:?} never came");
            bench.pass(Duration::from_millis(1));
        }
        assert_eq!(elapsed(&bench), LEASE * percent / 100);
    }
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    let mut bench = Bench::leader();
    bench.pass(LEASE / 8);
    let (sent, _) = bench.asked.remove(0);
    // The machine was not woken meanwhile.
    bench.now = sent + LEASE;
    bench.event(Event::Answered {
        sent,
        reply: Reply::Heartbeat { step_downs: vec![] },
        rows: vec![],
        refused: vec![],
        unreached: vec![],
    });
    assert!(bench.has_done(|action| matches!(action, Action::Abandon)));
    assert!(bench.has_done(|action| matches!(action, Action::Cancel { .. })));
    assert_eq!(bench.process.current_until(), None);
}

#[test]
fn a_term_that_is_over_before_its_answer_arrives_is_not_begun() {
    let mut bench = Bench::candidate();
    let (sent, _) = bench.asked.pop().unwrap();
    bench.now = sent + LEASE * 76 / 100;
    let tries = vec![(KEY, began(7))];
    bench.event(Event::Answered {
        sent,
        reply: Reply::Campaigned { tries },
        rows: vec![],
        refused: vec![],
        unreached: vec![],
    });
    assert!(!bench.has_started());
    // It is vacated from the next session, since no work ever ran.
    bench.pass(LEASE);
    bench.event(Event::Connected);
    assert!(bench.has_asked(|query| matches!(query, Query::Vacate { terms } if terms[0].1 == 7)));
}

/// The same for several elections that one query won: no work starts on the session that was given up.
#[test]
fn no_term_of_a_query_that_was_answered_too_late_is_begun() {
    let mut bench = Bench::candidate();
    let other = Key(2);
    bench.event(Event::Join {
        key: other,
        autopsy: true,
        graceful: true,
    });
    bench.answer_campaign(Try::Held(Held {
        successor: false,
        ..held()
    }));
    bench.answer(|query| matches!(query, Query::Join { .. }), joined(other));
    let (sent, _) = bench.asked.pop().unwrap();
    bench.now = sent + LEASE * 76 / 100;
    let tries = vec![(KEY, began(8)), (other, began(3))];
    bench.event(Event::Answered {
        sent,
        reply: Reply::Campaigned { tries },
        rows: vec![],
        refused: vec![],
        unreached: vec![],
    });
    assert!(!bench.has_started());
    bench.pass(LEASE);
    bench.event(Event::Connected);
    let vacate = Query::Vacate {
        terms: vec![(KEY, 8, Ending::Deposed), (other, 3, Ending::Deposed)],
    };
    assert!(bench.has_asked(|query| *query == vacate));
}

/// Vacated from the next session, and not before the work has stopped.
#[test]
fn after_a_lost_session_it_vacates_once_the_work_has_stopped() {
    for work_stops_first in [true, false] {
        let mut bench = Bench::leader();
        bench.event(Event::Disconnected);
        assert!(bench.has_done(|action| matches!(action, Action::Cancel { .. })));
        bench.pass(LEASE / 10);
        if work_stops_first {
            bench.event(stopped(Stop::Dropped));
            assert_eq!(queries(&bench), [""; 0]);
            bench.event(Event::Connected);
        } else {
            bench.event(Event::Connected);
            assert_eq!(queries(&bench), [""; 0], "the work still runs");
            bench.event(stopped(Stop::Dropped));
        }
        assert_eq!(queries(&bench), ["vacate", "announce"]);
        let vacate = Query::Vacate {
            terms: vec![(KEY, 7, Ending::Deposed)],
        };
        assert!(bench.has_asked(|query| *query == vacate));
    }
}

#[test]
fn nobody_campaigns_while_his_old_work_runs() {
    let mut bench = Bench::leader();
    bench.event(Event::Disconnected);
    bench.pass(LEASE / 10);
    bench.event(Event::Connected);
    bench.answer(|query| matches!(query, Query::Join { .. }), joined(KEY));
    for _ in 0..100 {
        bench.pass(LEASE / 10);
        bench.event(Event::Hint { keys: vec![KEY] });
        bench
            .asked
            .retain(|(_, query)| !is_heartbeat(query) && !matches!(query, Query::Read { .. }));
        assert!(!bench.has_asked(|query| matches!(query, Query::Campaign { .. })));
        if bench.has_done(|action| matches!(action, Action::Tell(Notice::Overran { .. }))) {
            return;
        }
    }
    panic!("the work's overrun was never noticed");
}

#[test]
fn the_others_come_first_after_a_term() {
    let (soon, late) = (
        (LEASE / 10, LEASE / 5),
        (Duration::from_millis(3750), Duration::from_millis(6500)),
    );
    let resign = || Event::Resign { key: KEY, term: 7 };
    let by_itself = || Event::EndedByItself { key: KEY, term: 7 };
    let long = LEASE * 11 / 10;
    for (lasted, before, stop, (at_least, at_most)) in [
        (long, None, Stop::Returned, soon),
        (long, Some(by_itself()), Stop::Returned, soon),
        (long, None, Stop::Failed, late),
        // Sooner than a lease, and nobody had asked for it.
        (LEASE / 2, None, Stop::Returned, late),
        (LEASE / 2, Some(by_itself()), Stop::Returned, late),
        (Duration::ZERO, Some(by_itself()), Stop::Dropped, late),
        (Duration::ZERO, None, Stop::Failed, late),
        (long, None, Stop::Stranded, late),
        // Who was asked to end it may lead again.
        (Duration::ZERO, Some(resign()), Stop::Returned, soon),
        (
            Duration::ZERO,
            Some(Event::GiveUp { key: KEY }),
            Stop::Returned,
            soon,
        ),
    ] {
        let mut bench = Bench::leader();
        for _ in 0..10 {
            bench.pass(lasted / 10);
            bench.stay_well();
        }
        if let Some(event) = before {
            bench.event(event);
        }
        bench.event(stopped(stop));
        let holds_off =
            |action: &Action| matches!(action, Action::Tell(Notice::HoldsOff { term: 7, .. }));
        let said = at_least == late.0 && stop != Stop::Stranded;
        assert_eq!(bench.has_done(holds_off), said, "{stop:?}");
        let began = bench.now;
        let done = vacated(KEY, 7, true);
        bench.answer(|query| matches!(query, Query::Vacate { .. }), done);
        bench.answer(|query| matches!(query, Query::Release { .. }), Reply::Done);
        while !bench.has_asked(|query| matches!(query, Query::Campaign { .. })) {
            assert!(bench.now.since(began) <= at_most, "{stop:?}: never again");
            bench.pass(LEASE / 100);
            bench.stay_well();
        }
        let waited = bench.now.since(began);
        assert!(
            waited >= at_least && waited <= at_most,
            "{stop:?} after {lasted:?}: {waited:?}"
        );
    }
}

/// Told before: an answer of the work that crosses an order is no end by itself.
#[test]
fn who_was_told_to_stop_has_not_ended_by_itself() {
    for order in [
        Event::Resign { key: KEY, term: 7 },
        Event::Failed { key: KEY, term: 7 },
    ] {
        let mut bench = Bench::leader();
        bench.event(order);
        bench.event(Event::EndedByItself { key: KEY, term: 7 });
        bench.event(stopped(Stop::Returned));
        let holds_off = |action: &Action| matches!(action, Action::Tell(Notice::HoldsOff { .. }));
        assert!(!bench.has_done(holds_off));
    }
}

/// What ended another term is not the end of this one.
#[test]
fn the_end_of_an_earlier_term_ends_nothing() {
    let mut bench = Bench::leader();
    bench.event(Event::EndedByItself { key: KEY, term: 6 });
    assert!(!bench.has_done(|action| matches!(action, Action::Cancel { .. })));
}

/// As in a failover of the database: whoever looks for the new primary finds it soon.
#[test]
fn an_outage_is_looked_for_often_and_a_server_that_is_unfit_is_not() {
    for (outage, most) in [(true, LEASE / 4), (false, Duration::from_secs(5))] {
        let mut bench = Bench::new();
        let mut longest = Duration::ZERO;
        for _ in 0..40 {
            let failed = bench.now;
            bench.done.clear();
            bench.event(Event::NotOpened {
                schema: false,
                outage,
            });
            while !bench.has_done(|action| *action == Action::Connect) {
                bench.pass(LEASE / 100);
            }
            longest = longest.max(bench.now.since(failed));
        }
        assert!(longest <= most + LEASE / 100, "{outage}: {longest:?}");
        assert!(longest >= most / 2, "{outage}: {longest:?}");
    }
}

/// What refuses each session soon after it has begun is no outage.
#[test]
fn a_session_that_never_lasts_is_not_hurried_for() {
    let mut bench = Bench::new();
    let mut longest = Duration::ZERO;
    for _ in 0..40 {
        bench.event(Event::Connected);
        bench.done.clear();
        bench.event(Event::Disconnected);
        let failed = bench.now;
        while !bench.has_done(|action| *action == Action::Connect) {
            bench.pass(LEASE / 100);
        }
        longest = longest.max(bench.now.since(failed));
    }
    assert!(longest > LEASE, "{longest:?}");
}

#[test]
fn shutdown_finishes_when_all_is_told_or_cannot_be() {
    let mut bench = Bench::leader();
    bench.event(Event::Shutdown);
    bench.event(stopped(Stop::Returned));
    let vacated = vacated(KEY, 7, true);
    bench.answer(|query| matches!(query, Query::Vacate { .. }), vacated);
    assert!(!bench.has_done(|action| matches!(action, Action::Finish)));
    bench.answer(|query| matches!(query, Query::Leave { .. }), left(KEY));
    assert!(bench.has_done(|action| matches!(action, Action::Left { .. })));
    assert!(bench.has_done(|action| matches!(action, Action::Finish)));

    // Without a database: no longer than the grace.
    let mut bench = Bench::leader();
    bench.event(Event::Disconnected);
    bench.event(stopped(Stop::Returned));
    bench.event(Event::Shutdown);
    let began = bench.now;
    while !bench.has_done(|action| matches!(action, Action::Finish)) {
        bench.event(Event::Disconnected);
        bench.pass(LEASE / 10);
    }
    assert!(bench.now.since(began) <= Duration::from_secs(11));
}

/// Work that uses up the grace is dropped when the candidacy should be over too. The next leader waits for a lease where
/// the process is gone before the database has heard of it.
#[test]
fn work_that_uses_up_the_grace_leaves_time_for_its_vacate() {
    for order in [Event::Shutdown, Event::Leave { key: KEY }] {
        let mut bench = Bench::leader();
        bench.event(order);
        while !bench.has_done(|action| matches!(action, Action::Drop { .. })) {
            bench.pass(LEASE / 10);
            bench.stay_well();
        }
        bench.pass(LEASE / 100);
        bench.event(stopped(Stop::Dropped));
        assert_eq!(queries(&bench), ["vacate", "release", "announce"]);
        bench.pass(LEASE / 5);
        let over = |action: &Action| matches!(action, Action::Left { .. } | Action::Finish);
        assert!(!bench.has_done(over), "nobody knows of it");
        let vacated = vacated(KEY, 7, true);
        bench.answer(|query| matches!(query, Query::Vacate { .. }), vacated);
        let leaves = |query: &Query| matches!(query, Query::Leave { .. });
        bench.answer(leaves, left(KEY));
        assert!(bench.has_done(over));
    }
}

#[test]
fn a_late_answer_to_leaving_does_not_take_back_the_next_candidacy() {
    let leaves = |query: &Query| matches!(query, Query::Leave { .. });
    let mut bench = Bench::leader();
    bench.event(Event::Leave { key: KEY });
    while !bench.has_done(|action| matches!(action, Action::Drop { .. })) {
        bench.pass(LEASE / 10);
        bench.stay_well();
    }
    // The grace is over: soon the candidacy ends without the database's word.
    bench.event(stopped(Stop::Dropped));
    while !bench.has_done(|action| matches!(action, Action::Left { .. })) {
        bench.pass(LEASE / 10);
    }
    bench.done.clear();

    let autopsy = true;
    bench.event(Event::Join {
        key: KEY,
        autopsy,
        graceful: true,
    });
    bench.answer(leaves, left(KEY));
    bench.event(Event::Leave { key: KEY });
    assert!(!bench.has_done(|action| matches!(action, Action::Left { .. })));
    bench.answer(|query| matches!(query, Query::Join { .. }), joined(KEY));
    assert!(bench.has_asked(leaves), "a candidate would stay on record");
}

/// The work still runs, and the lock may have become void under it.
#[test]
fn a_term_that_ends_in_order_is_asked_for_by_every_heartbeat() {
    let mut bench = Bench::leader();
    bench.event(Event::Resign { key: KEY, term: 7 });
    bench.pass(LEASE / 8);
    assert!(
        bench.has_asked(|query| matches!(query, Query::Heartbeat { keys } if keys == &[KEY])),
        "{:?}",
        bench.asked
    );
}

/// An observer may not ask what operators want of leaders.
#[test]
fn a_session_that_leads_nothing_asks_for_nothing_but_an_answer() {
    let mut bench = Bench::new();
    bench.event(Event::Connected);
    bench.pass(Duration::from_secs(10));
    let asked: Vec<&Query> = bench.asked.iter().map(|(_, query)| query).collect();
    assert_eq!(asked, [&Query::Prove]);
}
