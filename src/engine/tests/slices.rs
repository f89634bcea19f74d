//! Requests of several elections: what a slice does not reach, what it refuses, and what goes before it.

use super::*;

fn joins(query: &Query) -> bool {
    matches!(query, Query::Join { .. })
}

fn campaigns(query: &Query) -> bool {
    matches!(query, Query::Campaign { .. })
}

fn takes_office(query: &Query) -> bool {
    matches!(query, Query::TakeOffice { .. })
}

fn vacates(query: &Query) -> bool {
    matches!(query, Query::Vacate { .. })
}

fn keys(numbers: std::ops::RangeInclusive<u32>) -> Vec<Key> {
    numbers.map(Key).collect()
}

fn refused(key: Key) -> Vec<(Key, Refused)> {
    let (why, no_room) = ("no (SQLSTATE 22P05)".into(), false);
    vec![(
        key,
        Refused {
            why,
            no_room,
            taken: Taken::default(),
        },
    )]
}

impl Bench {
    fn joins(&mut self, keys: &[Key]) {
        for &key in keys {
            self.event(Event::Join {
                key,
                autopsy: true,
                graceful: true,
            });
        }
    }

    fn resigns(&mut self, key: Key) {
        self.event(Event::Resign { key, term: 7 });
        self.work_stops(key);
    }

    fn work_stops(&mut self, key: Key) {
        let (term, stop) = (7, Stop::Returned);
        self.event(Event::WorkStopped { key, term, stop });
    }

    /// What the oldest query that `wanted` picks is about.
    fn asked_for(&self, wanted: impl Fn(&Query) -> bool) -> Vec<Key> {
        let query = self.asked.iter().find(|(_, query)| wanted(query));
        match query.map(|(_, query)| query) {
            Some(Query::Join { joins }) => joins.iter().map(|(key, _)| *key).collect(),
            Some(
                Query::Campaign { keys, .. } | Query::Read { keys } | Query::Announce { keys },
            ) => keys.clone(),
            Some(Query::TakeOffice { takes }) => takes.iter().map(|(key, _)| *key).collect(),
            Some(Query::Vacate { terms }) => terms.iter().map(|(key, _, _)| *key).collect(),
            Some(Query::Ready { terms }) => terms.iter().map(|(key, _)| *key).collect(),
            other => panic!("{other:?} of {:?}", self.asked),
        }
    }

    /// A slice is answered in part.
    fn answer_part(
        &mut self,
        wanted: impl Fn(&Query) -> bool,
        reply: Reply,
        refused: Vec<(Key, Refused)>,
        unreached: Vec<Key>,
    ) {
        let index = self.asked.iter().position(|(_, query)| wanted(query));
        let (sent, _) = self.asked.remove(index.expect("it was asked"));
        self.event(Event::Answered {
            sent,
            reply,
            rows: vec![],
            refused,
            unreached,
        });
    }

    fn tells(&self, notice: &Notice) -> usize {
        let told = |action: &&Action| matches!(action, Action::Tell(told) if told == notice);
        self.done.iter().filter(told).count()
    }

    /// Candidates of these, whose tries are under way.
    fn candidates(keys: &[Key]) -> Bench {
        let mut bench = Bench::new();
        bench.joins(keys);
        bench.event(Event::Connected);
        bench.answer(joins, all_joined(keys));
        bench
    }

    fn leads(keys: &[Key]) -> Bench {
        let mut bench = Bench::candidates(keys);
        let tries = keys.iter().map(|key| (*key, began(7))).collect();
        bench.answer(campaigns, Reply::Campaigned { tries });
        bench.stay_well();
        bench.done.clear();
        bench
    }
}

fn all_joined(keys: &[Key]) -> Reply {
    let joined = keys.iter().map(|key| (*key, Heard::default()));
    Reply::Joined {
        joined: joined.collect(),
    }
}

fn all_held(keys: &[Key], successor: bool) -> Reply {
    let held = Held {
        successor,
        ..held()
    };
    let tries = keys.iter().map(|key| (*key, Try::Held(held.clone())));
    Reply::Campaigned {
        tries: tries.collect(),
    }
}

