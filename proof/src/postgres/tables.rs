//! The tables of the schema.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::levers::{Rank, Requests};
use super::{Instance, Pid};
use crate::engine::{Ending, Heard};

/// What a server has on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tables {
    pub(super) elections: BTreeMap<u32, Election>,
    pub(super) candidates: BTreeMap<(u32, Instance), Candidate>,
    pub(super) terms: BTreeMap<(u32, u64), Term>,
    /// The terms that operators want to end.
    pub(super) step_downs: BTreeSet<(u32, u64)>,
    pub(super) requests: Requests,
}

/// How an election stands on record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum State {
    #[default]
    Vacant,
    Recovering,
    Leading,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Election {
    pub(super) term: u64,
    pub(super) state: State,
    pub(super) pid: Option<Pid>,
    pub(super) lease: Option<Duration>,
    pub(super) closed_term: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Candidate {
    pub(super) rank: Rank,
    pub(super) lease: Duration,
    pub(super) pid: Pid,
    /// What its process had heard of when it joined.
    pub(super) heard: Heard,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Term {
    pub(super) instance: Instance,
    pub(super) rank: Rank,
    pub(super) lease: Duration,
    pub(super) pid: Pid,
    pub(super) direct: bool,
    pub(super) timeline: u64,
    pub(super) closed: bool,
    pub(super) vacated: bool,
    pub(super) ending: Option<Ending>,
}

impl Tables {
    /// Who takes part in an election.
    pub(super) fn candidates_of(
        &self,
        election: u32,
    ) -> impl Iterator<Item = (Instance, &Candidate)> + '_ {
        let all = (election, Instance::MIN)..=(election, Instance::MAX);
        let rows = self.candidates.range(all);
        rows.map(|((_, instance), row)| (*instance, row))
    }

    /// The process that takes part in an election by this session.
    pub(crate) fn candidate_on(&self, election: u32, pid: Pid) -> Option<Instance> {
        let mut candidates = self.candidates_of(election);
        let found = candidates.find(|(_, row)| row.pid == pid);
        found.map(|(instance, _)| instance)
    }

    /// The newest term of an election on record.
    pub(crate) fn newest_term(&self, election: u32) -> Option<u64> {
        Some(self.elections.get(&election)?.term)
    }
}
