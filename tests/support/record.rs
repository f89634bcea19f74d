//! The lab's record and its judge, in the words of the tests: of the steps in one election.

use std::path::Path;
use std::time::Duration;

use pg_leader_lab::judge::{self, Span, Spans};
use pg_leader_lab::record::Entry;
pub use pg_leader_lab::record::{Record, Step, now, read};

/// Something was done to the process of a candidate that writes to this file: it stands still, or is about to be woken.
pub fn note(path: &Path, address: &str, entry: &Entry) {
    let record = Record::in_file(path).expect("the record can be opened");
    record.write(address, entry);
}

/// So many steps began when a later term was at work.
pub fn begun_in_another_term(steps: &[Step]) -> usize {
    let spans = Spans::of_steps(steps);
    let late = steps.iter().filter(|step| {
        let mut later = spans.iter().filter(|span| span.term > step.term);
        later.any(|span| step.began > span.first)
    });
    late.count()
}

/// How long two terms were at work at the same time, in all.
pub fn overlap(steps: &[Step]) -> Duration {
    judge::overlap(&Spans::of_steps(steps))
}

/// From the last step of a term to the first of the next that worked; `None` while there is no next.
pub fn gap_after(steps: &[Step], term: i64) -> Option<Duration> {
    judge::gap_after(&Spans::of_steps(steps), term)
}

/// From `moment` to the first step of a term, or of a later one.
pub fn time_to_term(steps: &[Step], moment: u64, term: i64) -> Duration {
    let began = steps.iter().filter(|step| step.term >= term);
    let began = began.map(|step| step.began).min().expect("it has begun");
    Duration::from_nanos(began.saturating_sub(moment))
}

/// No two terms were ever at work at once, and each term worked in one process only (invariant 1). Steps that a
/// stop has cut in two are told of, and no others are forgiven.
pub fn assert_no_overlap(steps: &[Step]) {
    let spans = Spans::of_steps(steps);
    let all: Vec<&Span> = spans.iter().collect();
    let late = judge::ended_in_anothers_term(&all);
    if let Some(most) = late.iter().map(|late| late.into_the_other).max() {
        super::say(&format!(
            "{} steps that a stop had cut in two were ended on waking, {most:?} into another's term",
            late.len()
        ));
    }
    let overlaps = judge::overlaps(&all);
    assert!(overlaps.is_empty(), "two were at work: {overlaps:#?}");
    let shared = judge::shared_terms(&all);
    assert!(
        shared.is_empty(),
        "a term worked at two places: {shared:#?}"
    );
}
