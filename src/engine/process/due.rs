//! When what waits is due. For each thing one function says it: what acts asks that one, and so does the timer.

use std::time::Duration;

use super::Process;
use super::session::{Session, Up};
use crate::engine::candidacy::{Candidacy, Place, Waiting};
use crate::engine::{Instant, Key};

impl Process {
    /// When to be woken at the latest.
    pub(crate) fn deadline(&self) -> Instant {
        let session = match &self.session {
            Session::Up(up) => self.session_due(up),
            session => session.connect_due(),
        };
        let candidacies = self.candidacies.values().map(|candidacy| {
            let work = candidacy.drop_due().min(candidacy.abort_due());
            work.min(candidacy.give_up_due())
        });
        candidacies.fold(session, Instant::min)
    }

    /// How often to be woken whatever is due: timers stand still while the machine is suspended, deadlines do not. Work
    /// stops in time without this.
    pub(crate) fn look_every(&self) -> Duration {
        let mut candidacies = self.candidacies.values();
        self.timings.tick(candidacies.any(|c| c.work.is_some()))
    }

    fn session_due(&self, up: &Up) -> Instant {
        let session = [
            self.deposed_due(up),
            self.unanswered_due(up),
            self.heartbeat_due(up),
            up.look_around_due(),
        ];
        let candidacies = self.candidacies.iter().flat_map(|(&key, candidacy)| {
            let waiting = candidacy.waiting();
            [
                candidacy.vacate_due(),
                self.campaign_due(up, key, candidacy),
                waiting.map_or(Instant::NEVER, Waiting::autopsy_due),
                waiting.map_or(Instant::NEVER, |waiting| self.office_due(key, waiting)),
            ]
        });
        (session.into_iter().chain(candidacies)).fold(Instant::NEVER, Instant::min)
    }

    /// The terms of the session are over, where it leads.
    pub(super) fn deposed_due(&self, up: &Up) -> Instant {
        let leads = self.candidacies.values().any(|c| c.term().is_some());
        if leads {
            up.contact + self.timings.deposed
        } else {
            Instant::NEVER
        }
    }

    /// A query was not answered in time.
    pub(super) fn unanswered_due(&self, up: &Up) -> Instant {
        let oldest = up.in_flight.front();
        oldest.map_or(Instant::NEVER, |sent| *sent + self.timings.query_limit())
    }

    /// The session proves itself.
    pub(super) fn heartbeat_due(&self, up: &Up) -> Instant {
        if self.candidacies.values().any(Candidacy::holds_leadership) {
            if up.hinted && up.heartbeats == 0 {
                Instant::default()
            } else {
                up.heartbeat_at
            }
        } else if self.candidacies.values().any(Candidacy::is_successor) {
            up.last_sent + self.timings.heartbeat_interval
        } else {
            // Nothing to lose but the session itself, which the server ends when it is silent.
            up.last_sent + self.timings.idle_heartbeat_interval()
        }
    }

    /// This candidacy tries for the leadership.
    pub(super) fn campaign_due(&self, up: &Up, key: Key, candidacy: &Candidacy) -> Instant {
        if up.campaigning || !candidacy.may_campaign() || !self.may_begin(key) {
            return Instant::NEVER;
        }
        let probe_at = if candidacy.is_successor() {
            up.probe_at
        } else {
            Instant::NEVER
        };
        probe_at.min(candidacy.try_at).max(candidacy.hold_off)
    }

    /// It tries to take office.
    pub(super) fn office_due(&self, key: Key, waiting: &Waiting) -> Instant {
        if waiting.asking || !self.may_begin(key) {
            Instant::NEVER
        } else if waiting.hinted {
            waiting.try_at
        } else {
            waiting.open_at()
        }
    }
}

impl Session {
    /// It connects again.
    pub(super) fn connect_due(&self) -> Instant {
        match self {
            Session::Down { connect_at, .. } => *connect_at,
            Session::Connecting { .. } | Session::Up(_) | Session::Finished => Instant::NEVER,
        }
    }
}

impl Up {
    /// Everybody tries, and observers read.
    pub(super) fn look_around_due(&self) -> Instant {
        self.retry_at
    }
}

impl Candidacy {
    /// The work is dropped.
    pub(super) fn drop_due(&self) -> Instant {
        let work = self.work.as_ref().filter(|work| !work.dropped);
        work.map_or(Instant::NEVER, |work| work.drop_at)
    }

    /// The work has outlived its lease.
    pub(super) fn abort_due(&self) -> Instant {
        let work = self.work.as_ref().filter(|work| !work.overran);
        work.map_or(Instant::NEVER, |work| work.abort_at)
    }

    /// What an earlier session left behind is vacated, once its work has stopped.
    pub(super) fn vacate_due(&self) -> Instant {
        match &self.owed {
            Some(owed) if self.work.is_none() && !owed.asked => owed.ask_at,
            _ => Instant::NEVER,
        }
    }

    /// The candidacy ends without the database's word.
    pub(super) fn give_up_due(&self) -> Instant {
        let alone = matches!(self.place, Place::Absent | Place::Leaving { .. });
        let leave_by = self.leave_by.filter(|_| alone && self.work.is_none());
        leave_by.unwrap_or(Instant::NEVER)
    }

    /// Nothing more to do for this candidacy, with a session or (`offline`) without one.
    pub(super) fn is_over(&self, now: Instant, offline: bool) -> bool {
        let told = match self.place {
            Place::Leaving { told } => told,
            Place::Absent => offline && self.leave_by.is_some(),
            _ => false,
        };
        let settled = told && self.work.is_none() && self.owed.is_none();
        settled || now >= self.give_up_due()
    }
}

impl Waiting {
    /// It is looked whether the last leader's backend is gone.
    pub(super) fn autopsy_due(&self) -> Instant {
        self.evidence.map_or(Instant::NEVER, |_| self.look_at)
    }

    /// When office may be taken, if no notification comes before.
    fn open_at(&self) -> Instant {
        self.stopped_at.max(self.elsewhere_until).max(self.try_at)
    }
}