#[test]
fn what_a_join_did_not_reach_is_joined_next_and_the_others_go_on() {
    let mut bench = Bench::new();
    bench.joins(&keys(1..=5));
    bench.event(Event::Connected);
    assert_eq!(bench.asked_for(joins), keys(1..=5));
    bench.answer_part(joins, all_joined(&keys(1..=2)), vec![], keys(3..=5));
    assert_eq!(bench.asked_for(joins), keys(3..=5));
    assert_eq!(bench.asked_for(campaigns), keys(1..=2));
    bench.answer_part(joins, all_joined(&[Key(3)]), vec![], keys(4..=5));
    assert_eq!(bench.asked_for(joins), keys(4..=5));
}

/// The server reaches the first ones. What is due again and again must not keep the others from it.
#[test]
fn what_a_slice_did_not_reach_comes_before_what_is_due_again() {
    let mut bench = Bench::candidates(&keys(1..=4));
    bench.answer_part(campaigns, all_held(&keys(1..=2), true), vec![], keys(3..=4));
    assert_eq!(bench.asked_for(campaigns), keys(3..=4));
    // The first two probe as successors meanwhile, and are heard of.
    bench.pass(LEASE / 20);
    bench.event(Event::Hint { keys: keys(1..=2) });
    bench.answer_part(campaigns, all_held(&[Key(3)], true), vec![], vec![Key(4)]);
    assert_eq!(bench.asked_for(campaigns), [Key(4)]);
    bench.answer(campaigns, all_held(&[Key(4)], true));
    assert_eq!(bench.asked_for(campaigns), keys(1..=4));
}

#[test]
fn one_slice_of_a_kind_is_under_way() {
    let mut bench = Bench::candidates(&keys(1..=2));
    bench.joins(&keys(3..=40));
    bench.event(Event::Hint { keys: keys(1..=2) });
    bench.pass(LEASE / 2);
    for wanted in [joins, campaigns] {
        let under_way = bench.asked.iter().filter(|(_, query)| wanted(query));
        assert_eq!(under_way.count(), 1);
    }
    bench.answer(joins, all_joined(&[Key(3)]));
    assert_eq!(bench.asked_for(joins), keys(4..=40));
}

/// It is due in the same moment as a probe, and it must not wait until that is done.
#[test]
fn the_heartbeat_goes_before_the_slices() {
    let mut bench = Bench::candidates(&keys(1..=2));
    let tries = vec![(Key(1), began(7)), (Key(2), Try::Held(held()))];
    bench.answer(campaigns, Reply::Campaigned { tries });
    bench.stay_well();
    bench.now += LEASE / 8;
    bench.event(Event::Timer);
    let asked: Vec<&Query> = bench.asked.iter().map(|(_, query)| query).collect();
    assert!(is_heartbeat(asked[0]), "{asked:?}");
    assert!(campaigns(asked[1]), "{asked:?}");
}

/// Contact is the sending of an answered request, whichever: while slices run the session stays proved.
#[test]
fn contact_moves_with_each_answer_to_its_sending() {
    let mut bench = Bench::candidates(&keys(1..=2));
    let tries = vec![(Key(1), began(7)), (Key(2), Try::Held(held()))];
    bench.answer(campaigns, Reply::Campaigned { tries });
    bench.stay_well();
    for _ in 0..5 {
        bench.pass(LEASE / 20);
        let sent = bench.asked.iter().find(|(_, query)| campaigns(query));
        let (sent, _) = sent.expect("it probes").clone();
        bench.pass(LEASE / 25);
        bench.answer(campaigns, all_held(&[Key(2)], true));
        let until = sent + LEASE * 75 / 100;
        assert_eq!(bench.process.current_until(), Some(until));
    }
    assert!(!bench.has_done(|action| matches!(action, Action::Abandon)));
}

