//! What the session is asked for, all that an event brings at once: in one request for all elections that need it, one
//! slice of each kind at a time.

use std::collections::BTreeSet;

use super::Process;
use super::contenders::Due;
use super::phase::Phase;
use crate::engine::candidacy::{NextTry, Place};
use crate::engine::{Errand, Instant, Key, Query, Taking};

impl Process {
    /// The heartbeat goes before all slices. What was vacated is let go of, and told, before anything is tried for.
    pub(super) fn ask(&mut self, now: Instant) {
        if self.up().is_none() {
            return;
        }
        self.heartbeat(now);
        for key in self.vacate(now) {
            self.take_leave(now, key);
        }
        self.ask_ready(now);
        self.ask_release(now);
        self.ask_announce(now);
        self.ask_leave(now);
        self.ask_join(now);
        self.campaign(now);
        self.take_office(now);
        self.ask_about_leaders(now);
        self.ask_read(now);
    }

    /// Those of `due` that a slice of this kind is for now; none while one is under way. What the last one did not reach
    /// comes first, or it would starve behind those that are due again and again.
    pub(super) fn slice(&mut self, kind: Errand, due: impl FnOnce(&Self) -> Vec<Key>) -> Vec<Key> {
        let Phase::Up(up) = &self.session else {
            return vec![];
        };
        if up.asks(kind) {
            return vec![];
        }
        let due = due(self);
        let Some(up) = self.up().filter(|_| !due.is_empty()) else {
            return vec![];
        };
        let left = up.left.remove(&kind).unwrap_or_default();
        let first: Vec<Key> = due
            .iter()
            .copied()
            .filter(|key| left.contains(key))
            .collect();
        let keys = if first.is_empty() { due } else { first };
        up.slices.insert(kind, keys.iter().copied().collect());
        keys
    }

    /// A slice is answered. Those that it did not reach are due as they were.
    pub(super) fn sliced(
        &mut self,
        now: Instant,
        kind: Errand,
        unreached: Vec<Key>,
    ) -> BTreeSet<Key> {
        let Some(up) = self.up() else {
            return BTreeSet::new();
        };
        let asked = up.slices.remove(&kind).unwrap_or_default();
        let left = unreached.iter().copied().filter(|key| asked.contains(key));
        let left: BTreeSet<Key> = left.collect();
        if !left.is_empty() {
            up.left.insert(kind, left.clone());
        }
        for &key in &asked {
            self.candidacies.touch(key);
        }
        for key in left {
            self.not_reached(now, kind, key);
        }
        asked
    }

    fn not_reached(&mut self, now: Instant, kind: Errand, key: Key) {
        match kind {
            Errand::Campaign => self.try_soon(key, now),
            Errand::TakeOffice => {
                if self.declines(key) {
                    self.decline(now, key);
                } else if let Some(waiting) = self.waiting(key) {
                    waiting.hinted = true;
                }
            }
            Errand::Vacate => {
                if let Some(owed) = self.owed(key) {
                    owed.asked = false;
                }
            }
            Errand::BackendGone => {
                if let Some(waiting) = self.waiting(key) {
                    waiting.look_at = now;
                }
            }
            Errand::Read => self.read(key),
            // Where they stand says that they are due.
            Errand::Join | Errand::Ready | Errand::Leave | Errand::Evict | Errand::EndFenced => {}
        }
    }

    fn ask_ready(&mut self, now: Instant) {
        let keys = self.slice(Errand::Ready, |rules| rules.due(now, Due::Ready));
        let terms = self.terms(&keys, |place| match place {
            Place::Leading { term } => Some(*term),
            _ => None,
        });
        if !terms.is_empty() {
            // Of a single one it is sure that it is reached.
            if let [key] = *keys {
                self.announce(key);
            }
            self.send(now, Query::Ready { terms });
        }
    }

    fn ask_release(&mut self, now: Instant) {
        let holds_more = self.holds_any();
        let silence_limit = if holds_more {
            self.timings.silence_limit
        } else {
            self.timings.patience()
        };
        let Some(up) = self.up() else { return };
        let Some((leadership, succession)) = up.wanted.release.take() else {
            return;
        };
        up.loosened |= up.asks(Errand::Campaign) && !holds_more;
        let release = Query::Release {
            leadership: leadership.into_iter().collect(),
            succession: succession.into_iter().collect(),
            silence_limit,
        };
        self.send(now, release);
    }

    fn ask_announce(&mut self, now: Instant) {
        let Some(up) = self.up() else { return };
        if up.wanted.announce.is_empty() && now < up.unsaid.again_at {
            return;
        }
        let mut keys = std::mem::take(&mut up.wanted.announce);
        keys.append(&mut up.unsaid.keys);
        up.unsaid.again_at = Instant::NEVER;
        let keys: Vec<Key> = keys.into_iter().collect();
        if !keys.is_empty() {
            self.send(now, Query::Announce { keys });
        }
    }

    fn ask_leave(&mut self, now: Instant) {
        let keys = self.slice(Errand::Leave, |rules| rules.due(now, Due::Leave));
        if !keys.is_empty() {
            self.send(now, Query::Leave { keys });
        }
    }

    fn ask_join(&mut self, now: Instant) {
        let keys = self.slice(Errand::Join, |rules| rules.due(now, Due::Join));
        if !keys.is_empty() {
            let joins = keys.into_iter().map(|key| (key, self.heard_of(key)));
            let joins = joins.collect();
            self.send(now, Query::Join { joins });
        }
    }

