//! Fenced transactions of other sessions.

use super::{Cause, Kind, Pid, Postgres};
use crate::engine::{Answer, FencedEnded, Id};

/// A fenced transaction under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fenced {
    election: i32,
    term: u64,
    transaction: u64,
    /// Under REPEATABLE READ it keeps the term's row from being written.
    holds_row: bool,
}

impl Postgres {
    /// Begin a transaction that is fenced by a term; `None`: the fence refuses. `holds_row`: under REPEATABLE READ.
    pub(crate) fn fence(&mut self, election: &str, term: u64, holds_row: bool) -> Option<u64> {
        let election = self.tables.id(election)?.0;
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

    pub(super) fn is_fenced(&self, election: i32) -> bool {
        self.fenced.iter().any(|fenced| fenced.election == election)
    }

    /// Whether a fenced transaction keeps the row of a term from being written.
    pub(super) fn holds_row(&self, election: i32, term: u64) -> bool {
        let holds = |fenced: &Fenced| {
            fenced.holds_row && (fenced.election, fenced.term) == (election, term)
        };
        self.fenced.iter().any(holds)
    }

    /// Those of past terms, for the holder of the leadership; and strangers with the successor's place. One with the
    /// leadership is named alone.
    pub(super) fn end_fenced(&mut self, pid: Pid, elections: &[Id]) -> Answer {
        let mut all = vec![];
        for &election in elections {
            let before = self.fenced.len();
            if self.locks.holder(Kind::Leadership, election.0) == Some(pid) {
                self.fenced.retain(|fenced| fenced.election != election.0);
            }
            let mut ended = before - self.fenced.len();
            self.counters.killed += i64::try_from(ended).unwrap_or(i64::MAX);
            let others = |kind| {
                let stranger = self.stranger(kind, election.0);
                stranger.filter(|stranger| *stranger != pid)
            };
            let (leads, follows) = (others(Kind::Leadership), others(Kind::Succession));
            let mut left = u32::from(leads.is_some());
            match follows {
                Some(follows) if leads == Some(follows) => left += 1,
                Some(follows) => {
                    self.end(follows, Cause::Killed);
                    ended += 1;
                }
                None => {}
            }
            let ended = FencedEnded {
                ended: u32::try_from(ended).unwrap_or(u32::MAX),
                remaining: left,
                who: (left > 0).then(|| "somebody".into()),
            };
            all.push((election, Ok(ended)));
        }
        Answer::FencedEnded(all)
    }

    /// Who holds a lock and takes no part in the election.
    pub(super) fn stranger(&self, kind: Kind, election: i32) -> Option<Pid> {
        let holder = self.locks.holder(kind, election)?;
        let mut candidates = self.tables.candidates_of(election);
        let takes_part = candidates.any(|(_, row)| row.pid == holder);
        let its = self.tables.elections.get(&election);
        let leads = kind == Kind::Leadership && its.is_some_and(|its| its.pid == Some(holder));
        (!takes_part && !leads).then_some(holder)
    }
}
