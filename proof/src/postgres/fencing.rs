//! Fenced transactions of other sessions.

use super::Postgres;
use crate::engine::{Answer, Key};

/// A fenced transaction under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fenced {
    election: u32,
    term: u64,
    transaction: u64,
    /// Under REPEATABLE READ it keeps the term's row from being written.
    holds_row: bool,
}

impl Postgres {
    /// Begin a transaction that is fenced by a term; `None`: the fence refuses. `holds_row`: under REPEATABLE READ.
    pub(crate) fn fence(&mut self, election: u32, term: u64, holds_row: bool) -> Option<u64> {
        let current = self.tables.elections.get(&election)?;
        let row = self.tables.terms.get(&(election, term))?;
        let open = current.term == term && current.closed_term < term && !row.closed;
        if !self.up || !open || row.timeline != self.timeline {
            return None;
        }
        let transaction = self.next_transaction;
        self.next_transaction += 1;
        self.fenced.insert(Fenced {
            election,
            term,
            transaction,
            holds_row,
        });
        Some(transaction)
    }

    /// Commit a fenced transaction. False: it was ended.
    pub(crate) fn commit(&mut self, transaction: u64) -> bool {
        let before = self.fenced.len();
        self.fenced
            .retain(|fenced| fenced.transaction != transaction);
        self.fenced.len() < before
    }

    pub(super) fn is_fenced(&self, election: u32) -> bool {
        self.fenced.iter().any(|fenced| fenced.election == election)
    }

    /// Whether a fenced transaction keeps the row of a term from being written.
    pub(super) fn holds_row(&self, election: u32, term: u64) -> bool {
        let holds = |fenced: &Fenced| {
            fenced.holds_row && (fenced.election, fenced.term) == (election, term)
        };
        self.fenced.iter().any(holds)
    }

    pub(super) fn end_fenced(&mut self, key: Key) -> Answer {
        let before = self.fenced.len();
        self.fenced.retain(|fenced| fenced.election != key.0);
        let ended = before - self.fenced.len();
        self.counters.killed += i64::try_from(ended).unwrap_or(i64::MAX);
        Answer::FencedEnded {
            key,
            ended: u32::try_from(ended).unwrap_or(u32::MAX),
            remaining: 0,
        }
    }
}
