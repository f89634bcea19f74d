//! What others get to see in every state. That a term is published before its work starts `Bench` expects of all tests.

use super::*;

fn shown(bench: &Bench) -> Published {
    bench.published.get(&KEY).cloned().unwrap_or_default()
}

/// What is shown, and in what way this process waits.
fn state(bench: &Bench) -> (ElectionState, Option<WaitingFor>) {
    let shown = shown(bench);
    (shown.state, shown.waiting_for)
}

fn led_by(address: &str) -> Row {
    Row {
        term: 7,
        state: ElectionState::Leading,
        address: Some(address.into()),
        bar: None,
    }
}

/// The oldest query that `wanted` picks is answered, and the answer shows this row.
fn answer(bench: &mut Bench, wanted: impl Fn(&Query) -> bool, reply: Reply, row: Option<Row>) {
    let index = bench.asked.iter().position(|(_, query)| wanted(query));
    let (sent, _) = bench.asked.remove(index.expect("it was asked"));
    let rows = vec![(KEY, row)];
    bench.event(Event::Answered {
        sent,
        reply,
        rows,
        refused: vec![],
        unreached: vec![],
    });
}

fn tried(bench: &mut Bench, tried: Try, row: Row) {
    let tries = vec![(KEY, tried)];
    let campaigns = |query: &Query| matches!(query, Query::Campaign { .. });
    answer(bench, campaigns, Reply::Campaigned { tries }, Some(row));
}

/// Who only observes, on a session.
fn observer() -> Bench {
    observing(Bench::new())
}

fn observing(mut bench: Bench) -> Bench {
    bench.event(Event::Connected);
    bench.event(Event::Observe { key: KEY });
    bench
}

fn read(bench: &mut Bench, row: Option<Row>) {
    let views = vec![];
    answer(
        bench,
        |query| matches!(query, Query::Read { .. }),
        Reply::Read { views },
        row,
    );
}

/// A follower whose try was answered.
fn follower() -> Bench {
    let mut bench = Bench::candidate();
    tried(&mut bench, Try::Held(held()), led_by("b"));
    bench
}

#[test]
fn without_a_session_nothing_is_known() {
    let mut bench = Bench::new();
    bench.event(Event::Join {
        key: KEY,
        autopsy: true,
        graceful: true,
    });
    assert_eq!(shown(&bench), Published::default());
}

#[test]
fn what_is_wrong_with_the_schema_is_shown_until_it_is_well() {
    let mut bench = Bench::new();
    bench.event(Event::Join {
        key: KEY,
        autopsy: true,
        graceful: true,
    });
    bench.event(Event::NotOpened {
        schema: true,
        outage: false,
    });
    assert_eq!(
        state(&bench),
        (ElectionState::Unknown, Some(WaitingFor::Schema))
    );
    bench.pass(LEASE);
    bench.event(Event::NotOpened {
        schema: false,
        outage: true,
    });
    assert_eq!(state(&bench), (ElectionState::Unknown, None));
    bench.pass(LEASE);
    bench.event(Event::NotOpened {
        schema: true,
        outage: false,
    });
    bench.pass(LEASE);
    bench.event(Event::Connected);
    assert_eq!(state(&bench), (ElectionState::Unknown, None));
}

#[test]
fn what_was_read_is_shown_and_believed_for_three_retry_intervals() {
    let mut bench = observer();
    read(&mut bench, Some(led_by("b")));
    let shown = shown(&bench);
    assert_eq!((shown.term, shown.own), (7, None));
    assert_eq!(shown.state, ElectionState::Leading);
    assert_eq!(shown.address.as_deref(), Some("b"));
    assert_eq!(shown.known_until, bench.now + Duration::from_secs(15));
}

/// A session whose lease is long is kept though it is silent for longer than what was read on it is believed.
#[test]
fn what_is_believed_no_longer_is_published_as_unknown() {
    let mut bench = observing(Bench::with_lease(LEASE * 60));
    read(&mut bench, Some(led_by("b")));
    let moment = Duration::from_millis(1);
    let believed = shown(&bench).known_until.since(bench.now);
    bench.pass(believed - moment);
    assert_eq!(shown(&bench).state, ElectionState::Leading);
    bench.pass(moment);
    let old = shown(&bench);
    assert_eq!(
        (old.term, old.state, old.address),
        (7, ElectionState::Unknown, None)
    );
    assert!(
        !bench.done.contains(&Action::Abandon),
        "the session is kept"
    );
    // What is read then is believed again.
    read(&mut bench, Some(led_by("c")));
    assert_eq!(shown(&bench).address.as_deref(), Some("c"));
}

