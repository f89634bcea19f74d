//! From a lock that was won to a term.

use std::time::Duration;

use super::levers::Turn;
use super::tables::{State, Term};
use super::{Asker, Flaw, Instance, Kind, Postgres, Refusal};
use crate::engine::{Answer, Bar, Heard, Instant, Key, Office};

/// So many numbers a timeline.
const BLOCK: u64 = 10_000_000_000_000;
/// What was heard of may lie so many blocks beyond.
pub(super) const BEYOND: u64 = 16;
/// And fewer than so many beyond the timeline.
const FARTHEST: u64 = 100_000;

impl Postgres {
    pub(super) fn take_office(
        &mut self,
        now: Instant,
        asker: &Asker<'_>,
        key: Key,
        waited: bool,
        waited_elsewhere: Duration,
        heard: Heard,
    ) -> Result<Answer, Refusal> {
        if !self.holds_leadership(asker, key.0) {
            return Err(Refusal("this session does not hold the leadership"));
        }
        let last = self.tables.elections.get(&key.0).map_or(0, |row| row.term);
        let waited = waited || self.has(Flaw::OfficeUnasked);
        let turn = self.turn(now, asker.instance, key);
        let office = if let Some(Turn::Barred(bar)) = turn {
            Office::Barred(bar)
        } else if self.is_beyond(key.0, heard) {
            Office::Barred(Bar::Beyond)
        } else if !waited && !self.refractory_period(key.0, last).is_zero()
            || self.elsewhere(key.0, heard) > waited_elsewhere
        {
            Office::Waiting {
                elsewhere: self.elsewhere(key.0, heard),
                heard: self.tell_known(asker, key.0, heard),
            }
        } else {
            self.close_term(key.0, last);
            match self.begin_term(asker, key.0, heard) {
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

    /// How long the next term must wait if nothing else tells that the work of the last one has stopped, where
    /// that one began on this timeline.
    pub(super) fn refractory_period(&self, election: u32, last_term: u64) -> Duration {
        let any_timeline = self.has(Flaw::VacateOfAnyTimeline);
        match self.tables.terms.get(&(election, last_term)) {
            Some(term) if term.timeline == self.timeline || any_timeline => {
                let over = term.vacated || (term.closed && self.has(Flaw::ClosedIsVacated));
                if over { Duration::ZERO } else { term.lease }
            }
            Some(term) if term.timeline < self.timeline => Duration::ZERO,
            None if last_term == 0 => Duration::ZERO,
            // Nothing proves that the server is another one.
            _ => self.longest_lease(election),
        }
    }

    /// How long, from the proof that this server is the primary, the work of terms may run that began on others:
    /// a lost one after the last on record, where that began on another timeline; and one that was heard of and
    /// is not on record.
    pub(super) fn elsewhere(&self, election: u32, heard: Heard) -> Duration {
        let last = self
            .tables
            .elections
            .get(&election)
            .map_or(0, |row| row.term);
        let any_timeline = self.has(Flaw::VacateOfAnyTimeline);
        let here = match self.tables.terms.get(&(election, last)) {
            Some(term) => term.timeline == self.timeline || any_timeline,
            None => last == 0 && self.timeline == 1,
        };
        let floor = self.floor(election);
        let heard = self.heard_of(election, heard);
        let forgotten = heard.filter(|heard| heard.term > floor);
        let forgotten: Vec<Duration> = forgotten.map(|heard| heard.lease).collect();
        let waits = !forgotten.is_empty() && !self.has(Flaw::RaisedWithoutWaiting);
        if here && !waits {
            return Duration::ZERO;
        }
        let forgotten = forgotten.into_iter().max().unwrap_or_default();
        forgotten.max(self.longest_lease(election))
    }

    /// The longest lease on record.
    pub(super) fn longest_lease(&self, election: u32) -> Duration {
        let candidates = self.tables.candidates_of(election);
        let leases = candidates.map(|(_, candidate)| candidate.lease);
        let row = self.tables.elections.get(&election);
        let last = row.and_then(|row| row.lease);
        leases.chain(last).max().unwrap_or_default()
    }

    /// What the caller and those on record have heard of, as far as it is believed.
    fn heard_of(&self, election: u32, heard: Heard) -> impl Iterator<Item = Heard> + '_ {
        let candidates = self.tables.candidates_of(election);
        let theirs = candidates.map(|(_, candidate)| candidate.heard);
        let all = theirs.chain([heard]);
        all.filter(move |heard| !self.is_beyond(election, *heard))
    }

    /// The greatest term that was heard of, or that is on record.
    pub(super) fn greatest_heard(&self, election: u32, heard: Heard) -> Heard {
        let row = self.tables.elections.get(&election);
        let last = row.map(|row| Heard {
            term: row.term,
            lease: row.lease.unwrap_or_default(),
        });
        let heard = self.heard_of(election, heard).chain(last);
        heard.max_by_key(|heard| heard.term).unwrap_or_default()
    }

    /// The same, told to a candidate: from here on its row has it too, for others may take theirs back.
    pub(super) fn tell_known(&mut self, asker: &Asker<'_>, election: u32, heard: Heard) -> Heard {
        let known = self.greatest_heard(election, heard);
        let last = self
            .tables
            .elections
            .get(&election)
            .map_or(0, |row| row.term);
        let recorded = known.term > last && !self.has(Flaw::HeardNotRecorded);
        let row = self.tables.candidates.get_mut(&(election, asker.instance));
        if let Some(row) = row.filter(|row| recorded && row.heard.term < known.term) {
            row.heard = known;
        }
        known
    }

    /// So far beyond what this server knows that it is not believed.
    pub(super) fn is_beyond(&self, election: u32, heard: Heard) -> bool {
        let floor = self.floor(election);
        let farthest = (floor / BLOCK + BEYOND).min(self.timeline + FARTHEST - 1);
        heard.term > floor && heard.term / BLOCK > farthest
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
    pub(super) fn begin_term(
        &mut self,
        asker: &Asker<'_>,
        election: u32,
        heard: Heard,
    ) -> Option<u64> {
        if self.is_fenced(election) {
            return None;
        }
        if let Some(lagging) = &mut self.lagging {
            **lagging = self.tables.clone();
        }
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
        let term = self.next_number(election, last, heard);
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

    /// No term that begins here from now on has this number or a smaller one: the last term's, or the end of the
    /// blocks before the one in which the next term lies.
    pub(crate) fn floor(&self, election: u32) -> u64 {
        let last = self
            .tables
            .elections
            .get(&election)
            .map_or(0, |row| row.term);
        let began_on = self.tables.terms.get(&(election, last));
        let ahead = match began_on {
            Some(term) => self.timeline.saturating_sub(term.timeline),
            None if last == 0 => self.timeline - 1,
            None => self.timeline,
        };
        let block = (last / BLOCK + ahead).max(self.timeline - 1);
        if block > last / BLOCK {
            block * BLOCK
        } else {
            last
        }
    }

    fn next_number(&self, election: u32, last: u64, heard: Heard) -> u64 {
        if self.has(Flaw::NumberPlusOne) {
            return last + 1;
        }
        let floor = self.floor(election);
        let heard = self.heard_of(election, heard);
        let heard = heard.map(|heard| heard.term).max().unwrap_or(0);
        let first = if heard > floor {
            (heard / BLOCK + 1).max(floor / BLOCK) * BLOCK
        } else if floor > last {
            floor
        } else {
            return last + 1;
        };
        let time = match self.has(Flaw::NumberWithoutTime) || first == 0 {
            true => 0,
            // A promotion takes longer than so many terms.
            false => self.promotions * 1_000_000,
        };
        first + time + 1
    }

    pub(super) fn holds_leadership(&self, asker: &Asker<'_>, election: u32) -> bool {
        self.locks.holder(Kind::Leadership, election) == Some(asker.pid)
    }

    /// Candidates whose process was killed and could not take its candidacy back.
    fn forget_candidates(&mut self, election: u32) {
        let candidates = self.tables.candidates_of(election);
        let gone = candidates.filter(|(_, row)| !self.backends.contains_key(&row.pid));
        let gone: Vec<Instance> = gone.map(|(instance, _)| instance).collect();
        for instance in gone {
            self.tables.candidates.remove(&(election, instance));
        }
    }
}
