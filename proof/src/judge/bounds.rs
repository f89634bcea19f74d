//! Invariant 6: while the database is reachable and a candidate lives, somebody leads within bounds.
//!
//! Between two faults, or ends of faults, nobody has an excuse: then no gap lasts longer than the worst that the
//! protocol knows, where the leader and the successor die together and the others come at their next retry.

use super::gaps::{Fault, Gap};
use super::history::{Entry, History, Kind, Mark};
use super::verdict::Verdict;

/// So long a candidate may need to come back after its last fault: a connect that hangs is given up after 5 s, and
/// the next begins within a retry interval.
const COMES_BACK: u64 = 5_000_000_000;

/// The longest time without a leader and without an excuse, in nanoseconds.
fn bound(history: &History) -> u64 {
    let (lease, retry) = (history.run.lease_ms, history.run.retry_interval_ms);
    // A retry with its jitter, the server's silence limit, the refractory period, a fenced transaction that hangs
    // until it is ended; and three leases for a machine that has other things to do.
    (retry * 5 / 4 + lease * 12 / 10 + lease + lease + lease * 3) * 1_000_000
}

pub(super) fn judge(history: &History, gaps: &[Gap], faults: &[Fault]) -> Verdict {
    let bound = bound(history);
    let lives = lives(history);
    let mut instants: Vec<u64> = faults
        .iter()
        .flat_map(|fault| [fault.begin, fault.end])
        .collect();
    instants.extend(lives.iter().flat_map(|life| [life.from, life.to]));
    let transfers = faults.iter().filter(|fault| fault.kind == Kind::Transfer);
    instants.extend(transfers.map(|fault| fault.begin + given_up(history)));
    instants.sort_unstable();
    let mut violations = vec![];
    let mut longest = 0;
    for gap in gaps {
        let mut from = gap.from;
        let within = instants
            .iter()
            .filter(|at| **at > gap.from && **at < gap.to);
        for to in within.copied().chain([gap.to]) {
            let looked = Looked {
                gap,
                at: from,
                gaps,
                faults,
                lives: &lives,
            };
            if !looked.is_excused(bound_of_return(history), given_up(history)) {
                longest = longest.max(to - from);
                if to - from > bound {
                    violations.push(format!(
                        "{}: nobody led for {:.1} s after {from} (term {} had ended), and nothing hindered it",
                        gap.election,
                        (to - from) as f64 / 1e9,
                        gap.after
                    ));
                }
            }
            from = to;
        }
    }
    let evidence = format!(
        "{} gaps; at most {:.2} s without a leader and without a new fault, of {:.2} s allowed",
        gaps.len(),
        longest as f64 / 1e9,
        bound as f64 / 1e9
    );
    Verdict::new(6, "somebody leads within bounds", evidence, violations)
}

fn bound_of_return(history: &History) -> u64 {
    COMES_BACK + history.run.retry_interval_ms * 1_000_000
}

/// From its start to its death.
struct Life {
    process: String,
    from: u64,
    to: u64,
}

fn lives(history: &History) -> Vec<Life> {
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
    lives.collect()
}

/// A transfer whose target does not come is given up by then: ten leases after the request, or after the end of the term
/// where that came within them.
fn given_up(history: &History) -> u64 {
    history.run.lease_ms * 20 * 1_000_000
}

/// An instant of a gap, and all until the next fault begins or ends.
struct Looked<'a> {
    gap: &'a Gap,
    at: u64,
    gaps: &'a [Gap],
    faults: &'a [Fault],
    lives: &'a [Life],
}

impl Looked<'_> {
    /// Whether the server is away, nobody may lead, or no candidate is fit.
    fn is_excused(&self, comes_back: u64, given_up: u64) -> bool {
        let of_all = |fault: &Fault| match fault.kind {
            Kind::Suspend => self.is_of(fault),
            kind => kind.hits_server(),
        };
        let mut active = self.faults.iter().filter(|fault| self.lasts(fault, 0));
        if active.any(of_all) {
            return true;
        }
        let fit = |name: &String| self.lives(name) && !self.is_hindered(name, comes_back);
        // Nobody else may lead while the target of a transfer lives, and is not fit.
        let awaited = self.faults.iter().any(|fault| {
            let target = fault.process.as_ref();
            fault.kind == Kind::Transfer
                && self.is_of(fault)
                && self.lasts(fault, given_up)
                && !self.is_followed(fault)
                && target.is_some_and(|target| self.lives(target) && !fit(target))
        });
        awaited || !self.lives.iter().any(|life| fit(&life.process))
    }

    /// Whether a term has begun since, before this gap did.
    fn is_followed(&self, fault: &Fault) -> bool {
        let mut begun = self
            .gaps
            .iter()
            .filter(|gap| gap.election == self.gap.election);
        begun.any(|gap| fault.begin < gap.to && gap.to <= self.gap.from)
    }

    fn is_of(&self, fault: &Fault) -> bool {
        fault.election.as_ref() == Some(&self.gap.election)
    }

    fn lasts(&self, fault: &Fault, lingers: u64) -> bool {
        fault.begin <= self.at && self.at < fault.end.saturating_add(lingers)
    }

    fn lives(&self, name: &String) -> bool {
        let mut lives = self.lives.iter();
        lives.any(|life| life.process == *name && life.from <= self.at && self.at < life.to)
    }

    fn is_hindered(&self, name: &String, comes_back: u64) -> bool {
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
            fault.process.as_ref() == Some(name) && self.lasts(fault, lingers)
        })
    }
}
