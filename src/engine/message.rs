//! What goes into the state machine and what comes out of it.

use std::time::Duration;

use super::{Counters, Instant, Published, Row};

/// An election, within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u32);

/// The greatest term that was read of in an election, and its lease. What a process has heard outlives its
/// sessions and its candidacies: a server may have forgotten it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Heard {
    pub(crate) term: u64,
    pub(crate) lease: Duration,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// Time has passed, or nothing is known but the time.
    Timer,
    /// A session is connected, proven fit, and listens.
    Connected,
    /// The session is gone, or could not be had.
    Disconnected,
    /// None could be had. `schema`: what it finds of the schema keeps this build from it.
    NotOpened { schema: bool },
    /// The answer to a query, with the time that the query carried. `rows`: what it shows of elections beside; `None`
    /// of one that nobody has ever joined.
    Answered {
        sent: Instant,
        answer: Answer,
        rows: Vec<(Key, Option<Row>)>,
    },
    /// The hosts of the connection string were looked at. `contested`: another than this session's server
    /// accepts writes. `higher`: it comes before this one, by its timeline. `held`: elections whose leadership is
    /// held there, or may be. `clear`: those that were looked for, and are not.
    Looked {
        contested: bool,
        higher: bool,
        held: Vec<Key>,
        clear: Vec<Key>,
    },
    /// Notifications concern these elections. Believed never: they only make us look.
    Hint { keys: Vec<Key> },
    /// The work of a term has stopped: nothing of it runs any more.
    WorkStopped { key: Key, term: u64, stop: Stop },
    /// Become a candidate. `autopsy`: believe the way in which a session ended.
    Join { key: Key, autopsy: bool },
    /// Be the candidate again that an earlier machine of this process was. `work`: the term whose work has
    /// not stopped yet, though it was told to, and when its lease is as good as over. `owed`: what is not
    /// recorded as vacated.
    Return {
        key: Key,
        autopsy: bool,
        work: Option<(u64, Instant)>,
        owed: Option<(u64, Ending)>,
    },
    /// Follow an election, whether or not it is a candidate there.
    Observe { key: Key },
    /// Follow it no longer.
    Unobserve { key: Key },
    /// The work of this term has recovered.
    Ready { key: Key, term: u64 },
    /// Something of this term's work has failed: the rest is to stop.
    Failed { key: Key, term: u64 },
    /// Give up this term, stay a candidate.
    Resign { key: Key, term: u64 },
    /// Give up whatever is held of this election or about to be taken, stay a candidate.
    GiveUp { key: Key },
    /// Stop being a candidate.
    Leave { key: Key },
    /// Leave every election, then end the session.
    Shutdown,
}

/// How the work of a term stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stop {
    Returned,
    Failed,
    Dropped,
}

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    Resigned,
    SteppedDown,
    Failed,
    Deposed,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Show everybody how an election stands. The first of what an event asks for.
    Publish { key: Key, published: Published },
    /// Connect, prove the server fit, listen; answered by `Connected` or `Disconnected`.
    Connect,
    /// Send this query; `sent` comes back with the answer.
    Send { sent: Instant, query: Query },
    /// Let go of the session without a word. The socket stays open while work runs.
    Abandon,
    /// Start the work of a term.
    Start { key: Key, term: u64 },
    /// Tell the work that its term is over.
    Cancel { key: Key },
    /// Drop the work.
    Drop { key: Key },
    /// The work outlived its lease: end the process, where that is asked for.
    Overrun { key: Key, term: u64 },
    /// What was to be given up is: nothing of it is held, nor about to be taken.
    GaveUp { key: Key },
    /// The candidacy is over.
    Left { key: Key },
    /// Everything is over: close the session in order.
    Finish,
    /// Something that people should know.
    Tell(Notice),
}

/// What people should know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Notice {
    /// The leadership is held by a session that is no candidate; `None` once it is not.
    Stranger { key: Key, pid: Option<i32> },
    /// This candidate may not lead now; `None` once it may.
    Barred { key: Key, bar: Option<Bar> },
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
    /// Work did not stop within the grace, and is dropped.
    OutOfGrace { key: Key, term: u64 },
}

