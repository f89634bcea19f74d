//! What tells how the last leader's session ended.

use super::Postgres;
use crate::engine::{Answer, Key};

impl Postgres {
    pub(super) fn backend_gone(&self, key: Key, term: u64) -> Answer {
        let row = self.tables.terms.get(&(key.0, term));
        let gone = row.is_none_or(|row| !self.backends.contains_key(&row.pid));
        Answer::BackendGone { key, gone }
    }

    pub(super) fn counters(&self, key: Key) -> Answer {
        Answer::Counters {
            key,
            counters: self.counters,
        }
    }
}
