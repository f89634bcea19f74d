//! Which states the checker tells apart: it looks at one of those that hash alike, and at no other of them.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::desk::{Desk, Resigning};
use super::handle::{Engined, opened, setup};
use super::*;

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The engine of a leader, changed by hand.
fn changed(change: impl FnOnce(&mut Engine)) -> u64 {
    let mut engined = Engined::leader();
    change(&mut engined.engine);
    hash(&engined.engine)
}

#[test]
fn what_the_engine_does_next_depends_on_what_is_told_apart() {
    let leader = changed(|_| ());
    assert_eq!(changed(|_| ()), leader);
    let mut request = Engined::leader();
    request.pass(LEASE / 8);
    request.now += LEASE / 8;
    request.input(Input::Timer);
    let in_flight = request.engine.in_flight.clone();
    assert!(!in_flight.is_empty());
    let rules = request.engine.rules.clone();
    for (what, changed) in [
        ("the rules", changed(|engine| engine.rules = rules)),
        (
            "what is in flight",
            changed(|engine| engine.in_flight = in_flight),
        ),
        ("its instance", changed(|engine| engine.instance = None)),
        ("that it stops", changed(|engine| engine.stops = true)),
        ("failures", changed(|engine| engine.failures.count = 2)),
    ] {
        assert_ne!(changed, leader, "{what}");
    }
}

#[test]
fn what_is_known_of_an_election_is_told_apart() {
    let desk = || Engined::leader().engine.desks.get(KEY).unwrap().clone();
    let with = |change: fn(&mut Desk)| {
        let mut desk = desk();
        change(&mut desk);
        hash(&desk)
    };
    let leader = hash(&desk());
    assert_ne!(with(|desk| desk.id = None), leader);
    assert_ne!(with(|desk| desk.candidature = None), leader);
    assert_ne!(with(|desk| desk.observed = true), leader);
    assert_ne!(with(|desk| desk.leaves = true), leader);
    assert_ne!(with(|desk| desk.owed = None), leader);
    assert_ne!(with(|desk| desk.running = None), leader);
    let resigning = |desk: &mut Desk| desk.resigning = Some(Resigning { term: None });
    assert_ne!(with(resigning), leader);
    let asked = |desk: &mut Desk| {
        let (kind, by) = ("step down".into(), "an operator".into());
        desk.asked = Some((7, Asked { kind, by }));
    };
    assert_ne!(with(asked), leader);
}

/// What only names or times something.
#[test]
fn names_are_not_told_apart() {
    let leader = changed(|_| ());
    assert_eq!(changed(|engine| engine.instance = Some("i".into())), leader);
    assert_eq!(changed(|engine| engine.pid = Some(1)), leader);
    assert_eq!(changed(|engine| engine.extended = None), leader);
    let mut engined = Engined::with(setup());
    engined.input(opened());
    assert_ne!(hash(&engined.engine), leader);
}
