//! Heartbeats, and when the machine must be woken at the latest.

use super::Process;
use super::session::{Session, Up};
use crate::engine::candidacy::{Candidacy, Place};
use crate::engine::{Instant, Query};

impl Process {
    pub(super) fn heartbeat_due(&self, up: &Up) -> Instant {
        if self.candidacies.values().any(Candidacy::holds_leadership) {
            let hinted = up.hinted && up.heartbeats == 0;
            if hinted {
                Instant::default()
            } else {
                up.heartbeat_at
            }
        } else if self.candidacies.values().any(Candidacy::is_successor) {
            up.last_sent + self.timings.heartbeat_interval
        } else {
            // Nothing to lose but the session itself, which the server ends when it is silent.
            up.last_sent + self.timings.retry_interval * 2
        }
    }

    pub(super) fn heartbeat(&mut self, now: Instant) {
        let Session::Up(up) = &self.session else {
            return;
        };
        if now < self.heartbeat_due(up) {
            return;
        }
        let heartbeat_at = now + self.timings.heartbeat_interval;
        let keys = self
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
        self.send(now, Query::Heartbeat { keys });
    }

    /// When to be woken at the latest.
    pub(crate) fn deadline(&self) -> Instant {
        let candidacies = self.candidacies.values();
        let work = candidacies.clone().flat_map(|candidacy| {
            let work = candidacy.work.as_ref();
            let drop_at = work.filter(|work| !work.dropped).map(|work| work.drop_at);
            let abort_at = work.filter(|work| !work.overran).map(|work| work.abort_at);
            [drop_at, abort_at, candidacy.give_up_at()]
        });
        let work = work.flatten().min().unwrap_or(Instant::NEVER);
        let session = match &self.session {
            Session::Down { connect_at, .. } => *connect_at,
            Session::Connecting { .. } | Session::Finished => Instant::NEVER,
            Session::Up(up) => self.session_deadline(up),
        };
        work.min(session)
    }

    pub(super) fn session_deadline(&self, up: &Up) -> Instant {
        let leads = self
            .candidacies
            .values()
            .any(|candidacy| candidacy.term().is_some());
        let deposed = if leads {
            up.contact + self.timings.deposed
        } else {
            Instant::NEVER
        };
        let overdue = up
            .in_flight
            .front()
            .map_or(Instant::NEVER, |sent| *sent + self.timings.query_limit());
        let candidacies = self.candidacies.iter().map(|(&key, candidacy)| {
            let owed = match &candidacy.owed {
                Some(owed) if !owed.asked && candidacy.work.is_none() => owed.ask_at,
                _ => Instant::NEVER,
            };
            let office = match &candidacy.place {
                Place::Waiting(waiting) => {
                    let asks = !waiting.asking && self.may_begin(key);
                    let office = if !asks {
                        Instant::NEVER
                    } else {
                        waiting.take_office_at()
                    };
                    let hinted = waiting.hinted && asks;
                    let hinted = if hinted {
                        waiting.try_at
                    } else {
                        Instant::NEVER
                    };
                    let look = waiting.evidence.map_or(Instant::NEVER, |_| waiting.look_at);
                    office.min(hinted).min(look)
                }
                _ => Instant::NEVER,
            };
            owed.min(office).min(self.campaign_at(up, key, candidacy))
        });
        candidacies
            .min()
            .unwrap_or(Instant::NEVER)
            .min(deposed)
            .min(overdue)
            .min(self.heartbeat_due(up))
            .min(up.retry_at)
    }
}
