//! From a try to a term: held by others, won and waiting, in office.

use std::time::Duration;

use super::Process;
use super::session::{Session, Up};
use crate::engine::candidacy::{Candidacy, Owed, Place, Waiting, Work};
use crate::engine::watch::Watch;
use crate::engine::{
    Action, Bar, Ending, Heard, Held, Instant, Key, Notice, Office, Query, Try, Won,
};

impl Process {
    pub(super) fn tried(&mut self, now: Instant, sent: Instant, key: Key, tried: Try) {
        let lost = self.up().is_none();
        match tried {
            // Another election of the same query found the answer too late, and gave the session up.
            Try::Began { term } if lost => {
                let lease = self.timings.lease;
                self.hear(key, Heard { term, lease });
                if let Some(candidacy) = self.candidacies.get_mut(&key) {
                    candidacy.owed = Some(Owed::new(term, Ending::Deposed, now));
                }
            }
            _ if lost => {}
            Try::Began { term } => self.begin(now, key, term),
            Try::Won(won) => {
                self.hear(key, won.heard);
                if self.declines(key) {
                    return self.decline(now, key);
                }
                self.wait(now, key, &won);
            }
            Try::Fenced { last_term, lease } => {
                let term = last_term;
                self.hear(key, Heard { term, lease });
                if self.declines(key) {
                    return self.decline(now, key);
                }
                let try_at = now + self.fenced_interval(Duration::ZERO);
                self.enter(
                    now,
                    key,
                    Waiting {
                        last_term,
                        until: now + lease,
                        stopped_at: now,
                        elsewhere: Duration::ZERO,
                        elsewhere_until: now,
                        evidence: None,
                        look_at: Instant::NEVER,
                        try_at,
                        asking: false,
                        hinted: false,
                        fenced_since: Some(now),
                    },
                );
                self.actions.push_back(Action::Tell(Notice::Fenced { key }));
            }
            Try::Held(held) => {
                let (term, lease) = (held.term, held.lease.unwrap_or_default());
                self.hear(key, Heard { term, lease });
                self.found_held(now, sent, key, &held);
            }
        }
    }

    pub(super) fn found_held(&mut self, now: Instant, sent: Instant, key: Key, held: &Held) {
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        let Place::Following(following) = &mut candidacy.place else {
            return;
        };
        let lease = held.lease.unwrap_or(self.timings.lease);
        if candidacy.seen_term != held.term {
            following.overdue_at = None;
        }
        candidacy.seen_term = held.term;
        let free = held.holder_pid.is_none();
        let later = now + self.timings.probe_interval(lease) * 4;
        let forbidden = matches!(
            held.bar,
            Some(Bar::Suspended | Bar::Excluded | Bar::Transfer | Bar::Beyond)
        );
        let left = free && !held.successor && !forbidden;
        following.overdue_at = left.then_some(following.overdue_at.unwrap_or(later));
        match held.bar {
            // Whoever lifts the first two says so; the last one nobody lifts.
            Some(Bar::Suspended | Bar::Excluded | Bar::Beyond) => {}
            Some(Bar::Outranked) => {
                // Whoever ranks higher comes first, and has so long to come.
                candidacy.hold_off = candidacy.hold_off.max(later);
                candidacy.try_at = candidacy.try_at.min(later);
                following.insists_until = later + self.timings.retry_interval;
            }
            // The successor comes first. It may be a stranger that only holds its place. A transfer may be
            // given up without a word.
            _ if free && (held.bar.is_some() || !held.successor) => {
                let overdue_at = following.overdue_at.filter(|at| *at > now);
                candidacy.try_at = candidacy.try_at.min(overdue_at.unwrap_or(later));
            }
            // It was let go while we tried.
            _ if free => candidacy.try_at = now,
            _ => {}
        }
        let stranger = held.holder_pid.filter(|_| held.stranger);
        if candidacy.stranger != stranger {
            candidacy.stranger = stranger;
            self.actions
                .push_back(Action::Tell(Notice::Stranger { key, pid: stranger }));
        }
        following.probe_interval = self.timings.probe_interval(lease);
        following.watch = Watch::after(following.watch.take(), held, sent, now);
        let silent = following
            .watch
            .as_ref()
            .is_some_and(|watch| watch.silent_for() >= self.timings.eviction(lease));
        let evict = silent
            && held.successor
            && following
                .evicted_at
                .is_none_or(|at| now.since(at) >= lease / 4);
        if evict {
            following.evicted_at = Some(now);
        }
        let probe_at = now + following.probe_interval;
        following.successor = held.successor && !held.makes_way();
        if let Session::Up(up) = &mut self.session
            && following.successor
        {
            up.probe_at = up.probe_at.min(probe_at);
        }
        if evict {
            let term = held.term;
            // Said before it is done: what it ends may be what the log depends on.
            self.actions
                .push_back(Action::Tell(Notice::Evicting { key, term }));
            self.send(now, Query::Evict { key, term });
        }
        self.barred(key, held.bar);
    }

