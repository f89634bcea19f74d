//! Whoever holds a lock of an election and takes no part in it.

use super::Process;
use crate::engine::candidacy::{MetStranger, Place};
use crate::engine::{Action, Held, Instant, Key, Notice};

impl Process {
    /// Told once, and its end too. One that stays for a lease is asked to be ended, again and again: the server says
    /// which may be, and names the others.
    pub(super) fn meet_stranger(&mut self, now: Instant, key: Key, held: &Held) {
        let lease = held.lease.unwrap_or(self.timings.lease);
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        let known = candidacy.stranger.as_ref().map(|known| &known.who);
        if known != held.stranger.as_ref() {
            candidacy.stranger = held.stranger.clone().map(|who| MetStranger {
                who,
                end_at: now + lease,
            });
            if candidacy.stranger.is_some() {
                candidacy.next_try.bring_forward(now + lease);
            }
            let who = held.stranger.clone();
            self.actions
                .push_back(Action::Tell(Notice::Stranger { key, who }));
        } else if let Some(stranger) = &mut candidacy.stranger
            && now >= stranger.end_at
        {
            stranger.end_at = now + self.timings.retry_interval;
            if let Place::Following(following) = &mut candidacy.place {
                following.ends_strangers = true;
            }
        }
    }

    /// What it says of those that are left is told when it changes.
    pub(super) fn fenced_ended(&mut self, now: Instant, key: Key, ended: u32, remaining: u32) {
        // They are gone in a moment.
        let soon = now + self.timings.moment();
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        match &mut candidacy.place {
            Place::Waiting(waiting) if ended > 0 => waiting.try_at = waiting.try_at.min(soon),
            Place::Following(_) if ended > 0 => candidacy.next_try.bring_forward(soon),
            _ => {}
        }
        let left = std::mem::replace(&mut candidacy.left, remaining);
        if ended > 0 || (remaining > 0 && remaining != left) {
            self.actions.push_back(Action::Tell(Notice::FencedEnded {
                key,
                ended,
                remaining,
            }));
        }
    }
}
