//! How a candidacy ends in order: what it holds is let go of first, then it is told.

use super::Process;
use super::contenders::Due;
use super::phase::Phase;
use crate::engine::candidacy::Place;
use crate::engine::{Action, Ending, Errand, Instant, Key};

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
}
