//! The judge of overlaps: reads what processes have written down, and says who was at work, when, and with whom.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::record::{Entry, Halt, Halts, Step, Work};

/// The work of one process in one term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The election's name.
    pub election: String,
    /// The term's number.
    pub term: i64,
    /// The process's address.
    pub process: String,
    /// What its work is like.
    pub work: Work,
    /// When it began.
    pub first: u64,
    /// When its last step ended, and all between counts as work. A killed process ended no earlier. Of a step that was
    /// under way when its process was stopped, what was done before.
    pub last: u64,
    /// When it was over: returned or dropped. None where the process died.
    pub stopped: Option<u64>,
    /// How many steps it has done.
    pub steps: usize,
    /// Those during which its process stood still.
    pub under_way: Vec<UnderWay>,
    /// Since when its process stood still, for the first time in this work.
    pub halted: Option<u64>,
    /// How many steps it has begun since.
    pub after_halt: usize,
}

/// A step that had begun when its process was stopped, and went on when that woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Just before the process was woken. From here on it works again.
    pub woken: u64,
    /// The end of the step.
    pub to: u64,
}

impl Span {
    /// The end of what is held against it where also its drop counts as work; which it does not once its process has stood
    /// still: that is to be dropped on waking, no sooner.
    pub fn end(&self) -> u64 {
        let dropped = self.stopped.filter(|_| self.halted.is_none());
        dropped.unwrap_or_default().max(self.last)
    }

    fn note_halt(&mut self, halts: &[Halt], by: u64) {
        let mut halts = halts.iter().map(|halt| halt.from);
        let within = halts.find(|from| (self.first..=by).contains(from));
        self.halted = self.halted.or(within);
    }
}

/// All work, as it becomes known.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    works: BTreeMap<String, Work>,
    /// When processes stood still. It must be known before the step that was cut is.
    pub halts: Halts,
    spans: BTreeMap<(String, i64, String), Span>,
}

impl Spans {
    /// Those of one election.
    pub fn of_steps(steps: &[Step]) -> Vec<Span> {
        let mut spans = Spans::default();
        for step in steps {
            if let Some(halt) = step.halt {
                spans.halts.stood_still(&step.address, halt.from, halt.to);
            }
            let began = Entry::Began {
                at: step.began,
                election: String::new(),
                term: step.term,
            };
            spans.note(&step.address, &began);
            if step.ended > step.began {
                let whole = Entry::Step {
                    from: step.began,
                    to: step.ended,
                    election: String::new(),
                    term: step.term,
                };
                spans.note(&step.address, &whole);
            }
        }
        spans.all()
    }

    /// A line of a process.
    pub fn note(&mut self, process: &str, entry: &Entry) {
        self.halts.note(process, entry);
        match entry {
            Entry::Started { work, .. } => {
                self.works.insert(process.to_owned(), *work);
            }
            Entry::Began { at, election, term } => {
                self.works_from(process, election, *term, *at, *at);
            }
            Entry::Step {
                from,
                to,
                election,
                term,
            } => self.step(process, (election, *term), (*from, *to)),
            Entry::Stopped { at, election, term } => {
                let key = (election.clone(), *term, process.to_owned());
                let halts = self.halts.of(process);
                if let Some(span) = self.spans.get_mut(&key) {
                    span.stopped = Some(*at);
                    span.note_halt(halts, *at);
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, process: &str, (election, term): (&str, i64), (from, to): (u64, u64)) {
        let halt = self.halts.cuts(process, from, to);
        let last = halt.map_or(to, |halt| halt.from.max(from));
        let halts = self.halts.of(process).to_vec();
        let span = self.works_from(process, election, term, from, last);
        span.note_halt(&halts, to);
        span.steps += 1;
        span.after_halt += usize::from(span.halted.is_some_and(|halted| from >= halted));
        span.under_way
            .extend(halt.map(|halt| UnderWay { woken: halt.to, to }));
    }

    fn works_from(
        &mut self,
        process: &str,
        election: &str,
        term: i64,
        first: u64,
        last: u64,
    ) -> &mut Span {
        let key = (election.to_owned(), term, process.to_owned());
        let span = self.spans.entry(key).or_insert_with(|| Span {
            election: election.to_owned(),
            term,
            process: process.to_owned(),
            work: self.works.get(process).copied().unwrap_or_default(),
            first,
            last,
            stopped: None,
            steps: 0,
            under_way: vec![],
            halted: None,
            after_halt: 0,
        });
        span.first = span.first.min(first);
        span.last = span.last.max(last);
        span
    }

    /// All of them, in the order in which they began.
    pub fn all(&self) -> Vec<Span> {
        let mut all: Vec<Span> = self.spans.values().cloned().collect();
        all.sort_by_key(|span| (span.first, span.term));
        all
    }

    /// The same, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Span> {
        self.spans.values()
    }

    /// Forget the work.
    pub fn clear(&mut self) {
        self.spans.clear();
    }
}

/// Two at work at once.
#[derive(Clone, Copy, Debug)]
pub struct Overlap<'a> {
    /// Who began first.
    pub one: &'a Span,
    /// Who began while the other one worked.
    pub other: &'a Span,
    /// For so long.
    pub lasts: Duration,
}

/// Whoever was at work at once in an election. The spans are its own, in the order in which they began.
pub fn overlaps<'a>(spans: &[&'a Span]) -> Vec<Overlap<'a>> {
    let mut overlaps = vec![];
    for (index, one) in spans.iter().enumerate() {
        let later = spans[index + 1..].iter();
        let overlap = later.take_while(|other| other.first < one.last);
        overlaps.extend(overlap.map(|other| Overlap {
            one,
            other,
            lasts: Duration::from_nanos(one.last.min(other.last).saturating_sub(other.first)),
        }));
    }
    overlaps
}

