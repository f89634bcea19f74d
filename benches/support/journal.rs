//! What the candidates of one election have reported, and whether two were ever at work at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Notify;

use super::Result;

/// One term's work. Times in nanoseconds on the shared clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    pub(crate) address: String,
    pub(crate) began: u64,
    /// When its newest step began.
    step: u64,
    /// The last that is known of its work, but for a step that a stop has cut in two.
    pub(crate) last: u64,
    /// When it was dropped.
    pub(crate) ended: Option<u64>,
    /// From then on its process stood still.
    stopped: Option<u64>,
    /// When the step was done that this cut in two: on waking, in whoever's term. No library can prevent that.
    cut: Option<u64>,
}

impl Span {
    fn stepped(&mut self, done: u64) {
        match self.stopped {
            Some(stopped) if self.step <= stopped && done > stopped => self.cut = Some(done),
            _ => self.last = self.last.max(done),
        }
    }

    /// The end of what is held against it. A process that stood still is to be dropped on waking, no sooner;
    /// what it does until then is in `last`.
    fn end(&self) -> u64 {
        let dropped = self.ended.filter(|_| self.stopped.is_none());
        dropped.unwrap_or_default().max(self.last)
    }
}

/// Steps that a stop had cut in two and that were done when another's term had begun.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cut {
    pub(crate) count: u64,
    /// How far into that term the last one went.
    pub(crate) most: Duration,
}

impl Cut {
    pub(crate) fn and(self, other: Cut) -> Cut {
        Cut {
            count: self.count + other.count,
            most: self.most.max(other.most),
        }
    }
}

/// A process knew a term's address.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) by: String,
    pub(crate) term: u64,
    pub(crate) at: u64,
}

#[derive(Debug, Default)]
struct Notes {
    spans: BTreeMap<u64, Span>,
    seen: Vec<Seen>,
    /// Terms that more than one process has worked in.
    shared: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    notes: RefCell<Notes>,
    grown: Notify,
}

impl Journal {
    pub(crate) fn note(&self, address: &str, line: &str) {
        let mut words = line.split(' ');
        let what = words.next();
        let mut number = || words.next()?.parse().ok();
        let (Some(what), Some(term), Some(at)) = (what, number(), number()) else {
            return;
        };
        let done = number().unwrap_or(at);
        let Notes {
            spans,
            seen,
            shared,
        } = &mut *self.notes.borrow_mut();
        let span = spans.entry(term);
        match what {
            "began" => {
                span.and_modify(|_| *shared += 1).or_insert_with(|| Span {
                    address: address.to_owned(),
                    began: at,
                    step: at,
                    last: at,
                    ..Span::default()
                });
            }
            "at" => {
                span.and_modify(|span| {
                    span.stepped(done);
                    span.step = at;
                    span.last = span.last.max(at);
                });
                return;
            }
            "ended" => {
                span.and_modify(|span| {
                    span.stepped(done);
                    span.ended = Some(at);
                });
            }
            "seen" => seen.push(Seen {
                by: address.to_owned(),
                term,
                at,
            }),
            _ => return,
        }
        self.grown.notify_waiters();
    }

    /// The work of the newest term.
    pub(crate) fn last(&self) -> Option<(u64, Span)> {
        let notes = self.notes.borrow();
        let (term, span) = notes.spans.last_key_value()?;
        Some((*term, span.clone()))
    }

    /// Wait for the work of a term after `term`.
    pub(crate) async fn after(&self, term: u64, patience: Duration) -> Result<Span> {
        let next = self.until(|notes| {
            let (_, span) = notes.spans.range(term + 1..).next()?;
            Some(span.clone())
        });
        let next = tokio::time::timeout(patience, next).await;
        next.map_err(|_| format!("nobody worked after term {term}").into())
    }

    /// Wait for the end of a term's work.
    pub(crate) async fn ended(&self, term: u64, patience: Duration) -> Result<u64> {
        let ended = self.until(|notes| notes.spans.get(&term)?.ended);
        let ended = tokio::time::timeout(patience, ended).await;
        ended.map_err(|_| format!("the work of term {term} did not end").into())
    }

    async fn until<T>(&self, find: impl Fn(&Notes) -> Option<T>) -> T {
        loop {
            let grown = self.grown.notified();
            if let Some(found) = find(&self.notes.borrow()) {
                return found;
            }
            grown.await;
        }
    }

    /// The process that worked in `term` stands still since `time`.
    pub(crate) fn stopped(&self, term: u64, time: u64) {
        if let Some(span) = self.notes.borrow_mut().spans.get_mut(&term) {
            span.stopped = Some(time);
        }
    }

    /// How many terms' work went on when that of a later one had begun.
    pub(crate) fn overlaps(&self) -> u64 {
        let notes = self.notes.borrow();
        let spans: Vec<&Span> = notes.spans.values().collect();
        let pairs = spans.windows(2);
        let pairs = pairs.filter(|pair| pair[0].end() > pair[1].began);
        notes.shared + u64::try_from(pairs.count()).expect("few terms")
    }

    pub(crate) fn cut(&self) -> Cut {
        let notes = self.notes.borrow();
        let spans: Vec<&Span> = notes.spans.values().collect();
        let late = spans.windows(2).filter_map(|pair| {
            let late = pair[0].cut?.checked_sub(pair[1].began)?;
            let most = Duration::from_nanos(late);
            Some(Cut { count: 1, most })
        });
        late.fold(Cut::default(), Cut::and)
    }

    /// From the start of each new leader's work to each other process's knowing his address.
    pub(crate) fn announced(&self) -> Vec<Duration> {
        let notes = self.notes.borrow();
        let others = notes.seen.iter().filter_map(|seen| {
            let span = notes.spans.get(&seen.term)?;
            // The first leader was there before the others came.
            (seen.by != span.address && seen.term > 1)
                .then(|| Duration::from_nanos(seen.at.saturating_sub(span.began)))
        });
        others.collect()
    }
}
