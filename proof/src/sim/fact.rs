//! What is true of the world from a moment on: what invariants are decided by, and what a timeline shows.

use std::fmt;
use std::time::Duration;

use super::clock::Time;
use super::ending::Ending;
use super::fault::Fault;
use crate::engine::{Key, Output, Stop};

/// A process: the machine on which it runs, and how many ran there before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Who {
    pub(super) host: usize,
    pub(super) life: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fact {
    /// A process runs, with a secret of its own.
    Lives {
        who: Who,
    },
    /// A process is gone, and all its work with it.
    Died {
        who: Who,
        how: &'static str,
    },
    /// None of its instructions is run.
    Halted {
        who: Who,
    },
    /// They are run again, and it has not yet looked at its clock.
    WokeUp {
        who: Who,
    },
    /// It has looked.
    Looked {
        who: Who,
    },
    /// It has seen these to be led on another host; where that is on a newer timeline, its own work must have
    /// stopped by then.
    Saw {
        who: Who,
        keys: Vec<Key>,
        by: Option<Time>,
    },
    WorkStarted {
        who: Who,
        key: Key,
        term: u64,
    },
    WorkStopped {
        who: Who,
        key: Key,
        term: u64,
        stop: Stop,
    },
    /// The work outlives its lease, which its process has reported. Where it does not block it is dropped by then.
    Overran {
        who: Who,
        key: Key,
        term: u64,
        by: Time,
    },
    /// The work is to stop, and cannot before: it blocks its thread.
    Blocks {
        who: Who,
        key: Key,
        term: u64,
        until: Time,
    },
    /// The work asked whether its term is current.
    AskedCurrent {
        who: Who,
        key: Key,
        term: u64,
        current: bool,
    },
    /// A candidacy was begun by the application.
    Entered {
        who: Who,
        key: Key,
    },
    /// The application wants the candidacy to end.
    WantedOut {
        who: Who,
        key: Key,
    },
    /// A candidacy is over.
    Left {
        who: Who,
        key: Key,
    },
    /// Nothing is wrong now, and a candidacy stands so.
    Stands {
        who: Who,
        key: Key,
        takes_part: bool,
    },
    /// On the server: a term has begun. `known`: the greatest that any process was told of that lives and takes
    /// part there.
    Began {
        who: Who,
        key: Key,
        term: u64,
        known: u64,
    },
    /// The primary of the moment knows these terms, and nothing of later ones that began elsewhere.
    Forgotten {
        terms: Vec<(Key, u64)>,
    },
    /// On the server: the leadership was let go in order.
    Released {
        who: Who,
        key: Key,
    },
    /// On the server: the work of a term is recorded as stopped.
    Vacated {
        who: Who,
        key: Key,
        term: u64,
    },
    /// On the server: a fenced transaction has committed.
    Committed {
        key: Key,
        term: u64,
    },
    /// What the engine of a process wants.
    Does {
        who: Who,
        output: Box<Output>,
    },
    /// What a process met that is not worth a kind of its own.
    Met {
        who: Who,
        what: String,
    },
    /// Something goes wrong.
    Fault {
        fault: Fault,
        host: Option<usize>,
    },
    /// It is over.
    Over {
        fault: Fault,
        host: Option<usize>,
    },
    /// Nothing is wrong from here: every one of these elections must be led by then.
    Calm {
        keys: Vec<Key>,
        by: Time,
    },
    /// One thing goes wrong in one election while all is calm. It ends the terms of these, which must be led again
    /// by then.
    Struck {
        ending: Ending,
        key: Key,
        lease: Duration,
        led_by: Vec<(Key, Time)>,
    },
    /// A moment at which everybody may look.
    Tick,
    /// Things go wrong again. The lease is the longest.
    Storm {
        lease: Duration,
    },
    /// Nothing changed for a while; so much was asked of the server meanwhile.
    Steady(Steady),
    /// On the server.
    Server {
        what: &'static str,
    },
}

/// What a while in which nothing changed has cost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Steady {
    pub(super) lasted: Duration,
    /// The shortest interval at which a leader's session sends heartbeats, one for each such session.
    pub(super) leaders: Vec<Duration>,
    /// The shortest interval at which a successor's session probes, one for each such session.
    pub(super) successors: Vec<Duration>,
    /// The retry interval of every process.
    pub(super) processes: Vec<Duration>,
    pub(super) queries: u64,
    pub(super) elections: usize,
    /// The tables are not what they were.
    pub(super) written: bool,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}.{}", self.host, self.life)
    }
}

