//! What operators ask for, and what of it candidates obey.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Flaw, Instance, Kind, Postgres};
use crate::engine::{Asked, Bar, ElectionState, Id, Instant, StepDown};

/// The role of all operators.
pub(crate) const OPERATOR: &str = "operator";

/// What is in force, by when it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Levers {
    asked: u64,
    in_force: BTreeMap<u64, Lever>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lever {
    election: i32,
    /// The term of the moment. Of a step down and a transfer: which they are about.
    term: u64,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum What {
    StepDown,
    Suspend,
    Exclude {
        address: Arc<str>,
    },
    Transfer {
        address: Arc<str>,
        timeline: u64,
        /// When it was asked for. The real one counts from the end of the term, where that is later.
        at: Instant,
    },
}

impl What {
    fn word(&self) -> &'static str {
        match self {
            What::StepDown => "step down",
            What::Suspend => "suspend",
            What::Exclude { .. } => "exclude",
            What::Transfer { .. } => "transfer",
        }
    }
}

impl Levers {
    fn add(&mut self, lever: Lever) {
        self.asked += 1;
        self.in_force.insert(self.asked, lever);
    }

    fn of(&self, election: i32) -> impl DoubleEndedIterator<Item = &Lever> {
        let all = self.in_force.values();
        all.filter(move |lever| lever.election == election)
    }

    fn suspends(&self, election: i32) -> bool {
        self.of(election).any(|lever| lever.what == What::Suspend)
    }

    fn excludes(&self, election: i32, address: &str) -> bool {
        let excludes = |lever: &Lever| matches!(&lever.what, What::Exclude { address: its } if **its == *address);
        self.of(election).any(excludes)
    }
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

impl Turn {
    pub(super) fn bar(self) -> Option<Bar> {
        match self {
            Turn::Barred(bar) => Some(bar),
            Turn::Outranked => Some(Bar::Outranked),
            Turn::Called => None,
        }
    }
}

impl Postgres {
    /// An operator wants the leader to end its term in order. False when nobody leads.
    pub(crate) fn step_down(&mut self, election: &str) -> bool {
        let Some(Id(id)) = self.tables.id(election) else {
            return false;
        };
        let leads = self.tables.elections[&id].state != ElectionState::Vacant;
        if !self.up || !leads {
            return false;
        }
        self.ask(id, What::StepDown);
        true
    }

    /// Nobody leads this election until it is resumed.
    pub(crate) fn suspend(&mut self, election: &str) {
        if let Some(Id(id)) = self.tables.id(election)
            && !self.tables.levers.suspends(id)
        {
            self.ask(id, What::Suspend);
        }
    }

    pub(crate) fn resume(&mut self, election: &str) {
        self.lift(election, &What::Suspend);
    }

    /// No candidate of this address leads until it is included.
    pub(crate) fn exclude(&mut self, election: &str, address: &Arc<str>) {
        if let Some(Id(id)) = self.tables.id(election)
            && !self.tables.levers.excludes(id, address)
        {
            let address = Arc::clone(address);
            self.ask(id, What::Exclude { address });
        }
    }

    pub(crate) fn include(&mut self, election: &str, address: &Arc<str>) {
        let address = Arc::clone(address);
        self.lift(election, &What::Exclude { address });
    }

    /// The next term is to be this address's. False where that cannot be.
    pub(crate) fn transfer(&mut self, now: Instant, election: &str, address: &Arc<str>) -> bool {
        let Some(Id(id)) = self.tables.id(election) else {
            return false;
        };
        let row = &self.tables.elections[&id];
        let leads = row.state != ElectionState::Vacant && row.address.as_ref() == Some(address);
        let levers = &self.tables.levers;
        let barred = levers.suspends(id) || levers.excludes(id, address);
        if leads || barred || self.longest_lease_of(id, address).is_none() {
            return false;
        }
        let transfer = What::Transfer {
            address: Arc::clone(address),
            timeline: self.timeline,
            at: now,
        };
        self.ask(id, transfer);
        true
    }

    /// Somebody has locked the table of requests, or has let go of it.
    pub(crate) fn lock_requests(&mut self, locked: bool) {
        self.requests_locked = locked;
    }

    fn ask(&mut self, election: i32, what: What) {
        let term = self.tables.last_term(election);
        self.tables.levers.add(Lever {
            election,
            term,
            what,
        });
        self.tell_of_lever(election);
    }

    fn lift(&mut self, election: &str, what: &What) {
        let Some(Id(id)) = self.tables.id(election) else {
            return;
        };
        let in_force = &mut self.tables.levers.in_force;
        let before = in_force.len();
        in_force.retain(|_, lever| lever.election != id || lever.what != *what);
        if in_force.len() < before {
            self.tell_of_lever(id);
        }
    }

    /// An operator's session listens to nothing, and is nobody's whom this concerns.
    fn tell_of_lever(&mut self, election: i32) {
        let name = Arc::clone(&self.tables.elections[&election].name);
        self.notify(0, &name);
    }

