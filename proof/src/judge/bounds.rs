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
    instants.sort_unstable();
    let mut violations = vec![];
    let mut longest = 0;
    for gap in gaps {
        let mut from = gap.from;
        let within = instants
            .iter()
            .filter(|at| **at > gap.from && **at < gap.to);
        for to in within.copied().chain([gap.to]) {
            if !excused(from, faults, &lives, bound_of_return(history)) {
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

/// Whether at `at`, and until the next fault begins or ends, the server is away or no candidate is fit.
fn excused(at: u64, faults: &[Fault], lives: &[Life], comes_back: u64) -> bool {
    let active = |fault: &Fault| fault.begin <= at && at < fault.end;
    if faults
        .iter()
        .any(|fault| active(fault) && fault.kind.hits_server())
    {
        return true;
    }
    let hindered = |life: &Life| {
        faults.iter().any(|fault| {
            let lingers = match fault.kind {
                // These go to the leader alone, or cost a candidate its session, which it can make anew at once.
                Kind::StepDown | Kind::Depose | Kind::KilledSession | Kind::BusyProcessors => 0,
                kind if kind.hits_server() => 0,
                _ => comes_back,
            };
            fault.process.as_ref() == Some(&life.process)
                && fault.begin <= at
                && at < fault.end + lingers
        })
    };
    !lives
        .iter()
        .any(|life| life.from <= at && at < life.to && !hindered(life))
}