#[test]
fn what_nobody_has_joined_is_vacant() {
    let mut bench = observer();
    read(&mut bench, None);
    assert_eq!(state(&bench), (ElectionState::Vacant, None));
}

#[test]
fn the_same_is_published_again_once_half_of_its_time_is_over() {
    let mut bench = observer();
    read(&mut bench, Some(led_by("b")));
    let first = shown(&bench).known_until;
    let again = |bench: &mut Bench| {
        bench.event(Event::Hint { keys: vec![KEY] });
        read(bench, Some(led_by("b")));
        shown(bench).known_until
    };
    bench.pass(LEASE / 2);
    assert_eq!(again(&mut bench), first);
    let mut last = first;
    for _ in 0..16 {
        bench.pass(LEASE / 2);
        bench.stay_well();
        last = again(&mut bench);
    }
    assert!(last > first, "it ages though it is read");
}

/// An observer is shown what operators have put in everybody's way.
#[test]
fn what_bars_everybody_is_shown_to_an_observer() {
    for (bar, waiting_for) in [
        (None, None),
        (Some(Bar::Unknown), None),
        (Some(Bar::Suspended), Some(WaitingFor::Resume)),
        (Some(Bar::Excluded), Some(WaitingFor::Inclusion)),
        (Some(Bar::Transfer), Some(WaitingFor::Transfer)),
    ] {
        let mut bench = observer();
        read(
            &mut bench,
            Some(Row {
                bar,
                ..Row::vacant(7)
            }),
        );
        assert_eq!(state(&bench), (ElectionState::Vacant, waiting_for));
    }
}

#[test]
fn what_bars_a_candidate_is_shown_while_it_does() {
    for (bar, waiting_for) in [
        (Bar::Suspended, WaitingFor::Resume),
        (Bar::Excluded, WaitingFor::Inclusion),
        (Bar::Transfer, WaitingFor::Transfer),
        (Bar::Outranked, WaitingFor::HigherPriority),
        (Bar::Beyond, WaitingFor::AnotherServer),
    ] {
        let mut bench = Bench::candidate();
        let barred = Held {
            bar: Some(bar),
            ..held()
        };
        tried(&mut bench, Try::Held(barred), led_by("b"));
        assert_eq!(state(&bench), (ElectionState::Leading, Some(waiting_for)));
        bench.event(Event::Disconnected);
        assert_eq!(state(&bench), (ElectionState::Unknown, None));
    }
}

#[test]
fn what_is_led_on_another_host_is_shown() {
    let mut bench = follower();
    bench.event(Event::Looked {
        ends: true,
        contested: true,
        higher: false,
        held: vec![KEY],
        clear: vec![],
    });
    assert_eq!(shown(&bench).waiting_for, Some(WaitingFor::AnotherHost));
    bench.event(Event::Looked {
        ends: true,
        contested: true,
        higher: false,
        held: vec![],
        clear: vec![KEY],
    });
    assert_eq!(shown(&bench).waiting_for, None);
}

/// On record, but another holds the lock: nobody leads.
#[test]
fn a_leader_on_record_without_its_lock_is_not_shown() {
    for holder_pid in [None, Some(LEADER + 1)] {
        let mut bench = Bench::candidate();
        let held = Held {
            holder_pid,
            ..held()
        };
        tried(&mut bench, Try::Held(held), led_by("b"));
        assert_eq!(shown(&bench).state, ElectionState::Vacant);
        assert_eq!(shown(&bench).address, None);
        assert_eq!(shown(&bench).term, 7);
    }
}

#[test]
fn a_stranger_is_shown_until_it_is_gone() {
    let mut bench = Bench::candidate();
    let held = Held {
        holder_pid: Some(LEADER + 1),
        stranger: Some("somebody".into()),
        ..held()
    };
    tried(&mut bench, Try::Held(held), led_by("b"));
    assert_eq!(
        state(&bench),
        (ElectionState::Vacant, Some(WaitingFor::Stranger))
    );
    bench.pass(LEASE / 10);
    // Its own term is no stranger's, nor is what comes after.
    tried(&mut bench, began(8), Row::vacant(8));
    assert_eq!(state(&bench), (ElectionState::Recovering, None));
    bench.event(Event::WorkStopped {
        key: KEY,
        term: 8,
        stop: Stop::Returned,
    });
    assert_eq!(state(&bench), (ElectionState::Vacant, None));
}