#[test]
fn a_join_that_is_refused_backs_off_and_its_neighbours_notice_nothing() {
    let mut bench = Bench::new();
    bench.joins(&keys(1..=3));
    bench.event(Event::Connected);
    let others = [Key(1), Key(3)];
    bench.answer_part(joins, all_joined(&others), refused(Key(2)), vec![]);
    assert_eq!(bench.asked_for(campaigns), others);
    let tries = others.map(|key| (key, began(7))).to_vec();
    bench.answer(campaigns, Reply::Campaigned { tries });
    bench.stay_well();
    let shown = bench.published[&Key(2)].clone();
    assert_eq!(shown.waiting_for, Some(WaitingFor::Refusal));
    assert_eq!(shown.refusal.as_deref(), Some("no (SQLSTATE 22P05)"));
    let (key, why) = (Key(2), Some("no (SQLSTATE 22P05)".into()));
    let notice = Notice::Refused { key, why };
    let mut waits = vec![];
    for _ in 0..12 {
        let since = bench.now;
        while !bench.has_asked(joins) {
            bench.pass(Duration::from_millis(10));
            bench.stay_well();
        }
        waits.push(bench.now.since(since));
        assert_eq!(bench.asked_for(joins), [Key(2)]);
        let none = Reply::Joined { joined: vec![] };
        bench.answer_part(joins, none, refused(Key(2)), vec![]);
    }
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(waits[0], Duration::from_millis(50));
    assert_eq!(waits[11], Duration::from_secs(5));
    assert_eq!(bench.tells(&notice), 1);
    assert!(!bench.has_done(|action| matches!(action, Action::Abandon)));
    assert_eq!(bench.process.term(Key(1)), Some(7));
    while !bench.has_asked(joins) {
        bench.pass(LEASE / 10);
        bench.stay_well();
    }
    bench.answer(joins, joined(Key(2)));
    assert_eq!(bench.tells(&Notice::Refused { key, why: None }), 1);
    assert_eq!(bench.published[&Key(2)].waiting_for, None);
    assert_eq!(bench.asked_for(campaigns), [Key(2)]);
}

/// Others need not wait for it. The server may have lost sight of the candidacy: it joins anew.
#[test]
fn a_successor_that_is_refused_gives_its_place_up_and_joins_again() {
    let mut bench = Bench::candidates(&keys(1..=2));
    bench.answer(campaigns, all_held(&keys(1..=2), true));
    bench.pass(LEASE / 20);
    let full = Refused {
        why: "out of shared memory (SQLSTATE 53200)".into(),
        no_room: true,
        taken: Taken::default(),
    };
    let other = all_held(&[Key(1)], true);
    bench.answer_part(campaigns, other, vec![(Key(2), full)], vec![]);
    let place = |query: &Query| {
        matches!(query, Query::Release { leadership, succession, .. }
            if leadership.is_empty() && *succession == [Key(2)])
    };
    assert!(bench.has_asked(place), "{:?}", bench.asked);
    let shown = bench.published[&Key(2)].waiting_for;
    assert_eq!(shown, Some(WaitingFor::LockTable));
    bench.pass(Duration::from_millis(60));
    assert_eq!(bench.asked_for(joins), [Key(2)]);
    bench.answer(joins, joined(Key(2)));
    // What was refused is not over before it is done.
    let shown = bench.published[&Key(2)].waiting_for;
    assert_eq!(shown, Some(WaitingFor::LockTable));
}

#[test]
fn who_is_refused_office_lets_the_lock_go_and_the_other_takes_it() {
    let mut bench = Bench::candidates(&keys(1..=2));
    let won = Won {
        wait: Duration::ZERO,
        ..won()
    };
    let tries = keys(1..=2).into_iter();
    let tries = tries.map(|key| (key, Try::Won(won.clone()))).collect();
    bench.answer(campaigns, Reply::Campaigned { tries });
    assert_eq!(bench.asked_for(takes_office), keys(1..=2));
    let begun = offered(Key(2), office_begun(8));
    bench.answer_part(takes_office, begun, refused(Key(1)), vec![]);
    assert!(bench.has_done(|action| matches!(action, Action::Start { key: Key(2), .. })));
    let lock = |query: &Query| matches!(query, Query::Release { leadership, .. } if *leadership == [Key(1)]);
    assert!(bench.has_asked(lock), "{:?}", bench.asked);
    assert!(!bench.has_done(|action| matches!(action, Action::Tell(Notice::Declined { .. }))));
    bench.stay_well();
    bench.pass(LEASE / 25);
    assert!(!bench.has_asked(joins), "it backs off");
    bench.pass(LEASE / 25);
    assert_eq!(bench.asked_for(joins), [Key(1)]);
}