    /// One query for all elections that are due (invariant 7).
    fn campaign(&mut self, now: Instant) {
        let mut probes = vec![];
        let due = |rules: &Self| {
            let mut due: BTreeSet<Key> = rules.due(now, Due::Campaign).into_iter().collect();
            if matches!(&rules.session, Phase::Up(up) if now >= up.probe_at) {
                probes = rules.due(now, Due::Probe);
                due.extend(&probes);
            }
            due.retain(|key| rules.may_begin(*key));
            due.into_iter().collect()
        };
        let keys = self.slice(Errand::Campaign, due);
        if keys.is_empty() {
            return;
        }
        let mut successor_of = vec![];
        let mut overdue = vec![];
        for &key in &keys {
            if let Some(candidacy) = self.candidacies.get_mut(key) {
                candidacy.next_try = NextTry::Unasked;
                let Place::Following(following) = &candidacy.place else {
                    continue;
                };
                if following.successor {
                    successor_of.push(key);
                }
                let is_overdue = following.overdue_at.is_some_and(|at| now >= at);
                if is_overdue || now < following.insists_until {
                    overdue.push(key);
                }
            }
        }
        let heard = keys.iter();
        let heard = heard.filter_map(|key| Some((*key, *self.heard.get(key)?)));
        let heard = heard.collect();
        let tried: BTreeSet<&Key> = keys.iter().collect();
        if probes.iter().all(|key| tried.contains(key)) && !probes.is_empty() {
            let probe_interval = self.probe_interval();
            if let Some(up) = self.up() {
                up.probe_at = probe_interval.map_or(Instant::NEVER, |interval| now + interval);
            }
        }
        let query = Query::Campaign {
            keys,
            successor_of,
            overdue,
            heard,
        };
        self.send(now, query);
    }

    fn take_office(&mut self, now: Instant) {
        let due = |rules: &Self| {
            let mut due = rules.due(now, Due::TakeOffice);
            due.retain(|key| rules.may_begin(*key));
            due
        };
        let keys = self.slice(Errand::TakeOffice, due);
        let mut takes = vec![];
        for key in keys {
            let heard = self.heard_of(key);
            let Some(waiting) = self.waiting(key) else {
                continue;
            };
            waiting.hinted = false;
            let elsewhere = Some(waiting.elsewhere).filter(|_| now >= waiting.elsewhere_until);
            let taking = Taking {
                waited: now >= waiting.stopped_at,
                elsewhere: elsewhere.unwrap_or_default(),
                heard,
            };
            takes.push((key, taking));
        }
        if !takes.is_empty() {
            self.send(now, Query::TakeOffice { takes });
        }
    }

    /// What tells how the sessions of earlier leaders have ended, and what ends those that stand in the way.
    fn ask_about_leaders(&mut self, now: Instant) {
        let keys = self.slice(Errand::BackendGone, |rules| {
            rules.due(now, Due::BackendGone)
        });
        let mut terms = vec![];
        for key in keys {
            if let Some(waiting) = self.waiting(key) {
                waiting.look_at = Instant::NEVER;
                terms.push((key, waiting.last_term));
            }
        }
        if !terms.is_empty() {
            self.send(now, Query::BackendGone { terms });
        }
        self.ask_evict(now);
        let keys = self.slice(Errand::EndFenced, |rules| rules.due(now, Due::EndFenced));
        if !keys.is_empty() {
            self.send(now, Query::EndFenced { keys });
        }
        let Some(up) = self.up() else { return };
        let keys: Vec<Key> = std::mem::take(&mut up.wanted.counters)
            .into_iter()
            .collect();
        if !keys.is_empty() {
            self.send(now, Query::Counters { keys });
        }
    }

    /// One read outstanding at most, however many notifications come.
    fn ask_read(&mut self, now: Instant) {
        let wanted = |rules: &Self| {
            let Phase::Up(up) = &rules.session else {
                return vec![];
            };
            let wanted = up.wanted.read.iter().copied();
            wanted
                .filter(|key| rules.displays.get(*key).is_some())
                .collect()
        };
        let keys = self.slice(Errand::Read, wanted);
        let Some(up) = self.up() else { return };
        if !up.asks(Errand::Read) {
            // Nobody looks at them any more.
            up.wanted.read.clear();
        }
        for key in &keys {
            up.wanted.read.remove(key);
        }
        if !keys.is_empty() {
            self.send(now, Query::Read { keys });
        }
    }

    pub(super) fn terms(
        &self,
        keys: &[Key],
        term: impl Fn(&Place) -> Option<u64>,
    ) -> Vec<(Key, u64)> {
        let terms = keys.iter().filter_map(|key| {
            let candidacy = self.candidacies.get(*key)?;
            Some((*key, term(&candidacy.place)?))
        });
        terms.collect()
    }

    /// Let go of locks. Their places must have been left already.
    pub(super) fn release(&mut self, leadership: &[Key], succession: &[Key]) {
        if let Some(up) = self.up() {
            let (all_leadership, all_succession) = up.wanted.release.get_or_insert_default();
            all_leadership.extend(leadership);
            all_succession.extend(succession);
        }
    }

    pub(super) fn announce(&mut self, key: Key) {
        let known = self.candidacies.contains(key);
        if let Some(up) = self.up().filter(|_| known) {
            up.wanted.announce.insert(key);
        }
    }

    pub(super) fn read(&mut self, key: Key) {
        if let Some(up) = self.up() {
            up.wanted.read.insert(key);
        }
    }

    pub(super) fn read_all_there_is(&mut self) {
        for key in self.displays.keys() {
            self.read(key);
        }
    }
}
