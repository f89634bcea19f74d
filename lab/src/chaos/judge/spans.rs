//! From the first step of a term's work to its last, of a whole run.

use super::gaps::faults;
use super::history::{History, Kind};
use crate::judge::{Span, Spans};

/// Every span, in the order in which they began.
pub fn spans(history: &History) -> Vec<Span> {
    let mut spans = Spans::default();
    for fault in faults(history) {
        if let Some(process) = &fault.process
            && stops(fault.kind)
        {
            spans.halts.stood_still(process, fault.begin, fault.end);
        }
    }
    for process in &history.processes {
        for entry in &process.entries {
            spans.note(&process.name, entry);
        }
    }
    spans.all()
}

/// Whether no thread of the process does anything until it is over.
fn stops(kind: Kind) -> bool {
    matches!(kind, Kind::StoppedProcess | Kind::KilledWhileStopped)
}