#[test]
fn a_read_that_is_refused_is_that_elections_alone() {
    let mut bench = Bench::new();
    bench.event(Event::Connected);
    for key in keys(1..=2) {
        bench.event(Event::Observe { key });
    }
    let reads = |query: &Query| matches!(query, Query::Read { .. });
    bench.answer(reads, Reply::Read { views: vec![] });
    assert_eq!(bench.asked_for(reads), [Key(2)]);
    let none = || Reply::Read { views: vec![] };
    bench.answer_part(reads, none(), refused(Key(2)), vec![]);
    let shown = bench.published[&Key(2)].clone();
    assert_eq!(shown.waiting_for, Some(WaitingFor::Refusal));
    assert_eq!(bench.published[&Key(1)].waiting_for, None);
    let (key, why) = (Key(2), Some("no (SQLSTATE 22P05)".into()));
    assert_eq!(bench.tells(&Notice::Refused { key, why }), 1);
    bench.event(Event::Hint { keys: keys(1..=2) });
    assert_eq!(bench.asked_for(reads), keys(1..=2));
    bench.answer(reads, none());
    assert_eq!(bench.published[&Key(2)].waiting_for, None);
    assert_eq!(bench.tells(&Notice::Refused { key, why: None }), 1);
    assert!(!bench.has_done(|action| matches!(action, Action::Abandon)));
}

/// Vacate, then unlock, then notify: of several the server may not reach all, and those keep their locks so long.
#[test]
fn of_several_terms_those_that_are_vacated_are_let_go_of() {
    let all = keys(1..=5);
    let mut bench = Bench::leads(&all);
    for &key in &all {
        bench.work_stops(key);
    }
    // The first went alone, and its lock in the same breath.
    assert_eq!(bench.asked_for(vacates), [Key(1)]);
    let releases = |bench: &Bench| -> Vec<Key> {
        let asked = bench.asked.iter();
        let released = asked.filter_map(|(_, query)| match query {
            Query::Release { leadership, .. } => Some(leadership.clone()),
            _ => None,
        });
        released.flatten().collect()
    };
    assert_eq!(releases(&bench), [Key(1)]);
    bench.answer(vacates, vacated(Key(1), 7, true));
    assert_eq!(bench.asked_for(vacates), keys(2..=5));
    assert_eq!(releases(&bench), [Key(1)]);
    let part = Reply::Vacated {
        vacated: vec![(Key(2), 7, true)],
    };
    bench.answer_part(vacates, part, refused(Key(3)), keys(4..=5));
    // What cannot be vacated is let go of all the same: its work has stopped.
    assert_eq!(releases(&bench), keys(1..=3));
    assert_eq!(bench.asked_for(vacates), keys(4..=5));
    let says =
        |query: &Query| matches!(query, Query::Announce { keys } if *keys == [Key(2), Key(3)]);
    assert!(bench.has_asked(says), "{:?}", bench.asked);
    let rest = keys(4..=5).into_iter().map(|key| (key, 7, true));
    let rest = rest.collect();
    bench.answer(vacates, Reply::Vacated { vacated: rest });
    assert_eq!(releases(&bench), all);
    bench.pass(LEASE / 10);
    assert_eq!(bench.asked_for(vacates), [Key(3)]);
}

/// A session that is lost while vacates are under way owes them all.
#[test]
fn what_was_not_vacated_when_the_session_ended_is_vacated_from_the_next() {
    let all = keys(1..=3);
    let mut bench = Bench::leads(&all);
    bench.pass(LEASE / 5);
    bench.stay_well();
    for &key in &all {
        bench.work_stops(key);
    }
    bench.answer(vacates, vacated(Key(1), 7, true));
    bench.event(Event::Disconnected);
    bench.event(Event::Timer);
    bench.event(Event::Connected);
    assert_eq!(bench.asked_for(vacates), keys(2..=3));
}

#[test]
fn readiness_that_is_refused_is_told_again_and_one_that_is_meddled_with_ends() {
    let ready = |query: &Query| matches!(query, Query::Ready { .. });
    let mut bench = Bench::leads(&keys(1..=2));
    for key in keys(1..=2) {
        bench.event(Event::Ready { key, term: 7 });
    }
    let none = Reply::Recorded { recorded: vec![] };
    bench.answer_part(ready, none, refused(Key(1)), vec![]);
    assert_eq!(bench.asked_for(ready), [Key(2)]);
    assert_eq!(bench.process.term(Key(1)), Some(7));
    let meddled = Reply::Recorded {
        recorded: vec![(Key(2), false)],
    };
    bench.answer(ready, meddled);
    assert!(bench.has_done(|action| *action == Action::Cancel { key: Key(2) }));
    assert!(!bench.has_done(|action| *action == Action::Cancel { key: Key(1) }));
    bench.pass(Duration::from_millis(60));
    assert_eq!(bench.asked_for(ready), [Key(1)]);
}

