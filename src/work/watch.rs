//! Two threads that see to it that work stops in time, also when the driver is dead or stands still.
//!
//! They share no lock with the driver, nor with anything that runs foreign code, and run none: to wake a
//! task of the work runs its runtime's waker, which is not the application's. Others who wait for the end of
//! a term are told by other hands, which may block. Only where `Overrun::Abort` is asked for there is
//! the second one. It wakes nobody, waits for nobody, and ends the process.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, Thread};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::term_state::TermState;
use crate::clock;
use crate::config::Overrun;
use crate::engine::{Demand, Instant, Timings};
use crate::foreign::hands::Hands;
use crate::foreign::panics;
use crate::platform::process;

#[derive(Debug)]
pub(crate) struct Watch {
    /// Those whose work has not stopped, as far as is known.
    terms: ArcSwap<Vec<Arc<TermState>>>,
    /// Its own: it must not wait for a driver that was stopped while it gave a job.
    pub(crate) hands: Hands,
    /// Timers stand still while the machine is suspended, deadlines do not: so often the clock is looked at while
    /// anything works.
    tick: Duration,
    overrun: Overrun,
    /// From the drop of the work to the last words, which come a little sooner than the end.
    until_words: Duration,
    /// How long the end waits for them where both are due at once, as in a process that stood still.
    patience: Duration,
    /// Whether the last words are said, once they are due.
    words: ArcSwapOption<AtomicBool>,
    write: fn(&str),
    closed: AtomicBool,
    watching: OnceLock<Thread>,
    aborting: OnceLock<Thread>,
}

/// While it lives terms may begin. Afterwards the threads end with the last work.
pub(crate) struct Open(pub(crate) Arc<Watch>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.look();
        if let Some(thread) = self.0.aborting.get() {
            thread.unpark();
        }
    }
}

impl Watch {
    pub(crate) fn start(timings: &Timings, overrun: Overrun) -> io::Result<Open> {
        Watch::start_with(timings, overrun, process::write_to_stderr)
    }

    /// `write` takes the last words.
    fn start_with(timings: &Timings, overrun: Overrun, write: fn(&str)) -> io::Result<Open> {
        let open = Open(Arc::new(Watch {
            terms: ArcSwap::default(),
            hands: Hands::start(2)?,
            tick: timings.watch_tick(),
            overrun,
            until_words: timings.last_words(),
            patience: timings.last_words_limit(),
            words: ArcSwapOption::default(),
            write,
            closed: AtomicBool::new(false),
            watching: OnceLock::new(),
            aborting: OnceLock::new(),
        }));
        let start = |name: &str, run: fn(&Watch)| {
            let watch = Arc::clone(&open.0);
            let thread = Builder::new().name(name.to_owned());
            Ok::<Thread, io::Error>(thread.spawn(move || run(&watch))?.thread().clone())
        };
        let _ = open.0.watching.set(start("pg-leader-watch", Watch::watch)?);
        if overrun == Overrun::Abort {
            let _ = open.0.aborting.set(start("pg-leader-abort", Watch::abort)?);
        }
        Ok(open)
    }

    /// Before any work of the term begins.
    pub(crate) fn add(&self, term: &Arc<TermState>) {
        self.terms.rcu(|terms| {
            let mut terms = Vec::clone(terms);
            terms.push(Arc::clone(term));
            terms
        });
        self.look();
        if let Some(thread) = self.aborting.get() {
            thread.unpark();
        }
    }

    /// Something has changed that the work must be told.
    pub(crate) fn look(&self) {
        if let Some(thread) = self.watching.get() {
            thread.unpark();
        }
    }

    fn watch(&self) {
        self.again_and_again(Watch::tell);
    }

    fn abort(&self) {
        self.again_and_again(Watch::end_what_outlives);
    }

    /// `look`, as long as there is anything to look at; it says when it must look again, beside each tick.
    fn again_and_again(&self, look: fn(&Watch, Instant) -> Option<Instant>) {
        panics::keep_to_this_thread();
        loop {
            let now = clock::now();
            // Whoever stops looking keeps no work from running on. At the next tick it looks again.
            let next = catch_unwind(AssertUnwindSafe(|| look(self, now)));
            let next = next.unwrap_or_else(|panic| {
                let words = format!("pg-leader: a watch panicked: {}\n", panics::words(panic));
                let write = self.write;
                self.hands.give(move || write(&words));
                Some(now + self.tick)
            });
            if !self.wait(now, next) {
                return;
            }
        }
    }

