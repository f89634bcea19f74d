//! Invariant 1: at most one process runs an election's work at any instant.

use super::History;
use super::spans::Span;
use super::verdict::Verdict;

pub(super) fn judge(history: &History, spans: &[Span]) -> Verdict {
    let mut violations = vec![];
    for election in &history.run.elections {
        // In the order of their beginnings, whoever works longest is the one that others overlap.
        let mut longest: Option<&Span> = None;
        for span in spans.iter().filter(|span| span.election == *election) {
            if let Some(before) = longest
                && before.last > span.first
            {
                let overlap = before.last.min(span.last).saturating_sub(span.first);
                violations.push(format!(
                    "{election}: {} in term {} and {} in term {} were at work at once, for {:.3} ms at {}",
                    before.process,
                    before.term,
                    span.process,
                    span.term,
                    overlap as f64 / 1e6,
                    span.first,
                ));
            }
            if longest.is_none_or(|before| span.last > before.last) {
                longest = Some(span);
            }
        }
    }
    let evidence = format!("{} spans of work", spans.len());
    Verdict::new(1, "at most one at work", evidence, violations)
}
