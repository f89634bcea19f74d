//! What an answer brings, handed to whom it concerns.

use super::Process;
use super::session::Session;
use crate::engine::candidacy::Place;
use crate::engine::{
    Action, Answer, Counters, Ending, Heard, Instant, Key, Notice, Query, Try, View,
};

impl Process {
    pub(super) fn answered(&mut self, now: Instant, sent: Instant, answer: Answer) {
        let Session::Up(up) = &mut self.session else {
            return;
        };
        if let Some(index) = up.in_flight.iter().position(|in_flight| *in_flight == sent) {
            up.in_flight.remove(index);
        }
        up.contact = up.contact.max(sent);
        match answer {
            Answer::Done => {}
            Answer::Joined { key, heard } => {
                self.hear(key, heard);
                self.follow(key);
                if let Some(candidacy) = self.candidacies.get_mut(&key) {
                    candidacy.try_at = now;
                }
            }
            Answer::Campaigned { tries } => self.campaigned(now, sent, tries),
            Answer::Office { key, office } => self.asked_for_office(now, key, office),
            Answer::Heartbeat { step_downs } => {
                up.heartbeats = up.heartbeats.saturating_sub(1);
                for (key, term) in step_downs {
                    self.end(now, key, term, Ending::SteppedDown);
                }
            }
            Answer::Vacated { key, term, done } => self.vacated(now, key, term, done),
            Answer::Read { views } => self.read_all(now, views),
            Answer::Left { key } => {
                // A candidacy that was begun again meanwhile is not the one that has left.
                if let Some(candidacy) = self.candidacies.get_mut(&key)
                    && let Place::Leaving { told } = &mut candidacy.place
                {
                    *told = true;
                }
            }
            Answer::BackendGone { key, gone } => self.looked_for_the_backend(now, key, gone),
            Answer::FencedEnded {
                key,
                ended,
                remaining,
            } => self.fenced_ended(now, key, ended, remaining),
            Answer::Counters { key, counters } => self.counted(now, key, counters),
        }
    }

    fn campaigned(&mut self, now: Instant, sent: Instant, tries: Vec<(Key, Try)>) {
        let Some(up) = self.up() else { return };
        up.campaigning = false;
        let loosened = std::mem::take(&mut up.loosened);
        let makes_way: Vec<Key> = tries
            .iter()
            .filter(|(_, tried)| matches!(tried, Try::Held(held) if held.makes_way()))
            .map(|(key, _)| *key)
            .collect();
        for (key, tried) in tries {
            self.tried(now, sent, key, tried);
        }
        for candidacy in self.candidacies.values_mut() {
            // It was not tried for.
            if matches!(candidacy.place, Place::Following(_)) {
                candidacy.declines = false;
            }
        }
        self.make_way(now, makes_way);
        if loosened && self.holds_any() {
            // The server released after it had tried.
            self.release(now, vec![], vec![]);
        }
    }

    fn read_all(&mut self, now: Instant, views: Vec<(Key, View)>) {
        if let Some(up) = self.up() {
            up.reading = false;
        }
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
        if looking.is_some() && gone {
            self.send(now, Query::Counters { key });
        }
    }

    fn fenced_ended(&mut self, now: Instant, key: Key, ended: u32, remaining: u32) {
        // They are gone in a moment.
        let soon = now + self.timings.moment();
        if let Some(waiting) = self.waiting(key)
            && ended > 0
        {
            waiting.try_at = waiting.try_at.min(soon);
        }
        if ended + remaining > 0 {
            self.actions.push_back(Action::Tell(Notice::FencedEnded {
                key,
                ended,
                remaining,
            }));
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
