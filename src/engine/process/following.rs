//! Who follows: what it makes of what it reads, and when it tries.

use std::time::Duration;

use super::Process;
use super::contenders::Role;
use super::phase::Phase;
use crate::engine::candidacy::{Following, Place};
use crate::engine::{Action, Bar, Instant, Key, Notice, View};

impl Process {
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
