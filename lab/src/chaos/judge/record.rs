//! Whether the record can be believed: a judge of wrong logs is none. And whether the library erred where it could mend
//! that by itself: a new session covers up for every wrong call.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::gaps::Fault;
use super::history::{Entry, History, Kind, Mark};
use super::verdict::Verdict;

pub(super) fn judge(history: &History, faults: &[Fault]) -> Verdict {
    let mut violations = vec![];
    let lost = lost(faults);
    let mut gone: BTreeMap<&str, u64> = BTreeMap::new();
    for mark in &history.faults {
        if let Mark::Gone { at, process, .. } = mark {
            gone.insert(process, *at);
        }
    }
    let rows: BTreeSet<(&str, i64, i64)> = history
        .database
        .writes
        .iter()
        .map(|write| (write.election.as_str(), write.sequence, write.term))
        .collect();
    let (mut told, mut refused) = (0, 0);
    for process in &history.processes {
        let name = &process.name;
        let gone = gone.get(name.as_str()).copied().unwrap_or(u64::MAX);
        let wrong = process.refusals.iter().filter(|line| is_a_fault(line));
        violations.extend(wrong.map(|line| format!("{name} made a wrong call: {line}")));
        let mut late = None;
        for entry in &process.entries {
            if stamp(entry) > gone {
                late = Some(entry);
            }
            match entry {
                Entry::Wrote {
                    at,
                    election,
                    term,
                    sequence,
                } => {
                    told += 1;
                    if !lost.iter().any(|lost| lost.contains(at))
                        && !rows.contains(&(election, *sequence, *term))
                    {
                        violations.push(format!(
                            "{election}: {name} was told that row {sequence} of term {term} is committed, and it is not there"
                        ));
                    }
                }
                Entry::Refused { .. } => refused += 1,
                _ => {}
            }
        }
        if let Some(late) = late {
            violations.push(format!(
                "{name} wrote {late:?} after it was gone, at {gone}"
            ));
        }
    }
    if history.processes.is_empty() {
        violations.push("no process has written anything".to_owned());
    }
    let evidence = format!(
        "{} processes; {told} fenced transactions committed, {refused} refused",
        history.processes.len()
    );
    Verdict::new(0, "the record is whole", evidence, violations)
        .unless_none(told, "fenced transaction that has committed")
        .unless_none(refused, "fenced transaction that was refused")
}

/// Errors of those who ask: of data, of what must be unique, of syntax and names, of what is raised by nobody's rule, and
/// the server's own.
fn is_a_fault(line: &str) -> bool {
    const CLASSES: [&str; 6] = ["21", "22", "23", "42", "P0", "XX"];
    CLASSES
        .iter()
        .any(|class| line.contains(&format!("SQLSTATE {class}")))
}

/// When a row may have been committed on a server that is lost.
fn lost(faults: &[Fault]) -> Vec<RangeInclusive<u64>> {
    let mut lost = vec![];
    let mut for_a_while = None;
    for fault in faults {
        match fault.kind {
            // What the standby had not received is lost with its primary.
            Kind::Promotion | Kind::SecondPromotion => lost.push(0..=fault.end),
            // What was committed before is on the primary that comes back.
            Kind::DiscardedPromotion => for_a_while = Some(fault.begin),
            Kind::Discard => lost.extend(for_a_while.take().map(|begin| begin..=fault.end)),
            _ => {}
        }
    }
    lost
}

fn stamp(entry: &Entry) -> u64 {
    match entry {
        Entry::Step { from, .. } | Entry::Current { from, .. } | Entry::Leading { from, .. } => {
            *from
        }
        Entry::Started { at, .. }
        | Entry::Fences { at, .. }
        | Entry::Joined { at, .. }
        | Entry::Left { at, .. }
        | Entry::Began { at, .. }
        | Entry::Stopped { at, .. }
        | Entry::Wrote { at, .. }
        | Entry::Refused { at, .. }
        | Entry::Heard { at, .. }
        | Entry::Halted { at }
        | Entry::Woken { at }
        | Entry::Ended { at } => *at,
    }
}
