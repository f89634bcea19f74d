//! What the session of a process is in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::engine::{Errand, Instant, Key};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Down { connect_at: Instant, failures: u32 },
    Connecting { failures: u32 },
    Up(Box<Up>),
    Finished,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Up {
    pub(super) since: Instant,
    pub(super) failures: u32,
    /// The sending of the last query that was answered.
    pub(super) contact: Instant,
    /// The sendings of the queries that were not yet answered.
    pub(super) in_flight: VecDeque<Instant>,
    pub(super) last_sent: Instant,
    pub(super) heartbeat_at: Instant,
    pub(super) heartbeats: u32,
    pub(super) hinted: bool,
    pub(super) retry_at: Instant,
    pub(super) probe_at: Instant,
    /// The slices under way.
    pub(super) slices: BTreeMap<Errand, BTreeSet<Key>>,
    /// Those that the last slice of their kind did not reach: they come first.
    pub(super) left: BTreeMap<Errand, BTreeSet<Key>>,
    /// While a try was under way the session was told that it holds nothing more.
    pub(super) loosened: bool,
    /// Asked for by what an event brings, all at once.
    pub(super) wanted: Wanted,
    pub(super) unsaid: Unsaid,
}

/// Announcements that the server refused. Others wait for them, some until they try by themselves: they are made again,
/// less and less often, and with the next one at the latest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Unsaid {
    pub(super) keys: BTreeSet<Key>,
    pub(super) times: u32,
    pub(super) again_at: Instant,
}

impl Unsaid {
    pub(super) const NOTHING: Unsaid = Unsaid {
        keys: BTreeSet::new(),
        times: 0,
        again_at: Instant::NEVER,
    };
}

/// What needs no slice, and what is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    /// Locks to let go of: the leadership's, the successor's. None at all: only the silence limit is told.
    pub(super) release: Option<(BTreeSet<Key>, BTreeSet<Key>)>,
    pub(super) announce: BTreeSet<Key>,
    pub(super) counters: BTreeSet<Key>,
    pub(super) read: BTreeSet<Key>,
}

impl Up {
    pub(super) fn new(now: Instant, failures: u32, retry_at: Instant) -> Up {
        Up {
            since: now,
            failures,
            contact: now,
            in_flight: VecDeque::new(),
            last_sent: now,
            heartbeat_at: now,
            heartbeats: 0,
            hinted: false,
            retry_at,
            probe_at: Instant::NEVER,
            slices: BTreeMap::new(),
            left: BTreeMap::new(),
            loosened: false,
            wanted: Wanted::default(),
            unsaid: Unsaid::NOTHING,
        }
    }

    /// A slice of this kind is under way.
    pub(super) fn asks(&self, kind: Errand) -> bool {
        self.slices.contains_key(&kind)
    }

    /// It is under way, and about this election too.
    pub(super) fn asks_for(&self, kind: Errand, key: Key) -> bool {
        let slice = self.slices.get(&kind);
        slice.is_some_and(|keys| keys.contains(&key))
    }

    /// A query that was sent then is under way no more.
    pub(super) fn take_out(&mut self, sent: Instant) {
        if let Some(index) = self.in_flight.iter().position(|other| *other == sent) {
            self.in_flight.remove(index);
        }
    }
}
