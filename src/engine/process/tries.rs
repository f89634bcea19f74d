//! What came of a try: a term, a lock won, or a lock that somebody else holds.

use std::time::Duration;

use super::Process;
use crate::engine::candidacy::{NextTry, Owed, Place, Waiting};
use crate::engine::{Action, Bar, Ending, Heard, Held, Instant, Key, Notice, Try};

impl Process {
    pub(super) fn tried(&mut self, now: Instant, sent: Instant, key: Key, tried: Try) {
        let lost = self.up().is_none();
        match tried {
            Try::Began { term, .. } if lost => self.began_too_late(now, key, term),
            _ if lost => {}
            Try::Began { term, .. } => self.begin(now, key, term),
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
                let try_at = now + self.timings.fenced_interval(Duration::ZERO);
                self.enter(
                    now,
                    key,
                    Waiting {
                        until: now + lease,
                        try_at,
                        fenced_since: Some(now),
                        ..Waiting::until(last_term, now)
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

    /// Another election of the same query found the answer too late, and gave the session up.
    pub(super) fn began_too_late(&mut self, now: Instant, key: Key, term: u64) {
        let lease = self.timings.lease;
        self.hear(key, Heard { term, lease });
        if let Some(candidacy) = self.candidacies.get_mut(key) {
            candidacy.owed = Some(Owed::new(term, Ending::Deposed, now));
        }
    }

    fn found_held(&mut self, now: Instant, sent: Instant, key: Key, held: &Held) {
        if (self.candidacies.get(key)).is_some_and(|candidacy| candidacy.seen_term != held.term) {
            self.forget_refusal(key);
        }
        let Some(candidacy) = self.candidacies.get_mut(key) else {
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
        let later = now + self.timings.making_way(lease);
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
                candidacy.next_try.bring_forward(later);
                following.insists_until = later + self.timings.retry_interval;
            }
            // The successor comes first. It may be a stranger that only holds its place. A transfer may be
            // given up without a word.
            _ if free && (held.bar.is_some() || !held.successor) => {
                let overdue_at = following.overdue_at.filter(|at| *at > now);
                candidacy
                    .next_try
                    .bring_forward(overdue_at.unwrap_or(later));
            }
            // It was let go while we tried. Who finds it so each time has something in the way that is not seen.
            _ if free => {
                following.let_go_at = now.max(following.let_go_at + following.probe_interval);
                candidacy.next_try = NextTry::At(following.let_go_at);
            }
            _ => {}
        }
        self.meet_stranger(now, key, held);
        self.watch(now, sent, key, held);
        self.barred(key, held.bar);
    }

    /// Give successors' places up, for those who may lead: in one query for all elections (invariant 7).
    pub(super) fn make_way(&mut self, keys: &[Key]) {
        for &key in keys {
            if matches!(self.place(key), Some(Place::Following(_))) {
                self.release(&[], &[key]);
                self.announce(key);
            }
        }
    }
}
