//! What the driver, the work, the watch and the handles of one term share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::engine::{Demand, Instant, Leash};
use crate::foreign::hands::{Hands, isolated};
use crate::process_state::ProcessState;
use crate::work::shared_leash::SharedLeash;

#[derive(Debug)]
pub(crate) struct TermState {
    pub(crate) election: Arc<str>,
    pub(crate) number: u64,
    pub(crate) token: Arc<str>,
    pub(crate) session: Arc<SharedLeash>,
    pub(crate) ready: AtomicBool,
    /// All of the work has stopped.
    pub(crate) over: AtomicBool,
    /// The work should stop.
    ending: AtomicBool,
    /// The time for stopping by itself is over.
    out_of_time: AtomicBool,
    /// The work is given time to stop by itself.
    graceful: bool,
    /// It was said that work hears nothing of the end, though somebody waits for that.
    warned: AtomicBool,
    lead: Arc<TaskState>,
    /// `lead` has returned, failed or was dropped: its children may still run.
    lead_over: AtomicBool,
    /// Never locked by the driver, and only tried by the watch: neither stands still because of the other.
    children: Mutex<HashMap<u64, Arc<TaskState>>>,
    /// The children must look at what has changed.
    stirred: AtomicBool,
    /// `cancelled` is cancelled, or is about to be.
    told: AtomicBool,
    /// The socket of the session, as long as the work or the session lives.
    pub(crate) socket: Weak<OwnedFd>,
    /// Cancelled on a thread of its own: who waits for it is foreign, and so are the wakers.
    pub(crate) cancelled: CancellationToken,
    /// Parent of those that the application was given: who waits for them is woken by them.
    pub(crate) tokens: CancellationToken,
    hands: Hands,
}

/// One task of the work.
#[derive(Debug, Default)]
pub(crate) struct TaskState {
    /// The runtime's own: to wake it runs nobody else's code.
    pub(crate) waker: AtomicWaker,
    is_child: bool,
    /// It blocks its thread, so nobody can drop it.
    blocks: bool,
    begun: AtomicBool,
    /// How often it was polled.
    polls: AtomicU64,
}

impl TaskState {
    pub(crate) fn child(blocks: bool) -> Arc<TaskState> {
        Arc::new(TaskState {
            is_child: true,
            blocks,
            ..TaskState::default()
        })
    }
}

thread_local! {
    /// The task that this thread runs.
    static CURRENT: RefCell<Option<(Arc<TermState>, Arc<TaskState>)>> = const { RefCell::new(None) };
}

/// While this lives this thread runs a task of a term.
pub(crate) struct Running(Option<(Arc<TermState>, Arc<TaskState>)>);

impl Drop for Running {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl TermState {
    pub(crate) fn new(
        election: &Arc<str>,
        number: u64,
        token: Arc<str>,
        session: &Arc<SharedLeash>,
        socket: &Arc<OwnedFd>,
        hands: &Hands,
        graceful: bool,
    ) -> Arc<TermState> {
        Arc::new(TermState {
            election: Arc::clone(election),
            number,
            token,
            session: Arc::clone(session),
            ready: AtomicBool::new(false),
            over: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            out_of_time: AtomicBool::new(false),
            graceful,
            warned: AtomicBool::new(false),
            lead: Arc::default(),
            lead_over: AtomicBool::new(false),
            children: Mutex::default(),
            stirred: AtomicBool::new(false),
            told: AtomicBool::new(false),
            socket: Arc::downgrade(socket),
            cancelled: CancellationToken::new(),
            tokens: CancellationToken::new(),
            hands: hands.clone(),
        })
    }

    pub(crate) fn is_current(&self) -> bool {
        !self.over.load(Ordering::Acquire) && !self.session.is_over(clock::now())
    }

    pub(crate) fn process_state(&self) -> ProcessState {
        if !self.is_current() {
            ProcessState::Following
        } else if self.ready.load(Ordering::Acquire) {
            ProcessState::Leading
        } else {
            ProcessState::Recovering
        }
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire) || !self.is_current()
    }

    /// Once the work should stop. Everybody who waits is woken by a hand of its own: a waker may block or panic.
    pub(crate) async fn ending(self: Arc<Self>) {
        self.warn_of_deafness();
        let mut cancelled = pin!(self.cancelled.cancelled());
        let mut kept_from = None;
        // The work itself is woken to look, sooner than all who wait are told.
        let ending = poll_fn(|context| {
            if self.is_ending() {
                // Work that is told goes on to stop by itself, in this very poll. Once that time is over, as when
                // the process has just woken, it is not told any more, but dropped. Not where nobody drops it
                // before it asks again: that waits on its thread.
                let last_poll = self.last_poll(clock::now());
                if last_poll.is_some() && kept_from != last_poll {
                    kept_from = last_poll;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                return Poll::Ready(());
            }
            cancelled.as_mut().poll(context)
        });
        isolated(self.hands.clone(), ending).await;
    }

    /// Whoever waits for the end of a term whose work is dropped at once may think that it is told. Said once a term,
    /// and not of work that blocks its thread, which is not dropped.
    fn warn_of_deafness(self: &Arc<Self>) {
        let blocks = CURRENT.try_with(|current| {
            let current = current.borrow();
            (current.as_ref()).is_some_and(|(term, task)| Arc::ptr_eq(term, self) && task.blocks)
        });
        if self.graceful || blocks.unwrap_or(false) || self.warned.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            target: "pg_leader",
            election = &*self.election,
            term = self.number,
            "the end of the term is awaited, but its work is dropped without hearing of it: \
             say Campaign::graceful(true) where it shall stop by itself"
        );
    }

