//! The work of a candidate. It does nothing that the library should: what is plain never looks at the term or at the
//! clock, and nobody asks whether the term is current before he writes down a step.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pg_leader::Term;

use super::candidate::Seat;
use super::clock;
use super::log::Log;
use super::writer::{self, Writer};
use crate::judge::history::{Entry, Work};

/// Between two steps.
const PACE: Duration = Duration::from_millis(3);

/// How long a step takes.
const STEP: Duration = Duration::from_micros(500);

/// And one of work that computes.
const COMPUTES: Duration = Duration::from_millis(2);

/// What listens takes so long to end, in milliseconds: one in three hurries, the others take what they are given.
const ENDS: [Range<u64>; 3] = [0..40, 300..1200, 300..1200];

pub(super) struct Worker {
    pub(super) seat: Arc<Seat>,
    pub(super) log: Log,
    pub(super) kind: Work,
    pub(super) writer: Writer,
}

#[derive(Debug, thiserror::Error)]
#[error("it was told to fail")]
pub(super) struct ToldToFail;

type Result = std::result::Result<(), ToldToFail>;

pub(super) fn parse(name: &str) -> std::result::Result<Work, serde_json::Error> {
    serde_json::from_value(name.into())
}

impl Worker {
    pub(super) async fn work(&self, term: Term) -> Result {
        self.seat.fails.store(false, Ordering::SeqCst);
        let steps = Steps::begin(&self.log, &term);
        self.seat.watch(&term);
        tokio::spawn(writer::write(self.writer.clone(), term.clone()));
        match self.kind {
            Work::Plain => {
                term.ready();
                self.until_failure(steps.go_on(PACE)).await
            }
            Work::Spins => {
                term.ready();
                self.until_failure(steps.compute()).await
            }
            Work::Listens => {
                let ends = steps.until_told(&term);
                term.ready();
                self.until_failure(ends).await
            }
            Work::Blocks => {
                let asked = term.clone();
                let steps = Arc::clone(&steps);
                let thread = term.spawn_blocking(move || steps.until_ending(&asked));
                term.ready();
                self.until_failure(async { drop(thread.await) }).await
            }
            Work::Spawns => {
                let plain = Arc::clone(&steps);
                let plain = term.spawn(async move { plain.go_on(PACE).await });
                let (listening, of) = (Arc::clone(&steps), term.clone());
                let listens = term.spawn(async move { listening.until_told(&of).await });
                term.ready();
                let both = async { drop((plain.await, listens.await)) };
                self.until_failure(both).await
            }
        }
    }

    async fn until_failure(&self, work: impl Future<Output = ()>) -> Result {
        let told = async {
            while !self.seat.fails.swap(false, Ordering::SeqCst) {
                tokio::time::sleep(PACE).await;
            }
        };
        tokio::select! {
            () = work => Ok(()),
            () = told => Err(ToldToFail),
        }
    }
}

/// The work of a term, from its beginning until the last that has part in it has returned or was dropped.
struct Steps {
    log: Log,
    election: String,
    term: u64,
}

impl Steps {
    fn begin(log: &Log, term: &Term) -> Arc<Steps> {
        let steps = Steps {
            log: log.clone(),
            election: term.election().to_owned(),
            term: term.number(),
        };
        log.write(&Entry::Began {
            at: clock::now(),
            election: steps.election.clone(),
            term: steps.term,
        });
        Arc::new(steps)
    }

    async fn go_on(&self, pace: Duration) {
        loop {
            self.step(clock::now(), || std::thread::sleep(STEP));
            tokio::time::sleep(pace).await;
        }
    }

    async fn compute(&self) {
        loop {
            for _ in 0..4 {
                let until = Instant::now() + COMPUTES;
                self.step(clock::now(), || while Instant::now() < until {});
                tokio::task::yield_now().await;
            }
            // It shall not take a processor from all the others.
            tokio::time::sleep(COMPUTES * 4).await;
        }
    }

    async fn until_told(&self, term: &Term) {
        let mut deposed = pin!(term.deposed());
        tokio::select! {
            () = &mut deposed => {}
            () = self.go_on(PACE) => {}
        }
        // It finishes what it does, for as long as it is let.
        let ends = ENDS[fastrand::usize(..ENDS.len())].clone();
        let rest = Duration::from_millis(fastrand::u64(ends));
        let _ = tokio::time::timeout(rest, self.go_on(PACE)).await;
    }

    /// On a thread that nobody can stop.
    fn until_ending(&self, term: &Term) {
        loop {
            // Before it is asked: who is stopped in between finds his term over.
            let from = clock::now();
            if term.is_ending() {
                return;
            }
            self.step(from, || std::thread::sleep(STEP));
            std::thread::sleep(PACE);
        }
    }

    fn step(&self, from: u64, work: impl FnOnce()) {
        work();
        let (to, election) = (clock::now(), self.election.clone());
        self.log.write(&Entry::Step {
            from,
            to,
            election,
            term: self.term,
        });
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let election = self.election.clone();
        self.log.write(&Entry::Stopped {
            at: clock::now(),
            election,
            term: self.term,
        });
    }
}
