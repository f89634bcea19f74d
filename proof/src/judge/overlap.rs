//! Invariant 1: at most one process runs an election's work at any instant.
//!
//! All from a term's first step to the end of its last counts, whatever was done to the process, but for the time in which
//! it stood still. From the instant at which it is woken everything counts again. One thing nobody can promise: that the
//! step that was under way when a process was stopped, one of a thread, does not end in another's term. Such steps are
//! counted and told; a step that *begins* there is a violation.

use std::collections::BTreeMap;

use super::History;
use super::spans::Span;
use super::verdict::Verdict;

pub(super) fn judge(history: &History, spans: &[Span]) -> Verdict {
    let mut violations = vec![];
    let mut few = vec![];
    let (mut under_way, mut in_anothers, mut longest_after) = (0, 0, 0);
    for election in &history.run.elections {
        let of: Vec<&Span> = spans
            .iter()
            .filter(|span| span.election == *election)
            .collect();
        if of.len() < 2 {
            few.push(format!("{election} has {} terms at work", of.len()));
        }
        // In the order of their beginnings, whoever works longest is the one that others overlap.
        let mut longest: Option<&Span> = None;
        for span in &of {
            if let Some(before) = longest
                && before.last > span.first
            {
                let overlap = before.last.min(span.last).saturating_sub(span.first);
                violations.push(format!(
                    "{election}: {} in term {} ({}) and {} in term {} ({}) were at work at once, for {:.3} ms at {}",
                    before.process,
                    before.term,
                    before.work.name(),
                    span.process,
                    span.term,
                    span.work.name(),
                    overlap as f64 / 1e6,
                    span.first,
                ));
            }
            if longest.is_none_or(|before| span.last > before.last) {
                longest = Some(span);
            }
            under_way += span.under_way.len();
            for step in span.under_way.iter().filter(|step| step.to > span.last) {
                let works = |other: &&Span| {
                    other.term != span.term && other.first < step.to && step.woken < other.last
                };
                if of.iter().copied().any(|other| works(&other)) {
                    in_anothers += 1;
                    longest_after = longest_after.max(step.to - step.woken);
                }
            }
        }
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for span in spans {
        *kinds.entry(span.work.name()).or_default() += 1;
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let steps: usize = spans.iter().map(|span| span.steps).sum();
    let evidence = format!(
        "{} spans of work ({}), {steps} steps; {under_way} steps were under way when their process was stopped, and \
         {in_anothers} of these ended in another's term, at most {:.2} ms after it woke",
        spans.len(),
        kinds.join(", "),
        longest_after as f64 / 1e6,
    );
    Verdict::new(1, "at most one at work", evidence, violations).unless_lacking(few)
}
