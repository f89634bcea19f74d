//! The session of the process: connecting, losing, reconnecting.

use std::time::Duration;

use super::Process;
use super::contenders::Role;
use super::phase::{Phase, Up};
use crate::engine::candidacy::{Owed, Place};
use crate::engine::{Action, Ending, Instant, Notice, Query, WaitingFor};

impl Process {
    pub(super) fn up(&mut self) -> Option<&mut Up> {
        match &mut self.session {
            Phase::Up(up) => Some(up),
            _ => None,
        }
    }

    pub(super) fn send(&mut self, now: Instant, query: Query) {
        if let Phase::Up(up) = &mut self.session {
            up.in_flight.push_back(now);
            up.last_sent = now;
            self.actions.push_back(Action::Send { sent: now, query });
        }
    }

    pub(super) fn connected(&mut self, now: Instant) {
        let Phase::Connecting { failures } = self.session else {
            return;
        };
        let retry_at = now + self.jitter.around(self.timings.retry_interval);
        self.session = Phase::Up(Box::new(Up::new(now, failures, retry_at)));
        self.displays.trouble = None;
        self.displays.touch_all();
        for (_, candidacy) in self.candidacies.iter_mut() {
            // This server may refuse other things.
            if let Some(refusal) = &mut candidacy.refusal {
                refusal.until = now;
            }
            if candidacy.leave_by.is_none() {
                candidacy.place = Place::Joining;
            }
        }
        if self.observes {
            self.read_all_there_is();
        }
    }

    pub(super) fn disconnected(&mut self, now: Instant, why: &'static str) {
        match self.session {
            Phase::Connecting { .. } => self.not_opened(now, true),
            Phase::Up(_) => self.lose_session(now, why),
            Phase::Down { .. } | Phase::Finished => {}
        }
    }

    /// What stands in the way is shown.
    pub(super) fn none_opened(&mut self, now: Instant, schema: bool, outage: bool) {
        self.displays.trouble = schema.then_some(WaitingFor::Schema);
        self.displays.touch_all();
        self.not_opened(now, outage);
    }

    /// `outage`: it may be there at any moment.
    pub(super) fn not_opened(&mut self, now: Instant, outage: bool) {
        if let Phase::Connecting { failures } = self.session {
            self.reconnect(now, failures + 1, outage);
        }
    }

    pub(super) fn restarted(&mut self, now: Instant) {
        self.disconnected(now, "its driver failed");
        self.displays.forget_what_is_shown();
    }

    /// Who would leave has left once his work has stopped: the database may never be told.
    pub(super) fn lose_hope(&mut self, now: Instant) {
        for (_, candidacy) in self.candidacies.iter_mut() {
            candidacy.leave_by = candidacy.leave_by.map(|by| by.min(now));
        }
    }

    /// Full jitter: any delay up to a bound that doubles with each failure. Only who owes a vacate comes
    /// back at once: others wait for it.
    fn reconnect(&mut self, now: Instant, failures: u32, outage: bool) {
        let owes = self.candidacies.any(Role::Debtor);
        let delay = match failures {
            0 if owes => Duration::ZERO,
            _ => self
                .jitter
                .up_to(self.timings.reconnection(failures, outage)),
        };
        self.session = Phase::Down {
            connect_at: now + delay,
            failures,
        };
    }

    /// Deposed, for good, when no query was answered for too long. Called before any event is looked at,
    /// so that an answer that comes later changes nothing (invariant 1).
    pub(super) fn expire(&mut self, now: Instant) {
        let Phase::Up(up) = &self.session else {
            return;
        };
        if now >= self.deposed_due(up) {
            self.lose_session(now, "no heartbeat was answered in time");
        } else if now >= self.unanswered_due(up) {
            self.lose_session(now, "a query was not answered in time");
        }
    }

    pub(super) fn lose_session(&mut self, now: Instant, why: &'static str) {
        let Phase::Up(up) = &self.session else {
            return;
        };
        let contact = up.contact;
        let lasted = now.since(up.since) >= self.timings.heartbeat_interval;
        let failures = if lasted { 0 } else { up.failures + 1 };
        self.actions.push_back(Action::Abandon);
        self.displays.lose();
        self.hosts.lose();
        for (key, candidacy) in self.candidacies.iter_mut() {
            candidacy.declines = false;
            candidacy.recovered = None;
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
                && !work.leash.is_lost(now)
            {
                if !work.cancelled {
                    work.cancelled = true;
                    self.actions.push_back(Action::Cancel { key });
                }
                work.leash.lose(contact + self.timings.deposed);
                if !candidacy.graceful {
                    work.leash.end(now, Duration::ZERO);
                }
            }
        }
        // One that never lasts is no outage: it is to be had, and no better the sooner it comes.
        self.reconnect(now, failures, lasted);
    }

    pub(super) fn heartbeat(&mut self, now: Instant) {
        let Phase::Up(up) = &self.session else {
            return;
        };
        if now < self.heartbeat_due(up) {
            return;
        }
        let heartbeat_at = now + self.timings.heartbeat_interval;
        // Also where it ends in order: its work still runs, and the lock may have become void.
        let keys = self.candidacies.those(Role::Leader);
        // A lost notification of a vacate costs one heartbeat.
        for key in self.candidacies.those(Role::Waiter) {
            if let Some(waiting) = self.waiting(key) {
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
