//! Several hosts that accept writes: no term begins by an old sight of the others.

use super::Process;
use super::seen_hosts::Hosts;
use crate::engine::{Bar, Key};

impl Process {
    pub(super) fn looked(&mut self, contested: bool, held: Vec<Key>, clear: Vec<Key>) {
        let now = Hosts {
            contested,
            held: held.into_iter().collect(),
            clear: clear.into_iter().collect(),
        };
        let before = std::mem::replace(&mut self.hosts, now);
        let held = self.hosts.held.clone();
        for &key in &held {
            if let Some(bar) = self.held_elsewhere(key) {
                self.barred(key, Some(bar));
            }
        }
        for &key in before.held.difference(&held) {
            self.barred(key, None);
        }
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
