//! When what waits is due. For each thing one function says it: what acts asks that one, and so does the timer.

use std::time::Duration;

use super::Process;
use super::contenders::{Due, Role};
use super::phase::{Phase, Up};
use crate::engine::candidacy::{Contender, Following, Place, Waiting};
use crate::engine::{Errand, Instant, Key};

impl Process {
    /// When to be woken at the latest.
    pub(crate) fn deadline(&self) -> Instant {
        let session = match &self.session {
            Phase::Up(up) => self.session_due(up),
            session => session.connect_due(),
        };
        let work = self.candidacies.next_due(Due::Work);
        let give_up = self.candidacies.next_due(Due::GiveUp);
        session.min(work).min(give_up)
    }

    /// How often to be woken whatever is due: timers stand still while the machine is suspended, deadlines do not. Work
    /// stops in time without this.
    pub(crate) fn look_every(&self) -> Duration {
        self.timings.tick(self.candidacies.any(Role::Worker))
    }

    fn session_due(&self, up: &Up) -> Instant {
        let slices = Errand::ALL.map(|kind| self.slice_due(up, kind));
        let session = [
            self.deposed_due(up),
            self.unanswered_due(up),
            self.heartbeat_due(up),
            up.look_around_due(),
            up.unsaid.again_at,
            self.displays.belief_due(),
        ];
        let session = session.into_iter().chain(slices);
        session.fold(Instant::NEVER, Instant::min)
    }

    /// When the next slice of this kind goes. Nobody is touched then.
    fn slice_due(&self, up: &Up, kind: Errand) -> Instant {
        if up.asks(kind) {
            return Instant::NEVER;
        }
        let next = |what| self.candidacies.next_due(what);
        match kind {
            // The moment of a look is over.
            Errand::Campaign | Errand::TakeOffice if self.hosts.contested => Instant::NEVER,
            Errand::Campaign => next(Due::Campaign).min(next(Due::Probe).max(up.probe_at)),
            Errand::TakeOffice => next(Due::TakeOffice),
            Errand::Join => next(Due::Join),
            Errand::Ready => next(Due::Ready),
            Errand::Vacate => next(Due::Vacate),
            Errand::Leave => next(Due::Leave),
            Errand::BackendGone => next(Due::BackendGone),
            Errand::Evict => next(Due::Evict),
            Errand::EndFenced => next(Due::EndFenced),
            Errand::Read if up.wanted.read.is_empty() => Instant::NEVER,
            Errand::Read => Instant::default(),
        }
    }

    /// Those of which a slice is to go now.
    pub(super) fn due(&self, now: Instant, what: Due) -> Vec<Key> {
        let due = |contender: &Contender| contender.due(what);
        self.candidacies.due(now, what, due)
    }

    /// The terms of the session are over, where it leads.
    pub(super) fn deposed_due(&self, up: &Up) -> Instant {
        if self.candidacies.any(Role::Leader) {
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
        if self.candidacies.any(Role::Holder) {
            if up.hinted && up.heartbeats == 0 {
                Instant::default()
            } else {
                up.heartbeat_at
            }
        } else if self.candidacies.any(Role::Successor) {
            up.last_sent + self.timings.heartbeat_interval
        } else {
            // Nothing to lose but the session itself, which the server ends when it is silent.
            up.last_sent + self.timings.idle_heartbeat_interval()
        }
    }
}

impl Phase {
    /// It connects again.
    pub(super) fn connect_due(&self) -> Instant {
        match self {
            Phase::Down { connect_at, .. } => *connect_at,
            Phase::Connecting { .. } | Phase::Up(_) | Phase::Finished => Instant::NEVER,
        }
    }
}

impl Up {
    /// Everybody tries, and observers read.
    pub(super) fn look_around_due(&self) -> Instant {
        self.retry_at
    }
}

impl Contender {
    /// When this is due for it, whatever the session has under way.
    pub(super) fn due(&self, what: Due) -> Instant {
        let at_once = |wanted: bool, kind: Errand| match wanted {
            true => self.refused_until(kind),
            false => Instant::NEVER,
        };
        match what {
            Due::Work => self.drop_due().min(self.abort_due()),
            Due::GiveUp => self.give_up_due(),
            Due::Join => at_once(
                self.place == Place::Joining && self.leave_by.is_none(),
                Errand::Join,
            ),
            Due::Campaign if self.may_campaign() => {
                let due = self.next_try.due().max(self.hold_off);
                due.max(self.refused_until(Errand::Campaign))
            }
            Due::Probe if self.may_campaign() && self.is_successor() => {
                self.hold_off.max(self.refused_until(Errand::Campaign))
            }
            Due::Campaign | Due::Probe => Instant::NEVER,
            Due::TakeOffice => {
                let due = self.waiting().map_or(Instant::NEVER, Waiting::office_due);
                due.max(self.refused_until(Errand::TakeOffice))
            }
            Due::Ready => at_once(
                matches!(self.place, Place::Leading { term } if self.recovered == Some(term)),
                Errand::Ready,
            ),
            Due::Vacate => self.vacate_due(),
            Due::Leave => at_once(self.place == Place::Leaving { told: false }, Errand::Leave),
            Due::BackendGone => self.waiting().map_or(Instant::NEVER, Waiting::autopsy_due),
            Due::Evict => {
                let evicts = |following: &Following| following.evicts.is_some();
                at_once(
                    matches!(&self.place, Place::Following(following) if evicts(following)),
                    Errand::Evict,
                )
            }
            Due::EndFenced => {
                let wanted = match &self.place {
                    Place::Waiting(waiting) => waiting.ends_fenced,
                    Place::Following(following) => following.ends_strangers,
                    _ => false,
                };
                at_once(wanted, Errand::EndFenced)
            }
        }
    }

    /// The work is dropped.
    pub(super) fn drop_due(&self) -> Instant {
        let work = self.work.as_ref().filter(|work| !work.dropped);
        work.map_or(Instant::NEVER, |work| work.leash.drop_at())
    }

    /// The work has outlived its lease.
    pub(super) fn abort_due(&self) -> Instant {
        let work = self.work.as_ref().filter(|work| !work.overran);
        work.map_or(Instant::NEVER, |work| work.leash.abort_at())
    }

    /// The term is vacated: one that ends in order, or that an earlier session left behind, once its work has stopped.
    pub(super) fn vacate_due(&self) -> Instant {
        match (&self.owed, &self.place) {
            _ if self.work.is_some() => Instant::NEVER,
            (Some(owed), _) if owed.asked => Instant::NEVER,
            (Some(owed), _) => owed.ask_at.max(self.refused_until(Errand::Vacate)),
            (None, Place::Ending { .. }) => Instant::default(),
            (None, _) => Instant::NEVER,
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

    /// It tries to take office.
    fn office_due(&self) -> Instant {
        if self.hinted {
            self.try_at
        } else {
            self.open_at()
        }
    }

    /// When office may be taken, if no notification comes before.
    fn open_at(&self) -> Instant {
        self.stopped_at.max(self.elsewhere_until).max(self.try_at)
    }
}