/// For how long two were at work at once, in all.
pub fn overlap(spans: &[Span]) -> Duration {
    let spans: Vec<&Span> = spans.iter().collect();
    overlaps(&spans).iter().map(|overlap| overlap.lasts).sum()
}

/// Two processes that have worked in the same term of an election, of which the spans are.
pub fn shared_terms<'a>(spans: &[&'a Span]) -> Vec<(&'a Span, &'a Span)> {
    let mut owners: BTreeMap<i64, &Span> = BTreeMap::new();
    let mut shared = vec![];
    for span in spans {
        let owner = owners.entry(span.term).or_insert(span);
        if owner.process != span.process {
            shared.push((*owner, *span));
        }
    }
    shared
}

/// Terms that began when a later one had begun, each with that one. The spans are those of an election, in the order in
/// which they began.
pub fn fallen_terms<'a>(spans: &[&'a Span]) -> Vec<(&'a Span, &'a Span)> {
    let mut newest: Option<&Span> = None;
    let mut fallen = vec![];
    for span in spans {
        if let Some(newest) = newest
            && newest.term > span.term
            && newest.first < span.first
        {
            fallen.push((*span, newest));
        }
        if newest.is_none_or(|newest| span.term > newest.term) {
            newest = Some(span);
        }
    }
    fallen
}

/// A step that a halt had cut in two and that was done while another term was at work. No library can prevent that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// From the instant at which its process woke to its end.
    pub after_waking: Duration,
    /// From the beginning of the other term's work to its end.
    pub into_the_other: Duration,
}

/// All of them in an election, of which the spans are.
pub fn ended_in_anothers_term(spans: &[&Span]) -> Vec<Late> {
    let mut late = vec![];
    for span in spans {
        for step in span.under_way.iter().filter(|step| step.to > span.last) {
            let works = |other: &&&Span| {
                other.term != span.term && other.first < step.to && step.woken < other.last
            };
            if let Some(other) = spans.iter().find(works) {
                late.push(Late {
                    after_waking: Duration::from_nanos(step.to - step.woken),
                    into_the_other: Duration::from_nanos(step.to - other.first),
                });
            }
        }
    }
    late
}

/// The first term after `term` in which a step was done.
pub fn next_term(spans: &[Span], term: i64) -> Option<i64> {
    let worked = |span: &&Span| span.term > term && span.steps > 0;
    spans.iter().filter(worked).map(|span| span.term).min()
}

