//! Who leads and who is next in line, looked at all the time: what a gap may last depends on whom a fault befell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use super::faults::Faults;
use super::stage::Stage;
use crate::Result;

/// Between two looks, and so many times as long as a look takes: of many elections it costs the server something.
const LOOKS: Duration = Duration::from_millis(25);
const RESTS: u32 = 4;

/// A server that answers later does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

const STANDING: &str =
    "SELECT name, address, successor, (SELECT count(*) FROM pgleader.term) FROM pgleader.status";

/// Looks until it is dropped.
pub(super) struct Standing {
    over: Arc<AtomicBool>,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

/// What was seen at last, where anything was.
#[derive(Default)]
struct Seen {
    led: AtomicUsize,
    terms: AtomicI64,
}

/// Of each election the leader and the successor; of those that are not here nothing is known.
type Known = BTreeMap<String, (Option<String>, Option<String>)>;

impl Standing {
    pub(super) fn watch(stage: Arc<Stage>, faults: Faults) -> Result<Standing> {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let seen = Arc::new(Seen::default());
        let is_seen = Arc::clone(&seen);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(watch(&stage, &faults, &is_seen, &is_over))
        });
        Ok(Standing {
            over,
            seen,
            thread: Some(thread),
        })
    }

    /// How many elections somebody leads, and how many terms are on record in all of them.
    pub(super) fn seen(&self) -> (usize, i64) {
        let Seen { led, terms } = &*self.seen;
        (led.load(Ordering::Relaxed), terms.load(Ordering::Relaxed))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn watch(stage: &Stage, faults: &Faults, seen: &Seen, over: &AtomicBool) {
    let mut known = Known::default();
    while !over.load(Ordering::SeqCst) {
        let conninfo = stage.primary().socket_conninfo();
        if let Ok((client, connection)) = tokio_postgres::connect(&conninfo, NoTls).await {
            let connection = tokio::spawn(connection);
            while !over.load(Ordering::SeqCst) && stage.primary().socket_conninfo() == conninfo {
                let asked = Instant::now();
                match tokio::time::timeout(PATIENCE, ask(&client, seen)).await {
                    Ok(Ok(now)) => tell(faults, &mut known, now),
                    Ok(Err(_)) | Err(_) => break,
                }
                tokio::time::sleep(LOOKS.max(asked.elapsed() * RESTS)).await;
            }
            connection.abort();
        }
        seen.led.store(0, Ordering::Relaxed);
        tell(faults, &mut known, Known::default());
        tokio::time::sleep(LOOKS).await;
    }
}

async fn ask(client: &Client, seen: &Seen) -> Result<Known, tokio_postgres::Error> {
    let mut known = Known::default();
    let mut terms = 0;
    for row in client.query(STANDING, &[]).await? {
        known.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
        terms = row.try_get(3)?;
    }
    let led = known.values().filter(|(leader, _)| leader.is_some());
    seen.led.store(led.count(), Ordering::Relaxed);
    seen.terms.store(terms, Ordering::Relaxed);
    Ok(known)
}

fn tell(faults: &Faults, known: &mut Known, now: Known) {
    for election in known.keys().filter(|election| !now.contains_key(*election)) {
        faults.standing(election, None, None);
    }
    for (election, stands) in &now {
        if known.get(election) != Some(stands) {
            let (leader, successor) = stands;
            faults.standing(election, leader.as_deref(), successor.as_deref());
        }
    }
    *known = now;
}
