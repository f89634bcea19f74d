//! The work of a term, run on the application's runtime.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tracing::Span;

use super::Command;
use super::socket::SocketGuard;
use super::watch::Watch;
use crate::clock;
use crate::protocol::{Key, Stop};
use crate::term::{TaskState, Term, TermState};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Panic = Box<dyn Any + Send>;
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

/// Held by everything that runs work of a term: `lead`, and what it has spawned. When the last one is gone,
/// however that comes, the work has stopped. Until then it keeps the session's socket open: the server
/// must not see the connection closed while work runs (invariant 1).
pub(crate) struct Guard {
    state: Arc<TermState>,
    key: Key,
    commands: UnboundedSender<Command>,
    watch: Arc<Watch>,
    runtime: Handle,
    socket: Option<SocketGuard>,
    returned: AtomicBool,
    failed: AtomicBool,
    children: AtomicU64,
}

impl Guard {
    pub(crate) fn new(
        state: Arc<TermState>,
        key: Key,
        commands: UnboundedSender<Command>,
        watch: Arc<Watch>,
        runtime: Handle,
        socket: SocketGuard,
    ) -> Arc<Guard> {
        Arc::new(Guard {
            state,
            key,
            commands,
            watch,
            runtime,
            socket: Some(socket),
            returned: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            children: AtomicU64::new(0),
        })
    }

    /// Something of the work has failed, so the term ends, as failed.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        let (key, term) = (self.key, self.state.number);
        let _ = self.commands.send(Command::Fail { key, term });
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.socket = None;
        self.state.over.store(true, Ordering::Release);
        let stop = if self.failed.load(Ordering::Acquire) {
            Stop::Failed
        } else if self.returned.load(Ordering::Acquire) {
            Stop::Returned
        } else {
            Stop::Dropped
        };
        let (key, term) = (self.key, self.state.number);
        let stopped = Command::WorkStopped { key, term, stop };
        let _ = self.commands.send(stopped);
        self.watch.look();
    }
}

/// What became of a task.
enum Outcome<T> {
    Done(T),
    Dropped,
    Panicked(Panic),
}

/// Run `work`. The clock is looked at before each step, behind everything that may take time, and from 0.85 of
/// the lease on the work is dropped instead. Once this has returned nothing of the work is left.
async fn on_leash<F: Future>(
    state: &Arc<TermState>,
    task: &Arc<TaskState>,
    span: &Span,
    work: F,
) -> Outcome<F::Output> {
    let mut work = Box::pin(work);
    let outcome = poll_fn(|context| {
        task.waker.register(context.waker());
        let step = catch_unwind(AssertUnwindSafe(|| {
            let _entered = span.enter();
            if !state.may_run(task, clock::now()) {
                return Poll::Ready(Outcome::Dropped);
            }
            let _running = state.run(task);
            work.as_mut().poll(context).map(Outcome::Done)
        }));
        step.unwrap_or_else(|panic| Poll::Ready(Outcome::Panicked(panic)))
    })
    .await;
    let dropped = catch_unwind(AssertUnwindSafe(|| {
        let _entered = span.enter();
        drop(work);
    }));
    match dropped {
        Ok(()) => outcome,
        Err(panic) => {
            discard(outcome);
            Outcome::Panicked(panic)
        }
    }
}

/// Drop something of the application's, whose `Drop` may panic.
pub(crate) fn discard<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // And so may that of what it panics with.
        std::mem::forget(panic);
    }
}

/// `lead` itself. Its end is that of the term, however it comes.
struct LeadTask(Arc<Guard>);

impl Drop for LeadTask {
    fn drop(&mut self) {
        let guard = &self.0;
        guard.state.end_with_lead();
        guard.watch.look();
        if guard.failed.load(Ordering::Acquire) {
            return guard.fail();
        }
        let (key, term) = (guard.key, guard.state.number);
        let _ = guard.commands.send(Command::Resign { key, term });
    }
}

/// What a runtime that is shut down drops unpolled. What is the application's goes first.
struct LeadJob {
    lead: Lead,
    term: Term,
    task: LeadTask,
}

/// Start the work of `term`. A runtime that is shut down drops it unpolled, and that is a failure: there is no use
/// in trying again at once.
pub(crate) fn start(guard: Arc<Guard>, lead: Lead, term: Term) {
    guard.failed.store(true, Ordering::Release);
    let runtime = guard.runtime.clone();
    let task = LeadTask(guard);
    runtime.spawn(LeadJob { lead, term, task }.run());
}

impl LeadJob {
    async fn run(self) {
        let LeadJob { lead, term, task } = self;
        task.0.failed.store(false, Ordering::Release);
        let state = Arc::clone(&task.0.state);
        let span = span_of(&term);
        let work = async move { lead.call(term).await };
        let failure = match on_leash(&state, &state.lead(), &span, work).await {
            Outcome::Dropped => None,
            Outcome::Done(Ok(())) => {
                task.0.returned.store(true, Ordering::Release);
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
            task.0.failed.store(true, Ordering::Release);
        }
        // Before anything is logged: whoever writes it down may block.
        drop(task);
        if let Some(failure) = failure {
            let _entered = span.enter();
            tracing::error!(
                target: "pg_leader",
                election = &*state.election,
                term = state.number,
                "{failure}"
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

/// What a child answers to who waits for it.
pub(crate) type Answer<T> = Result<T, Panic>;

/// A child of `lead`, and whom it answers.
struct ChildTask {
    guard: Arc<Guard>,
    state: Arc<TaskState>,
    id: u64,
}

impl ChildTask {
    fn new(guard: Arc<Guard>) -> ChildTask {
        let id = guard.children.fetch_add(1, Ordering::Relaxed);
        let state = TaskState::child();
        guard.state.add(id, Arc::clone(&state));
        ChildTask { guard, state, id }
    }

    /// Nothing of the work is left when this returns, nor of what it has brought where nobody waits for that.
    fn answer<T>(self, outcome: Outcome<T>, to: oneshot::Sender<Answer<T>>) {
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

pub(crate) type Receiver<T> = oneshot::Receiver<Answer<T>>;

/// Of what is dropped unpolled that which is the application's goes first.
struct ChildJob<W, T> {
    work: Option<W>,
    sender: oneshot::Sender<Answer<T>>,
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
    let (job, receiver) = ChildJob::new(guard, work);
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
    let (job, receiver) = ChildJob::new(guard, work);
    runtime.spawn_blocking(move || job.run_blocking());
    receiver
}

impl<W, T> ChildJob<W, T> {
    fn new(guard: Arc<Guard>, work: W) -> (Self, Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        let job = ChildJob {
            work: Some(work),
            sender,
            span: Span::current(),
            task: ChildTask::new(guard),
        };
        (job, receiver)
    }
}

impl<F: Future<Output = T>, T> ChildJob<F, T> {
    async fn run(mut self) {
        let Some(work) = self.work.take() else { return };
        let outcome = on_leash(&self.task.guard.state, &self.task.state, &self.span, work).await;
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