/// From the last step of a term to the first of a later one; `None` while there is none.
pub fn gap_after(spans: &[Span], term: i64) -> Option<Duration> {
    let of = spans.iter().filter(|span| span.term == term);
    let ended = of.map(|span| span.last).max()?;
    let later = spans.iter().filter(|span| span.term > term);
    let began = later.map(|span| span.first).min()?;
    Some(Duration::from_nanos(began.saturating_sub(ended)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the lines of a record, with `_` for the election.
    fn spans(lines: &[&str]) -> Vec<Span> {
        let mut spans = Spans::default();
        for line in lines {
            let (process, entry) = Entry::parse(line).unwrap();
            spans.note(process, &entry);
        }
        spans.all()
    }

    fn all(spans: &[Span]) -> Vec<&Span> {
        spans.iter().collect()
    }

    #[test]
    fn a_span_is_from_the_first_step_to_the_last() {
        let spans = spans(&["step a 10 12 1 _", "step a 13 15 1 _", "began a 20 3 _"]);
        let ends = |span: &Span| (span.term, span.first, span.last, span.steps);
        let ends: Vec<_> = spans.iter().map(ends).collect();
        assert_eq!(ends, [(1, 10, 15, 2), (3, 20, 20, 0)]);
    }

    #[test]
    fn one_after_the_other_is_no_overlap() {
        let spans = spans(&["step a 10 20 1 _", "step b 20 30 2 _"]);
        assert_eq!(overlap(&spans), Duration::ZERO);
        assert_eq!(gap_after(&spans, 1), Some(Duration::ZERO));
        assert!(fallen_terms(&all(&spans)).is_empty());
        assert!(shared_terms(&all(&spans)).is_empty());
    }

    #[test]
    fn a_late_step_of_an_old_term_is_overlap() {
        let spans = spans(&["step a 10 20 1 _", "step b 30 70 2 _", "step a 80 90 1 _"]);
        assert_eq!(overlap(&spans), Duration::from_nanos(40));
    }

    #[test]
    fn a_step_without_an_end_is_overlap_where_it_began() {
        let spans = spans(&["step a 10 20 1 _", "step b 30 70 2 _", "began a 40 1 _"]);
        assert_eq!(overlap(&spans), Duration::from_nanos(10));
    }

    #[test]
    fn two_processes_in_one_term_are_overlap() {
        let spans = spans(&["step a 10 20 1 _", "step b 10 20 1 _"]);
        assert_eq!(overlap(&spans), Duration::from_nanos(10));
        assert_eq!(shared_terms(&all(&spans)).len(), 1);
    }

    #[test]
    fn a_term_that_falls_is_noticed() {
        let spans = spans(&["step a 10 20 2 _", "step b 30 40 1 _"]);
        assert_eq!(fallen_terms(&all(&spans)).len(), 1);
        assert_eq!(next_term(&spans, 1), Some(2));
    }

    #[test]
    fn a_step_that_has_not_ended_is_no_next_term_yet() {
        assert_eq!(next_term(&spans(&["began a 10 2 _"]), 1), None);
    }

    #[test]
    fn a_step_that_a_halt_cuts_in_two_is_told_of_and_no_overlap() {
        let spans = spans(&[
            "step a 10 12 1 _",
            "began a 13 1 _",
            "halted a 14",
            "step b 50 95 2 _",
            "woken a 90",
            "step a 13 99 1 _",
            "step b 96 120 2 _",
        ]);
        assert_eq!(overlap(&spans), Duration::ZERO);
        assert_eq!(gap_after(&spans, 1), Some(Duration::from_nanos(36)));
        let late = ended_in_anothers_term(&all(&spans));
        let (after_waking, into_the_other) = (Duration::from_nanos(9), Duration::from_nanos(49));
        let wanted = Late {
            after_waking,
            into_the_other,
        };
        assert_eq!(late, [wanted]);
    }

    #[test]
    fn a_step_that_begins_after_the_halt_counts_in_full() {
        let spans = spans(&[
            "step a 10 12 1 _",
            "halted a 14",
            "woken a 90",
            "step a 91 92 1 _",
            "step b 50 99 2 _",
        ]);
        assert_eq!(overlap(&spans), Duration::from_nanos(42));
        assert_eq!(spans[0].after_halt, 1);
    }

    #[test]
    fn a_drop_counts_but_for_one_that_stood_still() {
        let ended = |lines: &[&str]| spans(lines)[0].end();
        assert_eq!(ended(&["step a 10 12 1 _", "stopped a 15 1 _"]), 15);
        let halted = ["began a 10 1 _", "halted a 11", "woken a 90"];
        let then = ["step a 10 92 1 _", "stopped a 95 1 _"];
        assert_eq!(ended(&[&halted[..], &then[..]].concat()), 11);
    }
}
