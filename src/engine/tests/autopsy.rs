//! The refractory period, and what spares it.

use super::*;

fn takes_office(query: &Query) -> bool {
    matches!(query, Query::TakeOffice { takes } if takes[0].1.waited)
}

fn gone(bench: &mut Bench, gone: bool) {
    let answer = Reply::BackendGone {
        gone: vec![(KEY, gone)],
    };
    bench.answer(|query| matches!(query, Query::BackendGone { .. }), answer);
}

fn count(bench: &mut Bench, counters: Counters) {
    let answer = Reply::Counters {
        keys: vec![KEY],
        counters,
    };
    bench.answer(|query| matches!(query, Query::Counters { .. }), answer);
}

/// Win as the successor, one probe after `held` was seen.
fn win(held: Held, won: Won, autopsy: bool) -> Bench {
    let mut bench = Bench::candidate_with(autopsy);
    bench.answer_campaign(Try::Held(held));
    bench.pass(LEASE / 20);
    bench.answer_campaign(Try::Won(won));
    bench
}

#[test]
fn the_refractory_period_counts_from_the_receipt_of_the_answer() {
    let mut bench = Bench::candidate();
    bench.pass(LEASE / 4);
    bench.answer_campaign(Try::Won(won()));
    let won_at = bench.now;
    while !bench.has_asked(takes_office) {
        bench.pass(Duration::from_millis(1));
        bench.stay_well();
        assert!(bench.now.since(won_at) <= LEASE, "it never takes office");
    }
    assert_eq!(bench.now.since(won_at), LEASE);
}

#[test]
fn a_clean_end_from_the_clients_side_spares_it() {
    let mut bench = win(held(), won(), true);
    gone(&mut bench, false);
    assert!(
        !bench.has_asked(takes_office),
        "the backend is not gone yet"
    );
    bench.pass(LEASE / 500);
    gone(&mut bench, true);
    assert!(
        !bench.has_asked(takes_office),
        "the counters are not read yet"
    );
    count(&mut bench, COUNTERS);
    assert!(bench.has_asked(takes_office));
}

#[test]
fn counters_that_moved_prove_nothing() {
    for counters in [
        Counters {
            killed: 4,
            ..COUNTERS
        },
        Counters {
            fatal: 6,
            ..COUNTERS
        },
        Counters {
            reset: 8,
            ..COUNTERS
        },
        Counters {
            killed: 0,
            fatal: 0,
            reset: 0,
        },
    ] {
        let mut bench = win(held(), won(), true);
        gone(&mut bench, true);
        count(&mut bench, counters);
        assert!(!bench.has_asked(takes_office), "{counters:?}");
    }
}

#[test]
fn without_all_the_evidence_no_autopsy_is_begun() {
    let other_pid = Held {
        leader_pid: Some(1),
        holder_pid: Some(1),
        ..held()
    };
    let table = [
        (
            "indirect",
            held(),
            Won {
                direct: false,
                ..won()
            },
            true,
        ),
        ("always wait", held(), won(), false),
        ("another term", Held { term: 6, ..held() }, won(), true),
        ("another backend", other_pid, won(), true),
        (
            "not the leader's lock",
            Held {
                holder_pid: Some(1),
                ..held()
            },
            won(),
            true,
        ),
        (
            "nobody's lock",
            Held {
                holder_pid: None,
                ..held()
            },
            won(),
            true,
        ),
        (
            "a leader unknown",
            held(),
            Won {
                last_pid: None,
                ..won()
            },
            true,
        ),
    ];
    for (what, held, won, autopsy) in table {
        let bench = win(held, won, autopsy);
        assert!(
            !bench.has_asked(|query| matches!(query, Query::BackendGone { .. })),
            "{what}"
        );
        assert!(!bench.has_asked(takes_office), "{what}");
    }
}

#[test]
fn a_sample_dies_with_its_session() {
    let mut bench = Bench::successor();
    bench.event(Event::Disconnected);
    bench.pass(LEASE);
    bench.event(Event::Connected);
    bench.answer(|query| matches!(query, Query::Join { .. }), joined(KEY));
    bench.answer_campaign(Try::Won(won()));
    assert!(!bench.has_asked(|query| matches!(query, Query::BackendGone { .. })));
}

/// Evidence the leader's backend for `duration`, its `state_change` moving with each probe or not.
fn watch(duration: Duration, moves: bool) -> Bench {
    let mut bench = Bench::successor();
    let (mut mark, end) = (1, bench.now + duration);
    while bench.now < end {
        bench.pass(LEASE / 20);
        if moves {
            mark += 1;
        }
        bench.answer_campaign(Try::Held(Held {
            silent_since: Some(mark),
            ..held()
        }));
    }
    bench
}

#[test]
fn a_lease_of_watched_silence_spares_it_however_the_session_ended() {
    for (watched, moves, spared) in [
        (LEASE * 105 / 100, false, true),
        (LEASE * 75 / 100, false, false),
        (LEASE * 3, true, false),
    ] {
        let mut bench = watch(watched, moves);
        bench.pass(LEASE / 20);
        bench.answer_campaign(Try::Won(Won {
            direct: false,
            ..won()
        }));
        assert_eq!(
            bench.has_asked(takes_office),
            spared,
            "{watched:?}, moves: {moves}"
        );
    }
}

/// The successor of another election may have ended the backend, between the look at the lock and the look at it.
#[test]
fn silence_that_was_watched_stays_true_where_the_backend_leaves_during_a_try() {
    for (watched, spared) in [(LEASE * 105 / 100, true), (LEASE * 75 / 100, false)] {
        let mut bench = watch(watched, false);
        bench.pass(LEASE / 20);
        bench.answer_campaign(Try::Held(Held {
            silent_since: None,
            ..held()
        }));
        bench.pass(LEASE / 20);
        bench.answer_campaign(Try::Won(Won {
            direct: false,
            ..won()
        }));
        assert_eq!(bench.has_asked(takes_office), spared, "{watched:?}");
    }
}

