//! Work that is told of the end goes on to stop by itself, in the very poll in which it hears of it. Once its time is over
//! it is dropped, and not told: as in a process that wakes in another's term. Settles row 46 of docs/development/known-faults.md
//! for work that listens.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Cluster, LEASE, config, until};
use pg_leader::{Campaign, Elector, Term};

/// What the work has come to.
#[derive(Default)]
struct Course {
    begun: AtomicBool,
    told: AtomicU64,
    over: AtomicBool,
}

struct Over(Arc<Course>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

/// One step that holds the thread up for that long, and when it is over the work hears whether it is to end: all in one poll.
async fn step_and_hear(course: Arc<Course>, term: Term, step: Duration) {
    let _over = Over(Arc::clone(&course));
    let mut ending = pin!(term.ending());
    term.ready();
    // The second poll is the one that matters: what was never polled is not begun.
    tokio::task::yield_now().await;
    let held_up = async {
        course.begun.store(true, Ordering::SeqCst);
        std::thread::sleep(step);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = held_up => {}
        () = &mut ending => {
            course.told.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn leads_and_is_held_up(
    elector: &Elector,
    step: Duration,
) -> (Arc<Course>, pg_leader::Candidacy) {
    let course = Arc::new(Course::default());
    let of_work = Arc::clone(&course);
    let candidacy = elector
        .campaign(Campaign::new("late", "late").graceful(true), move |term| {
            let course = Arc::clone(&of_work);
            async move {
                if !course.begun.load(Ordering::SeqCst) {
                    step_and_hear(course, term, step).await;
                }
                Ok::<(), std::io::Error>(())
            }
        })
        .unwrap();
    until("its step has begun", || course.begun.load(Ordering::SeqCst)).await;
    (course, candidacy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_that_was_lost_long_ago() {
    let cluster = Cluster::start().unwrap();
    let elector = Elector::connect(config(&cluster.url())).await.unwrap();
    let (course, _leader) = leads_and_is_held_up(&elector, LEASE * 2).await;
    cluster.terminate_leader("late").unwrap();
    until("the work is over", || course.over.load(Ordering::SeqCst)).await;
    assert_eq!(
        course.told.load(Ordering::SeqCst),
        0,
        "it was told, and went on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_whose_grace_is_over() {
    let cluster = Cluster::start().unwrap();
    let elector = Elector::connect(config(&cluster.url()).grace(LEASE / 4)).await;
    let elector = elector.unwrap();
    let (course, leader) = leads_and_is_held_up(&elector, LEASE * 2).await;
    leader.resign().await;
    until("the work is over", || course.over.load(Ordering::SeqCst)).await;
    assert_eq!(
        course.told.load(Ordering::SeqCst),
        0,
        "it was told, and went on"
    );
}

/// In time it is told, of course.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_that_has_just_been_lost() {
    let cluster = Cluster::start().unwrap();
    let elector = Elector::connect(config(&cluster.url())).await.unwrap();
    let (course, _leader) = leads_and_is_held_up(&elector, LEASE / 4).await;
    cluster.terminate_leader("late").unwrap();
    until("the work is over", || course.over.load(Ordering::SeqCst)).await;
    assert_eq!(course.told.load(Ordering::SeqCst), 1);
}

/// Who waits on his thread is dropped by nobody. He is told at any time.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_waits_on_its_thread() {
    let cluster = Cluster::start().unwrap();
    let elector = Elector::connect(config(&cluster.url())).await.unwrap();
    let course = Arc::new(Course::default());
    let of_work = Arc::clone(&course);
    let _candidacy = elector
        .campaign(
            Campaign::new("waits", "waits").graceful(true),
            move |term| {
                let course = Arc::clone(&of_work);
                async move {
                    let _over = Over(Arc::clone(&course));
                    tokio::task::block_in_place(|| {
                        course.begun.store(true, Ordering::SeqCst);
                        std::thread::sleep(LEASE * 2);
                        tokio::runtime::Handle::current().block_on(term.ending());
                        course.told.fetch_add(1, Ordering::SeqCst);
                    });
                    std::future::pending::<Result<(), std::io::Error>>().await
                }
            },
        )
        .unwrap();
    until("its step has begun", || course.begun.load(Ordering::SeqCst)).await;
    let began = Instant::now();
    cluster.terminate_leader("waits").unwrap();
    until("the work is over", || course.over.load(Ordering::SeqCst)).await;
    assert!(
        course.told.load(Ordering::SeqCst) >= 1,
        "after {:?}",
        began.elapsed()
    );
}
