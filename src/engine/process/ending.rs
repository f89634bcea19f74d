//! The end of a term: the work stops, the term is vacated, the lock is let go.

use super::Process;
use super::session::Session;
use crate::engine::candidacy::{Candidacy, Owed, Place};
use crate::engine::{Action, Ending, Instant, Key, Notice, Query, Row, Stop};

impl Process {
    pub(super) fn ready(&mut self, now: Instant, key: Key, term: u64) {
        let Some(candidacy) = self.candidacies.get(&key) else {
            return;
        };
        if candidacy.place == (Place::Leading { term }) {
            if let Some(desk) = self.desks.desks.get_mut(&key) {
                desk.ready = Some(term);
            }
            self.send(now, Query::Ready { key, term });
            self.send(now, Query::Announce { keys: vec![key] });
        }
    }

    /// Begin an orderly end.
    pub(super) fn end(&mut self, now: Instant, key: Key, term: u64, ending: Ending) {
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        if candidacy.place != (Place::Leading { term }) {
            return;
        }
        candidacy.place = Place::Ending { term, ending };
        match &mut candidacy.work {
            Some(work) => {
                work.cancelled = true;
                work.drop_at = now + self.timings.grace;
                self.actions.push_back(Action::Cancel { key });
            }
            None => self.vacate_and_release(now, key, term, ending),
        }
    }

