//! Threads for what is not ours to run: wakers, spawning on the application's runtime, dropping what the
//! application gave away. All of it may block, panic or take for ever, and the driver's thread must not.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

type Job = Box<dyn FnOnce() + Send>;

/// So many jobs may block at once; further ones wait for one of them to end.
const MOST: usize = 256;

/// Takes jobs and runs them soon, whichever of the others block. The threads end with it.
#[derive(Clone, Debug)]
pub(crate) struct Hands(Sender<Job>);

struct Pool {
    /// Whoever has this waits for the next job; the other idle threads wait for this.
    jobs: Mutex<Receiver<Job>>,
    /// So many threads keep waiting for jobs.
    spare: usize,
    threads: AtomicUsize,
    idle: AtomicUsize,
}

impl Hands {
    /// With so many threads as keep waiting for jobs.
    pub(crate) fn start(spare: usize) -> io::Result<Hands> {
        let (sender, jobs) = channel();
        let pool = Arc::new(Pool {
            jobs: Mutex::new(jobs),
            spare,
            threads: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
        });
        for _ in 0..spare {
            pool.grow()?;
        }
        Ok(Hands(sender))
    }

    /// Never waits. Jobs are begun in this order, but the next does not wait for the one before.
    pub(crate) fn give(&self, job: impl FnOnce() + Send + 'static) {
        // The threads live as long as any `Hands`.
        let _ = self.0.send(Box::new(job));
    }

    /// Drop something that the application made.
    pub(crate) fn discard(&self, thing: impl Send + 'static) {
        self.give(move || drop(thing));
    }
}

impl Pool {
    fn grow(self: &Arc<Self>) -> io::Result<()> {
        self.threads.fetch_add(1, Ordering::Relaxed);
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
            let last = self.idle.fetch_sub(1, Ordering::Relaxed) == 1;
            if last && self.threads.load(Ordering::Relaxed) < MOST {
                // Without a thread more the next job waits for this one.
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
