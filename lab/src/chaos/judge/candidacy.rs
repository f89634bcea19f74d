//! Invariant 8: nothing but stop ends a candidacy.

use std::collections::BTreeSet;

use super::history::{Entry, History, Kind, Mark, Process};
use super::verdict::Verdict;

pub(super) fn judge(history: &History) -> Verdict {
    let ends = Ends::of(history);
    let mut violations = ends.by_themselves.clone();
    let present: BTreeSet<(&str, &str)> = history
        .database
        .candidates
        .iter()
        .map(|(election, process)| (election.as_str(), process.as_str()))
        .collect();
    let mut candidacies = 0;
    for process in &history.processes {
        let name = process.name.as_str();
        if ends.is_missing(process) {
            violations.push(format!(
                "{name} was told to shut down, and did not end in order"
            ));
        }
        let (joined, elections) = elections(process, history.run.ended);
        candidacies += joined;
        if ends.told.contains(name) {
            continue;
        }
        let absent = elections
            .iter()
            .filter(|election| !present.contains(&(**election, name)));
        violations.extend(absent.map(|election| {
            format!("{election}: {name} lives, and is a candidate no more when all is over")
        }));
    }
    let evidence = format!(
        "{candidacies} candidacies, {} of them present at the end",
        present.len()
    );
    Verdict::new(8, "nothing but stop ends a candidacy", evidence, violations)
        .unless_none(candidacies, "candidacy")
}

/// How processes have ended.
#[derive(Default)]
struct Ends<'a> {
    told: BTreeSet<&'a str>,
    killed: BTreeSet<&'a str>,
    gone: BTreeSet<&'a str>,
    by_themselves: Vec<String>,
}

impl<'a> Ends<'a> {
    fn of(history: &'a History) -> Ends<'a> {
        let mut ends = Ends::default();
        for mark in &history.faults {
            match mark {
                Mark::Begin {
                    kind: kind @ (Kind::Shutdown | Kind::KilledProcess),
                    process: Some(process),
                    ..
                } => {
                    ends.told.insert(process);
                    if *kind == Kind::KilledProcess {
                        ends.killed.insert(process);
                    }
                }
                Mark::Gone {
                    process,
                    status,
                    at,
                } => {
                    ends.gone.insert(process);
                    // Everybody is told to end when the run is over.
                    if !ends.told.contains(process.as_str()) && *at < history.run.ended {
                        let how = format!("{process} ended by itself: {status}");
                        ends.by_themselves.push(how);
                    }
                }
                _ => {}
            }
        }
        ends
    }

    /// It is gone, without a word and without a blow.
    fn is_missing(&self, process: &Process) -> bool {
        let name = process.name.as_str();
        let mut entries = process.entries.iter();
        let ended = entries.any(|entry| matches!(entry, Entry::Ended { .. }));
        self.gone.contains(name) && !self.killed.contains(name) && !ended
    }
}

/// How often it has become a candidate, and where it still is one.
fn elections(process: &Process, over: u64) -> (usize, BTreeSet<&str>) {
    let mut candidacies = 0;
    let mut elections = BTreeSet::new();
    for entry in &process.entries {
        match entry {
            Entry::Joined { election, .. } => {
                candidacies += 1;
                elections.insert(election.as_str());
            }
            // Also those who left when all was over: the list of candidates is from before.
            Entry::Left { at, election } if *at < over => {
                elections.remove(election.as_str());
            }
            _ => {}
        }
    }
    (candidacies, elections)
}
