//! The work of a candidate. It does nothing that the library should: what is plain never looks at the term or at the
//! clock, and nobody asks whether the term is current before he writes down a step.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pg_leader::Term;

use super::writer;
use super::{Diary, Seat, Task};
use crate::record::{Entry, Work, now};

/// How long a step of work that computes takes.
const COMPUTES: Duration = Duration::from_millis(2);

/// What listens takes so long to end, in milliseconds: one in three hurries, the others take what they are given.
const ENDS: [Range<u64>; 3] = [0..40, 300..1200, 300..1200];

pub(super) struct Worker {
    seat: Arc<Seat>,
    diary: Diary,
    kind: Work,
    step: Duration,
    pace: Duration,
    looks: bool,
    /// Of many works none may take a processor, however short.
    sparing: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("it was told to fail")]
pub(super) struct ToldToFail;

type Result = std::result::Result<(), ToldToFail>;

/// It hears of the end, and is given time to stop by itself.
pub(super) fn is_graceful(work: Work) -> bool {
    matches!(work, Work::Listens | Work::Blocks | Work::Spawns)
}

impl Worker {
    pub(super) fn new(task: &Task, diary: &Diary, seat: &Arc<Seat>) -> Worker {
        Worker {
            seat: Arc::clone(seat),
            diary: diary.clone(),
            kind: task.work,
            step: task.step,
            pace: task.pace * task.stretch(),
            looks: task.looks,
            sparing: task.stretch() > 1,
        }
    }

    pub(super) async fn work(&self, term: Term) -> Result {
        if self.kind == Work::Idle {
            term.ready();
            return self.until_failure(std::future::pending()).await;
        }
        let steps = Steps::begin(self, &term);
        if self.looks {
            self.seat.watch(&term);
        }
        if let Some(writer) = &self.seat.writer {
            tokio::spawn(writer::write(writer.clone(), term.clone()));
        }
        match self.kind {
            Work::Plain | Work::Idle => {
                term.ready();
                self.until_failure(steps.go_on()).await
            }
            Work::Spins => {
                term.ready();
                match self.sparing {
                    true => self.until_failure(steps.compute_seldom()).await,
                    false => self.until_failure(steps.compute()).await,
                }
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
                let plain = term.spawn(async move { plain.go_on().await });
                let (listening, of) = (Arc::clone(&steps), term.clone());
                let listens = term.spawn(async move { listening.until_told(&of).await });
                term.ready();
                let both = async { drop((plain.await, listens.await)) };
                self.until_failure(both).await
            }
        }
    }

    async fn until_failure(&self, work: impl Future<Output = ()>) -> Result {
        tokio::select! {
            () = work => Ok(()),
            () = self.seat.fails.notified() => Err(ToldToFail),
        }
    }
}

/// The work of a term, from its beginning until the last that has part in it has returned or was dropped.
struct Steps {
    diary: Diary,
    election: String,
    term: i64,
    takes: Duration,
    pace: Duration,
}

impl Steps {
    fn begin(worker: &Worker, term: &Term) -> Arc<Steps> {
        let steps = Steps {
            diary: worker.diary.clone(),
            election: term.election().to_owned(),
            term: term.number(),
            takes: worker.step,
            pace: worker.pace,
        };
        steps.diary.write(&Entry::Began {
            at: now(),
            election: steps.election.clone(),
            term: steps.term,
        });
        Arc::new(steps)
    }

    async fn go_on(&self) {
        loop {
            self.step(now(), || self.take_time());
            tokio::time::sleep(self.pace).await;
        }
    }

    fn take_time(&self) {
        if !self.takes.is_zero() {
            std::thread::sleep(self.takes);
        }
    }

    async fn compute(&self) {
        loop {
            for _ in 0..4 {
                let until = Instant::now() + COMPUTES;
                self.step(now(), || while Instant::now() < until {});
                tokio::task::yield_now().await;
            }
            // It shall not take a processor from all the others.
            tokio::time::sleep(COMPUTES * 4).await;
        }
    }

    async fn compute_seldom(&self) {
        loop {
            let until = Instant::now() + self.takes;
            self.step(now(), || while Instant::now() < until {});
            tokio::time::sleep(self.pace).await;
        }
    }

    async fn until_told(&self, term: &Term) {
        let mut ending = pin!(term.ending());
        tokio::select! {
            () = &mut ending => {}
            () = self.go_on() => {}
        }
        // It finishes what it does, for as long as it is let.
        let ends = ENDS[fastrand::usize(..ENDS.len())].clone();
        let rest = Duration::from_millis(fastrand::u64(ends));
        let _ = tokio::time::timeout(rest, self.go_on()).await;
    }

    /// On a thread that nobody can stop.
    fn until_ending(&self, term: &Term) {
        loop {
            // Before it is asked: who is stopped in between finds his term over.
            let from = now();
            if term.is_ending() {
                return;
            }
            self.step(from, || self.take_time());
            std::thread::sleep(self.pace);
        }
    }

    fn step(&self, from: u64, work: impl FnOnce()) {
        let Diary { address, record } = &self.diary;
        record.step_from(from, address, &self.election, self.term, work);
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let election = self.election.clone();
        self.diary.write(&Entry::Stopped {
            at: now(),
            election,
            term: self.term,
        });
    }
}
