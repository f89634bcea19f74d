//! Threads for what is not ours to run: wakers, spawning on the application's runtime, dropping what the
//! application gave away. All of it may block, panic or take for ever, and the driver's thread must not.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

type Job = Box<dyn FnOnce() + Send>;

/// So many jobs may block at once; further ones wait for one of them to end.
const MOST: usize = 256;

/// Takes jobs and runs them soon, whichever of the others block. The threads end with it.
#[derive(Clone, Debug)]
pub(crate) struct Hands {
    jobs: Sender<Job>,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    /// Whoever has this waits for the next job; the other idle threads wait for this.
    jobs: Mutex<Receiver<Job>>,
    /// So many threads keep waiting for jobs.
    spare: usize,
    /// There are never more.
    most: usize,
    threads: AtomicUsize,
    idle: AtomicUsize,
}

impl Hands {
    /// With so many threads as keep waiting for jobs.
    pub(crate) fn start(spare: usize) -> io::Result<Hands> {
        Hands::start_up_to(spare, MOST)
    }

    /// For jobs of which only so many can be under way as whoever gives them allows.
    pub(crate) fn without_limit(spare: usize) -> io::Result<Hands> {
        Hands::start_up_to(spare, usize::MAX)
    }

    fn start_up_to(spare: usize, most: usize) -> io::Result<Hands> {
        let (sender, jobs) = channel();
        let pool = Arc::new(Pool {
            jobs: Mutex::new(jobs),
            spare,
            most,
            threads: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
        });
        for _ in 0..spare {
            pool.grow()?;
        }
        Ok(Hands { jobs: sender, pool })
    }

    /// Never waits. Jobs are begun in this order, but the next does not wait for the one before.
    pub(crate) fn give(&self, job: impl FnOnce() + Send + 'static) {
        // The threads live as long as any `Hands`.
        let _ = self.jobs.send(Box::new(job));
        if self.pool.idle.load(Ordering::Relaxed) == 0 {
            // The last one may have blocked at a time when no thread could be made.
            let _ = self.pool.grow();
        }
    }

    /// Drop something that the application made.
    pub(crate) fn discard(&self, thing: impl Send + 'static) {
        self.give(move || drop(thing));
    }
}

impl Pool {
    fn grow(self: &Arc<Self>) -> io::Result<()> {
        if self.threads.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.threads.fetch_sub(1, Ordering::Relaxed);
            return Ok(());
        }
        self.idle.fetch_add(1, Ordering::Relaxed);
        let pool = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("pg-leader-hand".to_owned())
            .spawn(move || pool.work());
        if spawned.is_err() {
            self.idle.fetch_sub(1, Ordering::Relaxed);
            self.threads.fetch_sub(1, Ordering::Relaxed);
        }
        spawned.map(drop)
    }

    fn work(self: Arc<Self>) {
        loop {
            let job = {
                let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
                jobs.recv()
            };
            let Ok(job) = job else { return };
            if self.idle.fetch_sub(1, Ordering::Relaxed) == 1 {
                // Without a thread more the next job waits for this one, or for the next that is given.
                let _ = self.grow();
            }
            quietly(job);
            if self.idle.fetch_add(1, Ordering::Relaxed) >= self.spare {
                self.idle.fetch_sub(1, Ordering::Relaxed);
                self.threads.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// Wakes somebody by a hand.
struct Aside {
    theirs: Waker,
    hands: Hands,
}

impl Wake for Aside {
    fn wake(self: Arc<Self>) {
        let hands = self.hands.clone();
        hands.give(move || self.theirs.wake_by_ref());
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
    use std::time::{Duration, Instant};

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
        hands.pool.threads.store(0, Ordering::SeqCst);
        let (done, is_done) = channel();
        hands.give(move || done.send(()).unwrap());
        is_done.recv_timeout(CEILING).expect("the next job is run");
    }

    #[test]
    fn there_is_a_limit_where_there_is_one() {
        let (_release, released) = channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let block = |hands: &Hands| {
            let released = Arc::clone(&released);
            hands.give(move || {
                let _ = released.lock().unwrap().recv();
            });
        };
        for (hands, goes_on) in [
            (Hands::start(2).unwrap(), false),
            (Hands::without_limit(2).unwrap(), true),
        ] {
            for _ in 0..MOST + 10 {
                block(&hands);
            }
            let (done, is_done) = channel();
            hands.give(move || done.send(()).unwrap());
            let limit = if goes_on { CEILING } else { CEILING / 100 };
            assert_eq!(is_done.recv_timeout(limit).is_ok(), goes_on);
            assert!(goes_on || hands.pool.threads.load(Ordering::SeqCst) <= MOST);
        }
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
        let token = tokio_util::sync::CancellationToken::new();
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
        token.cancel();
        is_done.recv_timeout(CEILING).expect("it is told");
        good.join().unwrap();
        bad.clear();
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
        let (done, is_done) = channel();
        hands.discard(Grenade);
        hands.give(move || done.send(()).unwrap());
        is_done.recv_timeout(CEILING).expect("it goes on");
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
        let pool = Arc::new(Pool {
            jobs: Mutex::new(channel().1),
            spare: 2,
            most: MOST,
            threads: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
        });
        // Whoever gives jobs is gone: so are the threads.
        pool.grow().unwrap();
        let deadline = Instant::now() + CEILING;
        while Arc::strong_count(&pool) > 1 {
            assert!(Instant::now() < deadline, "a thread stays");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
