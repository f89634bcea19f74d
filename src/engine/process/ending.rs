//! The end of a term: the work stops, the term is vacated, the lock is let go.

use std::time::Duration;

use super::Process;
use super::contenders::Due;
use super::phase::Phase;
use crate::engine::candidacy::{Contender, NextTry, Owed, Place};
use crate::engine::{Action, Ending, Errand, Instant, Key, Notice, Query, Row, Stop};

impl Process {
    pub(super) fn ready(&mut self, key: Key, term: u64) {
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        if candidacy.place == (Place::Leading { term }) {
            candidacy.recovered = Some(term);
            if let Some(display) = self.displays.get_mut(key) {
                display.ready = Some(term);
            }
        }
    }

    /// Who meddles with the record costs this term, and no other.
    pub(super) fn recorded(&mut self, now: Instant, key: Key, recorded: bool) {
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        let term = candidacy.recovered.take();
        if let Some(term) = term.filter(|_| !recorded) {
            self.end(now, key, term, Ending::Failed);
        }
    }

    /// Begin an orderly end.
    pub(super) fn end(&mut self, now: Instant, key: Key, term: u64, ending: Ending) {
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        if candidacy.place != (Place::Leading { term }) {
            return;
        }
        candidacy.place = Place::Ending { term, ending };
        candidacy.recovered = None;
        if let Some(work) = &mut candidacy.work {
            work.cancelled = true;
            let grace = if candidacy.graceful {
                self.timings.grace
            } else {
                Duration::ZERO
            };
            work.leash.end(now, grace);
            self.actions.push_back(Action::Cancel { key });
        }
    }

    /// As an orderly end. But who ends again and again before he has begun lets the others come first, as if he had
    /// failed: else he begins ten terms a second, and nobody finds an older one on record any more.
    pub(super) fn ended_by_itself(&mut self, now: Instant, key: Key, term: u64) {
        if let Some(candidacy) = self.candidacies.get_mut(key) {
            candidacy.note_brevity(now, term);
        }
        self.end(now, key, term, Ending::Resigned);
    }

