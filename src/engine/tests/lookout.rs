//! When the other hosts are looked at, and what waits for that.

use super::handle::{Engined, id, opened, setup, tried};
use super::sight::sight;
use super::*;

const RETRY: Duration = Duration::from_secs(5);

/// Of the two hosts the other one is a primary, or a standby.
fn survey(other_writes: bool, led: bool) -> Survey {
    let other = sight("other", 2, 1, led);
    let other = Sight {
        standby: !other_writes,
        ..other
    };
    Survey {
        sights: vec![own(), other],
        missed: vec![],
    }
}

fn own() -> Sight {
    sight("own", 1, 2, false)
}

fn looked(survey: Option<Survey>) -> Input {
    let late = false;
    Input::Looked { survey, late }
}

/// A candidate whose string names two hosts, its try under way.
fn candidate() -> Engined {
    let mut engined = Engined::with(setup());
    let Input::Opened {
        pid,
        direct,
        instance,
        ..
    } = opened()
    else {
        unreachable!("it opens a session");
    };
    let (own, survey) = (own(), survey(false, false));
    engined.input(Input::Opened {
        pid,
        direct,
        instance,
        hosts: Some(Surroundings { own, survey }),
    });
    let candidature = Candidature {
        election: "e".into(),
        ..handle::candidature("e1", 1)
    };
    engined.input(Input::Join {
        key: KEY,
        candidature,
    });
    let heard = Heard::default();
    let election = id(KEY);
    let joined = Joined { election, heard };
    engined.answer(Answer::Joined(vec![("e".into(), Ok(joined))]));
    assert!(matches!(engined.sent[..], [Request::Campaign(_)]));
    engined.done.clear();
    engined
}

fn began_term(term: u64) -> Answer {
    Answer::Campaigned(vec![tried(id(KEY), began(term))])
}

fn looks(done: &[Output]) -> usize {
    let look = |output: &&Output| matches!(output, Output::Look { .. });
    done.iter().filter(look).count()
}

fn starts(done: &[Output]) -> bool {
    done.iter()
        .any(|output| matches!(output, Output::Start { .. }))
}

#[test]
fn the_work_waits_for_a_look_that_is_asked_for_at_once() {
    let mut engined = candidate();
    engined.answer(began_term(7));
    assert_eq!(looks(&engined.done), 1);
    assert!(!starts(&engined.done));
    engined.answer_all();
    // It is answered once, and not asked for again meanwhile.
    engined.done.clear();
    engined.pass(LEASE / 4);
    assert_eq!(looks(&engined.done), 0);
    let done = engined.outputs(looked(Some(survey(false, false))));
    assert!(starts(&done), "{done:?}");
    assert_eq!(looks(&done), 0);
}

/// The lock is won while a look is under way that has begun before: another one follows it.
#[test]
fn a_look_that_began_too_early_is_followed_by_another() {
    let mut engined = candidate();
    let held = Answer::Campaigned(vec![tried(id(KEY), Try::Held(held()))]);
    engined.answer(held);
    engined.pass(RETRY * 2);
    assert_eq!(looks(&engined.done), 1, "each retry interval");
    engined.input(Input::Notified(vec![Notification {
        pid: 1,
        election: "e".into(),
    }]));
    let is_campaign = |request: &Request| matches!(request, Request::Campaign(_));
    while !engined.sent.first().is_some_and(is_campaign) {
        if engined.sent.is_empty() {
            let next = engined.engine.poll_timeout();
            engined.now = engined.now.max(next);
            engined.input(Input::Timer);
        } else {
            engined.answer_oldest();
        }
    }
    engined.done.clear();
    engined.answer(began_term(9));
    assert_eq!(looks(&engined.done), 0, "one is under way");
    let done = engined.outputs(looked(Some(survey(false, false))));
    assert_eq!((looks(&done), starts(&done)), (1, false));
    let done = engined.outputs(looked(Some(survey(false, false))));
    assert_eq!((looks(&done), starts(&done)), (0, true));
}

/// Whoever sees nothing knows of nobody.
#[test]
fn a_look_that_fails_holds_nothing_up() {
    let mut engined = candidate();
    engined.answer(began_term(7));
    let done = engined.outputs(looked(None));
    assert!(starts(&done), "{done:?}");
}

#[test]
fn what_is_led_elsewhere_is_given_up_without_work() {
    let mut engined = candidate();
    engined.answer(began_term(7));
    engined.input(looked(Some(survey(true, true))));
    engined.answer_all();
    let vacates = |request: &Request| matches!(request, Request::Vacate(_));
    assert!(engined.has_sent(vacates));
    assert!(!starts(&engined.done));
}

/// An operator may end a term that waits for a look: it is told who that was.
#[test]
fn who_ends_a_term_that_waits_for_a_look_is_told() {
    let mut engined = candidate();
    engined.answer(began_term(7));
    engined.answer_all();
    engined.pass(LEASE / 20);
    let asked = Asked {
        kind: "step_down".into(),
        by: "op".into(),
    };
    let step_down = StepDown {
        election: id(KEY),
        term: 7,
        asked: asked.clone(),
    };
    let is_heartbeat = |request: &Request| matches!(request, Request::Heartbeat(_));
    while !engined.sent.first().is_some_and(is_heartbeat) {
        let next = engined.engine.poll_timeout();
        engined.now = engined.now.max(next);
        engined.input(Input::Timer);
    }
    engined.answer(Answer::Asked(vec![step_down]));
    let told = |request: &Request| matches!(request, Request::Vacate(slice) if slice.of[0].asked.as_ref() == Some(&asked));
    assert!(engined.has_sent(told), "{:?}", engined.done);
}

/// What there is to be seen is looked at again after half a lease, while two accept writes.
#[test]
fn two_writers_are_looked_at_oftener() {
    let mut engined = candidate();
    engined.answer(began_term(7));
    engined.input(looked(Some(survey(true, false))));
    engined.answer_all();
    engined.done.clear();
    engined.pass(LEASE / 2);
    assert_eq!(looks(&engined.done), 1);
    engined.input(looked(Some(survey(false, false))));
    engined.done.clear();
    engined.pass(LEASE * 2);
    assert_eq!(looks(&engined.done), 0, "one alone is looked at seldom");
}
