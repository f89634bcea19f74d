//! Invariant 4: an orderly release never precedes the end of the work.
//!
//! The server writes down when it was told that a term's work had stopped. Both clocks are those of one machine; how
//! far they are apart is looked at all the time, and where that changes at once nothing can be compared.

use std::collections::BTreeMap;

use super::history::{History, Mark};
use super::verdict::Verdict;
use crate::judge::Span;

/// Reading two clocks one after the other is not exact.
const TOLERANCE: i64 = 2_000_000;

pub(super) fn judge(history: &History, spans: &[Span]) -> Verdict {
    let mut clocks: Vec<(u64, i64)> = history
        .faults
        .iter()
        .filter_map(|mark| match mark {
            Mark::Clock { at, offset } => Some((*at, *offset)),
            _ => None,
        })
        .collect();
    clocks.sort_unstable();
    let by_term: BTreeMap<(&str, i64, &str), &Span> = spans
        .iter()
        .map(|span| {
            (
                (span.election.as_str(), span.term, span.process.as_str()),
                span,
            )
        })
        .collect();
    let mut violations = vec![];
    let (mut compared, mut unknown) = (0, 0);
    for term in &history.database.terms {
        let key = (term.election.as_str(), term.number, term.process.as_str());
        let (Some(vacated), Some(span)) = (term.vacated, by_term.get(&key)) else {
            continue;
        };
        let Some(vacated) = shared(&clocks, vacated) else {
            unknown += 1;
            continue;
        };
        compared += 1;
        let stopped = span.stopped.unwrap_or(u64::MAX).max(span.last);
        if i64::try_from(stopped).is_ok_and(|stopped| stopped <= vacated + TOLERANCE) {
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
                (stopped as i64 - vacated) as f64 / 1e6,
                term.process
            ),
        });
    }
    let evidence = format!(
        "{compared} terms vacated after work; {unknown} more while the server's clock was set"
    );
    Verdict::new(4, NAME, evidence, violations)
        .unless_none(
            clocks.len(),
            "comparison of the server's clock and the shared one",
        )
        .unless_none(compared, "term that was vacated after work")
}

/// A time of the server on the shared clock, at the latest. None where its clock was set between the two comparisons around
/// it.
fn shared(clocks: &[(u64, i64)], time: i64) -> Option<i64> {
    let at_server = |(at, offset): &(u64, i64)| *at as i64 + offset;
    let next = clocks.partition_point(|clock| at_server(clock) <= time);
    let around = &clocks[next.saturating_sub(1)..(next + 1).min(clocks.len())];
    let (least, most) = (
        around.iter().map(|clock| clock.1).min()?,
        around.iter().map(|clock| clock.1).max()?,
    );
    (most - least <= TOLERANCE).then_some(time - least)
}

const NAME: &str = "no release before the work has stopped";
