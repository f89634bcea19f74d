//! What the server answers. Every answer to a [`Slice`](super::Slice) has a row for each election that was reached, with
//! its id.

use std::sync::Arc;
use std::time::Duration;

use super::{Bar, ElectionState, Id, WaitingFor};

/// To the oldest request in flight: answers come in the order of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// Nothing but that it was done.
    Done,
    Joined(Vec<(Arc<str>, Told<Joined>)>),
    Campaigned(Vec<(Id, Told<Campaigned>)>),
    Office(Vec<(Id, Told<Office>)>),
    /// Whether the term is on record as ours, and that it has recovered.
    Recorded(Vec<(Id, Told<bool>)>),
    /// Of a heartbeat, where something is asked.
    Asked(Vec<StepDown>),
    /// Whether the term is on record as vacated.
    Vacated(Vec<(Id, Told<bool>)>),
    /// `None` of an election that nobody has ever joined.
    Read(Vec<(Arc<str>, Told<Option<Found>>)>),
    Left(Vec<(Id, Told<()>)>),
    /// Whether the backend is gone.
    Gone(Vec<(Id, Told<bool>)>),
    Counters(Counters),
    Evicted(Vec<(Id, Told<Evicted>)>),
    FencedEnded(Vec<(Id, Told<FencedEnded>)>),
}

/// What came of one election of a request. Where the server has refused it nothing of it was done, and its neighbours
/// have noticed nothing.
pub(crate) type Told<T> = Result<T, Refused>;

/// Why the server has refused one election of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refused {
    /// In its words.
    pub(crate) why: Arc<str>,
    /// Its lock table is full.
    pub(crate) no_room: bool,
    /// What this session has now all the same: what it was answered cannot be read here.
    pub(crate) taken: Taken,
}

/// Locks that a try has taken, or that it found this session to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Taken {
    pub(crate) leadership: bool,
    pub(crate) succession: bool,
}

impl Refused {
    pub(crate) fn waiting_for(&self) -> WaitingFor {
        if self.no_room {
            WaitingFor::LockTable
        } else {
            WaitingFor::Refusal
        }
    }
}

/// An election joined. `heard`: no term that begins on this server from here has this number or a smaller one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Joined {
    pub(crate) election: Id,
    pub(crate) heard: Heard,
}

/// What came of a try, and how the election stands after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Campaigned {
    pub(crate) tried: Try,
    pub(crate) row: Row,
}

/// A term is to end, for an operator wants it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StepDown {
    pub(crate) election: Id,
    pub(crate) term: u64,
    pub(crate) asked: Asked,
}

/// What an operator asked for, and who.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) kind: Arc<str>,
    pub(crate) by: Arc<str>,
}

/// An election that was read, for everybody to see and for this candidate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Found {
    pub(crate) row: Row,
    pub(crate) view: View,
}

/// What came of ending a silent leader's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Evicted {
    Done,
    /// This role may not.
    NotAllowed,
    /// pgpool-II would detach the server.
    BehindPgpool,
}

/// How many sessions with fenced transactions were ended, how many could not be, and who these are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FencedEnded {
    pub(crate) ended: u32,
    pub(crate) remaining: u32,
    pub(crate) who: Option<Arc<str>>,
}

/// The greatest term that was read of in an election, and its lease. What a process has heard outlives its
/// sessions and its candidacies: a server may have forgotten it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Heard {
    pub(crate) term: u64,
    pub(crate) lease: Duration,
}

/// What came of a try for the leadership.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Try {
    /// The term has begun.
    Began {
        term: u64,
        /// What tells this term from any other, also from one with its number.
        token: Arc<str>,
    },
    /// The lock is ours, but the work of the last term may still run.
    Won(Won),
    /// The lock is ours and the last term is vacated; a fenced transaction stands in the way.
    Fenced {
        last_term: u64,
        /// The lease of that term.
        lease: Duration,
    },
    Held(Held),
}

/// A lock won, and what is known of the last term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Won {
    pub(crate) last_term: u64,
    pub(crate) last_pid: Option<i32>,
    pub(crate) direct: bool,
    /// The refractory period: for the work of the last term.
    pub(crate) wait: Duration,
    /// For the work of terms that began on other servers, which this one may not know: it counts from the proof
    /// that this one is the primary.
    pub(crate) elsewhere: Duration,
    /// The greatest term that anybody who takes part has heard of.
    pub(crate) heard: Heard,
    /// What the counters read before this very try saw the leader of the last term hold the lock.
    pub(crate) watched: Option<Counters>,
}

/// A lock held by somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) term: u64,
    pub(crate) leader_pid: Option<i32>,
    /// None for a prepared transaction, too, which has no session.
    pub(crate) holder_pid: Option<i32>,
    /// The lease of the leader on record.
    pub(crate) lease: Option<Duration>,
    /// Who takes no part and holds this lock, the successor's place or the one by which terms begin, in words.
    pub(crate) stranger: Option<Arc<str>>,
    pub(crate) successor: bool,
    /// Why this candidate may not lead. Then no lock was tried.
    pub(crate) bar: Option<Bar>,
    /// When the leader's backend last changed its state, on the server's clock; only ever compared for
    /// being the same.
    pub(crate) silent_since: Option<i64>,
    pub(crate) counters: Counters,
    /// The leader on record held the lock after they were read, whoever has it now.
    pub(crate) watched: bool,
}

impl Held {
    /// Whether the successor's place is for somebody else.
    pub(crate) fn makes_way(&self) -> bool {
        self.successor && self.bar.is_some_and(|bar| bar != Bar::Unknown)
    }
}

/// What came of taking office.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Office {
    Began {
        term: u64,
        /// What tells this term from any other, also from one with its number.
        token: Arc<str>,
    },
    /// The last term is not vacated, or the work of other servers was not waited for long enough.
    Waiting {
        elsewhere: Duration,
        heard: Heard,
    },
    Fenced,
    /// It may not lead any more.
    Barred(Bar),
}

/// How an election stands, as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) term: u64,
    /// Of the leader on record.
    pub(crate) lease: Option<Duration>,
    pub(crate) vacant: bool,
    /// Why this candidate may not lead.
    pub(crate) bar: Option<Bar>,
    /// It is this candidate's turn: to lead next, or to be the successor.
    pub(crate) called: bool,
}

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

/// The endings of sessions that prove nothing, as the server counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Counters {
    pub(crate) killed: i64,
    pub(crate) fatal: i64,
    /// When the counters were reset, on the server's clock.
    pub(crate) reset: i64,
}
