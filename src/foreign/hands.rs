//! Threads for what is not ours to run: wakers, spawning on the application's runtime, dropping what the
//! application gave away. All of it may block, panic or take for ever, and the driver's thread must not.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

type Job = Box<dyn FnOnce() + Send>;

/// So many jobs may block at once; further ones wait for one of them to end.
const MOST: usize = 256;

/// Takes jobs and runs them soon, whichever of the others block. The threads end with it.
#[derive(Clone, Debug)]
pub(crate) struct Hands(Arc<Hiring>);

/// While it lives jobs may come.
#[derive(Debug)]
struct Hiring(Arc<Pool>);

impl Drop for Hiring {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

#[derive(Debug)]
struct Pool {
    /// Never locked while a job runs.
    state: Mutex<State>,
    changed: Condvar,
    /// So many threads keep waiting for jobs.
    spare: usize,
    /// There are never more.
    most: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Those that have yet to take one of `jobs` included.
    idle: usize,
    threads: usize,
    closed: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { idle, threads, .. } = self;
        write!(f, "{idle} of {threads} threads are idle")
    }
}

impl Hands {
    /// With so many threads as keep waiting for jobs.
    pub(crate) fn start(spare: usize) -> io::Result<Hands> {
        Hands::start_up_to(spare, MOST)
    }

    fn start_up_to(spare: usize, most: usize) -> io::Result<Hands> {
        let pool = Arc::new(Pool {
            state: Mutex::default(),
            changed: Condvar::new(),
            spare,
            most,
        });
        let open = Arc::new(Hiring(Arc::clone(&pool)));
        for _ in 0..spare {
            pool.lock().threads += 1;
            pool.grow()?;
        }
        Ok(Hands(open))
    }

    /// Never waits. Jobs are begun in this order, but the next does not wait for the one before.
    pub(crate) fn give(&self, job: impl FnOnce() + Send + 'static) {
        let pool = &self.0.0;
        let mut state = pool.lock();
        state.jobs.push_back(Box::new(job));
        if state.jobs.len() <= state.idle || state.threads >= pool.most {
            drop(state);
            return pool.changed.notify_one();
        }
        state.threads += 1;
        drop(state);
        // Without a thread more the job waits for one of the others, or for the next that is given.
        let _ = pool.grow();
    }

    /// Give a job of ours that only wakes those who wait by [`isolated`]: the last of them is woken by the same
    /// hand.
    pub(crate) fn wake(&self, job: impl FnOnce() + Send + 'static) {
        let hands = self.clone();
        self.give(move || {
            let mut woken = gathered(job);
            let last = woken.pop();
            woken.into_iter().for_each(|job| hands.give(job));
            if let Some(job) = last {
                job();
            }
        });
    }

