//! What is true of another host that accepts writes now and then.

use super::chance::Chance;
use crate::engine::Key;

/// One world in so many.
const WORLDS: u64 = 16;

pub(super) struct Second {
    pub(super) chance: Chance,
    pub(super) led: Option<Led>,
}

#[derive(Clone)]
pub(super) struct Led {
    /// It is on a newer timeline.
    pub(super) higher: bool,
    pub(super) keys: Vec<Key>,
}

impl Second {
    pub(super) fn of(seed: u64) -> Option<Second> {
        let mut chance = Chance::new(!seed);
        let there = chance.one_in(WORLDS);
        there.then_some(Second { chance, led: None })
    }
}
