//! When the successor evicts: it ends the session of a leader that was silent for too long.

use super::Process;
use super::contenders::Due;
use super::phase::Phase;
use crate::engine::candidacy::Place;
use crate::engine::evidence::Evidence;
use crate::engine::{Action, Errand, Held, Instant, Key, Notice, Query};

impl Process {
    /// What this try shows of the leader's backend. The successor ends it where it is silent for too long.
    pub(super) fn watch(&mut self, now: Instant, sent: Instant, key: Key, held: &Held) {
        let lease = held.lease.unwrap_or(self.timings.lease);
        let Some(Place::Following(following)) = self.candidacies.get_mut(key).map(|c| &mut c.place)
        else {
            return;
        };
        following.probe_interval = self.timings.probe_interval(lease);
        following.watch = Evidence::after(following.watch.take(), held, sent, now);
        let silent = following
            .watch
            .as_ref()
            .is_some_and(|watch| watch.silent_for() >= self.timings.eviction(lease));
        let evict = silent
            && held.successor
            && following
                .evicted_at
                .is_none_or(|at| now.since(at) >= self.timings.next_eviction(lease));
        if evict {
            following.evicted_at = Some(now);
            following.evicts = Some(held.term);
        }
        let probe_at = now + following.probe_interval;
        following.successor = held.successor && !held.makes_way();
        if let Phase::Up(up) = &mut self.session
            && following.successor
        {
            up.probe_at = up.probe_at.min(probe_at);
        }
        if evict {
            let term = held.term;
            // Said before it is done: what it ends may be what the log depends on.
            self.actions
                .push_back(Action::Tell(Notice::Evicting { key, term }));
        }
    }

    pub(super) fn ask_evict(&mut self, now: Instant) {
        let keys = self.slice(Errand::Evict, |rules| rules.due(now, Due::Evict));
        let terms = self.terms(&keys, |place| match place {
            Place::Following(following) => following.evicts,
            _ => None,
        });
        if !terms.is_empty() {
            self.send(now, Query::Evict { terms });
        }
    }
}
