//! Invariant 4: an orderly release never precedes the end of the work.
//!
//! The server writes down when it was told that a term's work had stopped. Both clocks are those of one machine; how
//! far they are apart is sampled all the time, and where that changes nothing can be compared.

use std::collections::BTreeMap;

use super::history::{History, Mark};
use super::spans::Span;
use super::verdict::Verdict;

/// Reading two clocks one after the other is not exact, nor is one that is being slewed.
const TOLERANCE: i64 = 2_000_000;

pub(super) fn judge(history: &History, spans: &[Span]) -> Verdict {
    let offsets: Vec<i64> = history
        .faults
        .iter()
        .filter_map(|mark| match mark {
            Mark::Clock { offset, .. } => Some(*offset),
            _ => None,
        })
        .collect();
    let (least, most) = (offsets.iter().min().copied(), offsets.iter().max().copied());
    let (Some(least), Some(most)) = (least, most) else {
        let why = "nobody has compared the clocks of the server and of the processes".to_owned();
        return Verdict::new(4, NAME, "nothing".to_owned(), vec![why]);
    };
    if most - least > TOLERANCE {
        let evidence = format!(
            "nothing: the server's clock was set, by {} ms",
            (most - least) / 1_000_000
        );
        return Verdict::new(4, NAME, evidence, vec![]);
    }
    let by_term: BTreeMap<(&str, u64, &str), &Span> = spans
        .iter()
        .map(|span| {
            (
                (span.election.as_str(), span.term, span.process.as_str()),
                span,
            )
        })
        .collect();
    let mut violations = vec![];
    let mut compared = 0;
    for term in &history.database.terms {
        let key = (term.election.as_str(), term.number, term.process.as_str());
        let (Some(vacated), Some(span)) = (term.vacated, by_term.get(&key)) else {
            continue;
        };
        compared += 1;
        let stopped = span.stopped.unwrap_or(u64::MAX).max(span.last);
        let vacated_at = vacated - least + TOLERANCE;
        if i64::try_from(stopped).is_ok_and(|stopped| stopped <= vacated_at) {
            continue;
        }
        violations.push(match span.stopped {
            None => format!(
                "{}: term {} was vacated, and its work at {} has never stopped",
                term.election, term.number, term.process
            ),
            Some(_) => format!(
                "{}: term {} was vacated {:.3} ms before its work at {} had stopped",
                term.election,
                term.number,
                (stopped as i64 - (vacated - least)) as f64 / 1e6,
                term.process
            ),
        });
    }
    let evidence = format!("{compared} terms vacated after work");
    Verdict::new(4, NAME, evidence, violations)
}

const NAME: &str = "no release before the work has stopped";
