//! What a process knows of its elections beside the rules: what others are to see, and nothing that a rule reads.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{ElectionState, Instant, Key, Refused, Row, WaitingFor};

/// How an election stands, for everybody to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Published {
    /// The term whose work runs here. While it is current it leads, and who has it looks at the clock.
    pub(crate) own: Option<u64>,
    pub(crate) term: u64,
    pub(crate) state: ElectionState,
    /// Of another's term.
    pub(crate) address: Option<Arc<str>>,
    pub(crate) waiting_for: Option<WaitingFor>,
    /// Why the server refuses it, in its words.
    pub(crate) refusal: Option<Arc<str>>,
    /// After this nothing is known of another's term.
    pub(crate) known_until: Instant,
}

impl Published {
    /// Until when whoever reads it believes it; `NEVER` where that is not told by the clock alone.
    pub(crate) fn believed_until(&self) -> Instant {
        if self.own.is_none() && self.state != ElectionState::Unknown {
            self.known_until
        } else {
            Instant::NEVER
        }
    }

    /// Whether it says the same, but for how long.
    pub(crate) fn says_the_same(&self, other: &Published) -> bool {
        let until = |published: &Published| Published {
            known_until: Instant::NEVER,
            ..published.clone()
        };
        until(self) == until(other)
    }
}

/// One election, whether this process is a candidate or observes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Display {
    pub(crate) observed: bool,
    /// The newest term that was read of.
    pub(crate) term: u64,
    /// What was read on this session, and until when it is believed.
    pub(crate) row: Option<(Row, Instant)>,
    /// Why it could not be read.
    pub(crate) refused: Option<Refused>,
    /// The term whose work has said that it has recovered.
    pub(crate) ready: Option<u64>,
    /// What others see; nothing is known to be shown at first.
    pub(crate) published: Option<Published>,
}

/// All of them. No part of what the machine is: two that differ in this alone do the same, but for what they show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Displays {
    displays: BTreeMap<Key, Display>,
    /// Why there is no session, where that is for people to mend.
    pub(crate) trouble: Option<WaitingFor>,
    /// What may have to be published.
    touched: BTreeSet<Key>,
    /// Until when what was published is believed.
    believed: BTreeSet<(Instant, Key)>,
}

impl Hash for Displays {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Displays {
    pub(crate) fn get(&self, key: Key) -> Option<&Display> {
        self.displays.get(&key)
    }

    /// How much is kept of elections.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.displays.len() + self.touched.len() + self.believed.len()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Display> {
        self.touched.insert(key);
        self.displays.get_mut(&key)
    }

    /// It is shown from here on.
    pub(crate) fn show(&mut self, key: Key) -> &mut Display {
        self.touched.insert(key);
        self.displays.entry(key).or_default()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.displays.keys().copied().collect()
    }

    /// Something that is shown of it may have changed.
    pub(crate) fn touch(&mut self, key: Key) {
        self.touched.insert(key);
    }

    pub(crate) fn touch_all(&mut self) {
        self.touched.extend(self.displays.keys());
    }

    /// What may have to be published: what was touched, and what is believed no longer.
    pub(crate) fn take_touched(&mut self, now: Instant) -> BTreeSet<Key> {
        let mut touched = std::mem::take(&mut self.touched);
        let expired = self.believed.range(..=(now, Key(u32::MAX)));
        touched.extend(expired.map(|(_, key)| *key));
        touched
    }

    pub(crate) fn published(&mut self, key: Key, published: Published) {
        if let Some(display) = self.displays.get_mut(&key) {
            if let Some(before) = &display.published {
                self.believed.remove(&(before.believed_until(), key));
            }
            let until = published.believed_until();
            if until < Instant::NEVER {
                self.believed.insert((until, key));
            }
            display.published = Some(published);
        }
    }

    /// What was published of an election is believed no longer.
    pub(crate) fn belief_due(&self) -> Instant {
        let first = self.believed.first();
        first.map_or(Instant::NEVER, |(until, _)| *until)
    }

    /// An election is read of: a row, or that nobody has ever joined it.
    pub(crate) fn read(&mut self, key: Key, row: Option<Row>, until: Instant) {
        if let Some(display) = self.get_mut(key) {
            let row = row.unwrap_or_else(|| Row::vacant(0));
            display.term = row.term;
            display.row = Some((row, until));
        }
    }

    /// The session is gone, and what was read on it is old.
    pub(crate) fn lose(&mut self) {
        self.touch_all();
        for display in self.displays.values_mut() {
            display.row = None;
            display.ready = None;
        }
    }

    /// It may not be what others see.
    pub(crate) fn forget_what_is_shown(&mut self) {
        self.touch_all();
        self.believed.clear();
        for display in self.displays.values_mut() {
            display.published = None;
        }
    }

    /// This process is no candidate any more, or observes no more.
    pub(crate) fn clear(&mut self, key: Key, candidate: bool) {
        let observed = self.get(key).is_some_and(|display| display.observed);
        if !observed && !candidate {
            let gone = self.displays.remove(&key);
            if let Some(published) = gone.and_then(|display| display.published) {
                self.believed.remove(&(published.believed_until(), key));
            }
        }
    }

    pub(crate) fn observes(&self) -> bool {
        self.displays.values().any(|display| display.observed)
    }
}
