//! What was seen of the other hosts of the connection string.

use std::collections::BTreeSet;

use crate::engine::Key;

/// What was seen of the other hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Hosts {
    pub(super) contested: bool,
    pub(super) held: BTreeSet<Key>,
    /// Those that may begin in the moment of this look, where it is contested.
    pub(super) clear: BTreeSet<Key>,
}

impl Hosts {
    /// The moment is over.
    pub(super) fn look_over(&mut self) {
        self.clear.clear();
    }
}
