//! Joining, probing, retrying, reconnecting.

use super::*;

#[test]
fn a_candidate_joins_and_tries_at_once() {
    let bench = Bench::candidate();
    let first = Query::Campaign {
        keys: vec![KEY],
        successor_of: vec![],
        overdue: vec![],
        heard: vec![],
    };
    assert_eq!(bench.asked.last().unwrap().1, first);
}

#[test]
fn the_successor_alone_probes_quickly() {
    for (successor, tries) in [(true, 20), (false, 0)] {
        let mut bench = Bench::candidate();
        bench.answer_campaign(Try::Held(Held {
            successor,
            ..held()
        }));
        let mut count = 0;
        for _ in 0..100 {
            bench.pass(LEASE / 100);
            if bench.has_asked(|query| matches!(query, Query::Campaign { .. })) {
                count += 1;
                bench.answer_campaign(Try::Held(Held {
                    successor,
                    silent_since: None,
                    ..held()
                }));
            }
        }
        assert_eq!(count, tries, "successor: {successor}");
    }
}

#[test]
fn a_follower_retries_once_per_retry_interval() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Held(Held {
        successor: false,
        ..held()
    }));
    let tries = |query: &Query| matches!(query, Query::Campaign { .. });
    bench.pass(Duration::from_millis(4900));
    assert!(!bench.has_asked(tries));
    bench.pass(Duration::from_millis(200));
    assert!(bench.has_asked(tries));
}

#[test]
fn a_hint_makes_the_successor_try_and_the_others_look() {
    for (successor, tries) in [(true, true), (false, false)] {
        let mut bench = Bench::candidate();
        bench.answer_campaign(Try::Held(Held {
            successor,
            ..held()
        }));
        bench.event(Event::Hint { keys: vec![KEY] });
        assert_eq!(
            bench.has_asked(|query| matches!(query, Query::Campaign { .. })),
            tries
        );
        assert_eq!(
            bench.has_asked(|query| matches!(query, Query::Read { .. })),
            !tries
        );
    }
}

#[test]
fn a_flood_of_hints_has_one_read_outstanding() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Held(Held {
        successor: false,
        ..held()
    }));
    for _ in 0..1000 {
        bench.event(Event::Hint { keys: vec![KEY] });
    }
    let reads = |bench: &Bench| {
        bench
            .asked
            .iter()
            .filter(|(_, query)| matches!(query, Query::Read { .. }))
            .count()
    };
    assert_eq!(reads(&bench), 1);
    let view = View {
        term: 7,
        vacant: false,
        ..view()
    };
    bench.answer(
        |query| matches!(query, Query::Read { .. }),
        Reply::Read {
            views: vec![(KEY, view)],
        },
    );
    assert_eq!(reads(&bench), 1, "what came meanwhile is looked at once");
}

#[test]
fn one_query_tries_for_all_elections() {
    let mut bench = Bench::new();
    bench.event(Event::Connected);
    for key in 1..=100 {
        bench.event(Event::Join {
            key: Key(key),
            autopsy: true,
            graceful: true,
        });
    }
    // The first goes alone, all the others together once that is answered.
    let joins = |query: &Query| matches!(query, Query::Join { .. });
    bench.answer(joins, joined(KEY));
    assert_eq!(
        bench.asked.iter().filter(|(_, query)| joins(query)).count(),
        1
    );
    let heard = Heard::default();
    let all = (2..=100).map(|key| (Key(key), heard)).collect();
    bench.answer(joins, Reply::Joined { joined: all });
    bench.answer_campaign(Try::Held(held()));
    let campaigns: Vec<usize> = bench
        .asked
        .iter()
        .filter_map(|(_, query)| match query {
            Query::Campaign { keys, .. } => Some(keys.len()),
            _ => None,
        })
        .collect();
    assert_eq!(campaigns, [99]);
}