#[test]
fn who_has_won_waits_for_the_refractory_period() {
    let mut bench = follower();
    bench.pass(LEASE / 10);
    let won = Won {
        direct: false,
        ..won()
    };
    tried(&mut bench, Try::Won(won), Row::vacant(7));
    let waits = Some(WaitingFor::RefractoryPeriod);
    assert_eq!(state(&bench), (ElectionState::Vacant, waits));
    for _ in 0..9 {
        bench.pass(LEASE / 10);
        bench.stay_well();
        assert_eq!(shown(&bench).waiting_for, waits);
    }
    bench.pass(LEASE / 10);
    assert_eq!(shown(&bench).waiting_for, None);
}

#[test]
fn who_has_won_waits_for_fenced_transactions() {
    let mut bench = Bench::candidate();
    let fenced = Try::Fenced {
        last_term: 7,
        lease: LEASE,
    };
    tried(&mut bench, fenced, Row::vacant(7));
    let waits = Some(WaitingFor::FencedTransactions);
    assert_eq!(state(&bench), (ElectionState::Vacant, waits));
}

#[test]
fn who_takes_office_recovers_then_leads_and_is_vacant_once_its_work_has_stopped() {
    let mut bench = Bench::candidate();
    tried(&mut bench, began(7), led_by("own"));
    let own = |bench: &Bench| (shown(bench).own, shown(bench).term, shown(bench).state);
    assert_eq!(own(&bench), (Some(7), 7, ElectionState::Recovering));
    bench.event(Event::Ready { key: KEY, term: 6 });
    assert_eq!(own(&bench), (Some(7), 7, ElectionState::Recovering));
    bench.event(Event::Ready { key: KEY, term: 7 });
    assert_eq!(own(&bench), (Some(7), 7, ElectionState::Leading));
    bench.event(Event::Resign { key: KEY, term: 7 });
    // Readers ask the term itself, which is over.
    assert_eq!(own(&bench), (Some(7), 7, ElectionState::Leading));
    bench.event(Event::WorkStopped {
        key: KEY,
        term: 7,
        stop: Stop::Returned,
    });
    assert_eq!(own(&bench), (None, 7, ElectionState::Vacant));
    assert_eq!(
        shown(&bench).known_until,
        bench.now + Duration::from_secs(15)
    );
}

#[test]
fn a_term_that_was_ready_says_nothing_of_the_next() {
    let mut bench = Bench::leader();
    bench.event(Event::Ready { key: KEY, term: 7 });
    // Who resigns may lead again soon.
    bench.event(Event::Resign { key: KEY, term: 7 });
    bench.event(Event::WorkStopped {
        key: KEY,
        term: 7,
        stop: Stop::Returned,
    });
    bench.answer(
        |query| matches!(query, Query::Vacate { .. }),
        vacated(KEY, 7, true),
    );
    bench.pass(LEASE / 5);
    tried(&mut bench, began(8), Row::vacant(8));
    assert_eq!(shown(&bench).own, Some(8));
    assert_eq!(shown(&bench).state, ElectionState::Recovering);
}

/// Its work may run on for a time: that is not for others to see, and its stop says nothing of who leads by then.
#[test]
fn who_has_lost_its_session_knows_nothing_and_what_the_next_one_reads_stays() {
    let mut bench = Bench::leader();
    bench.event(Event::Disconnected);
    assert_eq!(state(&bench), (ElectionState::Unknown, None));
    assert_eq!((shown(&bench).own, shown(&bench).term), (None, 7));
    bench.pass(LEASE / 10);
    bench.event(Event::Connected);
    bench.event(Event::Observe { key: KEY });
    assert_eq!(state(&bench), (ElectionState::Unknown, None));
    let next = Row {
        term: 8,
        ..led_by("b")
    };
    read(&mut bench, Some(next));
    assert_eq!(shown(&bench).address.as_deref(), Some("b"));
    bench.event(Event::WorkStopped {
        key: KEY,
        term: 7,
        stop: Stop::Dropped,
    });
    assert_eq!(shown(&bench).address.as_deref(), Some("b"));
    assert_eq!((shown(&bench).own, shown(&bench).term), (None, 8));
}

/// What others see rules nothing: two machines that differ in it alone are one to the checker.
#[test]
fn what_is_shown_is_no_part_of_the_machine() {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    let hash =
        |bench: &Bench| BuildHasherDefault::<DefaultHasher>::default().hash_one(&bench.process);
    let (mut one, mut other) = (Bench::candidate(), Bench::candidate());
    tried(&mut one, Try::Held(held()), led_by("b"));
    tried(&mut other, Try::Held(held()), led_by("c"));
    assert_ne!(one.published, other.published);
    assert_eq!(hash(&one), hash(&other));
    one.pass(LEASE * 5);
    other.pass(LEASE * 5);
    assert_eq!(one.asked, other.asked);
    assert_eq!(one.done, other.done);
}
