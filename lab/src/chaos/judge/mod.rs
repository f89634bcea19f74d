//! The judge: reads what a run has written down and what the database knows, nothing else, and says of every
//! invariant that can be seen from outside whether it held.
//!
//! Invariant 7, that the steady state writes nothing, cannot be seen where nothing is ever steady.

mod allowed;
mod bounds;
mod candidacy;
mod fence;
mod gaps;
pub mod history;
mod holds;
mod life;
mod numbers;
mod overlap;
mod record;
mod release;
mod report;
mod spans;
mod table;
mod truth;
mod verdict;

pub use allowed::Allowed;
pub use gaps::{Fault, Gap, faults, gaps};
pub use history::History;
pub use report::Report;
pub use spans::spans;
pub use verdict::Verdict;

/// What the judge says of every invariant.
pub fn judge(history: &History) -> Vec<Verdict> {
    let spans = spans(history);
    let faults = faults(history);
    let gaps = gaps(history, &spans, &faults);
    vec![
        record::judge(history, &faults),
        overlap::judge(history, &spans),
        numbers::judge(history, &spans),
        fence::judge(history),
        release::judge(history, &spans),
        truth::judge(history, &spans),
        bounds::judge(history, &spans, &gaps, &faults),
        candidacy::judge(history),
    ]
}
