//! Joining and leaving, looking around, trying.

use std::time::Duration;

use super::Process;
use super::session::Session;
use crate::engine::candidacy::{Following, Place};
use crate::engine::{Action, Bar, Ending, Instant, Key, Notice, Query, View};

impl Process {
    pub(super) fn join(&mut self, now: Instant, key: Key) {
        let heard = self.heard_of(key);
        if let Some(candidacy) = self.candidacies.get_mut(&key) {
            candidacy.place = Place::Joining;
            self.send(now, Query::Join { key, heard });
        }
    }

    pub(super) fn leave(&mut self, now: Instant, key: Key) {
        if let Some(candidacy) = self.candidacies.get_mut(&key) {
            candidacy.leave_by.get_or_insert(now + self.timings.grace);
        }
    }

    pub(super) fn take_leave(&mut self, now: Instant, key: Key) {
        let offline = !matches!(self.session, Session::Up(_));
        let campaigning = self.up().is_some_and(|up| up.campaigning);
        let Some(candidacy) = self.candidacies.get(&key) else {
            return;
        };
        if candidacy.leave_by.is_none() {
            return;
        }
        match &candidacy.place {
            Place::Leading { term } => {
                let term = *term;
                return self.end(now, key, term, Ending::Resigned);
            }
            Place::Following(following) if !campaigning => {
                let succession = following.successor.then_some(key);
                self.take_back(now, key, vec![], succession.into_iter().collect());
            }
            Place::Waiting(waiting) if !waiting.asking => {
                self.take_back(now, key, vec![key], vec![]);
            }
            Place::Absent if !offline && candidacy.work.is_none() => {
                self.take_back(now, key, vec![], vec![]);
            }
            _ => {}
        }
        // Its time may have been over before it could be taken back.
        if self.candidacies[&key].is_over(now, offline) {
            let candidacy = self.candidacies.remove(&key);
            if candidacy.is_some_and(|candidacy| candidacy.resigning) {
                self.actions.push_back(Action::GaveUp { key });
            }
            self.desks.clear(key, false);
            self.actions.push_back(Action::Left { key });
        }
    }

    /// Take a candidacy back, and let go of what it holds.
    fn take_back(&mut self, now: Instant, key: Key, leadership: Vec<Key>, succession: Vec<Key>) {
        if let Some(candidacy) = self.candidacies.get_mut(&key) {
            candidacy.place = Place::Leaving { told: false };
        }
        if !(leadership.is_empty() && succession.is_empty()) {
            self.release(now, leadership, succession);
        }
        self.send(now, Query::Leave { key });
    }

    /// Let go of locks. Their places must have been left already.
    pub(super) fn release(&mut self, now: Instant, leadership: Vec<Key>, succession: Vec<Key>) {
        let holds_more = self.holds_any();
        if let Some(up) = self.up() {
            up.loosened |= up.campaigning && !holds_more;
        }
        let silence_limit = if holds_more {
            self.timings.silence_limit
        } else {
            self.timings.patience()
        };
        let release = Query::Release {
            leadership,
            succession,
            silence_limit,
        };
        self.send(now, release);
    }

    /// From now on a follower, as far as nothing else is known.
    pub(super) fn follow(&mut self, key: Key) {
        if let Some(candidacy) = self.candidacies.get_mut(&key) {
            candidacy.place = Place::Following(Following {
                probe_interval: self.timings.probe_interval(self.timings.lease),
                ..Following::default()
            });
        }
    }

    /// Told once, and its end too.
    pub(super) fn barred(&mut self, key: Key, bar: Option<Bar>) {
        let bar = self.held_elsewhere(key).or(bar);
        if let Some(candidacy) = self.candidacies.get_mut(&key)
            && candidacy.bar != bar
        {
            candidacy.bar = bar;
            self.actions
                .push_back(Action::Tell(Notice::Barred { key, bar }));
        }
    }

    pub(super) fn hinted(&mut self, now: Instant, key: Key) {
        let mut look = self.observes;
        let place = self
            .candidacies
            .get_mut(&key)
            .map(|candidacy| &mut candidacy.place);
        match place {
            Some(Place::Following(following)) if !following.successor => look = true,
            Some(Place::Following(_)) => self.try_soon(key, now),
            Some(Place::Waiting(waiting)) => waiting.hinted = true,
            Some(Place::Leading { .. }) => {
                if let Some(up) = self.up() {
                    up.hinted = true;
                }
            }
            _ => {}
        }
        if look {
            self.read(now);
        }
    }

