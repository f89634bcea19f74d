//! What may hang, with a limit: reading files, asking the application's hook for credentials.

use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::foreign::hands::quietly;

/// So many threads of one [`Threads`] may be under way, those that hang among them. A further try fails at once. Above
/// what electors that start together from one configuration need.
const MOST: usize = 64;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    Late(Duration),
    Panicked,
    Hung(usize),
    NoThread,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absent::Late(what) => write!(f, "it did not come back within {what:?}"),
            Absent::Panicked => f.write_str("it panicked"),
            Absent::Hung(what) => write!(f, "{what} earlier tries have not come back"),
            Absent::NoThread => f.write_str("no thread can be started"),
        }
    }
}

impl std::error::Error for Absent {}

/// What one configuration may leave behind: a disk that hangs for one elector is not the others'.
#[derive(Clone, Default)]
pub(crate) struct Threads(Arc<AtomicUsize>);

/// One of those threads, counted as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Result<Counted, Absent> {
        let counted = Counted(Arc::clone(count));
        let before = count.fetch_add(1, Ordering::Relaxed);
        if before >= MOST {
            return Err(Absent::Hung(before));
        }
        Ok(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Run what may block on a thread of its own, and go on without it when that takes too long.
pub(crate) async fn run<T: Send + 'static>(
    threads: &Threads,
    limit: Duration,
    what: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Absent> {
    let counted = Counted::new(&threads.0)?;
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new()
        .name("pg-leader-read".to_owned())
        .spawn(move || {
            let _counted = counted;
            let ran = catch_unwind(AssertUnwindSafe(what));
            let _ = answer.send(ran.map_err(|_| Absent::Panicked));
        })
        .map_err(|_| Absent::NoThread)?;
    let answer = tokio::time::timeout(limit, answered).await;
    answer
        .map_err(|_| Absent::Late(limit))?
        .unwrap_or(Err(Absent::Panicked))
}

type Ask<T> = dyn Fn() -> BoxFuture<'static, T> + Send + Sync;
type Asking<T> = oneshot::Sender<Result<T, Absent>>;
type Calls<T> = mpsc::UnboundedSender<Asking<T>>;

/// Something of the application's that is asked again and again. It has a thread and a runtime of its own,
/// which last, so that what it keeps there goes on between the calls. Where it hangs it gets new ones.
pub(crate) struct Oracle<T: Send + 'static> {
    ask: Arc<Ask<T>>,
    thread: Mutex<Option<Calls<T>>>,
    count: Arc<AtomicUsize>,
}

/// An answer that nobody takes any more is dropped on a thread of its own: it is the application's.
struct Answered<T: Send + 'static>(oneshot::Receiver<Result<T, Absent>>);

impl<T: Send + 'static> Drop for Answered<T> {
    fn drop(&mut self) {
        self.0.close();
        if let Ok(Ok(answer)) = self.0.try_recv() {
            // Without such a thread it is left undropped.
            let answer = ManuallyDrop::new(answer);
            let thread = std::thread::Builder::new().name("pg-leader-hand".to_owned());
            let _ = thread.spawn(move || quietly(|| drop(ManuallyDrop::into_inner(answer))));
        }
    }
}

