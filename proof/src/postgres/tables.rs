//! The tables of the schema.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::levers::Levers;
use super::{Instance, Pid};
use crate::engine::{ElectionState, Ending, Heard, Id};

/// What a server has on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tables {
    /// The ids, given out in the order in which elections were joined first.
    ids: BTreeMap<Arc<str>, i32>,
    pub(super) elections: BTreeMap<i32, Election>,
    pub(super) candidates: BTreeMap<(i32, Instance), Candidate>,
    pub(super) terms: BTreeMap<(i32, u64), Term>,
    pub(super) levers: Levers,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Election {
    pub(super) name: Arc<str>,
    pub(super) term: u64,
    /// As on record, whoever holds the lock.
    pub(super) state: ElectionState,
    pub(super) address: Option<Arc<str>>,
    pub(super) pid: Option<Pid>,
    pub(super) lease: Option<Duration>,
    pub(super) closed_term: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Candidate {
    pub(super) address: Arc<str>,
    pub(super) priority: i32,
    pub(super) lease: Duration,
    /// 0 once it has left, and has heard of what this server does not know.
    pub(super) pid: Pid,
    /// What its process has heard of.
    pub(super) heard: Heard,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Term {
    pub(super) instance: Instance,
    pub(super) lease: Duration,
    pub(super) pid: Pid,
    pub(super) direct: bool,
    pub(super) timeline: u64,
    pub(super) closed: bool,
    pub(super) vacated: bool,
    pub(super) ending: Option<Ending>,
}

impl Tables {
    /// The id of an election that somebody has joined.
    pub(crate) fn id(&self, name: &str) -> Option<Id> {
        self.ids.get(name).copied().map(Id)
    }

    /// The name of an election.
    pub(crate) fn name(&self, election: Id) -> Option<&Arc<str>> {
        Some(&self.elections.get(&election.0)?.name)
    }

    /// The id of an election, which is made where nobody has joined it yet.
    pub(super) fn make(&mut self, name: &Arc<str>) -> i32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let last = self.elections.last_key_value();
        let id = last.map_or(1, |(last, _)| last + 1);
        self.ids.insert(Arc::clone(name), id);
        let election = Election {
            name: Arc::clone(name),
            term: 0,
            state: ElectionState::Vacant,
            address: None,
            pid: None,
            lease: None,
            closed_term: 0,
        };
        self.elections.insert(id, election);
        id
    }

    /// Who takes part in an election.
    pub(super) fn candidates_of(
        &self,
        election: i32,
    ) -> impl Iterator<Item = (Instance, &Candidate)> + '_ {
        let all = (election, Instance::MIN)..=(election, Instance::MAX);
        let rows = self.candidates.range(all);
        rows.map(|((_, instance), row)| (*instance, row))
    }

    /// The process that takes part in an election by this session.
    pub(crate) fn candidate_on(&self, election: &str, pid: Pid) -> Option<Instance> {
        let mut candidates = self.candidates_of(self.id(election)?.0);
        let found = candidates.find(|(_, row)| row.pid == pid);
        found.map(|(instance, _)| instance)
    }

    /// The newest term of an election on record; 0 before the first.
    pub(crate) fn newest_term(&self, election: &str) -> Option<u64> {
        Some(self.last_term(self.id(election)?.0))
    }

    pub(super) fn last_term(&self, election: i32) -> u64 {
        self.elections.get(&election).map_or(0, |row| row.term)
    }

    /// The last term, where it is on record.
    pub(super) fn last(&self, election: i32) -> Option<&Term> {
        self.terms.get(&(election, self.last_term(election)))
    }
}
