//! Joining, leaving, reading and telling.

use std::sync::Arc;

use super::tables::{Candidate, Tables};
use super::{Asker, Flaw, Kind, Pid, Postgres, Refusal};
use crate::engine::{
    Answer, ElectionState, Found, Heard, Id, Instant, Join, Joined, Row, StepDown, Told, View,
};

impl Postgres {
    pub(super) fn join(&mut self, asker: &Asker, joins: &[Join]) -> Result<Answer, Refusal> {
        for join in joins {
            // What an earlier session of the process still has under way changes nothing of the later one's row.
            let id = self.tables.id(&join.name).map_or(0, |id| id.0);
            let row = self.tables.candidates.get(&(id, asker.instance));
            let later = row.map_or(0, |row| row.pid);
            if later > asker.pid && self.backends.contains_key(&later) {
                return Err(Refusal("a later session of this process is the candidate"));
            }
        }
        let joined = joins.iter().map(|join| self.join_one(asker, join));
        Ok(Answer::Joined(joined.collect()))
    }

    fn join_one(&mut self, asker: &Asker, join: &Join) -> (Arc<str>, Told<Joined>) {
        let election = self.tables.make(&join.name);
        let heard = match self.has(Flaw::HeardNotRecorded) {
            true => Heard::default(),
            false => join.heard,
        };
        let place = (election, asker.instance);
        let before = self.tables.candidates.get(&place);
        let before = before.map_or(Heard::default(), |row| row.heard);
        let candidate = Candidate {
            address: Arc::clone(&join.address),
            priority: join.priority,
            lease: asker.lease,
            pid: asker.pid,
            heard: Heard {
                term: heard.term.max(before.term),
                lease: heard.lease.max(before.lease),
            },
        };
        self.tables.candidates.insert(place, candidate);
        let outlook = self.outlook(election, heard);
        if outlook.known.term > outlook.last.max(heard.term) {
            self.keep_heard(election, asker.instance, outlook.known);
        }
        let joined = Joined {
            election: Id(election),
            heard: Heard {
                term: outlook.known.term.max(outlook.below),
                lease: outlook.known.lease,
            },
        };
        (Arc::clone(&join.name), Ok(joined))
    }

    pub(super) fn leave(&mut self, asker: &Asker, elections: &[Id]) -> Answer {
        for &Id(election) in elections {
            let place = (election, asker.instance);
            let last = self.tables.last_term(election);
            let forgets = self.has(Flaw::LeavingForgets);
            if let Some(row) = self.tables.candidates.get_mut(&place)
                && row.pid == asker.pid
            {
                // What this server does not know of stays until the next term.
                if row.heard.term > last && !forgets {
                    row.pid = 0;
                } else {
                    self.tables.candidates.remove(&place);
                }
            }
        }
        Answer::Left(elections.iter().map(|id| (*id, Ok(()))).collect())
    }

    /// A leader on record whose session is gone does not lead.
    pub(super) fn read(&self, now: Instant, asker: &Asker, names: &[Arc<str>]) -> Answer {
        let found = |name: &Arc<str>| {
            let id = self.tables.id(name)?.0;
            let row = self.tables.elections.get(&id)?;
            let holder = self.locks.holder(Kind::Leadership, id);
            let leads = holder.is_some() && holder == row.pid;
            let (bar, called) = self.turn_read(now, asker.instance, id);
            let row = Row {
                term: row.term,
                state: if leads {
                    row.state
                } else {
                    ElectionState::Vacant
                },
                address: row.address.clone().filter(|_| leads),
                bar,
            };
            let view = View {
                term: row.term,
                lease: self.tables.elections.get(&id)?.lease,
                vacant: row.state == ElectionState::Vacant,
                bar,
                called,
            };
            Some(Found { row, view })
        };
        let read = names.iter().map(|name| (Arc::clone(name), Ok(found(name))));
        Answer::Read(read.collect())
    }

    pub(super) fn announce(&mut self, asker: &Asker, elections: &[Id]) -> Answer {
        for election in elections {
            if let Some(name) = self.tables.name(*election).cloned() {
                self.notify(asker.pid, &name);
            }
        }
        Answer::Done
    }

    /// What operators ask of the leaders of these.
    pub(super) fn heartbeat(&self, now: Instant, elections: &[Id]) -> Result<Answer, Refusal> {
        let is_there = |id: &Id| self.tables.elections.contains_key(&id.0);
        if !elections.iter().all(is_there) {
            return Err(Refusal("an election has no row any more"));
        }
        let asked: Vec<StepDown> = self.asked_of_leaders(now, elections);
        Ok(Answer::Asked(asked))
    }

    /// Who holds a lock of an election.
    pub(crate) fn holder(&self, kind: Kind, election: &str) -> Option<Pid> {
        self.locks.holder(kind, self.tables.id(election)?.0)
    }

    /// Somebody who is no candidate takes the leadership's lock, if it is free.
    pub(crate) fn take_lock(&mut self, election: &str, pid: Pid) -> bool {
        self.take(Kind::Leadership, election, pid)
    }

    /// The same for the successor's lock.
    pub(crate) fn take_place(&mut self, election: &str, pid: Pid) -> bool {
        self.take(Kind::Succession, election, pid)
    }

    fn take(&mut self, kind: Kind, election: &str, pid: Pid) -> bool {
        let id = self.tables.id(election);
        self.serves(pid) && id.is_some_and(|id| self.locks.try_lock(kind, id.0, pid))
    }

    /// The tables as they are, where a statement may fail half-way.
    pub(super) fn save_if(&self, may_fail: bool) -> Option<Box<Tables>> {
        may_fail.then(|| Box::new(self.tables.clone()))
    }

    pub(super) fn roll_back(&mut self, before: Option<Box<Tables>>, refusal: Refusal) -> Refusal {
        if let Some(before) = before {
            self.tables = *before;
        }
        refusal
    }
}
