//! What everything holds that runs work of a term, and how each step of it is taken.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use tokio::runtime::Handle;
use tracing::Span;

use super::term_state::{TaskState, TermState};
use super::watch::Watch;
use crate::clock;
use crate::connection::socket::SocketGuard;
use crate::engine::{Input, Key, Stop};

pub(crate) type Panic = Box<dyn Any + Send>;

/// Tells the engine what becomes of the work. Never waits; without a driver there is nobody to tell.
pub(crate) type Tell = Arc<dyn Fn(Input) + Send + Sync>;

/// Held by everything that runs work of a term: `lead`, and what it has spawned. When the last one is gone,
/// however that comes, the work has stopped. Until then it keeps the session's socket open: the server
/// must not see the connection closed while work runs (invariant 1).
pub(crate) struct Guard {
    pub(super) state: Arc<TermState>,
    pub(super) key: Key,
    pub(super) tell: Tell,
    pub(super) watch: Arc<Watch>,
    pub(super) runtime: Handle,
    socket: Option<SocketGuard>,
    pub(super) returned: AtomicBool,
    pub(super) failed: AtomicBool,
    /// The runtime is gone, and nothing will ever run on it again.
    pub(super) stranded: AtomicBool,
    pub(super) children: AtomicU64,
}

impl Guard {
    pub(crate) fn new(
        state: Arc<TermState>,
        key: Key,
        tell: Tell,
        watch: Arc<Watch>,
        runtime: Handle,
        socket: SocketGuard,
    ) -> Arc<Guard> {
        Arc::new(Guard {
            state,
            key,
            tell,
            watch,
            runtime,
            socket: Some(socket),
            returned: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            stranded: AtomicBool::new(false),
            children: AtomicU64::new(0),
        })
    }

    /// Something of the work has failed, so the term ends, as failed.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        let (key, term) = (self.key, self.state.number);
        (self.tell)(Input::Fail { key, term });
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.socket = None;
        self.state.over.store(true, Ordering::Release);
        let stop = if self.stranded.load(Ordering::Acquire) {
            Stop::Stranded
        } else if self.failed.load(Ordering::Acquire) {
            Stop::Failed
        } else if self.returned.load(Ordering::Acquire) {
            Stop::Returned
        } else {
            Stop::Dropped
        };
        let (key, term) = (self.key, self.state.number);
        (self.tell)(Input::Stopped { key, term, stop });
        self.watch.look();
    }
}

/// What became of a task.
pub(super) enum Outcome<T> {
    Done(T),
    Dropped,
    Panicked(Panic),
}

/// Make work and run it. The clock is looked at before it is made and before each step, behind everything that may
/// take time, and from 0.85 of the lease on the work is dropped instead. Once this has returned nothing of the
/// work is left.
pub(super) async fn on_leash<F: Future>(
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

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;
    use crate::engine::Timings;
    use crate::foreign::hands::Hands;
    use crate::work::shared_leash::SharedLeash;

    const LEASE: Duration = Duration::from_millis(100);

    fn state(graceful: bool) -> Arc<TermState> {
        let (retry, grace) = (Timings::DEFAULT_RETRY_INTERVAL, Timings::DEFAULT_GRACE);
        let timings = Timings::new(LEASE, retry, grace).expect("it is coherent");
        let leash = Arc::new(SharedLeash::new(&timings, clock::now()));
        let socket = Arc::new(std::io::pipe().expect("a pipe").0.into());
        let hands = Hands::start(1).expect("a thread");
        TermState::new(
            &"e".into(),
            1,
            "token".into(),
            &leash,
            &socket,
            &hands,
            graceful,
        )
    }

    /// Whether the work of a closure that does this is dropped without a step.
    fn is_dropped_unpolled(graceful: bool, what_the_closure_does: impl Fn(&TermState)) -> bool {
        let (state, polled) = (state(graceful), AtomicBool::new(false));
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
        assert!(!is_dropped_unpolled(false, |_| ()));
        assert!(is_dropped_unpolled(false, |_| std::thread::sleep(LEASE)));
        // Also where it is graceful: it is too late.
        assert!(is_dropped_unpolled(true, |_| std::thread::sleep(LEASE)));
        assert!(is_dropped_unpolled(true, TermState::drop_work));
        assert!(is_dropped_unpolled(false, TermState::end));
    }

    /// It may put away what the closure has made.
    #[test]
    fn graceful_work_is_given_time_though_the_term_ends_before_its_first_step() {
        assert!(!is_dropped_unpolled(true, TermState::end));
    }
}
