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
    /// When it last worked in a current term.
    pub(crate) last: u64,
    pub(crate) ended: Option<u64>,
    /// Its process was stopped: it has worked until `last`, whenever it is woken to its end.
    pub(crate) stopped: bool,
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
        let (Some(what), Some(Ok(term)), Some(Ok(at))) = (
            words.next(),
            words.next().map(str::parse),
            words.next().map(str::parse),
        ) else {
            return;
        };
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
                    last: at,
                    ..Span::default()
                });
            }
            "at" => {
                span.and_modify(|span| span.last = at);
                return;
            }
            "ended" => {
                span.and_modify(|span| span.ended = Some(at));
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

    /// The process that worked in `term` was stopped.
    pub(crate) fn stopped(&self, term: u64) {
        if let Some(span) = self.notes.borrow_mut().spans.get_mut(&term) {
            span.stopped = true;
        }
    }

    /// How many terms' work went on when that of a later one had begun.
    pub(crate) fn overlaps(&self) -> u64 {
        let notes = self.notes.borrow();
        let spans: Vec<&Span> = notes.spans.values().collect();
        let pairs = spans.windows(2).filter(|pair| {
            let ended = pair[0].ended.filter(|_| !pair[0].stopped);
            ended.unwrap_or_default().max(pair[0].last) > pair[1].began
        });
        notes.shared + u64::try_from(pairs.count()).expect("few terms")
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