    /// Give up what is held. What an answer under way may bring is given up when it comes.
    pub(super) fn give_up(&mut self, now: Instant, key: Key) {
        let asks_for = |kind| matches!(&self.session, Phase::Up(up) if up.asks_for(kind, key));
        let (tried, asked) = (asks_for(Errand::Campaign), asks_for(Errand::TakeOffice));
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            self.actions.push_back(Action::GaveUp { key });
            return;
        };
        candidacy.resigning = true;
        match &candidacy.place {
            Place::Leading { term } => {
                let term = *term;
                self.end(now, key, term, Ending::Resigned);
            }
            Place::Waiting(_) if !asked => self.decline(now, key),
            Place::Waiting(_) => candidacy.declines = true,
            Place::Following(_) => candidacy.declines = tried,
            _ => {}
        }
    }

    /// Whether something of this election is held, about to be taken, or not yet given up for good. What a database
    /// that cannot be reached should know is not waited for.
    fn has_to_give_up(&self, candidacy: &Contender) -> bool {
        let up = matches!(self.session, Phase::Up(_));
        candidacy.work.is_some()
            || candidacy.declines
            || candidacy.holds_leadership()
            || (up && candidacy.owed.is_some())
    }

    pub(super) fn tell_the_resigning(&mut self) {
        for key in self.candidacies.touched() {
            let candidacy = self.candidacies.get(key);
            let given_up = candidacy
                .is_some_and(|candidacy| candidacy.resigning && !self.has_to_give_up(candidacy));
            if given_up {
                self.actions.push_back(Action::GaveUp { key });
                if let Some(candidacy) = self.candidacies.get_mut(key) {
                    candidacy.resigning = false;
                }
            }
        }
    }

    /// Let go of a lock that was won, before office is taken: the others come first.
    pub(super) fn decline(&mut self, now: Instant, key: Key) {
        self.let_the_lock_go(now, key);
        self.actions
            .push_back(Action::Tell(Notice::Declined { key }));
    }

    /// One that was won, before office is taken.
    pub(super) fn let_the_lock_go(&mut self, now: Instant, key: Key) {
        self.follow(key);
        self.hold_off(now, key);
        self.release(&[key], &[]);
        self.announce(key);
    }

    pub(super) fn hold_off(&mut self, now: Instant, key: Key) {
        let hold_off = self.timings.hold_off();
        if let Some(candidacy) = self.candidacies.get_mut(key) {
            candidacy.declines = false;
            candidacy.hold_off = now + hold_off;
            candidacy.next_try = NextTry::At(candidacy.hold_off);
        }
    }

    pub(super) fn declines(&mut self, key: Key) -> bool {
        let candidacy = self.candidacies.get_mut(key);
        candidacy.is_some_and(|candidacy| std::mem::take(&mut candidacy.declines))
    }

    pub(super) fn stop_work(&mut self, now: Instant) {
        for key in self.due(now, Due::Work) {
            let Some(candidacy) = self.candidacies.get_mut(key) else {
                continue;
            };
            let drops = now >= candidacy.drop_due();
            let aborts = now >= candidacy.abort_due();
            let Some(work) = &mut candidacy.work else {
                continue;
            };
            let term = work.term;
            if drops {
                work.dropped = true;
                if !work.leash.is_lost(now) && candidacy.graceful {
                    self.actions
                        .push_back(Action::Tell(Notice::OutOfGrace { key, term }));
                }
                self.actions.push_back(Action::Drop { key });
            }
            if aborts {
                work.overran = true;
                if self.aborts {
                    self.actions.push_back(Action::Abort);
                }
                self.actions
                    .push_back(Action::Tell(Notice::Overran { key, term }));
            }
        }
    }

    pub(super) fn work_stopped(&mut self, now: Instant, key: Key, term: u64, stop: Stop) {
        let up = self.up().is_some();
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        if stop == Stop::Returned {
            candidacy.note_brevity(now, term);
        }
        let Some(work) = candidacy.work.take_if(|work| work.term == term) else {
            return;
        };
        if candidacy.term() == Some(term) {
            let until = now + self.timings.belief();
            self.displays.read(key, Some(Row::vacant(term)), until);
        }
        // Work that has used up the grace leaves none of it for the vacate, without which the next leader waits.
        if let Some(leave_by) = candidacy.leave_by.as_mut().filter(|_| up) {
            *leave_by = (*leave_by).max(now + self.timings.last_word());
        }
        let failed = matches!(stop, Stop::Failed | Stop::Stranded);
        if failed || work.was_brief {
            let retry_interval = self.jitter.around(self.timings.retry_interval);
            let at_most = self.timings.long_hold_off(retry_interval);
            candidacy.hold_off = now + at_most;
            if candidacy.leave_by.is_none() && stop != Stop::Stranded {
                self.actions
                    .push_back(Action::Tell(Notice::HoldsOff { key, term, at_most }));
            }
        } else {
            candidacy.hold_off = now + self.timings.hold_off();
        }
        match candidacy.place {
            Place::Leading { term } => {
                let ending = if failed {
                    Ending::Failed
                } else {
                    Ending::Resigned
                };
                self.vacate_soon(key, term, ending);
            }
            Place::Ending { term, ending } => self.vacate_soon(key, term, ending),
            _ => {}
        }
    }

    /// Nothing of it runs: vacate, *then* unlock, *then* notify; never before the work has stopped (invariant 4).
    pub(super) fn vacate_soon(&mut self, key: Key, term: u64, ending: Ending) {
        if let Some(candidacy) = self.candidacies.get_mut(key) {
            candidacy.place = Place::Ending { term, ending };
            candidacy.owed = None;
            candidacy.recovered = None;
            candidacy.declines = false;
        }
    }

    /// Vacate what has ended and what earlier sessions left behind, where the work has stopped. Of a single one it is sure
    /// that the server reaches it: then the lock is let go of in the same breath. Says of whom.
    pub(super) fn vacate(&mut self, now: Instant) -> Vec<Key> {
        let keys = self.slice(Errand::Vacate, |rules| rules.due(now, Due::Vacate));
        let mut terms = vec![];
        for &key in &keys {
            let Some(candidacy) = self.candidacies.get_mut(key) else {
                continue;
            };
            if let Place::Ending { term, ending } = candidacy.place {
                let owed = || Owed::new(term, ending, now);
                candidacy.owed.get_or_insert_with(owed);
            }
            if let Some(owed) = &mut candidacy.owed {
                owed.asked = true;
                terms.push((key, owed.term, owed.ending));
            }
        }
        let sure = keys.len() == 1;
        let gone = terms.iter().filter(|_| sure);
        let gone: Vec<(Key, u64)> = gone.map(|(key, term, _)| (*key, *term)).collect();
        if !terms.is_empty() {
            self.send(now, Query::Vacate { terms });
        }
        for (key, term) in &gone {
            self.let_go(*key, *term);
        }
        gone.into_iter().map(|(key, _)| key).collect()
    }

    /// What was vacated, or could not be. Everybody is told. A newer term, whose work may run, keeps its lock.
    fn let_go(&mut self, key: Key, vacated: u64) {
        let ended = matches!(self.place(key), Some(Place::Ending { term, .. }) if *term == vacated);
        if ended {
            self.follow(key);
            self.release(&[key], &[]);
            if let Some(candidacy) = self.candidacies.get_mut(key) {
                candidacy.next_try = NextTry::At(candidacy.hold_off);
            }
        }
        self.announce(key);
    }

    pub(super) fn owed(&mut self, key: Key) -> Option<&mut Owed> {
        self.candidacies.get_mut(key)?.owed.as_mut()
    }

    /// `sure`: it was alone, and let go of in the same breath.
    pub(super) fn vacated(&mut self, now: Instant, key: Key, term: u64, done: bool, sure: bool) {
        let lease = self.timings.lease;
        let ask_at = now + self.timings.probe_interval(lease);
        let Some(candidacy) = self.candidacies.get_mut(key) else {
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
                candidacy.next_try.bring_forward(now);
                self.actions
                    .push_back(Action::Tell(Notice::VacateRefused { key, term }));
            }
        }
        if !sure {
            self.let_go(key, term);
        }
    }
}