    pub(super) fn try_soon(&mut self, key: Key, at: Instant) {
        if let Some(candidacy) = self.candidacies.get_mut(&key) {
            candidacy.try_at = candidacy.try_at.min(at);
        }
    }

    /// One read outstanding at most, however many notifications come.
    pub(super) fn read(&mut self, now: Instant) {
        if let Some(up) = self.up() {
            if up.reading {
                up.read_again = true;
            } else {
                up.reading = true;
                up.read_again = false;
                self.send(now, Query::Read);
            }
        }
    }

    pub(super) fn viewed(&mut self, now: Instant, key: Key, view: View, chance: Duration) {
        let making_way = self.timings.making_way(self.timings.lease);
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        let news = view.term != candidacy.seen_term;
        candidacy.seen_term = view.term;
        if let Place::Following(following) = &mut candidacy.place
            && (news || !view.vacant)
        {
            following.overdue_at = None;
        }
        if !candidacy.may_campaign() || candidacy.is_successor() {
            return;
        }
        // Whether it is outranked, or has heard of too much, is for tries to find out.
        let was = candidacy
            .bar
            .filter(|bar| !matches!(bar, Bar::Outranked | Bar::Beyond));
        if was != view.bar {
            self.barred(key, view.bar);
        }
        if view.called {
            self.try_soon(key, now);
        } else if let Some(bar) = view.bar {
            // Suspensions and exclusions are lifted with a word; a transfer may be given up without one.
            if view.vacant && !matches!(bar, Bar::Suspended | Bar::Excluded) {
                self.try_soon(key, now + making_way);
            }
        } else if was.is_some() {
            // Nobody may have been the successor meanwhile.
            self.try_soon(key, now + chance);
        } else if view.vacant {
            // The successor comes first; then anyone.
            self.try_soon(key, now + self.timings.turn_at_office(chance));
        } else if news {
            // A new term leaves the successor's place free.
            self.try_soon(key, now + self.timings.turn_at_succession(chance));
        }
    }

    /// Once per retry interval everybody tries; a notification that was lost is made good here.
    pub(super) fn look_around(&mut self, now: Instant) {
        let Session::Up(up) = &self.session else {
            return;
        };
        if now >= up.look_around_due() {
            let retry_interval = self.jitter.around(self.timings.retry_interval);
            for candidacy in self.candidacies.values_mut().filter(|c| c.may_campaign()) {
                candidacy.try_at = candidacy.try_at.min(now);
            }
            if self.observes {
                self.read(now);
            }
            if let Some(up) = self.up() {
                up.retry_at = now + retry_interval;
            }
        }
        if let Some(up) = self.up()
            && up.read_again
            && !up.reading
        {
            self.read(now);
        }
    }

    /// One query for all elections that are due (invariant 7).
    pub(super) fn campaign(&mut self, now: Instant) {
        let Session::Up(up) = &self.session else {
            return;
        };
        let due: Vec<Key> = self
            .candidacies
            .iter()
            .filter(|(key, candidacy)| now >= self.campaign_due(up, **key, candidacy))
            .map(|(&key, _)| key)
            .collect();
        if due.is_empty() {
            return;
        }
        let mut successor_of = vec![];
        let mut overdue = vec![];
        for key in &due {
            if let Some(candidacy) = self.candidacies.get_mut(key) {
                candidacy.try_at = Instant::NEVER;
                let Place::Following(following) = &candidacy.place else {
                    continue;
                };
                if following.successor {
                    successor_of.push(*key);
                }
                let is_overdue = following.overdue_at.is_some_and(|at| now >= at);
                if is_overdue || now < following.insists_until {
                    overdue.push(*key);
                }
            }
        }
        let heard = due
            .iter()
            .filter_map(|key| Some((*key, *self.heard.get(key)?)))
            .collect();
        let probe_interval = self.probe_interval();
        if let Some(up) = self.up() {
            up.campaigning = true;
            if now >= up.probe_at {
                up.probe_at = probe_interval.map_or(Instant::NEVER, |interval| now + interval);
            }
        }
        self.send(
            now,
            Query::Campaign {
                keys: due,
                successor_of,
                overdue,
                heard,
            },
        );
    }

    /// The shortest of those at which this process probes as a successor.
    pub(super) fn probe_interval(&self) -> Option<Duration> {
        self.candidacies
            .values()
            .filter_map(|candidacy| match &candidacy.place {
                Place::Following(following) if following.successor => {
                    Some(following.probe_interval)
                }
                _ => None,
            })
            .min()
    }
}