    /// Give up what is held. What an answer under way may bring is given up when it comes.
    pub(super) fn give_up(&mut self, now: Instant, key: Key) {
        let campaigning = self.up().is_some_and(|up| up.campaigning);
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            self.actions.push_back(Action::GaveUp { key });
            return;
        };
        candidacy.resigning = true;
        match &candidacy.place {
            Place::Leading { term } => {
                let term = *term;
                self.end(now, key, term, Ending::Resigned);
            }
            Place::Waiting(waiting) if !waiting.asking => self.decline(now, key),
            Place::Waiting(_) => candidacy.declines = true,
            Place::Following(_) => candidacy.declines = campaigning,
            _ => {}
        }
    }

    /// Whether something of this election is held, about to be taken, or not yet given up for good. What a database
    /// that cannot be reached should know is not waited for.
    fn has_to_give_up(&self, candidacy: &Candidacy) -> bool {
        let up = matches!(self.session, Session::Up(_));
        candidacy.work.is_some()
            || candidacy.declines
            || candidacy.holds_leadership()
            || (up && candidacy.owed.is_some())
    }

    pub(super) fn tell_the_resigning(&mut self) {
        for key in self.keys() {
            let candidacy = &self.candidacies[&key];
            if candidacy.resigning && !self.has_to_give_up(candidacy) {
                self.actions.push_back(Action::GaveUp { key });
                if let Some(candidacy) = self.candidacies.get_mut(&key) {
                    candidacy.resigning = false;
                }
            }
        }
    }

    /// Let go of a lock that was won, before office is taken: the others come first.
    pub(super) fn decline(&mut self, now: Instant, key: Key) {
        self.follow(key);
        self.hold_off(now, key);
        self.release(now, vec![key], vec![]);
        self.send(now, Query::Announce { keys: vec![key] });
        self.actions
            .push_back(Action::Tell(Notice::Declined { key }));
    }

    pub(super) fn hold_off(&mut self, now: Instant, key: Key) {
        let hold_off = self.timings.hold_off();
        if let Some(candidacy) = self.candidacies.get_mut(&key) {
            candidacy.declines = false;
            candidacy.hold_off = now + hold_off;
            candidacy.try_at = candidacy.hold_off;
        }
    }

    pub(super) fn declines(&mut self, key: Key) -> bool {
        let candidacy = self.candidacies.get_mut(&key);
        candidacy.is_some_and(|candidacy| std::mem::take(&mut candidacy.declines))
    }

    pub(super) fn stop_work(&mut self, now: Instant) {
        for (&key, candidacy) in &mut self.candidacies {
            let drops = now >= candidacy.drop_due();
            let aborts = now >= candidacy.abort_due();
            let Some(work) = &mut candidacy.work else {
                continue;
            };
            let term = work.term;
            if drops {
                work.dropped = true;
                if work.abort_at == Instant::NEVER {
                    self.actions
                        .push_back(Action::Tell(Notice::OutOfGrace { key, term }));
                }
                self.actions.push_back(Action::Drop { key });
            }
            if aborts {
                work.overran = true;
                self.actions.push_back(Action::Overrun { key, term });
            }
        }
    }

    pub(super) fn work_stopped(&mut self, now: Instant, key: Key, term: u64, stop: Stop) {
        let up = self.up().is_some();
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        if candidacy.work.as_ref().is_none_or(|work| work.term != term) {
            return;
        }
        if candidacy.in_office() == Some(term) {
            let until = now + self.timings.belief();
            self.desks.read(key, Some(Row::vacant(term)), until);
        }
        candidacy.work = None;
        // Work that has used up the grace leaves none of it for the vacate, without which the next leader waits.
        if let Some(leave_by) = candidacy.leave_by.as_mut().filter(|_| up) {
            *leave_by = (*leave_by).max(now + self.timings.last_word());
        }
        if stop == Stop::Failed {
            candidacy.hold_off = now + self.jitter.around(self.timings.retry_interval);
        } else {
            candidacy.hold_off = now + self.timings.hold_off();
        }
        match candidacy.place {
            Place::Leading { term } => {
                let failed = stop == Stop::Failed;
                let ending = if failed {
                    Ending::Failed
                } else {
                    Ending::Resigned
                };
                self.vacate_and_release(now, key, term, ending);
            }
            Place::Ending { term, ending } => self.vacate_and_release(now, key, term, ending),
            _ => {}
        }
    }

    /// Vacate, *then* unlock, *then* notify; never before the work has stopped (invariant 4).
    pub(super) fn vacate_and_release(&mut self, now: Instant, key: Key, term: u64, ending: Ending) {
        self.follow(key);
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        candidacy.owed = Some(Owed {
            asked: true,
            ..Owed::new(term, ending, now)
        });
        candidacy.try_at = candidacy.hold_off;
        self.send(now, Query::Vacate { key, term, ending });
        self.release(now, vec![key], vec![]);
        self.send(now, Query::Announce { keys: vec![key] });
    }

    /// Vacate what earlier sessions left behind, where the work has stopped.
    pub(super) fn settle(&mut self, now: Instant) {
        for key in self.keys() {
            let up = self.up().is_some();
            let Some(candidacy) = self.candidacies.get_mut(&key) else {
                continue;
            };
            let due = up && now >= candidacy.vacate_due();
            if let Some(owed) = &mut candidacy.owed
                && due
            {
                owed.asked = true;
                let Owed { term, ending, .. } = *owed;
                self.send(now, Query::Vacate { key, term, ending });
                self.send(now, Query::Announce { keys: vec![key] });
            }
        }
    }

    pub(super) fn vacated(&mut self, now: Instant, key: Key, term: u64, done: bool) {
        let lease = self.timings.lease;
        let ask_at = now + self.timings.probe_interval(lease);
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        let Some(owed) = candidacy.owed.as_mut().filter(|owed| owed.term == term) else {
            return;
        };
        if done {
            let ending = owed.ending;
            candidacy.owed = None;
            self.actions
                .push_back(Action::Tell(Notice::Vacated { key, term, ending }));
        } else {
            owed.asked = false;
            owed.ask_at = ask_at;
            let since = *owed.refused_since.get_or_insert(now);
            if !owed.overdue && now.since(since) >= lease {
                owed.overdue = true;
                candidacy.try_at = candidacy.try_at.min(now);
                self.actions
                    .push_back(Action::Tell(Notice::VacateRefused { key, term }));
            }
        }
    }
}
