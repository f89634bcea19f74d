//! What people should know. In words it is said elsewhere: the engine has none.

use std::sync::Arc;
use std::time::Duration;

use super::{Bar, Ending, Key, Sight};

/// What people should know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Notice {
    /// Somebody holds a lock of the election and takes no part in it; `None` once nobody does.
    Stranger { key: Key, who: Option<Arc<str>> },
    /// This candidate may not lead now; `None` once it may.
    Barred { key: Key, bar: Option<Bar> },
    /// The server refuses this election alone, in its words; `None` once it does not.
    Refused { key: Key, why: Option<Arc<str>> },
    /// The lock is ours; how long the old work may still run.
    Waiting {
        key: Key,
        last_term: u64,
        at_most: Duration,
    },
    /// Why the new term needs not wait.
    Spared {
        key: Key,
        last_term: u64,
        why: &'static str,
    },
    /// A fenced transaction of the last term stands in the way.
    Fenced { key: Key },
    /// Fenced transactions stood in the way for too long: so many were ended, so many could not be.
    FencedEnded {
        key: Key,
        ended: u32,
        remaining: u32,
    },
    /// Its work starts.
    TookOffice { key: Key, term: u64 },
    /// The leader was silent for its lease, and its backend is being ended.
    Evicting { key: Key, term: u64 },
    /// The leadership is lost.
    Deposed {
        key: Key,
        term: u64,
        why: &'static str,
    },
    /// A term has ended, in order or not, and is recorded as vacated.
    Vacated { key: Key, term: u64, ending: Ending },
    /// For a lease a term could not be recorded as vacated, for a fenced transaction holds its row.
    VacateRefused { key: Key, term: u64 },
    /// It gave up the lock before it took office.
    Declined { key: Key },
    /// A term began that is not above what was heard of: it is given up without work (invariant 2).
    Stale { key: Key, term: u64, heard: u64 },
    /// The work has failed, or ended by itself as soon as it had begun: for so long the others come first.
    HoldsOff {
        key: Key,
        term: u64,
        at_most: Duration,
    },
    /// What runs its work is gone, so this candidacy ends.
    Stranded { key: Key },
    /// Work did not stop within the grace, and is dropped.
    OutOfGrace { key: Key, term: u64 },
    /// Work outlives its lease, and may overlap the next term's.
    Overran { key: Key, term: u64 },
    /// A silent leader's session could not be ended; `pooled`: for pgpool-II is in between.
    NotEvicted { key: Key, term: u64, pooled: bool },
    /// Who has the fenced transactions that stand in the way and cannot be ended.
    FencedRemain { key: Key, who: Arc<str> },
    /// There is a session.
    Connected { pid: i32, direct: bool },
    /// None can be had. `again`: it was so before, for the same reason.
    NoSession { why: Arc<str>, again: bool },
    /// The session has ended.
    SessionEnded { why: Option<Arc<str>> },
    /// Several hosts accept writes, `own` is the session's; none are named once it is one again.
    Writers { own: Arc<Sight>, hosts: Vec<Sight> },
    /// Another host comes before that of the session, which ends.
    LeavesFor { own: Arc<Sight>, best: Arc<Sight> },
    /// A request was refused, so the session is given up.
    GivenUp { why: Arc<str> },
    /// What was to be asked or was answered makes no sense, so the session is given up that has done nothing wrong: a
    /// fault of this build, or of a proxy.
    Muddled(Muddle),
    /// Nobody was notified: everybody looks for himself, somewhat later.
    NotAnnounced { why: Arc<str> },
}

/// What makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Muddle {
    /// Something was to be asked of an election that was never joined.
    NeverJoined,
    /// An answer does not fit its request.
    NoFit,
}

impl Notice {
    /// The election that it is about.
    pub(crate) fn key(&self) -> Option<Key> {
        match self {
            Notice::Stranger { key, .. }
            | Notice::Barred { key, .. }
            | Notice::Refused { key, .. }
            | Notice::Waiting { key, .. }
            | Notice::Spared { key, .. }
            | Notice::Fenced { key }
            | Notice::FencedEnded { key, .. }
            | Notice::TookOffice { key, .. }
            | Notice::Evicting { key, .. }
            | Notice::Deposed { key, .. }
            | Notice::Vacated { key, .. }
            | Notice::VacateRefused { key, .. }
            | Notice::Declined { key }
            | Notice::Stale { key, .. }
            | Notice::HoldsOff { key, .. }
            | Notice::Stranded { key }
            | Notice::OutOfGrace { key, .. }
            | Notice::Overran { key, .. }
            | Notice::NotEvicted { key, .. }
            | Notice::FencedRemain { key, .. } => Some(*key),
            Notice::Connected { .. }
            | Notice::NoSession { .. }
            | Notice::SessionEnded { .. }
            | Notice::Writers { .. }
            | Notice::LeavesFor { .. }
            | Notice::GivenUp { .. }
            | Notice::Muddled(_)
            | Notice::NotAnnounced { .. } => None,
        }
    }
}