impl Fact {
    /// Whose it is.
    fn who(&self) -> String {
        match self {
            Fact::Lives { who }
            | Fact::Died { who, .. }
            | Fact::Halted { who }
            | Fact::WokeUp { who }
            | Fact::Looked { who }
            | Fact::Saw { who, .. }
            | Fact::WorkStarted { who, .. }
            | Fact::WorkStopped { who, .. }
            | Fact::Overran { who, .. }
            | Fact::Blocks { who, .. }
            | Fact::AskedCurrent { who, .. }
            | Fact::Entered { who, .. }
            | Fact::WantedOut { who, .. }
            | Fact::Left { who, .. }
            | Fact::Stands { who, .. }
            | Fact::Began { who, .. }
            | Fact::Released { who, .. }
            | Fact::Vacated { who, .. }
            | Fact::Does { who, .. }
            | Fact::Met { who, .. } => who.to_string(),
            Fact::Fault {
                host: Some(host), ..
            }
            | Fact::Over {
                host: Some(host), ..
            } => format!("machine {host}"),
            Fact::Committed { .. }
            | Fact::Forgotten { .. }
            | Fact::Server { .. }
            | Fact::Fault { .. }
            | Fact::Over { .. } => "server".to_owned(),
            Fact::Calm { .. }
            | Fact::Struck { .. }
            | Fact::Tick
            | Fact::Storm { .. }
            | Fact::Steady(_) => "world".to_owned(),
        }
    }

    fn election(&self) -> String {
        match self {
            Fact::WorkStarted { key, .. }
            | Fact::WorkStopped { key, .. }
            | Fact::Overran { key, .. }
            | Fact::Blocks { key, .. }
            | Fact::AskedCurrent { key, .. }
            | Fact::Entered { key, .. }
            | Fact::WantedOut { key, .. }
            | Fact::Left { key, .. }
            | Fact::Stands { key, .. }
            | Fact::Began { key, .. }
            | Fact::Released { key, .. }
            | Fact::Vacated { key, .. }
            | Fact::Committed { key, .. }
            | Fact::Struck { key, .. } => format!("e{}", key.0),
            _ => String::new(),
        }
    }

    fn what(&self) -> String {
        match self {
            Fact::Lives { .. } => "the process starts".to_owned(),
            Fact::Died { how, .. } => format!("the process is gone: {how}"),
            Fact::Halted { .. } => "stands still".to_owned(),
            Fact::WokeUp { .. } => "goes on".to_owned(),
            Fact::Looked { .. } => "has looked at its clock".to_owned(),
            Fact::Saw { keys, by: None, .. } => format!("sees {keys:?} led on another host"),
            Fact::Saw {
                keys, by: Some(by), ..
            } => format!(
                "sees {keys:?} led on a higher host, and stops by {}",
                seconds(*by)
            ),
            Fact::WorkStarted { term, .. } => format!("WORK STARTS, term {term}"),
            Fact::WorkStopped { term, stop, .. } => format!("WORK STOPS, term {term}: {stop:?}"),
            Fact::Overran { term, .. } => format!("the work of term {term} outlives its lease"),
            Fact::Blocks { term, until, .. } => {
                format!("the work of term {term} blocks until {}", seconds(*until))
            }
            Fact::AskedCurrent { term, current, .. } => {
                format!("is_current() of term {term} says {current}")
            }
            Fact::Entered { .. } => "becomes a candidate".to_owned(),
            Fact::WantedOut { .. } => "is told to leave".to_owned(),
            Fact::Left { .. } => "has left".to_owned(),
            Fact::Stands { takes_part, .. } => format!("takes part: {takes_part}"),
            Fact::Began { term, .. } => format!("on the server TERM {term} begins"),
            Fact::Forgotten { terms } => format!("the server knows no more than {terms:?}"),
            Fact::Released { .. } => "on the server the leadership is released".to_owned(),
            Fact::Vacated { term, .. } => format!("on the server term {term} is vacated"),
            Fact::Committed { term, .. } => {
                format!("a transaction fenced by term {term} commits")
            }
            Fact::Does { output, .. } => match &**output {
                Output::Send(request) => format!("asks {request:?}"),
                Output::Tell(notice) => format!("tells {notice:?}"),
                output => format!("does {output:?}"),
            },
            Fact::Met { what, .. } => what.clone(),
            Fact::Fault { fault, .. } => format!("FAULT: {fault}"),
            Fact::Over { fault, .. } => format!("over: {fault}"),
            Fact::Calm { keys, by } => {
                format!("CALM: all {} elections led by {}", keys.len(), seconds(*by))
            }
            Fact::Struck { ending, led_by, .. } => {
                let by = led_by.iter().map(|(_, by)| *by).max().unwrap_or_default();
                let (count, by) = (led_by.len(), seconds(by));
                format!("STRUCK: {ending}; {count} elections led again by {by}")
            }
            Fact::Tick => "everybody may look".to_owned(),
            Fact::Storm { .. } => "STORM".to_owned(),
            Fact::Steady(steady) => format!(
                "steady for {:?}: {} queries, {}",
                steady.lasted,
                steady.queries,
                if steady.written {
                    "written"
                } else {
                    "nothing written"
                }
            ),
            Fact::Server { what } => (*what).to_owned(),
        }
    }

    /// One line of a timeline: time, process, election, what.
    pub(super) fn line(&self, at: Time) -> String {
        format!(
            "{} {:>10} {:>4}  {}",
            seconds(at),
            self.who(),
            self.election(),
            self.what()
        )
    }
}

fn seconds(at: Time) -> String {
    format!("{:>6}.{:09}", at / 1_000_000_000, at % 1_000_000_000)
}
