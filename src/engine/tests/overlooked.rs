//! What is over is over, whatever comes; and what was shown or seen on a session is not of the next one.

use super::super::display::Displays;
use super::handle::{Engined, opened, setup};
use super::*;

const OTHER: Key = Key(2);

fn cancelled(outputs: &[Output]) -> bool {
    outputs.contains(&Output::Cancel { key: KEY })
}

/// None of these tells the rules anything.
#[test]
fn whatever_comes_shows_the_rules_the_time() {
    let (key, candidacy) = (KEY, 99);
    let own = Notification {
        pid: 40,
        election: "e1".into(),
    };
    for input in [
        Input::GiveUp { key, candidacy },
        Input::Leave { key, candidacy },
        Input::Answered(Answer::Done),
        Input::Refused { why: "late".into() },
        Input::Notified(vec![own]),
        Input::Notified(vec![]),
    ] {
        let mut engined = Engined::leader();
        assert!(engined.sent.is_empty());
        let due = engined.engine.poll_timeout();
        engined.now += LEASE * 74 / 100;
        assert!(due < engined.now, "a heartbeat is due");
        let outputs = engined.outputs(input.clone());
        assert!(!cancelled(&outputs), "too soon: {input:?}");
        let sends = |output: &Output| matches!(output, Output::Send(_));
        assert!(outputs.iter().any(sends), "{input:?}");
        engined.now += LEASE / 100;
        let outputs = engined.outputs(input.clone());
        assert!(cancelled(&outputs), "its time is over: {input:?}");
    }
}

fn display(observed: bool) -> Displays {
    let mut displays = Displays::default();
    displays.show(KEY).observed = observed;
    displays
}

#[test]
fn an_election_is_shown_while_it_is_observed_or_a_candidates() {
    for (observed, candidate) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut displays = display(observed);
        assert_eq!(displays.observes(), observed);
        displays.clear(KEY, candidate);
        let shown = displays.get(KEY).is_some();
        assert_eq!(shown, observed || candidate, "{observed} {candidate}");
        assert_eq!(displays.keys().len(), usize::from(shown));
    }
}

#[test]
fn what_was_read_on_a_lost_session_is_believed_no_more() {
    let mut displays = display(true);
    let until = Instant::from_nanos(7);
    displays.read(KEY, Some(Row::vacant(7)), until);
    displays.read(OTHER, Some(Row::vacant(9)), until);
    assert_eq!(displays.get(OTHER), None, "it asked for no other");
    let display = displays.get_mut(KEY).expect("it is shown");
    let row = Some((Row::vacant(7), until));
    assert_eq!((display.term, &display.row), (7, &row));
    display.ready = Some(7);
    displays.lose();
    let display = displays.get_mut(KEY).expect("it is shown");
    assert_eq!(
        (display.term, &display.row, display.ready),
        (7, &None, None)
    );
}

/// Who is looked at again, and when: once what is shown may have changed, or is believed no longer.
#[test]
fn what_is_shown_is_looked_at_when_it_may_have_changed() {
    let (mut displays, now) = (display(true), Instant::from_nanos(7));
    let touched = |displays: &mut Displays, now| displays.take_touched(now);
    assert_eq!(touched(&mut displays, now), [KEY].into());
    assert_eq!(touched(&mut displays, now), [].into());
    displays.touch(OTHER);
    assert_eq!(touched(&mut displays, now), [OTHER].into());
    displays.touch_all();
    assert_eq!(touched(&mut displays, now), [KEY].into());
    displays.lose();
    assert_eq!(touched(&mut displays, now), [KEY].into());
    let known = |known_until| Published {
        state: ElectionState::Vacant,
        known_until,
        ..Published::default()
    };
    let (soon, later) = (now + LEASE, now + LEASE * 2);
    displays.published(KEY, known(soon));
    assert_eq!(displays.belief_due(), soon);
    displays.published(KEY, known(later));
    assert_eq!(displays.belief_due(), later, "believed anew");
    assert_eq!(touched(&mut displays, soon), [].into());
    assert_eq!(touched(&mut displays, later), [KEY].into());
    displays.forget_what_is_shown();
    assert_eq!(displays.belief_due(), Instant::NEVER);
    assert_eq!(displays.get(KEY).unwrap().published, None);
    assert_eq!(touched(&mut displays, now), [KEY].into());
    displays.published(KEY, known(soon));
    displays.get_mut(KEY).unwrap().observed = false;
    displays.clear(KEY, false);
    assert_eq!(displays.belief_due(), Instant::NEVER, "it is gone");
    // What it knows itself is not told by the clock.
    let mut displays = display(true);
    displays.published(KEY, Published::default());
    assert_eq!(displays.belief_due(), Instant::NEVER);
}

/// The next session has read nothing yet.
#[test]
fn what_was_read_on_a_lost_session_is_not_shown_on_the_next() {
    let mut engined = Engined::with(setup());
    engined.input(opened());
    engined.input(Input::Observe {
        key: KEY,
        election: "e1".into(),
    });
    let read = |engined: &mut Engined| {
        let row = Row {
            state: ElectionState::Leading,
            ..Row::vacant(7)
        };
        let found = Found { row, view: view() };
        engined.answer(Answer::Read(vec![("e1".into(), Ok(Some(found)))]));
    };
    read(&mut engined);
    engined.done.clear();
    engined.input(Input::Lost { why: None });
    while !engined
        .done
        .iter()
        .any(|output| matches!(output, Output::Open { .. }))
    {
        engined.now += LEASE / 20;
        engined.input(Input::Timer);
    }
    engined.done.clear();
    engined.input(opened());
    let known = |output: &Output| matches!(output, Output::Publish { published, .. } if published.state != ElectionState::Unknown);
    assert!(!engined.done.iter().any(known), "{:?}", engined.done);
    read(&mut engined);
    assert!(engined.done.iter().any(known), "{:?}", engined.done);
}