    /// Drop something that the application made.
    pub(crate) fn discard(&self, thing: impl Send + 'static) {
        self.give(move || drop(thing));
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Start a thread that is counted already.
    fn grow(self: &Arc<Self>) -> io::Result<()> {
        let pool = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("pg-leader-hand".to_owned())
            .spawn(move || pool.work());
        if spawned.is_err() {
            self.lock().threads -= 1;
        }
        spawned.map(drop)
    }

    fn work(&self) {
        while let Some(job) = self.take() {
            quietly(job);
        }
    }

    /// The next job; none where this thread is to end.
    fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            let job = state.jobs.pop_front();
            if job.is_some() {
                return job;
            }
            if state.closed || state.idle >= self.spare {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            state = (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

thread_local! {
    /// What [`Hands::wake`] wakes on this thread.
    static WOKEN: RefCell<Option<Vec<Job>>> = const { RefCell::new(None) };
}

/// Run `job`, and tell whom it has woken.
fn gathered(job: impl FnOnce()) -> Vec<Job> {
    WOKEN.set(Some(vec![]));
    quietly(job);
    WOKEN.take().unwrap_or_default()
}

/// Wakes somebody by a hand.
struct Aside {
    theirs: Waker,
    hands: Hands,
}

impl Wake for Aside {
    fn wake(self: Arc<Self>) {
        let hands = self.hands.clone();
        let mut job: Option<Job> = Some(Box::new(move || self.theirs.wake_by_ref()));
        // Nobody gathers any more while this thread's locals go.
        let _ = WOKEN.try_with(|woken| {
            if let Some(woken) = &mut *woken.borrow_mut() {
                woken.extend(job.take());
            }
        });
        if let Some(job) = job {
            hands.give(job);
        }
    }
}

/// Wait for `future`, of which others may wait for the same: whoever is woken may block or panic, and the news must
/// reach all.
pub(crate) async fn isolated<F: Future>(hands: Hands, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut last: Option<Arc<Aside>> = None;
    poll_fn(|context| {
        let theirs = context.waker();
        let aside = match last.take() {
            Some(aside) if aside.theirs.will_wake(theirs) => aside,
            _ => Arc::new(Aside {
                theirs: theirs.clone(),
                hands: hands.clone(),
            }),
        };
        let waker = Waker::from(Arc::clone(&aside));
        last = Some(aside);
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

/// Run it, whether or not it panics.
pub(crate) fn quietly(job: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(job)) {
        Ok(()) => true,
        Err(panic) => {
            // Dropping what it panicked with may panic again.
            std::mem::forget(panic);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    use tokio_util::sync::CancellationToken;

    const CEILING: Duration = Duration::from_secs(30);

    #[test]
    fn jobs_that_block_or_panic_delay_no_other() {
        let hands = Hands::start(2).unwrap();
        let (release, released) = channel::<()>();
        let released = Arc::new(Mutex::new(released));
        for _ in 0..32 {
            let released = Arc::clone(&released);
            hands.give(move || {
                let _ = released.lock().unwrap().recv();
            });
            hands.give(|| panic!("as the test wants it"));
        }
        let (done, is_done) = channel();
        hands.give(move || done.send(()).unwrap());
        is_done.recv_timeout(CEILING).expect("the last job is run");
        drop(release);
    }

    /// No thread can be made when the last idle one takes a job that blocks; later one can.
    #[test]
    fn jobs_go_on_where_once_no_thread_could_be_made() {
        let hands = Hands::start_up_to(1, 1).unwrap();
        let (_release, released) = channel::<()>();
        let (begun, has_begun) = channel();
        hands.give(move || {
            begun.send(()).unwrap();
            let _ = released.recv();
        });
        has_begun.recv_timeout(CEILING).unwrap();
        hands.0.0.lock().threads = 0;
        let (done, is_done) = channel();
        hands.give(move || done.send(()).unwrap());
        is_done.recv_timeout(CEILING).expect("the next job is run");
    }

    #[test]
    fn no_more_threads_block_than_may() {
        let (_release, released) = channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let block = |hands: &Hands| {
            let released = Arc::clone(&released);
            hands.give(move || {
                let _ = released.lock().unwrap().recv();
            });
        };
        let hands = Hands::start(2).unwrap();
        for _ in 0..MOST + 10 {
            block(&hands);
        }
        let (done, is_done) = channel();
        hands.give(move || done.send(()).unwrap());
        assert!(is_done.recv_timeout(CEILING / 100).is_err());
        assert!(hands.0.0.lock().threads <= MOST);
    }

    /// Whoever waits with a waker that blocks or panics.
    struct Bad(bool);

    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            assert!(self.0, "as the test wants it");
            std::thread::sleep(CEILING * 10);
        }
    }

    #[test]
    fn a_waker_that_blocks_or_panics_keeps_the_news_from_nobody() {
        let hands = Hands::start(1).unwrap();
        assert_told_beside_the_bad(&hands, CancellationToken::cancel);
        let by_a_hand = |token: &CancellationToken| {
            let token = token.clone();
            hands.wake(move || token.cancel());
        };
        assert_told_beside_the_bad(&hands, by_a_hand);
    }

    fn assert_told_beside_the_bad(hands: &Hands, cancel: impl Fn(&CancellationToken)) {
        let token = CancellationToken::new();
        let mut bad: Vec<_> = (0..8)
            .map(|nth| {
                let mut waiting =
                    Box::pin(isolated(hands.clone(), token.clone().cancelled_owned()));
                let waker = Waker::from(Arc::new(Bad(nth % 2 == 0)));
                let polled = waiting.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
                waiting
            })
            .collect();
        let (done, is_done) = channel();
        let good = std::thread::spawn({
            let waiting = isolated(hands.clone(), token.clone().cancelled_owned());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            move || {
                runtime.block_on(waiting);
                done.send(()).unwrap();
            }
        });
        // It waits behind the others.
        std::thread::sleep(std::time::Duration::from_millis(20));
        cancel(&token);
        is_done.recv_timeout(CEILING).expect("it is told");
        good.join().unwrap();
        bad.clear();
    }

    fn until(what: &str, condition: &dyn Fn() -> bool) {
        let deadline = Instant::now() + CEILING;
        while !condition() {
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_is_given_away_is_dropped_even_if_that_panics() {
        struct Grenade;
        impl Drop for Grenade {
            fn drop(&mut self) {
                std::panic::panic_any(Bomb);
            }
        }
        /// What the panic carries panics too.
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("as the test wants it");
            }
        }
        let hands = Hands::start(2).unwrap();
        for _ in 0..10 {
            let (done, is_done) = channel();
            hands.discard(Grenade);
            hands.give(move || done.send(()).unwrap());
            is_done.recv_timeout(CEILING).expect("it goes on");
        }
        until("no thread is lost to a panic", &|| {
            hands.0.0.lock().threads == 2
        });
    }

    #[test]
    fn idle_threads_end() {
        let hands = Hands::start(2).unwrap();
        for _ in 0..1000 {
            hands.give(|| ());
        }
        let (done, is_done) = channel();
        hands.give(move || done.send(()).unwrap());
        is_done.recv_timeout(CEILING).unwrap();
        let pool = Arc::clone(&hands.0.0);
        until("no more stay than are to spare", &|| {
            pool.lock().threads == 2
        });
        drop(hands);
        // Whoever gives jobs is gone: so are the threads.
        until("no thread stays", &|| Arc::strong_count(&pool) == 1);
    }
}
