//! What a process asks of the server: by the ids of its elections, in lists, and by nothing that is constant for a
//! session. Whoever sends it knows the rest: the mark of the session, who this process is, the limits.

use std::sync::Arc;
use std::time::Duration;

use super::{Asked, Heard, Id};

/// A request of the session. Answered in their order: see [`Answer`](super::Answer).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Request {
    /// Answered by `Joined`.
    Join(Slice<Join>),
    /// Try for the leadership, else for the successor's place. Answered by `Campaigned`.
    Campaign(Slice<Bid>),
    /// Answered by `Office`.
    TakeOffice(Slice<TakeOffice>),
    /// The work of these terms has recovered. Answered by `Recorded`.
    Ready(Slice<(Id, u64)>),
    /// Prove the session. Nothing can be asked of one that leads nothing, and an observer may not look. Answered by
    /// `Done`.
    Prove,
    /// The same, and read what is asked of the leader of these. Answered by `Asked`.
    Heartbeat(Vec<Id>),
    /// Answered by `Vacated`.
    Vacate(Slice<Vacate>),
    /// Let go of locks. From then on the server ends the session when it is silent for `silence_limit`. Answered by
    /// `Done`.
    Release {
        leadership: Vec<Id>,
        succession: Vec<Id>,
        silence_limit: Duration,
    },
    /// Notify everybody. Alone of all it may be refused, and the session goes on. Answered by `Done`.
    Announce(Vec<Id>),
    /// How elections stand, by name, for nobody may have joined one yet. Answered by `Read`.
    Read(Slice<Arc<str>>),
    /// Be a candidate no longer. Answered by `Left`.
    Leave(Slice<Id>),
    /// Whether the backends that began these terms are gone. Answered by `Gone`.
    BackendGone(Slice<(Id, u64)>),
    /// Answered by `Counters`.
    Counters,
    /// End the sessions of the leaders of these terms, which are silent. Answered by `Evicted`.
    Evict(Slice<(Id, u64)>),
    /// End the fenced transactions that stand in the way. Answered by `FencedEnded`.
    EndFenced(Slice<Id>),
}

/// What is asked of several elections at once, by their ids in ascending order; by their names, where there may be no id.
/// The server does the first, and goes on while no more than `limit` has passed. Those that it did not reach are not in
/// the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slice<T> {
    pub(crate) of: Vec<T>,
    pub(crate) limit: Duration,
}

impl Request {
    /// So long the server goes on with it, where it is a slice.
    #[allow(dead_code, reason = "whoever proves the engine asks")]
    pub(crate) fn slice_limit(&self) -> Option<Duration> {
        match self {
            Request::Join(slice) => Some(slice.limit),
            Request::Campaign(slice) => Some(slice.limit),
            Request::TakeOffice(slice) => Some(slice.limit),
            Request::Ready(slice) | Request::BackendGone(slice) | Request::Evict(slice) => {
                Some(slice.limit)
            }
            Request::Vacate(slice) => Some(slice.limit),
            Request::Read(slice) => Some(slice.limit),
            Request::Leave(slice) | Request::EndFenced(slice) => Some(slice.limit),
            Request::Prove
            | Request::Heartbeat(_)
            | Request::Release { .. }
            | Request::Announce(_)
            | Request::Counters => None,
        }
    }
}

/// Who joins which election.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Join {
    pub(crate) name: Arc<str>,
    pub(crate) address: Arc<str>,
    pub(crate) priority: i32,
    pub(crate) heard: Heard,
}

/// A try for the leadership.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bid {
    pub(crate) election: Id,
    /// This session holds the successor's place.
    pub(crate) successor: bool,
    /// Nobody leads although somebody is successor, or nobody who ranks higher takes that place: it is tried for all
    /// the same.
    pub(crate) overdue: bool,
    pub(crate) heard: Heard,
}

/// The lock is held, and office is to be taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TakeOffice {
    pub(crate) election: Id,
    /// Whether the work of the last term is known to have stopped.
    pub(crate) waited: bool,
    /// How long the work that other servers may have left behind was waited for.
    pub(crate) elsewhere: Duration,
    pub(crate) heard: Heard,
}

/// A term whose work has stopped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Vacate {
    pub(crate) election: Id,
    pub(crate) term: u64,
    pub(crate) ending: Ending,
    /// What an operator asked for that ended it.
    pub(crate) asked: Option<Asked>,
}

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    Resigned,
    SteppedDown,
    Failed,
    Deposed,
}
