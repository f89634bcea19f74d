//! What the server refuses of one election is that candidacy's alone: it says why, and tries again less and less often.

use std::sync::Arc;

use super::Process;
use super::phase::Phase;
use crate::engine::candidacy::{Place, Refusal};
use crate::engine::{Action, Errand, Instant, Key, Notice, Refused, Taken};

impl Process {
    /// `sure`: it was the only one of its slice.
    pub(super) fn refused(
        &mut self,
        now: Instant,
        kind: Errand,
        key: Key,
        refused: Refused,
        sure: bool,
    ) {
        match kind {
            Errand::Read => return self.could_not_be_read(key, Some(refused)),
            // They have a pace of their own, and nothing waits for them alone.
            Errand::Evict | Errand::EndFenced => {
                let why = Some(refused.why);
                let tell = Action::Tell(Notice::Refused { key, why });
                return self.actions.push_back(tell);
            }
            // Without that evidence it waits.
            Errand::BackendGone => {
                if let Some(waiting) = self.waiting(key) {
                    waiting.evidence = None;
                }
                return;
            }
            _ => {}
        }
        let taken = refused.taken;
        self.back_off(now, kind, key, refused);
        match kind {
            Errand::Campaign => {
                self.give_up_what_was_taken(key, taken);
                self.join_again(key);
            }
            // Others may be able to.
            Errand::TakeOffice => {
                self.let_the_lock_go(now, key);
                self.join_again(key);
            }
            Errand::Vacate => {
                let term = self.owed(key).map(|owed| owed.term);
                if let Some(term) = term {
                    self.vacated(now, key, term, false, sure);
                }
            }
            _ => {}
        }
    }

    fn back_off(&mut self, now: Instant, kind: Errand, key: Key, refused: Refused) {
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        let before = candidacy.refusal.take();
        let same = before.as_ref().filter(|before| before.kind == kind);
        let times = same.map_or(1, |before| before.times.saturating_add(1));
        let told = before.is_some_and(|before| before.refused.why == refused.why);
        let why = Arc::clone(&refused.why);
        let until = now + self.jitter.around(self.timings.refusal(times));
        candidacy.refusal = Some(Refusal {
            kind,
            refused,
            times,
            until,
        });
        if !told {
            let why = Some(why);
            self.actions
                .push_back(Action::Tell(Notice::Refused { key, why }));
        }
    }

    /// Nobody else need wait for a successor that may not try. Whoever wins the leadership is no successor any more.
    fn give_up_what_was_taken(&mut self, key: Key, taken: Taken) {
        let Some(Place::Following(following)) = self.place(key) else {
            return;
        };
        let successor = std::mem::take(&mut following.successor);
        if taken.leadership {
            self.release(&[key], &[]);
        } else if successor || taken.succession {
            self.release(&[], &[key]);
        } else {
            return;
        }
        self.announce(key);
    }

    /// The server may have lost sight of the candidacy.
    fn join_again(&mut self, key: Key) {
        if let Some(candidacy) = self.candidacies.get_mut(key) {
            candidacy.place = Place::Joining;
            candidacy.declines = false;
        }
    }

    /// Told once, and its end too.
    pub(super) fn went_well(&mut self, kind: Errand, key: Key) {
        if kind == Errand::Read {
            return self.could_not_be_read(key, None);
        }
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        let refusal = candidacy.refusal.take_if(|refusal| refusal.kind == kind);
        if refusal.is_some() {
            self.is_refused_no_more(key);
        }
    }

    /// Whatever was refused, a term has begun.
    pub(super) fn forget_refusal(&mut self, key: Key) {
        let candidacy = self.candidacies.get_mut(key);
        if candidacy.is_some_and(|candidacy| candidacy.refusal.take().is_some()) {
            self.is_refused_no_more(key);
        }
    }

    fn is_refused_no_more(&mut self, key: Key) {
        let why = None;
        self.actions
            .push_back(Action::Tell(Notice::Refused { key, why }));
    }

    /// Told once, however often it fails.
    pub(super) fn not_announced(&mut self, now: Instant, keys: Vec<Key>, why: Arc<str>) {
        // Who left meanwhile and begins anew has not joined yet, and nothing can be said of it.
        let joined = |key: &Key| {
            let candidacy = self.candidacies.get(*key);
            candidacy.is_some_and(|candidacy| candidacy.place != Place::Joining)
        };
        let keys: Vec<Key> = keys.into_iter().filter(joined).collect();
        let Phase::Up(up) = &mut self.session else {
            return;
        };
        up.unsaid.keys.extend(keys);
        up.unsaid.times = up.unsaid.times.saturating_add(1);
        let times = up.unsaid.times;
        up.unsaid.again_at = now + self.jitter.around(self.timings.refusal(times));
        if times == 1 {
            let tell = Action::Tell(Notice::NotAnnounced { why });
            self.actions.push_back(tell);
        }
    }

    pub(super) fn announced(&mut self) {
        if let Some(up) = self.up() {
            up.unsaid.times = 0;
        }
    }

    fn could_not_be_read(&mut self, key: Key, refused: Option<Refused>) {
        let Some(display) = self.displays.get_mut(key) else {
            return;
        };
        let before = std::mem::replace(&mut display.refused, refused);
        let why =
            |refused: &Option<Refused>| refused.as_ref().map(|refused| Arc::clone(&refused.why));
        let (before, why) = (why(&before), why(&display.refused));
        if before != why {
            self.actions
                .push_back(Action::Tell(Notice::Refused { key, why }));
        }
    }
}
