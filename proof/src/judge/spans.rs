//! From the first step of a term's work to its last.

use std::collections::BTreeMap;

use super::history::{Entry, History};

/// A step that seems to have lasted longer stood still for the rest, its process stopped or its machine busy.
/// Standing still is no work, and what a process does between waking and looking at its clock is what invariant 1
/// leaves to the fence.
const LONGEST_STEP: u64 = 50_000_000;

/// The work of one process in one term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The election's name.
    pub election: String,
    /// The term's number.
    pub term: u64,
    /// The process's name.
    pub process: String,
    /// When it began.
    pub first: u64,
    /// When its last step ended, and all between counts as work. A killed process ended no earlier.
    pub last: u64,
    /// When it was over: returned or dropped. None where the process died.
    pub stopped: Option<u64>,
}

/// Every span, in the order in which they began.
pub fn spans(history: &History) -> Vec<Span> {
    let mut all = vec![];
    for process in &history.processes {
        let mut spans: BTreeMap<(&str, u64), Span> = BTreeMap::new();
        for entry in &process.entries {
            let (election, term, first, last) = match entry {
                Entry::Began { at, election, term } => (election, *term, *at, *at),
                Entry::Step {
                    from,
                    to,
                    election,
                    term,
                } => (election, *term, *from, (*to).min(from + LONGEST_STEP)),
                Entry::Stopped { at, election, term } => {
                    if let Some(span) = spans.get_mut(&(election.as_str(), *term)) {
                        span.stopped = Some(*at);
                    }
                    continue;
                }
                _ => continue,
            };
            let span = spans.entry((election, term)).or_insert_with(|| Span {
                election: election.clone(),
                term,
                process: process.name.clone(),
                first,
                last,
                stopped: None,
            });
            span.first = span.first.min(first);
            span.last = span.last.max(last);
        }
        all.extend(spans.into_values());
    }
    all.sort_by_key(|span| (span.first, span.term));
    all
}
