//! What all invariants have in common.

use crate::sim::clock::Time;
use crate::sim::fact::Fact;

/// What must be true in every world.
pub(super) trait Invariant {
    /// Its number and what it says.
    fn name(&self) -> &'static str;

    /// Take note of a fact. An error says how it breaks the invariant.
    fn observe(&mut self, at: Time, fact: &Fact) -> Result<(), String>;

    /// Whether an error about this fact says that something did not happen in time.
    fn is_about_time(&self, _fact: &Fact) -> bool {
        false
    }
}