/// Who has begun on a session that another one of the same answer has given up owes it a vacate.
#[test]
fn no_office_of_a_query_that_was_answered_too_late_is_begun() {
    let mut bench = Bench::candidates(&keys(1..=2));
    let won = Won {
        wait: Duration::ZERO,
        ..won()
    };
    let tries = keys(1..=2).into_iter();
    let tries = tries.map(|key| (key, Try::Won(won.clone()))).collect();
    bench.answer(campaigns, Reply::Campaigned { tries });
    bench.asked.retain(|(_, query)| takes_office(query));
    let (sent, _) = bench.asked.remove(0);
    bench.now = sent + LEASE * 76 / 100;
    let offices = keys(1..=2).into_iter();
    let offices = offices.map(|key| (key, office_begun(8))).collect();
    bench.event(Event::Answered {
        sent,
        reply: Reply::Office { offices },
        rows: vec![],
        refused: vec![],
        unreached: vec![],
    });
    assert!(!bench.has_started());
    bench.event(Event::Timer);
    bench.event(Event::Connected);
    assert_eq!(bench.asked_for(vacates), keys(1..=2));
}

fn announces(query: &Query) -> bool {
    matches!(query, Query::Announce { .. })
}

fn not_announced(keys: &[Key]) -> Reply {
    Reply::NotAnnounced {
        keys: keys.to_vec(),
        why: "lock timeout".into(),
    }
}

#[test]
fn what_could_not_be_said_is_said_again_less_and_less_often_and_told_once() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(began(7));
    for _ in 0..12 {
        bench.answer(announces, not_announced(&[KEY]));
        let refused_at = bench.now;
        assert!(!bench.has_asked(announces), "at once");
        while !bench.has_asked(announces) {
            bench.pass(Duration::from_millis(10));
            bench.answer_heartbeats();
        }
        let took = bench.now.since(refused_at);
        // Give or take a quarter, and the step of this test.
        assert!(took >= Duration::from_millis(25), "{took:?}");
        assert!(took <= Duration::from_millis(6_300), "{took:?}");
        assert_eq!(bench.asked_for(announces), [KEY]);
    }
    let why = "lock timeout".into();
    assert_eq!(bench.tells(&Notice::NotAnnounced { why }), 1);
    bench.answer(announces, Reply::Announced);
    for _ in 0..20 {
        bench.pass(LEASE / 8);
        bench.answer_heartbeats();
        assert!(!bench.has_asked(announces), "said once too often");
    }
}

#[test]
fn what_could_not_be_said_is_said_with_what_is_said_next() {
    let keys = keys(1..=2);
    let mut bench = Bench::leads(&keys);
    bench.stay_well();
    bench.resigns(keys[0]);
    bench.answer(vacates, vacated(keys[0], 7, true));
    bench.answer(announces, not_announced(&keys[..1]));
    bench.resigns(keys[1]);
    assert_eq!(bench.asked_for(announces), keys);
}

#[test]
fn of_what_was_left_nothing_is_said_again() {
    let keys = keys(1..=2);
    let mut bench = Bench::leads(&keys);
    bench.event(Event::Leave { key: keys[0] });
    bench.work_stops(keys[0]);
    bench.answer(vacates, vacated(keys[0], 7, true));
    bench.answer(announces, not_announced(&keys[..1]));
    bench.answer(|query| matches!(query, Query::Leave { .. }), left(keys[0]));
    for _ in 0..4 {
        bench.pass(LEASE / 8);
        bench.answer_heartbeats();
        assert!(!bench.has_asked(announces));
    }
}

#[test]
fn what_could_not_be_said_is_left_to_the_lost_session() {
    let mut bench = Bench::candidate();
    bench.answer_campaign(began(7));
    bench.answer(announces, not_announced(&[KEY]));
    bench.event(Event::Disconnected);
    bench.pass(LEASE);
    bench.event(Event::Connected);
    for _ in 0..4 {
        bench.pass(LEASE / 8);
        assert!(!bench.has_asked(announces));
    }
}