#[test]
fn a_lost_session_is_replaced_soon_and_then_ever_more_slowly() {
    let mut bench = Bench::leader();
    bench.pass(LEASE / 10);
    bench.event(Event::Disconnected);
    assert!(
        !bench.has_done(|action| matches!(action, Action::Connect)),
        "a short session"
    );

    // Who owes a vacate comes back at once, everyone else with jitter.
    let mut bench = Bench::leader();
    bench.pass(LEASE / 8);
    bench.event(Event::Disconnected);
    assert!(bench.has_done(|action| matches!(action, Action::Connect)));

    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Held(Held {
        successor: false,
        ..held()
    }));
    bench.pass(LEASE * 2);
    bench.done.clear();
    bench.event(Event::Disconnected);
    assert!(!bench.has_done(|action| matches!(action, Action::Connect)));
    bench.pass(Duration::from_millis(50));
    assert!(bench.has_done(|action| matches!(action, Action::Connect)));
    let mut delays = vec![];
    for _ in 0..10 {
        bench.done.clear();
        // It is there, and unfit: nobody hurries.
        bench.event(Event::NotOpened {
            schema: false,
            outage: false,
        });
        let failed_at = bench.now;
        while !bench.has_done(|action| matches!(action, Action::Connect)) {
            bench.pass(Duration::from_millis(5));
        }
        delays.push(bench.now.since(failed_at));
    }
    assert!(
        delays.windows(2).all(|pair| pair[0] <= pair[1]),
        "{delays:?}"
    );
    assert!(delays[0] <= Duration::from_millis(50), "{delays:?}");
    assert!(delays[9] <= Duration::from_secs(5), "{delays:?}");
    assert!(delays[9] >= Duration::from_secs(2), "{delays:?}");
}

#[test]
fn a_query_that_is_not_answered_ends_the_session() {
    let mut bench = Bench::candidate();
    bench.pass(LEASE - Duration::from_millis(1));
    assert!(!bench.has_done(|action| matches!(action, Action::Abandon)));
    bench.pass(Duration::from_millis(1));
    assert!(bench.has_done(|action| matches!(action, Action::Abandon)));
}

#[test]
fn a_stranger_is_told_once_and_its_end_too() {
    let mut bench = Bench::candidate();
    for _ in 0..3 {
        bench.answer_campaign(Try::Held(stranger("curious")));
        bench.pass(LEASE / 10);
    }
    bench.answer_campaign(Try::Held(held()));
    let told: Vec<Option<&str>> = bench
        .done
        .iter()
        .filter_map(|action| match action {
            Action::Tell(Notice::Stranger { who, .. }) => Some(who.as_deref()),
            _ => None,
        })
        .collect();
    assert_eq!(told, [Some("curious"), None]);
}

fn stranger(who: &str) -> Held {
    Held {
        holder_pid: Some(9),
        stranger: Some(who.into()),
        ..held()
    }
}

fn ends(query: &Query) -> bool {
    matches!(query, Query::EndFenced { .. })
}

/// So long it may be a tool that only looks. Another one has a lease of its own.
#[test]
fn a_stranger_that_stays_for_a_lease_is_asked_to_be_ended() {
    let mut bench = Bench::candidate();
    let stays = |bench: &mut Bench, who: &str, parts: u32| {
        for _ in 0..parts {
            assert!(!bench.has_asked(ends), "{who}");
            bench.answer_campaign(Try::Held(stranger(who)));
            bench.pass(LEASE / 20);
        }
    };
    stays(&mut bench, "first", 19);
    stays(&mut bench, "second", 20);
    bench.answer_campaign(Try::Held(stranger("second")));
    assert!(bench.has_asked(ends));
    let ended = Reply::FencedEnded {
        ended: vec![(KEY, 1, 0)],
    };
    bench.answer(ends, ended);
    bench.pass(LEASE / 500);
    let campaigns = |query: &Query| matches!(query, Query::Campaign { .. });
    assert!(bench.has_asked(campaigns), "its place is free in a moment");
}

/// A follower that is not the successor would look once a retry interval.
#[test]
fn whoever_meets_a_stranger_looks_again_after_a_lease() {
    let mut bench = Bench::candidate();
    let campaigns = |query: &Query| matches!(query, Query::Campaign { .. });
    let met = Held {
        successor: false,
        holder_pid: Some(LEADER),
        ..stranger("with the successor's place")
    };
    bench.answer_campaign(Try::Held(met.clone()));
    bench.pass(LEASE * 99 / 100);
    assert!(!bench.has_asked(campaigns));
    bench.pass(LEASE / 100);
    bench.answer_campaign(Try::Held(met));
    assert!(bench.has_asked(ends));
}