    /// Give successors' places up, for those who may lead: in one query for all elections (invariant 7).
    pub(super) fn make_way(&mut self, now: Instant, mut keys: Vec<Key>) {
        keys.retain(|key| matches!(self.place(*key), Some(Place::Following(_))));
        if !keys.is_empty() {
            self.release(now, vec![], keys.clone());
            self.send(now, Query::Announce { keys });
        }
    }

    fn place(&mut self, key: Key) -> Option<&mut Place> {
        Some(&mut self.candidacies.get_mut(&key)?.place)
    }

    pub(super) fn waiting(&mut self, key: Key) -> Option<&mut Waiting> {
        match self.place(key)? {
            Place::Waiting(waiting) => Some(waiting),
            _ => None,
        }
    }

    /// The lock is ours: from here the session must prove itself.
    pub(super) fn enter(&mut self, now: Instant, key: Key, waiting: Waiting) {
        let first = !self.candidacies.values().any(Candidacy::holds_leadership);
        if let Some(candidacy) = self.candidacies.get_mut(&key) {
            candidacy.place = Place::Waiting(waiting);
            candidacy.stranger = None;
        }
        self.barred(key, None);
        let heartbeat_at = now + self.timings.heartbeat_interval;
        if let Some(up) = self.up()
            && first
        {
            up.heartbeat_at = heartbeat_at;
        }
    }

    pub(super) fn wait(&mut self, now: Instant, key: Key, won: &Won) {
        let Some(candidacy) = self.candidacies.get(&key) else {
            return;
        };
        let Place::Following(following) = &candidacy.place else {
            return;
        };
        let watch = following.watch.as_ref().filter(|watch| watch.concerns(won));
        let Session::Up(Up { since: proved, .. }) = &self.session else {
            return;
        };
        let proved = *proved;
        let until = now + won.wait;
        let stopped_at = watch
            .filter(|watch| watch.silent_for() >= self.timings.irrevocable(won.wait))
            .map_or(until, |watch| (watch.silent_since() + won.wait).max(now));
        let silent = stopped_at == now && !won.wait.is_zero();
        let evidence = (watch.map(Watch::sample).or(won.watched))
            .filter(|_| won.direct && candidacy.autopsy && !silent);
        let elsewhere_until = proved + won.elsewhere;
        // A hint that came while the try was under way may tell of a vacate that the try was too early to
        // see: `campaign` had set `try_at` to never.
        let hinted = candidacy.try_at != Instant::NEVER;
        self.enter(
            now,
            key,
            Waiting {
                last_term: won.last_term,
                until: until.max(elsewhere_until),
                stopped_at,
                elsewhere: won.elsewhere,
                elsewhere_until,
                evidence,
                look_at: Instant::NEVER,
                try_at: Instant::default(),
                asking: false,
                hinted,
                fenced_since: None,
            },
        );
        let last_term = won.last_term;
        if silent {
            let why = "its session was silent for its lease";
            self.actions.push_back(Action::Tell(Notice::Spared {
                key,
                last_term,
                why,
            }));
        }
        let at_most = stopped_at.max(elsewhere_until).since(now);
        if at_most.is_zero() {
            return;
        }
        if evidence.is_some() {
            self.send(
                now,
                Query::BackendGone {
                    key,
                    term: last_term,
                },
            );
        }
        self.send(now, Query::Announce { keys: vec![key] });
        let notice = Notice::Waiting {
            key,
            last_term,
            at_most,
        };
        self.actions.push_back(Action::Tell(notice));
    }