    fn tell(&self, now: Instant) -> Option<Instant> {
        let terms = self.terms.load_full();
        let next = terms.iter().map(|term| {
            let words_at = self.words_at(term, now);
            term.look(now).min(if now < words_at {
                words_at
            } else {
                Instant::NEVER
            })
        });
        let next = next.min();
        for term in terms.iter().filter(|term| term.must_tell()) {
            // The wakers of those who wait for its end are foreign. Each who waits for `ending` is woken by a hand
            // of its own; those who wait for a token are woken by the token.
            for token in [&term.cancelled, &term.tokens] {
                let token = token.clone();
                self.hands.give(move || token.cancel());
            }
        }
        self.say_last_words(&terms, now);
        // None is forgotten before those who wait for its end are told.
        let lives = |term: &&Arc<TermState>| !(term.over.load(Ordering::Acquire) && term.is_told());
        if !terms.iter().all(|term| lives(&term)) {
            (self.terms).rcu(|terms| Vec::from_iter(terms.iter().filter(lives).cloned()));
        }
        next
    }

    fn end_what_outlives(&self, now: Instant) -> Option<Instant> {
        let terms = self.terms.load();
        let running = || {
            terms
                .iter()
                .filter(|term| !term.over.load(Ordering::Acquire))
        };
        if running().any(|term| term.leash(now).demand(now, true) == Demand::Abort) {
            self.end_process();
        }
        running().map(|term| term.leash(now).abort_at()).min()
    }

    /// Until `next`, a tick has passed, or something has changed. False when there is nothing left to do.
    fn wait(&self, now: Instant, next: Option<Instant>) -> bool {
        match next {
            Some(next) => std::thread::park_timeout(next.since(now).min(self.tick)),
            None if !self.terms.load().is_empty() => std::thread::park_timeout(self.tick),
            None if self.closed.load(Ordering::Acquire) => return false,
            None => std::thread::park(),
        }
        true
    }

    fn words_at(&self, term: &TermState, now: Instant) -> Instant {
        match self.overrun {
            Overrun::Report => Instant::NEVER,
            Overrun::Abort => term.session.rule(now).drop_at() + self.until_words,
        }
    }

    /// By a hand, for they may block: nobody reads what this process writes.
    fn say_last_words(&self, terms: &[Arc<TermState>], now: Instant) {
        let due = terms.iter().find(|term| {
            let running = !term.over.load(Ordering::Acquire);
            running && term.session.is_over(now) && now >= self.words_at(term, now)
        });
        let Some(term) = due else {
            // The work has ended after all. The next one's words are its own.
            return self.words.store(None);
        };
        if self.words.load().is_some() {
            return;
        }
        let said = Arc::new(AtomicBool::new(false));
        self.words.store(Some(Arc::clone(&said)));
        let words = format!(
            "pg-leader: the work of election {:?}, term {}, outlives its lease: ending the process\n",
            term.election, term.number
        );
        let write = self.write;
        self.hands.give(move || {
            write(&words);
            said.store(true, Ordering::Release);
        });
    }