/// What cannot be ended is named once, and asked for again as rarely as everything that others may mend.
#[test]
fn a_stranger_that_stays_whatever_is_done_is_told_of_once() {
    let mut bench = Bench::candidate();
    let began = bench.now;
    let mut rounds = 0;
    while bench.now.since(began) < LEASE * 20 {
        bench.answer_campaign(Try::Held(stranger("prepared")));
        if bench.has_asked(ends) {
            let left = Reply::FencedEnded {
                ended: vec![(KEY, 0, 1)],
            };
            bench.answer(ends, left);
            rounds += 1;
        }
        bench.pass(LEASE / 20);
        bench.stay_well();
    }
    assert!((3..=5).contains(&rounds), "{rounds}");
    let told = |action: &&Action| {
        matches!(
            action,
            Action::Tell(Notice::FencedEnded { .. } | Notice::Stranger { .. })
        )
    };
    assert_eq!(bench.done.iter().filter(told).count(), 2);
}

/// The server may not see who holds a lock: a transaction that was prepared, another database's.
#[test]
fn what_is_found_free_and_cannot_be_had_is_tried_for_no_more_often_than_a_leader_is_watched() {
    let mut bench = Bench::candidate();
    let campaigns = |query: &Query| matches!(query, Query::Campaign { .. });
    let free = Held {
        holder_pid: None,
        ..held()
    };
    bench.answer_campaign(Try::Held(free.clone()));
    assert!(bench.has_asked(campaigns), "it was let go: at once");
    let began = bench.now;
    let mut tries = 0;
    while bench.now.since(began) < LEASE {
        if bench.has_asked(campaigns) {
            bench.answer_campaign(Try::Held(free.clone()));
            tries += 1;
        } else {
            bench.pass(LEASE / 1000);
        }
    }
    assert!((19..=22).contains(&tries), "{tries}");
}

#[test]
fn a_vacant_election_is_left_to_the_successor_first() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Held(Held {
        successor: false,
        ..held()
    }));
    bench.event(Event::Hint { keys: vec![KEY] });
    let view = View {
        term: 7,
        vacant: true,
        ..view()
    };
    bench.answer(
        |query| matches!(query, Query::Read { .. }),
        Reply::Read {
            views: vec![(KEY, view)],
        },
    );
    assert!(!bench.has_asked(|query| matches!(query, Query::Campaign { .. })));
    bench.pass(LEASE / 4);
    assert!(bench.has_asked(|query| matches!(query, Query::Campaign { .. })));
}

/// A stranger may take the place of the successor and do nothing with it.
#[test]
fn an_election_that_the_successor_leaves_free_is_tried_for_all_the_same() {
    let mut bench = Bench::candidate();
    let free = Held {
        holder_pid: None,
        successor: false,
        ..held()
    };
    bench.answer_campaign(Try::Held(free.clone()));
    let tries =
        |query: &Query| matches!(query, Query::Campaign { overdue, .. } if *overdue == [KEY]);
    bench.pass(LEASE / 6);
    assert!(!bench.has_asked(tries), "the successor comes first");
    bench.pass(LEASE / 20);
    assert!(bench.has_asked(tries));
    // Once somebody leads again it is the successor's turn again.
    bench.answer_campaign(Try::Held(Held {
        successor: false,
        ..held()
    }));
    bench.pass(Duration::from_millis(4850));
    assert!(
        bench.has_asked(
            |query| matches!(query, Query::Campaign { overdue, .. } if overdue.is_empty())
        )
    );
}

#[test]
fn what_is_found_free_is_left_to_the_successor_for_a_while_whatever_is_heard() {
    let free = Held {
        holder_pid: None,
        successor: false,
        ..held()
    };
    let campaigns = |query: &Query| matches!(query, Query::Campaign { .. });
    let takes =
        |query: &Query| matches!(query, Query::Campaign { overdue, .. } if *overdue == [KEY]);
    let reads = |query: &Query| matches!(query, Query::Read { .. });
    let mut bench = Bench::candidate();
    bench.answer_campaign(Try::Held(free.clone()));
    let found = bench.now;
    let mut tries = 0;
    while !bench.has_asked(takes) {
        assert!(bench.now.since(found) < LEASE, "it is never taken");
        bench.pass(LEASE / 100);
        if bench.has_asked(campaigns) && !bench.has_asked(takes) {
            tries += 1;
            bench.answer_campaign(Try::Held(free.clone()));
        }
        bench.event(Event::Hint { keys: vec![KEY] });
        if bench.has_asked(reads) {
            let view = View {
                vacant: true,
                ..view()
            };
            let views = vec![(KEY, view)];
            bench.answer(reads, Reply::Read { views });
        }
    }
    assert!(tries > 0, "nothing heard made it try");
    assert!(bench.now.since(found) >= LEASE / 20 * 4);
}