    pub(super) fn asked_for_office(&mut self, now: Instant, key: Key, office: Office) {
        let since = self.waiting(key).and_then(|waiting| waiting.fenced_since);
        let interval = self.fenced_interval(now.since(since.unwrap_or(now)));
        let probe_interval = self.timings.probe_interval(self.timings.lease);
        let Some(waiting) = self.waiting(key) else {
            return;
        };
        waiting.asking = false;
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
            Office::Began { term } => self.begin(now, key, term),
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
                self.release(now, vec![key], vec![]);
                self.send(now, Query::Announce { keys: vec![key] });
                if !matches!(bar, Bar::Suspended | Bar::Excluded | Bar::Beyond) {
                    self.try_soon(key, now + probe_interval * 4);
                }
            }
            Office::Fenced => {
                // The last term is vacated or its time is over: only fenced transactions stand in the way.
                // They end by themselves; once the refractory period is over they are ended.
                waiting.stopped_at = now;
                waiting.try_at = now + interval;
                let overdue = now >= waiting.until;
                if waiting.fenced_since.is_none() {
                    waiting.fenced_since = Some(now);
                    self.actions.push_back(Action::Tell(Notice::Fenced { key }));
                }
                if overdue {
                    self.send(now, Query::EndFenced { key });
                }
            }
        }
    }

    /// When to try again, where fenced transactions have stood in the way for so long: an eighth longer at
    /// most than they take.
    fn fenced_interval(&self, standing: Duration) -> Duration {
        let probe_interval = self.timings.probe_interval(self.timings.lease);
        (standing / 8).clamp(probe_interval / 25, probe_interval)
    }

    pub(super) fn begin(&mut self, now: Instant, key: Key, term: u64) {
        let first = !self.candidacies.values().any(Candidacy::holds_leadership);
        let heartbeat_at = now + self.timings.heartbeat_interval;
        let heard = self.heard_of(key).term;
        let lease = self.timings.lease;
        self.hear(key, Heard { term, lease });
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        if term <= heard {
            // Invariant 2: it is not worked on.
            candidacy.hold_off = now + self.timings.retry_interval;
            self.actions
                .push_back(Action::Tell(Notice::Stale { key, term, heard }));
            self.vacate_and_release(now, key, term, Ending::Resigned);
            return;
        }
        if self.held_elsewhere(key).is_some() {
            // That was seen while the try was under way.
            self.hold_off(now, key);
            self.vacate_and_release(now, key, term, Ending::Resigned);
            self.actions
                .push_back(Action::Tell(Notice::Declined { key }));
            return;
        }
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
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
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        if candidacy.term() != Some(term) {
            return;
        }
        if std::mem::take(&mut candidacy.declines) {
            self.hold_off(now, key);
            self.end(now, key, term, Ending::Resigned);
        } else if candidacy.leave_by.is_none() {
            candidacy.work = Some(Work::new(term));
            self.actions.push_back(Action::Start { key, term });
            self.send(now, Query::Announce { keys: vec![key] });
        }
    }

    pub(super) fn take_office(&mut self, now: Instant, key: Key) {
        let Some(waiting) = self.waiting(key) else {
            return;
        };
        let last_term = waiting.last_term;
        if waiting.evidence.is_some() && now >= waiting.look_at {
            waiting.look_at = Instant::NEVER;
            self.send(
                now,
                Query::BackendGone {
                    key,
                    term: last_term,
                },
            );
        }
        if !self.may_begin(key) {
            return;
        }
        let Some(waiting) = self.waiting(key) else {
            return;
        };
        if waiting.asking {
            return;
        }
        let open = now >= waiting.take_office_at();
        if open || (waiting.hinted && now >= waiting.try_at) {
            waiting.asking = true;
            waiting.hinted = false;
            let waited = now >= waiting.stopped_at;
            let elsewhere = if now >= waiting.elsewhere_until {
                waiting.elsewhere
            } else {
                Duration::ZERO
            };
            let heard = self.heard_of(key);
            self.send(
                now,
                Query::TakeOffice {
                    key,
                    waited,
                    elsewhere,
                    heard,
                },
            );
        }
    }
}
