//! Who may not lead now, and whose turn it is.

use super::*;

/// How long the session may be silent with nothing held, and with a lock.
const NOTHING_TO_LOSE: Duration = Duration::from_secs(15);
const A_LEASE_TO_LOSE: Duration = Duration::from_millis(1200);

fn barred(bar: Bar, successor: bool) -> Held {
    Held {
        successor,
        bar: Some(bar),
        ..held()
    }
}

fn campaigns(query: &Query) -> bool {
    matches!(query, Query::Campaign { .. })
}

fn read(bench: &mut Bench, view: View) {
    bench.event(Event::Hint { keys: vec![KEY] });
    let views = vec![(KEY, view)];
    bench.answer(
        |query| matches!(query, Query::Read { .. }),
        Reply::Read { views },
    );
}

#[test]
fn who_may_not_lead_gives_up_being_the_successor() {
    let bars = [Bar::Suspended, Bar::Excluded, Bar::Transfer, Bar::Outranked];
    for bar in bars {
        let mut bench = Bench::successor();
        bench.pass(LEASE / 20);
        bench.answer_campaign(Try::Held(barred(bar, true)));
        let place = Query::Release {
            leadership: vec![],
            succession: vec![KEY],
            silence_limit: NOTHING_TO_LOSE,
        };
        assert!(bench.has_asked(|query| *query == place), "{bar:?}");
        let says = Query::Announce { keys: vec![KEY] };
        assert!(bench.has_asked(|query| *query == says), "{bar:?}");
        bench.answer(|query| *query == place, Reply::Done);
        bench.answer(|query| *query == says, Reply::Done);
        bench.pass(LEASE / 10);
        assert!(!bench.has_asked(campaigns), "{bar:?}: it probes on");
    }
    // What cannot be read may forbid nothing.
    let mut bench = Bench::successor();
    bench.pass(LEASE / 20);
    bench.answer_campaign(Try::Held(barred(Bar::Unknown, true)));
    assert!(!bench.has_asked(|query| matches!(query, Query::Release { .. })));
    bench.pass(LEASE / 20);
    assert!(bench.has_asked(campaigns));
}

/// The lock is for those who may lead.
#[test]
fn who_has_won_and_may_not_lead_any_more_lets_the_lock_go() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Won(won()));
    bench.stay_well();
    bench.pass(LEASE);
    let office = Office::Barred(Bar::Suspended);
    bench.answer(
        |query| matches!(query, Query::TakeOffice { .. }),
        offered(KEY, office),
    );
    let lock = Query::Release {
        leadership: vec![KEY],
        succession: vec![],
        silence_limit: NOTHING_TO_LOSE,
    };
    assert!(bench.has_asked(|query| *query == lock));
    assert!(!bench.has_started());
    bench.pass(LEASE);
    assert!(!bench.has_asked(|query| matches!(query, Query::TakeOffice { .. })));
}

/// Nobody leads, and nobody polls: once per retry interval, however many elections are suspended.
#[test]
fn a_suspended_election_is_tried_for_once_per_retry_interval() {
    for bar in [Bar::Suspended, Bar::Excluded] {
        let mut bench = Bench::candidate();
        let free = Held {
            holder_pid: None,
            ..barred(bar, false)
        };
        bench.answer_campaign(Try::Held(free.clone()));
        let mut tries = 0;
        for _ in 0..200 {
            bench.pass(LEASE / 10);
            read(
                &mut bench,
                View {
                    vacant: true,
                    bar: Some(bar),
                    ..view()
                },
            );
            while bench.has_asked(campaigns) {
                tries += 1;
                bench.answer_campaign(Try::Held(free.clone()));
            }
        }
        assert_eq!(tries, 4, "{bar:?}");
    }
}

#[test]
fn a_bar_is_told_once_and_its_end_too() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Held(barred(Bar::Suspended, false)));
    for _ in 0..3 {
        let bar = Some(Bar::Suspended);
        read(
            &mut bench,
            View {
                vacant: true,
                bar,
                ..view()
            },
        );
    }
    read(
        &mut bench,
        View {
            vacant: true,
            ..view()
        },
    );
    let told: Vec<Option<Bar>> = bench
        .done
        .iter()
        .filter_map(|action| match action {
            Action::Tell(Notice::Barred { bar, .. }) => Some(*bar),
            _ => None,
        })
        .collect();
    assert_eq!(told, [Some(Bar::Suspended), None]);
    // Nobody was successor meanwhile: it need not be waited for.
    bench.pass(LEASE / 20);
    assert!(bench.has_asked(campaigns));
}

#[test]
fn who_is_called_tries_at_once() {
    for (called, tries) in [(true, true), (false, false)] {
        let mut bench = Bench::candidate();
        bench.answer_campaign(Try::Held(Held {
            successor: false,
            ..held()
        }));
        read(&mut bench, View { called, ..view() });
        assert_eq!(bench.has_asked(campaigns), tries, "called: {called}");
    }
}

/// A transfer may be given up without a word; until the term is over there is nothing to look for.
#[test]
fn who_is_passed_over_tries_again_soon_once_nobody_leads() {
    for (holder_pid, soon) in [(None, true), (Some(LEADER), false)] {
        let mut bench = Bench::candidate();
        bench.answer_campaign(Try::Held(Held {
            holder_pid,
            ..barred(Bar::Transfer, false)
        }));
        bench.pass(LEASE / 5);
        assert_eq!(bench.has_asked(campaigns), soon, "{holder_pid:?}");
    }
    // The same for one that only heard of it.
    for vacant in [true, false] {
        let mut bench = Bench::candidate();
        bench.answer_campaign(Try::Held(Held {
            successor: false,
            ..held()
        }));
        let bar = Some(Bar::Transfer);
        read(
            &mut bench,
            View {
                vacant,
                bar,
                ..view()
            },
        );
        bench.pass(LEASE / 5);
        assert_eq!(bench.has_asked(campaigns), vacant, "vacant: {vacant}");
    }
}

