//! What is still wanted of an election, or under way, when its candidacy is forgotten: it costs no other election
//! anything.

use super::handle::{Engined, id, opened, setup, slice, tried};
use super::*;

const THIRD: Key = Key(3);
const OTHER: Key = Key(2);

impl Engined {
    /// Candidates of these whose work has no time to end in order.
    fn without_grace(keys: &[Key]) -> Engined {
        let timings = Timings::new(LEASE, Duration::from_secs(5), Duration::ZERO).unwrap();
        let mut engined = Engined::with(Setup { timings, ..setup() });
        engined.joins(keys);
        engined
    }

    fn joins(&mut self, keys: &[Key]) {
        for key in keys {
            self.join(*key);
        }
        self.input(opened());
    }

    /// The first leads since term 7, of the others it is the successor.
    fn leads_the_first(mut self) -> Engined {
        self.tries(|election| match election == id(KEY) {
            true => began(7),
            false => Try::Held(held()),
        });
        self.done.clear();
        self
    }

    /// All is answered, and this comes of each try.
    fn tries(&mut self, outcome: impl Fn(Id) -> Try) {
        self.is_told(|election| tried(election, outcome(election)).1);
    }

    /// All is answered, and this is told of each try.
    fn is_told(&mut self, told: impl Fn(Id) -> Told<Campaigned>) {
        while let Some(request) = self.sent.first() {
            match request {
                Request::Campaign(bids) => {
                    let bids = bids.of.iter();
                    let came = bids.map(|bid| (bid.election, told(bid.election)));
                    let answer = Answer::Campaigned(came.collect());
                    self.answer(answer);
                }
                _ => self.answer_oldest(),
            }
        }
    }

    fn leaves(&mut self, key: Key) {
        let candidacy = 1;
        self.input(Input::Leave { key, candidacy });
    }

    fn stops(&mut self, key: Key, term: u64) {
        let stop = Stop::Returned;
        self.input(Input::Stopped { key, term, stop });
    }

    fn keeps_its_session(&self) {
        assert!(!self.has_done(&Output::LetGo), "{:?}", self.done);
    }
}

#[test]
fn a_successor_without_grace_lets_go_of_its_place_and_keeps_the_session() {
    let mut engined = Engined::without_grace(&[KEY, OTHER]).leads_the_first();
    engined.leaves(OTHER);
    assert!(engined.has_done(&Output::Left { key: OTHER }));
    let releases = |request: &Request| matches!(request, Request::Release { succession, .. } if *succession == [id(OTHER)]);
    assert!(engined.has_sent(releases), "{:?}", engined.done);
    let leaves = Request::Leave(slice(vec![id(OTHER)]));
    assert!(engined.has_sent(|request| *request == leaves));
    // Answered once nothing is known of it any more.
    engined.answer_all();
    engined.pass(LEASE);
    engined.keeps_its_session();
}

#[test]
fn several_that_leave_after_a_lost_session_are_vacated_on_the_next_one() {
    let keys = [KEY, OTHER, THIRD];
    let mut engined = Engined::with(setup());
    engined.joins(&keys);
    engined.tries(|_| began(7));
    engined.input(Input::Lost { why: None });
    for key in keys {
        engined.stops(key, 7);
        engined.leaves(key);
    }
    engined.pass(Duration::from_secs(1));
    engined.done.clear();
    engined.input(opened());
    let mut slices = 0;
    while let Some(request) = engined.sent.first() {
        match request {
            // It reaches one at first, and then the others.
            Request::Vacate(all) => {
                let reached = if slices == 0 { 1 } else { all.of.len() };
                let vacated = all.of.iter().take(reached);
                let vacated = vacated.map(|vacate| (vacate.election, Ok(true)));
                let answer = Answer::Vacated(vacated.collect());
                slices += 1;
                engined.answer(answer);
            }
            _ => engined.answer_oldest(),
        }
    }
    assert_eq!(slices, 2, "{:?}", engined.done);
    for key in keys {
        assert!(engined.has_done(&Output::Left { key }), "{key:?}");
    }
    let announces = |request: &Request| matches!(request, Request::Announce(ids) if ids.len() == 2);
    assert!(engined.has_sent(announces), "{:?}", engined.done);
    engined.keeps_its_session();
}

#[test]
fn an_announcement_that_was_refused_is_forgotten_with_the_candidacy() {
    let mut engined = Engined::with(setup());
    engined.joins(&[KEY, OTHER]);
    engined.tries(|_| began(7));
    engined.leaves(OTHER);
    engined.stops(OTHER, 7);
    let announces =
        |request: &Request| matches!(request, Request::Announce(ids) if *ids == [id(OTHER)]);
    assert!(engined.sent.iter().any(announces), "{:?}", engined.sent);
    while let Some(request) = engined.sent.first() {
        match request {
            Request::Announce(_) => {
                engined.sent.remove(0);
                let why = "the queue is half full".into();
                engined.input(Input::Refused { why });
            }
            _ => engined.answer_oldest(),
        }
    }
    assert!(engined.has_done(&Output::Left { key: OTHER }));
    engined.input(Input::Observe {
        key: OTHER,
        election: "e2".into(),
    });
    engined.answer_all();
    engined.pass(Duration::from_secs(10));
    engined.keeps_its_session();
}

