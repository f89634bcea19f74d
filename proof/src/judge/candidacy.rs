//! Invariant 8: nothing but stop ends a candidacy.

use std::collections::BTreeSet;

use super::history::{Entry, History, Kind, Mark};
use super::verdict::Verdict;

pub(super) fn judge(history: &History) -> Verdict {
    let mut violations = vec![];
    let mut told: BTreeSet<&str> = BTreeSet::new();
    let mut killed: BTreeSet<&str> = BTreeSet::new();
    let mut gone: BTreeSet<&str> = BTreeSet::new();
    for mark in &history.faults {
        match mark {
            Mark::Begin {
                kind,
                process: Some(process),
                ..
            } => match kind {
                Kind::Shutdown => {
                    told.insert(process);
                }
                Kind::KilledProcess => {
                    told.insert(process);
                    killed.insert(process);
                }
                _ => {}
            },
            Mark::Gone {
                process,
                status,
                at,
            } => {
                gone.insert(process);
                // Everybody is told to end when the run is over.
                if !told.contains(process.as_str()) && *at < history.run.ended {
                    violations.push(format!("{process} ended by itself: {status}"));
                }
            }
            _ => {}
        }
    }
    let present: BTreeSet<(&str, &str)> = history
        .database
        .candidates
        .iter()
        .map(|(election, process)| (election.as_str(), process.as_str()))
        .collect();
    let mut candidacies = 0;
    for process in &history.processes {
        let name = process.name.as_str();
        let ended = process
            .entries
            .iter()
            .any(|entry| matches!(entry, Entry::Ended { .. }));
        if gone.contains(name) && !killed.contains(name) && !ended {
            violations.push(format!(
                "{name} was told to shut down, and did not end in order"
            ));
        }
        let mut elections: BTreeSet<&str> = BTreeSet::new();
        for entry in &process.entries {
            match entry {
                Entry::Joined { election, .. } => {
                    candidacies += 1;
                    elections.insert(election);
                }
                // Also those who left when all was over: the list of candidates is from before.
                Entry::Left { at, election } if *at < history.run.ended => {
                    elections.remove(election.as_str());
                }
                _ => {}
            }
        }
        if told.contains(name) {
            continue;
        }
        for election in elections {
            if !present.contains(&(election, process.name.as_str())) {
                violations.push(format!(
                    "{election}: {name} lives, and is a candidate no more when all is over"
                ));
            }
        }
    }
    let evidence = format!(
        "{candidacies} candidacies, {} of them present at the end",
        present.len()
    );
    Verdict::new(8, "nothing but stop ends a candidacy", evidence, violations)
        .unless_none(candidacies, "candidacy")
}
