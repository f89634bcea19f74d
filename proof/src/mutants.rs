//! What the checker must find fault with: the shipped machine, server or driver, broken in one way each.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::engine::{Input, Instant, Output, Setup};
use crate::machine::{Machine, Make};
use crate::model::{DriverFlaw, Subject};
use crate::postgres::Flaw;

include!(concat!(env!("OUT_DIR"), "/mutants.rs"));

/// The rules of the server's side that can be broken.
const FLAWS: [(&str, Flaw); 9] = [
    ("vacate_of_any_term", Flaw::VacateOfAnyTerm),
    ("sample_after_the_try", Flaw::SampleAfterTry),
    ("vacate_of_any_timeline", Flaw::VacateOfAnyTimeline),
    ("number_plus_one", Flaw::NumberPlusOne),
    ("number_without_time", Flaw::NumberWithoutTime),
    ("raised_without_waiting", Flaw::RaisedWithoutWaiting),
    ("heard_not_recorded", Flaw::HeardNotRecorded),
    ("office_unasked", Flaw::OfficeUnasked),
    ("closed_is_vacated", Flaw::ClosedIsVacated),
];

/// What the server covers as well: it evicts nobody who is not silent by its own clock. They are found without that.
const BEHIND_THE_SERVER: [&str; 2] = [
    "half_a_lease_of_silence",
    "silence_from_the_sending_to_the_answer",
];

/// What must hold where the mutant of this name does not: what is shipped, on a server that is no better.
#[must_use]
pub fn shipped_beside(name: &str) -> Subject {
    if BEHIND_THE_SERVER.contains(&name) {
        Subject::shipped().on(Flaw::EvictsTheLively)
    } else {
        Subject::shipped()
    }
}

thread_local! {
    /// Which mutant's engine is at work on this thread, of those that share a copy.
    static AT_WORK: Cell<&'static str> = const { Cell::new("") };
}

/// Whether this mutant's engine is at work.
fn is(name: &str) -> bool {
    AT_WORK.get() == name
}

/// An engine of the copy that mutants share, broken in the one way that has this name.
#[derive(Clone, Debug)]
struct Switched {
    name: &'static str,
    engine: switchable::Engine,
}

fn switched(name: &'static str, setup: Setup, seed: u64) -> Box<dyn Machine> {
    let engine = at_work(name, || switchable::Engine::new(setup, seed));
    Box::new(Switched { name, engine })
}

fn at_work<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
    AT_WORK.set(name);
    let came = work();
    AT_WORK.set("");
    came
}

impl Machine for Switched {
    fn handle(&mut self, now: Instant, input: Input) {
        at_work(self.name, || self.engine.handle(now, input));
    }

    fn poll(&mut self) -> Option<Output> {
        at_work(self.name, || self.engine.poll())
    }

    fn poll_timeout(&self) -> Instant {
        at_work(self.name, || self.engine.poll_timeout())
    }

    fn look_every(&self) -> Duration {
        at_work(self.name, || self.engine.look_every())
    }

    fn interrupt(&mut self) {
        at_work(self.name, || self.engine.interrupt());
    }

    fn boxed(&self) -> Box<dyn Machine> {
        Box::new(self.clone())
    }

    fn hash_into(&self, mut hasher: &mut dyn Hasher) {
        self.engine.hash(&mut hasher);
    }
}

/// Makes engines that are broken in the way that has this name.
pub(crate) fn breaking(name: &str) -> Make {
    maker(name).unwrap_or_else(|| panic!("there is no mutant {name:?} in proof/mutants.rs"))
}

/// What is broken in the way that has this name. `None`: there is no such mutant.
#[must_use]
pub fn mutant(name: &str) -> Option<Subject> {
    if name == "socket_closed_early" {
        return Some(Subject::with_driver_flaw(DriverFlaw::SocketClosedEarly));
    }
    if BEHIND_THE_SERVER.contains(&name) {
        let broken = maker(name).map(Subject::broken)?;
        return Some(broken.on(Flaw::EvictsTheLively));
    }
    let flaw = FLAWS.iter().find(|(flaw, _)| *flaw == name);
    match flaw {
        Some((_, flaw)) => Some(Subject::with_flaw(*flaw)),
        None => maker(name).map(Subject::broken),
    }
}
