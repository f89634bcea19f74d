//! Joining and leaving, looking around, trying.

use std::time::Duration;

use super::Process;
use super::contenders::{Due, Role};
use super::phase::Phase;
use crate::engine::candidacy::{Following, Place};
use crate::engine::{Action, Bar, Ending, Errand, Instant, Key, Notice, View};

impl Process {
    pub(super) fn leave(&mut self, now: Instant, key: Key) {
        if let Some(candidacy) = self.candidacies.get_mut(key) {
            candidacy.leave_by.get_or_insert(now + self.timings.grace);
        }
    }

    pub(super) fn take_leave(&mut self, now: Instant, key: Key) {
        let offline = !matches!(self.session, Phase::Up(_));
        let asked = |kind| matches!(&self.session, Phase::Up(up) if up.asks_for(kind, key));
        let Some(candidacy) = self.candidacies.get(key) else {
            return;
        };
        if candidacy.leave_by.is_none() {
            return;
        }
        match &candidacy.place {
            Place::Leading { term } => {
                let term = *term;
                self.end(now, key, term, Ending::Resigned);
            }
            Place::Following(following) if !asked(Errand::Campaign) => {
                if following.successor {
                    self.release(&[], &[key]);
                }
                self.take_back(key);
            }
            Place::Waiting(_) if !asked(Errand::TakeOffice) => {
                self.release(&[key], &[]);
                self.take_back(key);
            }
            Place::Joining if !asked(Errand::Join) => self.take_back(key),
            Place::Absent if !offline && candidacy.work.is_none() => self.take_back(key),
            _ => {}
        }
    }

    /// Those that are over are forgotten, once all is asked that they want: afterwards nothing can be said of them.
    pub(super) fn forget_the_left(&mut self, now: Instant) {
        let offline = !matches!(self.session, Phase::Up(_));
        let mut keys = self.candidacies.touched();
        keys.extend(self.due(now, Due::GiveUp));
        for key in keys {
            let candidacy = self.candidacies.get(key);
            // Its time may have been over before it could be taken back.
            if candidacy.is_none_or(|candidacy| !candidacy.is_over(now, offline)) {
                continue;
            }
            let candidacy = self.candidacies.remove(key);
            if candidacy.is_some_and(|candidacy| candidacy.resigning) {
                self.actions.push_back(Action::GaveUp { key });
            }
            if let Some(up) = self.up() {
                up.unsaid.keys.remove(&key);
            }
            self.displays.clear(key, false);
            self.actions.push_back(Action::Left { key });
        }
    }

    /// Of these nothing was sent, so nothing was answered either.
    pub(super) fn never_joined(&mut self, keys: &[Key], sent: Instant) {
        if let Some(up) = self.up()
            && let Some(leaving) = up.slices.get_mut(&Errand::Leave)
        {
            leaving.retain(|key| !keys.contains(key));
            if leaving.is_empty() {
                up.slices.remove(&Errand::Leave);
                up.take_out(sent);
            }
        }
        for key in keys {
            self.has_left(*key);
        }
    }

    /// A candidacy that was begun again meanwhile is not the one that has left.
    pub(super) fn has_left(&mut self, key: Key) {
        if let Some(Place::Leaving { told }) = self.place(key) {
            *told = true;
        }
    }

    /// Take a candidacy back. What it holds is let go of before that is told.
    fn take_back(&mut self, key: Key) {
        if let Some(candidacy) = self.candidacies.get_mut(key) {
            candidacy.place = Place::Leaving { told: false };
        }
    }

    /// From now on a follower, as far as nothing else is known.
    pub(super) fn follow(&mut self, key: Key) {
        if let Some(candidacy) = self.candidacies.get_mut(key) {
            candidacy.place = Place::Following(Following {
                probe_interval: self.timings.probe_interval(self.timings.lease),
                ..Following::default()
            });
        }
    }

    /// Told once, and its end too.
    pub(super) fn barred(&mut self, key: Key, bar: Option<Bar>) {
        let bar = self.held_elsewhere(key).or(bar);
        if let Some(candidacy) = self.candidacies.get_mut(key)
            && candidacy.bar != bar
        {
            candidacy.bar = bar;
            self.actions
                .push_back(Action::Tell(Notice::Barred { key, bar }));
        }
    }

    pub(super) fn hinted(&mut self, now: Instant, key: Key) {
        let display = self.displays.get(key);
        let mut look = display.is_some_and(|display| display.observed);
        let place = self
            .candidacies
            .get_mut(key)
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
            self.read(key);
        }
    }

    pub(super) fn try_soon(&mut self, key: Key, at: Instant) {
        if let Some(candidacy) = self.candidacies.get_mut(key) {
            candidacy.next_try.bring_forward(at);
        }
    }

    pub(super) fn viewed(&mut self, now: Instant, key: Key, view: View, chance: Duration) {
        let making_way = self.timings.making_way(self.timings.lease);
        let Some(candidacy) = self.candidacies.get_mut(key) else {
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
        let Phase::Up(up) = &self.session else {
            return;
        };
        if now < up.look_around_due() {
            return;
        }
        let retry_at = now + self.jitter.around(self.timings.retry_interval);
        let candidacies = self.candidacies.iter_mut().map(|(_, candidacy)| candidacy);
        for candidacy in candidacies.filter(|candidacy| candidacy.may_campaign()) {
            candidacy.next_try.bring_forward(now);
        }
        if self.observes {
            self.read_all_there_is();
        }
        if let Some(up) = self.up() {
            up.retry_at = retry_at;
        }
    }

    /// The shortest of those at which this process probes as a successor.
    pub(super) fn probe_interval(&self) -> Option<Duration> {
        let successors = self.candidacies.those(Role::Successor).into_iter();
        let places = successors.filter_map(|key| Some(&self.candidacies.get(key)?.place));
        let intervals = places.filter_map(|place| match place {
            Place::Following(following) => Some(following.probe_interval),
            _ => None,
        });
        intervals.min()
    }
}
