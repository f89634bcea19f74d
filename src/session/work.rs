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
use crate::engine::{Key, Stop};
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

/// Make work and run it. The clock is looked at before it is made and before each step, behind everything that may
/// take time, and from 0.85 of the lease on the work is dropped instead. Once this has returned nothing of the
/// work is left.
async fn on_leash<F: Future>(
    state: &Arc<TermState>,
    task: &Arc<TaskState>,
    span: &Span,
    make: impl FnOnce() -> F,
) -> Outcome<F::Output> {
    let mut make = Some(make);
    let mut work = None;
    let outcome = poll_fn(|context| {
        task.waker.register(context.waker());
        let step = catch_unwind(AssertUnwindSafe(|| {
            let _entered = span.enter();
            let may_run = || state.may_run(task, clock::now());
            if let Some(make) = make.take_if(|_| may_run()) {
                let _running = state.run(task);
                work = Some(Box::pin(make()));
            }
            // What makes the work is the application's too, and may take long.
            match &mut work {
                Some(work) if may_run() => {
                    let _running = state.run(task);
                    work.as_mut().poll(context).map(Outcome::Done)
                }
                _ => Poll::Ready(Outcome::Dropped),
            }
        }));
        step.unwrap_or_else(|panic| Poll::Ready(Outcome::Panicked(panic)))
    })
    .await;
    let dropped = catch_unwind(AssertUnwindSafe(|| {
        let _entered = span.enter();
        drop((work, make));
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
        let make = move || lead.call(term);
        let failure = match on_leash(&state, &state.lead(), &span, make).await {
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

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;
    use crate::engine::Timings;
    use crate::leash::Leash;
    use crate::session::hands::Hands;

    const LEASE: Duration = Duration::from_millis(100);

    fn state() -> Arc<TermState> {
        let (retry, grace) = (Timings::DEFAULT_RETRY_INTERVAL, Timings::DEFAULT_GRACE);
        let timings = Timings::new(LEASE, retry, grace).expect("it is coherent");
        let leash = Arc::new(Leash::new(&timings, clock::now()));
        let socket = Arc::new(std::io::pipe().expect("a pipe").0.into());
        let hands = Hands::start(1).expect("a thread");
        TermState::new(&"e".into(), 1, "token".into(), &leash, &socket, &hands)
    }

    /// Whether the work of a closure that does this is dropped without a step.
    fn is_dropped_unpolled(what_the_closure_does: impl Fn(&Arc<TermState>)) -> bool {
        let (state, polled) = (state(), AtomicBool::new(false));
        let task = state.lead();
        let span = Span::none();
        let work = on_leash(&state, &task, &span, || {
            what_the_closure_does(&state);
            async { polled.store(true, Ordering::SeqCst) }
        });
        let mut context = Context::from_waker(Waker::noop());
        let outcome = std::pin::pin!(work).poll(&mut context);
        matches!(outcome, Poll::Ready(Outcome::Dropped)) && !polled.load(Ordering::SeqCst)
    }

    #[test]
    fn a_closure_that_outlasts_its_term_makes_work_that_is_never_begun() {
        assert!(!is_dropped_unpolled(|_| ()));
        assert!(is_dropped_unpolled(|_| std::thread::sleep(LEASE)));
        // Also where it listens: it is too late.
        assert!(is_dropped_unpolled(|state| {
            state.listen();
            std::thread::sleep(LEASE);
        }));
        assert!(is_dropped_unpolled(|state| state.drop_work()));
        assert!(is_dropped_unpolled(|state| state.end()));
    }

    /// It may put away what the closure has made.
    #[test]
    fn work_that_listens_is_given_time_though_the_term_ends_before_its_first_step() {
        assert!(!is_dropped_unpolled(|state| {
            state.listen();
            state.end();
        }));
    }
}
