//! The times in which nobody worked, and what had happened.

use std::collections::BTreeMap;

use super::history::{History, Kind, Mark};
use crate::judge::Span;

/// A fault, from the moment before to the moment when all was as before.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What it was.
    pub kind: Kind,
    /// When it began.
    pub begin: u64,
    /// When it was over; the end of the run where that is not known.
    pub end: u64,
    /// Whom it befell; none: everybody.
    pub process: Option<String>,
    /// In which election; none: all of them.
    pub election: Option<String>,
}

/// Every fault, in the order in which they began.
pub fn faults(history: &History) -> Vec<Fault> {
    let mut faults: BTreeMap<u64, Fault> = BTreeMap::new();
    for mark in &history.faults {
        match mark {
            Mark::Begin {
                at,
                id,
                kind,
                process,
                election,
            } => {
                let fault = Fault {
                    kind: *kind,
                    begin: *at,
                    end: history.run.ended.max(*at),
                    process: process.clone(),
                    election: election.clone(),
                };
                faults.insert(*id, fault);
            }
            Mark::End { at, id } => {
                if let Some(fault) = faults.get_mut(id) {
                    fault.end = *at;
                }
            }
            Mark::Missed { id: Some(id), .. } => {
                faults.remove(id);
            }
            _ => {}
        }
    }
    let mut faults: Vec<Fault> = faults.into_values().collect();
    faults.sort_by_key(|fault| fault.begin);
    faults
}

/// A time in which nobody worked.
#[derive(Clone, Debug)]
pub struct Gap {
    /// The election's name.
    pub election: String,
    /// When the last work ended.
    pub from: u64,
    /// When the next began.
    pub to: u64,
    /// The term that had ended; 0 where the run begins without.
    pub after: i64,
    /// What had happened to it; none where nothing had.
    pub cause: Option<Kind>,
}

impl Gap {
    /// In nanoseconds.
    pub fn length(&self) -> u64 {
        self.to - self.from
    }
}

/// The gaps of every election, in the order of time within each.
pub fn gaps(history: &History, spans: &[Span], faults: &[Fault]) -> Vec<Gap> {
    let mut gaps = vec![];
    for election in &history.run.elections {
        let (mut from, mut after): (u64, Option<&Span>) = (history.run.began, None);
        let mut push = |from: u64, to: u64, after: Option<&Span>| {
            // What lies outside the run does not count.
            let to = to.min(history.run.ended);
            if to > from {
                gaps.push(Gap {
                    election: election.clone(),
                    from,
                    to,
                    after: after.map_or(0, |span| span.term),
                    cause: after.and_then(|span| cause(faults, span, from, to)),
                });
            }
        };
        for span in spans.iter().filter(|span| span.election == *election) {
            push(from, span.first, after);
            let ended = ended(history, span, faults);
            if ended >= from {
                (from, after) = (ended, Some(span));
            }
        }
        push(from, history.run.ended, after);
    }
    gaps
}

/// Work that does nothing between two steps goes on all the same, until it stops or its process does, but for no longer than
/// its pace.
fn ended(history: &History, span: &Span, faults: &[Fault]) -> u64 {
    let next = span.last + history.run.pace_ms * 1_000_000;
    let stops = |fault: &&Fault| {
        (span.last..next).contains(&fault.begin)
            && fault.process.as_ref() == Some(&span.process)
            && ends_work_at_once(fault.kind)
    };
    let stopped = faults.iter().find(stops).map(|fault| fault.begin);
    let ended = next.min(stopped.unwrap_or(u64::MAX));
    ended.min(span.stopped.unwrap_or(u64::MAX)).max(span.last)
}

/// Whether no step is done from its beginning on, and no drop says when.
fn ends_work_at_once(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::KilledProcess
            | Kind::StoppedProcess
            | Kind::KilledWhileStopped
            | Kind::BlockedRuntime
    )
}

/// The newest fault that could have ended the work: it befell its process, its election or everybody, and had
/// begun before the next work did, but not when the old work had been over for long.
fn cause(faults: &[Fault], span: &Span, from: u64, to: u64) -> Option<Kind> {
    // The last step may be some milliseconds older than the fault.
    const SOON: u64 = 100_000_000;
    let befell = |fault: &&Fault| {
        // A transfer ends the term of somebody else than it is about.
        (fault.kind == Kind::Transfer || fault.process.as_ref().is_none_or(|process| *process == span.process))
            && fault.election.as_ref().is_none_or(|election| *election == span.election)
            && fault.begin <= (from + SOON).min(to)
            // What was over for a while has not ended it.
            && fault.end + LINGERS >= from
    };
    let hit: Vec<&Fault> = faults.iter().filter(befell).collect();
    // A busy machine is blamed only where nothing else is to be blamed.
    let but_busy = hit
        .iter()
        .rev()
        .find(|fault| fault.kind != Kind::BusyProcessors);
    but_busy.or(hit.last()).map(|fault| fault.kind)
}

/// So long after its end a fault may still show: its victim has to notice.
const LINGERS: u64 = 1_500_000_000;