/// A query on the session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Query {
    Join {
        key: Key,
        heard: Heard,
    },
    /// Try for the leadership, else for being the successor.
    Campaign {
        keys: Vec<Key>,
        successor_of: Vec<Key>,
        /// Those that nobody leads although somebody is successor, or whose place as the successor nobody
        /// takes who ranks higher: tried for all the same.
        overdue: Vec<Key>,
        /// What was heard of those of which anything was.
        heard: Vec<(Key, Heard)>,
    },
    TakeOffice {
        key: Key,
        /// Whether the work of the last term is known to have stopped.
        waited: bool,
        /// How long the work that other servers may have left behind was waited for.
        elsewhere: Duration,
        heard: Heard,
    },
    Ready {
        key: Key,
        term: u64,
    },
    /// Prove the session. Nothing can be asked of one that leads nothing, and an observer may not look.
    Prove,
    /// The same, and read what is asked of the leader of these.
    Heartbeat {
        keys: Vec<Key>,
    },
    Vacate {
        key: Key,
        term: u64,
        ending: Ending,
    },
    /// Let go of locks. From then on the server ends the session when it is silent for `silence_limit`.
    Release {
        leadership: Vec<Key>,
        succession: Vec<Key>,
        silence_limit: Duration,
    },
    Announce {
        keys: Vec<Key>,
    },
    /// How every election that this process follows or observes stands.
    Read,
    Leave {
        key: Key,
    },
    BackendGone {
        key: Key,
        term: u64,
    },
    Counters {
        key: Key,
    },
    Evict {
        key: Key,
        term: u64,
    },
    /// End the fenced transactions that stand in the way.
    EndFenced {
        key: Key,
    },
}

impl Query {
    /// Whether the session goes on though it was refused. A hint that could not be given: everybody looks for himself,
    /// somewhat later. Any other refusal ends the session.
    pub(crate) fn may_fail(&self) -> bool {
        matches!(self, Query::Announce { .. })
    }

    /// The elections that it is about; `None`: all that this process follows or observes.
    pub(crate) fn keys(&self) -> Option<Vec<Key>> {
        match self {
            Query::Join { key, .. }
            | Query::TakeOffice { key, .. }
            | Query::Ready { key, .. }
            | Query::Vacate { key, .. }
            | Query::Leave { key }
            | Query::BackendGone { key, .. }
            | Query::Counters { key }
            | Query::EndFenced { key }
            | Query::Evict { key, .. } => Some(vec![*key]),
            // The others of its lists are parts of the first.
            Query::Campaign { keys, .. } | Query::Heartbeat { keys } | Query::Announce { keys } => {
                Some(keys.clone())
            }
            Query::Release {
                leadership,
                succession,
                ..
            } => Some([&leadership[..], &succession[..]].concat()),
            Query::Prove => Some(vec![]),
            Query::Read => None,
        }
    }
}

/// What a query brought.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// Nothing but that it was done.
    Done,
    /// `heard`: no term that begins on this server from here has this number or a smaller one.
    Joined {
        key: Key,
        heard: Heard,
    },
    Campaigned {
        tries: Vec<(Key, Try)>,
    },
    Office {
        key: Key,
        office: Office,
    },
    /// The terms that operators want to end.
    Heartbeat {
        step_downs: Vec<(Key, u64)>,
    },
    /// Whether the term is on record as vacated.
    Vacated {
        key: Key,
        term: u64,
        done: bool,
    },
    Read {
        views: Vec<(Key, View)>,
    },
    Left {
        key: Key,
    },
    BackendGone {
        key: Key,
        gone: bool,
    },
    Counters {
        key: Key,
        counters: Counters,
    },
    FencedEnded {
        key: Key,
        ended: u32,
        remaining: u32,
    },
}

impl Answer {
    /// The terms that have begun with it.
    pub(crate) fn begun(&self) -> Vec<(Key, u64)> {
        match self {
            Answer::Campaigned { tries, .. } => tries
                .iter()
                .filter_map(|(key, tried)| match tried {
                    Try::Began { term, .. } => Some((*key, *term)),
                    _ => None,
                })
                .collect(),
            Answer::Office {
                key,
                office: Office::Began { term, .. },
                ..
            } => vec![(*key, *term)],
            _ => vec![],
        }
    }
}

/// What came of a try for the leadership.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Try {
    /// The term has begun.
    Began {
        term: u64,
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
    pub(crate) holder_pid: Option<i32>,
    /// The lease of the leader on record.
    pub(crate) lease: Option<Duration>,
    pub(crate) stranger: bool,
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

/// Why a candidate may not lead now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bar {
    /// Nobody may.
    Suspended,
    /// Its address is excluded.
    Excluded,
    /// The next term is to be another candidate's.
    Transfer,
    /// A live candidate has a higher priority.
    Outranked,
    /// What operators ask for cannot be read now.
    Unknown,
    /// It has heard of a term that lies too far beyond this server's: it would work below it.
    Beyond,
    /// The leadership is held on another host that accepts writes.
    Elsewhere,
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
