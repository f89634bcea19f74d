//! Which members take writes, and since when: each is asked all the time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use super::cluster::Cluster;
use crate::Result;
use crate::record::now;

/// A row a member, so that they do not wait for one another.
pub(super) const TABLE: &str =
    "CREATE TABLE sight (member integer PRIMARY KEY, looks bigint NOT NULL);
    INSERT INTO sight SELECT generate_series(0, 2), 0";

/// Between two looks: what the figures may be wrong by.
const PACE: Duration = Duration::from_millis(5);

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(1);

/// It began or ceased to take writes.
#[derive(Clone, Copy, Debug)]
struct Sight {
    at: u64,
    member: usize,
    writable: bool,
}

/// They end when dropped.
pub(super) struct Sights {
    seen: Arc<Mutex<Vec<Sight>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sights {
    pub(super) fn begin(cluster: &Cluster) -> Sights {
        let seen = Arc::new(Mutex::default());
        let watch = |(member, url)| tokio::spawn(watch(member, url, Arc::clone(&seen)));
        let urls = cluster.members.iter().map(super::member::Member::url);
        let tasks = urls.enumerate().map(watch).collect();
        Sights { seen, tasks }
    }

    /// The primary has been seen.
    pub(super) async fn until_seen(&self, primary: usize) {
        self.until(|seen| {
            let mut seen = seen.iter();
            seen.find(|sight| sight.member == primary && sight.writable)
                .copied()
        })
        .await;
    }

    /// Which member began to take writes after `since`, and when. One that never ceased does not begin.
    pub(super) async fn until_writable(&self, since: u64) -> (usize, u64) {
        let sight = self
            .until(|seen| {
                let mut later = seen.iter().filter(|sight| sight.at > since);
                later.find(|sight| sight.writable).copied()
            })
            .await;
        (sight.member, sight.at)
    }

    async fn until(&self, find: impl Fn(&[Sight]) -> Option<Sight>) -> Sight {
        loop {
            if let Some(found) = find(&lock(&self.seen)) {
                return found;
            }
            tokio::time::sleep(PACE).await;
        }
    }
}

impl Drop for Sights {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn watch(member: usize, url: String, seen: Arc<Mutex<Vec<Sight>>>) {
    let note = |writable| note(&seen, member, writable);
    loop {
        match connect(&url).await {
            Ok(client) => look(member, &client, note).await,
            Err(_) => note(false),
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Synchronous standbys are not waited for: a term's row does not wait for them either.
async fn connect(url: &str) -> Result<Client> {
    let (client, connection) =
        tokio::time::timeout(PATIENCE, tokio_postgres::connect(url, NoTls)).await??;
    tokio::spawn(connection);
    client
        .batch_execute("SET synchronous_commit = local; SET log_min_messages = fatal")
        .await?;
    Ok(client)
}

/// Until the connection is lost, or silent.
async fn look(member: usize, client: &Client, note: impl Fn(bool)) {
    let write = format!("UPDATE sight SET looks = looks + 1 WHERE member = {member}");
    loop {
        match tokio::time::timeout(PATIENCE, client.batch_execute(&write)).await {
            Ok(Ok(())) => note(true),
            Ok(Err(_)) if !client.is_closed() => note(false),
            Ok(Err(_)) | Err(_) => return note(false),
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Changes alone.
fn note(seen: &Mutex<Vec<Sight>>, member: usize, writable: bool) {
    let mut seen = lock(seen);
    let last = seen.iter().rev().find(|sight| sight.member == member);
    if last.map(|sight| sight.writable) != Some(writable) {
        seen.push(Sight {
            at: now(),
            member,
            writable,
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