/// Somebody else may have ended the backend a little sooner. A leader that was silent for long enough to have
/// deposed itself is over a lease after its last word, not a lease after the end of its session.
#[test]
fn silence_that_deposed_the_leader_counts_towards_the_lease() {
    for (watched, since_won) in [
        (LEASE * 85 / 100, LEASE / 10),
        (LEASE * 95 / 100, Duration::ZERO),
        (LEASE * 75 / 100, LEASE),
    ] {
        let mut bench = watch(watched, false);
        bench.pass(LEASE / 20);
        bench.answer_campaign(Try::Won(Won {
            direct: false,
            ..won()
        }));
        let won_at = bench.now;
        while !bench.has_asked(takes_office) {
            bench.pass(Duration::from_millis(1));
            bench.stay_well();
            assert!(bench.now.since(won_at) <= LEASE, "it never takes office");
        }
        assert_eq!(bench.now.since(won_at), since_won, "{watched:?} watched");
    }
}

#[test]
fn silence_is_watched_on_one_backend_in_one_term() {
    for held in [
        Held { term: 8, ..held() },
        Held {
            leader_pid: Some(1),
            holder_pid: Some(1),
            ..held()
        },
    ] {
        let mut bench = watch(LEASE * 95 / 100, false);
        bench.pass(LEASE / 20);
        let won = Won {
            last_term: held.term,
            last_pid: held.leader_pid,
            direct: false,
            ..won()
        };
        bench.answer_campaign(Try::Held(held));
        bench.pass(LEASE / 20);
        bench.answer_campaign(Try::Won(won));
        assert!(!bench.has_asked(takes_office));
    }
}

#[test]
fn the_successor_ends_a_backend_that_was_silent_for_its_lease() {
    let evicts = |query: &Query| matches!(query, Query::Evict { terms } if terms[0].1 == 7);
    assert!(!watch(LEASE * 95 / 100, false).has_asked(evicts));
    assert!(watch(LEASE * 105 / 100, false).has_asked(evicts));
    assert!(!watch(LEASE * 3, true).has_asked(evicts));
}

#[test]
fn a_hint_makes_it_ask_for_a_vacate_without_having_waited() {
    let mut bench = win(held(), won(), false);
    bench.event(Event::Hint { keys: vec![KEY] });
    let asks = |query: &Query| matches!(query, Query::TakeOffice { takes } if !takes[0].1.waited);
    assert!(bench.has_asked(asks));
    let office = |office| offered(KEY, office);
    bench.answer(asks, office(still_waiting()));
    assert!(!bench.has_asked(asks), "once per hint");
    bench.event(Event::Hint { keys: vec![KEY] });
    bench.answer(asks, office(office_begun(8)));
    assert!(bench.has_started());
}

/// A try may come between the end of the backend and the end of its lock. What was seen before stays true,
/// and the next try is made at once.
#[test]
fn a_lock_that_was_let_go_during_the_try_leaves_the_evidence() {
    let gone = Held {
        holder_pid: None,
        ..held()
    };
    for (term, kept) in [(7, true), (8, false)] {
        let mut bench = Bench::successor();
        bench.pass(LEASE / 20);
        bench.answer_campaign(Try::Held(Held {
            term,
            ..gone.clone()
        }));
        bench.answer_campaign(Try::Won(Won {
            last_term: 7,
            ..won()
        }));
        assert_eq!(
            bench.has_asked(|query| matches!(query, Query::BackendGone { .. })),
            kept,
            "term {term}"
        );
    }
}

/// Everybody can see a successor as soon as it has the place, in the middle of its first try, and may kill the leader
/// then.
#[test]
fn a_leader_that_the_first_try_saw_is_examined() {
    let seen = Won {
        watched: Some(COUNTERS),
        ..won()
    };
    let gone_meanwhile = Held {
        holder_pid: None,
        watched: true,
        ..held()
    };
    let unseen = Held {
        watched: false,
        ..gone_meanwhile.clone()
    };
    let indirect = Won {
        direct: false,
        ..seen.clone()
    };
    for (before, won, examined) in [
        (None, seen, true),
        (None, indirect, false),
        (None, won(), false),
        (Some(gone_meanwhile), won(), true),
        (Some(unseen), won(), false),
    ] {
        let mut bench = Bench::candidate_with(true);
        if let Some(held) = before {
            bench.answer_campaign(Try::Held(held));
        }
        bench.answer_campaign(Try::Won(won));
        let asks = |query: &Query| matches!(query, Query::BackendGone { .. });
        assert_eq!(bench.has_asked(asks), examined);
        if examined {
            gone(&mut bench, true);
            count(&mut bench, COUNTERS);
            assert!(bench.has_asked(takes_office));
        }
    }
}

/// The server may tell of a vacate before it answers the try that was too early to see it.
#[test]
fn a_hint_that_comes_before_the_answer_is_not_lost() {
    let mut bench = Bench::successor();
    bench.pass(LEASE / 20);
    bench.event(Event::Hint { keys: vec![KEY] });
    bench.answer_campaign(Try::Won(won()));
    assert!(
        bench.has_asked(|query| matches!(query, Query::TakeOffice { takes } if !takes[0].1.waited))
    );
}

#[test]
fn a_vacate_whose_notification_is_lost_costs_one_heartbeat() {
    let mut bench = win(held(), won(), false);
    bench.pass(LEASE / 8);
    assert!(
        bench.has_asked(|query| matches!(query, Query::TakeOffice { takes } if !takes[0].1.waited))
    );
}
