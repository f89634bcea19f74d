//! Who leads and who is next in line, looked at all the time: what a gap may last depends on whom a fault befell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use super::ELECTIONS;
use super::faults::Faults;
use super::stage::Stage;
use crate::Result;

/// Between two looks.
const LOOKS: Duration = Duration::from_millis(25);

/// A server that answers later does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

const STANDING: &str = "SELECT name, address, successor FROM pgleader.status";

/// Looks until it is dropped.
pub(super) struct Standing {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Of each election the leader and the successor.
type Known = [(Option<String>, Option<String>); ELECTIONS.len()];

impl Standing {
    pub(super) fn watch(stage: Arc<Stage>, faults: Faults) -> Result<Standing> {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::spawn(move || runtime.block_on(watch(&stage, &faults, &is_over)));
        Ok(Standing {
            over,
            thread: Some(thread),
        })
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

async fn watch(stage: &Stage, faults: &Faults, over: &AtomicBool) {
    let mut known = Known::default();
    while !over.load(Ordering::SeqCst) {
        let conninfo = stage.primary().socket_conninfo();
        if let Ok((client, connection)) = tokio_postgres::connect(&conninfo, NoTls).await {
            let connection = tokio::spawn(connection);
            while !over.load(Ordering::SeqCst) && stage.primary().socket_conninfo() == conninfo {
                match tokio::time::timeout(PATIENCE, ask(&client)).await {
                    Ok(Ok(now)) => tell(faults, &mut known, now),
                    Ok(Err(_)) | Err(_) => break,
                }
                tokio::time::sleep(LOOKS).await;
            }
            connection.abort();
        }
        tell(faults, &mut known, Known::default());
        tokio::time::sleep(LOOKS).await;
    }
}

async fn ask(client: &Client) -> Result<Known, tokio_postgres::Error> {
    let mut known = Known::default();
    for row in client.query(STANDING, &[]).await? {
        let name: String = row.try_get(0)?;
        if let Some(election) = ELECTIONS.iter().position(|election| *election == name) {
            known[election] = (row.try_get(1)?, row.try_get(2)?);
        }
    }
    Ok(known)
}

fn tell(faults: &Faults, known: &mut Known, now: Known) {
    for (number, election) in ELECTIONS.iter().enumerate() {
        if known[number] != now[number] {
            let (leader, successor) = &now[number];
            faults.standing(election, leader.as_deref(), successor.as_deref());
        }
    }
    *known = now;
}
