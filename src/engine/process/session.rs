//! The session of the process: connecting, losing, reconnecting.

use std::time::Duration;

use super::Process;
use crate::engine::candidacy::{Owed, Place};
use crate::engine::{Action, Ending, Instant, Notice, Query};
use std::collections::VecDeque;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Session {
    Down { connect_at: Instant, failures: u32 },
    Connecting { failures: u32 },
    Up(Up),
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
    pub(super) campaigning: bool,
    /// While a try was under way the session was told that it holds nothing more.
    pub(super) loosened: bool,
    pub(super) reading: bool,
    pub(super) read_again: bool,
}

impl Process {
    pub(super) fn up(&mut self) -> Option<&mut Up> {
        match &mut self.session {
            Session::Up(up) => Some(up),
            _ => None,
        }
    }

    pub(super) fn send(&mut self, now: Instant, query: Query) {
        if let Session::Up(up) = &mut self.session {
            up.in_flight.push_back(now);
            up.last_sent = now;
            self.actions.push_back(Action::Send { sent: now, query });
        }
    }

    pub(super) fn connected(&mut self, now: Instant) {
        let Session::Connecting { failures } = self.session else {
            return;
        };
        self.session = Session::Up(Up {
            since: now,
            failures,
            contact: now,
            in_flight: VecDeque::new(),
            last_sent: now,
            heartbeat_at: now,
            heartbeats: 0,
            hinted: false,
            retry_at: now + self.jitter.around(self.timings.retry_interval),
            probe_at: Instant::NEVER,
            campaigning: false,
            loosened: false,
            reading: false,
            read_again: false,
        });
        self.desks.trouble = None;
        self.settle(now);
        for key in self.keys() {
            if self.candidacies[&key].leave_by.is_none() {
                self.join(now, key);
            }
        }
        if self.observes {
            self.read(now);
        }
    }

    pub(super) fn disconnected(&mut self, now: Instant) {
        match self.session {
            Session::Connecting { failures } => self.reconnect(now, failures + 1),
            Session::Up(_) => self.lose_session(now, "the session ended"),
            Session::Down { .. } | Session::Finished => {}
        }
    }

    /// Full jitter: any delay up to a bound that doubles with each failure. Only who owes a vacate comes
    /// back at once: others wait for it.
    pub(super) fn reconnect(&mut self, now: Instant, failures: u32) {
        let owes = self.candidacies.values().any(|c| c.owed.is_some());
        let delay = match failures {
            0 if owes => Duration::ZERO,
            _ => self.jitter.up_to(self.timings.reconnection(failures)),
        };
        self.session = Session::Down {
            connect_at: now + delay,
            failures,
        };
    }

    /// Deposed, for good, when no query was answered for too long. Called before any event is looked at,
    /// so that an answer that comes later changes nothing (invariant 1).
    pub(super) fn expire(&mut self, now: Instant) {
        let Session::Up(up) = &self.session else {
            return;
        };
        if now >= self.deposed_due(up) {
            self.lose_session(now, "no heartbeat was answered in time");
        } else if now >= self.unanswered_due(up) {
            self.lose_session(now, "a query was not answered in time");
        }
    }

    pub(super) fn lose_session(&mut self, now: Instant, why: &'static str) {
        let Session::Up(up) = &self.session else {
            return;
        };
        let contact = up.contact;
        let lasted = now.since(up.since) >= self.timings.heartbeat_interval;
        let failures = if lasted { 0 } else { up.failures + 1 };
        self.actions.push_back(Action::Abandon);
        self.desks.lose();
        for (&key, candidacy) in &mut self.candidacies {
            candidacy.declines = false;
            let place = std::mem::replace(&mut candidacy.place, Place::Absent);
            let ended = match place {
                Place::Leading { term } => Some((term, Ending::Deposed)),
                Place::Ending { term, ending } => Some((term, ending)),
                _ => None,
            };
            if let Some((term, ending)) = ended {
                candidacy.owed = Some(Owed::new(term, ending, now));
                self.actions
                    .push_back(Action::Tell(Notice::Deposed { key, term, why }));
            } else if let Some(owed) = &mut candidacy.owed {
                owed.asked = false;
            }
            if let Some(work) = &mut candidacy.work
                && work.abort_at == Instant::NEVER
            {
                if !work.cancelled {
                    work.cancelled = true;
                    self.actions.push_back(Action::Cancel { key });
                }
                work.drop_at = work.drop_at.min(contact + self.timings.dropped);
                work.abort_at = contact + self.timings.aborted;
            }
        }
        self.reconnect(now, failures);
    }

    pub(super) fn heartbeat(&mut self, now: Instant) {
        let Session::Up(up) = &self.session else {
            return;
        };
        if now < self.heartbeat_due(up) {
            return;
        }
        let heartbeat_at = now + self.timings.heartbeat_interval;
        let keys: Vec<_> = self
            .candidacies
            .iter()
            // Also where it ends in order: its work still runs, and the lock may have become void.
            .filter(|(_, candidacy)| candidacy.term().is_some())
            .map(|(&key, _)| key)
            .collect();
        // A lost notification of a vacate costs one heartbeat.
        for candidacy in self.candidacies.values_mut() {
            if let Place::Waiting(waiting) = &mut candidacy.place {
                waiting.hinted = true;
            }
        }
        if let Some(up) = self.up() {
            up.heartbeat_at = heartbeat_at;
            up.heartbeats += 1;
            up.hinted = false;
        }
        let query = if keys.is_empty() {
            Query::Prove
        } else {
            Query::Heartbeat { keys }
        };
        self.send(now, query);
    }
}