    /// Once its last words are said, or have had their time.
    pub(crate) fn end_process(&self) -> ! {
        self.look();
        let until = clock::now() + self.patience;
        let said = || {
            let words = self.words.load();
            words
                .as_ref()
                .is_some_and(|said| said.load(Ordering::Acquire))
        };
        while !said() && clock::now() < until {
            std::thread::yield_now();
        }
        process::end()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::sync::atomic::AtomicUsize;
    use std::task::Context;

    use super::*;
    use crate::work::shared_leash::SharedLeash;

    fn timings(lease: Duration) -> Timings {
        Timings::new(lease, lease, Timings::DEFAULT_GRACE).expect("it is coherent")
    }

    fn term(name: &str, leash: SharedLeash) -> Arc<TermState> {
        let socket: Arc<OwnedFd> = Arc::new(std::io::pipe().expect("a pipe").0.into());
        let hands = Hands::start(1).expect("a thread");
        let leash = Arc::new(leash);
        TermState::new(
            &name.into(),
            1,
            "token".into(),
            &leash,
            &socket,
            &hands,
            false,
        )
    }

    fn until(what: &str, condition: impl Fn() -> bool) {
        let deadline = clock::now() + Duration::from_secs(30);
        while !condition() {
            assert!(clock::now() < deadline, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// They block for ever, but the work ends in time, and the process lives on.
    #[test]
    fn last_words_that_block_keep_the_end_of_no_other_term_from_those_who_wait() {
        static SAID: AtomicUsize = AtomicUsize::new(0);
        let block = |_: &str| {
            SAID.fetch_add(1, Ordering::SeqCst);
            loop {
                std::thread::park();
            }
        };
        let watch = Watch::start_with(&timings(Duration::from_millis(200)), Overrun::Abort, block);
        let open = watch.expect("threads");
        let watch = &open.0;
        for nth in 1..=3 {
            // Lost, and far from the end of the process.
            let mut timings = timings(Duration::from_millis(200));
            timings.aborted = Duration::from_secs(3600);
            let outlives = term("outlives", SharedLeash::new(&timings, clock::now()));
            outlives.session.end();
            watch.add(&outlives);
            until("its last words are said", || {
                SAID.load(Ordering::SeqCst) == nth
            });
            let other = term("other", SharedLeash::new(&timings, clock::now()));
            watch.add(&other);
            other.session.end();
            watch.look();
            until("its end is told", || other.cancelled.is_cancelled());
            for term in [outlives, other] {
                term.over.store(true, Ordering::Release);
            }
            watch.look();
            until("both are forgotten", || watch.terms.load().is_empty());
        }
    }

    fn quiet() -> Open {
        Watch::start_with(&timings(HOUR), Overrun::Report, |_| ()).expect("threads")
    }

    /// The longest lease.
    const HOUR: Duration = Duration::from_secs(3600);

    /// Nobody tells the watch: that is how a machine looks that was suspended.
    #[test]
    fn a_deadline_that_has_passed_is_soon_noticed_however_long_the_lease_is() {
        let open = quiet();
        let suspended = term("suspended", SharedLeash::new(&timings(HOUR), clock::now()));
        open.0.add(&suspended);
        std::thread::sleep(Duration::from_millis(50));
        assert!(!suspended.cancelled.is_cancelled());
        suspended.session.end();
        let began = clock::now();
        until("its end is told", || suspended.cancelled.is_cancelled());
        assert!(clock::now().since(began) < HOUR / 500);
        suspended.over.store(true, Ordering::Release);
    }

    struct Panics;

    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("as the test wants it");
        }
    }

    #[test]
    fn a_watch_that_panics_looks_again() {
        static SAID: AtomicUsize = AtomicUsize::new(0);
        let say = |_: &str| {
            SAID.fetch_add(1, Ordering::SeqCst);
        };
        let open = Watch::start_with(&timings(HOUR), Overrun::Report, say).expect("threads");
        let terms = [(); 3].map(|()| term("e", SharedLeash::new(&timings(HOUR), clock::now())));
        for term in &terms {
            term.lead().waker.register(&Arc::new(Panics).into());
            open.0.add(term);
        }
        for term in &terms {
            term.session.end();
        }
        open.0.look();
        for term in &terms {
            until("its end is told", || term.cancelled.is_cancelled());
            term.over.store(true, Ordering::Release);
        }
        until("each panic is said", || SAID.load(Ordering::SeqCst) == 3);
        open.0.look();
        until("all are forgotten", || open.0.terms.load().is_empty());
    }

    #[test]
    fn whoever_waits_for_an_end_is_told_whoever_else_waits() {
        struct Blocks;
        impl std::task::Wake for Blocks {
            fn wake(self: Arc<Self>) {
                std::thread::sleep(HOUR);
            }
        }
        let open = quiet();
        let term = term("e", SharedLeash::new(&timings(HOUR), clock::now()));
        open.0.add(&term);
        let mut waiting = vec![];
        for waker in [Arc::new(Blocks).into(), Arc::new(Panics).into()] {
            for _ in 0..2 {
                let mut ending = Box::pin(Arc::clone(&term).ending());
                let polled = ending.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
                waiting.push(ending);
            }
        }
        let (token, ending) = (term.tokens.child_token(), Arc::clone(&term).ending());
        let (told, is_told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(ending);
            told.send(())
        });
        // It waits behind the others.
        std::thread::sleep(Duration::from_millis(20));
        term.session.end();
        let ceiling = Duration::from_secs(30);
        is_told.recv_timeout(ceiling).expect("it is told");
        until("the token is cancelled", || token.is_cancelled());
        term.over.store(true, Ordering::Release);
    }
}
