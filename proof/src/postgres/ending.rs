//! The end of a term: vacate, release, evict.

use std::time::Duration;

use super::{Asker, Cause, Flaw, Kind, Postgres, Refusal};
use crate::engine::{Answer, ElectionState, Evicted, Id, Instant, Vacate};

impl Postgres {
    pub(super) fn vacate(&mut self, asker: &Asker, terms: &[Vacate]) -> Answer {
        let vacated = terms
            .iter()
            .map(|vacate| (vacate.election, Ok(self.vacate_one(asker, vacate))));
        Answer::Vacated(vacated.collect())
    }

    /// False while a fenced transaction holds the row.
    fn vacate_one(&mut self, asker: &Asker, vacate: &Vacate) -> bool {
        let election = vacate.election.0;
        let any = self.has(Flaw::VacateOfAnyTerm);
        let number = if any {
            self.tables.last_term(election)
        } else {
            vacate.term
        };
        let is_held = self.holds_row(election, number) && !self.has(Flaw::RowsAreNotHeld);
        let holds = self.holds_leadership(asker, election);
        let row = self.tables.terms.get_mut(&(election, number));
        let ours = row.filter(|row| !row.vacated && (any || row.instance == asker.instance));
        let Some(row) = ours else {
            return true;
        };
        if is_held {
            return false;
        }
        row.vacated = true;
        row.closed = true;
        row.ending = Some(vacate.ending);
        let election = self.tables.elections.get_mut(&election);
        if let Some(election) = election.filter(|row| holds && row.term == number) {
            election.state = ElectionState::Vacant;
            election.address = None;
            election.pid = None;
            election.closed_term = number;
        }
        true
    }

    pub(super) fn release(
        &mut self,
        asker: &Asker,
        leadership: &[Id],
        succession: &[Id],
        silence_limit: Duration,
    ) -> Result<Answer, Refusal> {
        let mut held = true;
        for election in leadership {
            held &= self.locks.unlock(Kind::Leadership, election.0, asker.pid);
        }
        for election in succession {
            held &= self.locks.unlock(Kind::Succession, election.0, asker.pid);
        }
        self.limit_silence(asker.pid, silence_limit);
        if held {
            Ok(Answer::Done)
        } else {
            Err(Refusal("a lock to release was not held"))
        }
    }

    /// End the backends that lead on record, if they still hold the lock and have been silent for their lease.
    pub(super) fn evict(&mut self, now: Instant, terms: &[(Id, u64)]) -> Answer {
        let mut evicted = vec![];
        for &(election, term) in terms {
            let holder = self.locks.holder(Kind::Leadership, election.0);
            let row = self.tables.elections.get(&election.0);
            let row = row.filter(|row| row.term == term && row.pid == holder);
            let lease = row.and_then(|row| row.lease).unwrap_or_default();
            let backend = row.and_then(|row| row.pid);
            let is_silent =
                backend
                    .and_then(|pid| self.backends.get(&pid))
                    .is_some_and(|backend| {
                        now.since(backend.state_change) >= lease || self.has(Flaw::EvictsTheLively)
                    });
            let done = match backend.filter(|_| is_silent) {
                Some(pid) => {
                    self.end(pid, Cause::Killed);
                    Evicted::Done
                }
                None => Evicted::NotAllowed,
            };
            evicted.push((election, Ok(done)));
        }
        Answer::Evicted(evicted)
    }
}