    pub(crate) fn lead(&self) -> Arc<TaskState> {
        Arc::clone(&self.lead)
    }

    pub(crate) fn run(self: &Arc<Self>, task: &Arc<TaskState>) -> Running {
        task.begun.store(true, Ordering::Release);
        task.polls.fetch_add(1, Ordering::Relaxed);
        Running(CURRENT.replace(Some((Arc::clone(self), Arc::clone(task)))))
    }

    /// Whether `task` may do a step at `now`. Asked before each, whatever the driver does (invariant 1).
    pub(crate) fn may_run(&self, task: &TaskState, now: Instant) -> bool {
        let leash = self.leash(now);
        let in_time = task.begun.load(Ordering::Acquire) || !leash.is_lost(now);
        leash.demand(now, in_time && self.is_given_time(task)) <= Demand::End
    }

    /// Of a term that ends `lead` is given time, and its children as long as it is: it may need them to stop in order.
    fn is_given_time(&self, task: &TaskState) -> bool {
        self.graceful && !(task.is_child && self.lead_over.load(Ordering::Acquire))
    }

    /// That of the session, and the end that was asked for. How long the grace is the driver knows alone.
    pub(crate) fn leash(&self, now: Instant) -> Leash {
        let mut leash = self.session.rule(now);
        if self.out_of_time.load(Ordering::Acquire) {
            leash.end(now, Duration::ZERO);
        } else if self.ending.load(Ordering::Acquire) {
            leash.end(Instant::NEVER, Duration::ZERO);
        }
        leash
    }

    /// Where this thread polls a task of this term that is dropped instead of polled again: which poll this is.
    pub(crate) fn last_poll(self: &Arc<Self>, now: Instant) -> Option<u64> {
        let last_poll = CURRENT.try_with(|current| {
            let current = current.borrow();
            let (_, task) = current
                .as_ref()
                .filter(|(term, _)| Arc::ptr_eq(term, self))?;
            let lasts = self.may_run(task, now);
            (!lasts).then(|| task.polls.load(Ordering::Relaxed))
        });
        last_poll.ok().flatten()
    }

    /// The work should stop. To be followed by a look of the watch, which tells the others.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.stir();
    }

    /// The work must stop. Followed by a look of the watch too.
    pub(crate) fn drop_work(&self) {
        self.out_of_time.store(true, Ordering::Release);
        self.stir();
    }

    /// `lead` is over, so the term is. Followed by a look of the watch too.
    pub(crate) fn end_with_lead(&self) {
        self.lead_over.store(true, Ordering::Release);
        self.end();
    }

    fn stir(&self) {
        self.stirred.store(true, Ordering::Release);
        self.lead.waker.wake();
    }

    /// Wake what must look at the clock, or at what has changed. When to look again at the latest, beside
    /// each tick.
    pub(crate) fn look(&self, now: Instant) -> Instant {
        let leash = self.leash(now);
        let lost = leash.is_lost(now);
        if lost {
            self.ending.store(true, Ordering::Release);
        }
        // Swapped before anybody is woken: what changes later stirs again.
        if self.stirred.swap(false, Ordering::AcqRel) || lost {
            self.lead.waker.wake();
            match self.children.try_lock() {
                Ok(children) => children.values().for_each(|child| child.waker.wake()),
                Err(TryLockError::Poisoned(children)) => {
                    (children.into_inner().values()).for_each(|child| child.waker.wake());
                }
                Err(TryLockError::WouldBlock) => {
                    self.stirred.store(true, Ordering::Release);
                    return now + RETRY;
                }
            }
        }
        leash.next(now)
    }

    /// Whether nobody has begun yet to tell those who wait that the work should stop. True once.
    pub(crate) fn must_tell(&self) -> bool {
        let ends = self.ending.load(Ordering::Acquire) || self.over.load(Ordering::Acquire);
        ends && !self.told.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    pub(crate) fn add(&self, id: u64, child: Arc<TaskState>) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.insert(id, child);
    }

    pub(crate) fn remove(&self, id: u64) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let child = children.remove(&id);
        drop(children);
        drop(child);
    }
}

/// Somebody is about to add or remove a child.
const RETRY: Duration = Duration::from_micros(200);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Timings;

    /// The work is graceful, so what runs is given time until it is dropped (invariant 1).
    #[test]
    fn a_task_that_was_not_begun_in_time_is_never_begun() {
        const LEASE: Duration = Duration::from_secs(1);
        let timings = Timings::new(LEASE, LEASE, Timings::DEFAULT_GRACE).expect("it is coherent");
        let contact = clock::now();
        let leash = Arc::new(SharedLeash::new(&timings, contact));
        let socket: Arc<OwnedFd> = Arc::new(std::io::pipe().expect("a pipe").0.into());
        let hands = Hands::start(1).expect("a thread");
        let token = "token".into();
        let state = TermState::new(&"late".into(), 1, token, &leash, &socket, &hands, true);
        let (begun, late) = (TaskState::child(false), TaskState::child(false));
        drop(state.run(&begun));
        let lost = leash.deadline();
        assert!(state.may_run(&begun, lost) && !state.may_run(&late, lost));
        assert!(!state.may_run(&begun, leash.rule(lost).drop_at()));
    }
}
