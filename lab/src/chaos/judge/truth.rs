//! Invariant 5: what `state()` and `is_current()` say is true.
//!
//! A thread asks both all the time, whatever the tasks of its process do, and writes down the time before and after.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Entry, History};
use super::verdict::Verdict;
use crate::judge::Span;

pub(super) fn judge(history: &History, spans: &[Span]) -> Verdict {
    let mut by_election: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        by_election.entry(&span.election).or_default().push(span);
    }
    let mut violations = vec![];
    let mut claims = 0;
    for process in &history.processes {
        let mut claimant = Claimant {
            name: &process.name,
            by_election: &by_election,
            over: BTreeSet::new(),
        };
        for entry in &process.entries {
            claims += usize::from(is_claim(entry));
            violations.extend(claimant.errs(entry));
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

fn is_claim(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::Current { yes: true, .. } | Entry::Leading { .. }
    )
}

/// A process that says that it leads, or does not.
struct Claimant<'a> {
    name: &'a str,
    by_election: &'a BTreeMap<&'a str, Vec<&'a Span>>,
    /// What it has said are over.
    over: BTreeSet<(&'a str, i64)>,
}

impl<'a> Claimant<'a> {
    /// In which way this line is not true.
    fn errs(&mut self, entry: &'a Entry) -> Vec<String> {
        match entry {
            Entry::Current {
                election,
                term,
                yes: false,
                ..
            } => {
                self.over.insert((election, *term));
                vec![]
            }
            Entry::Current {
                from,
                election,
                term,
                yes: true,
                ..
            } => self.current(*from, election, *term),
            Entry::Leading { from, to, election } => {
                let mut begun = self.begun(election, *from).iter();
                let other = begun.find(|span| span.process != *self.name && span.last >= *to);
                let err = other.map(|other| {
                    format!(
                        "{election}: {} said that it leads at {from}, while {} worked in term {}",
                        self.name, other.process, other.term
                    )
                });
                err.into_iter().collect()
            }
            _ => vec![],
        }
    }

    fn current(&self, from: u64, election: &str, term: i64) -> Vec<String> {
        let mut errs = vec![];
        let name = self.name;
        if self.over.contains(&(election, term)) {
            errs.push(format!(
                "{election}: at {name} term {term} was current again at {from}"
            ));
        }
        let mut begun = self.begun(election, from).iter();
        if let Some(later) = begun.find(|span| span.term > term) {
            errs.push(format!(
                "{election}: {name} took term {term} for current at {from}, after {} had begun term {}",
                later.process, later.term
            ));
        }
        errs
    }

    /// The work that had begun by then.
    fn begun(&self, election: &str, at: u64) -> &[&Span] {
        let of = self
            .by_election
            .get(election)
            .map_or(&[][..], Vec::as_slice);
        // In the order of their beginnings.
        &of[..of.partition_point(|span| span.first <= at)]
    }
}
