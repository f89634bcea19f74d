//! What an answer brings, handed to whom it concerns.

use std::collections::BTreeSet;

use super::Process;
use super::phase::Phase;
use crate::engine::candidacy::{NextTry, Place};
use crate::engine::{
    Action, Counters, Ending, Errand, Heard, Instant, Key, Notice, Refused, Reply, Try, View,
};

impl Process {
    pub(super) fn answered(
        &mut self,
        now: Instant,
        sent: Instant,
        reply: Reply,
        refused: Vec<(Key, Refused)>,
        unreached: Vec<Key>,
    ) {
        let Phase::Up(up) = &mut self.session else {
            return;
        };
        up.take_out(sent);
        up.contact = up.contact.max(sent);
        let Some(kind) = reply.kind() else {
            return self.replied(now, reply);
        };
        let left: BTreeSet<Key> = unreached.iter().copied().collect();
        let asked = self.sliced(now, kind, unreached);
        let sure = asked.len() == 1;
        let mut done: Vec<Key> = asked.difference(&left).copied().collect();
        for (key, refused) in refused {
            done.retain(|well| *well != key);
            self.refused(now, kind, key, refused, sure);
        }
        for key in done {
            self.went_well(kind, key);
        }
        match reply {
            Reply::Campaigned { tries } => self.campaigned(now, sent, &asked, tries),
            Reply::Vacated { vacated } => {
                for (key, term, done) in vacated {
                    self.vacated(now, key, term, done, sure);
                }
            }
            reply => self.replied(now, reply),
        }
        for &key in asked.difference(&left) {
            self.was_asked(kind, key, sure);
        }
    }

    fn replied(&mut self, now: Instant, reply: Reply) {
        match reply {
            Reply::Done | Reply::Campaigned { .. } | Reply::Vacated { .. } | Reply::Evicted => {}
            Reply::Announced => self.announced(),
            Reply::NotAnnounced { keys, why } => self.not_announced(now, keys, why),
            Reply::Joined { joined } => {
                for (key, heard) in joined {
                    self.hear(key, heard);
                    self.follow(key);
                    if let Some(candidacy) = self.candidacies.get_mut(key) {
                        candidacy.next_try = NextTry::At(now);
                    }
                }
            }
            Reply::Office { offices } => {
                for (key, office) in offices {
                    self.asked_for_office(now, key, office);
                }
            }
            Reply::Recorded { recorded } => {
                for (key, recorded) in recorded {
                    self.recorded(now, key, recorded);
                }
            }
            Reply::Heartbeat { step_downs } => {
                if let Some(up) = self.up() {
                    up.heartbeats = up.heartbeats.saturating_sub(1);
                }
                for (key, term) in step_downs {
                    self.end(now, key, term, Ending::SteppedDown);
                }
            }
            Reply::Read { views } => self.read_all(now, views),
            Reply::Left { keys } => {
                for key in keys {
                    self.has_left(key);
                }
            }
            Reply::BackendGone { gone } => {
                for (key, gone) in gone {
                    self.looked_for_the_backend(now, key, gone);
                }
            }
            Reply::FencedEnded { ended } => {
                for (key, ended, remaining) in ended {
                    self.fenced_ended(now, key, ended, remaining);
                }
            }
            Reply::Counters { keys, counters } => {
                for key in keys {
                    self.counted(now, key, counters);
                }
            }
        }
    }

    /// The server has done it, or refused it. `sure`: it was alone, and what follows was asked for in the same breath.
    fn was_asked(&mut self, kind: Errand, key: Key, sure: bool) {
        match (kind, self.place(key)) {
            (Errand::Ready, _) if !sure => self.announce(key),
            (Errand::Evict, Some(Place::Following(following))) => following.evicts = None,
            (Errand::EndFenced, Some(Place::Waiting(waiting))) => waiting.ends_fenced = false,
            (Errand::EndFenced, Some(Place::Following(following))) => {
                following.ends_strangers = false;
            }
            _ => {}
        }
    }

    fn campaigned(
        &mut self,
        now: Instant,
        sent: Instant,
        asked: &BTreeSet<Key>,
        tries: Vec<(Key, Try)>,
    ) {
        let Some(up) = self.up() else { return };
        let loosened = std::mem::take(&mut up.loosened);
        let makes_way: Vec<Key> = tries
            .iter()
            .filter(|(_, tried)| matches!(tried, Try::Held(held) if held.makes_way()))
            .map(|(key, _)| *key)
            .collect();
        for (key, tried) in tries {
            self.tried(now, sent, key, tried);
        }
        for &key in asked {
            // Nothing came of the try.
            if let Some(candidacy) = self.candidacies.get_mut(key)
                && matches!(candidacy.place, Place::Following(_))
            {
                candidacy.declines = false;
            }
        }
        self.make_way(&makes_way);
        if loosened && self.holds_any() {
            // The server released after it had tried.
            self.release(&[], &[]);
        }
    }

    fn read_all(&mut self, now: Instant, views: Vec<(Key, View)>) {
        // One draw for all elections: so one process takes all the places that are free, and one
        // process probes, not all of them (invariant 7).
        let chance = self.jitter.up_to(self.timings.spread());
        for (key, view) in views {
            let (term, lease) = (view.term, view.lease.unwrap_or_default());
            self.hear(key, Heard { term, lease });
            self.viewed(now, key, view, chance);
        }
    }

    fn looked_for_the_backend(&mut self, now: Instant, key: Key, gone: bool) {
        let soon = now + self.timings.moment();
        let looking = self.waiting(key).map(|waiting| {
            waiting.look_at = if gone { Instant::NEVER } else { soon };
        });
        if looking.is_some()
            && gone
            && let Some(up) = self.up()
        {
            up.wanted.counters.insert(key);
        }
    }

    fn counted(&mut self, now: Instant, key: Key, counters: Counters) {
        if let Some(waiting) = self.waiting(key)
            && waiting.evidence.take() == Some(counters)
        {
            waiting.stopped_at = now;
            let last_term = waiting.last_term;
            let why = "its process closed the connection";
            self.actions.push_back(Action::Tell(Notice::Spared {
                key,
                last_term,
                why,
            }));
        }
    }
}
