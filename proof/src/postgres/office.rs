//! From a lock that was won to a term.

use std::time::Duration;

use super::levers::Turn;
use super::tables::{State, Term};
use super::{Asker, Flaw, Kind, Postgres, Refusal};
use crate::protocol::{Answer, Instant, Key, Office};

/// So many numbers a timeline.
const BLOCK: u64 = 1_000_000_000;

impl Postgres {
    pub(super) fn take_office(
        &mut self,
        now: Instant,
        asker: &Asker<'_>,
        key: Key,
        waited: bool,
    ) -> Result<Answer, Refusal> {
        if !self.holds_leadership(asker, key.0) {
            return Err(Refusal("this session does not hold the leadership"));
        }
        let last = self.tables.elections.get(&key.0).map_or(0, |row| row.term);
        let waited = waited || self.has(Flaw::OfficeUnasked);
        let turn = self.turn(now, asker.instance, key);
        let office = if let Some(Turn::Barred(bar)) = turn {
            Office::Barred(bar)
        } else if !waited && !self.refractory_period(key.0, last).is_zero() {
            Office::Waiting
        } else {
            self.close_term(key.0, last);
            match self.begin_term(asker, key.0) {
                Some(term) => Office::Began { term },
                None => Office::Fenced,
            }
        };
        Ok(Answer::Office { key, office })
    }

    pub(super) fn ready(
        &mut self,
        asker: &Asker<'_>,
        key: Key,
        term: u64,
    ) -> Result<Answer, Refusal> {
        let joined = self
            .tables
            .candidates
            .contains_key(&(key.0, asker.instance));
        let row = self.tables.elections.get_mut(&key.0);
        let ours = row.filter(|row| {
            row.term == term && row.pid == Some(asker.pid) && row.state == State::Recovering
        });
        match ours.filter(|_| joined) {
            Some(row) => row.state = State::Leading,
            None => return Err(Refusal("this term is not on record as ours")),
        }
        self.forget_candidates(key.0);
        Ok(Answer::Done)
    }

    /// How long the next term must wait if nothing else tells that the work of the last one has stopped.
    pub(super) fn refractory_period(&self, election: u32, last_term: u64) -> Duration {
        let term = self.tables.terms.get(&(election, last_term));
        if last_term == 0 && self.timeline == 1 {
            return Duration::ZERO;
        }
        let any_timeline = self.has(Flaw::VacateOfAnyTimeline);
        match term {
            Some(term) if term.timeline == self.timeline || any_timeline => {
                let over = term.vacated || (term.closed && self.has(Flaw::ClosedIsVacated));
                if over { Duration::ZERO } else { term.lease }
            }
            _ => {
                let candidates = self.tables.candidates.iter();
                let leases = candidates
                    .filter(|((of, _), _)| *of == election)
                    .map(|(_, candidate)| candidate.lease);
                leases
                    .chain(term.map(|term| term.lease))
                    .max()
                    .unwrap_or_default()
            }
        }
    }

    /// The fence of this term refuses from here.
    pub(super) fn close_term(&mut self, election: u32, term: u64) {
        if let Some(row) = self.tables.elections.get_mut(&election) {
            row.closed_term = row.closed_term.max(term);
        }
        if let Some(row) = self.tables.terms.get_mut(&(election, term)) {
            row.closed = true;
        }
    }

    /// The new term's number; `None` while a fenced transaction is under way.
    pub(super) fn begin_term(&mut self, asker: &Asker<'_>, election: u32) -> Option<u64> {
        if self.is_fenced(election) {
            return None;
        }
        *self.lagging = self.tables.clone();
        let last = self
            .tables
            .elections
            .get(&election)
            .map_or(0, |row| row.term);
        self.close_term(election, last);
        let (lease, rank) = {
            let candidates = &self.tables.candidates;
            let candidate = candidates.get(&(election, asker.instance))?;
            (candidate.lease, candidate.rank)
        };
        let term = self.next_number(election, last);
        self.end_requests(election, term);
        if let Some(row) = self.tables.elections.get_mut(&election) {
            row.term = term;
            row.state = State::Recovering;
            row.pid = Some(asker.pid);
            row.lease = Some(lease);
        }
        let begun = Term {
            instance: asker.instance,
            rank,
            lease,
            pid: asker.pid,
            direct: asker.direct,
            timeline: self.timeline,
            closed: false,
            vacated: false,
            ending: None,
        };
        self.tables.terms.insert((election, term), begun);
        if term.is_multiple_of(20) {
            self.forget_candidates(election);
        }
        Some(term)
    }

    fn next_number(&self, election: u32, last: u64) -> u64 {
        if self.has(Flaw::NumberPlusOne) {
            return last + 1;
        }
        let first = (self.timeline - 1) * BLOCK + 1;
        if last == 0 {
            return first;
        }
        let began_on = self.tables.terms.get(&(election, last));
        let ahead = began_on.map_or(self.timeline, |term| self.timeline - term.timeline);
        first
            .max(last + 1)
            .max(((last - 1) / BLOCK + ahead) * BLOCK + 1)
    }

    pub(super) fn holds_leadership(&self, asker: &Asker<'_>, election: u32) -> bool {
        self.locks.holder(Kind::Leadership, election) == Some(asker.pid)
    }

    /// Candidates whose process was killed and could not take its candidacy back.
    fn forget_candidates(&mut self, election: u32) {
        let backends = &self.backends;
        let candidates = &mut self.tables.candidates;
        candidates.retain(|(of, _), row| *of != election || backends.contains_key(&row.pid));
    }
}
