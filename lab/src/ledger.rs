//! What the candidates of a contest write down, read while they work.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::judge::{Span, Spans};
use crate::record::Entry;

/// A process knew the address of a term's leader.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The process that did.
    pub by: String,
    /// The election's name.
    pub election: String,
    /// The term's number.
    pub term: i64,
    /// Since then.
    pub at: u64,
}

#[derive(Debug, Default)]
struct Pages {
    spans: Spans,
    heard: Vec<Heard>,
    /// The first line that was none.
    garbled: Option<String>,
}

/// Written to by whoever reads a process's record, read by whoever waits for something.
#[derive(Debug, Default)]
pub struct Ledger {
    pages: Mutex<Pages>,
    grown: Notify,
}

impl Ledger {
    /// A whole line of a record.
    pub fn note_line(&self, line: &str) {
        let mut pages = self.lock();
        match Entry::parse(line) {
            Some((process, entry)) => pages.note(process, &entry),
            None => drop(pages.garbled.get_or_insert_with(|| line.to_owned())),
        }
        drop(pages);
        self.grown.notify_waiters();
    }

    /// An entry of a process, or about it.
    pub fn note(&self, process: &str, entry: &Entry) {
        self.lock().note(process, entry);
        self.grown.notify_waiters();
    }

    /// All work so far, in the order in which it began.
    ///
    /// # Errors
    ///
    /// When a process has written what is no line of a record.
    pub fn spans(&self) -> Result<Vec<Span>, String> {
        let pages = self.lock();
        match &pages.garbled {
            Some(line) => Err(format!("no line of a record: {line:?}")),
            None => Ok(pages.spans.all()),
        }
    }

    /// Who knew whose address, and when.
    pub fn heard(&self) -> Vec<Heard> {
        self.lock().heard.clone()
    }

    /// What `find` finds in all work, as soon as it does.
    pub async fn until<T>(&self, find: impl Fn(&Spans) -> Option<T>) -> T {
        loop {
            let grown = self.grown.notified();
            let mut grown = std::pin::pin!(grown);
            grown.as_mut().enable();
            let found = find(&self.lock().spans);
            if let Some(found) = found {
                return found;
            }
            grown.await;
        }
    }

    /// Forget the work, so that it does not fill the memory.
    pub fn clear(&self) {
        self.lock().spans.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn note(&mut self, process: &str, entry: &Entry) {
        if let Entry::Heard {
            at, election, term, ..
        } = entry
        {
            self.heard.push(Heard {
                by: process.to_owned(),
                election: election.clone(),
                term: *term,
                at: *at,
            });
        }
        self.spans.note(process, entry);
    }
}
