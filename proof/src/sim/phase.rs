//! Where a run stands in its course.

use super::clock::Time;
use crate::engine::Key;
use crate::postgres::Tables;

pub(super) struct Round {
    pub(super) phase: Phase,
    /// So many things end a term before the next storm.
    pub(super) left: u64,
    /// By then everybody must take part again: all attempts to connect that the storm has left have ended.
    pub(super) all_by: Time,
    /// Work has begun since the last thing that ended a term.
    pub(super) begun: bool,
}

pub(super) enum Phase {
    Settling {
        by: Time,
    },
    Quiet,
    Steady {
        since: Time,
        executed: u64,
        tables: Box<Tables>,
    },
    Struck {
        /// The terms that end.
        terms: Vec<(Key, u64)>,
        by: Time,
    },
    Storm,
}

impl Round {
    /// Before the first one.
    pub(super) fn new() -> Round {
        Round {
            phase: Phase::Storm,
            left: 0,
            all_by: 0,
            begun: false,
        }
    }

    /// Asked once for each term that begins.
    pub(super) fn is_first_after_ending(&mut self) -> bool {
        matches!(self.phase, Phase::Struck { .. }) && !std::mem::replace(&mut self.begun, true)
    }
}
