//! What a term's work has spawned, and what becomes of it.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use super::children::{Receiver, panicked};
use super::guard::{Guard, Panic, discard};
use super::term_state::TermState;

/// A task of a term's work, from [`Term::spawn`](crate::Term::spawn) or
/// [`Term::spawn_blocking`](crate::Term::spawn_blocking). Awaited, it gives what the task has brought, or says
/// why there is nothing. Dropping it does not stop the task: the end of the term does.
///
/// A panic of the task is in the answer. Where nobody can hear of it any more, since the `Task` was dropped
/// before or is dropped unawaited, it ends the term: as failed, like a panic of `lead`.
///
/// # Cancel safety
///
/// Cancel safe, as long as it is awaited by reference: `(&mut task).await`.
pub struct Task<T> {
    /// None: the term was over, and nothing was begun; or it was answered.
    receiver: Option<Receiver<T>>,
    guard: Weak<Guard>,
    state: Arc<TermState>,
}

impl<T> Task<T> {
    pub(crate) fn new(
        receiver: Option<Receiver<T>>,
        guard: Weak<Guard>,
        state: Arc<TermState>,
    ) -> Self {
        Task {
            receiver,
            guard,
            state,
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(receiver) = &mut self.receiver else {
            return Poll::Ready(Err(TaskError(None)));
        };
        let Poll::Ready(answer) = Pin::new(receiver).poll(context) else {
            return Poll::Pending;
        };
        self.receiver = None;
        Poll::Ready(match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => Err(TaskError(Some(Mutex::new(panic)))),
            Err(_) => Err(TaskError(None)),
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        let Some(receiver) = &mut self.receiver else {
            return;
        };
        // From here on the task itself finds that nobody listens.
        receiver.close();
        if let Ok(Err(panic)) = receiver.try_recv() {
            discard(panic);
            if let Some(guard) = self.guard.upgrade() {
                guard.fail();
            }
            panicked(&self.state);
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("election", &self.state.election)
            .field("term", &self.state.number)
            .finish_non_exhaustive()
    }
}

/// Why a [`Task`] has brought nothing: its term ended first, or it panicked.
pub struct TaskError(Option<Mutex<Panic>>);

impl TaskError {
    /// It was dropped, or never begun: its term is over.
    pub fn is_dropped(&self) -> bool {
        self.0.is_none()
    }

    /// It panicked.
    pub fn is_panic(&self) -> bool {
        self.0.is_some()
    }

    /// What it panicked with, for [`std::panic::resume_unwind`]. Whoever takes it answers for it: the term goes
    /// on.
    ///
    /// # Errors
    ///
    /// When it did not panic.
    pub fn into_panic(self) -> Result<Box<dyn Any + Send + 'static>, TaskError> {
        match self.0 {
            Some(panic) => Ok(panic.into_inner().unwrap_or_else(PoisonError::into_inner)),
            None => Err(self),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            None => "the task was dropped, for its term is over",
            Some(_) => "the task panicked",
        })
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskError({self})")
    }
}

impl Error for TaskError {}
