//! Several hosts that accept writes: no term begins by an old sight of the others, and no work starts before they were
//! looked at with the lock in hand. Of two that both win their lock before they look, one at least sees the other.

use super::Process;
use super::phase::Phase;
use crate::engine::candidacy::{Place, Work};
use crate::engine::{Action, Bar, Ending, Instant, Key, Notice};

impl Process {
    pub(super) fn looked(&mut self, contested: bool, held: Vec<Key>, clear: Vec<Key>) {
        let before = self.hosts.saw(contested, held, clear);
        let held = self.hosts.held.clone();
        for &key in &held {
            if let Some(bar) = self.held_elsewhere(key) {
                self.barred(key, Some(bar));
            }
        }
        for &key in before.difference(&held) {
            self.barred(key, None);
        }
    }

    /// Whether somebody waits for a look to begin.
    pub(crate) fn wants_a_look(&self) -> bool {
        matches!(self.session, Phase::Up(_)) && self.hosts.wants_a_look()
    }

    pub(crate) fn look_begins(&mut self) {
        self.hosts.look_begins();
    }

    /// What was won before it began may work.
    pub(super) fn look_ended(&mut self, now: Instant) {
        for key in self.hosts.look_ends() {
            self.start(now, key);
        }
    }

    /// Start the work of a term that has begun, where it has none yet and the other hosts were looked at since its lock was
    /// won. It is given up where it is led on one of them.
    pub(super) fn start(&mut self, now: Instant, key: Key) {
        let Some(candidacy) = self.candidacies.get_mut(key) else {
            return;
        };
        let Place::Leading { term } = candidacy.place else {
            return;
        };
        if candidacy.work.is_some() || candidacy.leave_by.is_some() {
            return;
        }
        if self.hosts.held.contains(&key) {
            self.hold_off(now, key);
            self.end(now, key, term, Ending::Resigned);
            self.actions
                .push_back(Action::Tell(Notice::Declined { key }));
            return;
        }
        if !self.hosts.looked_since_won(key) {
            return;
        }
        candidacy.work = Some(Work {
            brief_until: Some(now + self.timings.brief()),
            ..Work::new(term, self.timings.leash())
        });
        self.actions.push_back(Action::Start { key, term });
        self.announce(key);
    }

    /// Whether a try may begin a term. While several hosts accept writes only in the moment of a look that has
    /// not found the leadership held on another.
    pub(super) fn may_begin(&self, key: Key) -> bool {
        !self.hosts.contested || self.hosts.clear.contains(&key)
    }

    /// What bars a candidacy that does not lead, whatever this server says.
    pub(super) fn held_elsewhere(&self, key: Key) -> Option<Bar> {
        let leads = self
            .candidacies
            .get(key)
            .is_some_and(|candidacy| candidacy.term().is_some());
        (!leads && self.hosts.held.contains(&key)).then_some(Bar::Elsewhere)
    }
}
