//! Fenced transactions of other sessions.

use super::Postgres;
use crate::protocol::{Answer, Key};

/// A fenced transaction under way: its election, its term and its own number.
pub(super) type Fenced = (u32, u64, u64);

impl Postgres {
    /// Begin a transaction that is fenced by a term; `None`: the fence refuses.
    pub(crate) fn fence(&mut self, election: u32, term: u64) -> Option<u64> {
        let current = self.tables.elections.get(&election)?;
        let row = self.tables.terms.get(&(election, term))?;
        let open = current.term == term && current.closed_term < term && !row.closed;
        if !self.up || !open || row.timeline != self.timeline {
            return None;
        }
        let transaction = self.next_transaction;
        self.next_transaction += 1;
        self.fenced.insert((election, term, transaction));
        Some(transaction)
    }

    /// Commit a fenced transaction. False: it was ended.
    pub(crate) fn commit(&mut self, transaction: u64) -> bool {
        let before = self.fenced.len();
        self.fenced.retain(|(.., number)| *number != transaction);
        self.fenced.len() < before
    }

    pub(super) fn is_fenced(&self, election: u32) -> bool {
        self.fenced.iter().any(|(of, ..)| *of == election)
    }

    pub(super) fn end_fenced(&mut self, key: Key) -> Answer {
        let before = self.fenced.len();
        self.fenced.retain(|(of, ..)| *of != key.0);
        let ended = before - self.fenced.len();
        self.counters.killed += i64::try_from(ended).unwrap_or(i64::MAX);
        Answer::FencedEnded {
            key,
            ended: u32::try_from(ended).unwrap_or(u32::MAX),
            remaining: 0,
        }
    }
}
