//! Invariant 1: at most one process runs an election's work at any instant.
//!
//! All from a term's first step to the end of its last counts, whatever was done to the process, but for the time in which
//! it stood still. From the instant at which it is woken everything counts again. One thing nobody can promise: that the
//! step that was under way when a process was stopped, one of a thread, does not end in another's term. Such steps are
//! counted and told; a step that *begins* there is a violation.

use std::collections::BTreeMap;
use std::time::Duration;

use super::History;
use super::verdict::Verdict;
use crate::judge::{Span, ended_in_anothers_term, overlaps};

pub(super) fn judge(history: &History, spans: &[Span]) -> Verdict {
    let mut violations = vec![];
    let mut few = vec![];
    let (mut in_anothers, mut longest_after) = (0, Duration::ZERO);
    for election in &history.run.elections {
        let of = spans.iter().filter(|span| span.election == *election);
        let of: Vec<&Span> = of.collect();
        if of.len() < 2 {
            few.push(format!("{election} has {} terms at work", of.len()));
        }
        violations.extend(overlaps(&of).iter().map(|overlap| {
            let who = |span: &Span| {
                let work = span.work.name();
                format!("{} in term {} ({work})", span.process, span.term)
            };
            format!(
                "{election}: {} and {} were at work at once, for {:.3} ms at {}",
                who(overlap.one),
                who(overlap.other),
                milliseconds(overlap.lasts),
                overlap.other.first,
            )
        }));
        for late in ended_in_anothers_term(&of) {
            in_anothers += 1;
            longest_after = longest_after.max(late.after_waking);
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
    let under_way: usize = spans.iter().map(|span| span.under_way.len()).sum();
    let evidence = format!(
        "{} spans of work ({}), {steps} steps; {under_way} steps were under way when their process was stopped, and \
         {in_anothers} of these ended in another's term, at most {:.2} ms after it woke",
        spans.len(),
        kinds.join(", "),
        milliseconds(longest_after),
    );
    Verdict::new(1, "at most one at work", evidence, violations).unless_lacking(few)
}

fn milliseconds(lasts: Duration) -> f64 {
    lasts.as_secs_f64() * 1000.0
}