    /// The address that is to lead next. Given up when no such candidate lives or may lead, on another
    /// timeline, and after ten leases.
    fn transfer_to(&self, now: Instant, election: i32) -> Option<&Arc<str>> {
        let last = self.tables.last_term(election);
        let levers = self.tables.levers.of(election);
        let (address, timeline, at) = levers.rev().find_map(|lever| match &lever.what {
            What::Transfer {
                address,
                timeline,
                at,
            } if lever.term == last => Some((address, *timeline, *at)),
            _ => None,
        })?;
        let lives = self.longest_lease_of(election, address)?;
        let lease = self.tables.last(election).map_or(lives, |term| term.lease);
        let holds = timeline == self.timeline
            && now.since(at) <= lease * 10
            && !self.tables.levers.excludes(election, address);
        holds.then_some(address)
    }

    /// Of the live candidates of this address.
    fn longest_lease_of(&self, election: i32, address: &str) -> Option<std::time::Duration> {
        let candidates = self.tables.candidates_of(election);
        let alive = candidates.filter(|(_, candidate)| {
            *candidate.address == *address && self.backends.contains_key(&candidate.pid)
        });
        alive.map(|(_, candidate)| candidate.lease).max()
    }

    pub(super) fn turn(&self, now: Instant, instance: Instance, election: i32) -> Option<Turn> {
        if self.requests_locked {
            return Some(Turn::Barred(Bar::Unknown));
        }
        let levers = &self.tables.levers;
        if levers.suspends(election) {
            return Some(Turn::Barred(Bar::Suspended));
        }
        let mine = self.tables.candidates.get(&(election, instance));
        if mine.is_some_and(|mine| levers.excludes(election, &mine.address)) {
            return Some(Turn::Barred(Bar::Excluded));
        }
        match self.transfer_to(now, election) {
            Some(address) if mine.is_some_and(|mine| mine.address == *address) => {
                return Some(Turn::Called);
            }
            Some(_) => return Some(Turn::Barred(Bar::Transfer)),
            None => {}
        }
        let mine = mine?;
        let last = self.tables.last(election);
        let mut others = self.tables.candidates_of(election);
        let outranked = others.any(|(other, candidate)| {
            candidate.priority > mine.priority
                && self.backends.contains_key(&candidate.pid)
                && last.is_none_or(|last| last.instance != other)
                && !levers.excludes(election, &candidate.address)
        });
        outranked.then_some(Turn::Outranked)
    }

    /// What of it a candidate reads: why it may not lead, and whether it is its turn.
    pub(super) fn turn_read(
        &self,
        now: Instant,
        instance: Instance,
        election: i32,
    ) -> (Option<Bar>, bool) {
        match self.turn(now, instance, election) {
            Some(Turn::Barred(bar)) => (Some(bar), false),
            Some(turn) => (None, turn == Turn::Called),
            None => {
                let mine = self.tables.candidates.get(&(election, instance));
                let mut others = self.tables.candidates_of(election);
                let outranks = mine
                    .is_some_and(|mine| others.any(|(_, other)| other.priority < mine.priority));
                let free = self.locks.holder(Kind::Succession, election).is_none();
                (None, outranks && free)
            }
        }
    }

    /// What operators ask of the leaders of these elections, the oldest of each.
    pub(super) fn asked_of_leaders(&self, now: Instant, elections: &[Id]) -> Vec<StepDown> {
        if self.requests_locked {
            return vec![];
        }
        let in_force = self.tables.levers.in_force.values();
        let asked = in_force.filter_map(|lever| {
            let election = Id(lever.election);
            let row = self.tables.elections.get(&lever.election)?;
            let asks = match &lever.what {
                What::StepDown => lever.term == row.term || self.has(Flaw::StepDownForEver),
                What::Suspend => true,
                What::Exclude { address } => row.address.as_ref() == Some(address),
                What::Transfer { .. } => {
                    lever.term == row.term && self.transfer_to(now, lever.election).is_some()
                }
            };
            let asked = Asked {
                kind: lever.what.word().into(),
                by: OPERATOR.into(),
            };
            (asks && elections.contains(&election)).then_some(StepDown {
                election,
                term: row.term,
                asked,
            })
        });
        let mut oldest: Vec<StepDown> = vec![];
        for asked in asked {
            if oldest.iter().all(|of| of.election != asked.election) {
                oldest.push(asked);
            }
        }
        oldest
    }

    /// The requests about terms before this one are done.
    pub(super) fn end_requests(&mut self, election: i32, term: u64) {
        if self.requests_locked {
            return;
        }
        self.tables.levers.in_force.retain(|_, lever| {
            let of_a_term = matches!(lever.what, What::StepDown | What::Transfer { .. });
            lever.election != election || !of_a_term || lever.term >= term
        });
    }
}
