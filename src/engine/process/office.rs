//! From the lock to the term: waiting, and taking office.

use std::time::Duration;

use super::Process;
use super::contenders::Role;
use super::phase::Phase;
use crate::engine::candidacy::{Place, Waiting};
use crate::engine::evidence::Evidence;
use crate::engine::{Action, Bar, Ending, Heard, Instant, Key, Notice, Office, Won};

impl Process {
    pub(super) fn place(&mut self, key: Key) -> Option<&mut Place> {
        Some(&mut self.candidacies.get_mut(key)?.place)
    }

    pub(super) fn waiting(&mut self, key: Key) -> Option<&mut Waiting> {
        match self.place(key)? {
            Place::Waiting(waiting) => Some(waiting),
            _ => None,
        }
    }

    /// The lock is ours: from here the session must prove itself.
    pub(super) fn enter(&mut self, now: Instant, key: Key, waiting: Waiting) {
        let first = !self.candidacies.any(Role::Holder);
        if let Some(candidacy) = self.candidacies.get_mut(key) {
            candidacy.place = Place::Waiting(waiting);
            candidacy.stranger = None;
        }
        self.hosts.won(key);
        self.barred(key, None);
        let heartbeat_at = now + self.timings.heartbeat_interval;
        if let Some(up) = self.up()
            && first
        {
            up.heartbeat_at = heartbeat_at;
        }
    }

    pub(super) fn wait(&mut self, now: Instant, key: Key, won: &Won) {
        let Some(candidacy) = self.candidacies.get(key) else {
            return;
        };
        let Place::Following(following) = &candidacy.place else {
            return;
        };
        let watch = following.watch.as_ref().filter(|watch| watch.concerns(won));
        let Phase::Up(up) = &self.session else {
            return;
        };
        let proved = up.since;
        let until = now + won.wait;
        let stopped_at = watch
            .filter(|watch| watch.silent_for() >= self.timings.irrevocable(won.wait))
            .map_or(until, |watch| (watch.silent_since() + won.wait).max(now));
        let silent = stopped_at == now && !won.wait.is_zero();
        let evidence = (watch.map(Evidence::sample).or(won.watched))
            .filter(|_| won.direct && candidacy.autopsy && !silent);
        let elsewhere_until = proved + won.elsewhere;
        // A hint that came while the try was under way may tell of a vacate that the try was too early to
        // see.
        let hinted = candidacy.next_try.is_asked_for();
        self.enter(
            now,
            key,
            Waiting {
                until: until.max(elsewhere_until),
                elsewhere: won.elsewhere,
                elsewhere_until,
                evidence,
                hinted,
                ..Waiting::until(won.last_term, stopped_at)
            },
        );
        let at_most = stopped_at.max(elsewhere_until).since(now);
        self.begin_to_wait(now, key, won.last_term, silent, at_most);
    }

    fn begin_to_wait(
        &mut self,
        now: Instant,
        key: Key,
        last_term: u64,
        silent: bool,
        at_most: Duration,
    ) {
        if silent {
            let why = "its session was silent for its lease";
            self.actions.push_back(Action::Tell(Notice::Spared {
                key,
                last_term,
                why,
            }));
        }
        if at_most.is_zero() {
            return;
        }
        if let Some(waiting) = self.waiting(key) {
            waiting.look_at = now;
        }
        self.announce(key);
        let notice = Notice::Waiting {
            key,
            last_term,
            at_most,
        };
        self.actions.push_back(Action::Tell(notice));
    }

    pub(super) fn asked_for_office(&mut self, now: Instant, key: Key, office: Office) {
        if let (Office::Began { term, .. }, None) = (&office, self.up()) {
            return self.began_too_late(now, key, *term);
        }
        let since = self.waiting(key).and_then(|waiting| waiting.fenced_since);
        let interval = self
            .timings
            .fenced_interval(now.since(since.unwrap_or(now)));
        let probe_interval = self.timings.probe_interval(self.timings.lease);
        let making_way = self.timings.making_way(self.timings.lease);
        if self.waiting(key).is_none() {
            return;
        }
        if let Office::Waiting { heard, .. } = office {
            self.hear(key, heard);
        }
        if !matches!(office, Office::Began { .. }) && self.declines(key) {
            return self.decline(now, key);
        }
        let Some(waiting) = self.waiting(key) else {
            return;
        };
        match office {
            Office::Began { term, .. } => self.begin(now, key, term),
            Office::Waiting { elsewhere, .. } => {
                let proved = self.up().map(|up| up.since);
                if let Some((waiting, proved)) = self.waiting(key).zip(proved) {
                    waiting.elsewhere = elsewhere;
                    waiting.elsewhere_until = proved + elsewhere;
                    waiting.until = waiting.until.max(waiting.elsewhere_until);
                }
            }
            Office::Barred(Bar::Unknown) => {
                waiting.try_at = now + probe_interval;
                self.barred(key, Some(Bar::Unknown));
            }
            Office::Barred(bar) => {
                // The lock is for those who may lead.
                self.follow(key);
                self.barred(key, Some(bar));
                self.release(&[key], &[]);
                self.announce(key);
                if !matches!(bar, Bar::Suspended | Bar::Excluded | Bar::Beyond) {
                    self.try_soon(key, now + making_way);
                }
            }
            Office::Fenced => {
                // The last term is vacated or its time is over: only fenced transactions stand in the way.
                // They end by themselves; once the refractory period is over they are ended.
                waiting.stopped_at = now;
                waiting.try_at = now + interval;
                waiting.ends_fenced = now >= waiting.until;
                if waiting.fenced_since.is_none() {
                    waiting.fenced_since = Some(now);
                    self.actions.push_back(Action::Tell(Notice::Fenced { key }));
                }
            }
        }
    }

    pub(super) fn begin(&mut self, now: Instant, key: Key, term: u64) {
        let first = !self.candidacies.any(Role::Holder);
        let heartbeat_at = now + self.timings.heartbeat_interval;
        let heard = self.heard_of(key).term;
        let lease = self.timings.lease;
        self.hear(key, Heard { term, lease });
        self.forget_refusal(key);
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        if term <= heard {
            // Invariant 2: it is not worked on.
            candidacy.hold_off = now + self.timings.retry_interval;
            self.actions
                .push_back(Action::Tell(Notice::Stale { key, term, heard }));
            self.vacate_soon(key, term, Ending::Resigned);
            return;
        }
        if self.waiting(key).is_none() {
            // The same query has won the lock.
            self.hosts.won(key);
        }
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        candidacy.place = Place::Leading { term };
        // What could not be vacated is closed: nobody waits for it any more.
        candidacy.owed = None;
        candidacy.seen_term = term;
        candidacy.stranger = None;
        self.barred(key, None);
        if let Some(up) = self.up()
            && first
        {
            up.heartbeat_at = heartbeat_at;
        }
        // The answer may have come so late that the term is over before its work began.
        self.expire(now);
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        if candidacy.term() != Some(term) {
            return;
        }
        if std::mem::take(&mut candidacy.declines) {
            self.hold_off(now, key);
            self.end(now, key, term, Ending::Resigned);
        } else {
            self.start(now, key);
        }
    }
}
