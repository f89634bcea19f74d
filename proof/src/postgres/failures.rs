//! What happens to the server as a whole.

use super::outlook::BEYOND;
use super::{Cause, Flaw, Pid, Postgres, Tables, Word};
use crate::engine::Counters;

/// The counters of a server that never counted: nor was it ever reset.
pub(super) const FRESH: Counters = Counters {
    killed: 0,
    fatal: 0,
    reset: 0,
};

impl Postgres {
    /// All backends are gone without a word to the statistics, which a recovery begins anew.
    pub(crate) fn crash(&mut self) {
        self.lose_sessions();
        if !self.has(Flaw::CountersOutliveCrashes) {
            self.counters = FRESH;
        }
        self.up = false;
    }

    /// A shutdown: all sessions are killed, and counted.
    pub(crate) fn shut_down(&mut self) {
        let pids: Vec<Pid> = self.backends.keys().copied().collect();
        for pid in pids {
            self.end(pid, Cause::Killed);
            self.leave_list(pid);
            self.leave_list(pid);
        }
        self.fenced.clear();
        self.up = false;
    }

    /// After a crash or a shutdown.
    pub(crate) fn start(&mut self) {
        self.up = true;
    }

    /// A standby takes over, on a timeline of its own and with statistics of its own. `lossy`: it has not
    /// got the beginning of the last term, nor what came after.
    pub(crate) fn promote(&mut self, lossy: bool) {
        let lagging = self.lagging.as_deref().filter(|_| lossy);
        let tables = lagging.unwrap_or(&self.tables).clone();
        self.promote_with(tables);
    }

    /// A standby with these tables takes over.
    pub(crate) fn promote_with(&mut self, tables: Tables) {
        let before = std::mem::replace(&mut self.tables, tables);
        self.replaced.push(before);
        self.become_primary();
    }

    /// Another standby of the server that this one has replaced takes over from it, on the same timeline. False
    /// where it has replaced none.
    pub(crate) fn promote_another(&mut self) -> bool {
        let Some(before) = self.replaced.last() else {
            return false;
        };
        self.tables = before.clone();
        self.become_primary();
        true
    }

    /// The promotion is thrown away: the server that this one has replaced comes back, as it was, without a
    /// session. False where it has replaced none.
    pub(crate) fn discard_promotion(&mut self) -> bool {
        let Some(before) = self.replaced.pop() else {
            return false;
        };
        self.tables = before;
        self.become_primary();
        true
    }

    /// Whether other servers may have begun terms.
    pub(crate) fn is_not_the_first(&self) -> bool {
        self.promotions > 0
    }

    /// Whether it has replaced another server.
    pub(crate) fn was_promoted(&self) -> bool {
        !self.replaced.is_empty()
    }

    /// Whether it may forget terms once more. What a candidate has heard of may lie so many blocks beyond what the
    /// server knows, and no promotion adds more than one: who has heard of more is refused, and then nobody
    /// promises that numbers do not go back.
    pub(crate) fn may_forget(&self) -> bool {
        self.was_promoted() && self.promotions < BEYOND
    }

    fn become_primary(&mut self) {
        self.lose_sessions();
        self.counters = FRESH;
        self.promotions += 1;
        self.timeline = self.replaced.len() as u64 + 1;
        self.up = true;
    }

    /// An operator resets the statistics. `at` is the time of it, in any unit that tells resets apart.
    pub(crate) fn reset_counters(&mut self, at: i64) {
        self.counters = Counters { reset: at, ..FRESH };
    }

    fn lose_sessions(&mut self) {
        for (&pid, backend) in &self.backends {
            if backend.ending.is_none() {
                self.words.push((pid, Word::End));
            }
        }
        self.backends.clear();
        self.locks.clear();
        self.fenced.clear();
    }
}
