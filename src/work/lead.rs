//! What the application gave to `campaign`, called once a term on its runtime.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Span;

use super::guard::{Guard, Outcome, discard, on_leash};
use crate::campaign::LeadOutput;
use crate::engine::Input;
use crate::shown::shown;
use crate::term::Term;

type Called = Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send>>;

/// What the application gave to `campaign`: makes the work of a term.
#[derive(Clone)]
pub(crate) struct Lead(Arc<Mutex<dyn FnMut(Term) -> Called + Send>>);

impl Lead {
    pub(crate) fn new<L, F>(mut lead: L) -> Self
    where
        L: FnMut(Term) -> F + Send + 'static,
        F: Future<Output: LeadOutput> + Send + 'static,
    {
        Lead(Arc::new(Mutex::new(move |term: Term| {
            let work = lead(term);
            Box::pin(async move { work.await.report() }) as Called
        })))
    }

    /// A `lead` that panicked is called again in the next term.
    fn call(&self, term: Term) -> Called {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))(term)
    }
}

/// `lead` itself. Its end is that of the term, however it comes.
struct LeadTask {
    guard: Arc<Guard>,
    /// It has run to its end. What has not, its runtime has dropped: that is shut down, for good.
    done: bool,
}

impl Drop for LeadTask {
    fn drop(&mut self) {
        let guard = &self.guard;
        guard.stranded.store(!self.done, Ordering::Release);
        guard.state.end_with_lead();
        guard.watch.look();
        if guard.failed.load(Ordering::Acquire) {
            return guard.fail();
        }
        let (key, term) = (guard.key, guard.state.number);
        (guard.tell)(if guard.returned.load(Ordering::Acquire) {
            Input::EndedByItself { key, term }
        } else {
            Input::Resign { key, term }
        });
    }
}

/// What a runtime that is shut down drops unpolled. What is the application's goes first.
struct LeadJob {
    lead: Lead,
    term: Term,
    task: LeadTask,
}

/// Start the work of `term`. A runtime that is shut down drops it unpolled, and that is a failure.
pub(crate) fn start(guard: Arc<Guard>, lead: Lead, term: Term) {
    guard.failed.store(true, Ordering::Release);
    let runtime = guard.runtime.clone();
    let task = LeadTask { guard, done: false };
    runtime.spawn(LeadJob { lead, term, task }.run());
}

impl LeadJob {
    async fn run(self) {
        let LeadJob {
            lead,
            term,
            mut task,
        } = self;
        task.guard.failed.store(false, Ordering::Release);
        let state = Arc::clone(&task.guard.state);
        let span = span_of(&term);
        let make = move || lead.call(term);
        let failure = match on_leash(&state, &state.lead(), &span, make).await {
            Outcome::Dropped => None,
            Outcome::Done(Ok(())) => {
                task.guard.returned.store(true, Ordering::Release);
                None
            }
            Outcome::Done(Err(error)) => {
                let said = catch_unwind(AssertUnwindSafe(|| format!("lead failed: {error}")));
                discard(error);
                Some(said.unwrap_or_else(|panic| {
                    discard(panic);
                    "lead failed".to_owned()
                }))
            }
            Outcome::Panicked(panic) => {
                discard(panic);
                Some("lead panicked".to_owned())
            }
        };
        if failure.is_some() {
            task.guard.failed.store(true, Ordering::Release);
        }
        task.done = true;
        // Before anything is logged: whoever writes it down may block.
        drop(task);
        if let Some(failure) = failure {
            let _entered = span.enter();
            tracing::error!(
                target: "pg_leader",
                election = &*state.election,
                term = state.number,
                "{}",
                shown(&failure)
            );
        }
    }
}

fn span_of(term: &Term) -> Span {
    let span = catch_unwind(AssertUnwindSafe(|| {
        tracing::info_span!(
            target: "pg_leader",
            "lead",
            election = term.election(),
            term = term.number(),
            address = term.address()
        )
    }));
    span.unwrap_or_else(|panic| {
        discard(panic);
        Span::none()
    })
}
