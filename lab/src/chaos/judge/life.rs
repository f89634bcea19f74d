//! Who is alive, and whether anybody is fit to lead.

use super::gaps::{Fault, Gap};
use super::history::{Entry, History, Kind, Mark};

/// Every process, from when it takes part to its death.
pub(super) struct Lives(Vec<Life>);

struct Life {
    process: String,
    from: u64,
    to: u64,
}

impl Lives {
    pub(super) fn of(history: &History) -> Lives {
        let gone = |name: &str| {
            history.faults.iter().find_map(|mark| match mark {
                Mark::Gone { at, process, .. } if process == name => Some(*at),
                _ => None,
            })
        };
        let lives = history.processes.iter().filter_map(|process| {
            let joined = process.entries.iter().find_map(|entry| match entry {
                Entry::Joined { at, .. } => Some(*at),
                _ => None,
            })?;
            let to = gone(&process.name).unwrap_or(u64::MAX);
            Some(Life {
                process: process.name.clone(),
                from: joined,
                to,
            })
        });
        Lives(lives.collect())
    }

    /// When one begins or ends.
    pub(super) fn instants(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|life| [life.from, life.to])
    }

    /// When it is dead.
    pub(super) fn ends(&self, name: &str) -> u64 {
        let life = self.0.iter().find(|life| life.process == name);
        life.map_or(u64::MAX, |life| life.to)
    }

    pub(super) fn lives(&self, name: &str, at: u64) -> bool {
        let mut lives = self.0.iter();
        lives.any(|life| life.process == *name && life.from <= at && at < life.to)
    }
}

/// An instant of a gap, and all until the next fault begins or ends.
pub(super) struct Looked<'a> {
    pub(super) gap: &'a Gap,
    pub(super) at: u64,
    /// Of the same election.
    pub(super) gaps: &'a [&'a Gap],
    pub(super) faults: &'a [Fault],
    pub(super) lives: &'a Lives,
}

impl Looked<'_> {
    /// Whether no candidate is fit, or nobody may lead but one who is not.
    pub(super) fn is_excused(&self, comes_back: u64, given_up: u64) -> bool {
        let fit =
            |name: &str| self.lives.lives(name, self.at) && !self.is_hindered(name, comes_back);
        // Nobody else may lead while the target of a transfer lives, and is not fit.
        let awaited = self.faults.iter().any(|fault| {
            let target = fault.process.as_deref();
            fault.kind == Kind::Transfer
                && self.is_of(fault)
                && self.lasts(fault, given_up)
                && !self.is_followed(fault)
                && target.is_some_and(|target| self.lives.lives(target, self.at) && !fit(target))
        });
        awaited || !self.lives.0.iter().any(|life| fit(&life.process))
    }

    /// Whether a term has begun since, before this gap did.
    fn is_followed(&self, fault: &Fault) -> bool {
        let mut begun = self.gaps.iter();
        begun.any(|gap| fault.begin < gap.to && gap.to <= self.gap.from)
    }

    fn is_of(&self, fault: &Fault) -> bool {
        fault.election.as_ref() == Some(&self.gap.election)
    }

    fn lasts(&self, fault: &Fault, lingers: u64) -> bool {
        fault.begin <= self.at && self.at < fault.end.saturating_add(lingers)
    }

    fn is_hindered(&self, name: &str, comes_back: u64) -> bool {
        self.faults.iter().any(|fault| {
            let lingers = match fault.kind {
                // Nobody may be hindered by what becomes of his words, nor by being asked to lead.
                Kind::FullStderr | Kind::ClosedStderr | Kind::Transfer => return false,
                // It may lead again at once.
                Kind::Exclude if !self.is_of(fault) => return false,
                // These go to the leader alone, or cost a candidate its session, which it can make anew at once.
                Kind::Exclude
                | Kind::StepDown
                | Kind::Depose
                | Kind::KilledSession
                | Kind::BusyProcessors => 0,
                kind if kind.hits_server() => 0,
                _ => comes_back,
            };
            fault.process.as_deref() == Some(name) && self.lasts(fault, lingers)
        })
    }
}
