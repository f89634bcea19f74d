//! Invariant 5: what `state()` and `is_current()` say is true.
//!
//! A thread asks both all the time, whatever the tasks of its process do, and writes down the time before and after.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Entry, History};
use super::spans::Span;
use super::verdict::Verdict;

pub(super) fn judge(history: &History, spans: &[Span]) -> Verdict {
    let mut by_election: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        by_election.entry(&span.election).or_default().push(span);
    }
    let nobody = vec![];
    let of = |election: &String| by_election.get(election.as_str()).unwrap_or(&nobody);
    let mut violations = vec![];
    let mut claims = 0;
    for process in &history.processes {
        let name = &process.name;
        let mut over: BTreeSet<(&str, u64)> = BTreeSet::new();
        for entry in &process.entries {
            match entry {
                Entry::Current {
                    election,
                    term,
                    yes: false,
                    ..
                } => {
                    over.insert((election, *term));
                }
                Entry::Current {
                    from,
                    election,
                    term,
                    yes: true,
                    ..
                } => {
                    claims += 1;
                    if over.contains(&(election.as_str(), *term)) {
                        violations.push(format!(
                            "{election}: at {name} term {term} was current again at {from}"
                        ));
                    }
                    // In the order of their beginnings: those before `from` come first.
                    let begun = of(election).partition_point(|span| span.first <= *from);
                    let later = of(election)[..begun].iter().find(|span| span.term > *term);
                    if let Some(later) = later {
                        violations.push(format!(
                            "{election}: {name} took term {term} for current at {from}, after {} had begun term {}",
                            later.process, later.term
                        ));
                    }
                }
                Entry::Leading { from, to, election } => {
                    claims += 1;
                    let begun = of(election).partition_point(|span| span.first <= *from);
                    let other = of(election)[..begun]
                        .iter()
                        .find(|span| span.process != *name && span.last >= *to);
                    if let Some(other) = other {
                        violations.push(format!(
                            "{election}: {name} said that it leads at {from}, while {} worked in term {}",
                            other.process, other.term
                        ));
                    }
                }
                _ => {}
            }
        }
    }
    let evidence = format!("{claims} times that a process said it leads");
    Verdict::new(
        5,
        "what state() and is_current() say is true",
        evidence,
        violations,
    )
    .unless_none(claims, "process that said it leads")
}
