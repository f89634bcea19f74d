//! What goes into the rules and what comes out of them.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Counters, Ending, Heard, Instant, Key, Notice, Office, Published, Refused, Row, Try, View,
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// Time has passed, or nothing is known but the time.
    Timer,
    /// A session is connected, proven fit, and listens.
    Connected,
    /// The session is gone, or could not be had.
    Disconnected,
    /// What drives the rules has failed: the session is gone, and what was to be shown may not have been.
    Restarted,
    /// It fails again and again: nobody waits any longer for more than that the work has stopped.
    Hopeless,
    /// None could be had. `schema`: what it finds of the schema keeps this build from it. `outage`: it may be there at
    /// any moment.
    NotOpened { schema: bool, outage: bool },
    /// What a query brought, with the time that the query carried. `rows`: what it shows of elections beside; `None`
    /// of one that nobody has ever joined. `refused`: of these nothing was done. `unreached`: the server did not get to
    /// them.
    Answered {
        sent: Instant,
        reply: Reply,
        rows: Vec<(Key, Option<Row>)>,
        refused: Vec<(Key, Refused)>,
        unreached: Vec<Key>,
    },
    /// These were never joined: there was nothing to leave, and nothing of them was sent then.
    NeverJoined { keys: Vec<Key>, sent: Instant },
    /// The hosts of the connection string were looked at. `contested`: another than this session's server
    /// accepts writes. `higher`: it comes before this one, by its timeline. `held`: elections whose leadership is
    /// held there, or may be. `clear`: those that were looked for, and are not. `ends`: a look has ended, with what there
    /// was to see; else something was seen beside.
    Looked {
        contested: bool,
        higher: bool,
        held: Vec<Key>,
        clear: Vec<Key>,
        ends: bool,
    },
    /// Notifications concern these elections. Believed never: they only make us look.
    Hint { keys: Vec<Key> },
    /// The work of a term has stopped: nothing of it runs any more.
    WorkStopped { key: Key, term: u64, stop: Stop },
    /// Become a candidate. `autopsy`: believe the way in which a session ended. `graceful`: give the work time to stop.
    Join {
        key: Key,
        autopsy: bool,
        graceful: bool,
    },
    /// Be the candidate again that one was by earlier rules of this process. `work`: the term whose work has
    /// not stopped yet, though it was told to, and until when it would have been current. `owed`: what is
    /// not recorded as vacated.
    Return {
        key: Key,
        autopsy: bool,
        graceful: bool,
        work: Option<(u64, Instant)>,
        owed: Option<(u64, Ending)>,
    },
    /// Follow an election, whether or not it is a candidate there.
    Observe { key: Key },
    /// Follow it no longer.
    Unobserve { key: Key },
    /// The work of this term has recovered.
    Ready { key: Key, term: u64 },
    /// The work of this term has ended in order, and nobody had asked for it: what it has spawned is to stop.
    EndedByItself { key: Key, term: u64 },
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
    /// With what was to run it: nothing of this candidacy will ever work again.
    Stranded,
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
    /// End the process: work has outlived its lease.
    Abort,
    /// What was to be given up is: nothing of it is held, nor about to be taken.
    GaveUp { key: Key },
    /// The candidacy is over.
    Left { key: Key },
    /// Everything is over: close the session in order.
    Finish,
    /// Something that people should know.
    Tell(Notice),
}

/// A query on the session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Query {
    Join {
        joins: Vec<(Key, Heard)>,
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
        takes: Vec<(Key, Taking)>,
    },
    Ready {
        terms: Vec<(Key, u64)>,
    },
    /// Prove the session. Nothing can be asked of one that leads nothing, and an observer may not look.
    Prove,
    /// The same, and read what is asked of the leader of these.
    Heartbeat {
        keys: Vec<Key>,
    },
    Vacate {
        terms: Vec<(Key, u64, Ending)>,
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
    /// How elections stand.
    Read {
        keys: Vec<Key>,
    },
    Leave {
        keys: Vec<Key>,
    },
    BackendGone {
        terms: Vec<(Key, u64)>,
    },
    /// For the leaders of these, whose backends are gone.
    Counters {
        keys: Vec<Key>,
    },
    Evict {
        terms: Vec<(Key, u64)>,
    },
    /// End the fenced transactions that stand in the way.
    EndFenced {
        keys: Vec<Key>,
    },
}

