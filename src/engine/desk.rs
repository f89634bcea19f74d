//! What a process knows of its elections beside the rules: what others are to see, and nothing that a rule reads.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Bar, ElectionState, Instant, Key, WaitingFor};

/// An election's row, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) term: u64,
    pub(crate) state: ElectionState,
    pub(crate) address: Option<Arc<str>>,
    /// Why this process may not lead.
    pub(crate) bar: Option<Bar>,
}

impl Row {
    /// Nobody leads after this term.
    pub(crate) fn vacant(term: u64) -> Row {
        Row {
            term,
            state: ElectionState::Vacant,
            ..Row::default()
        }
    }
}

/// How an election stands, for everybody to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Published {
    /// The term whose work runs here. While it is current it leads, and who has it looks at the clock.
    pub(crate) own: Option<u64>,
    pub(crate) term: u64,
    pub(crate) state: ElectionState,
    /// Of another's term.
    pub(crate) address: Option<Arc<str>>,
    pub(crate) waiting_for: Option<WaitingFor>,
    /// After this nothing is known of another's term.
    pub(crate) known_until: Instant,
}

impl Published {
    /// Whether it says the same, but for how long.
    pub(crate) fn says_the_same(&self, other: &Published) -> bool {
        let until = |published: &Published| Published {
            known_until: Instant::NEVER,
            ..published.clone()
        };
        until(self) == until(other)
    }
}

/// One election, whether this process is a candidate or observes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Desk {
    pub(crate) observed: bool,
    /// The newest term that was read of.
    pub(crate) term: u64,
    /// What was read on this session, and until when it is believed.
    pub(crate) row: Option<(Row, Instant)>,
    /// The term whose work has said that it has recovered.
    pub(crate) ready: Option<u64>,
    pub(crate) published: Published,
}

/// All of them. No part of what the machine is: two that differ in this alone do the same, but for what they show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Desks {
    pub(crate) desks: BTreeMap<Key, Desk>,
    /// Why there is no session, where that is for people to mend.
    pub(crate) trouble: Option<WaitingFor>,
}

impl Hash for Desks {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Desks {
    /// An election is read of: a row, or that nobody has ever joined it.
    pub(crate) fn read(&mut self, key: Key, row: Option<Row>, until: Instant) {
        if let Some(desk) = self.desks.get_mut(&key) {
            let row = row.unwrap_or_else(|| Row::vacant(0));
            desk.term = row.term;
            desk.row = Some((row, until));
        }
    }

    /// The session is gone, and what was read on it is old.
    pub(crate) fn lose(&mut self) {
        for desk in self.desks.values_mut() {
            desk.row = None;
            desk.ready = None;
        }
    }

    /// This process is no candidate any more, or observes no more.
    pub(crate) fn clear(&mut self, key: Key, candidate: bool) {
        let observed = self.desks.get(&key).is_some_and(|desk| desk.observed);
        if !observed && !candidate {
            self.desks.remove(&key);
        }
    }

    pub(crate) fn observes(&self) -> bool {
        self.desks.values().any(|desk| desk.observed)
    }
}
