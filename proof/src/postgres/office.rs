//! From a lock that was won to a term.

use std::sync::Arc;

use super::levers::Turn;
use super::outlook::Outlook;
use super::tables::Term;
use super::{Asker, Flaw, Instance, Kind, Postgres, Refusal};
use crate::engine::{Answer, Bar, ElectionState, Id, Instant, Office, TakeOffice};

const NO_CANDIDATE: Refusal = Refusal("this session is no candidate");

impl Postgres {
    pub(super) fn take_office(
        &mut self,
        now: Instant,
        asker: &Asker,
        offices: &[TakeOffice],
    ) -> Result<Answer, Refusal> {
        let held = |office: &TakeOffice| self.holds_leadership(asker, office.election.0);
        if !offices.iter().all(held) {
            return Err(Refusal("this session does not hold the leadership"));
        }
        let mut taken = vec![];
        for office in offices {
            let before = self.save_if(!self.is_candidate(asker, office.election.0));
            let office_taken = self.take_one_office(now, asker, office);
            let office_taken =
                office_taken.map_err(|refusal| self.roll_back(before, refusal).into());
            taken.push((office.election, office_taken));
        }
        Ok(Answer::Office(taken))
    }

    fn take_one_office(
        &mut self,
        now: Instant,
        asker: &Asker,
        office: &TakeOffice,
    ) -> Result<Office, Refusal> {
        let election = office.election.0;
        let turn = self.turn(now, asker.instance, election);
        let outlook = self.outlook(election, office.heard);
        let waited = office.waited || self.has(Flaw::OfficeUnasked);
        if let Some(Turn::Barred(bar)) = turn {
            Ok(Office::Barred(bar))
        } else if outlook.beyond {
            Ok(Office::Barred(Bar::Beyond))
        } else if (!waited && !outlook.wait.is_zero()) || outlook.elsewhere > office.elsewhere {
            if outlook.known.term > outlook.last {
                self.keep_heard(election, asker.instance, outlook.known);
            }
            Ok(Office::Waiting {
                elsewhere: outlook.elsewhere,
                heard: outlook.known,
            })
        } else {
            self.close_term(election, outlook.last);
            let begun = self.begin_term(asker, election, &outlook)?;
            Ok(begun.map_or(Office::Fenced, |(term, token)| Office::Began {
                term,
                token,
            }))
        }
    }

    pub(super) fn ready(&mut self, asker: &Asker, terms: &[(Id, u64)]) -> Answer {
        let mut recorded = vec![];
        for &(Id(election), term) in terms {
            let its = self.tables.terms.get(&(election, term));
            let its = its.is_some_and(|its| its.instance == asker.instance);
            let row = self.tables.elections.get_mut(&election);
            let ours = row.filter(|row| {
                row.term == term
                    && row.pid == Some(asker.pid)
                    && row.state == ElectionState::Recovering
            });
            let ours = ours.filter(|_| its);
            recorded.push((Id(election), Ok(ours.is_some())));
            if let Some(row) = ours {
                row.state = ElectionState::Leading;
                self.forget_candidates(election);
            }
        }
        Answer::Recorded(recorded)
    }

    /// The fence of this term refuses from here.
    pub(super) fn close_term(&mut self, election: i32, term: u64) {
        if term == 0 {
            return;
        }
        if let Some(row) = self.tables.elections.get_mut(&election) {
            row.closed_term = row.closed_term.max(term);
        }
        // A transaction that holds the row is not waited for.
        if self.holds_row(election, term) {
            return;
        }
        if let Some(row) = self.tables.terms.get_mut(&(election, term)) {
            row.closed = true;
        }
    }

    /// The new term's number and token; `None` while a fenced transaction is under way.
    pub(super) fn begin_term(
        &mut self,
        asker: &Asker,
        election: i32,
        outlook: &Outlook,
    ) -> Result<Option<(u64, Arc<str>)>, Refusal> {
        if self.is_fenced(election) && !self.has(Flaw::FencesHoldNothing) {
            return Ok(None);
        }
        let candidate = self.tables.candidates.get(&(election, asker.instance));
        let candidate = candidate.filter(|candidate| candidate.pid == asker.pid);
        let candidate = candidate.cloned().ok_or(NO_CANDIDATE)?;
        if let Some(lagging) = &mut self.lagging {
            **lagging = self.tables.clone();
        }
        self.close_term(election, outlook.last);
        let term = self.next_number(outlook);
        if !self.has(Flaw::StepDownForEver) {
            self.end_requests(election, term);
        }
        if let Some(row) = self.tables.elections.get_mut(&election) {
            row.term = term;
            row.state = ElectionState::Recovering;
            row.address = Some(candidate.address);
            row.pid = Some(asker.pid);
            row.lease = Some(candidate.lease);
        }
        let begun = Term {
            instance: asker.instance,
            lease: candidate.lease,
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
        Ok(Some((term, token(term, asker.instance))))
    }

    pub(super) fn holds_leadership(&self, asker: &Asker, election: i32) -> bool {
        self.locks.holder(Kind::Leadership, election) == Some(asker.pid)
    }

    pub(super) fn is_candidate(&self, asker: &Asker, election: i32) -> bool {
        let row = self.tables.candidates.get(&(election, asker.instance));
        row.is_some_and(|row| row.pid == asker.pid)
    }

    /// Candidates whose process was killed and could not take its candidacy back.
    fn forget_candidates(&mut self, election: i32) {
        let candidates = self.tables.candidates_of(election);
        let gone = candidates.filter(|(_, row)| !self.backends.contains_key(&row.pid));
        let gone: Vec<Instance> = gone.map(|(instance, _)| instance).collect();
        for instance in gone {
            self.tables.candidates.remove(&(election, instance));
        }
    }
}

/// No two terms of a number have one leader.
fn token(term: u64, instance: Instance) -> Arc<str> {
    format!("{term} of {instance}").into()
}
