//! Fenced transactions, which the application sends through sessions of its own.

use std::time::Duration;

use super::clock::nanos;
use super::elections::name;
use super::fact::Fact;
use super::flaw::Flaw;
use super::world::{Event, World};
use crate::engine::Key;

impl World {
    /// A transaction fenced by a term, open for so long, and whether under REPEATABLE READ. False where the fence
    /// refuses it.
    pub(super) fn fence(&mut self, key: Key, term: u64, takes: Duration, holds_row: bool) -> bool {
        let Some(transaction) = self.server.postgres.fence(&name(key), term, holds_row) else {
            return false;
        };
        if self.flaw == Some(Flaw::FenceHoldsNothing) {
            self.server.postgres.commit(transaction);
        }
        let at = self.now + nanos(takes);
        self.queue.plan(
            at,
            Event::Commits {
                transaction,
                key,
                term,
            },
        );
        true
    }

    pub(super) fn commits(&mut self, transaction: u64, key: Key, term: u64) {
        let committed = self.server.postgres.commit(transaction);
        if committed || self.flaw == Some(Flaw::FenceHoldsNothing) {
            self.tell(Fact::Committed { key, term });
        }
    }
}
