//! Terms that a server has forgotten: what was heard outlives sessions and candidacies, is exceeded, and is
//! waited for whatever this server shows (invariants 1 and 2).

use std::ops::RangeInclusive;

use super::*;

const FAR: Heard = Heard {
    term: 10_000_000_000_001,
    lease: LEASE,
};

fn joins(query: &Query) -> bool {
    matches!(query, Query::Join { .. })
}

fn takes_office(query: &Query) -> bool {
    matches!(query, Query::TakeOffice { .. })
}

/// It asks for office, having waited so long for the work of other servers.
fn claims(query: &Query, waited: Duration) -> bool {
    matches!(query, Query::TakeOffice { takes } if takes[0].1.elsewhere == waited)
}

fn campaigns_with(bench: &Bench) -> Vec<(Key, Heard)> {
    let heard = bench.asked.iter().find_map(|(_, query)| match query {
        Query::Campaign { heard, .. } => Some(heard.clone()),
        _ => None,
    });
    heard.expect("it campaigns")
}

fn reconnect(bench: &mut Bench) {
    bench.event(Event::Disconnected);
    bench.pass(Duration::from_millis(60));
    bench.event(Event::Connected);
}

/// Won on a server that knows less than this process.
fn won_below(heard: Heard, wait: Duration, elsewhere: Duration) -> Try {
    Try::Won(Won {
        wait,
        elsewhere,
        heard,
        ..won()
    })
}

/// Whatever is done with the lock, what the answer tells of terms is taken note of.
#[test]
fn what_was_heard_counts_also_where_the_lock_is_declined() {
    let lease = FAR.lease;
    for told in [
        won_below(FAR, LEASE, LEASE),
        Try::Fenced {
            last_term: FAR.term,
            lease,
        },
    ] {
        let mut bench = Bench::candidate();
        bench.event(Event::GiveUp { key: KEY });
        bench.answer_campaign(told);
        bench.pass(LEASE / 10);
        assert_eq!(campaigns_with(&bench), [(KEY, FAR)]);
    }
}

#[test]
fn what_was_heard_is_told_when_it_joins_again_on_another_session() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Held(Held {
        term: FAR.term,
        ..held()
    }));
    reconnect(&mut bench);
    assert!(bench.has_asked(|query| matches!(query, Query::Join { joins } if joins[0].1 == FAR)));
    bench.answer(joins, joined(KEY));
    assert_eq!(campaigns_with(&bench), [(KEY, FAR)]);
}

#[test]
fn what_was_heard_outlives_the_candidacy() {
    let mut bench = Bench::leader();
    bench.event(Event::Leave { key: KEY });
    let (key, term, stop) = (KEY, 7, Stop::Returned);
    bench.event(Event::WorkStopped { key, term, stop });
    let answers: [fn(&Query) -> bool; 4] = [
        |query| matches!(query, Query::Vacate { .. }),
        |query| matches!(query, Query::Release { .. }),
        |query| matches!(query, Query::Announce { .. }),
        |query| matches!(query, Query::Leave { .. }),
    ];
    let done = true;
    let vacated = vacated(key, term, done);
    for (asked, answer) in answers
        .into_iter()
        .zip([vacated, Reply::Done, Reply::Done, left(key)])
    {
        bench.answer(asked, answer);
    }
    assert!(bench.has_done(|action| *action == Action::Left { key }));
    bench.event(Event::Join {
        key,
        autopsy: true,
        graceful: true,
    });
    let own = Heard { term, lease: LEASE };
    assert!(bench.has_asked(|query| matches!(query, Query::Join { joins } if joins[0].1 == own)));
}

#[test]
fn what_was_heard_can_be_carried_into_another_machine() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Held(held()));
    assert_eq!(bench.process.heard().len(), 1);
    let renewed = bench.process.renewed();
    let mut bench = Bench::new();
    bench.process = renewed;
    bench.event(Event::Timer);
    bench.event(Event::Connected);
    bench.event(Event::Join {
        key: KEY,
        autopsy: true,
        graceful: true,
    });
    assert!(
        bench.has_asked(|query| matches!(query, Query::Join { joins } if joins[0].1.term == 7))
    );
}

#[test]
fn an_observer_hears_too() {
    let mut bench = Bench::new();
    bench.event(Event::Connected);
    bench.event(Event::Observe { key: KEY });
    let views = vec![(KEY, view())];
    bench.answer(
        |query| matches!(query, Query::Read { .. }),
        Reply::Read { views },
    );
    assert_eq!(bench.process.heard()[&KEY].term, 7);
}

#[test]
fn a_hint_tells_nothing() {
    let mut bench = Bench::candidate();
    bench.event(Event::Hint { keys: vec![KEY] });
    assert!(bench.process.heard().is_empty());
}

/// The number may have been given out already, by a server that was lost.
#[test]
fn a_term_that_is_not_above_what_was_heard_is_given_up_without_work() {
    for term in [6, 7] {
        let mut bench = Bench::successor();
        bench.pass(LEASE / 20);
        bench.answer_campaign(began(term));
        assert!(!bench.has_started());
        assert!(bench.has_asked(
            |query| matches!(query, Query::Release { leadership, .. } if *leadership == [KEY])
        ));
        assert!(bench.has_done(|action| matches!(action, Action::Tell(Notice::Stale { .. }))));
    }
}

