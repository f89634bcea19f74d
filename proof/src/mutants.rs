//! What the checker must find fault with: the shipped machine, server or driver, broken in one way each.

use std::cell::Cell;

use crate::machine::Make;
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
    /// What is broken of the copy for the simulator. A world is run on one thread.
    static BROKEN: Cell<&'static str> = const { Cell::new("") };
}

/// Whether this is broken of the copy for the simulator.
pub(crate) fn is(name: &str) -> bool {
    BROKEN.get() == name
}

/// Break it for as long as that takes.
pub(crate) fn breaking<T>(name: &'static str, run: impl FnOnce(Make) -> T) -> T {
    let make = maker("simulated").expect("there is a copy for the simulator");
    BROKEN.set(name);
    let came = run(make);
    BROKEN.set("");
    came
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
