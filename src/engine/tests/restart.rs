//! What drives the engine fails, or the rules themselves do.

use super::handle::{Engined, candidature, id, opened, setup, tried};
use super::*;

const CANDIDACY: u64 = 1;

fn restarted(running: &[(Key, u64)]) -> Input {
    let running = running.to_vec();
    Input::Restarted { running }
}

/// Not panicked, but as if: an input was taken in and never done.
fn break_rules(engined: &mut Engined) {
    engined.engine.busy = true;
}

/// Both ways in which it may come to a restart.
fn each_way(test: impl Fn(&mut Engined, fn(&mut Engined))) {
    for fail in [(|_| ()) as fn(&mut Engined), break_rules] {
        test(&mut Engined::leader(), fail);
    }
}

fn reconnect(engined: &mut Engined) {
    let opens = |output: &Output| matches!(output, Output::Open { .. });
    while !engined.done.iter().any(opens) {
        engined.now += LEASE / 20;
        engined.input(Input::Timer);
    }
    engined.input(opened());
}

fn is_vacate(request: &Request) -> bool {
    matches!(request, Request::Vacate(all) if all.of[0].term == 7 && all.of[0].ending == Ending::Deposed)
}

#[test]
fn terms_are_lost_and_candidacies_go_on() {
    each_way(|engined, fail| {
        fail(engined);
        let outputs = engined.outputs(restarted(&[]));
        assert!(outputs.contains(&Output::LetGo));
        let unknown = outputs.iter().any(|output| {
            matches!(output, Output::Publish { published, .. } if published.own.is_none() && published.term == 7)
        });
        assert!(unknown, "{outputs:?}");
        reconnect(engined);
        assert!(engined.has_sent(is_vacate), "it owes a vacate");
        engined.answer_all();
        engined.pass(LEASE);
        assert!(engined.has_sent(|request| matches!(request, Request::Campaign(_))));
    });
}

#[test]
fn while_its_work_runs_it_neither_campaigns_nor_vacates() {
    each_way(|engined, fail| {
        let (key, term, stop) = (KEY, 7, Stop::Dropped);
        fail(engined);
        let outputs = engined.outputs(restarted(&[(key, term)]));
        assert!(outputs.contains(&Output::Drop { key }));
        reconnect(engined);
        engined.answer_all();
        engined.pass(LEASE * 3);
        assert!(!engined.has_sent(is_vacate));
        assert!(!engined.has_sent(|request| matches!(request, Request::Campaign(_))));
        assert!(engined.says(&Notice::Overran { key, term }));
        engined.input(Input::Stopped { key, term, stop });
        assert!(engined.has_sent(is_vacate));
    });
}

#[test]
fn what_was_asked_for_is_done_all_the_same() {
    let candidacy = CANDIDACY;
    let (key, term, stop) = (KEY, 7, Stop::Returned);
    each_way(|engined, fail| {
        engined.input(Input::GiveUp { key, candidacy });
        engined.input(Input::Leave { key, candidacy });
        fail(engined);
        engined.input(restarted(&[(key, term)]));
        reconnect(engined);
        engined.answer_all();
        assert!(!engined.has_done(&Output::Left { key }), "its work runs");
        engined.input(Input::Stopped { key, term, stop });
        engined.answer_all();
        let term = Some(term);
        assert!(engined.has_done(&Output::Resigned {
            key,
            candidacy,
            term
        }));
        assert!(engined.has_done(&Output::Left { key }));
    });
    each_way(|engined, fail| {
        engined.input(Input::Shutdown);
        fail(engined);
        engined.input(restarted(&[]));
        reconnect(engined);
        engined.answer_all();
        let refused = false;
        assert!(engined.has_done(&Output::Goodbye));
        assert!(engined.has_done(&Output::Finished { refused }));
    });
}

#[test]
fn what_is_observed_stays_so() {
    let (key, election) = (Key(2), "e2".into());
    each_way(|engined, fail| {
        engined.input(Input::Observe {
            key,
            election: std::sync::Arc::clone(&election),
        });
        fail(engined);
        engined.input(restarted(&[]));
        engined.done.clear();
        reconnect(engined);
        let reads = |request: &Request| matches!(request, Request::Read(names) if names.of.contains(&election));
        assert!(engined.has_sent(reads));
    });
}