/// Invariant 6: who ranks higher and does not come prolongs a failover by a fifth of a lease, and once per
/// retry interval at most.
#[test]
fn who_ranks_higher_and_does_not_come_is_waited_for_once() {
    let mut bench = Bench::successor();
    bench.pass(LEASE / 20);
    bench.answer_campaign(Try::Held(barred(Bar::Outranked, true)));
    bench.answer(|query| matches!(query, Query::Release { .. }), Reply::Done);
    bench.answer(
        |query| matches!(query, Query::Announce { .. }),
        Reply::Announced,
    );
    let made_way = bench.now;
    read(
        &mut bench,
        View {
            vacant: true,
            ..view()
        },
    );
    bench.pass(LEASE / 6);
    assert!(!bench.has_asked(campaigns), "they have their time to come");
    bench.pass(LEASE / 20);
    let insists =
        |query: &Query| matches!(query, Query::Campaign { overdue, .. } if *overdue == [KEY]);
    assert!(bench.has_asked(insists));
    // Nobody came: the place is its own again, and it insists on it for a retry interval.
    while bench.has_asked(insists) || !bench.has_asked(campaigns) {
        assert!(
            bench.now.since(made_way) < LEASE * 10,
            "it insists for ever"
        );
        if bench.has_asked(insists) {
            bench.answer_campaign(Try::Held(Held {
                silent_since: None,
                ..held()
            }));
        }
        bench.pass(LEASE / 100);
        bench.stay_well();
    }
    let insisted = bench.now.since(made_way);
    assert!(insisted >= Duration::from_secs(5), "{insisted:?}");
    assert!(insisted <= Duration::from_secs(6), "{insisted:?}");
}

/// What operators ask for could not be read for a moment: that costs no lock that was won.
#[test]
fn who_has_won_and_cannot_know_whether_it_may_lead_asks_again() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Won(won()));
    bench.stay_well();
    bench.pass(LEASE);
    let asks = |query: &Query| matches!(query, Query::TakeOffice { .. });
    let office = Office::Barred(Bar::Unknown);
    bench.answer(asks, offered(KEY, office));
    assert!(!bench.has_asked(|query| matches!(query, Query::Release { .. })));
    assert!(!bench.has_asked(asks));
    bench.stay_well();
    bench.pass(LEASE / 20);
    assert!(bench.has_asked(asks));
}

/// While nobody may lead nothing is overdue: once it is resumed, rank counts and the successor comes first.
#[test]
fn what_was_free_because_nobody_may_lead_is_not_overdue() {
    let mut bench = Bench::candidate();
    let free = Held {
        holder_pid: None,
        successor: false,
        bar: Some(Bar::Suspended),
        ..held()
    };
    bench.answer_campaign(Try::Held(free));
    bench.pass(LEASE * 2);
    read(
        &mut bench,
        View {
            vacant: true,
            ..view()
        },
    );
    bench.pass(LEASE / 20);
    let overdue =
        |query: &Query| matches!(query, Query::Campaign { overdue, .. } if !overdue.is_empty());
    assert!(bench.has_asked(campaigns));
    assert!(!bench.has_asked(overdue));
}

const OTHER: Key = Key(2);

/// A candidate in a second election too.
fn join_other(bench: &mut Bench) {
    let (key, autopsy) = (OTHER, true);
    bench.event(Event::Join {
        key,
        autopsy,
        graceful: true,
    });
    bench.answer(|query| matches!(query, Query::Join { .. }), joined(key));
}

/// However many elections somebody joins who ranks higher (invariant 7).
#[test]
fn one_query_makes_way_in_all_elections() {
    let mut bench = Bench::successor();
    join_other(&mut bench);
    bench.pass(LEASE / 20);
    let tries = [KEY, OTHER].map(|key| (key, Try::Held(barred(Bar::Outranked, true))));
    bench.answer(
        campaigns,
        Reply::Campaigned {
            tries: tries.into(),
        },
    );
    let asked: Vec<&Query> = bench.asked.iter().map(|(_, query)| query).collect();
    let release = Query::Release {
        leadership: vec![],
        succession: vec![KEY, OTHER],
        silence_limit: NOTHING_TO_LOSE,
    };
    let announce = Query::Announce {
        keys: vec![KEY, OTHER],
    };
    assert_eq!(asked, [&release, &announce]);
}

/// The server tries before it releases: what it has won meanwhile must not be left with the patience of a session
/// that holds nothing.
#[test]
fn what_is_won_while_the_rest_is_let_go_is_held_to_its_lease() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Won(won()));
    bench.stay_well();
    bench.pass(LEASE);
    join_other(&mut bench);
    assert!(bench.has_asked(campaigns), "the other is not tried for");
    let office = Office::Barred(Bar::Suspended);
    bench.answer(
        |query| matches!(query, Query::TakeOffice { .. }),
        offered(KEY, office),
    );
    let nothing_more = |query: &Query| {
        matches!(
            query,
            Query::Release {
                silence_limit: NOTHING_TO_LOSE,
                ..
            }
        )
    };
    assert!(bench.has_asked(nothing_more));
    let tries = vec![(OTHER, began(3))];
    bench.answer(campaigns, Reply::Campaigned { tries });
    let more = |query: &Query| {
        matches!(
            query,
            Query::Release {
                silence_limit: A_LEASE_TO_LOSE,
                ..
            }
        )
    };
    assert!(bench.has_asked(more));
}