impl<T: Send + 'static> Oracle<T> {
    pub(crate) fn new<F>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        Oracle {
            ask: Arc::new(move || ask().boxed()),
            thread: Mutex::new(None),
            count: Arc::default(),
        }
    }

    pub(crate) async fn ask(&self, limit: Duration) -> Result<T, Absent> {
        let (answer, answered) = oneshot::channel();
        let mut answered = Answered(answered);
        if self.thread(limit)?.send(answer).is_err() {
            *self.lock() = None;
            return Err(Absent::NoThread);
        }
        // Later than the thread itself, which goes on where only the answer is late.
        let given_up_after = limit + limit / 10;
        match tokio::time::timeout(given_up_after, &mut answered.0).await {
            Ok(Ok(answer)) => answer,
            late => {
                *self.lock() = None;
                Err(late.map_or(Absent::Late(limit), |_| Absent::Panicked))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Calls<T>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn thread(&self, limit: Duration) -> Result<Calls<T>, Absent> {
        let mut thread = self.lock();
        if let Some(calls) = &*thread {
            return Ok(calls.clone());
        }
        let counted = Counted::new(&self.count)?;
        let (calls, mut called) = mpsc::unbounded_channel::<Asking<T>>();
        let ask = Arc::clone(&self.ask);
        std::thread::Builder::new()
            .name("pg-leader-hook".to_owned())
            .spawn(move || {
                let _counted = counted;
                // Made here: where no thread can be made it would be dropped inside another one.
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let Ok(runtime) = runtime else {
                    let _ = called
                        .blocking_recv()
                        .map(|answer| answer.send(Err(Absent::NoThread)));
                    return;
                };
                let serve = async {
                    while let Some(answer) = called.recv().await {
                        let asked = AssertUnwindSafe(async { ask().await }).catch_unwind();
                        let asked = match tokio::time::timeout(limit, asked).await {
                            Ok(asked) => asked.map_err(|_| Absent::Panicked),
                            Err(_) => Err(Absent::Late(limit)),
                        };
                        let _ = answer.send(asked);
                    }
                };
                runtime.block_on(serve);
                quietly(move || drop(ask));
                runtime.shutdown_background();
            })
            .map_err(|_| Absent::NoThread)?;
        *thread = Some(calls.clone());
        Ok(calls)
    }
}

impl<T: Send + 'static> fmt::Debug for Oracle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oracle").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::task::Context;
    use std::thread::ThreadId;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    const LIMIT: Duration = Duration::from_millis(20);

    /// Jobs that hang until the sender is dropped.
    fn hanging() -> (Sender<()>, impl Fn() + Clone + Send + Sync + 'static) {
        let (release, released) = channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let hang = move || {
            let released = released.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = released.recv();
        };
        (release, hang)
    }

    /// However often it is tried, there are no more threads than that; and once they come back it goes on.
    async fn assert_bounded<F: Future<Output = Result<(), Absent>>>(
        release: Sender<()>,
        again: impl Fn() -> F,
    ) {
        for _ in 0..MOST {
            assert_eq!(again().await, Err(Absent::Late(LIMIT)));
        }
        for _ in 0..3 {
            assert_eq!(again().await, Err(Absent::Hung(MOST)));
        }
        drop(release);
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while let Err(absent) = again().await {
            assert!(std::time::Instant::now() < deadline, "{absent}");
        }
    }

    #[tokio::test]
    async fn what_hangs_is_left_behind_so_many_times_and_no_more() {
        let (release, hang) = hanging();
        let (room, other) = (Threads::default(), Threads::default());
        let ran = async || {
            let ran = run(&room, LIMIT, hang.clone()).await;
            assert_eq!(
                run(&other, Duration::from_secs(30), || 7).await,
                Ok(7),
                "another's room"
            );
            ran
        };
        assert_bounded(release, ran).await;
    }

    #[tokio::test]
    async fn a_hook_that_hangs_gets_so_many_threads_and_no_more() {
        let (release, hang) = hanging();
        let oracle = Oracle::new(move || {
            hang();
            async {}
        });
        assert_bounded(release, || oracle.ask(LIMIT)).await;
    }

    #[tokio::test]
    async fn a_hook_that_hung_is_asked_on_another_thread() {
        let (release, hang) = hanging();
        let asked = AtomicUsize::new(0);
        let oracle = Oracle::new(move || {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            let hang = hang.clone();
            async move {
                if first {
                    hang();
                }
            }
        });
        assert_eq!(oracle.ask(LIMIT).await, Err(Absent::Late(LIMIT)));
        assert_eq!(oracle.ask(Duration::from_secs(10)).await, Ok(()));
        drop(release);
    }

    /// What it keeps on its thread goes on between the calls, also where an answer is late.
    #[tokio::test]
    async fn a_hook_keeps_its_thread_while_that_does_not_hang() {
        let oracle = Oracle::new(|| async {
            let thread = std::thread::current().id();
            tokio::time::sleep(Duration::ZERO).await;
            thread
        });
        let limit = Duration::from_secs(30);
        let first = oracle.ask(limit).await.unwrap();
        assert_ne!(first, std::thread::current().id());
        assert_eq!(oracle.ask(limit).await, Ok(first));
    }

    /// It tells who drops it.
    struct Traced(Sender<ThreadId>);

    impl Drop for Traced {
        fn drop(&mut self) {
            let _ = self.0.send(std::thread::current().id());
        }
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_is_dropped_elsewhere() {
        let (dropped, is_dropped) = channel();
        // It does not answer before somebody waits.
        let asked = Arc::new(tokio::sync::Notify::new());
        let waits = Arc::clone(&asked);
        let oracle = Oracle::new(move || {
            let (dropped, waits) = (dropped.clone(), Arc::clone(&waits));
            async move {
                waits.notified().await;
                Traced(dropped)
            }
        });
        let mut asking = Box::pin(oracle.ask(Duration::from_secs(3600)));
        let woken = Arc::new(AtomicUsize::new(0));
        let waker = futures_util::task::waker(Arc::new(Counting(Arc::clone(&woken))));
        let polled = asking.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        asked.notify_one();
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while woken.load(Ordering::SeqCst) == 0 {
            assert!(std::time::Instant::now() < deadline, "no answer");
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(asking);
        let by = is_dropped.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_ne!(by, std::thread::current().id());
    }

    struct Counting(Arc<AtomicUsize>);

    impl futures_util::task::ArcWake for Counting {
        fn wake_by_ref(counting: &Arc<Self>) {
            counting.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    const ALONE: &str = "PG_LEADER_TEST_ALONE";

    /// In a process that can have no thread more.
    #[test]
    fn a_hook_without_a_thread_fails_the_connect_and_no_more() {
        if std::env::var_os(ALONE).is_none() {
            let name = std::thread::current().name().map(ToOwned::to_owned);
            let name = name.expect("a test's thread has its name");
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &name, "--nocapture"])
                .env(ALONE, "")
                .output()
                .unwrap();
            return assert!(child.status.success(), "{child:?}");
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let oracle = Oracle::new(|| async {});
            let before = getrlimit(Resource::As);
            let none = Rlimit {
                current: Some(0),
                ..before
            };
            // Whoever has no room for a stack has no thread.
            setrlimit(Resource::As, none).unwrap();
            let asked = oracle.ask(LIMIT).await;
            setrlimit(Resource::As, before).unwrap();
            assert_eq!(asked, Err(Absent::NoThread));
            // And later it goes on.
            assert_eq!(oracle.ask(Duration::from_secs(30)).await, Ok(()));
        });
    }
}