/// What a term heard of is not worked on again.
#[test]
fn what_was_heard_is_remembered() {
    each_way(|engined, fail| {
        fail(engined);
        engined.input(restarted(&[]));
        engined.sent.clear();
        reconnect(engined);
        let heard = engined.sent.iter().find_map(|request| match request {
            Request::Join(all) => Some(all.of[0].heard.term),
            _ => None,
        });
        assert_eq!(heard, Some(7));
    });
}

/// A term that began with the very answer that broke the rules is vacated too.
#[test]
fn what_began_and_was_never_worked_on_is_vacated() {
    let mut engined = Engined::candidate(KEY);
    engined.answer(Answer::Campaigned(vec![tried(id(KEY), began(7))]));
    break_rules(&mut engined);
    engined.input(restarted(&[]));
    engined.done.clear();
    reconnect(&mut engined);
    assert!(engined.has_sent(is_vacate));
}

/// What was to be done and was not is done where it outlives the session.
#[test]
fn whoever_waits_is_told_although_what_was_to_tell_him_failed() {
    let candidacy = CANDIDACY;
    let key = KEY;
    for fail in [(|_| ()) as fn(&mut Engined), break_rules] {
        let mut engined = Engined::candidate(KEY);
        engined.answer_all();
        engined.done.clear();
        engined
            .engine
            .handle(engined.now, Input::GiveUp { key, candidacy });
        fail(&mut engined);
        engined.input(restarted(&[]));
        let term = None;
        assert!(engined.has_done(&Output::Resigned {
            key,
            candidacy,
            term
        }));
        assert!(
            engined
                .done
                .iter()
                .all(|output| !matches!(output, Output::Send(_)))
        );
    }
}

fn aborting() -> Engined {
    let aborts = true;
    Engined::leader_with(Setup { aborts, ..setup() })
}

/// The time of the work is over, and what drives the engine fails once it has done so much of what is then to be done.
fn fails_when_the_time_is_over(after: usize, fail: fn(&mut Engined)) -> Engined {
    let mut engined = aborting();
    engined.now += LEASE * 2;
    engined.engine.handle(engined.now, Input::Timer);
    for _ in 0..after {
        let output = engined.engine.poll().expect("it has more to do");
        engined.done.push(output);
    }
    fail(&mut engined);
    engined.input(restarted(&[(KEY, 7)]));
    engined
}

/// What is decided once is lost with nothing that fails: neither that the process ends nor what is told of it.
#[test]
fn a_process_that_is_to_end_ends_wherever_its_driver_fails() {
    let (key, term) = (KEY, 7);
    let mut undisturbed = aborting();
    undisturbed.now += LEASE * 2;
    let all = undisturbed.outputs(Input::Timer).len();
    assert!(all >= 4, "only {all}");
    for fail in [(|_| ()) as fn(&mut Engined), break_rules] {
        for after in 0..=all {
            let engined = fails_when_the_time_is_over(after, fail);
            let done = &engined.done;
            assert!(done.contains(&Output::Abort), "after {after}: {done:?}");
            assert!(
                done.contains(&Output::Drop { key }),
                "after {after}: {done:?}"
            );
            assert!(
                engined.says(&Notice::Overran { key, term }),
                "after {after}: {done:?}"
            );
        }
    }
}

/// Nobody waits for a database that may never be told.
#[test]
fn what_fails_again_and_again_owes_nobody_more_than_that_the_work_has_stopped() {
    let candidacy = CANDIDACY;
    let (key, term, stop) = (KEY, 7, Stop::Dropped);
    let left = Output::Left { key };
    let mut engined = Engined::leader();
    engined.input(Input::Leave { key, candidacy });
    for _ in 0..4 {
        engined.input(restarted(&[(key, term)]));
    }
    assert!(!engined.has_done(&left), "its work runs");
    engined.input(Input::Stopped { key, term, stop });
    assert!(engined.has_done(&left));
    // Now and then is not again and again.
    let mut engined = Engined::leader();
    engined.input(Input::Leave { key, candidacy });
    for _ in 0..4 {
        engined.input(restarted(&[]));
        assert!(!engined.has_done(&left));
        engined.engine.failures.last = Instant::from_nanos(1);
    }
    assert_eq!(engined.engine.failures(), 1);
}

#[test]
fn a_candidacy_that_never_joined_joins_after_a_restart() {
    let mut engined = Engined::with(setup());
    let (key, candidature) = (KEY, candidature("e1", 1));
    engined.input(Input::Join { key, candidature });
    engined.input(restarted(&[]));
    engined.done.clear();
    reconnect(&mut engined);
    assert!(engined.has_sent(|request| matches!(request, Request::Join(_))));
}
