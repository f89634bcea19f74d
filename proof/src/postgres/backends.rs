//! Backends: how sessions begin, fall silent and end, and what the counters make of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Flaw, Instance, Kind, Pid, Postgres};
use crate::engine::Instant;

/// What a session is by whom it was opened, from its beginning to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Caller {
    pub(crate) instance: Instance,
    pub(crate) direct: bool,
    pub(crate) lease: Duration,
    /// After so much silence the server shall end it once it leads, or is the successor.
    pub(crate) silence_limit: Duration,
}

impl Caller {
    /// Somebody who takes part in nothing.
    pub(crate) const STRANGER: Caller = Caller {
        instance: 0,
        direct: true,
        lease: Duration::ZERO,
        silence_limit: Duration::MAX,
    };
}

/// Why a session ended, as the server counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cause {
    /// The client's side closed the connection, with or without a goodbye: counted nowhere that matters.
    Client,
    /// An operator, an eviction, a shutdown: `sessions_killed`.
    Killed,
    /// A timeout, a server clock that jumped, a broken send: `sessions_fatal`.
    Fatal,
}

/// What the server says to a session unasked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    /// A notification about an election, and whose it is: the session's own too.
    Notification { by: Pid, election: Arc<str> },
    /// The end of the connection: nothing comes after it.
    End,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Backend {
    pub(super) caller: Caller,
    pub(super) idle_limit: Duration,
    /// When its last statement began or ended.
    pub(super) state_change: Instant,
    pub(super) ending: Option<Leaving>,
}

/// A backend on its way out: its locks are free. It is counted, then it leaves the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leaving {
    cause: Cause,
    counted: bool,
}

impl Postgres {
    /// A session that listens. `idle_limit`: after so much silence the server ends it. `None` while down.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        caller: Caller,
        idle_limit: Duration,
    ) -> Option<Pid> {
        if !self.up {
            return None;
        }
        let pid = self.next_pid;
        self.next_pid += 1;
        self.backends.insert(
            pid,
            Backend {
                caller,
                idle_limit,
                state_change: now,
                ending: None,
            },
        );
        Some(pid)
    }

    pub(super) fn caller(&self, pid: Pid) -> Option<Caller> {
        Some(self.backends.get(&pid)?.caller)
    }

    /// Whether this backend takes requests.
    pub(crate) fn serves(&self, pid: Pid) -> bool {
        let backend = self.backends.get(&pid);
        backend.is_some_and(|backend| backend.ending.is_none())
    }

    /// How many sessions there are, those on their way out included.
    pub(crate) fn sessions(&self) -> usize {
        self.backends.len()
    }

    /// End a session: its locks are free at once. What is left to do is done by [`Postgres::leave_list`].
    pub(crate) fn end(&mut self, pid: Pid, cause: Cause) {
        let Some(backend) = self.backends.get_mut(&pid) else {
            return;
        };
        if backend.ending.is_none() {
            backend.ending = Some(Leaving {
                cause,
                counted: false,
            });
            self.locks.free(pid);
            self.words.push((pid, Word::End));
        }
    }

    /// The ended backends that are still on the list.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = Pid> + '_ {
        let backends = self.backends.iter();
        backends
            .filter(|(_, backend)| backend.ending.is_some())
            .map(|(&pid, _)| pid)
    }

    /// One step of an ended backend: it is counted first, and leaves the list then.
    pub(crate) fn leave_list(&mut self, pid: Pid) {
        let uncounted = self.has(Flaw::KillsAreNotCounted);
        let backend = self.backends.get_mut(&pid);
        let Some(leaving) = backend.and_then(|backend| backend.ending.as_mut()) else {
            return;
        };
        if leaving.counted {
            self.backends.remove(&pid);
            return;
        }
        leaving.counted = true;
        match leaving.cause {
            Cause::Client => {}
            Cause::Killed if uncounted => {}
            Cause::Killed => self.counters.killed += 1,
            Cause::Fatal => self.counters.fatal += 1,
        }
    }

    /// When the next session will have been silent for too long; `NEVER` where there is none.
    pub(crate) fn idle_deadline(&self) -> Instant {
        let backends = self.backends.values().filter(|b| b.ending.is_none());
        let deadlines = backends.map(Backend::deadline);
        deadlines.min().unwrap_or(Instant::NEVER)
    }

    /// When this session will have been silent for too long, if no statement runs.
    pub(crate) fn idle_deadline_of(&self, pid: Pid) -> Option<Instant> {
        let backend = self.backends.get(&pid);
        let alive = backend.filter(|backend| backend.ending.is_none());
        alive.map(Backend::deadline)
    }

    /// End the sessions that have been silent for too long.
    pub(crate) fn end_idle(&mut self, now: Instant) {
        let backends = self.backends.iter();
        let idle: Vec<Pid> = backends
            .filter(|(_, backend)| backend.ending.is_none() && now >= backend.deadline())
            .map(|(&pid, _)| pid)
            .collect();
        for pid in idle {
            self.end(pid, Cause::Fatal);
        }
    }

    /// When the backend that holds the leadership last began or ended a statement.
    pub(crate) fn leader_silent_since(&self, election: &str) -> Option<Instant> {
        let holder = self.holder(Kind::Leadership, election)?;
        Some(self.backends.get(&holder)?.state_change)
    }

    pub(super) fn limit_silence(&mut self, pid: Pid, idle_limit: Duration) {
        if let Some(backend) = self.backends.get_mut(&pid) {
            backend.idle_limit = idle_limit;
        }
    }

    /// Tell every session that listens; all do.
    pub(super) fn notify(&mut self, by: Pid, election: &Arc<str>) {
        for (&pid, backend) in &self.backends {
            if backend.ending.is_none() {
                let election = Arc::clone(election);
                self.words.push((pid, Word::Notification { by, election }));
            }
        }
    }
}

impl Backend {
    fn deadline(&self) -> Instant {
        self.state_change + self.idle_limit
    }
}