#[test]
fn no_evidence_of_this_server_spares_the_wait_for_another_ones_work() {
    let mut bench = Bench::successor();
    // The session here is as young as it can be.
    bench.pass(LEASE / 20);
    bench.answer_campaign(won_below(FAR, LEASE, LEASE));
    let key = KEY;
    let gone = true;
    let is_gone = |query: &Query| matches!(query, Query::BackendGone { .. });
    bench.answer(
        is_gone,
        Reply::BackendGone {
            gone: vec![(key, gone)],
        },
    );
    let counters = COUNTERS;
    let counts = |query: &Query| matches!(query, Query::Counters { .. });
    bench.answer(
        counts,
        Reply::Counters {
            keys: vec![key],
            counters,
        },
    );
    bench.stay_well();
    // The last term's work is known to have stopped: it waits for the other one's alone, from the proof on.
    assert_waits_a_lease_for_another_server(&mut bench, 2..=20);
    assert!(bench.has_asked(|query| matches!(
        query,
        Query::TakeOffice { takes } if takes[0].1.waited && takes[0].1.heard == FAR
    )));
}

/// The server has been the primary for longer than that.
#[test]
fn the_wait_for_another_servers_work_counts_from_the_proof() {
    let mut bench = Bench::candidate();
    bench.pass(LEASE / 2);
    bench.answer_campaign(won_below(FAR, Duration::ZERO, LEASE));
    assert!(!bench.has_asked(takes_office));
    assert!(bench.has_done(|action| matches!(
        action,
        Action::Tell(Notice::Waiting { at_most, .. }) if *at_most == LEASE / 2
    )));
}

#[test]
fn where_it_is_over_already_the_term_begins_in_the_next_round_trip() {
    let mut bench = Bench::candidate();
    bench.pass(LEASE / 2);
    bench.answer_campaign(won_below(FAR, Duration::ZERO, LEASE / 4));
    assert!(bench.has_asked(|query| matches!(
        query,
        Query::TakeOffice { takes } if takes[0].1.waited && takes[0].1.elsewhere == LEASE / 4
    )));
}

/// The last term here is not vacated, and another server's is forgotten: the longer of the two.
#[test]
fn both_are_waited_for() {
    let mut bench = Bench::candidate();
    bench.pass(LEASE / 2);
    bench.answer_campaign(won_below(FAR, LEASE, LEASE));
    assert!(bench.has_done(|action| matches!(
        action,
        Action::Tell(Notice::Waiting { at_most, .. }) if *at_most == LEASE
    )));
}

/// Somebody joins while it waits, and knows of a term that nobody here knew of.
#[test]
fn what_is_heard_while_it_waits_prolongs_the_wait() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(won_below(
        Heard {
            term: 7,
            lease: LEASE,
        },
        LEASE / 2,
        Duration::ZERO,
    ));
    assert_waits_a_lease_for_another_server(&mut bench, 1..=8);
    assert_eq!(bench.process.heard()[&KEY], FAR);
}

/// Too far beyond this server to be believed: it does not lead here, and keeps no place.
#[test]
fn who_has_heard_of_too_much_does_not_lead() {
    let mut bench = Bench::successor();
    bench.pass(LEASE / 20);
    bench.answer_campaign(Try::Held(Held {
        holder_pid: None,
        leader_pid: None,
        bar: Some(Bar::Beyond),
        ..held()
    }));
    assert!(bench.has_asked(
        |query| matches!(query, Query::Release { succession, .. } if *succession == [KEY])
    ));
    let told = |action: &Action| {
        matches!(
            action,
            Action::Tell(Notice::Barred {
                bar: Some(Bar::Beyond),
                ..
            })
        )
    };
    assert!(bench.has_done(told));
    // It goes on as a candidate, and says so once.
    bench.done.clear();
    bench.answer(|query| matches!(query, Query::Release { .. }), Reply::Done);
    bench.stay_well();
    let views = vec![(KEY, view())];
    bench.event(Event::Hint { keys: vec![KEY] });
    bench.answer(
        |query| matches!(query, Query::Read { .. }),
        Reply::Read { views },
    );
    assert!(!bench.has_done(|action| matches!(action, Action::Tell(Notice::Barred { .. }))));
    for _ in 0..55 {
        bench.pass(LEASE / 10);
        bench.stay_well();
    }
    assert!(bench.has_asked(|query| matches!(query, Query::Campaign { .. })));
}

/// It claims a wait of a lease, for work of another server, in the last of these parts of one, and no sooner.
fn assert_waits_a_lease_for_another_server(bench: &mut Bench, parts: RangeInclusive<u32>) {
    let last = *parts.end();
    for part in parts {
        bench.pass(LEASE / last);
        while bench.has_asked(|query| claims(query, Duration::ZERO)) {
            let office = Office::Waiting {
                elsewhere: LEASE,
                heard: FAR,
            };
            bench.answer(takes_office, offered(KEY, office));
        }
        bench.stay_well();
        let waited = bench.has_asked(|query| claims(query, LEASE));
        assert_eq!(waited, part == last, "{part}");
    }
}