/// The lock is held, and office is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Taking {
    /// Whether the work of the last term is known to have stopped.
    pub(crate) waited: bool,
    /// How long the work that other servers may have left behind was waited for.
    pub(crate) elsewhere: Duration,
    pub(crate) heard: Heard,
}

/// A query of several elections that the server answers in slices. One of each kind is under way at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Errand {
    Join,
    Campaign,
    TakeOffice,
    Ready,
    Vacate,
    Leave,
    BackendGone,
    Evict,
    EndFenced,
    Read,
}

impl Errand {
    pub(crate) const ALL: [Errand; 10] = [
        Errand::Join,
        Errand::Campaign,
        Errand::TakeOffice,
        Errand::Ready,
        Errand::Vacate,
        Errand::Leave,
        Errand::BackendGone,
        Errand::Evict,
        Errand::EndFenced,
        Errand::Read,
    ];
}

impl Query {
    /// Whether the session goes on though it was refused. A hint that could not be given is given again. Any other
    /// refusal ends the session.
    pub(crate) fn may_fail(&self) -> bool {
        matches!(self, Query::Announce { .. })
    }
}

/// What a query brought.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    /// Nothing but that it was done.
    Done,
    Announced,
    /// None of these was said.
    NotAnnounced {
        keys: Vec<Key>,
        why: Arc<str>,
    },
    /// `heard`: no term that begins on this server from here has this number or a smaller one.
    Joined {
        joined: Vec<(Key, Heard)>,
    },
    Campaigned {
        tries: Vec<(Key, Try)>,
    },
    Office {
        offices: Vec<(Key, Office)>,
    },
    /// Whether the term is on record as ours, and that its work has recovered.
    Recorded {
        recorded: Vec<(Key, bool)>,
    },
    /// The terms that operators want to end.
    Heartbeat {
        step_downs: Vec<(Key, u64)>,
    },
    /// Whether the term is on record as vacated.
    Vacated {
        vacated: Vec<(Key, u64, bool)>,
    },
    Read {
        views: Vec<(Key, View)>,
    },
    Left {
        keys: Vec<Key>,
    },
    BackendGone {
        gone: Vec<(Key, bool)>,
    },
    Counters {
        keys: Vec<Key>,
        counters: Counters,
    },
    Evicted,
    /// How many sessions were ended, and how many could not be.
    FencedEnded {
        ended: Vec<(Key, u32, u32)>,
    },
}

impl Reply {
    /// The kind of slice that it answers.
    pub(crate) fn kind(&self) -> Option<Errand> {
        match self {
            Reply::Joined { .. } => Some(Errand::Join),
            Reply::Campaigned { .. } => Some(Errand::Campaign),
            Reply::Office { .. } => Some(Errand::TakeOffice),
            Reply::Recorded { .. } => Some(Errand::Ready),
            Reply::Vacated { .. } => Some(Errand::Vacate),
            Reply::Left { .. } => Some(Errand::Leave),
            Reply::BackendGone { .. } => Some(Errand::BackendGone),
            Reply::Evicted => Some(Errand::Evict),
            Reply::FencedEnded { .. } => Some(Errand::EndFenced),
            Reply::Read { .. } => Some(Errand::Read),
            Reply::Done
            | Reply::Announced
            | Reply::NotAnnounced { .. }
            | Reply::Heartbeat { .. }
            | Reply::Counters { .. } => None,
        }
    }
}