/// The lock of a newer term stays while its work runs, whatever is answered of an older one.
#[test]
fn the_vacate_of_an_older_term_lets_go_of_no_newer_one() {
    let keys = [KEY, OTHER];
    let mut engined = Engined::with(setup());
    engined.joins(&keys);
    engined.tries(|_| began(7));
    engined.input(Input::Lost { why: None });
    for key in keys {
        engined.stops(key, 7);
    }
    engined.pass(Duration::from_secs(1));
    engined.input(opened());
    // Both vacates are refused until they are overdue, and what was asked for next is not answered yet.
    let vacates = |request: &Request| matches!(request, Request::Vacate(_));
    let tries = |request: &Request| matches!(request, Request::Campaign(_));
    let mut both = false;
    for _ in 0..400 {
        both = engined.sent.iter().any(tries) && engined.sent.iter().any(vacates);
        match engined.sent.first() {
            Some(Request::Campaign(_)) if both => break,
            // Its answer takes long.
            Some(Request::Campaign(_)) => {}
            Some(Request::Vacate(all)) => {
                let refused = all.of.iter().map(|vacate| (vacate.election, Ok(false)));
                let answer = Answer::Vacated(refused.collect());
                engined.answer(answer);
                continue;
            }
            Some(_) => {
                engined.answer_oldest();
                continue;
            }
            None => {}
        }
        engined.now += LEASE / 20;
        engined.input(Input::Timer);
    }
    assert!(both, "{:?} {:?}", engined.sent, engined.done);
    let answer = Answer::Campaigned(vec![
        tried(id(KEY), began(8)),
        tried(id(OTHER), Try::Held(held())),
    ]);
    engined.answer(answer);
    engined.done.clear();
    engined.input(Input::Resign { key: KEY, term: 8 });
    while let Some(request) = engined.sent.first() {
        match request {
            Request::Vacate(all) if all.of.len() == 2 => {
                let vacated = all.of.iter().map(|vacate| (vacate.election, Ok(true)));
                let answer = Answer::Vacated(vacated.collect());
                engined.answer(answer);
            }
            _ => engined.answer_oldest(),
        }
    }
    let releases = |request: &Request| matches!(request, Request::Release { leadership, .. } if leadership.contains(&id(KEY)));
    assert!(
        !engined.has_sent(releases),
        "its work runs: {:?}",
        engined.done
    );
    engined.stops(KEY, 8);
    assert!(
        engined.has_sent(|request| matches!(request, Request::Vacate(all) if all.of[0].term == 8))
    );
    assert!(engined.has_sent(releases));
}

/// A candidacy that was refused says goodbye at once: there may be something of it to forget.
#[test]
fn who_was_refused_leaves_at_once() {
    let mut engined = Engined::candidate(KEY);
    let refused = Refused {
        why: "no".into(),
        no_room: false,
        taken: Taken::default(),
    };
    engined.is_told(|_| Err(refused.clone()));
    for _ in 0..6 {
        engined.now += Duration::from_secs(7);
        engined.input(Input::Timer);
        engined.is_told(|_| Err(refused.clone()));
    }
    engined.leaves(KEY);
    engined.answer_all();
    assert!(
        engined.has_done(&Output::Left { key: KEY }),
        "{:?}",
        engined.done
    );
}

/// What a row says that cannot be read may have taken a lock: it is let go of, and no other.
#[test]
fn what_was_taken_and_cannot_be_read_is_let_go_of() {
    for (leadership, succession) in [(true, false), (false, true), (false, false)] {
        let mut engined = Engined::candidate(KEY);
        let refused = Refused {
            why: "the state \"resting\"".into(),
            no_room: false,
            taken: Taken {
                leadership,
                succession,
            },
        };
        engined.done.clear();
        engined.answer(Answer::Campaigned(vec![(id(KEY), Err(refused))]));
        let released: Vec<&Output> = engined
            .done
            .iter()
            .filter(|output| matches!(output, Output::Send(Request::Release { .. })))
            .collect();
        let expected = |taken: bool| if taken { vec![id(KEY)] } else { vec![] };
        match released[..] {
            [] => assert!(!leadership && !succession),
            [
                Output::Send(Request::Release {
                    leadership: one,
                    succession: other,
                    ..
                }),
            ] => {
                assert_eq!(*one, expected(leadership));
                assert_eq!(*other, expected(succession));
            }
            _ => panic!("{released:?}"),
        }
        engined.keeps_its_session();
    }
}

/// Who resigns during a try and wins a term that cannot be worked on has given up.
#[test]
fn who_declines_a_stale_term_declines_no_other() {
    let mut engined = Engined::leader();
    engined.input(Input::Resign { key: KEY, term: 7 });
    engined.stops(KEY, 7);
    engined.answer_all();
    engined.pass(LEASE / 2);
    let tries = |request: &Request| matches!(request, Request::Campaign(_));
    for _ in 0..400 {
        if engined.sent.first().is_some_and(tries) {
            break;
        }
        engined.now += LEASE / 20;
        engined.input(Input::Timer);
        while engined.sent.first().is_some_and(|request| !tries(request)) {
            engined.answer_oldest();
        }
    }
    engined.input(Input::GiveUp {
        key: KEY,
        candidacy: 1,
    });
    engined.answer(Answer::Campaigned(vec![tried(id(KEY), began(7))]));
    engined.done.clear();
    engined.answer_all();
    let given_up = |output: &Output| matches!(output, Output::Resigned { .. });
    assert!(engined.done.iter().any(given_up), "{:?}", engined.done);
}
