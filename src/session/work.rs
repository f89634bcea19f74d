//! The work of a term, run on the application's runtime.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::Command;
use super::socket::SocketGuard;
use crate::protocol::Stop;
use crate::term::Term;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Work = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// What the application gave to `campaign`: makes the work of a term.
#[derive(Clone)]
pub(crate) struct Lead(Arc<Mutex<dyn FnMut(Term) -> Work + Send>>);

impl Lead {
    pub(crate) fn new<L, F, E>(mut lead: L) -> Self
    where
        L: FnMut(Term) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Lead(Arc::new(Mutex::new(move |term: Term| {
            let work = lead(term);
            Box::pin(async move { work.await.map_err(Into::into) }) as Work
        })))
    }

    /// A `lead` that panicked is called again in the next term.
    fn call(&self, term: Term) -> Work {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))(term)
    }
}

/// Says that the work has stopped when it goes, however that comes, and keeps the session's socket open
/// until then: the server must not see the connection closed while work runs (invariant 1).
struct Guard {
    term: Term,
    stop: Stop,
    socket: Option<SocketGuard>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.socket = None;
        let stopped = Command::WorkStopped {
            key: self.term.key,
            term: self.term.number(),
            stop: self.stop,
        };
        let _ = self.term.commands.send(stopped);
    }
}

/// The work of `term`, to be run as a task. It is dropped when `dropped` is cancelled.
pub(crate) fn of(
    lead: Lead,
    term: Term,
    socket: SocketGuard,
    dropped: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    // Made here: a runtime that is shut down drops the task unpolled, and the guard with it. That is a failure:
    // there is no use in trying again at once.
    let mut guard = Guard {
        term: term.clone(),
        stop: Stop::Failed,
        socket: Some(socket),
    };
    async move {
        // Whoever keeps track of spans may panic.
        let span = tracing::info_span!(
            target: "pg_leader",
            "lead",
            election = term.election(),
            term = term.number(),
            address = term.address()
        );
        guard.stop = Stop::Dropped;
        let work = async move { lead.call(term).await }.instrument(span);
        let mut work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        let result = tokio::select! {
            biased;
            () = dropped.cancelled() => None,
            result = &mut work => Some(result),
        };
        drop(work);
        let (election, number) = (guard.term.election.clone(), guard.term.number());
        guard.stop = match result {
            None => Stop::Dropped,
            Some(Ok(Ok(()))) => Stop::Returned,
            Some(_) => Stop::Failed,
        };
        // Before anything is said: a log that blocks must not keep the leadership.
        drop(guard);
        match result {
            Some(Ok(Err(error))) => {
                tracing::error!(target: "pg_leader", election = &*election, term = number, "lead failed: {error}");
            }
            Some(Err(panic)) => {
                tracing::error!(target: "pg_leader", election = &*election, term = number, "lead panicked");
                drop(panic);
            }
            _ => {}
        }
    }
}
