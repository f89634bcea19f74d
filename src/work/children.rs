//! What the work of a term spawns by it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use tracing::Span;

use super::guard::{Guard, Outcome, Panic, discard, on_leash};
use super::term_state::{TaskState, TermState};
use crate::clock;

/// A child of `lead`, and whom it answers.
struct ChildTask {
    guard: Arc<Guard>,
    state: Arc<TaskState>,
    id: u64,
}

impl ChildTask {
    fn new(guard: Arc<Guard>, blocks: bool) -> ChildTask {
        let id = guard.children.fetch_add(1, Ordering::Relaxed);
        let state = TaskState::child(blocks);
        guard.state.add(id, Arc::clone(&state));
        ChildTask { guard, state, id }
    }

    /// Nothing of the work is left when this returns, nor of what it has brought where nobody waits for that.
    fn answer<T>(self, outcome: Outcome<T>, to: oneshot::Sender<Result<T, Panic>>) {
        let unheard = match outcome {
            Outcome::Done(value) => to.send(Ok(value)),
            Outcome::Panicked(panic) => to.send(Err(panic)),
            Outcome::Dropped => Ok(()),
        };
        match unheard {
            Ok(()) => {}
            Err(Ok(value)) => discard(value),
            Err(Err(panic)) => {
                discard(panic);
                self.guard.fail();
                let state = Arc::clone(&self.guard.state);
                drop(self);
                panicked(&state);
            }
        }
    }
}

impl Drop for ChildTask {
    fn drop(&mut self) {
        self.guard.state.remove(self.id);
    }
}

/// Nobody waits for a task that has panicked.
pub(crate) fn panicked(state: &TermState) {
    tracing::error!(
        target: "pg_leader",
        election = &*state.election,
        term = state.number,
        "a task of the work panicked"
    );
}

/// What a child answers to who waits for it.
pub(crate) type Receiver<T> = oneshot::Receiver<Result<T, Panic>>;

/// Of what is dropped unpolled that which is the application's goes first.
struct ChildJob<W, T> {
    work: Option<W>,
    sender: oneshot::Sender<Result<T, Panic>>,
    span: Span,
    task: ChildTask,
}

/// A task that must have stopped before anybody else may lead.
pub(crate) fn spawn<F>(guard: Arc<Guard>, work: F) -> Receiver<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let runtime = guard.runtime.clone();
    let (job, receiver) = ChildJob::new(guard, work, false);
    runtime.spawn(job.run());
    receiver
}

/// The same on a thread that may block.
pub(crate) fn spawn_blocking<F, T>(guard: Arc<Guard>, work: F) -> Receiver<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let runtime = guard.runtime.clone();
    let (job, receiver) = ChildJob::new(guard, work, true);
    runtime.spawn_blocking(move || job.run_blocking());
    receiver
}

impl<W, T> ChildJob<W, T> {
    fn new(guard: Arc<Guard>, work: W, blocks: bool) -> (Self, Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        let job = ChildJob {
            work: Some(work),
            sender,
            span: Span::current(),
            task: ChildTask::new(guard, blocks),
        };
        (job, receiver)
    }
}

impl<F: Future<Output = T>, T> ChildJob<F, T> {
    async fn run(mut self) {
        let Some(work) = self.work.take() else { return };
        let outcome = on_leash(&self.task.guard.state, &self.task.state, &self.span, || {
            work
        })
        .await;
        self.task.answer(outcome, self.sender);
    }
}

impl<F: FnOnce() -> T, T> ChildJob<F, T> {
    fn run_blocking(mut self) {
        let state = &self.task.guard.state;
        let done = catch_unwind(AssertUnwindSafe(|| {
            let _entered = self.span.enter();
            if !state.may_run(&self.task.state, clock::now()) {
                return Outcome::Dropped;
            }
            let _running = state.run(&self.task.state);
            self.work
                .take()
                .map_or(Outcome::Dropped, |work| Outcome::Done(work()))
        }));
        discard(self.work.take());
        let outcome = done.unwrap_or_else(Outcome::Panicked);
        self.task.answer(outcome, self.sender);
    }
}
