//! The end of a term: vacate, release, evict.

use std::time::Duration;

use super::tables::State;
use super::{Asker, Cause, Flaw, Kind, Postgres, Refusal};
use crate::engine::{Answer, Ending, Key};

impl Postgres {
    pub(super) fn vacate(
        &mut self,
        asker: &Asker<'_>,
        key: Key,
        term: u64,
        ending: Ending,
    ) -> Answer {
        let any = self.has(Flaw::VacateOfAnyTerm);
        let current = self.tables.elections.get(&key.0).map_or(0, |row| row.term);
        let number = if any { current } else { term };
        if self.holds_row(key.0, number) {
            let done = false;
            return Answer::Vacated { key, term, done };
        }
        let row = self.tables.terms.get_mut(&(key.0, number));
        let ours = row.filter(|row| !row.vacated && (any || row.instance == asker.instance));
        if let Some(row) = ours {
            row.vacated = true;
            row.closed = true;
            row.ending = Some(ending);
            let holds = self.holds_leadership(asker, key.0);
            let election = self.tables.elections.get_mut(&key.0);
            if let Some(election) = election.filter(|row| holds && row.term == number) {
                election.state = State::Vacant;
                election.pid = None;
                election.closed_term = number;
            }
            let asked = &mut self.tables.step_downs;
            asked.retain(|&(election, asked)| election != key.0 || asked > number);
        }
        Answer::Vacated {
            key,
            term,
            done: true,
        }
    }

    pub(super) fn release(
        &mut self,
        asker: &Asker<'_>,
        leadership: &[Key],
        succession: &[Key],
        silence_limit: Duration,
    ) -> Result<Answer, Refusal> {
        let mut held = true;
        for key in leadership {
            held &= self.locks.unlock(Kind::Leadership, key.0, asker.pid);
        }
        for key in succession {
            held &= self.locks.unlock(Kind::Succession, key.0, asker.pid);
        }
        self.limit_silence(asker.pid, silence_limit);
        if held {
            Ok(Answer::Done)
        } else {
            Err(Refusal("a lock to release was not held"))
        }
    }

    /// End the backend that leads on record, if it still holds the lock.
    pub(super) fn evict(&mut self, key: Key, term: u64) -> Answer {
        let holder = self.locks.holder(Kind::Leadership, key.0);
        let row = self.tables.elections.get(&key.0);
        if let Some(row) = row.filter(|row| row.term == term && row.pid == holder)
            && let Some(pid) = row.pid
        {
            self.end(pid, Cause::Killed);
        }
        Answer::Done
    }
}
