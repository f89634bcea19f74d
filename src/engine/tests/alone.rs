//! What comes of one election of several in a request: refused, not reached, never joined.

use super::handle::{Engined, id, opened, setup, slice, tried};
use super::*;

const OTHER: Key = Key(2);
const CANDIDACY: u64 = 1;

fn refusal() -> Refused {
    Refused {
        why: "no".into(),
        no_room: false,
        taken: Taken::default(),
    }
}

fn says(engined: &Engined, key: Key, why: Option<&str>) -> bool {
    let why = why.map(Into::into);
    engined.says(&Notice::Refused { key, why })
}

/// Both tried for in one request.
fn two() -> Engined {
    let mut engined = Engined::with(setup());
    engined.join(KEY);
    engined.join(OTHER);
    engined.input(opened());
    engined.answer_oldest();
    let bids = |engined: &Engined| match &engined.sent[..] {
        [Request::Campaign(bids)] => bids.of.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(bids(&engined), 2);
    engined.done.clear();
    engined
}

fn tries(engined: &Engined, key: Key) -> bool {
    engined.has_sent(|request| {
        matches!(request, Request::Campaign(bids) if bids.of.iter().any(|bid| bid.election == id(key)))
    })
}

#[test]
fn what_a_slice_has_not_reached_is_asked_for_again_at_once() {
    let mut engined = two();
    let reached = tried(id(KEY), Try::Held(held()));
    engined.answer(Answer::Campaigned(vec![reached]));
    assert!(tries(&engined, OTHER), "{:?}", engined.done);
    assert!(!tries(&engined, KEY), "{:?}", engined.done);
}

#[test]
fn what_is_refused_is_said_once_and_so_is_its_end() {
    let mut engined = two();
    let other = tried(id(OTHER), Try::Held(held()));
    let answer = Answer::Campaigned(vec![(id(KEY), Err(refusal())), other]);
    engined.answer(answer);
    assert!(says(&engined, KEY, Some("no")), "{:?}", engined.done);
    assert!(!says(&engined, OTHER, Some("no")));
    engined.done.clear();
    for _ in 0..40 {
        engined.now += LEASE / 8;
        engined.input(Input::Timer);
        engined.answer_all();
    }
    assert!(tries(&engined, KEY), "it tries again");
    assert!(says(&engined, KEY, None), "{:?}", engined.done);
    let ends = |output: &&Output| matches!(output, Output::Tell(Notice::Refused { .. }));
    assert_eq!(engined.done.iter().filter(ends).count(), 1);
}

/// The answer that nothing gave proves nothing of the session, and is not waited for.
#[test]
fn who_leaves_before_it_could_join_asks_nothing_and_extends_nothing() {
    let mut engined = Engined::leader();
    engined.join(OTHER);
    let joins = |engined: &Engined| matches!(engined.sent[..], [Request::Join(_)]);
    assert!(joins(&engined), "{:?}", engined.sent);
    engined.answer(Answer::Joined(vec![("e2".into(), Err(refusal()))]));
    engined.done.clear();
    engined.input(Input::Leave {
        key: OTHER,
        candidacy: CANDIDACY,
    });
    let left = Output::Left { key: OTHER };
    let mut until = engined.engine.extended;
    while !engined.has_done(&left) {
        assert_eq!(engined.engine.extended, until);
        engined.answer_all();
        until = engined.engine.extended;
        engined.now += LEASE / 32;
        engined.input(Input::Timer);
    }
    assert_eq!(engined.engine.extended, until);
    assert!(!engined.has_sent(|request| matches!(request, Request::Leave(_))));
    for _ in 0..40 {
        engined.now += LEASE / 8;
        engined.input(Input::Timer);
        engined.answer_all();
    }
    let gone = engined.has_done(&Output::LetGo);
    assert!(!gone, "the session is given up");
}

#[test]
fn the_clock_is_looked_at_often_by_whoever_leads() {
    let engined = Engined::leader();
    assert_eq!(engined.engine.look_every(), LEASE / 20);
    let engined = Engined::with(setup());
    assert_eq!(engined.engine.look_every(), Duration::from_secs(1));
}

/// They stand in SQL, in JSON and in what a command prints.
#[test]
fn states_are_said_in_these_words() {
    let states = [
        (ElectionState::Unknown, "unknown"),
        (ElectionState::Vacant, "vacant"),
        (ElectionState::Recovering, "recovering"),
        (ElectionState::Leading, "leading"),
    ];
    for (state, word) in states {
        assert_eq!(state.as_str(), word);
        assert_eq!(format!("{state:>12}"), format!("{word:>12}"));
    }
    let words: std::collections::BTreeSet<_> =
        WaitingFor::ALL.iter().map(|one| one.as_str()).collect();
    assert_eq!(words.len(), WaitingFor::ALL.len(), "each has its own");
    for (bar, word) in [
        (Bar::Suspended, Some("resume")),
        (Bar::Excluded, Some("inclusion")),
        (Bar::Transfer, Some("transfer")),
        (Bar::Outranked, Some("higher priority")),
        (Bar::Beyond, Some("another server")),
        (Bar::Elsewhere, Some("another host")),
        (Bar::Unknown, None),
    ] {
        let waiting_for = bar.waiting_for().map(|one| one.to_string());
        assert_eq!(waiting_for.as_deref(), word);
    }
    assert_eq!(refusal().waiting_for(), WaitingFor::Refusal);
    let no_room = Refused {
        no_room: true,
        taken: Taken::default(),
        ..refusal()
    };
    assert_eq!(no_room.waiting_for(), WaitingFor::LockTable);
}

/// Its row is there, or will be: it is taken back once that is known.
#[test]
fn who_leaves_while_it_joins_waits_for_the_answer() {
    let mut engined = Engined::leader();
    engined.join(OTHER);
    let (key, candidacy, left) = (OTHER, CANDIDACY, Output::Left { key: OTHER });
    engined.input(Input::Leave { key, candidacy });
    assert!(!engined.has_done(&left));
    engined.done.clear();
    engined.answer_all();
    let leaves = Request::Leave(slice(vec![id(OTHER)]));
    assert!(engined.has_sent(|request| *request == leaves));
    assert!(engined.has_done(&left));
}

#[test]
fn who_leaves_without_a_session_has_left_at_once() {
    let mut engined = Engined::with(setup());
    engined.join(KEY);
    let (key, candidacy) = (KEY, CANDIDACY);
    let outputs = engined.outputs(Input::Leave { key, candidacy });
    assert!(outputs.contains(&Output::Left { key }), "{outputs:?}");
}

#[test]
fn who_may_not_try_joins_again_before_it_does() {
    let mut engined = two();
    let answer = |key: Key| (id(key), Err(refusal()));
    engined.answer(Answer::Campaigned(vec![answer(KEY), answer(OTHER)]));
    engined.done.clear();
    while !tries(&engined, KEY) {
        engined.now += LEASE / 32;
        engined.input(Input::Timer);
        engined.answer_all();
    }
    let joins = |request: &Request| matches!(request, Request::Join(all) if all.of.iter().any(|join| *join.name == *"e1"));
    assert!(engined.has_sent(joins), "{:?}", engined.done);
}

/// The answer comes so late that the first term is over before its work begins: there is no session any more.
#[test]
fn what_comes_with_an_answer_that_is_too_late_is_nobodys() {
    let mut engined = two();
    engined.now += LEASE * 80 / 100;
    let fenced = Try::Fenced {
        last_term: 3,
        lease: LEASE,
    };
    let tries = vec![tried(id(KEY), began(7)), tried(id(OTHER), fenced)];
    engined.answer(Answer::Campaigned(tries));
    assert!(engined.has_done(&Output::LetGo), "{:?}", engined.done);
    assert!(!engined.says(&Notice::Fenced { key: OTHER }));
}

fn hint() -> Input {
    let (pid, election) = (1, "e1".into());
    Input::Notified(vec![Notification { pid, election }])
}

/// A flood of hints costs one heartbeat at a time.
#[test]
fn a_leader_that_is_hinted_at_proves_itself_once_at_a_time() {
    let mut engined = Engined::leader();
    let heartbeats = |engined: &Engined| {
        let heartbeat = |request: &&Request| matches!(request, Request::Heartbeat(_));
        engined.sent.iter().filter(heartbeat).count()
    };
    for _ in 0..3 {
        engined.input(hint());
        assert_eq!(heartbeats(&engined), 1);
    }
    engined.answer_all();
    engined.input(hint());
    assert_eq!(heartbeats(&engined), 1, "and once more after the answer");
}

#[test]
fn what_a_single_term_held_is_let_go_of_once() {
    let mut engined = Engined::leader();
    let (key, term, stop, candidacy) = (KEY, 7, Stop::Returned, CANDIDACY);
    engined.input(Input::Leave { key, candidacy });
    engined.input(Input::Stopped { key, term, stop });
    engined.answer_all();
    let releases = |output: &&Output| matches!(output, Output::Send(Request::Release { .. }));
    assert_eq!(engined.done.iter().filter(releases).count(), 1);
    assert!(engined.has_done(&Output::Left { key }));
}

/// To the nanosecond: the half of its time is over.
#[test]
fn the_same_read_again_is_shown_anew_from_the_half_of_its_time_on() {
    let mut engined = Engined::with(setup());
    engined.input(opened());
    let (key, election) = (KEY, "e1".into());
    engined.input(Input::Observe { key, election });
    let shown_at = |engined: &mut Engined, at: Instant| {
        engined.now = at;
        engined.done.clear();
        engined.input(hint());
        while !engined.sent.is_empty() {
            let row = Row::vacant(7);
            let found = Found { row, view: view() };
            match &engined.sent[0] {
                Request::Read(_) => {
                    engined.answer(Answer::Read(vec![("e1".into(), Ok(Some(found)))]));
                }
                _ => engined.answer_oldest(),
            }
        }
        let shows = |output: &Output| matches!(output, Output::Publish { .. });
        engined.done.iter().any(shows)
    };
    let first = engined.now;
    assert!(shown_at(&mut engined, first));
    let half = first + Duration::from_millis(7500);
    let before = Instant::from_nanos(half.as_nanos() - 1);
    assert!(!shown_at(&mut engined, before));
    assert!(shown_at(&mut engined, half));
}
