//! The work of the tests. None of it does what the library should: it asks neither whether its term is current
//! nor what time it is, and where its kind does not say otherwise only `Drop` ends it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use pg_leader::Term;

use super::record::Record;

pub type Work = Pin<Box<dyn Future<Output = Result<(), std::io::Error>> + Send>>;

/// Between two steps.
const REST: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `loop { write; sleep }`.
    Steady,
    /// The same, and it returns when it is told of the end.
    Listening,
    /// It listens, by a waker that blocks, and heeds nothing; its steps are those of `Parked`.
    Stubborn,
    /// Its steps are those of a thread, which ends when the future is dropped. The future itself is polled once.
    Parked,
    /// It sleeps on its thread and never gives that back.
    Blocking,
    /// The same, and it does not even sleep.
    Spinning,
    /// What it spawns by its term works, a task and a thread; the thread listens.
    Spawning,
    /// What it spawns by its term never gives its thread back.
    SpawningBlocking,
}

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::Steady,
        Kind::Listening,
        Kind::Stubborn,
        Kind::Parked,
        Kind::Blocking,
        Kind::Spinning,
        Kind::Spawning,
        Kind::SpawningBlocking,
    ];

    /// Only `Overrun::Abort` ends it.
    pub fn needs_abort(self) -> bool {
        matches!(
            self,
            Kind::Blocking | Kind::Spinning | Kind::SpawningBlocking
        )
    }

    /// It is given time to stop by itself.
    pub fn is_graceful(self) -> bool {
        matches!(self, Kind::Listening | Kind::Stubborn | Kind::Spawning)
    }

    /// It needs no timer of the runtime that it runs on.
    pub fn needs_no_timers(self) -> bool {
        matches!(self, Kind::Parked | Kind::Stubborn)
    }
}

/// Steps in memory or in a file, one after the other.
pub fn steady(record: &Arc<Record>) -> impl FnMut(Term) -> Work + Send + use<> {
    of(Kind::Steady, record)
}

pub fn of(kind: Kind, record: &Arc<Record>) -> impl FnMut(Term) -> Work + Send + use<> {
    let record = Arc::clone(record);
    move |term| {
        let record = Arc::clone(&record);
        Box::pin(async move {
            match kind {
                Kind::Steady => {
                    term.ready();
                    step_on(record, term.address().to_owned(), term.number()).await
                }
                Kind::Listening => {
                    let steps = step_on(record, term.address().to_owned(), term.number());
                    term.ready();
                    tokio::select! {
                        () = term.ending() => Ok(()),
                        done = steps => done,
                    }
                }
                Kind::Stubborn => {
                    let _stepping = Stepping::start(&record, &term);
                    term.ready();
                    let mut ending = Box::pin(term.ending());
                    let waker = Waker::from(Arc::new(Stuck));
                    let told = ending.as_mut().poll(&mut Context::from_waker(&waker));
                    assert!(told.is_pending());
                    std::future::pending().await
                }
                Kind::Parked => {
                    let _stepping = Stepping::start(&record, &term);
                    term.ready();
                    std::future::pending().await
                }
                Kind::Blocking => {
                    term.ready();
                    loop {
                        record.step(term.address(), term.number());
                    }
                }
                Kind::Spinning => {
                    term.ready();
                    loop {
                        record.spin(term.address(), term.number());
                    }
                }
                Kind::Spawning => spawn(&record, &term).await,
                Kind::SpawningBlocking => {
                    let (address, number) = (term.address().to_owned(), term.number());
                    let child = term.spawn_blocking(move || {
                        loop {
                            record.step(&address, number);
                        }
                    });
                    term.ready();
                    let _: Result<(), _> = child.await;
                    Ok(())
                }
            }
        })
    }
}

async fn spawn(record: &Arc<Record>, term: &Term) -> std::io::Result<()> {
    let (address, number) = (term.address().to_owned(), term.number());
    drop(term.spawn(step_on(Arc::clone(record), address, number)));
    let thread = steps_until_told(record, term, 0);
    let thread = term.spawn_blocking(thread);
    term.ready();
    let _ = thread.await;
    Ok(())
}

/// Steps until the end is told, and so many more.
pub fn steps_until_told(
    record: &Arc<Record>,
    term: &Term,
    to_put_away: usize,
) -> impl FnOnce() + Send + 'static {
    let (record, term) = (Arc::clone(record), term.clone());
    move || {
        while !term.is_ending() {
            record.step(term.address(), term.number());
        }
        for _ in 0..to_put_away {
            record.step(term.address(), term.number());
        }
    }
}

/// `loop { write; sleep }`.
pub async fn step_on(record: Arc<Record>, address: String, term: i64) -> std::io::Result<()> {
    loop {
        record.step(&address, term);
        tokio::time::sleep(REST).await;
    }
}

/// Whoever wakes it is kept.
struct Stuck;

impl Wake for Stuck {
    fn wake(self: Arc<Self>) {
        std::thread::sleep(super::CEILING);
    }
}

/// Steps on a thread until it is dropped, and waits until the last one is done.
struct Stepping {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stepping {
    fn start(record: &Arc<Record>, term: &Term) -> Stepping {
        let over = Arc::new(AtomicBool::new(false));
        let (record, address, number) =
            (Arc::clone(record), term.address().to_owned(), term.number());
        let thread = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                while !over.load(Ordering::SeqCst) {
                    record.step(&address, number);
                }
            }
        });
        Stepping {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Stepping {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Holds back work that blocks its thread, step after step. A test that fails must not wait for ever for that thread, so it
/// is let go when this is dropped, too.
pub struct Release(Arc<AtomicBool>);

impl Release {
    pub fn new() -> Release {
        Release(Arc::default())
    }

    /// Then it pends: work that returns at once would lead for less time than lies between two looks at it.
    pub fn work(
        &self,
        record: &Arc<Record>,
    ) -> impl FnMut(Term) -> std::future::Pending<Result<(), std::io::Error>> + Send + 'static + use<>
    {
        let (let_go, record) = (Arc::clone(&self.0), Arc::clone(record));
        move |term: Term| {
            term.ready();
            while !let_go.load(Ordering::SeqCst) {
                record.step(term.address(), term.number());
            }
            std::future::pending()
        }
    }

    pub fn let_go(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        self.let_go();
    }
}
