//! What goes into the engine.

use std::sync::Arc;

use super::{Answer, Key, Stop, Surroundings, Survey, Timings};

/// What is the same for the engine's whole life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) timings: Timings,
    /// Work that outlives its lease ends the process.
    pub(crate) aborts: bool,
    /// The first session must come about at once, or everything is over.
    pub(crate) fails_fast: bool,
}

/// Something that happened, or that a handle asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    /// Time has passed, or nothing is known but the time.
    Timer,
    /// Become a candidate.
    Join { key: Key, candidature: Candidature },
    /// Follow an election, whether or not this process is a candidate there.
    Observe { key: Key, election: Arc<str> },
    /// Follow it no longer.
    Unobserve { key: Key },
    /// The work of this term has recovered.
    Ready { key: Key, term: u64 },
    /// Something of this term's work has failed: the rest is to stop.
    Fail { key: Key, term: u64 },
    /// The work of this term has ended in order, and nobody had asked for it: what it has spawned is to stop.
    EndedByItself { key: Key, term: u64 },
    /// Give up this term, stay a candidate.
    Resign { key: Key, term: u64 },
    /// Give up whatever this candidacy holds or is about to take, stay a candidate.
    GiveUp { key: Key, candidacy: u64 },
    /// End this candidacy.
    Leave { key: Key, candidacy: u64 },
    /// Leave every election, then end the session.
    Shutdown,
    /// The session that was wanted listens on a server that was proven fit.
    Opened {
        pid: i32,
        /// No pooler is in between.
        direct: bool,
        instance: Arc<str>,
        /// Where the connection string names several hosts.
        hosts: Option<Surroundings>,
    },
    /// None could be had. `schema`: what it finds of the schema keeps this build from it. `outage`: it may be there at
    /// any moment, as in a failover of the database.
    NotOpened {
        why: Arc<str>,
        schema: bool,
        outage: bool,
    },
    /// To the oldest request in flight. None after [`Lost`](Input::Lost), but all that came before it.
    Answered(Answer),
    /// The oldest request was refused. The session lives.
    Refused { why: Arc<str> },
    /// The session is gone.
    Lost { why: Option<Arc<str>> },
    /// In the order in which they came.
    Notified(Vec<Notification>),
    /// The hosts of the connection string were looked at. `survey`: what was seen; `None` where nothing could be looked at.
    /// `late`: what one host has said after the look that it belongs to. None of either after the session has ended.
    Looked { survey: Option<Survey>, late: bool },
    /// Nothing of the work of this term runs any more.
    Stopped { key: Key, term: u64, stop: Stop },
    /// What drives the engine has failed and goes on: the session is gone, and what was to be done may not have
    /// been. `running`: the terms whose work has not stopped.
    Restarted { running: Vec<(Key, u64)> },
}

/// What a candidacy brings along.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Candidature {
    pub(crate) election: Arc<str>,
    /// Which of this process in this election: a handle outlives its own.
    pub(crate) number: u64,
    pub(crate) address: Arc<str>,
    pub(crate) priority: i32,
    /// Whether the way in which a session ended is believed.
    pub(crate) autopsy: bool,
    /// Whether its work is given time to stop by itself. Else it is dropped where it is told to stop.
    pub(crate) graceful: bool,
}

/// Anyone may send one: no more is used of it than which election to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Notification {
    /// Of the backend that sent it.
    pub(crate) pid: i32,
    pub(crate) election: Arc<str>,
}
