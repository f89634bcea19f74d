//! What was seen of the other hosts of the connection string.

use std::collections::BTreeSet;

use crate::engine::Key;

/// What was seen of the other hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Hosts {
    /// The connection string names several.
    several: bool,
    pub(super) contested: bool,
    pub(super) held: BTreeSet<Key>,
    /// Those that may begin in the moment of this look, where it is contested.
    pub(super) clear: BTreeSet<Key>,
    /// Their locks were won since the last look began, or before any.
    unlooked: BTreeSet<Key>,
    /// They were won before the look that is under way.
    looking: BTreeSet<Key>,
}

impl Hosts {
    /// What was seen last. What was held before that.
    pub(super) fn saw(
        &mut self,
        contested: bool,
        held: Vec<Key>,
        clear: Vec<Key>,
    ) -> BTreeSet<Key> {
        self.several = true;
        self.contested = contested;
        self.clear = clear.into_iter().collect();
        std::mem::replace(&mut self.held, held.into_iter().collect())
    }

    /// The moment is over.
    pub(super) fn look_over(&mut self) {
        self.clear.clear();
    }

    pub(super) fn won(&mut self, key: Key) {
        if self.several {
            self.looking.remove(&key);
            self.unlooked.insert(key);
        }
    }

    pub(super) fn wants_a_look(&self) -> bool {
        !self.unlooked.is_empty()
    }

    pub(super) fn look_begins(&mut self) {
        self.looking.append(&mut self.unlooked);
    }

    /// What had been won before it began.
    pub(super) fn look_ends(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.looking)
    }

    /// Whether a look that has begun since its lock was won has ended.
    pub(super) fn looked_since_won(&self, key: Key) -> bool {
        !self.unlooked.contains(&key) && !self.looking.contains(&key)
    }

    /// Without the session no lock is held.
    pub(super) fn lose(&mut self) {
        self.unlooked.clear();
        self.looking.clear();
    }
}
