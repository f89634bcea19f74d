//! What the checker must find fault with: the shipped machine, server or driver, broken in one way each.

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

/// What is broken in the way that has this name. `None`: there is no such mutant.
#[must_use]
pub fn mutant(name: &str) -> Option<Subject> {
    if name == "socket_closed_early" {
        return Some(Subject::with_driver_flaw(DriverFlaw::SocketClosedEarly));
    }
    let flaw = FLAWS.iter().find(|(flaw, _)| *flaw == name);
    match flaw {
        Some((_, flaw)) => Some(Subject::with_flaw(*flaw)),
        None => maker(name).map(Subject::broken),
    }
}
