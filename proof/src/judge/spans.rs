//! From the first step of a term's work to its last.

use std::collections::BTreeMap;

use super::gaps::{Fault, faults};
use super::history::{Entry, History, Kind, Work};

/// The work of one process in one term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The election's name.
    pub election: String,
    /// The term's number.
    pub term: u64,
    /// The process's name.
    pub process: String,
    /// What its work is like.
    pub work: Work,
    /// When it began.
    pub first: u64,
    /// When its last step ended, and all between counts as work. A killed process ended no earlier. Of a step that was
    /// under way when its process was stopped, what was done before.
    pub last: u64,
    /// When it was over: returned or dropped. None where the process died.
    pub stopped: Option<u64>,
    /// How many steps it has done.
    pub steps: usize,
    /// Those during which its process was stopped.
    pub under_way: Vec<UnderWay>,
}

/// A step that had begun when its process was stopped, and went on when that woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Just before the process was woken. From here on it works again.
    pub woken: u64,
    /// The end of the step.
    pub to: u64,
}

/// Every span, in the order in which they began.
pub fn spans(history: &History) -> Vec<Span> {
    let faults = faults(history);
    let mut all = vec![];
    for process in &history.processes {
        let stops: Vec<&Fault> = faults
            .iter()
            .filter(|fault| stops(fault.kind) && fault.process.as_ref() == Some(&process.name))
            .collect();
        let mut work = Work::default();
        let mut spans: BTreeMap<(&str, u64), Span> = BTreeMap::new();
        for entry in &process.entries {
            let (election, term, first, last, under_way) = match entry {
                Entry::Started { work: of, .. } => {
                    work = *of;
                    continue;
                }
                Entry::Began { at, election, term } => (election, *term, *at, *at, None),
                Entry::Step {
                    from,
                    to,
                    election,
                    term,
                } => {
                    let mut stops = stops.iter();
                    let stop = stops.find(|stop| *from < stop.end && stop.end <= *to);
                    match stop {
                        None => (election, *term, *from, *to, None),
                        Some(stop) => {
                            let under_way = UnderWay {
                                woken: stop.end,
                                to: *to,
                            };
                            let before = stop.begin.max(*from);
                            (election, *term, *from, before, Some(under_way))
                        }
                    }
                }
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
                work,
                first,
                last,
                stopped: None,
                steps: 0,
                under_way: vec![],
            });
            span.first = span.first.min(first);
            span.last = span.last.max(last);
            span.steps += usize::from(matches!(entry, Entry::Step { .. }));
            span.under_way.extend(under_way);
        }
        all.extend(spans.into_values());
    }
    all.sort_by_key(|span| (span.first, span.term));
    all
}

/// Whether no thread of the process does anything until it is over.
fn stops(kind: Kind) -> bool {
    matches!(kind, Kind::StoppedProcess | Kind::KilledWhileStopped)
}
