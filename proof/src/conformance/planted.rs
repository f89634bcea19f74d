//! Flaws planted in the pretend server: each must be found.

use crate::postgres::Flaw;

/// Their names.
pub const PLANTED: [(&str, Planted); 14] = [
    ("vacate_of_any_term", Planted(Flaw::VacateOfAnyTerm)),
    ("number_plus_one", Planted(Flaw::NumberPlusOne)),
    (
        "raised_without_waiting",
        Planted(Flaw::RaisedWithoutWaiting),
    ),
    ("heard_not_recorded", Planted(Flaw::HeardNotRecorded)),
    ("office_unasked", Planted(Flaw::OfficeUnasked)),
    ("closed_is_vacated", Planted(Flaw::ClosedIsVacated)),
    ("locks_do_not_stack", Planted(Flaw::LocksDoNotStack)),
    ("kills_are_not_counted", Planted(Flaw::KillsAreNotCounted)),
    (
        "counters_outlive_crashes",
        Planted(Flaw::CountersOutliveCrashes),
    ),
    ("evicts_the_lively", Planted(Flaw::EvictsTheLively)),
    ("leaving_forgets", Planted(Flaw::LeavingForgets)),
    ("step_down_for_ever", Planted(Flaw::StepDownForEver)),
    ("fences_hold_nothing", Planted(Flaw::FencesHoldNothing)),
    ("rows_are_not_held", Planted(Flaw::RowsAreNotHeld)),
];

/// A flaw of the pretend server.
#[derive(Clone, Copy, Debug)]
pub struct Planted(pub(super) Flaw);
