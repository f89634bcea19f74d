//! What the steps of work prove.

use std::time::Duration;

use crate::record::Span;

/// For how long two were at work, in all: two terms, or two processes in one term.
pub(crate) fn overlap(spans: &[Span]) -> Duration {
    let mut nanos = 0;
    for (index, one) in spans.iter().enumerate() {
        for other in &spans[index + 1..] {
            let both_began = one.first.max(other.first);
            nanos += one.last.min(other.last).saturating_sub(both_began);
        }
    }
    Duration::from_nanos(nanos)
}

/// The first term after `term` in which work was done.
pub(crate) fn next_term(spans: &[Span], term: u64) -> Option<u64> {
    let worked = |span: &&Span| span.term > term && span.steps > 0;
    spans.iter().filter(worked).map(|span| span.term).min()
}

/// From the last end of a step of term `old` to the first beginning of one of term `new`.
pub(crate) fn gap(spans: &[Span], old: u64, new: u64) -> Option<Duration> {
    let of = |term| spans.iter().filter(move |span| span.term == term);
    let ended = of(old).map(|span| span.last).max()?;
    let began = of(new).map(|span| span.first).min()?;
    Some(Duration::from_nanos(began.saturating_sub(ended)))
}

/// Whether later work was always done in a later term.
pub(crate) fn terms_rise(spans: &[Span]) -> bool {
    let mut in_time: Vec<&Span> = spans.iter().collect();
    in_time.sort_by_key(|span| span.first);
    in_time.is_sorted_by(|one, next| one.term < next.term)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::record::Record;

    fn spans(lines: &str) -> Vec<Span> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        let mut record = Record::new(file);
        record.update().unwrap();
        record.spans().collect()
    }

    #[test]
    fn one_after_the_other_is_no_overlap() {
        let spans = spans("began 1 10\nended 1 20\nbegan 2 20\nended 2 30\n");
        assert_eq!(overlap(&spans), Duration::ZERO);
        assert_eq!(gap(&spans, 1, 2), Some(Duration::ZERO));
        assert!(terms_rise(&spans));
    }

    #[test]
    fn a_late_step_of_an_old_term_is_overlap() {
        let spans =
            spans("began 1 10\nended 1 20\nbegan 2 30\nended 2 70\nbegan 1 80\nended 1 90\n");
        assert_eq!(overlap(&spans), Duration::from_nanos(40));
    }

    #[test]
    fn two_processes_in_one_term_are_overlap() {
        let one = spans("began 1 10\nended 1 20\n");
        let both = [one.clone(), one].concat();
        assert_eq!(overlap(&both), Duration::from_nanos(10));
        assert!(!terms_rise(&both));
    }

    #[test]
    fn a_term_that_falls_is_noticed() {
        let spans = [
            spans("began 2 10\nended 2 20\n"),
            spans("began 1 30\nended 1 40\n"),
        ]
        .concat();
        assert!(!terms_rise(&spans));
        assert_eq!(next_term(&spans, 1), Some(2));
    }

    #[test]
    fn a_step_that_has_not_ended_is_no_next_term_yet() {
        assert_eq!(next_term(&spans("began 2 10\n"), 1), None);
    }
}
