//! What operators ask for, and what of it candidates obey.

use std::collections::BTreeSet;

use super::{Kind, Postgres};
use crate::engine::{Bar, Instant, Key, View};

/// By what operators and other candidates know a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rank {
    pub(crate) address: u32,
    pub(crate) priority: i16,
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Requests {
    suspended: BTreeSet<u32>,
    excluded: BTreeSet<(u32, u32)>,
    /// One an election: the newest counts.
    transfers: std::collections::BTreeMap<u32, Transfer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Transfer {
    term: u64,
    timeline: u64,
    address: u32,
    /// When it was asked for. The real one counts from the end of the term, where that is later.
    at: Instant,
}

/// Whose turn it is, where it is not open to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Barred(Bar),
    /// This candidate is to lead next.
    Called,
    /// Somebody else comes first by his priority.
    Outranked,
}

impl Postgres {
    /// Nobody leads this election until it is resumed.
    pub(crate) fn suspend(&mut self, election: u32) {
        self.tables.requests.suspended.insert(election);
        self.notify(election);
    }

    pub(crate) fn resume(&mut self, election: u32) {
        if self.tables.requests.suspended.remove(&election) {
            self.notify(election);
        }
    }

    /// No candidate of this address leads until it is included.
    pub(crate) fn exclude(&mut self, election: u32, address: u32) {
        self.tables.requests.excluded.insert((election, address));
        self.notify(election);
    }

    pub(crate) fn include(&mut self, election: u32, address: u32) {
        if self.tables.requests.excluded.remove(&(election, address)) {
            self.notify(election);
        }
    }

    /// The next term is to be this address's. False where that cannot be.
    pub(crate) fn transfer(&mut self, now: Instant, election: u32, address: u32) -> bool {
        let requests = &self.tables.requests;
        let Some(row) = self.tables.elections.get(&election) else {
            return false;
        };
        let leads = self.tables.terms.get(&(election, row.term));
        let leads = leads.is_some_and(|term| row.pid.is_some() && term.rank.address == address);
        if leads
            || requests.suspended.contains(&election)
            || requests.excluded.contains(&(election, address))
            || !self.lives(election, address)
        {
            return false;
        }
        let transfer = Transfer {
            term: row.term,
            timeline: self.timeline,
            address,
            at: now,
        };
        self.tables.requests.transfers.insert(election, transfer);
        self.notify(election);
        true
    }

    /// Somebody has locked the table of requests, or has let go of it.
    pub(crate) fn lock_requests(&mut self, locked: bool) {
        self.requests_locked = locked;
    }

    /// The address that is to lead next. Given up when no such candidate lives or may lead, on another
    /// timeline, and after ten leases.
    fn transfer_to(&self, now: Instant, election: u32) -> Option<u32> {
        let requests = &self.tables.requests;
        let row = self.tables.elections.get(&election)?;
        let transfer = requests.transfers.get(&election)?;
        let lease = self.tables.terms.get(&(election, transfer.term))?.lease;
        let address = transfer.address;
        let holds = transfer.term == row.term
            && transfer.timeline == self.timeline
            && now.since(transfer.at) <= lease * 10
            && !requests.excluded.contains(&(election, address))
            && self.lives(election, address);
        holds.then_some(address)
    }

    fn lives(&self, election: u32, address: u32) -> bool {
        let mut candidates = self.tables.candidates_of(election);
        candidates.any(|(_, candidate)| {
            candidate.rank.address == address && self.backends.contains_key(&candidate.pid)
        })
    }

    pub(super) fn turn(&self, now: Instant, instance: u64, key: Key) -> Option<Turn> {
        if self.requests_locked {
            return Some(Turn::Barred(Bar::Unknown));
        }
        let election = key.0;
        let requests = &self.tables.requests;
        if requests.suspended.contains(&election) {
            return Some(Turn::Barred(Bar::Suspended));
        }
        let mine = self.tables.candidates.get(&(election, instance))?.rank;
        if requests.excluded.contains(&(election, mine.address)) {
            return Some(Turn::Barred(Bar::Excluded));
        }
        match self.transfer_to(now, election) {
            Some(address) if address == mine.address => return Some(Turn::Called),
            Some(_) => return Some(Turn::Barred(Bar::Transfer)),
            None => {}
        }
        let row = self.tables.elections.get(&election)?;
        let last = self.tables.terms.get(&(election, row.term));
        let mut others = self.tables.candidates_of(election);
        let outranked = others.any(|(other, candidate)| {
            candidate.rank.priority > mine.priority
                && self.backends.contains_key(&candidate.pid)
                && last.is_none_or(|last| last.instance != other)
                && !requests
                    .excluded
                    .contains(&(election, candidate.rank.address))
        });
        outranked.then_some(Turn::Outranked)
    }

    /// What of it a candidate reads.
    pub(super) fn with_turn(&self, now: Instant, instance: u64, key: Key, view: View) -> View {
        let turn = self.turn(now, instance, key);
        let called = match turn {
            Some(turn) => turn == Turn::Called,
            None => {
                let mine = self.tables.candidates.get(&(key.0, instance));
                let mut others = self.tables.candidates_of(key.0);
                mine.is_some_and(|mine| {
                    others.any(|(_, other)| other.rank.priority < mine.rank.priority)
                }) && self.locks.holder(Kind::Succession, key.0).is_none()
            }
        };
        let bar = match turn {
            Some(Turn::Barred(bar)) => Some(bar),
            _ => None,
        };
        View {
            bar,
            called,
            ..view
        }
    }

    /// Whether the leader of an election is asked to end its term, beside a plain step down.
    pub(super) fn must_end(&self, now: Instant, election: u32) -> Option<u64> {
        let requests = &self.tables.requests;
        let row = self.tables.elections.get(&election)?;
        let leader = self.tables.terms.get(&(election, row.term))?;
        let asked = requests.suspended.contains(&election)
            || requests.excluded.contains(&(election, leader.rank.address))
            || self.transfer_to(now, election).is_some();
        (asked && !self.requests_locked).then_some(row.term)
    }

    /// The requests about terms before this one are done.
    pub(super) fn end_requests(&mut self, election: u32, term: u64) {
        let transfers = &mut self.tables.requests.transfers;
        transfers.retain(|of, transfer| *of != election || transfer.term >= term);
    }

    fn notify(&mut self, election: u32) {
        let keys = vec![Key(election)];
        for (&pid, backend) in &self.backends {
            if backend.ending.is_none() {
                let keys = keys.clone();
                self.words.push((pid, super::Word::Notification { keys }));
            }
        }
    }
}
