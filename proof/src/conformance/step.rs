//! What is done, on both sides alike. Sessions, elections and terms are named by their order in a run: each side has
//! numbers of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::engine::{Answer, Id, Request};

/// So many numbers a timeline.
pub(super) const BLOCK: u64 = 10_000_000_000_000;

/// The leases of processes: one that is waited for, and those that never pass in a run.
pub(super) const SHORT_LEASE: Duration = Duration::from_millis(400);
pub(super) const LEASES: [Duration; 3] = [
    SHORT_LEASE,
    Duration::from_secs(60),
    Duration::from_secs(3600),
];
/// Longer than the short lease.
pub(super) const PAUSE: Duration = Duration::from_millis(500);
/// So long a session may be silent that is to be ended for it.
pub(super) const SILENCE: Duration = Duration::from_millis(100);
/// And any other one.
pub(super) const PATIENCE: Duration = Duration::from_secs(1800);

/// Who takes part: constant for all its sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) number: usize,
    pub(super) lease: Duration,
    pub(super) direct: bool,
    pub(super) priority: i32,
}

/// One thing that is done.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A process opens a session.
    Open(Process),
    Ask {
        session: usize,
        request: Request,
    },
    End {
        session: usize,
        how: Way,
    },
    /// `kill -9` of the server, which starts again.
    Crash,
    /// Stopped in order, and started again.
    Restart,
    /// The counters.
    Reset,
    Lever {
        election: usize,
        lever: Lever,
    },
    /// Nobody can read what operators ask for, or everybody can again.
    LockRequests(bool),
    /// A transaction is fenced by a term. `holds_row`: under REPEATABLE READ.
    Fence {
        election: usize,
        term: u64,
        holds_row: bool,
    },
    /// The transaction that was begun so many others before.
    Commit(usize),
    /// Somebody who takes part in nothing takes a lock: the successor's, or the leadership's.
    Stranger {
        election: usize,
        succession: bool,
    },
    /// The short lease passes.
    Pause,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// By an operator.
    Killed,
    /// Its socket is closed.
    Cut,
    /// It said goodbye.
    Goodbye,
    /// It is silent for longer than it said that it would be.
    TimedOut,
}

/// What an operator asks for.
#[derive(Clone, Debug)]
pub(super) enum Lever {
    StepDown,
    Suspend,
    Resume,
    Exclude(usize),
    Include(usize),
    Transfer(usize),
}

/// What came of a step, in names that both sides have alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) said: Said,
    /// The sessions that live.
    pub(super) alive: BTreeSet<usize>,
    /// Who was notified, by whom (nobody: an operator), of which election.
    pub(super) notified: Vec<(usize, Option<usize>, usize)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    Answer(Answer),
    /// An error.
    Refused,
    /// A lock was had, a fence has admitted, a transaction has committed.
    Did(bool),
}

/// How both sides call an election.
pub(super) fn id(election: usize) -> Id {
    Id(i32::try_from(election).unwrap_or(0) + 1)
}

pub(super) fn election(id: Id) -> usize {
    usize::try_from(id.0 - 1).unwrap_or(usize::MAX)
}

/// And the address of a process.
pub(super) fn address(process: usize) -> String {
    format!("a{process}")
}
